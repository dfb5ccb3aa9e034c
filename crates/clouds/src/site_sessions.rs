//! Ways into the clouds of the registered sites, as the service user: in its own project, or in a tenant's.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use protector_core::id::ProjectId;
use protector_core::id::SiteName;
use protector_core::site::Site;
use protector_openstack::cloud::Cloud;
use protector_openstack::cloud::CloudSessions;
use protector_openstack::credentials::Credentials;
use protector_openstack::credentials::ProjectScope;
use protector_openstack::error::CallError;
use protector_openstack::error::ErrorClass;
use protector_openstack::http_transport::CaFile;
use protector_openstack::http_transport::HttpOptions;
use protector_openstack::http_transport::HttpTransport;
use protector_openstack::options::ClientOptions;
use protector_openstack::service::Service;
use protector_openstack::transport::Transport;
use protector_store::Database;
use protector_store::StoreError;
use secrecy::SecretString;

use crate::cloud_requests::CloudRequests;
use crate::clouds::CloudError;
use crate::request_scope::allowance;
use crate::request_scope::chain_id;

/// Makes the wire to a cloud.
pub trait Wires: Send + Sync {
    /// The wire to a cloud whose certificate is signed by an authority in `cacert`, or by one of the system's. The
    /// same one each time, since sessions are kept by their wire. The file is read when the wire is used.
    fn wire(&self, cacert: Option<&Path>) -> Arc<dyn Transport>;
}

/// Wires over TCP, one for each CA file.
pub struct HttpWires {
    options: HttpOptions,
    made: Mutex<HashMap<Option<CaFile>, Arc<dyn Transport>>>,
}

impl HttpWires {
    /// Wires with `options`; its CA file is for sites that name none.
    pub fn new(options: HttpOptions) -> Self {
        Self {
            options,
            made: Mutex::default(),
        }
    }
}

impl Wires for HttpWires {
    fn wire(&self, cacert: Option<&Path>) -> Arc<dyn Transport> {
        let of_site = cacert.map(|path| CaFile {
            path: path.to_owned(),
            named_by: "cacert of the site",
        });
        let options = HttpOptions {
            cacert: of_site.or_else(|| self.options.cacert.clone()),
            ..self.options.clone()
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(options.cacert.clone())
            .or_insert_with(|| Arc::new(HttpTransport::reading_later(&options)))
            .clone()
    }
}

/// Sessions with the registered sites. Registrations are read each time, so a changed password is used at once.
pub struct SiteSessions {
    database: Database,
    wires: Arc<dyn Wires>,
    options: ClientOptions,
    counts: CloudRequests,
    clouds: CloudSessions,
    /// Sessions with the protector of a site, by the root of its API.
    protectors: Mutex<HashMap<String, Arc<CloudSessions>>>,
}

impl SiteSessions {
    /// Sessions with the sites in `database`, reached by `wires`, whose exchanges are counted into `counts`.
    pub fn new(
        database: Database,
        wires: Arc<dyn Wires>,
        options: ClientOptions,
        counts: CloudRequests,
    ) -> Self {
        Self {
            database,
            wires,
            clouds: CloudSessions::new(options.clone()),
            options,
            counts,
            protectors: Mutex::default(),
        }
    }

    /// The cloud as the service user sees it in its own project, where it is admin.
    pub async fn admin(&self, site: &SiteName) -> Result<Cloud, CloudError> {
        let (site, password) = self.registration(site).await?;
        self.cloud_of(&site, &password, None)
    }

    /// The cloud as the service user sees it in a tenant's project, where a tenant mapping made it a member.
    pub async fn tenant(&self, site: &SiteName, project: &ProjectId) -> Result<Cloud, CloudError> {
        let (site, password) = self.registration(site).await?;
        self.cloud_of(&site, &password, Some(project))
    }

