//! The tests that every driver of [`protector_core::storage::StorageDriver`] has to pass.
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
