//! Going forward with what a failed move has made and could not take back, because its copies run and are used.

use std::collections::BTreeSet;

use protector_core::{
    adoption::{Obstacle, Shown, adoption_of, to_build},
    group::{Group, GroupStatus, ResourceMappings},
    id::{GroupId, OperationId, ServerId, SiteName},
    member::Member,
    operation::{MapKind, OperationKind, OperationRecord, OperationState, ResourceMap, StepState},
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
    last_move::{last_begun_of, last_ended_here},
    lost_source::{LeftByAMove, adopt_without_source, belongs_elsewhere, needs_the_source},
    operation::{Asker, NewMove, start_reserved},
    orphan::within,
    reset_status::{PATIENCE, expected_of, holdings},
    sync::{self, LOST_SITE_PATIENCE},
    unplanned::{
        LeftCopies, Run, TakeOver, Unplanned, UnplannedFailover, cleanups_kept_out,
        plan_to_take_over, start,
    },
};
use crate::{
    clouds::CloudError,
    error::{ApiError, ApiResult},
    refusal::Refusal,
    wire::adopt::AdoptOptions,
};

/// Starts the operation that makes the copies of a failed one the group.
///
/// # Errors
///
/// 400 for mappings where the source is not lost; 409 with every member that stands in the way and the command for it, or with
/// its home where the other site runs it; 503 while a cloud does not answer, with what it means to go on without the source
/// where that is the one.
pub async fn start_adoption(
    app: &App,
    asker: Asker<'_>,
    kept: KeptOperation,
    options: AdoptOptions,
) -> ApiResult<OperationRecord> {
    refuse_mappings_with_both_sites(&options)?;
    match kept {
        KeptOperation::Here(failed) if options.source_is_lost => {
            adopt_without_source(app, asker, LeftByAMove::here(&failed)?, options).await
        }
        KeptOperation::Here(failed) => adopt_here(app, asker, &failed).await,
        KeptOperation::Elsewhere(copy) if options.source_is_lost => {
            adopt_without_source(app, asker, LeftByAMove::elsewhere(&copy)?, options).await
        }
        KeptOperation::Elsewhere(copy) => Err(belongs_elsewhere(app, &copy).await?),
    }
}

/// Where both sites answer nothing is chosen: the failed move has built what there is.
fn refuse_mappings_with_both_sites(options: &AdoptOptions) -> ApiResult<()> {
    let has_mappings = !options.network_mapping.is_empty() || !options.flavor_mapping.is_empty();
    match has_mappings && !options.source_is_lost {
        false => Ok(()),
        true => Err(ApiError::bad_request(
            "adopt.network_mapping, adopt.flavor_mapping: only with source_is_lost; else the mappings are those of the failed operation.",
        )),
    }
}

