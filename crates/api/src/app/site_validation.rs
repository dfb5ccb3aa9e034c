//! Whether a site can be used: everything that can be known of it before a group needs it, each finding with its fix.

use std::time::Duration;

use futures_util::future::join_all;
use protector_clouds::{
    clouds::{CloudError, FoundVolumeType, ServiceFinding, SiteInspection},
    volume_type::{Eligibility, eligibility},
};
use protector_core::{
    id::SiteName,
    site::{Site, SiteScope},
};
use protector_peer::peer::PeerError;
use protector_wire::site::{Check, Validation};
use secrecy::SecretString;

use super::App;
use crate::http::error::ApiResult;

/// How long one array may take. The clouds' and the protectors' clients have patience of their own.
const ARRAY_PATIENCE: Duration = Duration::from_secs(15);

/// A service that a site must have, and since when it has what protector asks of it.
struct Needed {
    /// The name of its check.
    check: &'static str,
    /// The word in Keystone's catalogue.
    catalogue_type: &'static str,
    /// The microversion; `None` for services without.
    microversion: Option<(u32, u32)>,
}

/// 2.85 turns `delete_on_termination` off, 2.74 pins hosts.
const COMPUTE: Needed = Needed {
    check: "compute",
    catalogue_type: "compute",
    microversion: Some((2, 85)),
};

/// 3.55 lists transfers, 3.48 tells a volume's host apart, 3.27 has attachments, 3.13 generic groups.
const VOLUME: Needed = Needed {
    check: "volume",
    catalogue_type: "volumev3",
    microversion: Some((3, 55)),
};

const NETWORK: Needed = Needed {
    check: "network",
    catalogue_type: "network",
    microversion: None,
};

const IMAGE: Needed = Needed {
    check: "image",
    catalogue_type: "image",
    microversion: None,
};

/// Looks at a site and judges what was found. What does not answer is a finding, never a failure.
pub async fn validate(app: &App, site: &Site, password: &SecretString) -> ApiResult<Validation> {
    let tenant = a_tenant_on(app, &site.name).await?;
    let arrays = app.database.arrays_on(&site.name).await?;
    let (mut checks, protector, arrays) = tokio::join!(
        cloud(app, site, password, tenant.as_ref()),
        protector(app, site),
        join_all(arrays.iter().map(|array| reach_array(app, array))),
    );
    checks.push(protector);
    checks.push(judge_arrays(&arrays));
    Ok(Validation {
        site: site.name.to_string(),
        valid: checks.iter().all(|check| check.ok),
        checks,
    })
}

fn passed(name: &'static str, detail: impl Into<String>) -> Check {
    Check {
        name,
        ok: true,
        detail: detail.into(),
        fix: None,
    }
}

fn failed(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        name,
        ok: false,
        detail: detail.into(),
        fix: Some(fix.into()),
    }
}

/// The tenant that has been mapped for the longest time, as it is on `site`.
async fn a_tenant_on(app: &App, site: &SiteName) -> ApiResult<Option<SiteScope>> {
    let mappings = app.database.tenant_mapping_list().await?;
    let project = mappings.iter().find_map(|mapping| mapping.project_on(site));
    Ok(project.map(|project| SiteScope {
        site: site.clone(),
        project_id: project.clone(),
    }))
}

async fn cloud(
    app: &App,
    site: &Site,
    password: &SecretString,
    tenant: Option<&SiteScope>,
) -> Vec<Check> {
    let inspection = match app.clouds.inspect(site, password).await {
        Ok(inspection) => inspection,
        Err(error) => return vec![no_keystone(site, &error)],
    };
    let mut checks = judge(site, &inspection);
    let cinder_answers = matches!(inspection.volume, ServiceFinding::Answers { .. });
    if cinder_answers {
        let (types, manage) =
            tokio::join!(app.clouds.volume_types(&site.name), manage(app, tenant));
        checks.push(judge_types(types));
        checks.push(manage);
    }
    checks
}

fn no_keystone(site: &Site, error: &CloudError) -> Check {
    failed(
        "keystone",
        error.to_string(),
        format!(
            "see that {} can be reached from the host of protector-api, and that user {} has the password and the role in project {} that it was registered with; change them with PUT /v1/admin/sites/{}",
            site.auth_url, site.username, site.project_name, site.name
        ),
    )
}

/// The checks of what a site showed.
pub fn judge(site: &Site, found: &SiteInspection) -> Vec<Check> {
    vec![
        passed("keystone", "the service user got a token"),
        judge_role(site, &found.roles),
        judge_service(site, &COMPUTE, &found.compute),
        judge_service(site, &VOLUME, &found.volume),
        judge_service(site, &NETWORK, &found.network),
        judge_service(site, &IMAGE, &found.image),
    ]
}

