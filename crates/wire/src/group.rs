//! Protection groups on the wire.

use std::collections::BTreeMap;

use protector_core::{
    group::{Fidelity, Group, ReplicationType, ResourceMappings},
    priority::Priority,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    page::{Link, SortDir},
    text::{Timestamp, given},
    version::Microversion,
};

/// Body of `POST /v1/{project_id}/protection-groups`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateGroup {
    /// The group to make.
    pub protection_group: NewGroup,
}

/// A protection group to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Unique in the project.
    #[schema(example = "prod-web-app")]
    pub name: String,
    /// What people should know about it.
    pub description: Option<String>,
    /// The site on which its VMs run, by name or id.
    pub primary_site: String,
    /// The site to which it fails over, by name or id.
    pub secondary_site: String,
    /// How the arrays replicate it. Final.
    #[schema(value_type = ReplicationWord)]
    pub replication_type: ReplicationType,
    /// The volume type of its volumes on the primary site, by name or id.
    pub volume_type: String,
    /// The volume type that its volumes get on the secondary site; found by name and replication type when left out.
    pub secondary_volume_type: Option<String>,
    /// Network on the primary → network on the secondary (UUIDs).
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor id on the primary → flavor id on the secondary, where they differ.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
    /// Server group on the primary → server group on the secondary (UUIDs), kept with the group. Without, one of the same
    /// name and policy is used there, or made.
    #[serde(default)]
    pub server_group_mapping: BTreeMap<String, String>,
    /// Volume type id on the primary → volume type id on the secondary, for volumes of other types than the group's; these
    /// get the group's without.
    #[serde(default)]
    pub volume_type_mapping: BTreeMap<String, String>,
    /// QoS policy on the primary → QoS policy on the secondary, by id or name, for ports that have one. Without, the one of
    /// the same name is used there.
    #[serde(default)]
    pub qos_policy_mapping: BTreeMap<String, String>,
    /// When it goes in a failover of its whole site, 1 first, 5 last; 3 when left out. From API version 1.1.
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 5)]
    pub priority: Option<Priority>,
    /// What a planned move does about a copy that is not as its original was; `told` when left out. From API version 1.3.
    #[schema(value_type = Option<FidelityWord>)]
    pub fidelity: Option<Fidelity>,
}

/// What a planned move does about a copy that is not as its original was, in what neither a mapping nor the recovery plan
/// names.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FidelityWord {
    /// It says so in its record.
    Told,
    /// It fails, and is taken back.
    Strict,
}

/// How the arrays replicate a group.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationWord {
    /// Periodic recovery points.
    Async,
    /// Every write on both arrays.
    Sync,
}

/// Body of `PUT /v1/{project_id}/protection-groups/{group}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateGroup {
    /// What to change.
    pub protection_group: GroupChanges,
}

/// Changes of a group. A field left out stays as it is; `null` clears the description.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupChanges {
    /// A new name, unique in the project.
    pub name: Option<String>,
    /// What people should know about it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Replaces the network mapping.
    pub network_mapping: Option<BTreeMap<String, String>>,
    /// Replaces the flavor mapping.
    pub flavor_mapping: Option<BTreeMap<String, String>>,
    /// Replaces the server group mapping.
    pub server_group_mapping: Option<BTreeMap<String, String>>,
    /// Replaces the volume type mapping.
    pub volume_type_mapping: Option<BTreeMap<String, String>>,
    /// Replaces the QoS policy mapping.
    pub qos_policy_mapping: Option<BTreeMap<String, String>>,
    /// When it goes in a failover of its whole site, 1 first, 5 last. From API version 1.1.
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 5)]
    pub priority: Option<Priority>,
    /// What a planned move does about a copy that is not as its original was. From API version 1.3.
    #[schema(value_type = Option<FidelityWord>)]
    pub fidelity: Option<Fidelity>,
}

/// Query of the list of groups.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GroupQuery {
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last group of the page before.
    pub marker: Option<String>,
    /// Only the group of this name.
    pub name: Option<String>,
    /// Only groups in this status.
    pub status: Option<String>,
    /// `name` (default), `status`, `created_at`, `updated_at`, or `priority` from API version 1.1.
    #[serde(default)]
    pub sort_key: GroupSortKey,
    /// `asc` (default) or `desc`.
    pub sort_dir: Option<SortDir>,
}

/// What groups are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupSortKey {
    /// Their names.
    #[default]
    Name,
    /// Their status words.
    Status,
    /// When they were made.
    CreatedAt,
    /// When they were last changed.
    UpdatedAt,
    /// Their priorities.
    Priority,
}

/// Answer with one group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupAnswer {
    /// The group.
    pub protection_group: GroupView,
}

/// Answer with a page of groups.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupsAnswer {
    /// The groups.
    pub protection_groups: Vec<GroupView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protection_groups_links: Option<Vec<Link>>,
}

