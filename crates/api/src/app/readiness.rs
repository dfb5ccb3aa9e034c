//! Gathering what the readiness check judges: both clouds, both arrays and the other protector, side by side, each with
//! a deadline of its own. Changes nothing on them.

use futures_util::{StreamExt as _, stream};
use protector_clouds::{clouds::WantedThere, site_readings::PATIENCE};
use protector_core::{
    group::{Group, ResourceMappings},
    id::{GroupId, SiteName, VolumeId},
    leftover::leftover_count,
    member::{Member, ProtectedVolume},
    operation::{OperationKind, OperationState},
    orphan::CloudResource,
    readiness::{ArraysSeen, Asked, Earlier, Facts, PeerSeen, Silence, Sync, is_ready, judge},
    runbook::resource::ResourceKind,
    storage::{CinderVolume, Replication, StorageDriver, StorageError},
};
use protector_peer::peer::other_scope;
use protector_store::{
    KeptOperation, OperationFilter, OperationOrder, OrderDirection, Page, PeerOperation,
    StoredGroup,
};
use protector_wire::{metadata::SyncView, readiness::CheckView};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use super::{App, comparison::wanted_there, sync};
use crate::{
    app::{
        refusal::RefusalKind,
        start::{
            left_behind::left_on_the_way_back,
            planned::{Move, plan_move_here},
        },
    },
    http::error::ApiResult,
};

/// How many volumes an array is asked about at once.
const SIDE_BY_SIDE: usize = 8;

/// How many earlier operations are named.
const EARLIER: u64 = 20;

/// Checks a group.
///
/// # Errors
/// What the local database says; everything else that fails is a finding.
pub async fn check(app: &App, stored: &StoredGroup) -> ApiResult<CheckView> {
    let group = &stored.group;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let moving = app.database.operation_moving(&group.id).await?;
    let earlier = earlier(app, &group.id).await?;
    let no_way_back = no_way_back(app, group, &members).await?;
    let beside = runs_beside(app, group).await?;
    let in_the_way: Vec<String> = no_way_back.into_iter().chain(beside).collect();
    let no_way_back = (!in_the_way.is_empty()).then(|| in_the_way.join(" "));
    let refused = refused(app, stored).await?;
    let arrays = async {
        match &policy {
            Some(policy) => {
                let replication = policy.replication(group);
                let here = |member: &&Member| group.site_of(member) == &group.current_primary_site;
                let moving: Vec<&Member> = members.iter().filter(here).collect();
                Some(arrays_seen(&*app.storage, &moving, replication).await)
            }
            None => None,
        }
    };
    let kind = group.replication_type;
    let wanted = wanted(group, &members);
    let (source, target, there, peer, arrays) = tokio::join!(
        app.clouds.source_seen(group.current(), kind),
        app.clouds.target_seen(group.other(), kind),
        app.clouds.there_seen(group.other(), &wanted),
        peer_seen(app, stored),
        arrays,
    );
    let now = app.clock.now();
    let findings = judge(&Facts {
        now,
        group,
        members: &members,
        rpo_minutes: policy.map(|policy| policy.rpo_minutes),
        moving: moving.map(|record| record.operation.id),
        peer,
        source,
        target,
        there,
        arrays,
        earlier,
        no_way_back,
        refused,
    });
    Ok(CheckView {
        ready: is_ready(&findings),
        checked_at: now.into(),
        findings: findings.into_iter().map(Into::into).collect(),
    })
}

/// What the copies of those members would ask for that are moved.
fn wanted(group: &Group, members: &[Member]) -> WantedThere {
    let moved = members
        .iter()
        .filter(|member| group.site_of(member) == &group.current_primary_site);
    let mappings = group.mappings_from_current();
    let recovery = group.recovery_plan_from_current(group.kind_of_move());
    wanted_there(moved, &mappings, &recovery)
}

