//! Resetting a group's status, on the wire.

use protector_core::verified_status::StatusFinding;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `POST …/protection-groups/{group}/reset-status`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewResetStatus {
    /// What is asked for.
    pub reset_status: ResetStatus,
}

/// A reset of a group's status asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetStatus {
    /// Change nothing and tell what was found.
    #[serde(default)]
    pub dry_run: bool,
    /// Do not ask the site on which the group does not run, nor its protector: it is lost. Whoever says so answers for it that
    /// no VM of the group runs there.
    #[serde(default)]
    pub other_site_lost: bool,
}

/// Answer of reset-status.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetStatusAnswer {
    /// What came of it.
    pub reset_status: ResetStatusView,
}

/// What came of a reset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ResetStatusView {
    /// The status before.
    #[schema(value_type = String)]
    pub before: &'static str,
    /// The status that both clouds show to be true: the group's, unless this was a dry run.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// What was found of the members.
    pub findings: Vec<StatusFindingView>,
}

/// What was found of a member, or of a site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatusFindingView {
    /// The member's name; empty for what is about a site.
    pub member: String,
    /// What was found, and what to do about it.
    pub found: String,
}

impl From<StatusFinding> for StatusFindingView {
    fn from(finding: StatusFinding) -> Self {
        Self {
            member: finding.member,
            found: finding.found,
        }
    }
}
