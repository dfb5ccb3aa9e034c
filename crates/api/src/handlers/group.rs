//! Protection groups.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{OriginalUri, State},
};
use http::StatusCode;
use protector_core::{group::GroupStatus, id::ProjectId};
use protector_oslo::policy::{Target, rules};
use protector_store::{GroupFilter, OrderDirection, Page, StoreError, StoredGroup};
use protector_wire::{
    group::{
        CreateGroup, GroupAnswer, GroupQuery, GroupSortKey, GroupSurroundings, GroupView,
        GroupsAnswer, UpdateGroup,
    },
    page::SortDir,
    version::Microversion,
};

use crate::{
    app::{App, group as app_group, sync},
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        etag::{IfMatch, Tagged},
        extract::{Body, Path, Query},
        page::{limit, next_link},
        version::lacks,
    },
};

/// Shows groups with the ids of their sites.
async fn views(
    app: &App,
    groups: &[StoredGroup],
    spoken: Microversion,
) -> ApiResult<Vec<GroupView>> {
    let sites: BTreeMap<String, String> = app
        .database
        .site_list()
        .await?
        .into_iter()
        .map(|site| (site.name.to_string(), site.id.to_string()))
        .collect();
    Ok(groups
        .iter()
        .map(|stored| {
            let around = GroupSurroundings {
                project_id: stored.local_project_id.to_string(),
                site_ids: sites.clone(),
                member_count: stored.member_count,
                sync_status: sync::status_word(stored),
                spoken,
            };
            GroupView::of(&stored.group, &around)
        })
        .collect())
}

async fn answer(
    app: &App,
    stored: StoredGroup,
    spoken: Microversion,
) -> ApiResult<Tagged<GroupAnswer>> {
    let mut views = views(app, std::slice::from_ref(&stored), spoken).await?;
    let protection_group = views
        .pop()
        .ok_or_else(|| ApiError::internal("a group without a view"))?;
    Ok(Tagged {
        version: stored.group.version,
        body: GroupAnswer { protection_group },
    })
}

/// Lists the project's protection groups.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups", operation_id = "protection_group_list", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), GroupQuery),
    responses((status = 200, body = GroupsAnswer)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<ProjectId>,
    Query(query): Query<GroupQuery>,
) -> ApiResult<Json<GroupsAnswer>> {
    caller.must_own(&project)?;
    app.enforce(
        rules::PROTECTION_GROUPS_INDEX,
        &caller,
        &caller.own_project(),
    )?;
    let filter = GroupFilter {
        project_id: Some(project),
        name: query.name,
        status: query.status.as_deref().map(status_named).transpose()?,
        runs_on: None,
    };
    let page = Page {
        limit: limit(query.limit, app.settings.max_limit)? as u64,
        marker: query.marker,
        sort_key: sort_key(query.sort_key, spoken)?,
        sort_dir: match query.sort_dir {
            None | Some(SortDir::Asc) => OrderDirection::Asc,
            Some(SortDir::Desc) => OrderDirection::Desc,
        },
    };
    let listed = app.database.group_list(&filter, &page).await?;
    let last = listed.items.last().filter(|_| listed.more);
    let links = last.map(|stored| vec![next_link(&uri, stored.group.id.as_str())]);
    Ok(Json(GroupsAnswer {
        protection_groups: views(&app, &listed.items, spoken).await?,
        protection_groups_links: links,
    }))
}

fn status_named(word: &str) -> ApiResult<GroupStatus> {
    GroupStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| {
            let all: Vec<&str> = GroupStatus::ALL.map(GroupStatus::as_str).to_vec();
            ApiError::bad_request(format!("status: must be one of {}.", all.join(", ")))
        })
}

