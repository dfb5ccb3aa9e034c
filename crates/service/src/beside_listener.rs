//! The small listener of a service for those who watch it. No token is needed there, so it is on the loopback address
//! unless an operator says otherwise.

use std::time::Duration;

use axum::Router;
use protector_oslo::config::BesideListener;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{http_server, http_server::ListenerLimits, metrics::Connections};

/// Most connections of those who watch. They are few, and what they hold the service itself cannot have.
const CONNECTIONS: usize = 50;

/// Serves `router` at `place` until `stop`. A port that is taken is told and costs the service nothing: a failover matters
/// more than its measurement.
pub async fn serve(
    place: &BesideListener,
    router: Router,
    client: Duration,
    stop: CancellationToken,
) {
    let BesideListener {
        section,
        host,
        port,
    } = place;
    if *port == 0 {
        return;
    }
    let address = format!("{host}:{port}");
    let listener = match TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            warn!(%error, address, "[{section}] metrics_bind_host, metrics_port: cannot listen; the service works without");
            return;
        }
    };
    info!(address, "metrics served");
    let limits = ListenerLimits {
        connections: CONNECTIONS,
        set_by: "the listener for metrics",
        client,
        tls: None,
    };
    http_server::serve(listener, router, limits, Connections::default(), stop).await;
}
