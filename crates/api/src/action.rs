//! The action endpoint of a group.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use protector_core::{id::ProjectId, operation::OperationRecord};
use protector_oslo::policy::{RuleName, rules};
use protector_store::StoredGroup;

use crate::{
    app::{
        App,
        failover::Move,
        operation::{Asker, start_move},
        replicate::start_replication,
        test_failover::{start_test_cleanup, start_test_failover},
    },
    caller::Caller,
    error::{ApiError, ApiResult, Kind},
    extract::{Body, Path},
    request::RequestContext,
    wire::operation::{Action, FailoverKind, OperationAnswer, OperationDetail, OperationView},
};

fn rule(action: &Action) -> RuleName {
    match action {
        Action::Failover(_) => rules::PROTECTION_GROUPS_FAILOVER,
        Action::Failback(_) => rules::PROTECTION_GROUPS_FAILBACK,
        Action::TestFailover(_) => rules::PROTECTION_GROUPS_TEST_FAILOVER,
        Action::TestCleanup(_) => rules::PROTECTION_GROUPS_TEST_CLEANUP,
        Action::Sync(_) => rules::PROTECTION_GROUPS_SYNC,
    }
}

fn unplanned_is_not_in_this_release() -> ApiError {
    ApiError::new(
        Kind::NotImplemented,
        "An unplanned failover is not in this release; failover of type planned, failback, test_failover, test_cleanup and sync are.",
    )
}

/// Starts what `action` asks for. The one way in which operations on groups begin.
pub(crate) async fn start(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    action: Action,
) -> ApiResult<OperationRecord> {
    match action {
        Action::Failover(request) if request.kind == FailoverKind::Planned => {
            let asked = Move::failover(request, app.settings.retain_source_volumes);
            start_move(app, asker, stored, &asked).await
        }
        Action::Failover(_) => Err(unplanned_is_not_in_this_release()),
        Action::Failback(request) => start_move(app, asker, stored, &Move::failback(request)).await,
        Action::TestFailover(request) => start_test_failover(app, asker, stored, &request).await,
        Action::TestCleanup(request) => start_test_cleanup(app, asker, stored, &request).await,
        Action::Sync(_) => start_replication(app, asker, stored).await,
    }
}

/// Starts an operation on a group. The body has exactly one key, the action's name.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/action", operation_id = "protection_group_action", tag = "actions",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = Action,
    responses((status = 202, body = OperationAnswer, headers(("Location" = String, description = "The operation"))),
        (status = 400, description = "A network without a mapping, or an operation that is not a test failover of the group"),
        (status = 404, description = "No such group, or no such test operation, in the project"),
        (status = 409, description = "The group's status, an operation under way, a test failover that is up, starting or cleaned up, no members, no policy, or the other site is unreachable"),
        (status = 501, description = "Not in this release")))]
pub async fn act(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(action): Body<Action>,
) -> ApiResult<Response> {
    let stored = app
        .group_for(&caller, &project, &group, rule(&action))
        .await?;
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let record = start(&app, asker, &stored, action).await?;
    let location = format!("/v1/{project}/operations/{}", record.operation.id);
    let answer = OperationAnswer {
        operation: OperationView::of(&app.settings.site_name, &record, OperationDetail::Record),
    };
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(answer),
    )
        .into_response())
}
