//! Going forward with what a failed move has made and could not take back, because its copies run and are used.

use std::collections::BTreeSet;

use protector_core::{
    adoption::{Obstacle, Shown, adoption_of, to_build},
    group::{Group, GroupStatus},
    id::ServerId,
    member::Member,
    operation::{OperationKind, OperationRecord, OperationState, ResourceMap, StepState},
    orphan::Held,
    plan::Plan,
    runbook::{
        Step,
        adopt::{adopt, has_adopted},
        resource::ResourceKind,
        unplanned_failover::is_unplanned,
    },
};
use protector_store::{KeptOperation, Lock, StoredGroup};

use super::{
    App,
    cleanup::refuse_while_cleaned,
    elsewhere::lives_elsewhere,
    last_move::{last_begun, last_ended_here},
    operation::{Asker, NewMove, start_reserved},
    reset_status::{expected_of, holdings},
    sync::{self, LOST_SITE_PATIENCE},
    unplanned::{
        Run, TakeOver, Unplanned, UnplannedFailover, cleanups_kept_out, plan_to_take_over, start,
    },
};
use crate::error::{ApiError, ApiResult};

/// Starts the operation that makes the copies of a failed one the group.
///
/// # Errors
///
/// 409 with every member that stands in the way and the command for it, or with its home where the other site runs it; 503
/// while a cloud does not answer.
pub async fn start_adoption(
    app: &App,
    asker: Asker<'_>,
    kept: KeptOperation,
) -> ApiResult<OperationRecord> {
    let failed = match kept {
        KeptOperation::Here(record) => record,
        KeptOperation::Elsewhere(copy) => {
            let command = format!("operation adopt {}", copy.id);
            return Err(lives_elsewhere(&copy, &command));
        }
    };
    let failed = failed.as_ref();
    refuse_unadoptable(failed)?;
    let stored = app
        .database
        .group_show_by_id(&failed.operation.group_id)
        .await?;
    app.refuse_while_operated(&stored.group).await?;
    refuse_while_cleaned(app, &failed.operation.id).await?;
    refuse_elsewhere(&stored.group, failed)?;
    refuse_older(app, &stored.group, failed).await?;
    match is_unplanned(failed) {
        true => adopt_unplanned(app, asker, &stored, failed).await,
        false => adopt_planned(app, asker, &stored, failed).await,
    }
}

async fn adopt_planned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    let group = &stored.group;
    let members = app.database.member_list(&group.id).await?;
    let (plan, map) = adoption_of(failed, &members);
    let built = look(app, &plan, failed, &members).await?;
    sync::require_in_sync(app, group).await?;
    let steps = adopt(&plan, &built)
        .into_steps()
        .map_err(ApiError::internal)?;
    let new = NewMove {
        kind: failed.operation.kind,
        status: GroupStatus::on_the_way_to(group.place_of(&plan.target.site)),
        plan,
        steps,
        map,
        // No cleanup takes its copies back meanwhile.
        locks: vec![Lock::cleanup_of(&failed.operation.id)],
    };
    start_reserved(app, asker, stored, new).await
}

/// The members for which a server has to be built, by what both clouds show.
async fn look(
    app: &App,
    plan: &Plan,
    failed: &OperationRecord,
    members: &[Member],
) -> ApiResult<BTreeSet<ServerId>> {
    let originals = expected_of(&plan.members);
    let source = holdings(app, &plan.source, &originals).await?;
    let target = holdings(app, &plan.target, &[]).await?;
    let shown = Shown {
        source: &source.held,
        target: &target.held,
    };
    to_build(plan, failed, members, shown).map_err(|obstacles| in_the_way(failed, &obstacles))
}

fn in_the_way(failed: &OperationRecord, obstacles: &[Obstacle]) -> ApiError {
    let operation = &failed.operation;
    let found: Vec<String> = obstacles
        .iter()
        .map(|obstacle| format!("{} {}", obstacle.member, obstacle.found))
        .collect();
    ApiError::conflict(format!(
        "Protection group {} cannot go forward with what operation {} has made on {}: {}.",
        operation.plan.group_name,
        operation.id,
        operation.target_site,
        found.join("; ")
    ))
}

/// An unplanned failover comes after the failed one and goes on from what that has made, whatever has been replicated since:
/// who asks says that the copies count.
async fn adopt_unplanned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    let plan = &failed.operation.plan;
    refuse_beside_originals(app, failed).await?;
    let made = std::iter::once(&failed.operation.id).chain(&plan.interrupted);
    let take_over = TakeOver::TheseCopies(made.cloned().collect());
    let mappings = match plan.source.site == stored.group.primary.site {
        true => plan.mappings.clone(),
        false => plan.mappings.reversed(),
    };
    let request = Unplanned {
        action: OperationKind::Failover,
        mappings,
    };
    let UnplannedFailover {
        plan,
        steps,
        supersedes,
    } = plan_to_take_over(app, stored, &request, take_over).await?;
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

