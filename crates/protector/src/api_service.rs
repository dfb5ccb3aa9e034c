//! `protector-api`: serves the REST API.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use protector_api::{App, http::metrics, router};
use protector_oslo::{Config, log::LogFile};
use protector_service::{
    beside_listener, http_server, http_server::ListenerLimits, signals, tls::ServerCertificate,
};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::assembly;

/// Serves until it is told to stop, then lets requests under way end.
///
/// # Errors
///
/// What kept it from starting.
pub async fn run(config: Config, log: Option<Arc<LogFile>>) -> anyhow::Result<()> {
    config.essentials()?;
    let identity = ServerCertificate::from_config(&config.ssl)?;
    let tls = identity
        .as_ref()
        .map(ServerCertificate::server_config)
        .transpose()?;
    let database = assembly::database(&config).await?;
    let storage = assembly::storage(&config).await?;
    let app = App::from_config(&config, database.clone(), storage)?;
    let address = format!("{}:{}", config.api.bind_host, config.api.bind_port);
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("[api] bind_host, bind_port: cannot listen on {address}"))?;
    let stop = signals::stop_on_signal()?;
    let files: Vec<_> = log.into_iter().chain(app.audit.file().cloned()).collect();
    signals::on_hangup(move || {
        signals::reopen(&files);
        if let Some(identity) = &identity {
            identity.reload();
        }
    })?;
    info!(address = %listener.local_addr()?, "serving");
    let limits = ListenerLimits {
        connections: config.api.max_connections.get(),
        set_by: "[api] max_connections",
        client: config.api.client_timeout,
        tls,
    };
    let counts = app.metrics.connections.clone();
    let watched = metrics::router(Arc::clone(&app.metrics));
    let serving = async {
        tokio::join!(
            http_server::serve(listener, router(app), limits, counts, stop.clone()),
            beside_listener::serve(
                &config.api.metrics,
                watched,
                config.api.client_timeout,
                stop.clone()
            ),
        );
    };
    let patience = config
        .general
        .graceful_shutdown_timeout
        .unwrap_or(Duration::MAX / 4);
    tokio::select! {
        () = serving => {}
        () = async { stop.cancelled().await; tokio::time::sleep(patience).await } => {
            warn!("requests under way did not end in time");
        }
    }
    database.close().await?;
    info!("stopped");
    Ok(())
}
