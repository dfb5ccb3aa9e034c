//! Giving an operation up: on its home, where its engine takes everything back; and on the site whose servers a move has
//! stopped, when the other one is lost.

use std::collections::BTreeSet;

use protector_core::{
    fault::Code,
    group::Group,
    id::{GroupId, OperationId, ServerId, SiteName},
    member::Member,
    operation::{
        GivenUp, MapKind, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
        StepRecord, StepState,
    },
    plan::Plan,
    runbook::{Step, abort::abort},
    schedule::NotAbortable,
};
use protector_peer::peer::{HeldPart, PeerError, other_scope, within};
use protector_store::{KeptOperation, PeerOperation, StoredGroup};
use protector_wire::abort::AbortOptions;
use serde_json::Value;

use crate::{
    app::{
        App,
        block_rule::not_in_sync,
        elsewhere::lives_elsewhere,
        policy::promoting,
        refusal::Refusal,
        start::{
            admission::{self, refuse_wrong_status},
            last_move::last_begun,
            new_operation::{Asker, Run, start},
        },
        sync::{self, LOST_SITE_PATIENCE},
    },
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
    },
};

/// What Nova says of a server that was not running before the move.
const OFF: &str = "SHUTOFF";

/// Gives an operation up. Answers with it, or with the operation that starts the servers again which it stopped.
///
/// # Errors
///
/// 409 where it cannot be taken back any more, or the other site answers and can do better; with what leads on.
pub async fn give_up(
    app: &App,
    asker: Asker<'_>,
    kept: KeptOperation,
    options: AbortOptions,
) -> ApiResult<OperationRecord> {
    match kept {
        KeptOperation::Here(record) if options.target_is_lost && has_left_stopped(&record) => {
            let stopped = stopped_here(&record);
            let group = app.database.group_show_by_id(&stopped.group).await?;
            refuse_where_it_is_well(app, &group.group, || taken_back_by_cleanup(&record)).await?;
            start_again(app, asker, &group, stopped).await
        }
        KeptOperation::Here(record) if options.target_is_lost && !has_ended(&record) => {
            give_up_for_the_lost_target(app, asker.caller, *record).await
        }
        KeptOperation::Here(record) => {
            abort_here(app, asker.caller, *record, GivenUp::Unwanted).await
        }
        KeptOperation::Elsewhere(copy) => {
            let stopped = stopped_there(app, &copy).await?;
            let group = app.database.group_show_by_id(&stopped.group).await?;
            let there = || lives_elsewhere(&copy, &format!("operation abort {}", copy.id));
            refuse_where_it_is_well(app, &group.group, there).await?;
            refuse_where_it_does_not_run(&group.group, &app.settings.site_name)?;
            if !options.target_is_lost {
                return Err(what_it_means(app, &copy, &group.group));
            }
            start_again(app, asker, &group, stopped).await
        }
    }
}

/// Gives up a move that this site runs, and whose target is lost: what does not answer there is left, and the servers of this
/// site are started again without its word.
async fn give_up_for_the_lost_target(
    app: &App,
    caller: &Caller,
    record: OperationRecord,
) -> ApiResult<OperationRecord> {
    let operation = &record.operation;
    if !is_planned_move(&record) || operation.source_site != app.settings.site_name {
        return Err(ApiError::new(
            Refusal::NotAbortable,
            format!(
                "abort.target_is_lost: operation {id} ({}) has stopped no VM of {} for another site. 'openstack dr operation abort {id}' gives it up.",
                operation.kind,
                app.settings.site_name,
                id = operation.id
            ),
        ));
    }
    let group = app.database.group_show_by_id(&operation.group_id).await?;
    let better = || taken_back_with_both_sites(&record);
    refuse_where_it_is_well(app, &group.group, better).await?;
    abort_here(app, caller, record, GivenUp::TargetIsLost).await
}

fn taken_back_with_both_sites(record: &OperationRecord) -> ApiError {
    let operation = &record.operation;
    ApiError::new(
        Refusal::NotLost,
        format!(
            "{} answers, so it is not lost: 'openstack dr operation abort {}' takes back what was made there and starts the VMs again.",
            operation.target_site, operation.id
        ),
    )
}

