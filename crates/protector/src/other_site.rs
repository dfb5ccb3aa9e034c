//! The other site as an engine sees it that moves a group away from here: whether it holds the group still.

use std::sync::Arc;

use async_trait::async_trait;
use protector_api::peer::{HeldPart, Peer, PeerError, PeerMetadata, other_scope};
use protector_core::{id::SiteName, operation::Operation};
use protector_engine::other_site::{HoldError, OtherSite};
use protector_store::{Database, Lineage, Outgoing, lineage};

/// The protector of the other site, and what is known here of what it holds.
pub struct OtherProtector {
    /// This site's records.
    pub database: Database,
    /// The other sites' protectors.
    pub peer: Arc<dyn Peer>,
    /// This site.
    pub site: SiteName,
}

#[async_trait]
impl OtherSite for OtherProtector {
    async fn hold_still(&self, operation: &Operation) -> Result<(), HoldError> {
        let ours = self.database.metadata_outgoing(&operation.group_id).await;
        let ours = ours.map_err(|error| HoldError::Silent(error.to_string()))?;
        let group = &ours.document.group;
        let there = other_scope(group, &self.site);
        let held = self.peer.held(there, &group.id, HeldPart::Mark).await;
        // A site that does not know the group cannot have moved it.
        let Some(theirs) = held.map_err(silent)? else {
            return Ok(());
        };
        if let Some(why) = moved_on(&ours, &theirs, &there.site) {
            return Err(HoldError::MovedOn(why));
        }
        let version = theirs.side.now.version;
        let reserved = self.peer.reserve(there, &group.id, version, &self.site);
        reserved.await.map_err(silent)
    }
}

fn silent(error: PeerError) -> HoldError {
    HoldError::Silent(error.to_string())
}

/// What the other site has done with the group that this one did not hear of, if it has.
fn moved_on(ours: &Outgoing, theirs: &PeerMetadata, there: &SiteName) -> Option<String> {
    let name = &ours.document.group.name;
    if let Some(operation) = &theirs.moved_by {
        return Some(format!(
            "{there} moves protection group {name} itself, with operation {operation}"
        ));
    }
    match lineage(&ours.side, &theirs.side) {
        Lineage::Same | Lineage::OursIsNewer => None,
        Lineage::TheirsIsNewer | Lineage::Conflict => Some(format!(
            "{there} has moved or changed protection group {name} meanwhile (version {})",
            theirs.side.now.version
        )),
    }
}
