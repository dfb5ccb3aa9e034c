//! The REST contract, in one process: the real router, policy and database; fakes for Keystone, the clouds, the other
//! protector and the arrays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic"
)]

mod abort;
mod access_log;
mod actions;
mod adopt;
mod at_rest;
mod bad_input;
mod cleanup;
mod comparison;
mod engine;
mod envelope;
mod fakes;
mod fidelity;
mod groups;
mod health;
mod hostile_peer;
mod house;
mod lost_home;
mod lost_updates;
mod matrix;
mod matrix_place;
mod member_refresh;
mod members;
mod metadata;
mod openapi;
mod operations;
mod orphans;
mod paging;
mod peer_messages;
mod readiness;
mod recovery_plan;
mod recovery_points;
mod reservations;
mod reset_status;
mod retirement;
mod returned;
mod shares;
mod site_failover;
mod sites;
mod sync;
mod test_failover;
mod two_sites;
mod unplanned;
mod unseen_names;
pub mod way_back;
