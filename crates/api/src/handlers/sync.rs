//! Whether both sites have the same metadata of a group, and pushing it by hand.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_wire::metadata::SyncAnswer;

use crate::{
    app::{App, force::force as make_count, sync as app_sync},
    http::{caller::Caller, error::ApiResult, extract::Path},
};

/// Compares a group's metadata on both sites.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/sync-status", operation_id = "sync_status", tag = "metadata",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = SyncAnswer), (status = 404, description = "No such group in the project")))]
pub async fn status(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Json<SyncAnswer>> {
    let rule = rules::PROTECTION_GROUPS_SYNC_STATUS;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let sync_status = app_sync::compare(&app, &stored).await?;
    Ok(Json(SyncAnswer { sync_status }))
}

/// Pushes a group's metadata to the other site now, and ends a conflict in favour of this site. A group that is shown as
/// moving while neither site moves it is put at rest. The answer says how that went.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/sync-force", operation_id = "sync_force", tag = "metadata",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 202, body = SyncAnswer), (status = 404, description = "No such group in the project"),
        (status = 409, description = "The other site holds newer metadata made from this site's, an operation moves the group there, or this site's view says that the group is moved although nothing moves it any more")))]
pub async fn force(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<(StatusCode, Json<SyncAnswer>)> {
    let rule = rules::PROTECTION_GROUPS_SYNC_FORCE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    app.refuse_without_other_site(&stored)?;
    make_count(&app, &stored.group.id).await?;
    let stored = app
        .database
        .group_show(&project, stored.group.id.as_str())
        .await?;
    let sync_status = app_sync::compare(&app, &stored).await?;
    Ok((StatusCode::ACCEPTED, Json(SyncAnswer { sync_status })))
}
