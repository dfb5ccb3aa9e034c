//! `protector-api`: serves the REST API.

use std::time::Duration;

use anyhow::Context;
use protector_api::{App, router};
use protector_oslo::Config;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{
    assembly,
    http_server::{self, Limits},
    signals,
};

/// Serves until it is told to stop, then lets requests under way end.
///
/// # Errors
///
/// What kept it from starting.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.essentials()?;
    let database = assembly::database(&config).await?;
    let storage = assembly::storage(&config).await?;
    let app = App::from_config(&config, database.clone(), storage)?;
    let address = format!("{}:{}", config.api.bind_host, config.api.bind_port);
    let listener = TcpListener::bind(&address)
        .await
        .with_context(|| format!("[api] bind_host, bind_port: cannot listen on {address}"))?;
    let stop = signals::stop_on_signal()?;
    info!(address = %listener.local_addr()?, "serving");
    let limits = Limits {
        connections: config.api.max_connections.get(),
        client: config.api.client_timeout,
    };
    let serving = http_server::serve(listener, router(app), limits, stop.clone());
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
