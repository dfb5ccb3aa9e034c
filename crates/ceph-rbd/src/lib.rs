//! Two Ceph clusters that mirror RBD images to each other: journal-based mirroring, promotion in place.
//!
//! Everything is done by the programs `rbd`, `rados` and `ceph`, run as processes: a call into librbd that hangs on a dead
//! cluster cannot be ended, a process can. What they print as JSON is read; what they print for people goes into messages
//! and decides nothing; their exit code is the errno of what went wrong.
//!
//! An image of a pair is known by its mirroring `global_id`, which is the same on both clusters and stays. Its name does
//! not: it follows the primary, and each import into Cinder changes it. What must outlive a process is noted in the
//! [catalogue], one object in each pool:
//!
//! ```text
//! volume-<id>                        an image of Cinder's, on both clusters while it is mirrored
//! volume-<id>@dr-<operation>         a recovery point, made on the primary and replicated
//! volume-<id>@dr-<operation>-promoted  what a forced promotion began with
//! protector-<operation>-<volume>     a clone for a test, until Cinder manages it and renames it
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub use config::{CephArray, CephOptions, MirrorMode};
pub use driver::CephRbdDriver;

mod catalogue;
mod clone;
mod cluster;
mod config;
mod driver;
mod dump;
mod failover;
#[cfg(test)]
mod fake;
mod findings;
mod image;
mod job;
mod journal;
mod locate;
mod pair;
mod point;
mod program;
mod protection;
mod resync;
#[cfg(test)]
mod sides_tests;
mod written;