fn sort_key(key: GroupSortKey, spoken: Microversion) -> ApiResult<protector_store::GroupOrder> {
    let since = Microversion::WITH_PRIORITY;
    Ok(match key {
        GroupSortKey::Priority if spoken < since => {
            return Err(lacks(spoken, "sort_key: priority", since));
        }
        GroupSortKey::Priority => protector_store::GroupOrder::Priority,
        GroupSortKey::Name => protector_store::GroupOrder::Name,
        GroupSortKey::Status => protector_store::GroupOrder::Status,
        GroupSortKey::CreatedAt => protector_store::GroupOrder::CreatedAt,
        GroupSortKey::UpdatedAt => protector_store::GroupOrder::UpdatedAt,
    })
}

/// Makes a protection group.
#[utoipa::path(post, path = "/v1/{project_id}/protection-groups", operation_id = "protection_group_create", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project")),
    request_body = CreateGroup,
    responses((status = 201, body = GroupAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 400, description = "An unknown site or volume type"),
        (status = 409, description = "The name is taken, no tenant mapping, or the other site is unreachable")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    Path(project): Path<ProjectId>,
    Body(body): Body<CreateGroup>,
) -> ApiResult<(StatusCode, Tagged<GroupAnswer>)> {
    caller.must_own(&project)?;
    let target = Target::of_project(project.as_str());
    app.enforce(rules::PROTECTION_GROUPS_CREATE, &caller, &target)?;
    let asked = &body.protection_group;
    app_group::check_version(asked.priority, asked.fidelity, spoken)?;
    let group = app_group::planned(&app, &project, body.protection_group).await?;
    app.database.group_insert(&project, &group).await?;
    tracing::info!(group = %group.id, "protection group made");
    let stored = app.database.group_show(&project, group.id.as_str()).await?;
    Ok((StatusCode::CREATED, answer(&app, stored, spoken).await?))
}

/// Shows a protection group.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}", operation_id = "protection_group_show", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = GroupAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Tagged<GroupAnswer>> {
    let stored = app
        .group_for(&caller, &project, &group, rules::PROTECTION_GROUPS_SHOW)
        .await?;
    answer(&app, stored, spoken).await
}

/// Changes a protection group's name, description, mappings, priority or fidelity.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}", operation_id = "protection_group_update", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    request_body = UpdateGroup,
    responses((status = 200, body = GroupAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(spoken): Extension<Microversion>,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<UpdateGroup>,
) -> ApiResult<Tagged<GroupAnswer>> {
    let stored = app
        .group_for(&caller, &project, &group, rules::PROTECTION_GROUPS_UPDATE)
        .await?;
    let asked = &body.protection_group;
    app_group::check_version(asked.priority, asked.fidelity, spoken)?;
    app_group::check_changes(&body.protection_group)?;
    let precondition = if_match.precondition(&stored.group)?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let change = app_group::change(body.protection_group, precondition);
    let stored = app
        .database
        .group_update(&stored.group.id, &change, app.clock.now())
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    answer(&app, stored, spoken).await
}

/// Deletes a protection group. Its servers and volumes stay.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}", operation_id = "protection_group_delete", tag = "protection groups",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    responses((status = 204, description = "Deleted"), (status = 404, description = "No such group in the project"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<StatusCode> {
    let stored = app
        .group_for(&caller, &project, &group, rules::PROTECTION_GROUPS_DELETE)
        .await?;
    let precondition = if_match.precondition(&stored.group)?;
    app_group::refuse_delete(&stored.group)?;
    app.refuse_while_operated(&stored.group).await?;
    app.refuse_while_tested(&stored.group).await?;
    sync::withdraw(&app, &stored.group).await?;
    let deleted = app
        .database
        .group_delete(&stored.group.id, precondition, app.clock.now())
        .await;
    if let Err(error) = deleted {
        if stored.peer_retired_at.is_none() {
            sync::tell_again(&app, &stored.group.id).await?;
        }
        return Err(match error {
            StoreError::Unchangeable { name, status } => app_group::undeletable(&name, status),
            error => if_match.told(&stored.group, error),
        });
    }
    tracing::info!(group = %stored.group.id, "protection group deleted");
    Ok(StatusCode::NO_CONTENT)
}