    /// Sees that this side has what it takes to ask a site, before a time is set in which the site has to answer: that one's own
    /// database is slow says nothing of it.
    pub async fn can_be_asked(&self, site: &SiteName) -> Result<(), CloudError> {
        self.registration(site).await.map(|_| ())
    }

    /// The name of the service user on a site.
    pub async fn username(&self, site: &SiteName) -> Result<String, CloudError> {
        Ok(self.registration(site).await?.0.username)
    }

    /// The cloud of a site that need not be registered yet.
    pub fn cloud_of(
        &self,
        site: &Site,
        password: &SecretString,
        project: Option<&ProjectId>,
    ) -> Result<Cloud, CloudError> {
        let wire = self.wire_of(site);
        let credentials = credentials(site, password, project)?;
        let cloud = self.clouds.cloud(&wire, credentials);
        Ok(in_this_request(self.counted(site, &cloud)))
    }

    /// The protector of a site, whose paths begin with `/v1`, whichever form its endpoint has in the catalogue. In
    /// the service user's own project, or in a tenant's.
    pub async fn protector(
        &self,
        site: &SiteName,
        project: Option<&ProjectId>,
    ) -> Result<Cloud, CloudError> {
        let (site, password) = self.registration(site).await?;
        let cloud = self.cloud_of(&site, &password, None)?;
        let endpoint = cloud
            .session()
            .endpoint(Service::DisasterRecovery)
            .await
            .map_err(|error| told(&site.name, &error))?;
        let wire = self.wire_of(&site);
        let credentials = credentials(&site, &password, project)?;
        let protectors = self.protectors_at(root(&endpoint));
        let cloud = protectors.cloud(&wire, credentials);
        Ok(in_this_request(self.counted(&site, &cloud)))
    }

    fn counted(&self, site: &Site, cloud: &Cloud) -> Cloud {
        cloud.with_observer(self.counts.of(&site.name))
    }

    fn protectors_at(&self, root: &str) -> Arc<CloudSessions> {
        let mut protectors = self
            .protectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        protectors
            .entry(root.to_owned())
            .or_insert_with(|| {
                let mut options = self.options.clone();
                // A tenant waits while the other site is asked: one repetition, soon.
                options.retry.attempts = options.retry.attempts.min(2);
                options.retry.first_delay = Duration::from_millis(300);
                options
                    .endpoint_overrides
                    .insert(Service::DisasterRecovery, root.to_owned());
                Arc::new(CloudSessions::new(options))
            })
            .clone()
    }

    fn wire_of(&self, site: &Site) -> Arc<dyn Transport> {
        self.wires.wire(site.cacert.as_deref().map(Path::new))
    }