/// A site that is lost is not waited for; one that answers must not run what the copies would run beside.
async fn refuse_beside_originals(app: &App, failed: &OperationRecord) -> ApiResult<()> {
    let plan = &failed.operation.plan;
    let originals = expected_of(&plan.members);
    let look = holdings(app, &plan.source, &originals);
    let Ok(Ok(shown)) = tokio::time::timeout(LOST_SITE_PATIENCE, look).await else {
        return Ok(());
    };
    let obstacles: Vec<Obstacle> = plan
        .members
        .iter()
        .filter_map(|member| returned(plan, member, &shown.held))
        .collect();
    match obstacles.is_empty() {
        true => Ok(()),
        false => Err(in_the_way(failed, &obstacles)),
    }
}

fn returned(plan: &Plan, member: &Member, held: &[Held]) -> Option<Obstacle> {
    let is_original =
        |held: &&Held| held.kind == ResourceKind::Server && held.id == member.server_id.as_str();
    let original = held
        .iter()
        .find(is_original)
        .filter(|held| held.status != "SHUTOFF")?;
    let site = &plan.source.site;
    Some(Obstacle {
        member: member.name.clone(),
        found: format!(
            "is back as {id} on {site} ({status}): stop it with 'openstack --os-cloud {site} server stop {id}' if what it has written may be lost, and adopt again",
            id = original.id,
            status = original.status
        ),
    })
}

fn refuse_unadoptable(failed: &OperationRecord) -> ApiResult<()> {
    let operation = &failed.operation;
    let id = &operation.id;
    if let Some(first) = &operation.plan.adopts {
        return Err(ApiError::conflict(format!(
            "Operation {id} was itself to adopt what {first} has made: 'openstack dr operation adopt {first}' tries again."
        )));
    }
    let is_move = matches!(
        operation.kind,
        OperationKind::Failover | OperationKind::Failback
    );
    if is_move && operation.state == OperationState::Failed && has_built(failed) {
        return Ok(());
    }
    Err(ApiError::conflict(match (is_move, operation.state) {
        (false, _) => format!(
            "Operation {id} is a {}: only what a failed failover or failback has made can be adopted.",
            operation.kind
        ),
        (true, OperationState::Failed) => format!(
            "Operation {id} has left no copy of a VM: there is nothing to adopt. 'openstack dr operation cleanup {id}' removes what it left behind."
        ),
        (true, OperationState::Completed) => format!(
            "Operation {id} has moved protection group {}: its copies are the group already.",
            operation.plan.group_name
        ),
        (true, state) => format!(
            "Operation {id} is {}: it can be adopted once it has failed. 'openstack dr operation show {id}' shows how far it is.",
            state.status()
        ),
    }))
}

/// Whether the record knows of a copy that was not taken back.
fn has_built(failed: &OperationRecord) -> bool {
    let has_taken_over = !failed.operation.plan.interrupted.is_empty();
    has_taken_over
        || failed.steps.iter().any(|step| {
            matches!(step.action, Step::RecreateServer { .. })
                && step.progress.memo.has_made_something()
                && step.progress.state != StepState::Undone
        })
}

fn refuse_elsewhere(group: &Group, failed: &OperationRecord) -> ApiResult<()> {
    let operation = &failed.operation;
    if group.current_primary_site != operation.source_site {
        return Err(ApiError::conflict(format!(
            "Protection group {} runs on {} now, and operation {} was to move it there from {}: there is nothing to adopt.",
            group.name, group.current_primary_site, operation.id, operation.source_site
        )));
    }
    if group.status == GroupStatus::SplitBrain {
        return Err(ApiError::conflict(format!(
            "Protection group {name} is split_brain: stop what runs on {} first, with 'openstack dr fence {name}'.",
            group.other().site,
            name = group.name
        )));
    }
    Ok(())
}

/// What an older one has made is older than what the group has written since.
async fn refuse_older(app: &App, group: &Group, failed: &OperationRecord) -> ApiResult<()> {
    let id = &failed.operation.id;
    match last_begun(app, &group.id).await? {
        Some(last) if last.id() != id && !last.adopts(id) => Err(ApiError::conflict(format!(
            "Operation {id} is not the last that was to move protection group {}: that is {}.",
            group.name,
            last.id()
        ))),
        _ => Ok(()),
    }
}

/// The members whose copies, made by `failed`, are its group by now: nothing of them is left over.
pub(super) async fn adopted_members(
    app: &App,
    failed: &OperationRecord,
) -> ApiResult<BTreeSet<ServerId>> {
    let operation = &failed.operation;
    if operation.state != OperationState::Failed {
        return Ok(BTreeSet::new());
    }
    let adopts = |record: &OperationRecord| has_adopted(record) == Some(&operation.id);
    let adoption = last_ended_here(app, &operation.group_id, adopts).await?;
    let members = adoption
        .into_iter()
        .flat_map(|record| record.operation.plan.members);
    Ok(members.map(|member| member.server_id).collect())
}
