//! Fencing: what moves have left of a group, and may run beside it, is stopped, on either site.
//!
//! Which servers that are is told by this site's records: what completed moves left, and the copies of those that failed; and by
//! the copies of the other site's records: of what both have left all is stopped, by whichever is asked, since its end says that
//! the group runs once. What nobody has a record of is told by the marks of the copies that run: a database may have been
//! restored from before it all.

use std::collections::{BTreeMap, BTreeSet};

use protector_core::{
    group::{Group, GroupStatus},
    id::{NetworkId, OperationId, ServerId, VolumeId},
    mark,
    member::{Member, MemberStatus},
    operation::{OperationKind, OperationRecord, Planning, ResourceMap},
    plan::{ArrayPair, Plan},
    runbook::{fence::fence, unplanned_failover::replicas_left},
    storage::PromotionKind,
};
use protector_peer::peer::{PeerError, other_scope};
use protector_store::{KeptOperation, LeftoverServers, PeerOperation, StoredGroup};
use serde_json::Value;

use crate::{
    app::{
        App,
        block_rule::not_in_sync,
        elsewhere::lives_elsewhere,
        policy::array_pair,
        refusal::Refusal,
        reset_status::{expected_of, holdings},
        start::{
            admission::{refuse_wrong_status, refused},
            last_move::last_completed,
            left_behind::leftover_servers_in_copy,
            new_operation::{Asker, Run, start},
        },
        sync,
    },
    http::error::{ApiError, ApiResult},
};

/// Starts the fencing of what moves have left: everything that an unplanned failover left on the site that the group came from,
/// what a planned move could not or was not to delete, and every copy that was made and is not the group's, on either site.
pub async fn start_fence(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
) -> ApiResult<OperationRecord> {
    let group = &stored.group;
    app.refuse_while_operated(group).await?;
    refuse_wrong_status(group, OperationKind::Fence)?;
    sync::refuse_in_conflict(app, &group.id).await?;
    sync::refuse_what_is_newer_there(app, group).await?;
    let members = app.database.member_list(&group.id).await?;
    let own = app.database.leftover_servers_of(&group.id).await?;
    let of_both = app.database.leftover_servers_of_both(&group.id).await?;
    let left = match last_completed(app, &group.id).await? {
        Some(KeptOperation::Here(record)) if record.operation.is_unplanned() || !own.is_empty() => {
            Left::recorded(app, *record).await?
        }
        Some(KeptOperation::Elsewhere(copy)) => {
            if own.is_empty() {
                refuse_while_its_home_answers(app, group, &copy).await?;
            }
            left_elsewhere(app, group, &members, &copy, &of_both).await?
        }
        _ if !of_both.is_empty() => Left::of(app, group, &members, Vec::new()).await?,
        _ => seen(app, group, &members).await?,
    };
    let plan = without_unmoved(left.plan, &members);
    let plan = with_what_records_tell(plan, group, &members, of_both);
    let is_empty = plan.members.is_empty() && plan.left_on_target.is_empty();
    if is_empty && left.by.is_none() {
        return Err(nothing_to_fence(group));
    }
    let steps = fence(&plan, left.planning)
        .into_steps()
        .map_err(ApiError::internal)?;
    let run = Run {
        kind: OperationKind::Fence,
        planning: Planning::Planned,
        plan,
        steps,
        map: left.map,
        parent: left.by,
        supersedes: None,
        locks: Vec::new(),
    };
    start(app, asker, stored, run).await
}

/// What is to be fenced: the members of a plan, on its source.
struct Left {
    plan: Plan,
    map: ResourceMap,
    /// The failover that left it, if this site has its record.
    by: Option<OperationId>,
    /// Whether that took its source with it.
    planning: Planning,
}

