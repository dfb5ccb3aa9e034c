//! The REST contract, in one process: the real router, policy and database; fakes for Keystone, the clouds, the other
//! protector and the arrays.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests may panic"
)]

mod actions;
mod bad_input;
mod cleanup;
mod engine;
mod envelope;
mod fakes;
mod groups;
mod health;
mod house;
mod members;
mod metadata;
mod openapi;
mod operations;
mod orphans;
mod readiness;
mod sites;
mod test_failover;
mod two_sites;
