//! The other site's protector over HTTP, found in that site's catalogue and spoken to as the service user there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use protector_core::{
    id::{GroupId, SiteName},
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    error::{CloudError as CallError, ErrorClass},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    clouds::CloudError,
    peer::{Peer, PeerError},
    site_sessions::{SiteSessions, told},
    wire::metadata::{MetadataAnswer, NewMetadata, NewReservation, PushMetadata, ReserveGroup},
};

/// How long the other site may take to show that it is there. A tenant waits for this.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take over a push.
const PUSH_PATIENCE: Duration = Duration::from_secs(30);

/// The protectors of the registered sites.
pub struct OpenStackPeer {
    sessions: Arc<SiteSessions>,
}

impl OpenStackPeer {
    /// The protectors behind `sessions`.
    pub fn new(sessions: Arc<SiteSessions>) -> Self {
        Self { sessions }
    }

    /// The protector of a site within `patience`, from finding its endpoint on.
    async fn within<T>(
        &self,
        site: &SiteName,
        patience: Duration,
        work: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        match tokio::time::timeout(patience, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(PeerError::Unreachable(format!(
                "{site} did not answer within {} s",
                patience.as_secs()
            ))),
        }
    }

    async fn admin(&self, site: &SiteName) -> Result<Cloud, PeerError> {
        self.sessions
            .protector(site, None)
            .await
            .map_err(|error| heard(&error))
    }
}

fn heard(error: &CloudError) -> PeerError {
    match error {
        CloudError::Unreachable { .. } => PeerError::Unreachable(error.to_string()),
        CloudError::Refused { .. } => PeerError::Refused(error.to_string()),
    }
}

fn said(site: &SiteName, error: &CallError) -> PeerError {
    heard(&told(site, error))
}

fn metadata_path(scope: &SiteScope, group: &GroupId) -> String {
    format!(
        "/v1/{}/protection-groups/{group}/metadata",
        scope.project_id
    )
}

fn reservation_path(scope: &SiteScope, group: &GroupId, by_site: &SiteName) -> String {
    format!("{}/reservations/{by_site}", metadata_path(scope, group))
}

#[derive(Deserialize)]
struct GroupVersion {
    protection_group: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[async_trait]
impl Peer for OpenStackPeer {
    async fn reach(&self, site: &SiteName) -> Result<(), PeerError> {
        let work = async {
            let cloud = self.admin(site).await?;
            let answer: Result<Value, _> = cloud.protector().get_json("/healthcheck").await;
            answer.map(|_| ()).map_err(|error| said(site, &error))
        };
        self.within(site, PATIENCE, work).await
    }

    async fn version(&self, scope: &SiteScope, group: &GroupId) -> Result<Option<u64>, PeerError> {
        let site = &scope.site;
        let work = async {
            // The path's project must be the token's: the service user is a member of the tenant's project there.
            let cloud = self
                .sessions
                .protector(site, Some(&scope.project_id))
                .await
                .map_err(|error| heard(&error))?;
            let path = format!("/v1/{}/protection-groups/{group}", scope.project_id);
            let answer: Result<GroupVersion, _> = cloud.protector().get_json(&path).await;
            match answer {
                Ok(answer) => Ok(Some(answer.protection_group.version)),
                Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
                Err(error) => Err(said(site, &error)),
            }
        };
        self.within(site, PATIENCE, work).await
    }

    async fn push(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        metadata: &NewMetadata,
    ) -> Result<u64, PeerError> {
        let site = &scope.site;
        let body = PushMetadata {
            metadata: metadata.clone(),
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            let answer: Result<MetadataAnswer, _> = cloud.protector().put_json(&path, &body).await;
            answer
                .map(|answer| answer.metadata.version)
                .map_err(|error| said(site, &error))
        };
        self.within(site, PUSH_PATIENCE, work).await
    }

    async fn reserve(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        version: u64,
        by_site: &SiteName,
    ) -> Result<(), PeerError> {
        let site = &scope.site;
        let body = ReserveGroup {
            reservation: NewReservation { version },
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = reservation_path(scope, group, by_site);
            let answer: Result<Value, _> = cloud.protector().put_json(&path, &body).await;
            answer.map(drop).map_err(|error| said(site, &error))
        };
        self.within(site, PATIENCE, work).await
    }

    async fn release(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        by_site: &SiteName,
    ) -> Result<(), PeerError> {
        let site = &scope.site;
        let work = async {
            let cloud = self.admin(site).await?;
            let path = reservation_path(scope, group, by_site);
            match cloud.protector().delete(&path).await {
                Err(error) if error.class() != ErrorClass::NotFound => Err(said(site, &error)),
                _ => Ok(()),
            }
        };
        self.within(site, PATIENCE, work).await
    }

    async fn withdraw(&self, scope: &SiteScope, group: &GroupId) -> Result<(), PeerError> {
        let site = &scope.site;
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            match cloud.protector().delete(&path).await {
                Err(error) if error.class() != ErrorClass::NotFound => Err(said(site, &error)),
                _ => Ok(()),
            }
        };
        self.within(site, PATIENCE, work).await
    }
}
