//! Registering sites.

use protector_core::site::{Site, SiteStatus};
use protector_wire::site::{NewSite, SiteChanges};
use secrecy::SecretString;

use super::{App, names, peer_key::PeerKeyChange};
use crate::{
    app::settings::SiteUrls,
    http::error::{ApiError, ApiResult},
};

/// Checks all fields of a site to register.
pub fn check_new(site: &NewSite, urls: SiteUrls) -> ApiResult<()> {
    names::name("site.name", &site.name)?;
    names::description("site.description", site.description.as_deref())?;
    auth_url(&site.auth_url, urls)?;
    names::present("site.username", &site.username)?;
    names::present("site.user_domain_name", &site.user_domain_name)?;
    names::present("site.project_name", &site.project_name)?;
    names::present("site.project_domain_name", &site.project_domain_name)?;
    names::secret("site.password", &site.password.0)?;
    optional("site.region_name", site.region_name.as_deref())?;
    ca_path("site.cacert", site.cacert.as_deref())
}

/// Checks the fields that are to change.
pub fn check_changes(changes: &SiteChanges, urls: SiteUrls) -> ApiResult<()> {
    if let Some(description) = &changes.description {
        names::description("site.description", description.as_deref())?;
    }
    if let Some(url) = &changes.auth_url {
        auth_url(url, urls)?;
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

/// What is to become of the pinned key, if anything. Only that can be done in one request: it is asked of the site as it is
/// registered.
pub fn peer_key_change(changes: &SiteChanges) -> ApiResult<Option<PeerKeyChange>> {
    let Some(wanted) = &changes.peer_key else {
        return Ok(None);
    };
    if changes.change_the_registration() {
        return Err(ApiError::bad_request(
            "site.peer_key: must be the only field of its request; change the others first, in one of their own.",
        ));
    }
    match wanted {
        None => Ok(Some(PeerKeyChange::Forget)),
        Some(text) if is_fingerprint(text) => Ok(Some(PeerKeyChange::Pin(text.clone()))),
        Some(_) => Err(ApiError::bad_request(
            "site.peer_key: must be a fingerprint, 'SHA256:' and 43 characters, as 'protector-manage signing-key show' prints it on that site.",
        )),
    }
}

fn is_fingerprint(text: &str) -> bool {
    let digest = text.strip_prefix("SHA256:").unwrap_or_default();
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digest.len() == 43 && digest.bytes().all(is_base64)
}

fn auth_url(url: &str, urls: SiteUrls) -> ApiResult<()> {
    names::http_url("site.auth_url", url)?;
    let in_clear = !url
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    if in_clear && urls == SiteUrls::Https {
        return Err(ApiError::bad_request(
            "site.auth_url: must begin with https://: the service user's password would go over the network in the clear; give an https:// URL, or let the operator of this protector set [openstack] allow_http_sites = true for a laboratory.",
        ));
    }
    Ok(())
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

/// The fields in which `after` differs from `before`, as they are called on the wire.
pub fn differences(before: &Site, after: &Site) -> Vec<&'static str> {
    [
        ("description", before.description != after.description),
        ("auth_url", before.auth_url != after.auth_url),
        ("region_name", before.region_name != after.region_name),
        ("interface", before.interface != after.interface),
        ("username", before.username != after.username),
        (
            "user_domain_name",
            before.user_domain_name != after.user_domain_name,
        ),
        ("project_name", before.project_name != after.project_name),
        (
            "project_domain_name",
            before.project_domain_name != after.project_domain_name,
        ),
        ("cacert", before.cacert != after.cacert),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// The fields that say to whom the password goes and for whom it speaks.
const WHERE_THE_PASSWORD_GOES: [&str; 6] = [
    "auth_url",
    "username",
    "user_domain_name",
    "project_name",
    "project_domain_name",
    "cacert",
];

/// Refuses to send the stored password to where nobody has entered it for: whoever may change a site must not learn its
/// password by naming a Keystone of their own. `changed` are the fields that change.
pub fn check_password_is_given_anew(
    changed: &[&'static str],
    password: Option<&SecretString>,
) -> ApiResult<()> {
    let led: Vec<String> = changed
        .iter()
        .filter(|field| WHERE_THE_PASSWORD_GOES.contains(field))
        .map(|field| format!("site.{field}"))
        .collect();
    if led.is_empty() || password.is_some() {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "site.password: is needed in the same request where {} changes, because the stored password would otherwise be sent to where nobody has entered it for; give it anew, with 'openstack dr site set --password -'.",
        led.join(", ")
    )))
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
