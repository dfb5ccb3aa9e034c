//! What has become of an ended operation's resources since: where its group's members are now, and which of its
//! leftovers somebody protects again.
//!
//! Groups go back and forth, and an old operation is cleaned up late. The copies that it made are gone by then; what
//! proves that its leftovers are not the only good copy are the members as they are now.

use std::collections::BTreeSet;

use crate::{
    id::SiteName,
    member::Member,
    operation::{MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap},
    runbook::unplanned_failover::is_unplanned,
};

/// A member of one of the tenant's groups, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentMember {
    /// Its group's name.
    pub group_name: String,
    /// The site on which it runs.
    pub site: SiteName,
    /// The member.
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
    protect_copies(&mut map, parent, current);
    for left in &parent.operation.plan.members {
        if let Some(now) = current.iter().find(|now| now.member.id == left.id)
            && has_moved(&parent.operation)
        {
            inherit(&mut map, parent, left, now);
        } else if is_unplanned(parent) && !was_recovered(parent, left) {
            forget_copies(&mut map, left);
        }
        protect(&mut map, &parent.operation.source_site, left, current);
    }
    map
}

fn was_recovered(failover: &OperationRecord, left: &Member) -> bool {
    let server = left.server_id.as_str();
    failover.map.target(MapKind::Recovered, server).is_some()
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
    operation.state == OperationState::Completed
        && matches!(
            operation.kind,
            OperationKind::Failover | OperationKind::Failback
        )
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

/// A server that somebody started again and protects anew is nobody's leftover, and neither are its volumes.
fn protect(map: &mut ResourceMap, source: &SiteName, left: &Member, current: &[CurrentMember]) {
    for now in current.iter().filter(|now| now.site == *source) {
        if now.member.server_id == left.server_id {
            map.insert(
                MapKind::ProtectedBy,
                left.server_id.as_str(),
                now.group_name.as_str(),
            );
        }
        let volumes = left
            .volumes
            .iter()
            .filter(|volume| now.member.volumes.iter().any(|other| other.id == volume.id));
        for volume in volumes {
            map.insert(
                MapKind::ProtectedBy,
                volume.id.as_str(),
                now.group_name.as_str(),
            );
        }
    }
}

/// A copy that an operation could not take back, and that somebody protects since, has become somebody's production.
fn protect_copies(map: &mut ResourceMap, parent: &OperationRecord, current: &[CurrentMember]) {
    if has_moved(&parent.operation) {
        return;
    }
    let mapped = parent
        .map
        .iter()
        .filter(|(kind, _, _)| matches!(kind, MapKind::Server | MapKind::Volume))
        .map(|(_, _, copy)| copy);
    let made = parent
        .steps
        .iter()
        .filter_map(|step| step.progress.memo.made.as_deref());
    let copies: BTreeSet<&str> = mapped.chain(made).collect();
    let target = &parent.operation.target_site;
    for now in current.iter().filter(|now| now.site == *target) {
        let volumes = now.member.volumes.iter().map(|volume| volume.id.as_str());
        let ids = std::iter::once(now.member.server_id.as_str()).chain(volumes);
        for id in ids.filter(|id| copies.contains(id)) {
            map.insert(MapKind::ProtectedBy, id, now.group_name.as_str());
        }
    }
}
