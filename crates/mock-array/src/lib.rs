//! Two replicating arrays, simulated with directories of files.
//!
//! An array is the directory in which a site's Cinder keeps its volumes: volume `<id>` is the file `volume-<id>`.
//! Everything of ours lies in its subdirectory `.replica`, which Cinder does not list; only a promoted volume lies
//! beside Cinder's own files, complete from the moment it is seen:
//!
//! ```text
//! volume-<id>                        a volume of Cinder's
//! protector-<operation>-<volume>     a promoted volume, until Cinder manages it and renames it
//! .replica/array.id                  the array's identity
//! .replica/<group>/<point>/<volume>  what replication brought
//! .replica/.staging/<uuid>           a copy in the making
//! .replica/.locks/<name>             locks between processes
//! ```
//!
//! Any number of processes share the directories and the catalogue, and any of them may be killed at any moment. So:
//! the catalogue says what a call is about to make before it makes it, and says that it is there only after the bytes
//! are on disk; what a killed process left half made is known by its row and removed by the next call that needs the
//! same lock. Nothing is ever removed that the catalogue does not know as ours.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub use address::mock_address;
pub use driver::MockStorageDriver;

mod address;
mod blocking;
mod catalogue;
mod comparison;
#[cfg(test)]
mod crash_tests;
mod driver;
#[cfg(test)]
mod driver_tests;
mod lock;
mod object;
mod promotion;
mod replication;
#[cfg(test)]
mod site_fixture;
mod volume_file;
