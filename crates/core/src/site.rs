//! A site: one OpenStack cloud, as an administrator registered it with protector.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{ProjectId, SiteId, SiteName, TenantMappingId};

/// Whether a site may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteStatus {
    /// Registered and, when last tried, reachable.
    Active,
    /// Its Keystone did not answer when last tried.
    Unreachable,
    /// An administrator has taken it out of use.
    Disabled,
    /// An administrator has said that it is gone for good.
    Retired,
}

/// A registered cloud. Its password is kept apart, encrypted, and is never part of this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub id: SiteId,
    /// The site's name; the same on both protectors.
    pub name: SiteName,
    /// What an administrator wants people to know about it.
    pub description: Option<String>,
    /// Keystone, with or without `/v3`.
    pub auth_url: String,
    /// The region whose endpoints are used; `None` where the catalogue has only one.
    pub region_name: Option<String>,
    /// `public`, `internal` or `admin` endpoints.
    pub interface: String,
    pub username: String,
    /// The service user's domain name.
    pub user_domain_name: String,
    /// The project in which the service user is admin.
    pub project_name: String,
    /// That project's domain name.
    pub project_domain_name: String,
    /// Path of a CA bundle on the protector host, where the system's is not enough.
    pub cacert: Option<String>,
    /// Whether it may be used.
    pub status: SiteStatus,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A project on a site: the scope in which an operation acts there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SiteScope {
    pub site: SiteName,
    /// The tenant's project there.
    pub project_id: ProjectId,
}

/// The link between one tenant's projects on two sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantMapping {
    pub id: TenantMappingId,
    pub primary: SiteScope,
    pub secondary: SiteScope,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl TenantMapping {
    /// The tenant's project on `site`, if the mapping covers that site.
    pub fn project_on(&self, site: &SiteName) -> Option<&ProjectId> {
        [&self.primary, &self.secondary]
            .into_iter()
            .find(|scope| &scope.site == site)
            .map(|scope| &scope.project_id)
    }
}
