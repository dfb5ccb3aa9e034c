//! The other site as an engine sees it that moves a group away from here: whether it holds the group still.

use std::sync::Arc;

use async_trait::async_trait;
use protector_core::{
    group::{Group, GroupStatus},
    id::SiteName,
    operation::{Operation, OperationRecord},
    peer_site::{PeerSite, ReservationError},
};
use protector_store::{Database, Lineage, Outgoing, StoreError, lineage};

use crate::peer::{HeldPart, Peer, PeerError, PeerMetadata, other_scope};

/// The protector of the other site, and what is known here of what it holds.
pub struct PeerProtector {
    pub database: Database,
    /// The other sites' protectors.
    pub peer: Arc<dyn Peer>,
    pub site: SiteName,
}

#[async_trait]
impl PeerSite for PeerProtector {
    async fn hold_still(&self, operation: &Operation) -> Result<(), ReservationError> {
        let ours = self.database.metadata_outgoing(&operation.group_id).await;
        let ours = ours.map_err(|error| ReservationError::NotTold(error.to_string()))?;
        self.hold(&ours).await
    }

    async fn still_leaves(&self, operation: &Operation) -> Result<(), ReservationError> {
        let ours = self.database.metadata_to_compare(&operation.group_id).await;
        let ours = ours.map_err(|error| ReservationError::NotTold(error.to_string()))?;
        self.has_moved_on(&ours).await
    }

    async fn still_paired(&self, operation: &Operation) -> Result<(), ReservationError> {
        let ours = match self.database.metadata_to_compare(&operation.group_id).await {
            Ok(ours) => Some(ours),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(ReservationError::NotTold(error.to_string())),
        };
        let plan = &operation.plan;
        let there = match plan.source.site == self.site {
            true => &plan.target,
            false => &plan.source,
        };
        let held = self.peer.held(there, &operation.group_id, HeldPart::Mark);
        let theirs = held.await.map_err(not_told)?;
        let why = unpaired(ours.as_ref(), theirs.as_ref(), &there.site);
        why.map_or(Ok(()), |why| Err(ReservationError::MovedOn(why)))
    }

    async fn still_stopped(&self, operation: &Operation) -> Result<(), ReservationError> {
        let ours = match self.database.metadata_outgoing(&operation.group_id).await {
            Ok(ours) => ours,
            Err(StoreError::NotFound { .. }) => {
                return Err(ReservationError::MovedOn(format!(
                    "protection group {} was deleted since operation {} stopped it",
                    operation.plan.group_name, operation.id
                )));
            }
            Err(error) => return Err(ReservationError::NotTold(error.to_string())),
        };
        let moving = self.database.operation_moving(&operation.group_id).await;
        let moving = moving.map_err(|error| ReservationError::NotTold(error.to_string()))?;
        if let Some(why) = has_changed(&ours.document.group, operation, moving.as_ref()) {
            return Err(ReservationError::MovedOn(why));
        }
        if operation.source_site == self.site {
            return self.hold(&ours).await;
        }
        Ok(())
    }
}

impl PeerProtector {
    /// What the other site holds now, and nothing more.
    async fn has_moved_on(&self, ours: &Outgoing) -> Result<(), ReservationError> {
        let group = &ours.document.group;
        let there = other_scope(group, &self.site);
        let held = self.peer.held(there, &group.id, HeldPart::Mark).await;
        let theirs = held.map_err(not_told)?;
        let why = theirs.and_then(|theirs| moved_on(ours, &theirs, &there.site));
        why.map_or(Ok(()), |why| Err(ReservationError::MovedOn(why)))
    }

    async fn hold(&self, ours: &Outgoing) -> Result<(), ReservationError> {
        let group = &ours.document.group;
        if ours.peer_retired_at.is_some() {
            // Nobody is left who could move it.
            return Ok(());
        }
        let there = other_scope(group, &self.site);
        let held = self.peer.held(there, &group.id, HeldPart::Mark).await;
        let Some(theirs) = held.map_err(not_told)? else {
            return not_known_there(ours, &there.site);
        };
        if let Some(why) = moved_on(ours, &theirs, &there.site) {
            return Err(ReservationError::MovedOn(why));
        }
        let version = theirs.side.now.version;
        let reserved = self.peer.reserve(there, &group.id, version, &self.site);
        reserved.await.map_err(not_told)
    }
}

/// A site that has never known the group cannot have moved it. One that has known it answers like this only where
/// somebody else answers for its protector, or it was restored from an old copy.
fn not_known_there(ours: &Outgoing, there: &SiteName) -> Result<(), ReservationError> {
    if ours.side.base.is_none() {
        return Ok(());
    }
    Err(ReservationError::Silent(format!(
        "{there} answers that it does not know protection group {}, which it did",
        ours.document.group.name
    )))
}

/// What has become of the group since `failed` left it in error with servers stopped, if anything has.
fn has_changed(
    group: &Group,
    failed: &Operation,
    moving: Option<&OperationRecord>,
) -> Option<String> {
    if let Some(moving) = moving {
        let id = &moving.operation.id;
        return Some(format!(
            "operation {id} moves protection group {}",
            group.name
        ));
    }
    let is_as_it_was =
        group.status == GroupStatus::Error && group.current_primary_site == failed.source_site;
    (!is_as_it_was).then(|| {
        format!(
            "protection group {} is {} on {} by now",
            group.name, group.status, group.current_primary_site
        )
    })
}

