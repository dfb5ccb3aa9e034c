//! Replication policies on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::{Timestamp, WriteOnly, given};

/// What is shown in place of a secret that is there.
pub const MASK: &str = "***";

/// Body of `POST …/policy`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePolicy {
    /// The policy to attach.
    pub policy: NewPolicy,
}

/// A replication policy to attach to a group.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// The array of the group's primary site, as `[storage] enabled_arrays` names it: `ceph-a`, or `mock://array-a` for a
    /// simulated one. `primary_fa_url` is the same field.
    #[serde(alias = "primary_fa_url")]
    pub primary_array: String,
    /// The array of its secondary site. `secondary_fa_url` is the same field.
    #[serde(alias = "secondary_fa_url")]
    pub secondary_array: String,
    /// API token of the primary's array; kept encrypted, never shown.
    pub primary_fa_api_token: Option<WriteOnly>,
    /// API token of the secondary's array; kept encrypted, never shown.
    pub secondary_fa_api_token: Option<WriteOnly>,
    /// Recovery point objective in minutes, at least 1, at most a year.
    #[schema(minimum = 1, maximum = 525_600)]
    pub rpo_minutes: u32,
}

/// Body of `PUT …/policy`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePolicy {
    /// What to change.
    pub policy: PolicyChanges,
}

/// Changes of a policy. A field left out stays as it is; `null` clears a token.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChanges {
    /// The array of the group's primary site. `primary_fa_url` is the same field.
    #[serde(alias = "primary_fa_url")]
    pub primary_array: Option<String>,
    /// The array of its secondary site. `secondary_fa_url` is the same field.
    #[serde(alias = "secondary_fa_url")]
    pub secondary_array: Option<String>,
    /// API token of the primary's array.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<WriteOnly>)]
    pub primary_fa_api_token: Option<Option<WriteOnly>>,
    /// API token of the secondary's array.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<WriteOnly>)]
    pub secondary_fa_api_token: Option<Option<WriteOnly>>,
    /// Recovery point objective in minutes, at least 1, at most a year.
    #[schema(minimum = 1, maximum = 525_600)]
    pub rpo_minutes: Option<u32>,
}

/// Answer with a group's policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyAnswer {
    /// The policy.
    pub policy: PolicyView,
}

/// A group's replication policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyView {
    /// The array of the group's primary site. Version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_array: Option<String>,
    /// The array of its secondary site. Version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_array: Option<String>,
    /// The same as `primary_array`, as it is named up to version 1.2.
    pub primary_fa_url: String,
    /// The same as `secondary_array`.
    pub secondary_fa_url: String,
    /// `***`, or null where there is none.
    #[schema(value_type = Option<String>)]
    pub primary_fa_api_token: Option<&'static str>,
    /// `***`, or null where there is none.
    #[schema(value_type = Option<String>)]
    pub secondary_fa_api_token: Option<&'static str>,
    /// Recovery point objective in minutes.
    pub rpo_minutes: u32,
    /// When it was attached.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What replication can do in the direction in which the group would be moved next; not there where that array is not
    /// among those of this site. Version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<CapabilitiesView>,
}

/// What replication between two arrays can do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CapabilitiesView {
    /// The array's driver.
    pub driver: String,
    /// What becomes of a replica that is promoted. `copy`: it stays, and a copy of it becomes the volume. `in_place`: it becomes
    /// the volume, and what has been the volume becomes its replica.
    #[schema(value_type = String)]
    pub promotion: &'static str,
    /// Of what several volumes are one moment: `group`, `group_when_quiet` (while nothing is written), `volume`.
    #[schema(value_type = String)]
    pub consistency: &'static str,
    /// Which moments the group can be brought to: `several`, `latest_only`.
    #[schema(value_type = String)]
    pub recovery_points: &'static str,
    /// What is sent on the way back: `delta`, `full`, `unknown`.
    #[schema(value_type = String)]
    pub way_back: &'static str,
    /// Whether the array keeps the source from being written to after a planned move.
    pub fences_source: bool,
    /// Whether a recovery point can be tried while replication goes on.
    pub test_clone: bool,
    /// Whether a volume that is deleted on one side takes its replica along.
    pub linked_deletion: bool,
    /// Whether a name that a volume is given on one side comes to the other.
    pub names_follow: bool,
    /// What else to know, a sentence each.
    pub notes: Vec<String>,
}
