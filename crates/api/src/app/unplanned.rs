//! An unplanned failover, and another try at what it could not recover. Neither needs the site that was lost; the second only
//! sees that its protector, if it answers, does not move the group itself.

use protector_core::{
    group::{Group, GroupStatus, ResourceMappings, status_while},
    id::{OperationId, ServerId},
    member::Member,
    operation::{
        MapKind, OperationKind, OperationRecord, OperationState, ResourceMap, StepRecord, StepState,
    },
    plan::Plan,
    recovery_plan::RecoveryPlan,
    runbook::{
        Verb,
        resource::ResourceKind,
        retry::retry,
        unplanned_failover::{is_unplanned, servers_left, unplanned_failover},
    },
};
use protector_store::{GroupStart, KeptOperation, Lock, PeerOperation, StoredGroup};

use serde_json::Value;

use super::{
    App,
    elsewhere::lives_elsewhere,
    failover::{self, refuse_wrong_status, refused},
    interrupted::{interrupted, refuse_beside_copies, to_take_over},
    last_move::{last_completed, last_ended_here},
    names,
    operation::{Asker, busy, insert, queued},
    recovery_point::as_at_latest_point,
    reset_status::{expected_of, holdings},
    sync::{LOST_SITE_PATIENCE, refuse_what_is_newer_there},
};
use crate::{
    error::{ApiError, ApiResult},
    refusal::Refusal,
    wire::operation::{Failback, Failover, Retry},
};

/// Starts an unplanned failover of a group to this site, whichever of its two that is: back to its primary one it is an
/// operation of kind failback.
pub async fn start_unplanned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    request: &Unplanned,
) -> ApiResult<OperationRecord> {
    let UnplannedFailover {
        plan,
        steps,
        supersedes,
    } = plan_unplanned(app, stored, request).await?;
    let run = Run {
        kind: stored.group.kind_of_move(),
        locks: cleanups_kept_out(&plan),
        plan,
        steps,
        map: ResourceMap::default(),
        parent: None,
        supersedes,
    };
    start(app, asker, stored, run).await
}

/// No cleanup takes back what `plan` takes over, while that is under way.
pub(super) fn cleanups_kept_out(plan: &Plan) -> Vec<Lock> {
    plan.interrupted.iter().map(Lock::cleanup_of).collect()
}

/// An unplanned failover, as asked for.
#[derive(Clone, Debug)]
pub struct Unplanned {
    /// The action that asks for it: `Failover`, to whichever site the group does not run on, or `Failback`, to its primary
    /// one only.
    pub action: OperationKind,
    /// What the request maps, over the stored mapping; from the primary to the secondary site.
    pub mappings: ResourceMappings,
}

impl Unplanned {
    /// What a request for a failover asks for.
    pub fn failover(request: Failover) -> Self {
        Self {
            action: OperationKind::Failover,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
        }
    }

    /// What a request for a failback asks for.
    pub fn failback(request: Failback) -> Self {
        Self {
            action: OperationKind::Failback,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
        }
    }

    /// There is no way back for a group that is on its primary site.
    fn refuse_wrong_direction(&self, group: &Group) -> ApiResult<()> {
        if self.action != OperationKind::Failback || group.kind_of_move() == OperationKind::Failback
        {
            return Ok(());
        }
        Err(ApiError::new(
            Refusal::WrongDirection,
            format!(
                "Protection group {name} is {} and runs on its primary site {}: there is no way back for it. If that site is lost, 'openstack dr failover {name} --type unplanned' brings it up on {}.",
                group.status,
                group.primary.site,
                group.secondary.site,
                name = group.name,
            ),
        ))
    }
}

/// An unplanned failover that could start now.
pub struct UnplannedFailover {
    /// Its plan.
    pub plan: Plan,
    /// Its lines.
    pub steps: Vec<StepRecord>,
    /// The operation on this site that it ends, since that one needs the source, which is lost.
    pub supersedes: Option<OperationId>,
}

/// Plans an unplanned failover and writes its runbook, without a word from the site that is lost.
pub async fn plan_unplanned(
    app: &App,
    stored: &StoredGroup,
    request: &Unplanned,
) -> ApiResult<UnplannedFailover> {
    plan_to_take_over(app, stored, request, TakeOver::WhatWasInterrupted).await
}

/// Whose copies an unplanned failover goes on from.
pub(super) enum TakeOver {
    /// Those of a move that was interrupted, if they are of the latest recovery point.
    WhatWasInterrupted,
    /// Those of these operations, because somebody says that they count.
    TheseCopies(LeftCopies),
}

