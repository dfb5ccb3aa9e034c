//! The engine: claims operations, walks their runbooks, and leaves a record from which any other engine can go on.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod action;
pub mod clouds;
pub mod engine;
pub mod intent;
mod lease;
pub mod limits;
pub mod look;
pub mod options;
pub mod outside;
mod slots;
pub mod step;
pub mod step_error;
mod walk;
