//! What has become of an ended operation's resources since: where its group's members are now.
//!
//! Whether somebody protects a leftover again is not looked up here, but when it is about to be deleted
//! (`Journal::protection_of`): a cleanup may wait for hours.
//!
//! Groups go back and forth, and an old operation is cleaned up late. The copies that it made are gone by then; what
//! proves that its leftovers are not the only good copy are the members as they are now.

use crate::{
    id::SiteName,
    member::Member,
    operation::{MapKind, Operation, OperationRecord, OperationState, ResourceMap},
};

/// A member of one of the tenant's groups, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentMember {
    /// The site on which it runs.
    pub site: SiteName,
    pub member: Member,
}

/// `parent`'s map with what its group's members have become since, for its cleanup.
///
/// A member keeps its id over all moves, and its volumes their order. Where the group runs on the target of `parent`,
/// the entries of servers and volumes name what runs there now; where it is back on the source, `ReturnedServer` and
/// `ReturnedVolume` do. A member that has left its group has no heir: its leftovers keep the copies that `parent` made.
///
/// What an operation left that moved nothing are its own copies: its map is all that tells them from what runs there
/// now, and stays as it is.
pub fn map_as_of_now(parent: &OperationRecord, current: &[CurrentMember]) -> ResourceMap {
    let mut map = parent.map.clone();
    for left in &parent.operation.plan.members {
        if let Some(now) = current.iter().find(|now| now.member.id == left.id)
            && has_moved(&parent.operation)
        {
            inherit(&mut map, parent, left, now);
        } else if parent.operation.is_unplanned() && !was_recovered(parent, left) {
            forget_copies(&mut map, left);
        }
    }
    map
}

fn was_recovered(failover: &OperationRecord, left: &Member) -> bool {
    failover.map.recovered(&left.server_id).is_some()
}

/// What an unplanned failover made for a member that it could not recover proves nothing: the original may be all there is.
fn forget_copies(map: &mut ResourceMap, left: &Member) {
    map.remove(MapKind::Server, left.server_id.as_str());
    for volume in &left.volumes {
        map.remove(MapKind::Volume, volume.id.as_str());
    }
}

/// Whether the operation moved its group for good, so that its leftovers are originals.
fn has_moved(operation: &Operation) -> bool {
    operation.state == OperationState::Completed && operation.kind.is_a_move()
}

fn inherit(map: &mut ResourceMap, parent: &OperationRecord, left: &Member, now: &CurrentMember) {
    let operation = &parent.operation;
    let (server, volume) = if now.site == operation.target_site {
        (MapKind::Server, MapKind::Volume)
    } else if now.site == operation.source_site && now.member.server_id != left.server_id {
        (MapKind::ReturnedServer, MapKind::ReturnedVolume)
    } else {
        return;
    };
    if now.member.volumes.len() != left.volumes.len() {
        return;
    }
    map.insert(
        server,
        left.server_id.as_str(),
        now.member.server_id.as_str(),
    );
    for (was, is) in left.volumes.iter().zip(&now.member.volumes) {
        map.insert(volume, was.id.as_str(), is.id.as_str());
    }
}
