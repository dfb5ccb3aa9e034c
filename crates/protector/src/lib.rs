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
mod beside_listener;
pub mod command_line;
pub mod engine_http;
pub mod engine_service;
mod http_server;
pub mod manage;
mod member_refresh;
pub mod metadata_push;
pub mod metrics;
mod other_site;
mod outside;
pub mod purge;
mod removal_audit;
pub mod runtime;
pub mod signals;
pub mod site_clouds;
pub mod split_brain_watch;
mod tls;
mod watched_journal;
