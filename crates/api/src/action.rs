//! The action endpoint of a group.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use protector_core::id::ProjectId;
use protector_oslo::policy::{RuleName, rules};

use crate::{
    app::{
        App,
        operation::{Asker, start_failover},
    },
    caller::Caller,
    error::{ApiError, ApiResult, Kind},
    extract::{Body, Path},
    request::RequestContext,
    wire::operation::{
        Action, Failover, FailoverKind, OperationAnswer, OperationDetail, OperationView,
    },
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

fn implemented(action: Action) -> ApiResult<Failover> {
    let name = match action {
        Action::Failover(request) if request.kind == FailoverKind::Planned => return Ok(request),
        Action::Failover(_) => "An unplanned failover",
        Action::Failback(_) => "failback",
        Action::TestFailover(_) => "test_failover",
        Action::TestCleanup(_) => "test_cleanup",
        Action::Sync(_) => "sync",
    };
    Err(ApiError::new(
        Kind::NotImplemented,
        format!("{name} is not in this release; failover of type planned is."),
    ))
}

/// Starts an operation on a group. The body has exactly one key, the action's name.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/action", operation_id = "protection_group_action", tag = "actions",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = Action,
    responses((status = 202, body = OperationAnswer, headers(("Location" = String, description = "The operation"))),
        (status = 400, description = "A network without a mapping"),
        (status = 409, description = "The group's status, an operation under way, no members, no policy, or the other site is unreachable"),
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
    let failover = implemented(action)?;
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let record = start_failover(&app, asker, &stored, &failover).await?;
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
