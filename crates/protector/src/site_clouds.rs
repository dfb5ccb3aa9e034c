//! The engine's way into the clouds of registered sites: the sessions that the API uses too.

use std::sync::Arc;

use async_trait::async_trait;
use protector_clouds::{clouds::CloudError, site_sessions::SiteSessions};
use protector_core::{
    fault::{Code, StepFailure},
    id::SiteName,
    site::SiteScope,
};
use protector_engine::clouds::Clouds;
use protector_openstack::cloud::Cloud;

/// Clouds of the sites in the database.
pub struct SiteClouds {
    sessions: Arc<SiteSessions>,
}

impl SiteClouds {
    /// Clouds behind `sessions`.
    pub fn new(sessions: Arc<SiteSessions>) -> Self {
        Self { sessions }
    }
}

fn fault(error: CloudError) -> StepFailure {
    match error {
        CloudError::Unreachable { .. } => StepFailure::passing(error),
        CloudError::NotTold { .. } => StepFailure::NotTold {
            why: error.to_string(),
            after: None,
        },
        CloudError::Refused { .. } => StepFailure::last(Code::Refused, error),
    }
}

fn on_behalf(cloud: Cloud, request_id: Option<&str>) -> Cloud {
    match request_id {
        Some(id) => cloud.with_request_id(id),
        None => cloud,
    }
}

#[async_trait]
impl Clouds for SiteClouds {
    async fn tenant(
        &self,
        scope: &SiteScope,
        request_id: Option<&str>,
    ) -> Result<Cloud, StepFailure> {
        let cloud = self.sessions.tenant(&scope.site, &scope.project_id).await;
        Ok(on_behalf(cloud.map_err(fault)?, request_id))
    }

    async fn admin(&self, site: &SiteName, request_id: Option<&str>) -> Result<Cloud, StepFailure> {
        let cloud = self.sessions.admin(site).await;
        Ok(on_behalf(cloud.map_err(fault)?, request_id))
    }
}