fn has_ended(record: &OperationRecord) -> bool {
    matches!(
        record.operation.state,
        OperationState::Completed | OperationState::Failed
    )
}

/// Asks that this site's operation be given up. It is taken back at its engine's next look, and ends `failed`. One that was
/// given up before is answered as it is.
async fn abort_here(
    app: &App,
    caller: &Caller,
    record: OperationRecord,
    why: GivenUp,
) -> ApiResult<OperationRecord> {
    let operation = &record.operation;
    let (id, user) = (&operation.id, caller.user_id());
    let asked = app.database.operation_abort(id, user, why, app.clock.now());
    match asked.await? {
        Ok(()) => tracing::info!(operation_id = %id, user_id = %user, "abort asked for"),
        Err(NotAbortable::Ended) if operation.error_code == Some(Code::Aborted) => {}
        Err(why) => return Err(refused(&record, why)),
    }
    let project = &operation.project_id;
    Ok(app.database.operation_show(project, id).await?)
}

/// The servers that a move to the other site has stopped on this one.
struct Stopped {
    by: OperationId,
    /// The move, where this site has its record.
    parent: Option<OperationId>,
    /// The failed move that it was to go forward with, whose marks the copies bear.
    adopts: Option<OperationId>,
    group: GroupId,
    servers: BTreeSet<ServerId>,
}

fn is_planned_move(record: &OperationRecord) -> bool {
    let kind = record.operation.kind;
    kind.is_a_move() && !record.operation.is_unplanned()
}

/// Whether a move has failed and could not give back what it took from its source: a server that it stopped, or a volume that it
/// fenced, also of a server that was off.
fn has_left_stopped(record: &OperationRecord) -> bool {
    let stays_taken = |step: &StepRecord| {
        step.action.takes_from_the_source() && step.progress.state == StepState::UndoFailed
    };
    is_planned_move(record)
        && record.operation.state == OperationState::Failed
        && record.steps.iter().any(stays_taken)
}

fn stopped_here(record: &OperationRecord) -> Stopped {
    let servers = record.steps.iter().filter_map(|step| match &step.action {
        Step::StopServer { server }
            if step.progress.memo.intents > 0
                && step.progress.memo.seen.before.as_deref() == Some("ACTIVE") =>
        {
            Some(server.clone())
        }
        _ => None,
    });
    let id = &record.operation.id;
    Stopped {
        by: id.clone(),
        parent: Some(id.clone()),
        adopts: record.operation.plan.adopts.clone(),
        group: record.operation.group_id.clone(),
        servers: servers.collect(),
    }
}

/// What the copy of the lost site's record says: each server that it has asked Nova to stop, or was about to.
async fn stopped_there(app: &App, copy: &PeerOperation) -> ApiResult<Stopped> {
    let moves = [OperationKind::Failover, OperationKind::Failback];
    let is_a_move = moves.iter().any(|kind| kind.as_str() == copy.kind);
    let group = copy
        .record
        .get("protection_group_id")
        .and_then(Value::as_str);
    let (true, Some(group)) = (is_a_move && !copy.is_unplanned(), group) else {
        return Err(lives_elsewhere(
            copy,
            &format!("operation abort {}", copy.id),
        ));
    };
    let lines = app.database.peer_operation_lines(&copy.id).await?;
    let servers = lines.iter().filter(|line| has_been_stopped(line));
    let servers = servers.filter_map(|line| line.get("resource_id").and_then(Value::as_str));
    Ok(Stopped {
        by: copy.id.clone(),
        parent: None,
        adopts: copy.adopts(),
        group: group.into(),
        servers: servers.map(ServerId::new).collect(),
    })
}

/// By the move itself, or by the failed one that it adopts: an adoption stops nothing, and goes on from what is stopped.
fn has_been_stopped(line: &Value) -> bool {
    let word = |field: &str| line.get(field).and_then(Value::as_str);
    let asked = line.get("tries").and_then(Value::as_u64) > Some(0);
    match word("phase") {
        Some("stop_source_vms") => asked || word("state") == Some("running"),
        Some("check_at_rest") => true,
        _ => false,
    }
}

