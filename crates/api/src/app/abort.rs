//! Giving an operation up: on its home, where its engine takes everything back.

use protector_core::{
    fault::Code,
    operation::{OperationKind, OperationRecord},
    schedule::NotAbortable,
};

use super::App;
use crate::{
    caller::Caller,
    error::{ApiError, ApiResult},
};

/// Asks that this site's operation be given up. It is taken back at its engine's next look, and ends `failed`. One that was
/// given up before is answered as it is.
///
/// # Errors
///
/// 409 where it cannot be taken back any more, with what leads on instead.
pub async fn abort_here(
    app: &App,
    caller: &Caller,
    record: OperationRecord,
) -> ApiResult<OperationRecord> {
    let operation = &record.operation;
    let (id, user) = (&operation.id, caller.user_id());
    let asked = app.database.operation_abort(id, user, app.clock.now());
    match asked.await? {
        Ok(()) => tracing::info!(operation_id = %id, user_id = %user, "abort asked for"),
        Err(NotAbortable::Ended) if operation.error_code == Some(Code::Aborted) => {}
        Err(why) => return Err(refused(&record, why)),
    }
    let project = &operation.project_id;
    Ok(app.database.operation_show(project, id).await?)
}

fn refused(record: &OperationRecord, why: NotAbortable) -> ApiError {
    let operation = &record.operation;
    let (id, group) = (&operation.id, &operation.plan.group_name);
    ApiError::conflict(match why {
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
    })
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
