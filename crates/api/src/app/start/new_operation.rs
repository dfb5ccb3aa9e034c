//! What the start of every operation ends with: its record, its locks, and the group's status, in one transaction.

use protector_core::{
    group::{Group, GroupStatus, status_while},
    id::{OperationId, ProjectId},
    operation::{
        Operation, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
        StepRecord,
    },
    plan::Plan,
    runbook::BOOK_VERSION,
};
use protector_store::{GroupStart, Lock, LockKind, NewOperation, StoreError, StoredGroup};
use protector_wire::text::Timestamp;

use crate::{
    app::{App, refusal::Refusal, sync},
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        request::RequestContext,
    },
};

/// Who asks, and with which request.
#[derive(Clone, Copy)]
pub struct Asker<'r> {
    pub caller: &'r Caller,
    pub request: &'r RequestContext,
}

impl App {
    /// Refuses while an operation moves `group`; names it and its status.
    pub async fn refuse_while_operated(&self, group: &Group) -> ApiResult<()> {
        let moving = self.database.operation_moving(&group.id).await?;
        moving.map_or(Ok(()), |record| Err(busy(group, &record.operation)))
    }
}

/// The refusal of what has to wait for `operation`, which moves `group`.
pub(crate) fn busy(group: &Group, operation: &Operation) -> ApiError {
    ApiError::new(
        Refusal::Busy,
        format!(
            "Protection group {} is {}: operation {} ({}) is {}; watch it with 'openstack dr operation show {}'.",
            group.name,
            group.status,
            operation.id,
            operation.kind,
            operation.state.status(),
            operation.id
        ),
    )
}

/// A move of a group that both sites agree about, ready to be stored.
pub(crate) struct NewMove {
    /// `Failover` or `Failback`.
    pub kind: OperationKind,
    /// The group's status while it runs.
    pub status: GroupStatus,
    pub plan: Plan,
    pub steps: Vec<StepRecord>,
    /// What it begins with.
    pub map: ResourceMap,
    /// What it holds beside the group.
    pub locks: Vec<Lock>,
}

/// Reserves the group on the other site and stores its move.
pub(crate) async fn start_reserved(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    new: NewMove,
) -> ApiResult<OperationRecord> {
    let group = &stored.group;
    let NewMove {
        kind,
        status,
        plan,
        steps,
        map,
        mut locks,
    } = new;
    sync::reserve(app, group).await?;
    let record = OperationRecord {
        operation: queued(app, asker, kind, &stored.local_project_id, plan, None),
        steps,
        map,
    };
    locks.insert(0, Lock::group(&group.id));
    let start = GroupStart {
        group_id: group.id.clone(),
        from_status: group.status,
        from_version: group.version,
        status,
        supersedes: None,
    };
    match try_insert(app, &record, &locks, Some(start)).await {
        Ok(()) => Ok(record),
        Err(error) => {
            if nobody_began(&error) {
                sync::release(app, group).await;
            }
            Err(why_not(app, error).await?)
        }
    }
}

/// Whether a start that failed like this may give back what it has reserved on the other site: a reservation is the
/// site's, and may by now be needed by another start, which was faster or of which nothing is known. Then it ends by
/// itself.
pub(crate) fn nobody_began(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Locked { .. }
            | StoreError::GroupChanged { .. }
            | StoreError::Busy(_)
            | StoreError::Unavailable(_)
            | StoreError::Failing { .. }
    )
}

pub(crate) fn queued(
    app: &App,
    asker: Asker<'_>,
    kind: OperationKind,
    project: &ProjectId,
    plan: Plan,
    parent_id: Option<OperationId>,
) -> Operation {
    Operation {
        id: OperationId::from_uuid(app.ids.uuid()),
        kind,
        planning: Planning::Planned,
        group_id: plan.group_id.clone(),
        project_id: project.clone(),
        user_id: asker.caller.user_id().clone(),
        source_site: plan.source.site.clone(),
        target_site: plan.target.site.clone(),
        parent_id,
        plan,
        state: OperationState::Queued,
        book_version: BOOK_VERSION,
        request_id: asker.request.local.to_string(),
        global_request_id: asker.request.global.map(|id| id.to_string()),
        error: None,
        error_code: None,
        created_at: app.clock.now(),
        started_at: None,
        finished_at: None,
    }
}

