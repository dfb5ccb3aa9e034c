//! Health on the wire.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::Timestamp;

/// Query of the health report.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HealthQuery {
    /// The groups of all projects; for administrators.
    #[serde(default)]
    pub all_projects: bool,
}

/// Answer with the health of the service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReportAnswer {
    /// How everything is.
    pub health: HealthView,
}

/// How the service, its sites and the caller's groups are.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok`; `degraded`: something is wrong and the rest works; `error`: operations cannot run.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The site that answers.
    pub site: String,
    /// All registered sites, as this one sees them.
    pub sites: Vec<SiteHealthView>,
    /// The parts of this site's service.
    pub components: Vec<ComponentView>,
    /// The caller's groups.
    pub protection_groups: Vec<GroupHealthView>,
}

/// A site as seen from here.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteHealthView {
    /// Its name.
    pub name: String,
    /// Whether its Keystone lets the service user in.
    pub reachable: bool,
    /// Why not.
    pub error: Option<String>,
    /// Each service: `ok`, or what is wrong with it.
    pub services: ServicesView,
}

/// The services of a site: `ok`, or what is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServicesView {
    /// Keystone.
    pub identity: String,
    /// Nova.
    pub compute: String,
    /// Cinder.
    pub volume: String,
    /// Neutron.
    pub network: String,
    /// The protector there.
    pub protector: String,
}

/// A part of this site's service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComponentView {
    /// `protector-api`, `protector-engine`, `database` or `storage`.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// `ok`, `degraded` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// More about it; from microversion 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The health of a protection group, from this site's records.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupHealthView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its status.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// `IN SYNC` or `OUT OF SYNC`, by the last push.
    #[schema(value_type = String)]
    pub sync_status: &'static str,
    /// When its volumes were last replicated as a whole, in either direction.
    pub last_replication_at: Option<Timestamp>,
    /// The age of the newest recovery point on the array to which it would be moved; null while that holds none, as after a
    /// move, and while it does not tell. From microversion 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<Option<i64>>,
    /// The recovery point objective of its policy.
    pub rpo_minutes: Option<u32>,
    /// Whether the objective is met by that recovery point; null without a policy, and for groups that replicate synchronously. From
    /// microversion 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo_met: Option<Option<bool>>,
    /// Whether a failover or failback could start now, as far as records, sites and recovery points tell. The check of the
    /// group looks closer.
    pub failover_ready: bool,
    /// Whether its servers may run on both sites.
    pub split_brain: bool,
}

/// Answer of the health check.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// `ok`.
    #[schema(value_type = String)]
    pub status: &'static str,
}
