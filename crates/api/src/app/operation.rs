//! Starting operations: what all have in common, and a failover of a group.

use protector_core::{
    group::{Group, GroupStatus, status_while},
    id::{OperationId, ProjectId},
    not_carried::Treatment,
    operation::{
        Operation, OperationKind, OperationRecord, OperationState, ResourceMap, StepRecord,
    },
    plan::Plan,
    readiness::{SourceSeen, not_carried},
    runbook::BOOK_VERSION,
};
use protector_store::{GroupStart, Lock, LockKind, NewOperation, StoreError, StoredGroup};

use super::{
    App,
    cleanup::being_cleaned,
    failover::{self, Move},
    member_refresh::MemberRefresh,
    strict::refuse_unannounced,
    sync, unplanned,
};
use crate::{
    caller::Caller,
    error::{ApiError, ApiResult},
    refusal::Refusal,
    request::RequestContext,
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

/// The refusal of what has to wait for `operation`, which moves `group`.
pub(super) fn busy(group: &Group, operation: &Operation) -> ApiError {
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

/// A planned move that could start now.
pub struct PlannedMove {
    /// Its plan.
    pub plan: Plan,
    /// Its lines.
    pub steps: Vec<StepRecord>,
    /// What its copies come up without, a sentence each.
    pub warnings: Vec<String>,
}

/// Plans a planned move of a group to its other site and writes its runbook, if it could start now.
pub async fn plan_move(
    app: &App,
    stored: &StoredGroup,
    asked: &Move,
    source: &SourceSeen,
) -> ApiResult<PlannedMove> {
    let (plan, steps) = plan_move_here(app, stored, asked).await?;
    sync::require_in_sync(app, &stored.group).await?;
    let warnings = refuse_what_would_be_lost(&plan, source)?;
    Ok(PlannedMove {
        plan,
        steps,
        warnings,
    })
}

/// Refuses to move what would be deleted with its original; says what a copy comes up without. Read now: a server may have
/// got it since it was added. A source that does not tell is asked again by the first line of the move.
fn refuse_what_would_be_lost(plan: &Plan, source: &SourceSeen) -> ApiResult<Vec<String>> {
    let lost = not_carried(&plan.members, source);
    let refused = lost
        .iter()
        .find(|(_, lost)| lost.treatment() == Treatment::Refused);
    if let Some((member, lost)) = refused {
        return Err(ApiError::new(
            Refusal::NotMovable,
            format!(
                "Protection group {group} cannot be moved: server {name} {lost}; {cure}, or take it out of the group with '{out}'.",
                group = plan.group_name,
                name = member.name,
                cure = lost.cure(),
                out = member.removal(&plan.group_name),
            ),
        ));
    }
    Ok(lost
        .into_iter()
        .map(|(member, lost)| format!("Server {} {lost}; {}.", member.name, lost.cure()))
        .collect())
}

/// The same, as far as this site's records alone can tell: nobody else is asked, and nothing is changed.
pub async fn plan_move_here(
    app: &App,
    stored: &StoredGroup,
    asked: &Move,
) -> ApiResult<(Plan, Vec<StepRecord>)> {
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
    let (plan, steps) = failover::planned(group, kind, members, arrays.as_ref(), mappings, retain)?;
    unplanned::refuse_while_left(app, group, &plan).await?;
    Ok((plan, steps))
}

/// Starts a planned move of a group to its other site.
pub async fn start_move(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    asked: &Move,
) -> ApiResult<OperationRecord> {
    let kind = asked.kind;
    let status = stored.group.status;
    let source = source_seen(app, &stored.group).await;
    // First: a start that is refused changes nothing, and what is changed on one site while the other one is ahead would be a
    // conflict between them.
    let planned = plan_move(app, stored, asked, &source).await?;
    let refreshed = refreshed(app, stored, &source).await?;
    let (stored, planned) = match &refreshed {
        None => (stored, planned),
        Some(now) => (now, plan_move(app, now, asked, &source).await?),
    };
    let PlannedMove { plan, steps, .. } = planned;
    refuse_unannounced(app, &stored.group, &plan).await?;
    let new = NewMove {
        kind,
        status: status_while(status, kind).unwrap_or(status),
        plan,
        steps,
        map: ResourceMap::default(),
        locks: Vec::new(),
    };
    start_reserved(app, asker, stored, new).await
}

/// What the site where `group` runs shows now.
pub(super) async fn source_seen(app: &App, group: &Group) -> SourceSeen {
    let kind = group.replication_type;
    app.clouds.source_seen(group.current(), kind).await
}

/// The group with its members as they are now, where they are not as it knew them: the copies are built from what is read here.
pub(super) async fn refreshed(
    app: &App,
    stored: &StoredGroup,
    source: &SourceSeen,
) -> ApiResult<Option<StoredGroup>> {
    let refresh = MemberRefresh {
        database: &app.database,
        clouds: &*app.clouds,
        now: app.clock.now(),
    };
    match refresh.of_group(&stored.group, source).await? {
        0 => Ok(None),
        _ => Ok(Some(app.database.group_show_by_id(&stored.group.id).await?)),
    }
}

/// A move of a group that both sites agree about, ready to be stored.
pub(super) struct NewMove {
    /// `Failover` or `Failback`.
    pub kind: OperationKind,
    /// The group's status while it runs.
    pub status: GroupStatus,
    /// Its plan.
    pub plan: Plan,
    /// Its lines.
    pub steps: Vec<StepRecord>,
    /// What it begins with.
    pub map: ResourceMap,
    /// What it holds beside the group.
    pub locks: Vec<Lock>,
}

/// Reserves the group on the other site and stores its move.
pub(super) async fn start_reserved(
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
pub(super) fn nobody_began(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Locked { .. }
            | StoreError::GroupChanged { .. }
            | StoreError::Busy(_)
            | StoreError::Unavailable(_)
            | StoreError::Failing { .. }
    )
}

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
    match try_insert(app, record, locks, group).await {
        Ok(()) => Ok(()),
        Err(error) => Err(why_not(app, error).await?),
    }
}

/// Stores an operation with its locks.
pub(super) async fn try_insert(
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
pub(super) async fn why_not(app: &App, error: StoreError) -> ApiResult<ApiError> {
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
