//! Sites on the wire.

use std::collections::BTreeMap;

use protector_core::{
    id::SiteName,
    site::{Site, SiteStatus},
};
use protector_store::{PinnedKey, PublicKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    page::{Link, SortDir},
    text::{Timestamp, WriteOnly, given},
};

/// Body of `POST /v1/admin/sites`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSite {
    /// The site to register.
    pub site: NewSite,
}

/// A site to register.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSite {
    /// The id to use, so that both protectors know the site by the same one. Made here when left out.
    pub id: Option<Uuid>,
    /// Unique; the same on both protectors.
    #[schema(example = "site-a")]
    pub name: String,
    /// What people should know about it.
    pub description: Option<String>,
    /// Keystone's URL, with or without `/v3`.
    #[schema(example = "https://keystone.example.org:5000/v3")]
    pub auth_url: String,
    /// The region whose endpoints are used, where the catalogue has several.
    pub region_name: Option<String>,
    /// `public` (default), `internal` or `admin`.
    #[serde(default)]
    pub interface: Interface,
    /// The service user.
    pub username: String,
    /// Its password; kept encrypted, never shown.
    pub password: WriteOnly,
    /// The service user's domain.
    #[serde(default = "default_domain")]
    pub user_domain_name: String,
    /// The project in which the service user is admin.
    #[serde(default = "service_project")]
    pub project_name: String,
    /// That project's domain.
    #[serde(default = "default_domain")]
    pub project_domain_name: String,
    /// Path of a CA bundle on the protector host.
    pub cacert: Option<String>,
}

fn default_domain() -> String {
    "Default".to_owned()
}

fn service_project() -> String {
    "service".to_owned()
}

/// Which of a service's endpoints are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// Inside the data centre.
    Internal,
    /// For administrators.
    Admin,
}

impl Interface {
    /// The word in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

/// Body of `PUT /v1/admin/sites/{site}`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSite {
    /// What to change.
    pub site: SiteChanges,
}

/// Changes of a site. A field left out stays as it is; `null` clears an optional one. The name is part of the metadata
/// of both protectors and cannot change.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteChanges {
    /// What people should know about it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Keystone's URL.
    pub auth_url: Option<String>,
    /// The region.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub region_name: Option<Option<String>>,
    /// The endpoints' interface.
    pub interface: Option<Interface>,
    /// The service user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<WriteOnly>,
    /// The service user's domain.
    pub user_domain_name: Option<String>,
    /// The project in which it is admin.
    pub project_name: Option<String>,
    /// That project's domain.
    pub project_domain_name: Option<String>,
    /// Path of a CA bundle on the protector host.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub cacert: Option<Option<String>>,
    /// The fingerprint of the key with which the protector of this other site signs from now on, after it has been changed:
    /// pinned if its protector tells that key. `null` forgets the pinned one, and the next that is told is pinned. In a
    /// request of its own.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub peer_key: Option<Option<String>>,
}

impl SiteChanges {
    /// Whether anything but the pinned key is to change.
    pub fn change_the_registration(&self) -> bool {
        let Self {
            description,
            auth_url,
            region_name,
            interface,
            username,
            password,
            user_domain_name,
            project_name,
            project_domain_name,
            cacert,
            peer_key: _,
        } = self;
        let texts = [
            auth_url,
            username,
            user_domain_name,
            project_name,
            project_domain_name,
        ];
        texts.iter().any(|text| text.is_some())
            || [description, region_name, cacert]
                .iter()
                .any(|text| text.is_some())
            || interface.is_some()
            || password.is_some()
    }
}

/// Answer with one site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteAnswer {
    /// The site.
    pub site: SiteView,
}

/// Query of the list of sites.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SiteQuery {
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last site of the page before.
    pub marker: Option<String>,
    /// Only the site of this name.
    pub name: Option<String>,
    /// Only sites in this status: `active`, `unreachable` or `disabled`.
    pub status: Option<String>,
    /// `name` (default) or `status`.
    #[serde(default)]
    pub sort_key: SiteSortKey,
    /// `asc` (default) or `desc`.
    pub sort_dir: Option<SortDir>,
}

/// What sites are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SiteSortKey {
    /// Their names.
    #[default]
    Name,
    /// Their status words.
    Status,
}

/// Answer with a page of sites.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SitesAnswer {
    /// The sites.
    pub sites: Vec<SiteView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sites_links: Option<Vec<Link>>,
}

/// A site as everybody may see it; with the fields of its registration for administrators. The password is never shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What people should know about it.
    pub description: Option<String>,
    /// `active`, `unreachable` or `disabled`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Whether it is the site of the protector that answers.
    pub local: bool,
    /// How the service reaches it; for administrators only.
    #[serde(flatten)]
    pub registration: Option<SiteRegistration>,
}

