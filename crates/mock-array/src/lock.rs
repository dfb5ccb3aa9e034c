//! Locks between processes: a killed process loses its own, so none has to be broken.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use protector_core::{id::GroupId, storage::StorageError};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::{address::Array, blocking};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A lock that is held until the last clone is gone. File work off the async threads holds a clone, so that the lock
/// outlives a caller that gave up.
#[derive(Clone)]
pub(crate) struct HeldLock(
    #[expect(dead_code, reason = "dropping it releases the lock")] Arc<File>,
);

/// Takes the lock under which recovery points of `group` on `target` are made and removed.
pub(crate) async fn group(target: &Array, group: &GroupId) -> Result<HeldLock, StorageError> {
    let group = target.safe("group", group.as_str())?;
    acquire(target, format!("group-{group}")).await
}

/// Takes the lock under which the object called `name` is made and removed. One of 64, so that lock files do not pile
/// up; a call takes one lock only, so sharing them cannot end in a deadlock.
pub(crate) async fn promotion(target: &Array, name: &str) -> Result<HeldLock, StorageError> {
    let slot = Sha256::digest(name)[0] % 64;
    acquire(target, format!("promotion-{slot}")).await
}

/// Makes the directories of ours on `array`, which itself must exist.
pub(crate) fn prepare(array: &Array) -> io::Result<()> {
    for directory in [array.replicas(), array.staging(), array.locks()] {
        make_directory(&directory)?;
    }
    Ok(())
}

/// Makes one directory that only this service's user may enter: replicas hold every tenant's bytes.
pub(crate) fn make_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

async fn acquire(array: &Array, name: String) -> Result<HeldLock, StorageError> {
    let deadline = Instant::now() + PATIENCE;
    let (on, path) = (array.clone(), array.locks().join(&name));
    let file = blocking::quick(array, "opening its lock", move || {
        prepare(&on)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).open(path)
    })
    .await?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(HeldLock(Arc::new(file))),
            Err(TryLockError::Error(error)) => return Err(array.io("taking its lock", &error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(array.unavailable(format!(
                    "busy: another call has held {name} for {} seconds",
                    PATIENCE.as_secs()
                )));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
        }
    }
}