/// Earlier operations that left something, and test failovers whose copies are up.
pub(super) async fn earlier(app: &App, group: &GroupId) -> ApiResult<Vec<Earlier>> {
    let of_group = OperationFilter {
        groups: vec![group.clone()],
        ..OperationFilter::default()
    };
    let with_leftovers = OperationFilter {
        with_leftovers: true,
        ..of_group.clone()
    };
    let up = OperationFilter {
        kinds: vec![OperationKind::TestFailover],
        states: vec![OperationState::AwaitingCleanup],
        ..of_group
    };
    let page = Page {
        limit: EARLIER,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    };
    let mut found = Vec::new();
    for filter in [with_leftovers, up] {
        let listed = app.database.operation_list_of_both(&filter, &page).await?;
        for kept in listed.items {
            found.extend(not_done_with(app, kept).await?);
        }
    }
    Ok(found)
}

/// An earlier operation as the check names it; `None` for a copy of a kind that this release does not know.
async fn not_done_with(app: &App, kept: KeptOperation) -> ApiResult<Option<Earlier>> {
    match kept {
        KeptOperation::Here(record) => Ok(Some(Earlier {
            left: leftover_count(&app.database.operation_as_left(&record).await?),
            id: record.operation.id,
            kind: record.operation.kind,
            source_site: record.operation.source_site,
            elsewhere: None,
        })),
        KeptOperation::Elsewhere(copy) => Ok(copy_not_done_with(copy)),
    }
}

fn copy_not_done_with(copy: PeerOperation) -> Option<Earlier> {
    let left = copy.record.get("leftovers").and_then(Value::as_u64);
    Some(Earlier {
        kind: serde_json::from_value(Value::String(copy.kind)).ok()?,
        source_site: copy.record.get("source_site")?.as_str()?.into(),
        left: usize::try_from(left.unwrap_or(0)).unwrap_or(usize::MAX),
        id: copy.id,
        elsewhere: Some(copy.home_site),
    })
}

/// By what the start of a planned move is refused while leftovers are in its way: the start's own words.
async fn no_way_back(app: &App, group: &Group, members: &[Member]) -> ApiResult<Option<String>> {
    let stay: Vec<&Member> = members
        .iter()
        .filter(|member| group.site_of(member) != &group.current_primary_site)
        .collect();
    let refused = left_on_the_way_back(app, group, &stay).await?;
    Ok(refused.map(|refusal| refusal.message().to_owned()))
}

/// What moves have left of the group and is seen running, on either site: each with whoever made it. A site that does not answer
/// tells nothing; the watch of split brains asks it again.
async fn runs_beside(app: &App, group: &Group) -> ApiResult<Option<String>> {
    let mut running = Vec::new();
    for left in app.database.leftover_servers_of(&group.id).await? {
        let scopes = [&group.primary, &group.secondary];
        let Some(scope) = scopes.into_iter().find(|scope| scope.site == left.site) else {
            continue;
        };
        let Ok(Ok(shown)) = timeout(PATIENCE, app.clouds.holdings(scope, &[])).await else {
            continue;
        };
        let servers = shown.held.iter().filter(|held| {
            held.kind == ResourceKind::Server
                && left.servers.iter().any(|id| id.as_str() == held.id)
                && !matches!(
                    held.status.as_str(),
                    "SHUTOFF" | "SHELVED" | "SHELVED_OFFLOADED" | "SOFT_DELETED" | "DELETED"
                )
        });
        running.extend(servers.map(|held| running_copy(&left.site, held)));
    }
    Ok((!running.is_empty()).then(|| {
        format!(
            "Beside protection group {name} runs what moves have left of it: {}. 'openstack dr fence {name}' stops that.",
            running.join("; "),
            name = group.name
        )
    }))
}

fn running_copy(site: &SiteName, held: &CloudResource) -> String {
    let (id, name, status) = (&held.id, &held.name, &held.status);
    match held.marked_by() {
        Some(by) => format!(
            "server {id} ({name}) is {status} on {site}, made by operation {by}, whose cleanup takes it back"
        ),
        None => format!("server {id} ({name}) is {status} on {site}"),
    }
}