/// Stores an operation with its locks, or says which other one was faster.
pub(crate) async fn insert(
    app: &App,
    record: &OperationRecord,
    locks: &[Lock],
    group: Option<GroupStart>,
) -> ApiResult<()> {
    match try_insert(app, record, locks, group).await {
        Ok(()) => Ok(()),
        Err(error) => Err(why_not(app, error).await?),
    }
}

/// Stores an operation with its locks.
pub(crate) async fn try_insert(
    app: &App,
    record: &OperationRecord,
    locks: &[Lock],
    group: Option<GroupStart>,
) -> Result<(), StoreError> {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks,
        group,
    };
    app.database.operation_insert(&new, app.clock.now()).await?;
    let (id, kind) = (&record.operation.id, record.operation.kind);
    tracing::info!(operation_id = %id, %kind, "operation queued");
    Ok(())
}

/// Why an operation was not stored. Names the other one that was faster between the look and the write.
pub(crate) async fn why_not(app: &App, error: StoreError) -> ApiResult<ApiError> {
    let StoreError::Locked {
        kind,
        resource_id,
        by_operation,
    } = error
    else {
        return Ok(error.into());
    };
    let other = app.database.operation_show_by_id(&by_operation).await?;
    Ok(match kind {
        LockKind::CleanupOf => being_cleaned(&resource_id, &other.operation),
        LockKind::Group => ApiError::new(
            Refusal::Busy,
            format!(
                "Operation {by_operation} ({}) is {}; watch it with 'openstack dr operation show {by_operation}'.",
                other.operation.kind,
                other.operation.state.status()
            ),
        ),
    })
}

/// The second of two cleanups is told who is at it, and since when.
pub fn being_cleaned(parent: &str, cleanup: &Operation) -> ApiError {
    if cleanup.kind.is_a_move() {
        return ApiError::new(
            Refusal::BeingCleanedUp,
            format!(
                "Operation {} adopts what operation {parent} has made; watch it with 'openstack dr operation show {}'.",
                cleanup.id, cleanup.id
            ),
        );
    }
    ApiError::new(
        Refusal::BeingCleanedUp,
        format!(
            "Operation {parent} is being cleaned up by operation {}, which user {} asked for at {} and which is {}; watch it with 'openstack dr operation show {}'.",
            cleanup.id,
            cleanup.user_id,
            Timestamp(cleanup.created_at),
            cleanup.state.status(),
            cleanup.id
        ),
    )
}

/// Refuses while an operation removes what `parent` made or left; names it.
pub(crate) async fn refuse_while_cleaned(app: &App, parent: &OperationId) -> ApiResult<()> {
    let holder = app.database.lock_holder(&Lock::cleanup_of(parent)).await?;
    let Some(cleanup) = holder else { return Ok(()) };
    let running = app.database.operation_show_by_id(&cleanup).await?;
    Err(being_cleaned(parent.as_str(), &running.operation))
}

/// An operation to be started, but for who asks and when.
pub(crate) struct Run {
    pub kind: OperationKind,
    pub planning: Planning,
    pub plan: Plan,
    pub steps: Vec<StepRecord>,
    pub map: ResourceMap,
    pub parent: Option<OperationId>,
    pub supersedes: Option<OperationId>,
    /// What nothing else may be about while it has not ended, besides the group.
    pub locks: Vec<Lock>,
}

pub(crate) async fn start(
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
        operation: Operation {
            planning: run.planning,
            ..queued(app, asker, run.kind, project, run.plan, run.parent)
        },
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
