//! The other site's protector over HTTP, found in that site's catalogue and spoken to as the service user there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use protector_core::{
    id::{GroupId, OperationId, SiteName},
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    error::{CloudError as CallError, ErrorClass},
};
use protector_store::Mark;
use serde_json::Value;

use crate::{
    clouds::CloudError,
    peer::{HeldPart, Peer, PeerError, PeerMetadata},
    site_sessions::{SiteSessions, told},
    wire::{
        metadata::{
            HeldAnswer, MetadataAnswer, NewMetadata, NewReservation, PushMetadata, ReserveGroup,
        },
        operation_copy::{NewOperationCopy, OperationCopyAnswer, PushOperationCopy},
    },
};

/// How long the other site may take to show that it is there. A tenant waits for this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A group that nobody has: a peer is told so, anybody else is refused.
const NOBODYS_METADATA: &str = "/v1/00000000000000000000000000000000/protection-groups/00000000-0000-0000-0000-000000000000/metadata";

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
        self.can_be_asked(site).await?;
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
        CloudError::NotTold { .. } => PeerError::NotTold(error.to_string()),
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

fn copy_path(scope: &SiteScope, operation: &OperationId) -> String {
    format!("/v1/{}/operations/{operation}/copy", scope.project_id)
}

#[async_trait]
impl Peer for OpenStackPeer {
    async fn can_be_asked(&self, site: &SiteName) -> Result<(), PeerError> {
        let able = self.sessions.can_be_asked(site).await;
        able.map_err(|error| heard(&error))
    }

    async fn reach(&self, site: &SiteName) -> Result<(), PeerError> {
        let work = async {
            let cloud = self.admin(site).await?;
            let answer: Result<Value, _> = cloud.protector().get_json("/healthcheck").await;
            answer.map(|_| ()).map_err(|error| said(site, &error))
        };
        self.within(site, PATIENCE, work).await
    }

    async fn knows_us(&self, site: &SiteName) -> Result<(), PeerError> {
        let work = async {
            let cloud = self.admin(site).await?;
            let told: Result<Value, _> = cloud.protector().get_json(NOBODYS_METADATA).await;
            match told {
                Err(error) if error.class() != ErrorClass::NotFound => Err(said(site, &error)),
                _ => Ok(()),
            }
        };
        self.within(site, PATIENCE, work).await
    }

    async fn held(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        part: HeldPart,
    ) -> Result<Option<PeerMetadata>, PeerError> {
        let site = &scope.site;
        let query: &[(&str, &str)] = match part {
            HeldPart::Mark => &[],
            HeldPart::Document => &[("document", "true")],
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            let answer: Result<HeldAnswer, _> =
                cloud.protector().get_json_where(&path, query).await;
            match answer {
                Ok(answer) => Ok(Some(answer.metadata.into())),
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
    ) -> Result<Mark, PeerError> {
        let site = &scope.site;
        let body = PushMetadata {
            metadata: metadata.clone(),
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            let answer: Result<MetadataAnswer, _> = cloud.protector().put_json(&path, &body).await;
            answer
                .map(|answer| Mark {
                    version: answer.metadata.version,
                    digest: answer.metadata.digest,
                })
                .map_err(|error| said(site, &error))
        };
        self.within(site, PUSH_PATIENCE, work).await
    }

    async fn copy(
        &self,
        scope: &SiteScope,
        operation: &OperationId,
        copy: &NewOperationCopy,
    ) -> Result<u64, PeerError> {
        let site = &scope.site;
        let body = PushOperationCopy {
            operation_copy: copy.clone(),
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = copy_path(scope, operation);
            let answer: Result<OperationCopyAnswer, _> =
                cloud.protector().put_json(&path, &body).await;
            answer
                .map(|answer| answer.operation_copy.revision)
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

    async fn withdraw(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        known: &Mark,
    ) -> Result<(), PeerError> {
        let site = &scope.site;
        let version = known.version.to_string();
        let query = [("version", version.as_str()), ("digest", &known.digest)];
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            match cloud.protector().delete_where(&path, &query).await {
                Err(error) if error.class() != ErrorClass::NotFound => Err(said(site, &error)),
                _ => Ok(()),
            }
        };
        self.within(site, PATIENCE, work).await
    }
}
