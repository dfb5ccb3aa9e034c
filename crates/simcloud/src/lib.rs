//! Simulated clouds and arrays as pure state machines.
//!
//! The same clouds serve tests in virtual time, in the same process ([`in_process`]), and the demo, over HTTP ([`http`]).
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod array;
pub mod backend;
pub mod cloud;
pub mod http;
pub mod in_process;
mod mirror;
mod mirror_catalogue;
