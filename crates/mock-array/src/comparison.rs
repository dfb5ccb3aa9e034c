//! What was written to a volume since a recovery point: it is compared with the replica of it, block by block.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use protector_core::storage::{StorageError, Written};

use crate::{address::Array, blocking, volume_file, volume_file::StopOnDrop};

/// One volume as of a recovery point.
pub(crate) struct Replica {
    pub path: PathBuf,
    pub taken_at: DateTime<Utc>,
}

/// Compares the volume at `is` with `replica`. `held` is kept until that has ended, also when nobody waits for it any more.
pub(crate) async fn compare(
    array: &Array,
    replica: Replica,
    is: PathBuf,
    held: impl Send + 'static,
) -> Result<Written, StorageError> {
    let stop = StopOnDrop::default();
    let flag = stop.flag();
    let bytes = blocking::long(array, "comparing a volume", move || {
        let _held = held;
        volume_file::differing(&replica.path, &is, &flag)
    })
    .await?;
    Ok(match bytes {
        0 => Written::Nothing,
        bytes => Written::Since {
            point: replica.taken_at,
            bytes,
        },
    })
}
