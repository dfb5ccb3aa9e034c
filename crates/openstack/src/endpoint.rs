//! Base URLs: what catalogues leave out of them, and where version documents are.

use protector_core::id::ProjectId;

use crate::service::Service;

/// Keystone's URL with `/v3`, from one with or without it.
pub(crate) fn identity(auth_url: &str) -> String {
    let base = auth_url.trim_end_matches('/');
    match base.ends_with("/v3") {
        true => base.to_owned(),
        false => format!("{}/v3", base.trim_end_matches("/v2.0")),
    }
}

/// The base URL of calls to `service`, from what the catalogue or an override gives: it may be listed without the API's
/// version or with an older one, and Cinder wants the project's id in the path.
pub(crate) fn complete(service: Service, url: &str, project: Option<&ProjectId>) -> String {
    let mut base = url.trim_end_matches('/').to_owned();
    if let Some(project) = project {
        for placeholder in [
            "%(project_id)s",
            "%(tenant_id)s",
            "$(project_id)s",
            "$(tenant_id)s",
        ] {
            base = base.replace(placeholder, project.as_str());
        }
    }
    match (version_of(service), service, project) {
        (None, ..) => base,
        (Some(version), Service::Volume, Some(project)) => {
            format!("{}{version}/{project}", unversioned(&base))
        }
        (Some(version), ..) => format!("{}{version}", unversioned(&base)),
    }
}

/// The version of `service`'s API that is spoken here, as its URL has it.
fn version_of(service: Service) -> Option<&'static str> {
    match service {
        Service::Compute => Some("v2.1"),
        Service::Volume => Some("v3"),
        Service::Network => Some("v2.0"),
        Service::Image => Some("v2"),
        Service::Identity | Service::DisasterRecovery => None,
    }
}

/// The URL up to its version, with a slash at its end.
fn unversioned(base: &str) -> String {
    let segments: Vec<&str> = base.trim_end_matches('/').split('/').collect();
    let kept = version_at(&segments).unwrap_or(segments.len());
    format!("{}/", segments[..kept].join("/"))
}

fn version_at(segments: &[&str]) -> Option<usize> {
    segments.iter().rposition(|segment| {
        segment.strip_prefix('v').is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit())
                && rest.chars().all(|c| c.is_ascii_digit() || c == '.')
        })
    })
}

/// Where the version document of a base URL is: below its `/v2.1` or `/v3`, without the project's id.
pub(crate) fn version_root(base: &str) -> String {
    let segments: Vec<&str> = base.trim_end_matches('/').split('/').collect();
    let kept = version_at(&segments).map_or(segments.len(), |at| at + 1);
    format!("{}/", segments[..kept].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_completed() {
        let project = ProjectId::new("p1");
        let done = |service, url| complete(service, url, Some(&project));
        assert_eq!(
            done(Service::Network, "http://n:9696/"),
            "http://n:9696/v2.0"
        );
        assert_eq!(
            done(Service::Network, "http://n/networking/v2.0"),
            "http://n/networking/v2.0"
        );
        assert_eq!(done(Service::Image, "http://g/image"), "http://g/image/v2");
        assert_eq!(
            done(Service::Volume, "http://c/volume/v3"),
            "http://c/volume/v3/p1"
        );
        assert_eq!(
            done(Service::Volume, "http://c/volume/v3/p1"),
            "http://c/volume/v3/p1"
        );
        assert_eq!(
            done(Service::Volume, "http://c/v3/%(project_id)s"),
            "http://c/v3/p1"
        );
        assert_eq!(done(Service::Compute, "http://n/v2.1/"), "http://n/v2.1");
        for listed in ["http://n:8774", "http://n:8774/v2/", "http://n:8774/v2/p1"] {
            assert_eq!(done(Service::Compute, listed), "http://n:8774/v2.1");
        }
        for listed in [
            "http://c:8776",
            "http://c:8776/v2/%(tenant_id)s",
            "http://c:8776/v2",
        ] {
            assert_eq!(done(Service::Volume, listed), "http://c:8776/v3/p1");
        }
        assert_eq!(
            done(Service::Image, "http://g/image/v1"),
            "http://g/image/v2"
        );
        assert_eq!(
            done(Service::DisasterRecovery, "http://p:9311/"),
            "http://p:9311"
        );
    }

    #[test]
    fn keystone_is_found_with_and_without_its_version() {
        for url in [
            "https://k/identity",
            "https://k/identity/",
            "https://k/identity/v3",
            "https://k/identity/v3/",
        ] {
            assert_eq!(identity(url), "https://k/identity/v3");
        }
    }

    #[test]
    fn version_documents_are_below_the_version() {
        assert_eq!(
            version_root("http://n/compute/v2.1"),
            "http://n/compute/v2.1/"
        );
        assert_eq!(version_root("http://n/v2.1/p1"), "http://n/v2.1/");
        assert_eq!(version_root("http://c/v3/v3aa"), "http://c/v3/");
        assert_eq!(
            version_root("http://vols.example:8776/v3/0f"),
            "http://vols.example:8776/v3/"
        );
        assert_eq!(version_root("http://nova:8774"), "http://nova:8774/");
    }
}
