//! The engine's way into the clouds of registered sites: one session per site, project and version of the site's record.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    fault::{Code, Fault},
    id::{ProjectId, SiteName},
    site::{Site, SiteScope},
};
use protector_engine::clouds::Clouds;
use protector_openstack::{
    catalog::Interface,
    cloud::Cloud,
    credentials::{Credentials, ProjectScope},
    http_transport::{HttpOptions, HttpTransport},
    options::ClientOptions,
    session::Session,
};
use protector_store::{Database, StoreError};

/// What tells one session from another: a changed site gets a new one.
type Key = (SiteName, Option<ProjectId>, DateTime<Utc>);

/// Sessions with the clouds of the sites in the database.
pub struct SiteClouds {
    database: Database,
    transports: Transports,
    options: ClientOptions,
    sessions: Mutex<HashMap<Key, Session>>,
}

impl SiteClouds {
    /// Sessions made from the sites in `database`, over `transports`.
    pub fn new(database: Database, transports: Transports, options: ClientOptions) -> Self {
        Self {
            database,
            transports,
            options,
            sessions: Mutex::default(),
        }
    }

    /// The cloud of `site` in `project`; `None` stands for the service user's own.
    pub async fn cloud(
        &self,
        site: &SiteName,
        project: Option<&ProjectId>,
        request_id: Option<&str>,
    ) -> Result<Cloud, Fault> {
        let site = self
            .database
            .site_show(site.as_str())
            .await
            .map_err(|error| store_fault(site, &error))?;
        let session = self.session(&site, project).await?;
        Ok(Cloud::new(match request_id {
            Some(id) => session.with_request_id(id),
            None => session,
        }))
    }

    async fn session(&self, site: &Site, project: Option<&ProjectId>) -> Result<Session, Fault> {
        let key = (site.name.clone(), project.cloned(), site.updated_at);
        if let Some(session) = self.known(&key) {
            return Ok(session);
        }
        let password = self
            .database
            .site_password(&site.name)
            .await
            .map_err(|error| store_fault(&site.name, &error))?;
        let credentials = Credentials {
            auth_url: site.auth_url.clone(),
            username: site.username.clone(),
            password,
            user_domain_name: site.user_domain_name.clone(),
            project: match project {
                Some(id) => ProjectScope::Id(id.clone()),
                None => ProjectScope::Name {
                    name: site.project_name.clone(),
                    domain: site.project_domain_name.clone(),
                },
            },
            region_name: site.region_name.clone(),
            interface: interface(&site.interface),
        };
        let transport = self.transports.for_ca(site.cacert.as_deref())?;
        let session = Session::new(transport, credentials, self.options.clone());
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        // Sessions of an older version of the site's record have no further use.
        sessions.retain(|(name, _, version), _| *name != site.name || *version == site.updated_at);
        Ok(sessions.entry(key).or_insert(session).clone())
    }

    fn known(&self, key: &Key) -> Option<Session> {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }
}

fn interface(word: &str) -> Interface {
    match word {
        "internal" => Interface::Internal,
        "admin" => Interface::Admin,
        _ => Interface::Public,
    }
}

fn store_fault(site: &SiteName, error: &StoreError) -> Fault {
    match error {
        StoreError::NotFound { .. } => Fault::last(
            Code::Missing,
            format!("site {site} is not registered any more"),
        ),
        other => Fault::passing(format!("cannot read site {site}: {other}")),
    }
}

#[async_trait]
impl Clouds for SiteClouds {
    async fn tenant(&self, scope: &SiteScope, request_id: Option<&str>) -> Result<Cloud, Fault> {
        self.cloud(&scope.site, Some(&scope.project_id), request_id)
            .await
    }

    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, Fault> {
        self.cloud(site, None, request_id).await
    }
}

/// HTTP transports by CA file: sites with the same one share connections.
pub struct Transports {
    connect_timeout: std::time::Duration,
    default_ca: Option<PathBuf>,
    by_ca: Mutex<HashMap<Option<PathBuf>, Arc<HttpTransport>>>,
}

impl Transports {
    /// Transports that trust the system's authorities, or those in `default_ca`.
    pub fn new(connect_timeout: std::time::Duration, default_ca: Option<PathBuf>) -> Self {
        Self {
            connect_timeout,
            default_ca,
            by_ca: Mutex::default(),
        }
    }

    fn for_ca(&self, ca: Option<&str>) -> Result<Arc<HttpTransport>, Fault> {
        let ca = ca.map(PathBuf::from).or_else(|| self.default_ca.clone());
        let mut by_ca = self.by_ca.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_ca.get(&ca) {
            return Ok(Arc::clone(known));
        }
        let made = HttpTransport::new(&HttpOptions {
            connect_timeout: self.connect_timeout,
            cacert: ca.clone(),
            insecure: false,
        })
        .map_err(|error| Fault::last(Code::Refused, error))?;
        let made = Arc::new(made);
        by_ca.insert(ca, Arc::clone(&made));
        Ok(made)
    }
}
