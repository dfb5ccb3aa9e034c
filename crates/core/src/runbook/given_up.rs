//! What the tries at a member that an unplanned failover did not recover have made for it, once no further try may need it.

use std::collections::BTreeSet;

use super::{Step, Verb};
use crate::{
    id::{ServerId, SiteName},
    member::{Member, MemberStatus},
    operation::{Memo, OperationRecord, OperationState, StepInProgress, StepRecord, StepState},
};

/// Why a line is left that had ended well.
const NOT_RECOVERED: &str =
    "it was made for a VM that was not recovered, and no retry takes that up any more";

/// Whether `failover` itself left members unrecovered, so that [`given_up_members`] may name some. Tells without a look at
/// its retries and its group.
pub fn may_give_members_up(failover: &OperationRecord) -> bool {
    let operation = &failover.operation;
    let is_recovered = |member: &Member| failover.map.recovered(&member.server_id).is_some();
    failover.operation.is_unplanned()
        && operation.state == OperationState::Completed
        && !operation.plan.members.iter().all(is_recovered)
}

/// The states of a line that was not done for its member. A member that was not recovered has one in one of them: the one
/// that failed, and those that were left out after it, the one that counts it among them.
pub const UNDONE_FOR_MEMBER: [StepState; 2] = [StepState::Failed, StepState::Skipped];

/// Whether `line` was not done for the member that it is about.
pub fn is_undone_for_member(line: &impl StepInProgress) -> bool {
    line.verb() == Verb::Member && UNDONE_FOR_MEMBER.contains(&line.state())
}

/// The members of `failover`, by their servers on its source, that no try has recovered and no retry can take up any more:
/// those that have left the group or were brought to where it runs by another move, all of them where the group runs
/// elsewhere by now, or is gone.
///
/// `tries` are the retries of it; while one of them runs, no member is given up. `group` is where the group runs now, and its
/// members; `None` if it was deleted.
pub fn given_up_members(
    failover: &OperationRecord,
    tries: &[OperationRecord],
    group: Option<(&SiteName, &[Member])>,
) -> BTreeSet<ServerId> {
    let operation = &failover.operation;
    let has_ended = |record: &OperationRecord| record.operation.state.is_terminal();
    if !may_give_members_up(failover) || !tries.iter().all(has_ended) {
        return BTreeSet::new();
    }
    let is_recovered = |member: &Member| {
        let mut all = tries.iter().chain([failover]);
        all.any(|record| record.map.recovered(&member.server_id).is_some())
    };
    let may_be_retried = |member: &Member| {
        group.is_some_and(|(runs_on, members)| {
            *runs_on == operation.target_site
                && members
                    .iter()
                    .any(|now| now.id == member.id && now.status == MemberStatus::Error)
        })
    };
    let members = operation.plan.members.iter();
    members
        .filter(|member| !is_recovered(member) && !may_be_retried(member))
        .map(|member| member.server_id.clone())
        .collect()
}

/// `failover` as a cleanup by hand takes it up: what it and `tries`, the oldest first, have made for the members whose
/// servers are in `given_up` counts as what could not be taken back.
///
/// What a cleanup has settled already stays as that left it.
pub fn with_given_up(
    failover: &OperationRecord,
    tries: &[OperationRecord],
    given_up: &BTreeSet<ServerId>,
) -> OperationRecord {
    let mut record = failover.clone();
    let plan = &failover.operation.plan;
    for step in &mut record.steps {
        let member = step.action.member(plan);
        if !member.is_some_and(|member| given_up.contains(&member.server_id)) {
            continue;
        }
        let Some(memo) = what_was_made(step, failover, tries) else {
            continue;
        };
        let progress = &mut step.progress;
        progress.memo = memo;
        progress.state = StepState::UndoFailed;
        progress
            .error
            .get_or_insert_with(|| NOT_RECOVERED.to_owned());
    }
    record
}

/// What the newest try that made something with the action of `step` remembers of it.
fn what_was_made(
    step: &StepRecord,
    failover: &OperationRecord,
    tries: &[OperationRecord],
) -> Option<Memo> {
    let makes = matches!(
        step.action,
        Step::PromoteVolume { .. }
            | Step::ManageVolume { .. }
            | Step::ReservePorts { .. }
            | Step::CompletePorts { .. }
            | Step::RecreateServer { .. }
    );
    let is_settled = matches!(
        step.progress.state,
        StepState::Undone | StepState::UndoFailed
    );
    if !makes || is_settled {
        return None;
    }
    let newest_first = tries.iter().rev().chain([failover]);
    let lines = newest_first.filter_map(|record| {
        let mut lines = record.steps.iter();
        lines.find(|line| line.action == step.action)
    });
    let memo = lines
        .map(|line| &line.progress.memo)
        .find(|memo| memo.has_made_something())?;
    let mut memo = memo.clone();
    // Another day, another silence.
    memo.since.silent = None;
    memo.since.locked_out = None;
    Some(memo)
}
