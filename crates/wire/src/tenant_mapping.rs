//! Tenant mappings on the wire.

use protector_core::site::TenantMapping;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    page::{Link, SortDir},
    text::Timestamp,
};

/// Body of `POST /v1/admin/tenant-mappings`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTenantMapping {
    /// The mapping to make.
    pub tenant_mapping: NewTenantMapping,
}

/// A tenant's projects on two sites.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenantMapping {
    /// The id to use, so that both protectors know the mapping by the same one. Made here when left out.
    pub id: Option<Uuid>,
    /// One site, by name or id.
    pub primary_site: String,
    /// The tenant's project there.
    pub primary_project_id: String,
    /// The other site, by name or id.
    pub secondary_site: String,
    /// The tenant's project there.
    pub secondary_project_id: String,
}

/// Query of the removal of a mapping.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RevokeQuery {
    /// Take the role `member` from the service user on both projects.
    #[serde(default)]
    pub revoke: bool,
}

/// Answer with one mapping.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TenantMappingAnswer {
    /// The mapping.
    pub tenant_mapping: TenantMappingView,
}

/// Query of the list of mappings.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TenantMappingQuery {
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last mapping of the page before.
    pub marker: Option<String>,
    /// Only mappings of this project, on either site.
    pub project_id: Option<String>,
    /// By the time of their creation: `asc` (default, oldest first) or `desc`.
    pub sort_dir: Option<SortDir>,
}

/// Answer with a page of mappings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TenantMappingsAnswer {
    /// The mappings.
    pub tenant_mappings: Vec<TenantMappingView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_mappings_links: Option<Vec<Link>>,
}

/// A tenant mapping.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TenantMappingView {
    /// Its id.
    pub id: String,
    /// One site's name.
    pub primary_site: String,
    /// The tenant's project there.
    pub primary_project_id: String,
    /// The other site's name.
    pub secondary_site: String,
    /// The tenant's project there.
    pub secondary_project_id: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl From<&TenantMapping> for TenantMappingView {
    fn from(mapping: &TenantMapping) -> Self {
        Self {
            id: mapping.id.to_string(),
            primary_site: mapping.primary.site.to_string(),
            primary_project_id: mapping.primary.project_id.to_string(),
            secondary_site: mapping.secondary.site.to_string(),
            secondary_project_id: mapping.secondary.project_id.to_string(),
            created_at: mapping.created_at.into(),
        }
    }
}