    async fn registration(&self, name: &SiteName) -> Result<(Site, SecretString), CloudError> {
        let read = self.database.site_registration(name).await;
        let (site, password) = read.map_err(|error| match error {
            StoreError::NotFound { .. } => CloudError::Refused {
                site: name.clone(),
                why: "the site is not registered with this protector".to_owned(),
            },
            error => cannot_be_asked(name, &error),
        })?;
        // Nobody is there: what may go on without that site does, as when it does not answer.
        let password = password.ok_or_else(|| CloudError::Unreachable {
            site: name.clone(),
            why: "it was retired by an administrator".to_owned(),
        })?;
        Ok((site, password))
    }
}

/// Why a site cannot be asked while this side's records cannot be read. Never that it does not answer: a site that was
/// not asked is not lost.
fn cannot_be_asked(site: &SiteName, error: &StoreError) -> CloudError {
    let why = match error {
        StoreError::Secret(secret) => format!(
            "the password of its service user cannot be read here: {secret}. Put the key back into [secrets] key_repository of every host of this site, or enter the password anew with 'openstack dr site set {site} --password -'"
        ),
        error => error.to_string(),
    };
    CloudError::NotTold {
        site: site.clone(),
        why,
    }
}

/// The cloud whose logs will name the request that is being answered here, and whose answers count against what that
/// request may make clouds send.
fn in_this_request(cloud: Cloud) -> Cloud {
    let cloud = match chain_id() {
        Some(id) => cloud.with_request_id(&id),
        None => cloud,
    };
    match allowance() {
        Some(allowance) => cloud.with_allowance(allowance),
        None => cloud,
    }
}

fn credentials(
    site: &Site,
    password: &SecretString,
    project: Option<&ProjectId>,
) -> Result<Credentials, CloudError> {
    let interface = site
        .interface
        .parse()
        .map_err(|error| told(&site.name, &error))?;
    Ok(Credentials {
        auth_url: site.auth_url.clone(),
        username: site.username.clone(),
        password: password.clone(),
        user_domain_name: site.user_domain_name.clone(),
        project: match project {
            Some(project) => ProjectScope::Id(project.clone()),
            None => ProjectScope::Name {
                name: site.project_name.clone(),
                domain: site.project_domain_name.clone(),
            },
        },
        region_name: site.region_name.clone(),
        interface,
    })
}

/// The root of a protector's API: its endpoint without `/v1` and what follows.
fn root(endpoint: &str) -> &str {
    let base = endpoint.trim_end_matches('/');
    let cut = match base.find("/v1/") {
        Some(at) => base.get(..at),
        None => base.strip_suffix("/v1"),
    };
    cut.unwrap_or(base)
}

/// Whether an error may come from a site that is gone. What a protector says itself, under a request id, does not: a database of
/// its own that is busy, or full, is no lost site.
fn may_be_of_a_lost_site(error: &CallError) -> bool {
    let of_protector = error.refusal().is_some_and(|refusal| {
        refusal.call.service == Service::DisasterRecovery && refusal.request_id.is_some()
    });
    error.may_be_of_a_lost_cloud() && !of_protector
}

/// What a failed call says of a site.
pub fn told(site: &SiteName, error: &CallError) -> CloudError {
    let why = error.to_string();
    let site = site.clone();
    match error.class() {
        ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Ambiguous
            if may_be_of_a_lost_site(error) =>
        {
            CloudError::Unreachable { site, why }
        }
        ErrorClass::Passing | ErrorClass::Unreachable | ErrorClass::Ambiguous => {
            CloudError::NotTold { site, why }
        }
        ErrorClass::Final
        | ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::Unauthorized
        | ErrorClass::Forbidden => CloudError::Refused { site, why },
    }
}

#[cfg(test)]
mod tests {
    use protector_openstack::error::Call;
    use protector_openstack::error::CloudRefusal;
    use protector_openstack::service::Service;

    use super::*;

    #[test]
    fn who_answers_that_it_has_no_time_or_is_not_trusted_is_not_lost() {
        let call = || Call {
            service: Service::Compute,
            method: http::Method::GET,
            path: "/servers".to_owned(),
            writes: false,
        };
        let said = |status| {
            CallError::Refused(Box::new(CloudRefusal {
                call: call(),
                status,
                message: String::new(),
                request_id: None,
                retry_after: None,
            }))
        };
        let silent = |error: &CallError| {
            matches!(
                told(&"site-b".into(), error),
                CloudError::Unreachable { .. }
            )
        };
        let untrusted = CallError::NotAsked {
            call: Box::new(call()),
            why: "certificate expired".to_owned(),
        };
        assert!(silent(&said(503)) && silent(&said(502)));
        assert!(!silent(&said(429)) && !silent(&untrusted));
    }

    #[test]
    fn each_form_of_the_endpoint_has_the_same_root() {
        for endpoint in [
            "http://host:8788",
            "http://host:8788/",
            "http://host:8788/v1",
            "http://host:8788/v1/",
            "http://host:8788/v1/aaaa",
        ] {
            assert_eq!(root(endpoint), "http://host:8788", "{endpoint}");
        }
        assert_eq!(root("https://host/protector/v1"), "https://host/protector");
    }
}