/// By what a planned start without mappings of its own would be refused now, as far as this site's records tell.
async fn refused(app: &App, stored: &StoredGroup) -> ApiResult<Option<String>> {
    let group = &stored.group;
    let asked = Move {
        kind: group.kind_of_move(),
        mappings: ResourceMappings::default(),
        retain_source_volumes: Some(false),
        retains_otherwise: false,
    };
    match plan_move_here(app, stored, &asked).await {
        Ok(_) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                RefusalKind::BadRequest | RefusalKind::Conflict
            ) =>
        {
            Ok(Some(error.message().to_owned()))
        }
        Err(error) => Err(error),
    }
}

async fn peer_seen(app: &App, stored: &StoredGroup) -> PeerSeen {
    let site = &other_scope(&stored.group, &app.settings.site_name).site;
    let (reached, compared) = tokio::join!(
        timeout(PATIENCE, app.peer.knows_us(site)),
        timeout(PATIENCE, sync::compare(app, stored)),
    );
    PeerSeen {
        site: site.clone(),
        reached: match reached {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(late()),
        },
        sync: match compared {
            Ok(Ok(view)) if view.conflict.is_some() => conflict(app, &stored.group).await,
            Ok(Ok(view)) => compared_as(view),
            Ok(Err(error)) => Err(Silence::NotTold(error.message().to_owned())),
            Err(_) => Err(late()),
        },
    }
}

/// The conflict that the comparison has put on record, in the words by which starts are refused.
async fn conflict(app: &App, group: &Group) -> Asked<Sync> {
    let unknown = |error: &dyn std::fmt::Display| Silence::NotTold(error.to_string());
    match app.database.metadata_outgoing(&group.id).await {
        Ok(ours) => ours
            .conflict
            .map(|conflict| Sync::Conflict(sync::in_conflict_with(app, group, &conflict)))
            .ok_or_else(|| unknown(&"the conflict has just ended")),
        Err(error) => Err(unknown(&error)),
    }
}

fn compared_as(view: SyncView) -> Asked<Sync> {
    let version = |local: bool| {
        let site = view.sites.iter().find(|site| site.local == local)?;
        site.version
    };
    match view.status {
        sync::IN_SYNC => Ok(Sync::InSync),
        sync::UNREACHABLE => Err(Silence::Unreachable(
            "it does not tell its version".to_owned(),
        )),
        _ => Ok(Sync::OutOfSync {
            local: version(true),
            remote: version(false),
            differs: view.differs,
        }),
    }
}

fn late() -> Silence {
    Silence::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))
}

async fn arrays_seen(
    storage: &dyn StorageDriver,
    members: &[&Member],
    replication: Replication,
) -> ArraysSeen {
    let (source_array, target_array) = (
        replication.source_array.clone(),
        replication.target_array.clone(),
    );
    let volumes: Vec<CinderVolume> = members
        .iter()
        .flat_map(|member| &member.volumes)
        .map(ProtectedVolume::in_cinder)
        .collect();
    let (source, target, set_up, points, first_copies, holds) = tokio::join!(
        ask(storage.check(&source_array)),
        ask(storage.check(&target_array)),
        ask(storage.findings(&replication)),
        ask(storage.recovery_points(&replication, &volumes)),
        ask(storage.first_copies(&replication, &volumes)),
        held(storage, &source_array, &volumes),
    );
    ArraysSeen {
        source_array,
        target_array,
        source,
        target,
        set_up,
        points,
        first_copies,
        holds,
    }
}

async fn ask<T>(call: impl Future<Output = Result<T, StorageError>>) -> Asked<T> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(late()),
    }
}

/// Asks about each volume, some at a time. What is not answered in time is left out.
async fn held(
    storage: &dyn StorageDriver,
    array: &str,
    volumes: &[CinderVolume],
) -> Vec<(VolumeId, Asked<bool>)> {
    let asked = volumes.iter().cloned().map(|volume| async move {
        let found = storage.locate(array, &volume).await;
        let held = found.map(|object| object.is_some());
        (volume.id, held.map_err(Silence::from))
    });
    let mut answers = stream::iter(asked).buffer_unordered(SIDE_BY_SIDE);
    let deadline = Instant::now() + PATIENCE;
    let mut known = Vec::new();
    while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
        known.push(answer);
    }
    known
}
