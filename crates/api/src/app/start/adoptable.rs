//! Whether a failed move can be gone forward with.

use std::collections::BTreeSet;

use protector_core::{
    group::{Group, GroupStatus},
    id::{GroupId, OperationId, ServerId, SiteName},
    member::Member,
    operation::{OperationRecord, OperationState, StepState},
    runbook::{Step, adopt::has_adopted},
};
use protector_store::KeptOperation;

use crate::{
    app::{
        App,
        refusal::Refusal,
        start::last_move::{last_begun_of, last_ended_here},
    },
    http::error::{ApiError, ApiResult},
};

pub(crate) fn refuse_unadoptable(failed: &OperationRecord) -> ApiResult<()> {
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
    let is_move = operation.kind.is_a_move();
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
pub(crate) fn has_built(failed: &OperationRecord) -> bool {
    let has_taken_over = !failed.operation.plan.interrupted.is_empty();
    has_taken_over
        || failed.steps.iter().any(|step| {
            matches!(step.action, Step::RecreateServer { .. })
                && step.progress.memo.has_made_something()
                && step.progress.state != StepState::Undone
        })
}

pub(crate) fn refuse_group_elsewhere(
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
pub(crate) async fn refuse_older(app: &App, group: &Group, id: &OperationId) -> ApiResult<()> {
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
pub(crate) async fn last_that_made(app: &App, group: &GroupId) -> ApiResult<Option<KeptOperation>> {
    last_begun_of(app, group, |kept| match kept {
        KeptOperation::Here(record) => {
            let was_in_vain = record.operation.is_unplanned()
                && record.operation.state == OperationState::Failed
                && !has_built(record);
            !was_in_vain
        }
        KeptOperation::Elsewhere(_) => true,
    })
    .await
}

/// The members whose copies, made by `failed`, are its group by now: nothing of them is left over.
pub(crate) async fn adopted_members(
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
        // A failover without the source may have recovered only some of them.
        has_adopted(&adoption).is_some() || adoption.map.server(&member.server_id).is_some()
    };
    let members = adoption.operation.plan.members.iter();
    Ok(members
        .filter(|member| is_the_group(member))
        .map(|member| member.server_id.clone())
        .collect())
}

/// Whether a failover without the source went on from what `failed` has made, and came to its end.
pub(crate) fn has_taken_over(record: &OperationRecord, failed: &OperationId) -> bool {
    let operation = &record.operation;
    operation.state == OperationState::Completed && operation.plan.interrupted.contains(failed)
}
