//! Recovery points: what a group can be brought to on its other site.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_wire::{recovery_point::RecoveryPointsAnswer, version::Microversion};

use crate::{
    app::{App, recovery_points},
    http::{caller::Caller, error::ApiResult, extract::Path, version::must_have},
};

/// Lists the recovery points to which an unplanned failover or a test can bring a group, newest first. Asks the array of the
/// site on which it does not run, and nobody else.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/recovery-points", operation_id = "recovery_point_list", tag = "replication policy",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("OpenStack-API-Version" = Option<String>, Header, description = "`protector 1.3` or later")),
    responses((status = 200, body = RecoveryPointsAnswer),
        (status = 404, description = "No such group, or it has no policy; the version has no such call"),
        (status = 409, description = "The group has no members, or its other site's array is not among this site's"),
        (status = 503, description = "The array does not answer")))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Json<RecoveryPointsAnswer>> {
    must_have(
        spoken,
        "The list of recovery points",
        Microversion::WITH_CAPABILITIES,
    )?;
    let rule = rules::RECOVERY_POINTS_INDEX;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    recovery_points::list(&app, &stored.group).await.map(Json)
}
