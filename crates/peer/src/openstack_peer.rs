//! The other site's protector over HTTP, found in that site's catalogue and spoken to as the service user there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use protector_clouds::{
    clouds::CloudError,
    site_sessions::{SiteSessions, told},
};
use protector_core::{
    id::{GroupId, OperationId, SiteName},
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    error::{CallError, ErrorClass},
};
use protector_store::{MetadataState, NotAPublicKey, PublicKey};
use protector_wire::{
    metadata::{
        HeldAnswer, MetadataAnswer, NewMetadata, NewReservation, PushMetadata, ReserveGroup,
    },
    operation_copy::{NewOperationCopy, OperationCopyAnswer, PushOperationCopy},
    signing_key::SigningKeyAnswer,
};
use serde_json::Value;

use crate::{
    changed_key::key_has_changed,
    peer::{self, HeldPart, Peer, PeerError, PeerMetadata},
    site_identity::SiteIdentity,
};

/// How long the other site may take to show that it is there. A tenant waits for this.
const PATIENCE: Duration = Duration::from_secs(10);

/// A group that nobody has: a peer is told so, anybody else is refused.
const NOBODYS_METADATA: &str = "/v1/00000000000000000000000000000000/protection-groups/00000000-0000-0000-0000-000000000000/metadata";

/// How long it may take to tell its key: somebody is answered meanwhile who waits for ten seconds.
const KEY_PATIENCE: Duration = Duration::from_secs(3);

/// How long it may take over a push.
const PUSH_PATIENCE: Duration = Duration::from_secs(30);

/// The protectors of the registered sites.
pub struct OpenStackPeer {
    sessions: Arc<SiteSessions>,
    identity: SiteIdentity,
}

impl OpenStackPeer {
    /// The protectors behind `sessions`, to whom this site is `identity`.
    pub fn new(sessions: Arc<SiteSessions>, identity: SiteIdentity) -> Self {
        Self { sessions, identity }
    }

    /// The protector of a site within `patience`, from finding its endpoint on.
    async fn within<T>(
        &self,
        site: &SiteName,
        patience: Duration,
        work: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        peer::within(self, site, patience, work).await
    }

    /// The protector of a site, told with signatures.
    async fn admin(&self, site: &SiteName) -> Result<Cloud, PeerError> {
        let cloud = self.unsigned(site).await?;
        let signer = self.identity.signer(site).await;
        // That this site cannot sign does not make the other one lost.
        let signer = signer.map_err(|error| {
            PeerError::NotTold(format!(
                "this site cannot sign: {error}; where its key is lost, 'protector-manage signing-key rotate' on one of its hosts makes a new one"
            ))
        })?;
        Ok(cloud.with_signer(signer))
    }

    async fn unsigned(&self, site: &SiteName) -> Result<Cloud, PeerError> {
        self.sessions
            .protector(site, None)
            .await
            .map_err(|error| heard(&error))
    }

    /// That the protector of a site believes what this one signs.
    async fn believes_us(&self, site: &SiteName) -> Result<(), PeerError> {
        let cloud = self.admin(site).await?;
        let told: Result<Value, _> = cloud.protector().get_json(NOBODYS_METADATA).await;
        match told {
            Err(error) if error.class() != ErrorClass::NotFound => Err(said(site, &error)),
            _ => Ok(()),
        }
    }

    /// That the protector of a site still signs with the key that is pinned here. One that is told for the first time is
    /// pinned.
    async fn is_the_same(&self, site: &SiteName) -> Result<(), PeerError> {
        let here = &self.identity.site;
        let (told, known) = tokio::join!(self.ask_for_key(site), self.known_key(site));
        let (told, known) = (told?, known?);
        match (known, told) {
            (None, None) => Ok(()),
            (None, Some(told)) => self.pin(site, &told).await,
            (Some(known), Some(told)) if known == told => Ok(()),
            (Some(_), Some(told)) if site == here => Err(PeerError::Refused(format!(
                "the protector in the catalogue of {here} signs with {}, which is not the key in this one's database: all hosts of a site share one",
                told.fingerprint()
            ))),
            (Some(known), Some(told)) => Err(PeerError::Refused(key_has_changed(
                here,
                site,
                &known.fingerprint(),
                &told.fingerprint(),
            ))),
            (Some(known), None) => Err(PeerError::Refused(format!(
                "the protector of {site} signs nothing any more, and its key {} is pinned on {here}: bring it to this release, or let an administrator of {here} forget the key with 'openstack dr site set {site} --forget-peer-key'",
                known.fingerprint()
            ))),
        }
    }

    async fn ask_for_key(&self, site: &SiteName) -> Result<Option<PublicKey>, PeerError> {
        let cloud = self.unsigned(site).await?;
        let answer: Result<SigningKeyAnswer, _> =
            cloud.protector().get_json("/v1/signing-key").await;
        let told = match answer {
            Ok(answer) => answer.signing_key,
            Err(error) if error.class() == ErrorClass::NotFound => return Ok(None),
            Err(error) => return Err(said(site, &error)),
        };
        if told.site != site.as_str() {
            return Err(PeerError::Refused(format!(
                "the protector in the catalogue of {site} is the one of {}: the site's name must be the same on both protectors, and the endpoint its own",
                told.site
            )));
        }
        let key = told.public_key.parse();
        key.map(Some).map_err(|error: NotAPublicKey| {
            PeerError::Refused(format!("the key that {site} tells: {error}"))
        })
    }

    async fn known_key(&self, site: &SiteName) -> Result<Option<PublicKey>, PeerError> {
        if *site == self.identity.site {
            let kept = self.identity.kept_key().await;
            return kept
                .map(|kept| Some(kept.public))
                .map_err(|error| PeerError::NotTold(error.to_string()));
        }
        let pinned = self.identity.database.peer_key(site).await;
        pinned
            .map(|pinned| pinned.map(|pinned| pinned.key))
            .map_err(|error| PeerError::NotTold(error.to_string()))
    }

    async fn pin(&self, site: &SiteName, told: &PublicKey) -> Result<(), PeerError> {
        let now = self.identity.clock.now();
        let pinned = self.identity.database.peer_key_pin(site, told, now).await;
        let pinned = pinned.map_err(|error| PeerError::NotTold(error.to_string()))?;
        tracing::info!(%site, fingerprint = pinned.fingerprint(), "key of another site's protector pinned");
        Ok(())
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
            let (believed, same) = tokio::join!(self.believes_us(site), self.is_the_same(site));
            believed.and(same)
        };
        self.within(site, PATIENCE, work).await
    }

    async fn key_told(&self, site: &SiteName) -> Result<Option<PublicKey>, PeerError> {
        self.within(site, KEY_PATIENCE, self.ask_for_key(site))
            .await
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
    ) -> Result<MetadataState, PeerError> {
        let site = &scope.site;
        let body = PushMetadata {
            metadata: metadata.clone(),
        };
        let work = async {
            let cloud = self.admin(site).await?;
            let path = metadata_path(scope, group);
            let answer: Result<MetadataAnswer, _> = cloud.protector().put_json(&path, &body).await;
            answer
                .map(|answer| MetadataState {
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
        known: &MetadataState,
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
