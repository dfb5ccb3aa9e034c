//! The cleanup of an operation on the wire: what is asked for, and what is left.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{leftover::CleanupView, operation::OperationView};

/// Body of `POST …/operations/{operation}/cleanup`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupRequest {
    /// What is to be cleaned up, and how; an empty object for everything.
    pub cleanup: CleanupOptions,
}

/// Options of a cleanup.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupOptions {
    /// Change nothing: only tell what is left. No cloud, no engine and no other site is needed for that.
    #[serde(default)]
    pub dry_run: bool,
    /// Only the leftovers with these resource ids; all when left out. What the operation has deleted already is
    /// skipped.
    pub resources: Option<Vec<String>>,
    /// Servers among the leftovers, by id or name, that are deleted though they run. Without it one that runs is kept: what
    /// it has written since it was started is nowhere else.
    #[serde(default)]
    pub delete_running: Vec<String>,
    /// Release the floating IPs, too, that the operation's servers had on the site that they left: each once its server is
    /// deleted, if it leads nowhere and the recovery plan does not name it. With `resources` those of the servers that are
    /// named there.
    #[serde(default)]
    pub release_floating_ips: bool,
}

/// Answer of a cleanup.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CleanupAnswer {
    /// The cleanup operation; null when nothing is left, and for a dry run.
    pub operation: Option<OperationView>,
    /// What there is to do.
    pub cleanup: CleanupView,
}
