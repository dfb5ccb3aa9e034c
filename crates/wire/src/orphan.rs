//! Orphans on the wire.

use chrono::{DateTime, Utc};
use protector_core::orphan::Orphan;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::Timestamp;

/// Query of the list of orphans.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrphanQuery {
    /// Only those on this site, by name or id.
    pub site: Option<String>,
    /// Only what operations of this protection group left, by name or id.
    pub protection_group: Option<String>,
}

/// Answer with orphans.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrphansAnswer {
    /// What earlier operations left: what their records name, the newest operation first, then what only carries a
    /// mark.
    pub orphans: Vec<OrphanView>,
    /// How each site answered.
    pub sites: Vec<OrphanSiteView>,
}

/// Something that an earlier operation left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrphanView {
    /// `server` or `volume`.
    #[schema(value_type = String)]
    pub resource_type: &'static str,
    /// Its id on its cloud.
    pub resource_id: String,
    /// Its name.
    pub name: String,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// The site that has it.
    pub site: String,
    /// The cloud's status word; null where the site does not answer.
    pub status: Option<String>,
    /// `found`, or `unknown` where the site does not answer and only the record is known.
    #[schema(value_type = String)]
    pub seen: &'static str,
    /// The operation that left it; null where this site has no record of it.
    pub operation_id: Option<String>,
    /// The key of the line that a cleanup takes up.
    pub step: Option<String>,
    /// The operation's protection group.
    pub protection_group: Option<String>,
    /// Since when it is there without being needed.
    pub since: Option<Timestamp>,
    /// The same in seconds.
    pub age_seconds: Option<i64>,
    /// Why it is still there.
    pub reason: String,
    /// Ids of the servers and snapshots that use it.
    pub used_by: Vec<String>,
    /// Whether a cleanup of its operation with its id may be asked for.
    pub deletable: bool,
    /// Why not.
    pub why_not: Option<String>,
}

impl OrphanView {
    /// Shows `orphan` as it is at `now`.
    pub fn of(orphan: &Orphan, now: DateTime<Utc>) -> Self {
        Self {
            resource_type: orphan.kind.as_str(),
            resource_id: orphan.id.clone(),
            name: orphan.name.clone(),
            size_gib: orphan.size_gib,
            site: orphan.site.to_string(),
            status: orphan.status.clone(),
            seen: orphan.seen.as_str(),
            operation_id: orphan.operation_id.as_ref().map(ToString::to_string),
            step: orphan.step.clone(),
            protection_group: orphan.group.clone(),
            since: orphan.since.map(Timestamp),
            age_seconds: orphan.since.map(|since| (now - since).num_seconds().max(0)),
            reason: orphan.reason.clone(),
            used_by: orphan.used_by.clone(),
            deletable: orphan.why_not.is_none(),
            why_not: orphan.why_not.clone(),
        }
    }
}

/// How a site answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrphanSiteView {
    /// The site.
    pub site: String,
    /// The tenant's project there.
    pub project_id: String,
    /// `OK` or `UNREACHABLE`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Why it could not be read.
    pub error: Option<String>,
    /// The project's quota there; null where the site does not show it.
    pub quota: Option<QuotaView>,
}

/// A project's quota, and the orphans' part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaView {
    /// Volumes.
    pub volumes: QuotaShareView,
    /// GiB of volumes.
    pub gigabytes: QuotaShareView,
    /// Servers.
    pub instances: QuotaShareView,
}

/// What is used of one quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaShareView {
    /// In use.
    pub used: i64,
    /// The most; -1 for no limit.
    pub limit: i64,
    /// What the listed orphans use of it.
    pub orphans: u64,
}