/// Refuses what is for a lost site while its protector answers.
pub(crate) async fn refuse_where_it_is_well(
    app: &App,
    group: &Group,
    better: impl FnOnce() -> ApiError,
) -> ApiResult<()> {
    let other = other_scope(group, &app.settings.site_name);
    let asked = app.peer.held(other, &group.id, HeldPart::Mark);
    match within(&*app.peer, &other.site, LOST_SITE_PATIENCE, asked).await {
        Ok(_) => Err(better()),
        Err(PeerError::Refused(why)) => Err(sync::turned_away(group, &other.site, &why)),
        Err(unknown @ PeerError::NotTold(_)) => Err(not_in_sync(&other.site, &unknown)),
        Err(PeerError::Unreachable(_)) => Ok(()),
    }
}

fn taken_back_by_cleanup(record: &OperationRecord) -> ApiError {
    let operation = &record.operation;
    ApiError::new(
        Refusal::NotLost,
        format!(
            "{} answers, so it is not lost: 'openstack dr operation cleanup {}' takes back what is left there and starts the VMs again.",
            operation.target_site, operation.id
        ),
    )
}

fn what_it_means(app: &App, copy: &PeerOperation, group: &Group) -> ApiError {
    let (here, there) = (&app.settings.site_name, &copy.home_site);
    ApiError::new(
        Refusal::SiteSilent,
        format!(
            "Operation {id} is run by {there}, whose protector does not answer. If {there} is lost, give the operation up here with --target-is-lost: the VMs of protection group {group} that it stopped are started again on {here}, from their own disks. Say so only if nothing goes on at {there}: where its Nova answers, a VM whose copy is there stays stopped; where it does not, a copy that runs there would run beside its original. When {there} is back, its operation finds the originals running and takes back what it made; if both sites then hold the group to be changed, 'openstack --os-cloud {here} dr protection-group sync-force {group}' makes this site's view count.",
            id = copy.id,
            group = group.name,
        ),
    )
}

/// Starts the operation that starts the servers again.
async fn start_again(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    stopped: Stopped,
) -> ApiResult<OperationRecord> {
    let kind = OperationKind::Abort;
    let group = &stored.group;
    app.refuse_while_operated(group).await?;
    refuse_where_it_does_not_run(group, &app.settings.site_name)?;
    refuse_wrong_status(group, kind)?;
    let last = last_begun(app, &group.id).await?;
    if let Some(last) = last.filter(|last| last.id() != &stopped.by && !last.adopts(&stopped.by)) {
        return Err(ApiError::new(
            Refusal::NotTheLast,
            format!(
                "Operation {} is not the last that was to move protection group {}: that is {last}. Where that has stopped the VMs, 'openstack dr operation abort {last} --target-is-lost' starts them again.",
                stopped.by,
                group.name,
                last = last.id()
            ),
        ));
    }
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    // What promotion does is the same both ways, and this site need not have the lost array.
    let arrays = policy
        .map(|policy| promoting(app, &policy, &policy.replication(group).back()))
        .transpose()?;
    let mut plan = Plan::replicate_to_other_site(group, members, arrays.as_ref())
        .map_err(|refusal| admission::refused(group, &refusal))?;
    let is_stopped = |member: &Member| stopped.servers.contains(&member.server_id);
    // Volumes were fenced of those too that were off.
    let in_place = !plan.promotion.is_copy();
    plan.members.retain(|member| is_stopped(member) || in_place);
    plan.interrupted = std::iter::once(stopped.by).chain(stopped.adopts).collect();
    let mut map = ResourceMap::default();
    for member in plan.members.iter().filter(|member| !is_stopped(member)) {
        map.insert(MapKind::PowerState, member.server_id.as_str(), OFF);
    }
    let steps = abort(&plan, &stopped.servers)
        .into_steps()
        .map_err(ApiError::internal)?;
    let run = Run {
        kind,
        planning: Planning::Planned,
        plan,
        steps,
        map,
        parent: stopped.parent,
        supersedes: None,
        locks: Vec::new(),
    };
    start(app, asker, stored, run).await
}

