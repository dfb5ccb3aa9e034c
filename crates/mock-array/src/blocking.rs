//! File work off the async threads.

use std::{io, time::Duration};

use protector_core::storage::StorageError;

use crate::address::Array;

/// How long an array may take for a call that reads or writes no volume.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `work`, which touches names and metadata only, and gives it half a minute: a directory on a file server that
/// is gone would hang for ever.
pub(crate) async fn quick<T: Send + 'static>(
    array: &Array,
    doing: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::time::timeout(PATIENCE, long(array, doing, work)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(array.unavailable(format!(
            "{doing}: no answer in {} seconds",
            PATIENCE.as_secs()
        ))),
    }
}

/// Runs `work`, which may take as long as its volumes are large.
pub(crate) async fn long<T: Send + 'static>(
    array: &Array,
    doing: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(array.io(doing, &error)),
        Err(error) => Err(array.unavailable(format!("{doing}: {error}"))),
    }
}