impl Left {
    /// Of those that it has made a copy of: the others run where they did, also when their owner has taken them out of the
    /// group since.
    async fn recorded(app: &App, failover: OperationRecord) -> ApiResult<Self> {
        let open: BTreeSet<VolumeId> = replicas_left(&failover).cloned().collect();
        let mut plan = failover.operation.plan;
        let servers: Vec<&str> = plan.members.iter().map(|m| m.server_id.as_str()).collect();
        let copied = app.database.copied_among(&servers).await?;
        plan.members
            .retain(|member| copied.contains(member.server_id.as_str()));
        // What a cleanup has made a replica takes no writes, and the array need not know any more who has promoted its copy.
        for member in &mut plan.members {
            member
                .volumes
                .retain(|volume| plan.promotion.is_copy() || open.contains(&volume.id));
        }
        Ok(Self {
            plan,
            map: failover.map,
            by: Some(failover.operation.id),
            planning: failover.operation.planning,
        })
    }

    /// The servers of `old`, each with its member, on the site where the group does not run. Their volumes are not known, so none
    /// is closed, and the record says so where arrays promote in place.
    async fn of(app: &App, group: &Group, members: &[Member], old: Vec<Member>) -> ApiResult<Self> {
        let policy = app.database.policy_find(&group.id).await?;
        // No array is asked, and one that is not known here keeps no server running.
        let arrays = match array_pair(app, group, policy.as_ref()) {
            Ok(Some(arrays)) => arrays,
            Ok(None) | Err(_) => ArrayPair {
                primary: String::new(),
                secondary: String::new(),
                promotion: PromotionKind::Copy,
            },
        };
        let networks = group.mappings_from_current().networks;
        let old = old.into_iter().map(|member| as_it_was(member, &networks));
        let plan = Plan::replicate_to_other_site(group, members.to_vec(), Some(&arrays))
            .map_err(|refusal| refused(group, &refusal))?;
        // A fence acts where the failover came from: on the other site, not on the one where the group runs.
        let plan = Plan {
            source: group.other().clone(),
            target: group.current().clone(),
            mappings: plan.mappings.reversed(),
            members: old.collect(),
            ..plan
        };
        Ok(Self {
            plan,
            map: ResourceMap::default(),
            by: None,
            planning: Planning::Planned,
        })
    }
}

/// A member on the networks of the other site: a 404 there is believed when one of them is known.
fn as_it_was(mut member: Member, networks: &BTreeMap<String, String>) -> Member {
    member.status = MemberStatus::Protected;
    for nic in &mut member.server.nics {
        if let Some(there) = networks.get(nic.network_id.as_str()) {
            nic.network_id = NetworkId::new(there.clone());
        }
    }
    member
}

/// What a move of the other site has left, and nothing of this one's: that site is the one to fence it, while it answers.
async fn refuse_while_its_home_answers(
    app: &App,
    group: &Group,
    copy: &PeerOperation,
) -> ApiResult<()> {
    let there = &other_scope(group, &app.settings.site_name).site;
    match app.peer.reach(there).await {
        Ok(()) => Err(lives_elsewhere(copy, &format!("fence {}", group.name))),
        Err(unknown @ PeerError::NotTold(_)) => Err(not_in_sync(there, &unknown)),
        Err(PeerError::Unreachable(_) | PeerError::Refused(_)) => Ok(()),
    }
}

/// What the copies of moves tell that the other site has run; where they tell nothing, what is seen.
async fn left_elsewhere(
    app: &App,
    group: &Group,
    members: &[Member],
    copy: &PeerOperation,
    of_both: &[LeftoverServers],
) -> ApiResult<Left> {
    let lines = app.database.peer_operation_lines(&copy.id).await?;
    let old = in_copy(members, &lines);
    if !old.is_empty() || !of_both.is_empty() {
        return Left::of(app, group, members, old).await;
    }
    match copy.is_unplanned() {
        true => Err(nothing_to_fence(group)),
        false => seen(app, group, members).await,
    }
}

