//! The guards at work: a failover that has switched to the target, something odd on the source, and what the deletions
//! at its end, and a cleanup by hand later, do about it. The real engine, on simulated clouds, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod aborted;
mod adoption;
mod after_the_intent;
mod asked_again;
mod built_beside;
mod carried;
mod changed_meanwhile;
mod compute_host;
mod deleted_source;
mod disk_on_a_copy;
mod fencing;
mod fixture;
mod floating_ips;
mod forgotten_copy;
mod given_up;
mod last_copy;
mod one_moment;
mod only_copy;
mod other_site;
mod paused;
mod ports;
mod record;
mod recovery_point;
mod released_floating_ip;
mod returned_home;
mod scope;
mod server_group;
mod source_at_rest;
mod source_server;
mod taken_back;
mod taken_over;
mod things_lost;
mod volume_attachment;
mod volume_deletion;
mod volume_ties;
mod way_back;
mod written_since;
mod written_to_the_source;
