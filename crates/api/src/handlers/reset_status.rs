//! Resetting a group's status.

use std::sync::Arc;

use axum::{Json, extract::State};
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_wire::reset_status::{NewResetStatus, ResetStatusAnswer};

use crate::{
    app::{App, reset_status as app_reset_status},
    http::{
        caller::Caller,
        error::ApiResult,
        extract::{Body, Path},
    },
};

/// Puts a group at rest whose status nobody leads out of: reads its servers and volumes on both clouds, and sets the status
/// that they show to be true. What is not certain is refused, with all that is in the way.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/reset-status", operation_id = "reset_status", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = NewResetStatus,
    responses((status = 200, body = ResetStatusAnswer), (status = 404, description = "No such group in the project"),
        (status = 409, description = "An operation moves the group, the other site is unreachable, or the clouds do not show for certain where the group is: the message says what is in the way"),
        (status = 503, description = "A cloud does not answer")))]
pub async fn reset(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(asked): Body<NewResetStatus>,
) -> ApiResult<Json<ResetStatusAnswer>> {
    let rule = rules::PROTECTION_GROUPS_RESET_STATUS;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let reset = app_reset_status::reset(&app, &stored, &asked.reset_status).await?;
    Ok(Json(ResetStatusAnswer {
        reset_status: reset.into(),
    }))
}
