//! Starting a test failover of a group, and the cleanup of one.

use protector_core::{
    group::{Group, status_while},
    id::{OperationId, RecoveryPointId},
    operation::{Operation, OperationKind, OperationRecord, OperationState, ResourceMap},
    plan::Plan,
    present::map_as_of_now,
    runbook::{test_cleanup::test_cleanup, test_failover::test_failover},
    storage::PointsKept,
};
use protector_store::{
    GroupStart, KeptOperation, Lock, OperationFilter, OperationOrder, OrderDirection, Page,
    PeerOperation, StoredGroup,
};
use protector_wire::operation::{TestCleanup, TestFailover};

use crate::{
    app::{
        App,
        policy::array_pair,
        refusal::Refusal,
        start::{
            admission,
            left_behind::refuse_stale_replicas,
            new_operation::{
                Asker, insert, nobody_began, queued, refuse_while_cleaned, try_insert, why_not,
            },
            recovery_point::{as_at_its_point, asked_for},
        },
        sync,
    },
    http::error::{ApiError, ApiResult},
};

/// The body's field that names the test failover.
const FIELD: &str = "test_cleanup.test_operation_id";

/// The states of a test failover whose copies are, or may be, up.
const OPEN: [OperationState; 4] = [
    OperationState::Queued,
    OperationState::Running,
    OperationState::Unwinding,
    OperationState::AwaitingCleanup,
];

impl App {
    /// Refuses while the copies of a test failover of `group` are up; names it.
    pub async fn refuse_while_tested(&self, group: &Group) -> ApiResult<()> {
        let up = OperationFilter {
            groups: vec![group.id.clone()],
            kinds: vec![OperationKind::TestFailover],
            // A copy of the other site's may still say that it runs.
            states: OPEN.to_vec(),
            ..OperationFilter::default()
        };
        let newest = Page {
            limit: 1,
            marker: None,
            sort_key: OperationOrder::CreatedAt,
            sort_dir: OrderDirection::Desc,
        };
        let listed = self.database.operation_list_of_both(&up, &newest).await?;
        match listed.items.into_iter().next() {
            None => Ok(()),
            Some(KeptOperation::Here(record)) => Err(is_up(&record.operation)),
            Some(KeptOperation::Elsewhere(copy)) => Err(is_up_elsewhere(&group.name, &copy)),
        }
    }
}

/// Says that a test failover's copies are up, and how they are removed.
pub fn is_up(test: &Operation) -> ApiError {
    ApiError::new(
        Refusal::TestIsUp,
        format!(
            "Operation {} is a test failover whose VMs are up on {}; remove them with 'openstack dr protection-group action {} --action test-cleanup --test-operation-id {}'.",
            test.id, test.target_site, test.plan.group_name, test.id
        ),
    )
}

/// The same of one that the other site runs.
fn is_up_elsewhere(group: &str, test: &PeerOperation) -> ApiError {
    ApiError::new(
        Refusal::TestIsUp,
        format!(
            "Operation {id} is a test failover, run by {home}, whose VMs are up; remove them with 'openstack --os-cloud {home} dr protection-group action {group} --action test-cleanup --test-operation-id {id}'.",
            id = test.id,
            home = test.home_site,
        ),
    )
}

/// Starts a test failover of a group. What runs on its current site is not touched.
pub async fn start_test_failover(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    request: &TestFailover,
) -> ApiResult<OperationRecord> {
    let kind = OperationKind::TestFailover;
    let group = &stored.group;
    let mappings = admission::mappings(
        group,
        "test_failover",
        &request.network_mapping,
        &request.flavor_mapping,
    )?;
    // In this order: a test failover gives up the group's lock in the moment in which its copies are up.
    app.refuse_while_operated(group).await?;
    app.refuse_while_tested(group).await?;
    admission::refuse_wrong_status(group, kind)?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = array_pair(app, group, policy.as_ref())?;
    let plan = Plan::move_to_other_site(group, members, arrays.as_ref(), mappings, false)
        .map_err(|refusal| admission::refused(group, &refusal))?
        .recovered_as(group.recovery_plan_from_current(kind))
        .to_recovery_point(request.recovery_point.clone().map(RecoveryPointId::new));
    refuse_stale_replicas(app, group, &plan).await?;
    // A test clones a point, and any of them can be cloned.
    let field = "test_failover.recovery_point";
    let asked = asked_for(app, &plan, field, PointsKept::Several).await?;
    let plan = as_at_its_point(app, plan, asked.as_ref()).await;
    let steps = test_failover(&plan)
        .into_steps()
        .map_err(ApiError::internal)?;
    sync::require_in_sync(app, group).await?;
    let record = OperationRecord {
        operation: queued(app, asker, kind, &stored.local_project_id, plan, None),
        steps,
        map: ResourceMap::default(),
    };
    let start = GroupStart {
        group_id: group.id.clone(),
        from_status: group.status,
        from_version: group.version,
        status: status_while(group.status, kind).unwrap_or(group.status),
        supersedes: None,
    };
    // Held only until this one is on record: from then on its lock keeps a start on the other site away.
    sync::reserve(app, group).await?;
    let inserted = try_insert(app, &record, &[Lock::group(&group.id)], Some(start)).await;
    if inserted.as_ref().err().is_none_or(nobody_began) {
        sync::release(app, group).await;
    }
    match inserted {
        Ok(()) => Ok(record),
        Err(error) => Err(why_not(app, error).await?),
    }
}

