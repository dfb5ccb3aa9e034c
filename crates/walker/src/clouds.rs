//! The engine's way into the simulated clouds: one session per site and project, as the service keeps them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use protector_core::{
    fault::StepFailure,
    id::{ProjectId, SiteName},
    site::SiteScope,
};
use protector_engine::clouds::Clouds;
use protector_openstack::{
    catalog::EndpointInterface,
    cloud::Cloud,
    credentials::{Credentials, ProjectScope},
    options::ClientOptions,
    retry::{Jitter, RetryPolicy},
    session::Session,
    transport::Transport,
};

/// Sessions of user `protector` on clouds whose URL is `http://<site>`.
pub(crate) struct WalkerClouds {
    transport: Arc<dyn Transport>,
    sessions: Mutex<HashMap<(SiteName, Option<ProjectId>), Session>>,
}

impl WalkerClouds {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            sessions: Mutex::default(),
        }
    }

    fn cloud(
        &self,
        site: &SiteName,
        project: Option<&ProjectId>,
        request_id: Option<&str>,
    ) -> Cloud {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions
            .entry((site.clone(), project.cloned()))
            .or_insert_with(|| self.session(site, project));
        Cloud::new(match request_id {
            Some(id) => session.with_request_id(id),
            None => session.clone(),
        })
    }

    fn session(&self, site: &SiteName, project: Option<&ProjectId>) -> Session {
        let credentials = Credentials {
            auth_url: format!("http://{site}/identity/v3"),
            username: "protector".into(),
            password: "protector".into(),
            user_domain_name: "Default".into(),
            project: match project {
                Some(id) => ProjectScope::Id(id.clone()),
                None => ProjectScope::Name {
                    name: "service".into(),
                    domain: "Default".into(),
                },
            },
            region_name: Some(site.to_string()),
            interface: EndpointInterface::Public,
        };
        let options = ClientOptions {
            retry: RetryPolicy {
                jitter: Jitter::Seeded(1),
                ..RetryPolicy::default()
            },
            ..ClientOptions::default()
        };
        Session::new(Arc::clone(&self.transport), credentials, options)
    }
}

#[async_trait]
impl Clouds for WalkerClouds {
    async fn tenant(
        &self,
        scope: &SiteScope,
        request_id: Option<&str>,
    ) -> Result<Cloud, StepFailure> {
        Ok(self.cloud(&scope.site, Some(&scope.project_id), request_id))
    }

    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, StepFailure> {
        Ok(self.cloud(site, None, request_id))
    }
}