/// A protection group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GroupView {
    /// Its id, the same on both sites.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What people should know about it.
    pub description: Option<String>,
    /// The tenant's project on the site that answers.
    pub project_id: String,
    /// The name of the site on which it was made.
    pub primary_site: String,
    /// That site's id.
    pub primary_site_id: Option<String>,
    /// The name of the other site.
    pub secondary_site: String,
    /// That site's id.
    pub secondary_site_id: Option<String>,
    /// The name of the site on which it runs now.
    pub current_primary_site: String,
    /// That site's id.
    pub current_primary_site_id: Option<String>,
    /// `active`, `active_partial`, `failing_over`, `failed_over`, `failed_over_partial`, `failing_back`, `split_brain` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// `async` or `sync`.
    #[schema(value_type = ReplicationWord)]
    pub replication_type: &'static str,
    /// The volume type on the primary site.
    pub volume_type_id: String,
    /// The volume type on the secondary site.
    pub secondary_volume_type_id: Option<String>,
    /// Network on the primary → network on the secondary.
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary → flavor on the secondary.
    pub flavor_mapping: BTreeMap<String, String>,
    /// Server group on the primary → server group on the secondary.
    pub server_group_mapping: BTreeMap<String, String>,
    /// Volume type on the primary → volume type on the secondary, beside the group's own pair of types.
    pub volume_type_mapping: BTreeMap<String, String>,
    /// QoS policy on the primary → QoS policy on the secondary.
    pub qos_policy_mapping: BTreeMap<String, String>,
    /// When it goes in a failover of its whole site, 1 first, 5 last. From API version 1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u8>, minimum = 1, maximum = 5)]
    pub priority: Option<Priority>,
    /// `told` or `strict`: what a planned move does about a copy that is not as its original was. From API version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<FidelityWord>)]
    pub fidelity: Option<&'static str>,
    /// How many members it has.
    pub member_count: u64,
    /// Grows with each change of the group.
    pub version: u64,
    /// `IN SYNC`, `OUT OF SYNC` or `UNREACHABLE`, as the last push found it.
    #[schema(value_type = String)]
    pub sync_status: &'static str,
    /// When its volumes were last replicated as a whole.
    pub last_replication_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What is shown of a group beside itself.
#[derive(Clone, Debug)]
pub struct GroupSurroundings {
    /// The tenant's project on the site that answers.
    pub project_id: String,
    /// Ids of sites by name, as registered here.
    pub site_ids: BTreeMap<String, String>,
    /// How many members the group has.
    pub member_count: u64,
    /// How the last push of its metadata went.
    pub sync_status: &'static str,
    /// The API version that is spoken.
    pub spoken: Microversion,
}

impl GroupView {
    /// Shows `group` amid `around`.
    pub fn of(group: &Group, around: &GroupSurroundings) -> Self {
        let id_of = |name: &str| around.site_ids.get(name).cloned();
        Self {
            id: group.id.to_string(),
            name: group.name.clone(),
            description: group.description.clone(),
            project_id: around.project_id.clone(),
            primary_site: group.primary.site.to_string(),
            primary_site_id: id_of(group.primary.site.as_str()),
            secondary_site: group.secondary.site.to_string(),
            secondary_site_id: id_of(group.secondary.site.as_str()),
            current_primary_site: group.current_primary_site.to_string(),
            current_primary_site_id: id_of(group.current_primary_site.as_str()),
            status: group.status.as_str(),
            replication_type: group.replication_type.as_str(),
            volume_type_id: group.volume_type_id.clone(),
            secondary_volume_type_id: group.secondary_volume_type_id.clone(),
            network_mapping: group.mappings.networks.clone(),
            flavor_mapping: group.mappings.flavors.clone(),
            server_group_mapping: group.mappings.server_groups.clone(),
            volume_type_mapping: group.mappings.volume_types.clone(),
            qos_policy_mapping: group.mappings.qos_policies.clone(),
            priority: (around.spoken >= Microversion::WITH_PRIORITY).then_some(group.priority),
            fidelity: (around.spoken >= Microversion::WITH_FIDELITY)
                .then_some(group.fidelity.as_str()),
            member_count: around.member_count,
            version: group.version,
            sync_status: around.sync_status,
            last_replication_at: group.last_replication_at.map(Timestamp),
            created_at: group.created_at.into(),
            updated_at: group.updated_at.into(),
        }
    }
}

/// Body of `PUT …/resource-mappings`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMappings {
    /// The mappings that replace the stored ones; a field left out stays.
    pub resource_mappings: MappingChanges,
}

/// Mappings that replace the stored ones.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingChanges {
    /// Network on the primary → network on the secondary.
    pub network_mapping: Option<BTreeMap<String, String>>,
    /// Flavor on the primary → flavor on the secondary.
    pub flavor_mapping: Option<BTreeMap<String, String>>,
    /// Server group on the primary → server group on the secondary.
    pub server_group_mapping: Option<BTreeMap<String, String>>,
    /// Volume type on the primary → volume type on the secondary.
    pub volume_type_mapping: Option<BTreeMap<String, String>>,
    /// QoS policy on the primary → QoS policy on the secondary.
    pub qos_policy_mapping: Option<BTreeMap<String, String>>,
}

/// Answer with a group's mappings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MappingsAnswer {
    /// The mappings.
    pub resource_mappings: MappingsView,
}

/// A group's mappings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MappingsView {
    /// Network on the primary → network on the secondary.
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary → flavor on the secondary.
    pub flavor_mapping: BTreeMap<String, String>,
    /// Server group on the primary → server group on the secondary.
    pub server_group_mapping: BTreeMap<String, String>,
    /// Volume type on the primary → volume type on the secondary, beside the group's own pair of types.
    pub volume_type_mapping: BTreeMap<String, String>,
    /// QoS policy on the primary → QoS policy on the secondary.
    pub qos_policy_mapping: BTreeMap<String, String>,
}

impl From<&ResourceMappings> for MappingsView {
    fn from(mappings: &ResourceMappings) -> Self {
        Self {
            network_mapping: mappings.networks.clone(),
            flavor_mapping: mappings.flavors.clone(),
            server_group_mapping: mappings.server_groups.clone(),
            volume_type_mapping: mappings.volume_types.clone(),
            qos_policy_mapping: mappings.qos_policies.clone(),
        }
    }
}
