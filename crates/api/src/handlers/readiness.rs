//! The readiness check of a protection group.

use std::sync::Arc;

use axum::{Json, extract::State};
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_wire::readiness::CheckAnswer;

use crate::{
    app::{App, readiness},
    http::{caller::Caller, error::ApiResult, extract::Path},
};

/// Looks for everything that would make a failover of a group, or the cleanup after it, fail today, and says what to do
/// about it. Changes nothing. What cannot be asked is a finding, not an error.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/check", operation_id = "protection_group_check", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = CheckAnswer), (status = 404, description = "No such group in the project")))]
pub async fn check(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Json<CheckAnswer>> {
    let rule = rules::PROTECTION_GROUPS_CHECK;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let check = readiness::check(&app, &stored).await?;
    Ok(Json(CheckAnswer { check }))
}
