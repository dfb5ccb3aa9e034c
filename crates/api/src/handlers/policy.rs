//! Replication policies: the arrays that carry a group, and its recovery point objective.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::StatusCode;
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_store::Precondition;
use protector_wire::{
    policy::{CreatePolicy, PolicyAnswer, UpdatePolicy},
    version::Microversion,
};

use crate::{
    app::{App, group as app_group, policy as app_policy},
    http::{
        caller::Caller,
        error::ApiResult,
        etag::{IfMatch, Tagged},
        extract::{Body, Path},
    },
};

/// Shows a group's policy, without the arrays' tokens.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/policy", operation_id = "policy_show", tag = "replication policy",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = PolicyAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group, or it has no policy")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(spoken): Extension<Microversion>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Tagged<PolicyAnswer>> {
    let rule = rules::POLICIES_SHOW;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let policy = app_policy::of(&app, &stored.group).await?;
    Ok(Tagged {
        version: stored.group.version,
        body: app_policy::answer(&app, &stored.group, &policy, spoken),
    })
}

/// Gives a group its policy.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups/{group}/policy", operation_id = "policy_create", tag = "replication policy",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    request_body = CreatePolicy,
    responses((status = 201, body = PolicyAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 400, description = "An array is not known"),
        (status = 409, description = "The group has a policy, is busy, or the other site is unreachable")))]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(spoken): Extension<Microversion>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<CreatePolicy>,
) -> ApiResult<(StatusCode, Tagged<PolicyAnswer>)> {
    let rule = rules::POLICIES_CREATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let now = app.clock.now();
    let policy = app_policy::made(&stored.group, body.policy, now);
    app_policy::check_with_arrays(&app, &stored.group, &policy).await?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let version = app.database.policy_insert(&policy, now).await?;
    let body = app_policy::answer(&app, &stored.group, &policy, spoken);
    Ok((StatusCode::CREATED, Tagged { version, body }))
}

/// Changes a group's policy.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/policy", operation_id = "policy_update", tag = "replication policy",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    request_body = UpdatePolicy,
    responses((status = 200, body = PolicyAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group, or it has no policy"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn update(
    State(app): State<Arc<App>>,
    Extension(spoken): Extension<Microversion>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<UpdatePolicy>,
) -> ApiResult<Tagged<PolicyAnswer>> {
    let rule = rules::POLICIES_UPDATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    if_match.precondition(&stored.group)?;
    // The change is put on the policy that is read below: it must still be that one when it is written.
    let precondition = Precondition::Version(stored.group.version);
    let now = app.clock.now();
    let held = app_policy::of(&app, &stored.group).await?;
    app_policy::check_tokens_are_given_anew(&held, &body.policy)?;
    let changes_arrays = app_policy::changes_arrays(&held, &body.policy);
    let policy = app_policy::changed(held, body.policy, now);
    match changes_arrays {
        true => app_policy::check_with_arrays(&app, &stored.group, &policy).await?,
        false => app_policy::check(&app, &stored.group, &policy).await?,
    }
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let version = app
        .database
        .policy_update(&policy, precondition, now)
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    let body = app_policy::answer(&app, &stored.group, &policy, spoken);
    Ok(Tagged { version, body })
}

/// Takes a group's policy away.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/policy", operation_id = "policy_delete", tag = "replication policy",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such group, or it has no policy"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<StatusCode> {
    let rule = rules::POLICIES_DELETE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let precondition = if_match.precondition(&stored.group)?;
    app_policy::of(&app, &stored.group).await?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    app.database
        .policy_delete(&stored.group.id, precondition, app.clock.now())
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    Ok(StatusCode::NO_CONTENT)
}
