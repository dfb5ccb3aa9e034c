//! The REST API of protector: sites, tenant mappings, protection groups and their members, policies and mappings, the
//! action endpoint, operations, and the metadata exchange with the other site.
//!
//! [`handlers`] has one file a noun, whose functions do the same in the same order: validate, enforce the policy, do it,
//! answer. What is more than a few lines is in [`app`]; what surrounds every request is in [`http`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod app;
pub mod assemble;
pub mod handlers;
pub mod http;

pub use app::{App, settings::Settings};
pub use assemble::AssembleError;
pub use http::{
    openapi::openapi,
    router::router,
    token::{TokenMemory, TokenValidator},
};