/// The copies of a failed move.
pub(super) struct LeftCopies {
    /// The operations whose marks they may bear, newest first.
    pub makers: Vec<OperationId>,
    /// What the move mapped, from its source to its target.
    pub mappings: ResourceMappings,
}

/// The same, going on from what `take_over` says.
pub(super) async fn plan_to_take_over(
    app: &App,
    stored: &StoredGroup,
    request: &Unplanned,
    take_over: TakeOver,
) -> ApiResult<UnplannedFailover> {
    let group = &stored.group;
    let kind = group.kind_of_move();
    let (these, known) = match take_over {
        TakeOver::WhatWasInterrupted => (None, ResourceMappings::default()),
        TakeOver::TheseCopies(left) => (Some(left.makers), left.mappings),
    };
    let mappings = failover::mappings_over(
        group,
        known,
        request.action.as_str(),
        &request.mappings.networks,
        &request.mappings.flavors,
    )?;
    request.refuse_wrong_direction(group)?;
    refuse_elsewhere(app, group)?;
    let supersedes = waiting_for_the_source(app, group).await?;
    let interrupted = interrupted(app, group).await?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = policy.map(|policy| policy.arrays());
    let plan = Plan::move_to_other_site(group, members, arrays.as_ref(), mappings, false)
        .map_err(|refusal| refused(group, &refusal))?
        .recovered_as(group.recovery_plan_from_current(kind));
    let plan = match these {
        None => {
            let made = to_take_over(app, interrupted, &plan).await?;
            let plan = plan.taking_over(made);
            refuse_beside_copies(app, &plan).await?;
            plan
        }
        Some(made) => plan.taking_over(made),
    };
    let plan = as_at_latest_point(app, plan).await;
    let steps = unplanned_failover(&plan)
        .into_steps()
        .map_err(ApiError::internal)?;
    Ok(UnplannedFailover {
        plan,
        steps,
        supersedes,
    })
}

/// The operation at work on the group here that can only wait without the source, if there is one. Anything else that is at
/// work is in the way.
async fn waiting_for_the_source(app: &App, group: &Group) -> ApiResult<Option<OperationId>> {
    match app.database.operation_moving(&group.id).await? {
        None => Ok(None),
        Some(record) if needs_the_source(&record) => Ok(Some(record.operation.id)),
        Some(record) => Err(busy(group, &record.operation)),
    }
}

fn needs_the_source(record: &OperationRecord) -> bool {
    match record.operation.kind {
        OperationKind::Failover | OperationKind::Failback => !is_unplanned(record),
        OperationKind::Sync => true,
        _ => false,
    }
}

/// The site that is lost cannot lead its own loss: with it the record would be lost too.
fn refuse_elsewhere(app: &App, group: &Group) -> ApiResult<()> {
    let survivor = &group.other().site;
    if *survivor == app.settings.site_name {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::WrongSite,
        format!(
            "An unplanned failover of protection group {} is started on {survivor}, where it goes: this is {}, where it runs. If this site can do its part, a planned {} loses nothing.",
            group.name,
            app.settings.site_name,
            group.kind_of_move()
        ),
    ))
}

/// Starts another try at the members that the group's last unplanned failover could not recover.
pub async fn start_retry(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    request: &Retry,
) -> ApiResult<OperationRecord> {
    let kind = OperationKind::Retry;
    let group = &stored.group;
    names::network_mapping("retry.network_mapping", &request.network_mapping)?;
    names::flavor_mapping("retry.flavor_mapping", &request.flavor_mapping)?;
    app.refuse_while_operated(group).await?;
    refuse_wrong_status(group, kind)?;
    refuse_what_is_newer_there(app, group).await?;
    let last = last_try(app, group).await?;
    let failover = root(&last).clone();
    refuse_another(request, &failover, group)?;
    let members = app.database.member_list(&group.id).await?;
    let plan = Plan::recover_the_rest(&last.operation.plan, members, over(&last, request))
        .map_err(|refusal| refused(group, &refusal))?;
    refuse_beside_returned(app, group, &plan, request).await?;
    let mut map = last.map.clone();
    for member in &plan.members {
        let server = member.server_id.as_str();
        map.remove(MapKind::NewerIsLost, server);
        if request.lose_newer_writes {
            map.insert(
                MapKind::NewerIsLost,
                server,
                asker.caller.user_id().as_str(),
            );
        }
    }
    let recovery = RecoveryPlan {
        pauses: Vec::new(),
        hooks: Vec::new(),
        ..plan.recovery.clone()
    };
    let plan = plan.recovered_as(recovery);
    let steps = retry(&plan, &last).map_err(ApiError::internal)?;
    let run = Run {
        kind,
        plan,
        steps,
        map,
        parent: Some(failover),
        supersedes: None,
        locks: Vec::new(),
    };
    start(app, asker, stored, run).await
}

