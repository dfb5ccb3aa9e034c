//! What is counted of connections, and how counters are told to Prometheus.

use axum::response::{IntoResponse, Response};
use http::header;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The media type of what [`exposition`] gives.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted of connections, which may end without a request.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// How many are open.
    pub open: Gauge,
    /// How often all places were taken, so that whoever came had to wait.
    pub full: Counter,
    /// How many were let go because no request came in time.
    pub timed_out: Counter,
}

impl Connections {
    /// Has them written out with what else is in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "protector_api_connections",
            "Connections that are open",
            self.open.clone(),
        );
        registry.register(
            "protector_api_connections_full",
            "Times that as many connections were open as [api] max_connections allows",
            self.full.clone(),
        );
        registry.register(
            "protector_api_connections_timed_out",
            "Connections let go because no request came within [api] client_timeout_seconds",
            self.timed_out.clone(),
        );
    }
}

/// Everything in `registry` as Prometheus reads it.
///
/// # Errors
/// A defect: text cannot be written to memory.
pub fn exposition(registry: &Registry) -> Result<Response, std::fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
