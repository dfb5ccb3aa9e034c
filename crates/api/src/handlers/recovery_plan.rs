//! A group's recovery plan.

use std::sync::Arc;

use axum::extract::State;
use protector_core::{group::Group, id::ProjectId, member::Member};
use protector_oslo::policy::rules;
use protector_store::group::GroupChange;
use protector_wire::recovery_plan::RecoveryPlanDocument;

use crate::{
    app::{App, group as app_group, recovery_plan as app_plan},
    http::{
        caller::Caller,
        error::ApiResult,
        etag::{IfMatch, Tagged},
        extract::{Body, Path},
    },
};

/// Shows in which order a group's members start, and what happens in between.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/recovery-plan", operation_id = "recovery_plan_show", tag = "recovery plan",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = RecoveryPlanDocument, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Tagged<RecoveryPlanDocument>> {
    let rule = rules::RECOVERY_PLANS_SHOW;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let members = app.database.member_list(&stored.group.id).await?;
    answer(&app, &stored.group, &members)
}

/// Replaces a group's recovery plan as a whole. An operation under way keeps the one that it began with.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/recovery-plan", operation_id = "recovery_plan_update", tag = "recovery plan",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    request_body = RecoveryPlanDocument,
    responses((status = 200, body = RecoveryPlanDocument, headers(("ETag" = String, description = "The group's version"))), (status = 400, description = "The plan cannot be carried out; the field is named"),
        (status = 404, description = "No such group in the project"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<RecoveryPlanDocument>,
) -> ApiResult<Tagged<RecoveryPlanDocument>> {
    let rule = rules::RECOVERY_PLANS_UPDATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let precondition = if_match.precondition(&stored.group)?;
    let members = app.database.member_list(&stored.group.id).await?;
    let plan = app_plan::understood(body.recovery_plan, &members, &app.settings)?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let change = GroupChange {
        recovery_plan: Some(plan),
        precondition,
        ..GroupChange::default()
    };
    let stored = app
        .database
        .group_update(&stored.group.id, &change, app.clock.now())
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    answer(&app, &stored.group, &members)
}

fn answer(app: &App, group: &Group, members: &[Member]) -> ApiResult<Tagged<RecoveryPlanDocument>> {
    let plan = app.database.opened(&group.id, group.recovery_plan.clone());
    Ok(Tagged {
        version: group.version,
        body: RecoveryPlanDocument {
            recovery_plan: app_plan::view(&plan, members)?,
        },
    })
}