fn judge_role(site: &Site, roles: &[String]) -> Check {
    let held = if roles.is_empty() {
        "none that an administrator has".to_owned()
    } else {
        roles.join(", ")
    };
    if roles.iter().any(|role| role.eq_ignore_ascii_case("admin")) {
        return passed("role", format!("the service user's roles: {held}"));
    }
    failed(
        "role",
        format!("the service user needs the role admin in its project, it has: {held}"),
        format!(
            "openstack role add --user {} --user-domain {} --project {} --project-domain {} admin",
            site.username, site.user_domain_name, site.project_name, site.project_domain_name
        ),
    )
}

fn judge_service(site: &Site, needed: &Needed, finding: &ServiceFinding) -> Check {
    let name = needed.check;
    match (finding, needed.microversion) {
        (ServiceFinding::NotInCatalog, _) => {
            let region = site.region_name.as_deref().unwrap_or("any region");
            failed(
                name,
                format!(
                    "the catalogue has no {} endpoint '{}' of {region}",
                    site.interface, needed.catalogue_type
                ),
                format!(
                    "compare with 'openstack endpoint list --service {}', and set the site's region_name and interface to what it has",
                    needed.catalogue_type
                ),
            )
        }
        (ServiceFinding::Silent { why }, _) => failed(
            name,
            format!("does not answer: {why}"),
            "see that the endpoint in the catalogue can be reached from the host of protector-api, and that the site's cacert fits its certificate",
        ),
        (ServiceFinding::Answers { url, .. }, None) => passed(name, format!("{url} answers")),
        (ServiceFinding::Answers { newest, url }, Some(wanted)) => {
            judge_version(name, url, *newest, wanted)
        }
    }
}

fn judge_version(
    name: &'static str,
    url: &str,
    newest: Option<(u32, u32)>,
    wanted: (u32, u32),
) -> Check {
    let spoken = newest.map_or_else(
        || "does not say which version it speaks".to_owned(),
        |(major, minor)| format!("speaks {major}.{minor}"),
    );
    let detail = format!("{url} {spoken}, {}.{} is needed", wanted.0, wanted.1);
    match newest {
        Some(newest) if newest >= wanted => passed(name, detail),
        Some(_) => failed(
            name,
            detail,
            "upgrade the cloud to OpenStack Victoria or later",
        ),
        None => failed(
            name,
            detail,
            "see that the endpoint in the catalogue is the root of the API's version, with nothing in between that changes its answers",
        ),
    }
}

fn judge_types(types: Result<Vec<FoundVolumeType>, CloudError>) -> Check {
    let name = "volume_types";
    let types = match types {
        Ok(types) => types,
        Err(error) => {
            return failed(
                name,
                error.to_string(),
                "see that the service user may list volume types with their extra specs",
            );
        }
    };
    let eligible: Vec<String> = types
        .iter()
        .filter_map(|found| match eligibility(found) {
            Eligibility::Replicated(how) => Some(format!("{} ({})", found.name, how.as_str())),
            Eligibility::Ineligible(_) => None,
        })
        .collect();
    if eligible.is_empty() {
        return failed(
            name,
            format!(
                "none of {} volume types has replication_enabled='<is> True' and replication_type='<in> async' or '<in> sync', or protector:replication_type with one of these values",
                types.len()
            ),
            "openstack volume type set --property replication_enabled='<is> True' --property replication_type='<in> async' TYPE",
        );
    }
    passed(name, format!("eligible: {}", eligible.join(", ")))
}

/// Volumes are managed in the tenant's project, where the service user is a member: Cinder lets administrators only,
/// unless its policy says otherwise.
async fn manage(app: &App, tenant: Option<&SiteScope>) -> Check {
    let name = "manage";
    let Some(tenant) = tenant else {
        return passed(
            name,
            "not tried: no tenant is mapped to this site yet; validate again after 'openstack dr tenant mapping create'",
        );
    };
    let project = &tenant.project_id;
    let rules = "'volume_extension:volume_manage' and 'volume_extension:volume_unmanage'";
    match app.clouds.may_manage(tenant).await {
        Ok(true) => passed(
            name,
            format!(
                "the service user may manage volumes in project {project}; whether it may unmanage them cannot be asked without one"
            ),
        ),
        Ok(false) => failed(
            name,
            format!("the service user may not manage volumes in project {project}"),
            format!(
                "let members of a project do so in Cinder's policy.yaml: {rules} are to be 'role:admin or (role:member and project_id:%(project_id)s)', and restart cinder-api"
            ),
        ),
        Err(error) => failed(
            name,
            error.to_string(),
            format!(
                "see that the service user is member of project {project}: make its tenant mapping anew, or 'openstack role add --project {project} --user … member'"
            ),
        ),
    }
}

