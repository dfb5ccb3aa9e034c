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
    /// The array of the group's primary site: its management URL, or `mock://array-a`.
    pub primary_fa_url: String,
    /// The array of its secondary site.
    pub secondary_fa_url: String,
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
    /// The array of the group's primary site.
    pub primary_fa_url: Option<String>,
    /// The array of its secondary site.
    pub secondary_fa_url: Option<String>,
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
    /// The array of the group's primary site.
    pub primary_fa_url: String,
    /// The array of its secondary site.
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
}
