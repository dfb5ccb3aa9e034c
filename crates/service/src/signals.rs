//! SIGTERM and SIGINT end a service in order; SIGHUP has it open its log files anew.

use std::sync::Arc;

use protector_oslo::log::LogFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// A token that is cancelled by the first SIGTERM or SIGINT.
///
/// # Errors
///
/// When the system does not let signals be caught.
pub fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
        stopped.cancel();
    });
    Ok(stop)
}

/// Does `act` at each SIGHUP: what an operator has changed is taken up.
///
/// # Errors
///
/// When the system does not let the signal be caught.
pub fn on_hangup(act: impl Fn() + Send + Sync + 'static) -> std::io::Result<()> {
    let act = Arc::new(act);
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let act = Arc::clone(&act);
            // Files are opened and read, which may take its time.
            if let Err(failure) = tokio::task::spawn_blocking(move || act()).await {
                error!(signal = "SIGHUP", error = %failure, "not all was taken up");
            }
        }
    });
    Ok(())
}

/// Opens `files` anew, after a log rotation has moved them away.
pub fn reopen(files: &[Arc<LogFile>]) {
    for file in files {
        if let Err(failure) = file.reopen() {
            error!("{failure}; the old file is written on");
        }
    }
    info!(signal = "SIGHUP", "log files opened anew");
}
