//! The failover of all groups of a site on the wire.

use protector_core::{group::Group, id::ProjectId, priority::Priority};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operation::{FailoverKind, OperationView};

/// Body of `POST /v1/admin/sites/{site}/failover`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailOverSite {
    /// What is asked for.
    pub failover: SiteFailover,
}

/// A failover of all groups that run on a site.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteFailover {
    /// Whether the site takes part.
    #[serde(rename = "type")]
    pub kind: FailoverKind,
    /// Say what would be started, in which order, and what would be refused. Starts nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Only groups of these projects, by the ids that they have on the site that answers; all when left out.
    #[schema(min_items = 1)]
    pub projects: Option<Vec<String>>,
}

/// Answer of a failover of a site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteFailoverAnswer {
    /// The groups that run on the site and were asked for, in the order in which they are started: by priority, then
    /// by name.
    pub protection_groups: Vec<SiteGroupView>,
    /// The operations that were started, in that order. None in a dry run.
    pub started: Vec<OperationView>,
    /// The groups whose failover was refused. In a dry run: what can be known without asking the other site.
    pub refused: Vec<RefusedGroupView>,
}

/// A group that runs on a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SiteGroupView {
    /// The group.
    pub protection_group_id: String,
    /// Its name.
    pub name: String,
    /// The tenant's project on the site that answers.
    pub project_id: String,
    /// When it goes: 1 first, 5 last.
    #[schema(value_type = u8, minimum = 1, maximum = 5)]
    pub priority: Priority,
    /// The site that it would go to.
    pub target_site: String,
}

impl SiteGroupView {
    /// Shows `group` of the tenant whose project here is `project`.
    pub fn of(group: &Group, project: &ProjectId) -> Self {
        Self {
            protection_group_id: group.id.to_string(),
            name: group.name.clone(),
            project_id: project.to_string(),
            priority: group.priority,
            target_site: group.other().site.to_string(),
        }
    }
}

/// A group whose failover was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedGroupView {
    /// The group.
    pub protection_group_id: String,
    /// Its name.
    pub name: String,
    /// The tenant's project on the site that answers.
    pub project_id: String,
    /// Why, and what to do.
    pub reason: String,
}
