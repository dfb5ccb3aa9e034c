//! Registering sites.

use protector_core::site::{Site, SiteStatus};
use secrecy::SecretString;

use super::{App, names};
use crate::{
    error::ApiResult,
    wire::site::{NewSite, SiteChanges},
};

/// Checks all fields of a site to register.
pub fn check_new(site: &NewSite) -> ApiResult<()> {
    names::name("site.name", &site.name)?;
    names::description("site.description", site.description.as_deref())?;
    names::http_url("site.auth_url", &site.auth_url)?;
    names::present("site.username", &site.username)?;
    names::present("site.user_domain_name", &site.user_domain_name)?;
    names::present("site.project_name", &site.project_name)?;
    names::present("site.project_domain_name", &site.project_domain_name)?;
    names::secret("site.password", &site.password.0)?;
    optional("site.region_name", site.region_name.as_deref())?;
    ca_path("site.cacert", site.cacert.as_deref())
}

/// Checks the fields that are to change.
pub fn check_changes(changes: &SiteChanges) -> ApiResult<()> {
    if let Some(description) = &changes.description {
        names::description("site.description", description.as_deref())?;
    }
    if let Some(url) = &changes.auth_url {
        names::http_url("site.auth_url", url)?;
    }
    optional("site.username", changes.username.as_deref())?;
    optional("site.user_domain_name", changes.user_domain_name.as_deref())?;
    optional("site.project_name", changes.project_name.as_deref())?;
    optional(
        "site.project_domain_name",
        changes.project_domain_name.as_deref(),
    )?;
    if let Some(password) = &changes.password {
        names::secret("site.password", &password.0)?;
    }
    if let Some(region) = &changes.region_name {
        optional("site.region_name", region.as_deref())?;
    }
    match &changes.cacert {
        Some(path) => ca_path("site.cacert", path.as_deref()),
        None => Ok(()),
    }
}

fn optional(field: &str, text: Option<&str>) -> ApiResult<()> {
    text.map_or(Ok(()), |text| names::present(field, text))
}

fn ca_path(field: &str, path: Option<&str>) -> ApiResult<()> {
    path.map_or(Ok(()), |path| names::absolute_path(field, path))
}

/// The site that `changes` make of `site`.
pub fn changed(site: &Site, changes: SiteChanges, now: chrono::DateTime<chrono::Utc>) -> Site {
    let mut new = site.clone();
    let set = |slot: &mut String, given: Option<String>| {
        if let Some(given) = given {
            *slot = given;
        }
    };
    set(&mut new.auth_url, changes.auth_url);
    set(&mut new.username, changes.username);
    set(&mut new.user_domain_name, changes.user_domain_name);
    set(&mut new.project_name, changes.project_name);
    set(&mut new.project_domain_name, changes.project_domain_name);
    if let Some(interface) = changes.interface {
        new.interface = interface.as_str().to_owned();
    }
    if let Some(description) = changes.description {
        new.description = description;
    }
    if let Some(region) = changes.region_name {
        new.region_name = region;
    }
    if let Some(cacert) = changes.cacert {
        new.cacert = cacert;
    }
    new.updated_at = now;
    new
}

/// A site to register, as the domain has it.
pub fn registered(app: &App, new: NewSite) -> (Site, SecretString) {
    let now = app.clock.now();
    let id = new.id.unwrap_or_else(|| app.ids.uuid());
    let site = Site {
        id: id.to_string().into(),
        name: new.name.into(),
        description: new.description,
        auth_url: new.auth_url,
        region_name: new.region_name,
        interface: new.interface.as_str().to_owned(),
        username: new.username,
        user_domain_name: new.user_domain_name,
        project_name: new.project_name,
        project_domain_name: new.project_domain_name,
        cacert: new.cacert,
        status: SiteStatus::Active,
        created_at: now,
        updated_at: now,
    };
    (site, new.password.0)
}
