//! Another try at what an unplanned failover could not recover. It does not need the site that was lost; it only sees that its
//! protector, if it answers, does not move the group itself.

use protector_core::{
    group::{Group, ResourceMappings},
    id::OperationId,
    operation::{MapKind, OperationKind, OperationRecord, OperationState, Planning, StepState},
    plan::Plan,
    recovery_plan::RecoveryPlan,
    runbook::{Verb, resource::ResourceKind, retry::retry},
};
use protector_store::{KeptOperation, StoredGroup};
use protector_wire::operation::Retry;

use crate::{
    app::{
        App,
        elsewhere::lives_elsewhere,
        names,
        refusal::Refusal,
        reset_status::{expected_of, holdings},
        start::{
            admission::{refuse_wrong_status, refused},
            last_move::{last_completed, last_ended_here},
            new_operation::{Asker, Run, start},
        },
        sync::{LOST_SITE_PATIENCE, refuse_what_is_newer_there},
    },
    http::error::{ApiError, ApiResult},
};

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
        planning: Planning::Planned,
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

/// The last try at the group's members: its unplanned failover, or the retry that followed.
async fn last_try(app: &App, group: &Group) -> ApiResult<OperationRecord> {
    let tried = |record: &OperationRecord| tried_members(record) || moved_the_group(record);
    let last = last_ended_here(app, &group.id, tried).await?;
    if let Some(record) = last.filter(|record| {
        record.operation.kind == OperationKind::Retry || record.operation.is_unplanned()
    }) {
        return Ok(record);
    }
    match last_completed(app, &group.id).await? {
        Some(KeptOperation::Elsewhere(copy)) if copy.is_unplanned() => {
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
    record.operation.kind.is_a_move() && record.operation.state == OperationState::Completed
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
