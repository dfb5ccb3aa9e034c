//! How a process of ours runs: its command line, signals, listeners and TLS, and what is served to those who watch it.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod beside_listener;
pub mod command_line;
pub mod http_server;
pub mod metrics;
pub mod runtime;
pub mod signals;
pub mod tls;