async fn adopt_here(
    app: &App,
    asker: Asker<'_>,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    refuse_unadoptable(failed)?;
    let stored = app
        .database
        .group_show_by_id(&failed.operation.group_id)
        .await?;
    app.refuse_without_other_site(&stored)?;
    app.refuse_while_operated(&stored.group).await?;
    refuse_while_cleaned(app, &failed.operation.id).await?;
    refuse_elsewhere(
        &stored.group,
        &failed.operation.id,
        &failed.operation.source_site,
    )?;
    refuse_older(app, &stored.group, &failed.operation.id).await?;
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
    let built = look(app, &plan, stored, failed, &members).await?;
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
    stored: &StoredGroup,
    failed: &OperationRecord,
    members: &[Member],
) -> ApiResult<BTreeSet<ServerId>> {
    let originals = expected_of(&plan.members);
    let reading = app.clouds.holdings(&plan.source, &originals);
    let source =
        within(PATIENCE, &plan.source.site, reading)
            .await
            .map_err(|error| match &error {
                CloudError::Unreachable { .. } => needs_the_source(failed, stored, &error),
                CloudError::Refused { .. } | CloudError::NotTold { .. } => error.into(),
            })?;
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
    ApiError::new(
        Refusal::CopiesInTheWay,
        format!(
            "Protection group {} cannot go forward with what operation {} has made on {}: {}.",
            operation.plan.group_name,
            operation.id,
            operation.target_site,
            found.join("; ")
        ),
    )
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
    let makers = std::iter::once(&failed.operation.id).chain(&plan.interrupted);
    let take_over = TakeOver::TheseCopies(LeftCopies {
        makers: makers.cloned().collect(),
        mappings: plan.mappings.clone(),
    });
    let request = Unplanned {
        action: OperationKind::Failover,
        mappings: ResourceMappings::default(),
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

pub(super) fn refuse_unadoptable(failed: &OperationRecord) -> ApiResult<()> {
    let operation = &failed.operation;
    let id = &operation.id;
    if let Some(first) = &operation.plan.adopts {
        return Err(ApiError::new(
            Refusal::NotAdoptable,
            format!(
                "Operation {id} was itself to adopt what {first} has made: 'openstack dr operation adopt {first}' tries again."
            ),
        ));
    }
    let is_move = matches!(
        operation.kind,
        OperationKind::Failover | OperationKind::Failback
    );
    if is_move && operation.state == OperationState::Failed && has_built(failed) {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::NotAdoptable,
        match (is_move, operation.state) {
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
        },
    ))
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

pub(super) fn refuse_elsewhere(
    group: &Group,
    failed: &OperationId,
    source: &SiteName,
) -> ApiResult<()> {
    if group.current_primary_site != *source {
        return Err(ApiError::new(
            Refusal::NothingToDo,
            format!(
                "Protection group {} runs on {} now, and operation {failed} was to move it from {source}: there is nothing to adopt.",
                group.name, group.current_primary_site
            ),
        ));
    }
    if group.status == GroupStatus::SplitBrain {
        return Err(ApiError::new(
            Refusal::SplitBrain,
            format!(
                "Protection group {name} is split_brain: stop what runs on {} first, with 'openstack dr fence {name}'.",
                group.other().site,
                name = group.name
            ),
        ));
    }
    Ok(())
}

/// What an older one has made is older than what the group has written since. One that has failed and made nothing is passed
/// over: it was in vain, because of the copies that are to be adopted.
pub(super) async fn refuse_older(app: &App, group: &Group, id: &OperationId) -> ApiResult<()> {
    match last_that_made(app, &group.id).await? {
        Some(last) if last.id() != id && !last.adopts(id) => Err(ApiError::new(
            Refusal::NotTheLast,
            format!(
                "Operation {id} is not the last that was to move protection group {}: that is {last}. 'openstack dr operation show {last}' shows how that stands; if its copies are in use, 'openstack dr operation adopt {last}' goes forward with them.",
                group.name,
                last = last.id()
            ),
        )),
        _ => Ok(()),
    }
}

/// The last move of the group, but for those that have failed and made no copy.
async fn last_that_made(app: &App, group: &GroupId) -> ApiResult<Option<KeptOperation>> {
    last_begun_of(app, group, |kept| match kept {
        KeptOperation::Here(record) => {
            let was_in_vain = is_unplanned(record)
                && record.operation.state == OperationState::Failed
                && !has_built(record);
            !was_in_vain
        }
        KeptOperation::Elsewhere(_) => true,
    })
    .await
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
    let adopts = |record: &OperationRecord| {
        has_adopted(record) == Some(&operation.id) || has_taken_over(record, &operation.id)
    };
    let Some(adoption) = last_ended_here(app, &operation.group_id, adopts).await? else {
        return Ok(BTreeSet::new());
    };
    let is_the_group = |member: &Member| {
        let server = member.server_id.as_str();
        // A failover without the source may have recovered only some of them.
        has_adopted(&adoption).is_some() || adoption.map.target(MapKind::Server, server).is_some()
    };
    let members = adoption.operation.plan.members.iter();
    Ok(members
        .filter(|member| is_the_group(member))
        .map(|member| member.server_id.clone())
        .collect())
}

/// Whether a failover without the source went on from what `failed` has made, and came to its end.
fn has_taken_over(record: &OperationRecord, failed: &OperationId) -> bool {
    let operation = &record.operation;
    operation.state == OperationState::Completed && operation.plan.interrupted.contains(failed)
}