/// Refuses a retry of members whose originals are back: what they have written since the recovery point is only there. A site
/// that does not answer holds nothing up; the step looks again.
async fn refuse_beside_returned(
    app: &App,
    group: &Group,
    plan: &Plan,
    request: &Retry,
) -> ApiResult<()> {
    let originals = expected_of(&plan.members);
    let look = holdings(app, &plan.source, &originals);
    let Ok(Ok(shown)) = tokio::time::timeout(LOST_SITE_PATIENCE, look).await else {
        return Ok(());
    };
    let back: Vec<String> = plan
        .members
        .iter()
        .filter_map(|member| {
            let held = shown.held.iter().find(|held| {
                held.kind == ResourceKind::Server && held.id == member.server_id.as_str()
            })?;
            // One that is deleted softly can be brought back by anybody, with all that it has written.
            let rests = matches!(
                held.status.as_str(),
                "SHUTOFF" | "SHELVED" | "SHELVED_OFFLOADED" | "SOFT_DELETED"
            );
            let is_gone = held.status == "DELETED";
            let may_be_lost = rests && request.lose_newer_writes;
            (!is_gone && !may_be_lost).then(|| {
                let stop = match rests {
                    true => String::new(),
                    false => format!(
                        ", to be stopped first with 'openstack --os-cloud {} server stop {}'",
                        plan.source.site, held.id
                    ),
                };
                format!("{} ({}, {}{stop})", member.name, held.id, held.status)
            })
        })
        .collect();
    if back.is_empty() {
        return Ok(());
    }
    let (there, again) = match group.kind_of_move() {
        OperationKind::Failback => ("failback", "failover"),
        _ => ("failover", "failback"),
    };
    Err(ApiError::new(
        Refusal::CopiesInTheWay,
        format!(
            "Protection group {name} is not retried beside what is back on {site}, and what that has written since the recovery point is only there: {back}. To lose nothing, '--action {there}' brings the other VMs to it, and '--action {again}' then moves them all. If it may be lost: 'openstack dr retry {name} --lose-newer-writes'.",
            name = group.name,
            site = plan.source.site,
            back = back.join("; "),
        ),
    ))
}

/// The mappings of the try before, with those of the request over them.
fn over(last: &OperationRecord, request: &Retry) -> ResourceMappings {
    let mut mappings = last.operation.plan.mappings.clone();
    mappings.networks.extend(request.network_mapping.clone());
    mappings.flavors.extend(request.flavor_mapping.clone());
    mappings
}

fn refuse_another(request: &Retry, failover: &OperationId, group: &Group) -> ApiResult<()> {
    match &request.operation_id {
        Some(given) if given != failover.as_str() => Err(ApiError::bad_request(format!(
            "retry.operation_id: the last unplanned failover of protection group {} is {failover}, not {given}.",
            group.name
        ))),
        _ => Ok(()),
    }
}

/// Refuses to bring a group back, in a planned move, where the servers of an unplanned failover still are: they hold the
/// addresses, and nobody would know the ones from the others.
pub async fn refuse_while_left(app: &App, group: &Group, plan: &Plan) -> ApiResult<()> {
    let stay: Vec<&Member> = plan.others.iter().collect();
    left_on_the_way_back(app, group, &stay)
        .await?
        .map_or(Ok(()), Err)
}

/// By what a planned move back is refused, if it is. The servers of members that `stay` are where they belong.
pub async fn left_on_the_way_back(
    app: &App,
    group: &Group,
    stay: &[&Member],
) -> ApiResult<Option<ApiError>> {
    let stays = |server: &str| stay.iter().any(|other| other.server_id.as_str() == server);
    let (failover, left, openstack) = match last_completed(app, &group.id).await? {
        Some(KeptOperation::Here(record))
            if is_unplanned(&record) && record.operation.source_site == group.other().site =>
        {
            let left = servers_left(&record).map(ServerId::as_str);
            let left: Vec<&str> = left.filter(|server| !stays(server)).collect();
            let left = app.database.copied_among(&left).await?.len();
            (record.operation.id, left, "openstack".to_owned())
        }
        Some(KeptOperation::Elsewhere(copy)) if is_unplanned_copy(&copy) => {
            let lines = app.database.peer_operation_lines(&copy.id).await?;
            let ids = left_servers_in_copy(&lines)
                .filter_map(|line| line.get("resource_id").and_then(Value::as_str));
            let left = ids.filter(|server| !stays(server));
            let there = format!("openstack --os-cloud {}", copy.home_site);
            (copy.id, left.count(), there)
        }
        _ => return Ok(None),
    };
    Ok((left > 0).then(|| {
        ApiError::new(Refusal::LeftoversFirst, format!(
            "Protection group {} cannot go back yet: {left} of its old VMs are still on {}, where unplanned failover {failover} left them; finish '{openstack} dr operation cleanup {failover}' first.",
            group.name,
            group.other().site,
        ))
    }))
}