/// How the service reaches a site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteRegistration {
    /// Keystone's URL.
    pub auth_url: String,
    /// The region.
    pub region_name: Option<String>,
    /// The endpoints' interface.
    pub interface: String,
    /// The service user.
    pub username: String,
    /// Its domain.
    pub user_domain_name: String,
    /// The project in which it is admin.
    pub project_name: String,
    /// That project's domain.
    pub project_domain_name: String,
    /// Path of a CA bundle on the protector host.
    pub cacert: Option<String>,
    /// The fingerprint of the key with which its protector signs: of the local site its own, of another the one that is
    /// pinned here. Null: not known yet, and nothing of that site's protector needs a signature.
    pub key_fingerprint: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// How much of a site a caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteDetail {
    /// Name and state.
    Outline,
    /// How the service reaches it, too.
    Registration,
}

/// The keys with which the sites' protectors sign.
#[derive(Clone, Debug, Default)]
pub struct SiteKeys {
    /// This site's own, once it was made.
    pub own: Option<PublicKey>,
    /// Those that are pinned for other sites.
    pub pinned: BTreeMap<SiteName, PinnedKey>,
}

impl SiteKeys {
    fn fingerprint(&self, site: &SiteName, local: bool) -> Option<String> {
        let pinned = || self.pinned.get(site).map(|pinned| pinned.key);
        let key = if local { self.own } else { pinned() };
        key.map(|key| key.fingerprint())
    }
}

impl SiteView {
    /// Shows `site` to a caller who may see `detail` of it.
    pub fn of(site: &Site, local: bool, detail: SiteDetail, keys: &SiteKeys) -> Self {
        Self {
            id: site.id.to_string(),
            name: site.name.to_string(),
            description: site.description.clone(),
            status: status_word(site.status),
            local,
            registration: (detail == SiteDetail::Registration)
                .then(|| registration(site, keys.fingerprint(&site.name, local))),
        }
    }
}

/// The word for a site's status.
pub fn status_word(status: SiteStatus) -> &'static str {
    match status {
        SiteStatus::Active => "active",
        SiteStatus::Unreachable => "unreachable",
        SiteStatus::Disabled => "disabled",
        SiteStatus::Retired => "retired",
    }
}

fn registration(site: &Site, key_fingerprint: Option<String>) -> SiteRegistration {
    SiteRegistration {
        auth_url: site.auth_url.clone(),
        region_name: site.region_name.clone(),
        interface: site.interface.clone(),
        username: site.username.clone(),
        user_domain_name: site.user_domain_name.clone(),
        project_name: site.project_name.clone(),
        project_domain_name: site.project_domain_name.clone(),
        cacert: site.cacert.clone(),
        key_fingerprint,
        created_at: site.created_at.into(),
        updated_at: site.updated_at.into(),
    }
}

/// Answer of `POST /v1/admin/sites/{site}/validate`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ValidationAnswer {
    /// What was found.
    pub validation: Validation,
}

/// What a validation of a site found.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Validation {
    /// The site's name.
    pub site: String,
    /// Whether all checks are passed.
    pub valid: bool,
    /// The checks, in the order in which they were made. One that fails stops those that need it.
    pub checks: Vec<Check>,
}

/// One check of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// `keystone`, `role`, `compute`, `volume`, `network`, `image`, `volume_types`, `manage`, `protector`, `arrays`.
    #[schema(value_type = String)]
    pub name: &'static str,
    /// Whether it is passed.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do where it is not passed.
    pub fix: Option<String>,
}

/// Query of the list of a site's volume types.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VolumeTypeQuery {
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last volume type of the page before.
    pub marker: Option<String>,
    /// Only the volume type of this name.
    pub name: Option<String>,
    /// Only those that protection groups can use, or only the others.
    pub eligible: Option<bool>,
    /// By name: `asc` (default) or `desc`.
    pub sort_dir: Option<SortDir>,
}

/// Answer of `GET /v1/admin/sites/{site}/volume-types`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VolumeTypesAnswer {
    /// The site's volume types.
    pub volume_types: Vec<VolumeTypeView>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_types_links: Option<Vec<Link>>,
}

/// A volume type, and whether protection groups can use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VolumeTypeView {
    /// Its id on its cloud.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether its volumes are replicated.
    pub replication_enabled: bool,
    /// `async`, `sync` or null.
    #[schema(value_type = Option<String>)]
    pub replication_type: Option<&'static str>,
    /// Whether protection groups can use it.
    pub eligible: bool,
    /// Why not.
    pub reason: Option<String>,
}