/// Starts the cleanup of a test failover of the group. It touches only what that made on the other site, so neither the
/// group's status nor the other site's protector matters.
pub async fn start_test_cleanup(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    request: &TestCleanup,
) -> ApiResult<OperationRecord> {
    let id = OperationId::new(request.test_operation_id.clone());
    let project = &stored.local_project_id;
    let command = format!(
        "test-cleanup {} --test-operation-id {id}",
        stored.group.name
    );
    let test = app.operation_here(project, &id, &command).await?;
    refuse_what_is_no_test_of(&stored.group, &test.operation)?;
    refuse_while_cleaned(app, &id).await?;
    refuse_unless_up(app, &test.operation).await?;
    let steps = test_cleanup(&test, app.settings.test_copies, app.clock.now())
        .map_err(ApiError::internal)?;
    // A copy that somebody protects by now is nobody's test copy any more.
    let current = app.database.members_of_project(project).await?;
    let map = map_as_of_now(&test, &current);
    let plan = test.operation.plan;
    let kind = OperationKind::TestCleanup;
    let record = OperationRecord {
        operation: queued(app, asker, kind, project, plan, Some(id.clone())),
        steps,
        map,
    };
    insert(app, &record, &[Lock::cleanup_of(&id)], None).await?;
    Ok(record)
}

fn refuse_what_is_no_test_of(group: &Group, operation: &Operation) -> ApiResult<()> {
    if operation.group_id != group.id {
        return Err(ApiError::bad_request(format!(
            "{FIELD}: operation {} is of protection group {}, not of {}.",
            operation.id, operation.plan.group_name, group.name
        )));
    }
    if operation.kind != OperationKind::TestFailover {
        return Err(ApiError::bad_request(format!(
            "{FIELD}: operation {} is a {}, not a test_failover.",
            operation.id, operation.kind
        )));
    }
    Ok(())
}

async fn refuse_unless_up(app: &App, test: &Operation) -> ApiResult<()> {
    let id = &test.id;
    let why = match test.state {
        OperationState::AwaitingCleanup => return Ok(()),
        OperationState::Queued | OperationState::Running => format!(
            "Test failover {id} is still starting its VMs; when 'openstack dr operation show {id}' says phase awaiting_cleanup, it can be cleaned up."
        ),
        OperationState::Unwinding => format!(
            "Test failover {id} has failed and what it made is being taken back; watch it with 'openstack dr operation show {id}'."
        ),
        OperationState::Failed => format!(
            "Test failover {id} has failed and was taken back; what is left of it, if anything, is removed by 'openstack dr operation cleanup {id}'."
        ),
        OperationState::Completed => already_cleaned(app, id).await?,
    };
    Err(ApiError::new(Refusal::NoTestToCleanUp, why))
}

async fn already_cleaned(app: &App, test: &OperationId) -> ApiResult<String> {
    let children = app.database.operation_children(test).await?;
    let by = children
        .into_iter()
        .map(|child| child.operation)
        .rfind(|child| child.kind == OperationKind::TestCleanup);
    Ok(match by {
        None => format!("Test failover {test} has been cleaned up already."),
        Some(by) => format!(
            "Test failover {test} has been cleaned up already, by operation {0}; what that left, if anything, is removed by 'openstack dr operation cleanup {0}'.",
            by.id
        ),
    })
}
