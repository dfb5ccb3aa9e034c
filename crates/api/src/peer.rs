//! The protector of the other site: whether it answers, what it knows of a group, and how it is told.
//!
//! The block rule stands on this: a group is changed only while its other site can hear of it, since two copies that
//! were changed apart cannot be brought together again without losing one side's changes.

use async_trait::async_trait;
use protector_core::{
    group::Group,
    id::{GroupId, SiteName},
    site::SiteScope,
};

use crate::{
    error::{ApiError, ApiResult},
    wire::metadata::NewMetadata,
};

/// The refusal of the block rule, word for word as operators know it.
pub const REMOTE_UNREACHABLE: &str = "Remote site unreachable — metadata sync required";

/// Why the other site's protector did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It, or its Keystone, does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// The protector of another site.
#[async_trait]
pub trait Peer: Send + Sync {
    /// Sees that the protector of `site` answers.
    async fn reach(&self, site: &SiteName) -> Result<(), PeerError>;

    /// The version of a group's metadata there; `None` if it does not know the group.
    async fn version(&self, scope: &SiteScope, group: &GroupId) -> Result<Option<u64>, PeerError>;

    /// Hands a group's metadata over. `scope` is the tenant's project there.
    async fn push(
        &self,
        scope: &SiteScope,
        group: &GroupId,
        metadata: &NewMetadata,
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

    /// Says that a group is deleted. Not known there: fine.
    async fn withdraw(&self, scope: &SiteScope, group: &GroupId) -> Result<(), PeerError>;
}

/// The site of `group` that is not `local`.
pub fn other_scope<'g>(group: &'g Group, local: &SiteName) -> &'g SiteScope {
    if &group.primary.site == local {
        &group.secondary
    } else {
        &group.primary
    }
}

/// The block rule: refuses while the protector of `site` does not answer.
pub async fn require(peer: &dyn Peer, site: &SiteName) -> ApiResult<()> {
    peer.reach(site).await.map_err(|error| {
        ApiError::conflict(REMOTE_UNREACHABLE).with_detail(format!("{site}: {error}"))
    })
}
