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

/// Opens `files` anew at each SIGHUP, after a log rotation has moved them away.
///
/// # Errors
///
/// When the system does not let the signal be caught.
pub fn reopen_on_hangup(files: impl IntoIterator<Item = Arc<LogFile>>) -> std::io::Result<()> {
    let files: Vec<_> = files.into_iter().collect();
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let files = files.clone();
            let reopened = tokio::task::spawn_blocking(move || reopen(&files)).await;
            if reopened.is_ok() {
                info!(signal = "SIGHUP", "log files opened anew");
            }
        }
    });
    Ok(())
}

fn reopen(files: &[Arc<LogFile>]) {
    for file in files {
        if let Err(failure) = file.reopen() {
            error!("{failure}; the old file is written on");
        }
    }
}
