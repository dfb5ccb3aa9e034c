//! The cleanup of an operation on the wire: what is asked for, and what is left.

use protector_core::leftover::Leftover;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{operation::OperationView, text::Stamp};

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
}

/// Answer of a cleanup.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CleanupAnswer {
    /// The cleanup operation; null when nothing is left, and for a dry run.
    pub operation: Option<OperationView>,
    /// What there is to do.
    pub cleanup: CleanupView,
}

/// What a cleanup has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CleanupView {
    /// Entries of the parent's `steps_completed`: done already.
    pub skipped: usize,
    /// Those of `steps` whose resources were retained by configuration.
    pub retained: Vec<String>,
    /// The lines that are tried again, in order.
    pub steps: Vec<String>,
    /// Those of `steps` whose servers are deleted though they run, as was asked for.
    pub delete_running: Vec<String>,
    /// What is left, in the order of `steps`.
    pub leftovers: Vec<LeftoverView>,
}

/// Something that an operation left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftoverView {
    /// The key of the line that is tried again.
    pub step: String,
    /// `server`, `volume`, or null for a line about the whole group.
    #[schema(value_type = Option<String>)]
    pub resource_type: Option<&'static str>,
    /// Its id on its cloud; null where it was never learnt.
    pub resource_id: Option<String>,
    /// Its name.
    pub name: String,
    /// The site that has it.
    pub site: String,
    /// The tenant's project there.
    pub project_id: String,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// `retained`, `failed` or `not_taken_back`.
    #[schema(value_type = String)]
    pub reason: &'static str,
    /// Why, with the cloud's own words.
    pub error: Option<String>,
    /// The kind of that failure, `PRT-…`.
    #[schema(value_type = Option<String>)]
    pub error_code: Option<&'static str>,
    /// Since when nothing was tried any more.
    pub since: Option<Stamp>,
    /// The plain command that does it by hand, with a `clouds.yaml` whose entries are named as the sites; begins with
    /// `#` where there is none, or where it is not safe as it is.
    pub command: String,
}

impl From<&Leftover> for LeftoverView {
    fn from(left: &Leftover) -> Self {
        Self {
            step: left.step.clone(),
            resource_type: left.kind.map(|kind| kind.as_str()),
            resource_id: left.resource_id.clone(),
            name: left.name.clone(),
            site: left.scope.site.to_string(),
            project_id: left.scope.project_id.to_string(),
            size_gib: left.size_gib,
            reason: left.reason.as_str(),
            error: left.error.clone(),
            error_code: left.error_code.map(|code| code.as_str()),
            since: left.since.map(Stamp),
            command: left.command.clone(),
        }
    }
}
