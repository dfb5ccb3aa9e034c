//! Generic volume groups.

use std::collections::BTreeMap;

use protector_core::id::VolumeId;
use serde::Deserialize;

use crate::id::{VolumeGroupId, VolumeGroupTypeId};

/// A group of volumes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeGroup {
    pub id: VolumeGroupId,
    #[serde(default)]
    pub name: Option<String>,
    /// Its state, `available`, `updating` …
    pub status: String,
    pub group_type: VolumeGroupTypeId,
    /// Its volumes (3.25).
    pub volumes: Vec<VolumeId>,
    /// The state of its replication, as its driver writes it (3.38).
    #[serde(default)]
    pub replication_status: Option<String>,
}

/// A type of groups.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeGroupType {
    pub id: VolumeGroupTypeId,
    pub name: String,
    /// What it asks of a backend, `consistent_group_snapshot_enabled`; shown to admins only.
    #[serde(default)]
    pub group_specs: BTreeMap<String, String>,
}
