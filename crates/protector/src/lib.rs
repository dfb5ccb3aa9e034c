//! The programs of protector, put together from its crates: `protector-api`, `protector-engine`, `protector-manage` and
//! `protector-simcloud`.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod api_service;
pub mod assembly;
pub mod backlog;
pub mod engine_http;
pub mod engine_service;
pub mod manage;
pub mod metrics;
mod outside;
pub mod purge;
mod removal_audit;
pub mod site_clouds;
mod watched_journal;