/// That the other site goes on without this one, if it says so: it has retired it, or does not know the group any more, which
/// it did, and which was not deleted here. A group that this site has retired the other one of is nobody's there.
fn unpaired(
    ours: Option<&Outgoing>,
    theirs: Option<&PeerMetadata>,
    there: &SiteName,
) -> Option<String> {
    if theirs.is_some_and(|theirs| theirs.retired_at.is_some()) {
        return Some(format!(
            "{there} has retired this site, and may protect it anew: look at it there, and delete it by hand if nobody needs it"
        ));
    }
    let ours = ours.filter(|ours| ours.side.base.is_some() && ours.peer_retired_at.is_none())?;
    theirs.is_none().then(|| {
        format!(
            "{there} does not know protection group {} any more, which it did, and may protect it anew: look at it there, and delete it by hand if nobody needs it",
            ours.document.group.name
        )
    })
}

fn not_told(error: PeerError) -> ReservationError {
    match error {
        PeerError::Unreachable(why) => ReservationError::Silent(why),
        PeerError::Refused(why) => ReservationError::TurnedAway(why),
        PeerError::NotTold(why) => ReservationError::NotTold(why),
    }
}

/// What the other site has done with the group that this one did not hear of, if it has.
fn moved_on(ours: &Outgoing, theirs: &PeerMetadata, there: &SiteName) -> Option<String> {
    let name = &ours.document.group.name;
    if theirs.retired_at.is_some() {
        return Some(format!(
            "{there} has retired this site, and says itself where protection group {name} runs"
        ));
    }
    if let Some(operation) = &theirs.moved_by {
        return Some(format!(
            "{there} moves protection group {name} itself, with operation {operation}"
        ));
    }
    match lineage(&ours.side, &theirs.side) {
        Lineage::Same | Lineage::NewerHere => None,
        Lineage::NewerAtPeer | Lineage::Conflict => Some(format!(
            "{there} has moved or changed protection group {name} meanwhile (version {})",
            theirs.side.now.version
        )),
    }
}

#[cfg(test)]
mod tests {
    use protector_core::journal_conformance::{group, operation};
    use protector_store::{MetadataDocument, MetadataState, SiteState};

    use super::*;

    fn left_in_error() -> (Group, Operation) {
        let record = operation(1);
        let mut group = group(&record);
        group.status = GroupStatus::Error;
        group.current_primary_site = record.operation.source_site.clone();
        (group, record.operation)
    }

    /// Both sites hold the same, and the other one has retired this one or not.
    fn told(retired: bool) -> Option<String> {
        let (ours, theirs) = both_hold(retired);
        moved_on(&ours, &theirs, &"site-b".into())
    }

    #[test]
    fn what_is_left_on_a_site_that_goes_on_without_this_one_is_kept() {
        let there = "site-b".into();
        let (mut ours, theirs) = both_hold(false);
        assert_eq!(unpaired(Some(&ours), Some(&theirs), &there), None);
        let gone = unpaired(Some(&ours), None, &there).unwrap();
        assert!(gone.contains("does not know protection group"), "{gone}");
        // Deleted here too, or never known there, or retired by this site.
        assert_eq!(unpaired(None, None, &there), None);
        ours.peer_retired_at = Some(theirs.changed_at);
        assert_eq!(unpaired(Some(&ours), None, &there), None);
        ours.peer_retired_at = None;
        ours.side.base = None;
        assert_eq!(unpaired(Some(&ours), None, &there), None);
        let (_, retired) = both_hold(true);
        for ours in [None, Some(&ours)] {
            let why = unpaired(ours, Some(&retired), &there).unwrap();
            assert!(why.contains("site-b has retired this site"), "{why}");
        }
    }

    fn both_hold(retired: bool) -> (Outgoing, PeerMetadata) {
        let (group, failed) = left_in_error();
        let document = serde_json::json!({"group": group, "members": [], "policy": null});
        let document = MetadataDocument::from_json(document).unwrap();
        let now = MetadataState {
            version: group.version,
            digest: document.digest().unwrap(),
        };
        let side = SiteState {
            base: Some(now.clone().into()),
            now,
        };
        let theirs = PeerMetadata {
            side: side.clone(),
            changed_at: group.updated_at,
            moved_by: None,
            retired_at: retired.then_some(group.updated_at),
            document: None,
        };
        let ours = Outgoing {
            document,
            side,
            local_project_id: failed.project_id,
            conflict: None,
            peer_retired_at: None,
        };
        (ours, theirs)
    }

    #[test]
    fn a_site_that_was_retired_has_nothing_to_move_any_more() {
        assert_eq!(told(false), None);
        let why = told(true).unwrap();
        assert!(why.contains("site-b has retired this site"), "{why}");
    }

    #[test]
    fn a_server_is_started_again_only_while_its_group_is_as_the_failed_move_left_it() {
        let (group, failed) = left_in_error();
        assert_eq!(has_changed(&group, &failed, None), None);
        let moving = operation(2);
        let why = has_changed(&group, &failed, Some(&moving)).unwrap();
        assert!(why.contains(moving.operation.id.as_str()), "{why}");
        let (mut mended, _) = left_in_error();
        mended.status = GroupStatus::Active;
        assert!(has_changed(&mended, &failed, None).is_some());
        let (mut moved, _) = left_in_error();
        moved.current_primary_site = failed.target_site.clone();
        assert!(has_changed(&moved, &failed, None).is_some());
    }
}
