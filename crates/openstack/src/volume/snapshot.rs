//! Snapshots and transfers: what keeps a volume from being deleted.

use protector_core::id::VolumeId;
use serde::Deserialize;

use crate::id::{SnapshotId, TransferId};

/// A snapshot of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub volume_id: VolumeId,
    #[serde(default)]
    pub name: Option<String>,
    /// Its state, `available`, `deleting` …
    pub status: String,
}

/// A volume that is offered to another project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Transfer {
    pub id: TransferId,
    pub volume_id: VolumeId,
    #[serde(default)]
    pub name: Option<String>,
}
