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
use protector_wire::{
    operation::{Action, FailoverKind, OperationDetail, OperationView},
    preview::{ActionAnswer, PreviewView},
    version::Microversion,
};

use crate::{
    app::{
        App,
        start::{
            fence::start_fence,
            new_operation::Asker,
            planned::{Move, start_move},
            preview::{preview_move, preview_unplanned},
            replicate::start_replication,
            retry::start_retry,
            test_failover::{start_test_cleanup, start_test_failover},
            unplanned::{Unplanned, start_unplanned},
        },
    },
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        extract::{Body, Path},
        request::RequestContext,
        version::lacks,
    },
};

fn rule(action: &Action) -> RuleName {
    match action {
        Action::Failover(_) => rules::PROTECTION_GROUPS_FAILOVER,
        Action::Failback(_) => rules::PROTECTION_GROUPS_FAILBACK,
        Action::TestFailover(_) => rules::PROTECTION_GROUPS_TEST_FAILOVER,
        Action::TestCleanup(_) => rules::PROTECTION_GROUPS_TEST_CLEANUP,
        Action::Sync(_) => rules::PROTECTION_GROUPS_SYNC,
        Action::Retry(_) => rules::PROTECTION_GROUPS_RETRY,
        Action::Fence(_) => rules::PROTECTION_GROUPS_FENCE,
    }
}

/// Starts what `action` asks for. The one way in which operations on groups begin.
pub(crate) async fn start(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    action: Action,
) -> ApiResult<OperationRecord> {
    refuse_without_other_site(app, stored, &action)?;
    match action {
        Action::Failover(request) if request.kind == FailoverKind::Planned => {
            let asked = Move::failover(request, app.settings.retain_source_volumes);
            start_move(app, asker, stored, &asked).await
        }
        Action::Failover(request) => {
            start_unplanned(app, asker, stored, &Unplanned::failover(request)).await
        }
        Action::Failback(request) if request.kind == FailoverKind::Unplanned => {
            start_unplanned(app, asker, stored, &Unplanned::failback(request)).await
        }
        Action::Failback(request) => start_move(app, asker, stored, &Move::failback(request)).await,
        Action::TestFailover(request) => start_test_failover(app, asker, stored, &request).await,
        Action::TestCleanup(request) => start_test_cleanup(app, asker, stored, &request).await,
        Action::Sync(_) => start_replication(app, asker, stored).await,
        Action::Retry(request) => start_retry(app, asker, stored, &request).await,
        Action::Fence(_) => start_fence(app, asker, stored).await,
    }
}

/// Refuses a recovery point that the version of the request has not, and one of a planned move, which replicates first.
fn refuse_wrong_point(action: &Action, spoken: Microversion) -> ApiResult<()> {
    let (verb, point, is_planned) = match action {
        Action::Failover(asked) => {
            let is_planned = asked.kind == FailoverKind::Planned;
            ("failover", &asked.recovery_point, is_planned)
        }
        Action::Failback(asked) => {
            let is_planned = asked.kind == FailoverKind::Planned;
            ("failback", &asked.recovery_point, is_planned)
        }
        Action::TestFailover(asked) => ("test_failover", &asked.recovery_point, false),
        Action::TestCleanup(_) | Action::Sync(_) | Action::Retry(_) | Action::Fence(_) => {
            return Ok(());
        }
    };
    if point.is_none() {
        return Ok(());
    }
    let field = format!("{verb}.recovery_point");
    if spoken < Microversion::WITH_CAPABILITIES {
        return Err(lacks(spoken, &field, Microversion::WITH_CAPABILITIES));
    }
    match is_planned {
        false => Ok(()),
        true => Err(ApiError::bad_request(format!(
            "{field}: a planned {verb} replicates first, and goes to what there is then; leave it out, or ask for the type unplanned, where the source takes no part."
        ))),
    }
}

/// What is done on this site alone needs no other one.
fn refuse_without_other_site(app: &App, stored: &StoredGroup, action: &Action) -> ApiResult<()> {
    match action {
        Action::TestCleanup(_) | Action::Retry(_) => Ok(()),
        Action::Failover(_)
        | Action::Failback(_)
        | Action::TestFailover(_)
        | Action::Sync(_)
        | Action::Fence(_) => app.refuse_without_other_site(stored),
    }
}

/// What the action would do, if it only asks for that.
async fn preview(
    app: &App,
    stored: &StoredGroup,
    action: &Action,
    spoken: Microversion,
) -> ApiResult<Option<PreviewView>> {
    refuse_without_other_site(app, stored, action)?;
    let view = match action {
        Action::Failover(request) if request.dry_run => match request.kind {
            FailoverKind::Planned => {
                let asked = Move::failover(request.clone(), app.settings.retain_source_volumes);
                preview_move(app, stored, &asked, spoken).await?
            }
            FailoverKind::Unplanned => {
                let asked = Unplanned::failover(request.clone());
                preview_unplanned(app, stored, &asked, spoken).await?
            }
        },
        Action::Failback(request) if request.dry_run => match request.kind {
            FailoverKind::Planned => {
                preview_move(app, stored, &Move::failback(request.clone()), spoken).await?
            }
            FailoverKind::Unplanned => {
                let asked = Unplanned::failback(request.clone());
                preview_unplanned(app, stored, &asked, spoken).await?
            }
        },
        _ => return Ok(None),
    };
    Ok(Some(view))
}

/// Starts an operation on a group. The body has exactly one key, the action's name.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/action", operation_id = "protection_group_action", tag = "actions",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("OpenStack-API-Version" = Option<String>, Header, description = "With `protector 1.3`, a dry run also shows what becomes of each member's attributes")),
    request_body = Action,
    responses((status = 202, body = ActionAnswer, headers(("Location" = String, description = "The operation"))),
        (status = 200, body = ActionAnswer, description = "A dry run: nothing was started"),
        (status = 400, description = "A network without a mapping, or an operation that is not a test failover of the group"),
        (status = 404, description = "No such group, or no such test operation, in the project"),
        (status = 409, description = "The group's status, an operation under way, a test failover that is up, starting or cleaned up, no members, no policy, a strict group whose copies would not be as their originals, or the other site is unreachable")))]
pub async fn act(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Extension(spoken): Extension<Microversion>,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(action): Body<Action>,
) -> ApiResult<Response> {
    let rule = rule(&action);
    request.asks_for(rule.last_word());
    refuse_wrong_point(&action, spoken)?;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    if let Some(preview) = preview(&app, &stored, &action, spoken).await? {
        let answer = ActionAnswer {
            operation: None,
            preview: Some(preview),
        };
        return Ok(Json(answer).into_response());
    }
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let record = start(&app, asker, &stored, action).await?;
    let location = format!("/v1/{project}/operations/{}", record.operation.id);
    let home = &app.settings.site_name;
    let answer = ActionAnswer {
        operation: Some(OperationView::of(home, &record, OperationDetail::Record)),
        preview: None,
    };
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(answer),
    )
        .into_response())
}