fn refuse_where_it_does_not_run(group: &Group, here: &SiteName) -> ApiResult<()> {
    if group.current_primary_site == *here {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::WrongSite,
        format!(
            "Protection group {name} runs on {}, not on {here}: nothing was stopped here. If {} is lost, 'openstack dr protection-group action {name} --action failover --type unplanned' brings the group up here.",
            group.current_primary_site,
            group.current_primary_site,
            name = group.name
        ),
    ))
}

fn refused(record: &OperationRecord, why: NotAbortable) -> ApiError {
    let operation = &record.operation;
    let (id, group) = (&operation.id, &operation.plan.group_name);
    ApiError::new(
        Refusal::NotAbortable,
        match why {
            NotAbortable::Ended => format!(
                "Operation {id} has ended, it is {}: there is nothing to abort. 'openstack dr operation cleanup {id}' removes what it left behind.",
                operation.state.status()
            ),
            NotAbortable::CopiesAreUp => format!(
                "Test failover {id} has done its work, its copies are up: 'openstack dr protection-group action {group} --action test-cleanup --test-operation-id {id}' removes them and completes it."
            ),
            NotAbortable::PastThePointOfNoReturn => format!(
                "Operation {id} has moved protection group {group} to {}: what it still does is cleanup, and ends by itself. {}",
                operation.target_site,
                way_back(operation.kind, group)
            ),
            NotAbortable::Deletes => format!(
                "Operation {id} ({}) has begun to delete, and what is deleted cannot be taken back. Each of its steps has a limit of time, so it ends by itself: 'openstack dr operation show {id} --detail' shows what it waits for.",
                operation.kind
            ),
        },
    )
}

fn way_back(kind: OperationKind, group: &str) -> String {
    match kind {
        OperationKind::Failback => format!(
            "To move it again: 'openstack dr protection-group action {group} --action failover'."
        ),
        _ => format!(
            "To bring it back: 'openstack dr protection-group action {group} --action failback'."
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use protector_core::{
        fixtures,
        member::Member,
        operation::{
            Operation, OperationKind, OperationRecord, OperationState, ResourceMap, StepState,
        },
        plan::Plan,
        runbook::{Step, failover::planned_move},
        storage::PromotionKind,
    };

    use super::{has_been_stopped, has_left_stopped};

    /// The VM of a fenced volume may have been off, or have been started by hand.
    #[test]
    fn a_volume_that_stays_fenced_is_given_back_by_another_abort() {
        let member = Member {
            volumes: vec![fixtures::volume("volume")],
            ..fixtures::member("web")
        };
        let plan = Plan {
            promotion: PromotionKind::InPlace,
            ..fixtures::plan(vec![member])
        };
        let mut record = OperationRecord {
            steps: planned_move(&plan).into_steps().unwrap(),
            operation: Operation {
                state: OperationState::Failed,
                ..fixtures::operation("op", OperationKind::Failover, plan)
            },
            map: ResourceMap::default(),
        };
        assert!(!has_left_stopped(&record));
        for step in &mut record.steps {
            step.progress.state = match step.action {
                Step::FenceVolume { .. } => StepState::UndoFailed,
                _ => StepState::Undone,
            };
        }
        assert!(has_left_stopped(&record));
    }

    #[test]
    fn what_an_adoption_found_at_rest_was_stopped_by_the_move_that_it_adopts() {
        let line =
            |phase: &str, tries: u64| json!({"phase": phase, "state": "pending", "tries": tries});
        assert!(has_been_stopped(&line("check_at_rest", 0)));
        assert!(has_been_stopped(&line("stop_source_vms", 1)));
        assert!(!has_been_stopped(&line("stop_source_vms", 0)));
        assert!(!has_been_stopped(&line("recreate_vms", 1)));
    }
}