/// The old servers that the copied lines of a move name.
fn in_copy(members: &[Member], lines: &[Value]) -> Vec<Member> {
    leftover_servers_in_copy(lines)
        .enumerate()
        .filter_map(|(place, line)| of_line(members, place, line))
        .collect()
}

/// The old server of a copied line, as a member. Of the member itself no more is known than its name.
fn of_line(members: &[Member], place: usize, line: &Value) -> Option<Member> {
    let id = line.get("resource_id")?.as_str()?;
    let key = line.get("key")?.as_str()?;
    let name = key.split_once(':').map_or(key, |(_, name)| name);
    let known = members.iter().find(|member| member.name == name);
    let member = known.or_else(|| members.get(place)).or(members.first())?;
    Some(Member {
        name: name.to_owned(),
        server_id: ServerId::new(id),
        volumes: Vec::new(),
        ..member.clone()
    })
}

/// The old servers that the marks of the group's own servers name. Who is not split brain has none that run.
async fn seen(app: &App, group: &Group, members: &[Member]) -> ApiResult<Left> {
    if group.status != GroupStatus::SplitBrain {
        return Err(nothing_to_fence(group));
    }
    let mut old = Vec::new();
    let mut unknown = Vec::new();
    let here = group.current();
    let shown = holdings(app, here, &expected_of(members)).await?.held;
    let moved = members
        .iter()
        .filter(|member| member.status == MemberStatus::Protected);
    for member in moved {
        let server = shown
            .iter()
            .find(|held| held.id == member.server_id.as_str());
        match server.and_then(|server| server.metadata.get(mark::SOURCE)) {
            Some(id) => old.push(Member {
                server_id: ServerId::new(id.clone()),
                volumes: Vec::new(),
                ..member.clone()
            }),
            None => unknown.push(member.name.as_str()),
        }
    }
    if unknown.is_empty() && !old.is_empty() {
        return Left::of(app, group, members, old).await;
    }
    Err(ApiError::new(
        Refusal::SplitBrain,
        format!(
            "Protection group {name} is split_brain, no site has a record of what left its old VMs on {there}, and nothing on {here} tells which they are of {}: stop them with 'openstack --os-cloud {there} server stop <server>', then 'openstack dr protection-group reset-status {name}' looks at both sites and ends it.",
            unknown.join(", "),
            name = group.name,
            there = group.other().site,
            here = here.site,
        ),
    ))
}

/// A member that was not recovered runs where it was, if it runs: that is no split brain, and may be all there is of it.
fn without_unmoved(mut plan: Plan, members: &[Member]) -> Plan {
    plan.members.retain(|known| {
        !members.iter().any(|member| {
            member.status == MemberStatus::Error && member.server_id == known.server_id
        })
    });
    plan
}

/// What the records tell of both sites beside it; of these servers no more is known than the id.
fn with_what_records_tell(
    mut plan: Plan,
    group: &Group,
    members: &[Member],
    left: Vec<LeftoverServers>,
) -> Plan {
    let networks = group.mappings_from_current().networks;
    let known: BTreeSet<ServerId> = plan.members.iter().map(|m| m.server_id.clone()).collect();
    let pattern = members.iter().find(|m| m.status == MemberStatus::Protected);
    let pattern = pattern.map(|member| as_it_was(member.clone(), &networks));
    for there in left {
        if there.site == plan.target.site {
            plan.left_on_target.extend(there.servers);
            continue;
        }
        let Some(pattern) = &pattern else { continue };
        let unknown = there.servers.into_iter().filter(|id| !known.contains(id));
        plan.members.extend(unknown.map(|server| Member {
            name: server.to_string(),
            server_id: server,
            volumes: Vec::new(),
            ..pattern.clone()
        }));
    }
    plan
}

fn nothing_to_fence(group: &Group) -> ApiError {
    ApiError::new(
        Refusal::NothingToDo,
        format!(
            "Protection group {} has nothing to fence: no move of it that this site has a record of has left a server.",
            group.name
        ),
    )
}
