//! Generic volume groups.

use std::collections::BTreeMap;

use protector_core::id::VolumeId;
use serde::Deserialize;

use crate::id::{VolumeGroupId, VolumeGroupTypeId};

/// A group of volumes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeGroup {
    /// Its id.
    pub id: VolumeGroupId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its state, `available`, `updating` …
    pub status: String,
    /// Its group type.
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
    /// Its id.
    pub id: VolumeGroupTypeId,
    /// Its name.
    pub name: String,
    /// What it asks of a backend, `consistent_group_snapshot_enabled`; shown to admins only.
    #[serde(default)]
    pub group_specs: BTreeMap<String, String>,
}
