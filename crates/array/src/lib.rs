//! Storage arrays behind [`protector_core::storage::StorageDriver`].
//!
//! [`MockStorageDriver`] simulates two replicating arrays with directories of files: real bytes, no hardware.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod mock;

pub use mock::MockStorageDriver;
