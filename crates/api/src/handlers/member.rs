//! Members of protection groups.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{OriginalUri, State},
};
use http::StatusCode;
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_store::Removable;
use protector_wire::{
    comparison::ComparisonAnswer,
    member::{
        AddMember, MemberAnswer, MemberQuery, MemberSortKey, MemberView, MembersAnswer,
        RemoveMember,
    },
    version::Microversion,
};

use crate::{
    app::{App, comparison, group as app_group, member as app_member},
    http::{
        caller::Caller,
        error::ApiResult,
        etag::{IfMatch, Tagged},
        extract::{Body, Path, Query},
        page::{self, limit},
        version::must_have,
    },
};

/// Lists a group's members.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/members", operation_id = "member_list", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"), MemberQuery),
    responses((status = 200, body = MembersAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project")))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Path((project, group)): Path<(ProjectId, String)>,
    Query(query): Query<MemberQuery>,
) -> ApiResult<Tagged<MembersAnswer>> {
    let rule = rules::MEMBERS_INDEX;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let mut members = app.database.member_list(&stored.group.id).await?;
    members.retain(|member| {
        let named = query.name.as_ref().is_none_or(|name| *name == member.name);
        let so = query.status.as_ref();
        named && so.is_none_or(|status| status == member.status.as_str())
    });
    page::order(&mut members, query.sort_dir, |member| {
        let key = match query.sort_key {
            MemberSortKey::Name => member.name.clone(),
            MemberSortKey::Status => member.status.as_str().to_owned(),
            MemberSortKey::CreatedAt => page::time_key(member.created_at),
            MemberSortKey::UpdatedAt => page::time_key(member.updated_at),
        };
        (key, member.id.to_string())
    });
    let limit = limit(query.limit, app.settings.max_limit)?;
    let marker = query.marker.as_deref();
    let page = page::cut(members, &uri, marker, limit, |member| member.id.as_str())?;
    Ok(Tagged {
        version: stored.group.version,
        body: MembersAnswer {
            members: page.items.iter().map(MemberView::from).collect(),
            members_links: page.links,
        },
    })
}

/// Adds a server to a group.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/members", operation_id = "member_create", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = AddMember,
    responses((status = 201, body = MemberAnswer, headers(("ETag" = String, description = "The group's version"))),
        (status = 400, description = "No such server, or one of its volumes is not replicated as the group is"),
        (status = 409, description = "The server is in a group, the group is busy, or the other site is unreachable")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<AddMember>,
) -> ApiResult<(StatusCode, Tagged<MemberAnswer>)> {
    let rule = rules::MEMBERS_CREATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let captured = app_member::captured(&app, &caller, &stored.group, body.member).await?;
    let version = app_member::stored(&app, &stored.group, &captured).await?;
    let member = &captured.member;
    tracing::info!(group = %member.group_id, server = %member.server_id, "member added");
    let member = MemberView {
        warnings: captured.warnings,
        ..MemberView::from(member)
    };
    let body = MemberAnswer { member };
    Ok((StatusCode::CREATED, Tagged { version, body }))
}

/// Shows a member.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/members/{member}", operation_id = "member_show", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("member" = String, Path, description = "Id, server id or name")),
    responses((status = 200, body = MemberAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such member")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group, member)): Path<(ProjectId, String, String)>,
) -> ApiResult<Tagged<MemberAnswer>> {
    let rule = rules::MEMBERS_SHOW;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let member = app.database.member_show(&stored.group.id, &member).await?;
    Ok(Tagged {
        version: stored.group.version,
        body: MemberAnswer {
            member: MemberView::from(&member),
        },
    })
}

/// Compares a member: what is on record, what its server has now, and what its copy on the other site would have, attribute by
/// attribute. Asks both clouds, and changes nothing.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/members/{member}/comparison", operation_id = "member_compare", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("member" = String, Path, description = "Id, server id or name"),
        ("OpenStack-API-Version" = Option<String>, Header, description = "There from API version 1.3 on: `protector 1.3`")),
    responses((status = 200, body = ComparisonAnswer), (status = 404, description = "No such member, or an API version before 1.3"),
        (status = 409, description = "The member has no server where the group runs"),
        (status = 503, description = "The site where the group runs does not answer")))]
pub async fn compare(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    Path((project, group, member)): Path<(ProjectId, String, String)>,
) -> ApiResult<Json<ComparisonAnswer>> {
    let rule = rules::MEMBERS_COMPARE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    must_have(
        spoken,
        "The comparison of members",
        Microversion::WITH_FIDELITY,
    )?;
    let member = app.database.member_show(&stored.group.id, &member).await?;
    let comparison = comparison::of_member(&app, &stored, member).await?;
    Ok(Json(ComparisonAnswer { comparison }))
}

/// Takes a server out of a group. The server stays.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/members/{member}", operation_id = "member_delete", tag = "members",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("member" = String, Path, description = "Id, server id or name"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on"), RemoveMember),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such member"),
        (status = 409, description = "The group is busy, the other site is unreachable, or the member was not recovered and `give_up` is not given"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group, member)): Path<(ProjectId, String, String)>,
    Query(options): Query<RemoveMember>,
) -> ApiResult<StatusCode> {
    let rule = rules::MEMBERS_DELETE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let precondition = if_match.precondition(&stored.group)?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let which = match options.give_up {
        true => Removable::GivenUp,
        false => Removable::Recovered,
    };
    let now = app.clock.now();
    let removed = app
        .database
        .member_delete(&stored.group.id, &member, which, precondition, now)
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    tracing::info!(group = %stored.group.id, member = %removed, "member removed");
    Ok(StatusCode::NO_CONTENT)
}
