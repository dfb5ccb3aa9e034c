//! Whole houses: two simulated clouds and a protector on each, as processes that are killed, stopped, misconfigured and
//! lied to; looked at through their APIs only, or with the `openstack` command as their tenant does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may panic, and say what they found"
)]

mod cleanup;
mod cloud;
mod contract;
mod crashes;
mod failback;
mod failovers;
mod failures;
mod full_disk;
mod hostile;
mod house;
mod http;
mod keys;
mod left_behind;
mod log_files;
mod not_carried;
mod openstack_command;
mod ports;
mod program;
mod readiness;
mod second_disaster;
mod secrets;
mod site_records;
mod starting;
mod sync;
mod tenant;
mod two_engines;
mod unplanned;
mod volume_file;
mod waiting;
