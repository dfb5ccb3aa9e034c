//! Starting operations: a failover of a group, a cleanup of what an ended operation left.

use protector_core::{
    group::{Group, GroupStatus, status_while},
    id::{OperationId, ProjectId, SiteName},
    operation::{
        Operation, OperationKind, OperationRecord, OperationState, ResourceMap, StepRecord,
        StepState, steps_completed,
    },
    plan::Plan,
    present::map_as_of_now,
    runbook::{BOOK_VERSION, Step, cleanup::cleanup_of},
};
use protector_store::{GroupStart, Lock, NewOperation, StoreError, StoredGroup};

use super::{
    App,
    failover::{self, Move},
    sync, test_failover,
};
use crate::{
    caller::Caller,
    error::{ApiError, ApiResult},
    peer,
    request::RequestContext,
    wire::operation::CleanupView,
};

/// Who asks, and with which request.
#[derive(Clone, Copy)]
pub struct Asker<'r> {
    /// The caller.
    pub caller: &'r Caller,
    /// The request.
    pub request: &'r RequestContext,
}

impl App {
    /// Refuses while an operation moves `group`; names it and its status.
    pub async fn refuse_while_operated(&self, group: &Group) -> ApiResult<()> {
        let moving = self.database.operation_moving(&group.id).await?;
        moving.map_or(Ok(()), |record| Err(busy(group, &record.operation)))
    }
}

fn busy(group: &Group, operation: &Operation) -> ApiError {
    ApiError::conflict(format!(
        "Protection group {} is {}: operation {} ({}) is {}; watch it with 'openstack dr operation show {}'.",
        group.name,
        group.status,
        operation.id,
        operation.kind,
        operation.state.status(),
        operation.id
    ))
}

/// Starts a planned move of a group to its other site.
pub async fn start_move(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    asked: &Move,
) -> ApiResult<OperationRecord> {
    let kind = asked.kind;
    let group = &stored.group;
    let mappings = failover::mappings(
        group,
        kind.as_str(),
        &asked.mappings.networks,
        &asked.mappings.flavors,
    )?;
    app.refuse_while_operated(group).await?;
    failover::refuse_wrong_status(group, kind)?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = policy.map(|policy| policy.arrays());
    let retain = asked.retain_source_volumes;
    let (plan, steps) = failover::planned(group, members, arrays.as_ref(), mappings, retain)?;
    sync::require_in_sync(app, group).await?;
    sync::reserve(app, group).await?;
    let status = status_while(group.status, kind).unwrap_or(group.status);
    let record = OperationRecord {
        operation: queued(app, asker, kind, &stored.local_project_id, plan, None),
        steps,
        map: ResourceMap::default(),
    };
    let start = GroupStart {
        group_id: group.id.clone(),
        from_status: group.status,
        from_version: group.version,
        status,
    };
    let inserted = insert(app, &record, &[Lock::group(&group.id)], Some(start)).await;
    if inserted.is_err() {
        sync::release(app, group).await;
    }
    inserted.map(|()| record)
}

/// A cleanup: what it found to do, and its operation if that is anything.
pub struct Cleanup {
    /// What there is to do.
    pub view: CleanupView,
    /// The operation that does it; `None` when nothing is left.
    pub record: Option<OperationRecord>,
}

/// Starts a cleanup of what `parent` left behind.
pub async fn start_cleanup(
    app: &App,
    asker: Asker<'_>,
    parent: &OperationRecord,
) -> ApiResult<Cleanup> {
    refuse_uncleanable(&parent.operation)?;
    refuse_while_cleaned(app, &parent.operation.id).await?;
    let steps = startable(app, parent, cleanup_of(parent)).await?;
    let view = cleanup_view(parent, &steps);
    if steps.is_empty() {
        return Ok(Cleanup { view, record: None });
    }
    if app.settings.cleanup_requires_peer {
        let other = other_site(&parent.operation, &app.settings.site_name);
        peer::require(&*app.peer, other).await?;
    }
    let operation = &parent.operation;
    let current = app
        .database
        .members_of_project(&operation.project_id)
        .await?;
    let record = OperationRecord {
        operation: queued(
            app,
            asker,
            OperationKind::Cleanup,
            &operation.project_id,
            operation.plan.clone(),
            Some(operation.id.clone()),
        ),
        steps,
        map: map_as_of_now(parent, &current),
    };
    insert(app, &record, &[Lock::cleanup_of(&operation.id)], None).await?;
    Ok(Cleanup {
        view,
        record: Some(record),
    })
}

