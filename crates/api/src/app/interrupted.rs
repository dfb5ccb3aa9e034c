//! A planned failover that the loss of its source has interrupted: what an unplanned one may take over from it.

use protector_core::{
    group::{Group, GroupStatus},
    id::OperationId,
    operation::{OperationKind, OperationRecord, OperationState},
    runbook::unplanned_failover::is_unplanned,
};
use protector_store::{KeptOperation, PeerOperation};
use serde_json::Value;

use super::{App, failover::refuse_wrong_status, last_move::last_begun};
use crate::error::ApiResult;

/// The planned failover of `group` that was interrupted before it could end, if an unplanned one may come after it, and what
/// has tried to go on from it and failed, newest first. None where nothing is under way, and where it is being taken back:
/// what it has made may be older than what its source has written since.
///
/// # Errors
///
/// 409 where the group's status has another reason.
pub async fn interrupted(app: &App, group: &Group) -> ApiResult<Vec<OperationId>> {
    let kind = OperationKind::Failover;
    let stuck = matches!(group.status, GroupStatus::FailingOver | GroupStatus::Error)
        && group.current_primary_site == group.primary.site;
    if !stuck {
        refuse_wrong_status(group, kind)?;
        return Ok(match last_begun(app, &group.id).await? {
            Some(KeptOperation::Here(last)) => tried_in_vain(group, &last),
            _ => vec![],
        });
    }
    match last_move(app, group).await? {
        Some(last) if last.is_a_planned_failover => Ok(if last.went_forward {
            vec![last.id]
        } else {
            vec![]
        }),
        // The site that began it was lost before it could say more than that.
        None if group.status == GroupStatus::FailingOver => Ok(vec![]),
        _ => {
            refuse_wrong_status(group, kind)?;
            Ok(vec![])
        }
    }
}

/// What an unplanned failover that was to go on from an interrupted one, and failed, has left for the next: the copies that
/// it has taken over are never taken back. Not after the source has replicated again: they are older than that.
fn tried_in_vain(group: &Group, last: &OperationRecord) -> Vec<OperationId> {
    let operation = &last.operation;
    let has_failed = operation.state == OperationState::Failed && is_unplanned(last);
    let replicated_since = group
        .last_replication_at
        .is_some_and(|at| at > operation.created_at);
    if !has_failed || replicated_since || operation.plan.interrupted.is_empty() {
        return vec![];
    }
    std::iter::once(operation.id.clone())
        .chain(operation.plan.interrupted.iter().cloned())
        .collect()
}

/// The newest operation that was to move the group.
struct LastMove {
    id: OperationId,
    /// Whether it was still going forward when this site last heard of it.
    went_forward: bool,
    is_a_planned_failover: bool,
}

async fn last_move(app: &App, group: &Group) -> ApiResult<Option<LastMove>> {
    let last = last_begun(app, &group.id).await?;
    Ok(last.map(|kept| match kept {
        KeptOperation::Here(record) => begun_here(&record),
        KeptOperation::Elsewhere(copy) => begun_elsewhere(copy),
    }))
}

fn begun_here(record: &OperationRecord) -> LastMove {
    let operation = &record.operation;
    LastMove {
        id: operation.id.clone(),
        went_forward: matches!(
            operation.state,
            OperationState::Queued | OperationState::Running | OperationState::Completed
        ),
        is_a_planned_failover: operation.kind == OperationKind::Failover && !is_unplanned(record),
    }
}

/// Of a copy is known what its home showed last. An unplanned failover is run by the site that it goes to, so that one of
/// the other site was a planned one.
fn begun_elsewhere(copy: PeerOperation) -> LastMove {
    let shown = |field: &str| copy.record.get(field).and_then(Value::as_str);
    let is_taken_back = shown("status") == Some("failed") || shown("phase") == Some("rolling_back");
    LastMove {
        is_a_planned_failover: copy.kind == OperationKind::Failover.as_str(),
        went_forward: !is_taken_back,
        id: copy.id,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use protector_core::{journal_conformance, runbook::Step};

    use super::*;

    /// An unplanned failover in place of `op-planned` that has failed, and its group.
    fn tried() -> (OperationRecord, Group) {
        let mut record = journal_conformance::operation(1);
        record.steps[0].action = Step::SwitchRecovered;
        record.operation.state = OperationState::Failed;
        record.operation.plan.interrupted = vec!["op-planned".into()];
        let mut group = journal_conformance::group(&record);
        group.last_replication_at = Some(record.operation.created_at - TimeDelta::seconds(60));
        (record, group)
    }

    #[test]
    fn the_next_try_knows_what_the_first_and_the_interrupted_one_have_made() {
        let (record, group) = tried();
        let first = record.operation.id.clone();
        assert_eq!(tried_in_vain(&group, &record), [first, "op-planned".into()]);
    }

    #[test]
    fn copies_that_are_older_than_a_replication_are_no_start_for_another_try() {
        let (record, mut group) = tried();
        group.last_replication_at = Some(record.operation.created_at + TimeDelta::seconds(1));
        assert!(tried_in_vain(&group, &record).is_empty());
    }

    #[test]
    fn an_unplanned_failover_that_had_nothing_to_go_on_from_leaves_nothing() {
        let (mut record, group) = tried();
        record.operation.plan.interrupted.clear();
        assert!(tried_in_vain(&group, &record).is_empty());
        let (mut record, group) = tried();
        record.operation.state = OperationState::Completed;
        assert!(tried_in_vain(&group, &record).is_empty());
    }
}