/// The kinds of operations that move a whole group.
const MOVES: [OperationKind; 2] = [OperationKind::Failover, OperationKind::Failback];

/// Whether the copy of a move tells of data that was lost: only an unplanned one loses any.
pub(super) fn is_unplanned_copy(copy: &PeerOperation) -> bool {
    MOVES.iter().any(|kind| copy.kind == kind.as_str())
        && copy
            .record
            .get("data_loss_seconds")
            .is_some_and(|lost| !lost.is_null())
}

/// The lines of the servers that a failover run by the other site left on its source, as that site shows them.
pub(super) fn left_servers_in_copy(lines: &[Value]) -> impl Iterator<Item = &Value> {
    let word =
        |line: &Value, field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
    lines.iter().filter(move |line| {
        word(line, "phase").as_deref() == Some("delete_source_vm")
            && word(line, "state").as_deref() == Some(StepState::Failed.as_str())
    })
}

/// The last try at the group's members: its unplanned failover, or the retry that followed.
async fn last_try(app: &App, group: &Group) -> ApiResult<OperationRecord> {
    let tried = |record: &OperationRecord| tried_members(record) || moved_the_group(record);
    let last = last_ended_here(app, &group.id, tried).await?;
    if let Some(record) =
        last.filter(|record| record.operation.kind == OperationKind::Retry || is_unplanned(record))
    {
        return Ok(record);
    }
    match last_completed(app, &group.id).await? {
        Some(KeptOperation::Elsewhere(copy)) if is_unplanned_copy(&copy) => {
            Err(lives_elsewhere(&copy, &format!("retry {}", group.name)))
        }
        _ => Err(nothing_to_retry(group)),
    }
}

fn nothing_to_retry(group: &Group) -> ApiError {
    ApiError::new(
        Refusal::NothingToDo,
        format!(
            "Protection group {name} has nothing to retry: this site has no record of an unplanned failover of it. 'openstack dr member remove {name} <member> --give-up' takes a VM that was not recovered out of the group, which is whole without it; its original, if it is there, can be protected anew.",
            name = group.name
        ),
    )
}

fn moved_the_group(record: &OperationRecord) -> bool {
    MOVES.contains(&record.operation.kind) && record.operation.state == OperationState::Completed
}

/// A retry that ended before it came to its members remembers nothing of them; the try before it does.
fn tried_members(record: &OperationRecord) -> bool {
    record.operation.kind == OperationKind::Retry
        && record.operation.state.is_terminal()
        && record
            .steps
            .iter()
            .any(|step| step.verb == Verb::Member && step.progress.state != StepState::Pending)
}

fn root(last: &OperationRecord) -> &OperationId {
    let operation = &last.operation;
    operation.parent_id.as_ref().unwrap_or(&operation.id)
}

/// An operation to be started, but for who asks and when.
pub(super) struct Run {
    pub kind: OperationKind,
    pub plan: Plan,
    pub steps: Vec<StepRecord>,
    pub map: ResourceMap,
    pub parent: Option<OperationId>,
    pub supersedes: Option<OperationId>,
    /// What nothing else may be about while it has not ended, besides the group.
    pub locks: Vec<Lock>,
}

pub(super) async fn start(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    run: Run,
) -> ApiResult<OperationRecord> {
    let group = &stored.group;
    let project = &stored.local_project_id;
    let supersedes = run.supersedes;
    let on_the_way = GroupStatus::on_the_way_to(group.place_of(&run.plan.target.site));
    let record = OperationRecord {
        operation: queued(app, asker, run.kind, project, run.plan, run.parent),
        steps: run.steps,
        map: run.map,
    };
    let start = GroupStart {
        group_id: group.id.clone(),
        from_status: group.status,
        from_version: group.version,
        status: status_while(group.status, run.kind).unwrap_or(on_the_way),
        supersedes,
    };
    let mut locks = run.locks;
    locks.insert(0, Lock::group(&group.id));
    insert(app, &record, &locks, Some(start)).await?;
    Ok(record)
}