async fn protector(app: &App, site: &Site) -> Check {
    let name = "protector";
    match app.peer.knows_us(&site.name).await {
        Ok(()) => match signs_with(app, site).await {
            Some(fingerprint) => passed(
                name,
                format!(
                    "the protector in the site's catalogue answers, and signs with {fingerprint}"
                ),
            ),
            None => passed(
                name,
                "the protector in the site's catalogue answers; it is of a release that signs nothing: until it does, whoever has a token of its user is taken for it",
            ),
        },
        Err(error @ PeerError::Refused(_)) => failed(
            name,
            error.to_string(),
            "what the sentence says; if it names no command: see that 'openstack catalog show protector' on the site names the endpoint of its own protector, and that the service user may push metadata there",
        ),
        Err(error) => failed(
            name,
            error.to_string(),
            "see that protector-api runs on the site, and that 'openstack catalog show protector' there names an endpoint that can be reached from the host of protector-api here",
        ),
    }
}

/// The fingerprint of the key with which a site's protector signs, as far as it is known here.
async fn signs_with(app: &App, site: &Site) -> Option<String> {
    let key = if site.name == app.settings.site_name {
        app.database.signing_key_public().await.ok().flatten()
    } else {
        let pinned = app.database.peer_key(&site.name).await.ok().flatten();
        pinned.map(|pinned| pinned.key)
    };
    key.map(|key| key.fingerprint())
}

/// An array, and why it cannot be used.
type Reached<'a> = (&'a str, Result<(), String>);

async fn reach_array<'a>(app: &App, array: &'a str) -> Reached<'a> {
    let answer = tokio::time::timeout(ARRAY_PATIENCE, app.storage.check(array)).await;
    let answer = match answer {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "array {array}: no answer within {} s",
            ARRAY_PATIENCE.as_secs()
        )),
    };
    (array, answer)
}

fn judge_arrays(arrays: &[Reached<'_>]) -> Check {
    let name = "arrays";
    let away: Vec<&str> = arrays
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().err().map(String::as_str))
        .collect();
    if !away.is_empty() {
        return failed(
            name,
            away.join("; "),
            "see that the array's management address can be reached from the hosts of protector-api and protector-engine, and that the token in the replication policies is valid; for simulated arrays see [storage] mock_arrays",
        );
    }
    if arrays.is_empty() {
        return passed(
            name,
            "not tried: no replication policy names an array of this site yet",
        );
    }
    let names: Vec<&str> = arrays.iter().map(|(array, _)| *array).collect();
    passed(name, format!("{} answer", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use protector_core::site::SiteStatus;

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

    fn site() -> Site {
        Site {
            id: "1".into(),
            name: "site-b".into(),
            description: None,
            auth_url: "http://site-b:5000/v3".to_owned(),
            region_name: None,
            interface: "public".to_owned(),
            username: "protector".to_owned(),
            user_domain_name: "Default".to_owned(),
            project_name: "service".to_owned(),
            project_domain_name: "Default".to_owned(),
            cacert: None,
            status: SiteStatus::Active,
            created_at: chrono::DateTime::UNIX_EPOCH,
            updated_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    fn failures(found: &SiteInspection) -> Vec<Check> {
        let checks = judge(&site(), found);
        checks.into_iter().filter(|check| !check.ok).collect()
    }

    #[test]
    fn a_complete_site_passes() {
        assert!(failures(&good()).is_empty());
    }

    #[test]
    fn each_lack_fails_its_own_check_and_says_what_to_do() {
        let found = SiteInspection {
            roles: vec!["member".to_owned()],
            compute: answers(Some((2, 72))),
            volume: ServiceFinding::NotInCatalog,
            network: ServiceFinding::Silent {
                why: "connection refused".to_owned(),
            },
            ..good()
        };
        let failures = failures(&found);
        let names: Vec<&str> = failures.iter().map(|check| check.name).collect();
        assert_eq!(names, ["role", "compute", "volume", "network"]);
        let fixes: Vec<&str> = failures
            .iter()
            .map(|check| check.fix.as_deref().unwrap())
            .collect();
        for (fix, says) in fixes.iter().zip([
            "openstack role add --user protector",
            "Victoria or later",
            "openstack endpoint list --service volumev3",
            "can be reached from the host of protector-api",
        ]) {
            assert!(fix.contains(says), "{fix}");
        }
    }

    #[test]
    fn arrays_that_do_not_answer_are_named() {
        assert!(judge_arrays(&[]).ok);
        assert!(judge_arrays(&[("mock://a", Ok(()))]).ok);
        let away = judge_arrays(&[
            ("mock://a", Ok(())),
            ("mock://b", Err("array mock://b: no route".to_owned())),
        ]);
        assert!(!away.ok);
        assert_eq!(away.detail, "array mock://b: no route");
        assert!(away.fix.unwrap().contains("management address"));
    }
}
