//! What the API counts of itself, for Prometheus at `/metrics` of a listener of its own: whoever reaches the API does not
//! reach that.
//!
//! Labels are route templates, methods and statuses: nothing that a caller chooses, so that their number is bounded and
//! no id or name of a tenant is told.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Method, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{access::CLIENT_GONE, cloud_requests::CloudRequests, error::ApiError};

/// The media type of what [`exposition`] gives.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The upper bounds of the latency histogram in seconds: from an answer out of the database to one that waited for a
/// slow cloud.
const SECONDS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: String,
    method: &'static str,
}

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
    fn register(&self, registry: &mut Registry) {
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

/// The counters of one API process.
pub struct ApiMetrics {
    /// What is counted of connections.
    pub connections: Connections,
    registry: Registry,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
}

impl ApiMetrics {
    /// Counters at their beginning, to be told together with those of the calls to the clouds.
    pub fn new(cloud_requests: &CloudRequests) -> Self {
        let requests = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let durations = Family::new_with_constructor(histogram);
        let mut registry = Registry::default();
        registry.register(
            "protector_api_requests",
            "Requests answered, by route template, method and status",
            requests.clone(),
        );
        registry.register_with_unit(
            "protector_api_request_duration",
            "Time from a request to its answer, by route template and method",
            Unit::Seconds,
            durations.clone(),
        );
        cloud_requests.register(&mut registry);
        let connections = Connections::default();
        connections.register(&mut registry);
        Self {
            connections,
            registry,
            requests,
            durations,
        }
    }
}

/// A method as a label. Callers may send any word as a method; only known ones become labels.
pub(crate) fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// Counts and times every request, whatever becomes of it.
pub async fn measure(
    State(metrics): State<Arc<ApiMetrics>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let mut measured = Measured {
        metrics,
        asked: Asked {
            route,
            method: known(request.method()),
        },
        began: Instant::now(),
        status: CLIENT_GONE,
    };
    let response = next.run(request).await;
    measured.status = response.status().as_u16();
    response
}

/// A request that is being measured; counted when this goes out of scope, answered or not.
struct Measured {
    metrics: Arc<ApiMetrics>,
    asked: Asked,
    began: Instant,
    status: u16,
}

impl Drop for Measured {
    fn drop(&mut self) {
        let Asked { route, method } = self.asked.clone();
        let took = self.began.elapsed().as_secs_f64();
        let durations = &self.metrics.durations;
        durations.get_or_create(&self.asked).observe(took);
        let answered = Answered {
            route,
            method,
            status: self.status.into(),
        };
        self.metrics.requests.get_or_create(&answered).inc();
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

/// What is served beside the API: `GET /metrics`. No token is needed.
pub fn router(metrics: Arc<ApiMetrics>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state(metrics)
}

async fn show(State(metrics): State<Arc<ApiMetrics>>) -> Result<Response, ApiError> {
    exposition(&metrics.registry).map_err(ApiError::internal)
}
