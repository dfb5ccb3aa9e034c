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

/// A failover that has not moved its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The failover.
    pub id: OperationId,
    /// Whether it was still going forward when this site last heard of it. What one has made that is being taken back may
    /// be older than what its source has written since.
    pub went_forward: bool,
}

/// The planned failover of `group` that was interrupted before it could end, if an unplanned one may come after it; none
/// where nothing is under way.
///
/// # Errors
///
/// 409 where the group's status has another reason.
pub async fn interrupted(app: &App, group: &Group) -> ApiResult<Option<Interrupted>> {
    let kind = OperationKind::Failover;
    let stuck = matches!(group.status, GroupStatus::FailingOver | GroupStatus::Error)
        && group.current_primary_site == group.primary.site;
    if !stuck {
        refuse_wrong_status(group, kind)?;
        return Ok(None);
    }
    match last_move(app, group).await? {
        Some(last) if last.is_a_planned_failover => Ok(Some(last.interrupted)),
        // The site that began it was lost before it could say more than that.
        None if group.status == GroupStatus::FailingOver => Ok(None),
        _ => {
            refuse_wrong_status(group, kind)?;
            Ok(None)
        }
    }
}

struct LastMove {
    interrupted: Interrupted,
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
        interrupted: Interrupted {
            id: operation.id.clone(),
            went_forward: matches!(
                operation.state,
                OperationState::Queued | OperationState::Running | OperationState::Completed
            ),
        },
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
        interrupted: Interrupted {
            went_forward: !is_taken_back,
            id: copy.id,
        },
    }
}
