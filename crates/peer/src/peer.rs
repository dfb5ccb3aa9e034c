//! The protector of the other site: whether it answers, what it knows of a group, and how it is told.
//!
//! The block rule stands on this: a group is changed only while its other site can hear of it, since two copies that
//! were changed apart cannot be brought together again without losing one side's changes.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, OperationId, SiteName},
    readiness::Silence,
    site::SiteScope,
};
use protector_store::{DatedState, MetadataState, PublicKey, SiteState};
use protector_wire::{
    metadata::{HeldMetadata, NewMetadata},
    operation_copy::NewOperationCopy,
};
use serde_json::Value;
use tokio::time::timeout;

/// Why the other site's protector did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It, or its Keystone, does not answer.
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Refused(String),
    /// It could not be asked, or is there and did not tell. It is not lost.
    #[error("{0}")]
    NotTold(String),
}

impl From<PeerError> for Silence {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Unreachable(why) => Self::Unreachable(why),
            PeerError::Refused(why) => Self::Refused(why),
            PeerError::NotTold(why) => Self::NotTold(why),
        }
    }
}

/// How much of what it holds of a group the other site is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldPart {
    Mark,
    /// The metadata too, its secrets masked.
    Document,
}

/// What the other site holds of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerMetadata {
    /// Its mark, and what it knows both sites to have held.
    pub side: SiteState,
    /// When the group was last changed there.
    pub changed_at: DateTime<Utc>,
    /// The operation that moves the group there, if one does.
    pub moved_by: Option<OperationId>,
    /// Since when this site is retired there.
    pub retired_at: Option<DateTime<Utc>>,
    /// The metadata, where it was asked for.
    pub document: Option<Value>,
}

impl PeerMetadata {
    /// What it holds, and since when.
    pub fn held(&self) -> DatedState {
        DatedState {
            mark: self.side.now.clone(),
            changed_at: self.changed_at,
        }
    }
}

impl From<HeldMetadata> for PeerMetadata {
    fn from(held: HeldMetadata) -> Self {
        Self {
            side: SiteState {
                now: MetadataState {
                    version: held.version,
                    digest: held.digest,
                },
                base: held.base.map(Into::into),
            },
            changed_at: held.changed_at,
            moved_by: held.moved_by.map(OperationId::new),
            retired_at: held.retired_at,
            document: held.document,
        }
    }
}

/// The protector of another site.
#[async_trait]
pub trait Peer: Send + Sync {
    /// Sees that this side can ask the protector of `site` at all. Whoever gives that one a time in which to answer asks this
    /// first: how long one's own records take says nothing of it.
    async fn can_be_asked(&self, _site: &SiteName) -> Result<(), PeerError> {
        Ok(())
    }

    /// Sees that the protector of `site` answers.
    async fn reach(&self, site: &SiteName) -> Result<(), PeerError>;

    /// The same, that it takes this one for its peer (its health it tells anybody), and that it is still the one whose key is
    /// pinned here.
    async fn knows_us(&self, site: &SiteName) -> Result<(), PeerError> {
        self.reach(site).await
    }

    /// The key that it signs with, as it tells over the connection that is registered; `None` of a release that signs
    /// nothing.
    async fn key_told(&self, site: &SiteName) -> Result<Option<PublicKey>, PeerError>;

    /// What it holds of a group; `None` if it does not know the group. `scope` is the tenant's project there.
    async fn held(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        part: HeldPart,
    ) -> Result<Option<PeerMetadata>, PeerError>;

    /// Hands a group's metadata over. Returns what it holds then.
    async fn push(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        metadata: &NewMetadata,
    ) -> Result<MetadataState, PeerError>;

    /// Hands over what has changed of an operation that this site runs. Returns the revision that it holds then.
    async fn copy(
        &self,
        scope: &SiteScope,
        operation: &OperationId,
        copy: &NewOperationCopy,
    ) -> Result<u64, PeerError>;

    /// Asks it to hold a group still, which is about to be moved from `by_site` at `version`. It refuses when it moves
    /// the group itself, is about to, or has another version of it.
    async fn reserve(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        version: u64,
        by_site: &SiteName,
    ) -> Result<(), PeerError>;

    /// Gives that reservation back.
    async fn release(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        by_site: &SiteName,
    ) -> Result<(), PeerError>;

    /// Says that a group is deleted, of which `known` was held here. Not known there: fine. It refuses when it holds
    /// something else.
    async fn withdraw(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        known: &MetadataState,
    ) -> Result<(), PeerError>;
}

/// The site of `group` that is not `local`.
pub fn other_scope<'g>(group: &'g Group, local: &SiteName) -> &'g SiteScope {
    if &group.primary.site == local {
        &group.secondary
    } else {
        &group.primary
    }
}

/// How long one's own records may take after a question has run out of time, before they are what it waited for.
const OWN_PATIENCE: Duration = Duration::from_secs(1);

/// A question to the protector of `site` with a time in which to answer it. What runs out of it is silent only if one's own
/// records, which a question reads too, were there before and are there after it.
pub async fn within<T>(
    peer: &dyn Peer,
    site: &SiteName,
    patience: Duration,
    question: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    if let Err(unable @ PeerError::NotTold(_)) = peer.can_be_asked(site).await {
        return Err(unable);
    }
    if let Ok(answer) = timeout(patience, question).await {
        return answer;
    }
    match timeout(OWN_PATIENCE, peer.can_be_asked(site)).await {
        Ok(Ok(())) => Err(PeerError::Unreachable(format!(
            "{site} did not answer within {} s",
            patience.as_secs()
        ))),
        Ok(Err(unable)) => Err(unable),
        Err(_) => Err(PeerError::NotTold(format!(
            "{site} was not asked in time: this site's own database is slow"
        ))),
    }
}
