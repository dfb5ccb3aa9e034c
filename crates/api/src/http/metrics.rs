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
    response::Response,
    routing::get,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use protector_clouds::cloud_requests::{CloudRequests, method_label};
use protector_service::metrics::{Connections, exposition};

use crate::http::error::ApiError;

/// What nginx writes for a request whose client has gone before it was answered.
pub(crate) const CLIENT_GONE: u16 = 499;

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
            method: method_label(request.method()),
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

/// What is served beside the API: `GET /metrics`. No token is needed.
pub fn router(metrics: Arc<ApiMetrics>) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state(metrics)
}

async fn show(State(metrics): State<Arc<ApiMetrics>>) -> Result<Response, ApiError> {
    exposition(&metrics.registry).map_err(ApiError::internal)
}
