//! The engine's own small listener: whether it works, and what it has counted. No token is needed, so it listens on the
//! loopback address unless an operator says otherwise.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use protector_oslo::Config;
use protector_service::{beside_listener, metrics::exposition};
use protector_store::Database;
use protector_wire::health::HealthAnswer;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{backlog::Backlog, metrics::EngineMetrics};

/// What the listener answers from.
#[derive(Clone)]
pub struct EngineHttp {
    pub database: Database,
    /// What is read when it is asked for.
    pub backlog: Arc<Backlog>,
    pub metrics: Arc<EngineMetrics>,
}

impl EngineHttp {
    /// Answers until `stop`.
    pub async fn run(self, config: &Config, stop: CancellationToken) {
        let place = &config.engine.metrics;
        beside_listener::serve(place, self.router(), config.api.client_timeout, stop).await;
    }

    fn router(self) -> Router {
        Router::new()
            .route("/healthcheck", get(healthcheck))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

/// 200 while the engine can write to its records, 503 and why while it cannot.
async fn healthcheck(State(http): State<EngineHttp>) -> Response {
    match http.database.check_writable().await {
        Ok(()) => Json(HealthAnswer { status: "ok" }).into_response(),
        Err(error) => {
            warn!(%error, "the database takes no write");
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}

async fn metrics(State(http): State<EngineHttp>) -> Response {
    http.backlog.read().await;
    exposition(http.metrics.registry())
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
