//! Snapshots and transfers: what keeps a volume from being deleted.

use protector_core::id::VolumeId;
use serde::Deserialize;

use crate::id::{SnapshotId, TransferId};

/// A snapshot of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its volume.
    pub volume_id: VolumeId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its state, `available`, `deleting` …
    pub status: String,
}

/// A volume that is offered to another project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// The volume.
    pub volume_id: VolumeId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
}
