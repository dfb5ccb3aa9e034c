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
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{cloud_requests::CloudRequests, error::ApiError};

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

/// The counters of one API process.
pub struct ApiMetrics {
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
        Self {
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
    let method = known(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let began = Instant::now();
    let response = next.run(request).await;
    let asked = Asked { route, method };
    metrics
        .durations
        .get_or_create(&asked)
        .observe(began.elapsed().as_secs_f64());
    let answered = Answered {
        route: asked.route,
        method,
        status: response.status().as_u16().into(),
    };
    metrics.requests.get_or_create(&answered).inc();
    response
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
