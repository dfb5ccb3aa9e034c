//! Members of protection groups.

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;

use crate::{
    app::{App, group as app_group, member as app_member},
    caller::Caller,
    error::ApiResult,
    extract::{Body, Path},
    wire::member::{AddMember, MemberAnswer, MemberView, MembersAnswer},
};

/// Lists a group's members.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/members", operation_id = "member_list", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = MembersAnswer), (status = 404, description = "No such group in the project")))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Json<MembersAnswer>> {
    let rule = rules::MEMBERS_INDEX;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let members = app.database.member_list(&stored.group.id).await?;
    Ok(Json(MembersAnswer {
        members: members.iter().map(MemberView::from).collect(),
    }))
}

/// Adds a server to a group.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/members", operation_id = "member_create", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = AddMember,
    responses((status = 201, body = MemberAnswer),
        (status = 400, description = "No such server, or one of its volumes is not replicated as the group is"),
        (status = 409, description = "The server is in a group, the group is busy, or the other site is unreachable")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<AddMember>,
) -> ApiResult<(StatusCode, Json<MemberAnswer>)> {
    let rule = rules::MEMBERS_CREATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let member = app_member::captured(&app, &caller, &stored.group, body.member).await?;
    app.database.member_insert(&member, app.clock.now()).await?;
    tracing::info!(group = %member.group_id, server = %member.server_id, "member added");
    let member = MemberView::from(&member);
    Ok((StatusCode::CREATED, Json(MemberAnswer { member })))
}

/// Shows a member.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/members/{member}", operation_id = "member_show", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("member" = String, Path, description = "Id, server id or name")),
    responses((status = 200, body = MemberAnswer), (status = 404, description = "No such member")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group, member)): Path<(ProjectId, String, String)>,
) -> ApiResult<Json<MemberAnswer>> {
    let rule = rules::MEMBERS_SHOW;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let member = app.database.member_show(&stored.group.id, &member).await?;
    Ok(Json(MemberAnswer {
        member: MemberView::from(&member),
    }))
}

/// Takes a server out of a group. The server stays.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/members/{member}", operation_id = "member_delete", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("member" = String, Path, description = "Id, server id or name")),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such member"),
        (status = 409, description = "The group is busy, or the other site is unreachable")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group, member)): Path<(ProjectId, String, String)>,
) -> ApiResult<StatusCode> {
    let rule = rules::MEMBERS_DELETE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let removed = app
        .database
        .member_delete(&stored.group.id, &member, app.clock.now())
        .await?;
    tracing::info!(group = %stored.group.id, member = %removed, "member removed");
    Ok(StatusCode::NO_CONTENT)
}
