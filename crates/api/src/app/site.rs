//! Registering sites and seeing whether they can be used.

use protector_core::{
    group::ReplicationType,
    site::{Site, SiteStatus},
};
use secrecy::SecretString;

use super::{
    App, names,
    volume_type::{Eligibility, eligibility},
};
use crate::{
    clouds::{CloudError, FoundVolumeType, ServiceFinding, SiteInspection},
    error::ApiResult,
    wire::site::{Check, NewSite, SiteChanges, Validation},
};

/// The oldest Nova that has what the engine asks for: 2.85 turns `delete_on_termination` off, 2.74 pins hosts.
const NOVA_NEEDED: (u32, u32) = (2, 85);

/// The oldest Cinder that has what the engine asks for: 3.27 has attachments, 3.13 generic groups.
const CINDER_NEEDED: (u32, u32) = (3, 27);

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

/// Looks at a site and judges what was found.
pub async fn validate(app: &App, site: &Site, password: &SecretString) -> Validation {
    let mut checks = match app.clouds.inspect(site, password).await {
        Ok(inspection) => judge(&inspection),
        Err(error) => vec![no_keystone(site, &error)],
    };
    if checks.iter().all(|check| check.ok) {
        checks.push(judge_types(app.clouds.volume_types(&site.name).await));
    }
    Validation {
        site: site.name.to_string(),
        valid: checks.iter().all(|check| check.ok),
        checks,
    }
}

fn no_keystone(site: &Site, error: &CloudError) -> Check {
    Check {
        name: "keystone",
        ok: false,
        detail: format!(
            "{error}; check auth_url ({}), user {} and its password, and the network between",
            site.auth_url, site.username
        ),
    }
}

/// The checks of what a site showed.
pub fn judge(found: &SiteInspection) -> Vec<Check> {
    let pass = |name, detail: String| Check {
        name,
        ok: true,
        detail,
    };
    vec![
        pass("keystone", "the service user got a token".to_owned()),
        judge_role(&found.roles),
        judge_service("compute", &found.compute, Some(NOVA_NEEDED)),
        judge_service("volume", &found.volume, Some(CINDER_NEEDED)),
        judge_service("network", &found.network, None),
        judge_service("image", &found.image, None),
    ]
}

fn judge_role(roles: &[String]) -> Check {
    let ok = roles.iter().any(|role| role.eq_ignore_ascii_case("admin"));
    let held = roles.join(", ");
    Check {
        name: "role",
        ok,
        detail: if ok {
            format!("the service user's roles: {held}")
        } else {
            format!("the service user needs the role admin in its project, it has: {held}")
        },
    }
}

fn judge_service(
    name: &'static str,
    finding: &ServiceFinding,
    needed: Option<(u32, u32)>,
) -> Check {
    let (ok, detail) = match (finding, needed) {
        (ServiceFinding::NotInCatalog, _) => (
            false,
            format!("the catalogue has no {name} endpoint for the site's region and interface"),
        ),
        (ServiceFinding::Silent { why }, _) => (false, format!("does not answer: {why}")),
        (
            ServiceFinding::Answers {
                newest: Some(newest),
                url,
            },
            Some(needed),
        ) => (
            newest >= &needed,
            format!(
                "{url} speaks {}.{}, {}.{} is needed",
                newest.0, newest.1, needed.0, needed.1
            ),
        ),
        (ServiceFinding::Answers { newest: None, url }, Some(needed)) => (
            false,
            format!(
                "{url} does not say which version it speaks, {}.{} is needed",
                needed.0, needed.1
            ),
        ),
        (ServiceFinding::Answers { url, .. }, None) => (true, format!("{url} answers")),
    };
    Check { name, ok, detail }
}

fn judge_types(types: Result<Vec<FoundVolumeType>, CloudError>) -> Check {
    let name = "volume_types";
    let types = match types {
        Ok(types) => types,
        Err(error) => {
            return Check {
                name,
                ok: false,
                detail: error.to_string(),
            };
        }
    };
    let eligible: Vec<String> = types
        .iter()
        .filter_map(|found| match eligibility(found) {
            Eligibility::Replicated(how) => Some(format!("{} ({})", found.name, word(how))),
            Eligibility::Ineligible(_) => None,
        })
        .collect();
    let ok = !eligible.is_empty();
    Check {
        name,
        ok,
        detail: if ok {
            format!("eligible: {}", eligible.join(", "))
        } else {
            format!(
                "none of {} volume types has replication_enabled='<is> True' and replication_type='<in> async' or '<in> sync'",
                types.len()
            )
        },
    }
}

fn word(how: ReplicationType) -> &'static str {
    how.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(newest: Option<(u32, u32)>) -> ServiceFinding {
        ServiceFinding::Answers {
            newest,
            url: "http://x".to_owned(),
        }
    }

    fn good() -> SiteInspection {
        SiteInspection {
            roles: vec!["admin".to_owned()],
            compute: answers(Some((2, 96))),
            volume: answers(Some((3, 71))),
            network: answers(None),
            image: answers(None),
        }
    }

    fn failed(found: &SiteInspection) -> Vec<&'static str> {
        judge(found)
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn a_complete_site_passes() {
        assert!(failed(&good()).is_empty());
    }

    #[test]
    fn each_lack_fails_its_own_check() {
        let found = SiteInspection {
            roles: vec!["member".to_owned()],
            compute: answers(Some((2, 72))),
            volume: ServiceFinding::NotInCatalog,
            network: ServiceFinding::Silent {
                why: "connection refused".to_owned(),
            },
            ..good()
        };
        assert_eq!(failed(&found), ["role", "compute", "volume", "network"]);
    }
}