/// Leaves out the servers that `parent` stopped and could not start again, once the group has left `error` or is gone:
/// what they ran may run elsewhere by now. They are the last lines, and no other waits for them.
async fn startable(
    app: &App,
    parent: &OperationRecord,
    steps: Vec<StepRecord>,
) -> ApiResult<Vec<StepRecord>> {
    if !steps.iter().any(starts_a_server) || needs_its_servers(app, &parent.operation).await? {
        return Ok(steps);
    }
    let rest: Vec<StepRecord> = steps
        .into_iter()
        .filter(|step| !starts_a_server(step))
        .collect();
    if rest.is_empty() {
        let operation = &parent.operation;
        return Err(ApiError::conflict(format!(
            "Operation {} left servers stopped on {}, and protection group {} has changed since: they may run elsewhere by now. Start them with 'openstack server start' if they do not.",
            operation.id, operation.source_site, operation.plan.group_name
        )));
    }
    Ok(rest)
}

fn starts_a_server(step: &StepRecord) -> bool {
    matches!(&step.action, Step::TakeBack { line } if matches!(**line, Step::StopServer { .. }))
}

async fn needs_its_servers(app: &App, operation: &Operation) -> ApiResult<bool> {
    match app.database.group_show_by_id(&operation.group_id).await {
        Ok(stored) => Ok(stored.group.status == GroupStatus::Error
            && stored.group.current_primary_site == operation.source_site),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn refuse_uncleanable(operation: &Operation) -> ApiResult<()> {
    if operation.state == OperationState::AwaitingCleanup {
        return Err(test_failover::is_up(operation));
    }
    if !operation.state.is_terminal() {
        return Err(ApiError::conflict(format!(
            "Operation not in completed state: the operation must be completed or failed, it is {}",
            operation.state.status()
        )));
    }
    match &operation.parent_id {
        Some(parent) if operation.kind == OperationKind::Cleanup => {
            Err(ApiError::conflict(format!(
                "Operation {} is itself a cleanup; clean up {parent}, whose leftovers it removes.",
                operation.id
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses while an operation removes what `parent` made or left; names it.
pub(super) async fn refuse_while_cleaned(app: &App, parent: &OperationId) -> ApiResult<()> {
    let holder = app.database.lock_holder(&Lock::cleanup_of(parent)).await?;
    let Some(cleanup) = holder else { return Ok(()) };
    let running = app.database.operation_show_by_id(&cleanup).await?;
    Err(ApiError::conflict(format!(
        "Operation {parent} is being cleaned up by operation {cleanup}, which is {}; watch it with 'openstack dr operation show {cleanup}'.",
        running.operation.state.status()
    )))
}

fn cleanup_view(parent: &OperationRecord, steps: &[StepRecord]) -> CleanupView {
    let kept_on_purpose = parent.steps.iter().any(|step| {
        step.progress.state == StepState::Skipped
            && matches!(step.action, Step::DeleteSourceVolume { .. })
    });
    CleanupView {
        skipped: steps_completed(&parent.steps).len(),
        retained: parent.operation.plan.retain_source_volumes && kept_on_purpose,
        steps: steps.iter().map(|step| step.key.clone()).collect(),
    }
}

fn other_site<'o>(operation: &'o Operation, local: &SiteName) -> &'o SiteName {
    if &operation.source_site == local {
        &operation.target_site
    } else {
        &operation.source_site
    }
}

/// An operation that waits for an engine.
pub(super) fn queued(
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
pub(super) async fn insert(
    app: &App,
    record: &OperationRecord,
    locks: &[Lock],
    group: Option<GroupStart>,
) -> ApiResult<()> {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks,
        group,
    };
    let id = &record.operation.id;
    match app.database.operation_insert(&new, app.clock.now()).await {
        Ok(()) => {
            tracing::info!(operation_id = %id, kind = %record.operation.kind, "operation queued");
            Ok(())
        }
        // Another request was faster between our look and our write.
        Err(StoreError::Locked { by_operation, .. }) => {
            let other = app.database.operation_show_by_id(&by_operation).await?;
            Err(ApiError::conflict(format!(
                "Operation {by_operation} ({}) is {}; watch it with 'openstack dr operation show {by_operation}'.",
                other.operation.kind,
                other.operation.state.status()
            )))
        }
        Err(error) => Err(error.into()),
    }
}
