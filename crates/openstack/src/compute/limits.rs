//! Limits, and the state of services.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::field;

/// A project's absolute limits in Nova; -1 for no limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeLimits {
    pub max_total_instances: i64,
    pub total_instances_used: i64,
    /// The most virtual processors.
    pub max_total_cores: i64,
    /// Virtual processors in use.
    pub total_cores_used: i64,
    /// The most memory in MiB.
    #[serde(rename = "maxTotalRAMSize")]
    pub max_total_ram_mib: i64,
    /// Memory in use in MiB.
    #[serde(rename = "totalRAMUsed")]
    pub total_ram_used_mib: i64,
    /// The most items of metadata on one server, where Nova tells.
    #[serde(default)]
    pub max_server_meta: Option<i64>,
}

/// One of Nova's services.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ComputeService {
    /// `nova-compute` …
    pub binary: String,
    pub host: String,
    /// `up` or `down`, by its heartbeat.
    pub state: String,
    /// `enabled` or `disabled`, by an administrator.
    pub status: String,
    /// True when an administrator says that it is down for certain.
    #[serde(default)]
    pub forced_down: bool,
    #[serde(default, deserialize_with = "field::optional_time")]
    pub updated_at: Option<DateTime<Utc>>,
}
