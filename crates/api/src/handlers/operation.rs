//! Operations: what was done, step by step, and the cleanup of what one left behind.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{OriginalUri, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use protector_core::{
    id::{GroupId, OperationId, ProjectId},
    operation::{OperationKind, OperationRecord, OperationState},
    outline::OperationOutline,
};
use protector_oslo::policy::{RuleName, Target, rules};
use protector_store::{OperationFilter, OperationOrder, OrderDirection, Page, StoreError};
use protector_wire::{
    abort::{AbortAnswer, AbortRequest, AbortedCopyView},
    adopt::AdoptRequest,
    cleanup::{CleanupAnswer, CleanupRequest},
    leftover::CleanupView,
    operation::{
        DetailQuery, OperationAnswer, OperationDetail, OperationQuery, OperationSortKey as SortKey,
        OperationView, OperationsAnswer, ShownOperationAnswer, StatusWord, TypeWord, pause_reached,
    },
    page::SortDir,
};

use crate::{
    app::{
        App,
        refusal::Refusal,
        start::{
            abort::give_up,
            adopt::start_adoption,
            cleanup::{preview_cleanup, start_cleanup},
            new_operation::Asker,
        },
    },
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        extract::{Body, Path, Query},
        page::{limit, next_link},
        request::RequestContext,
    },
};

/// How many operations are read at once. What is read of an operation is larger than what a list shows of it, so that of a
/// long page it is not all kept at the same time.
const AT_ONCE: usize = 50;

/// Lists the project's operations, those that the other site runs too.
#[utoipa::path(get, path = "/v1/{project_id}/operations", operation_id = "operation_list", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), OperationQuery),
    responses((status = 200, body = OperationsAnswer),
        (status = 404, description = "No such protection group, and no operation of one")))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Path(project): Path<ProjectId>,
    Query(query): Query<OperationQuery>,
) -> ApiResult<Json<OperationsAnswer>> {
    caller.must_own(&project)?;
    app.enforce(rules::OPERATIONS_INDEX, &caller, &caller.own_project())?;
    let groups = match &query.protection_group {
        Some(name) => operated_groups(&app, &project, name).await?,
        None => Vec::new(),
    };
    let filter = OperationFilter {
        project_id: Some(project),
        groups,
        kinds: query.operation_type.map(kind).into_iter().collect(),
        states: query.status.map(states).unwrap_or_default(),
        parent_id: None,
        with_leftovers: query.leftovers,
    };
    let limit = limit(query.limit, app.settings.max_limit)?;
    let mut page = Page {
        limit: 0,
        marker: query.marker,
        sort_key: match query.sort_key {
            SortKey::CreatedAt => OperationOrder::CreatedAt,
            SortKey::OperationType => OperationOrder::Kind,
        },
        sort_dir: match query.sort_dir {
            SortDir::Asc => OrderDirection::Asc,
            SortDir::Desc => OrderDirection::Desc,
        },
    };
    let mut operations = Vec::new();
    loop {
        page.limit = (limit - operations.len()).min(AT_ONCE) as u64;
        let listed = app.database.operation_outlines(&filter, &page).await?;
        page.marker = listed.items.last().map(|listed| listed.id().to_string());
        operations.extend(app.listed(listed.items));
        if listed.more && operations.len() < limit {
            continue;
        }
        let last = page.marker.filter(|_| listed.more);
        return Ok(Json(OperationsAnswer {
            operations,
            operations_links: last.map(|id| vec![next_link(&uri, &id)]),
        }));
    }
}

/// The groups that a query names: the project's group of that name or id, or, since operations outlive their groups,
/// those that its operations were about.
pub(crate) async fn operated_groups(
    app: &App,
    project: &ProjectId,
    name: &str,
) -> ApiResult<Vec<GroupId>> {
    match app.database.group_show(project, name).await {
        Ok(stored) => return Ok(vec![stored.group.id]),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let groups = app.database.operation_groups(project, name).await?;
    if groups.is_empty() {
        return Err(ApiError::new(
            Refusal::NotFound,
            format!("No protection group or operation of one is named {name}."),
        ));
    }
    Ok(groups)
}

fn kind(word: TypeWord) -> OperationKind {
    match word {
        TypeWord::Failover => OperationKind::Failover,
        TypeWord::Failback => OperationKind::Failback,
        TypeWord::TestFailover => OperationKind::TestFailover,
        TypeWord::TestCleanup => OperationKind::TestCleanup,
        TypeWord::Cleanup => OperationKind::Cleanup,
        TypeWord::Sync => OperationKind::Sync,
        TypeWord::Retry => OperationKind::Retry,
        TypeWord::Fence => OperationKind::Fence,
        TypeWord::Abort => OperationKind::Abort,
    }
}

fn states(word: StatusWord) -> Vec<OperationState> {
    match word {
        StatusWord::Pending => vec![OperationState::Queued],
        StatusWord::Running => vec![
            OperationState::Queued,
            OperationState::Running,
            OperationState::Unwinding,
            OperationState::AwaitingCleanup,
        ],
        StatusWord::Completed => vec![OperationState::Completed],
        StatusWord::Failed => vec![OperationState::Failed],
    }
}

/// This site's operation `id` of the project, if `caller` may do to it what `rule` guards. One that the other site runs
/// is refused with its home.
async fn operation_for(
    app: &App,
    caller: &Caller,
    project: &ProjectId,
    id: String,
    rule: RuleName,
) -> ApiResult<OperationRecord> {
    caller.must_own(project)?;
    let id = OperationId::new(id);
    // Rules are named after what they guard: `protector:operations:cleanup`.
    let verb = rule.to_string();
    let verb = verb.rsplit(':').next().unwrap_or_default();
    let command = format!("operation {verb} {id}");
    let record = app.operation_here(project, &id, &command).await?;
    let target = Target::of_project(record.operation.project_id.as_str());
    app.enforce(rule, caller, &target)?;
    Ok(record)
}

/// Shows an operation; each of its steps with `detail=true`.
#[utoipa::path(get, path = "/v1/{project_id}/operations/{operation}", operation_id = "operation_show", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), ("operation" = String, Path, description = "Id"), DetailQuery),
    responses((status = 200, body = ShownOperationAnswer), (status = 404, description = "No such operation in the project")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, operation)): Path<(ProjectId, String)>,
    Query(query): Query<DetailQuery>,
) -> ApiResult<Json<ShownOperationAnswer>> {
    let rule = rules::OPERATIONS_SHOW;
    let id = OperationId::new(operation);
    let kept = app.operation_anywhere(&caller, &project, &id, rule).await?;
    let detail = if query.detail {
        OperationDetail::Steps
    } else {
        OperationDetail::Record
    };
    Ok(Json(ShownOperationAnswer {
        operation: app.shown(kept, detail).await?,
    }))
}

/// Deletes what an ended operation left behind. Safe to repeat.
#[utoipa::path(post, path = "/v1/{project_id}/operations/{operation}/cleanup", operation_id = "operation_cleanup", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), ("operation" = String, Path, description = "Id")),
    request_body = CleanupRequest,
    responses((status = 202, body = CleanupAnswer, headers(("Location" = String, description = "The cleanup operation"))),
        (status = 200, body = CleanupAnswer, description = "A dry run, or nothing is left"),
        (status = 400, description = "A resource, or a server to be deleted though it runs, that the operation did not leave"),
        (status = 404, description = "No such operation in the project"),
        (status = 409, description = "It has not ended, is being cleaned up, is run by the other site, or that is unreachable")))]
pub async fn cleanup(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Path((project, operation)): Path<(ProjectId, String)>,
    Body(body): Body<CleanupRequest>,
) -> ApiResult<Response> {
    let rule = rules::OPERATIONS_CLEANUP;
    let parent = operation_for(&app, &caller, &project, operation, rule).await?;
    let options = body.cleanup;
    if options.dry_run {
        let view = preview_cleanup(&app, &parent, &options).await?;
        return Ok(nothing_started(view));
    }
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let cleanup = start_cleanup(&app, asker, &parent, &options).await?;
    let Some(record) = cleanup.record else {
        return Ok(nothing_started(cleanup.view));
    };
    let location = format!("/v1/{project}/operations/{}", record.operation.id);
    let view = OperationView {
        cleanup: Some(cleanup.view.clone()),
        ..OperationView::of(&app.settings.site_name, &record, OperationDetail::Record)
    };
    let answer = CleanupAnswer {
        operation: Some(view),
        cleanup: cleanup.view,
    };
    Ok((
        StatusCode::ACCEPTED,
        [(header::LOCATION, location)],
        Json(answer),
    )
        .into_response())
}

/// Lets an operation that is paused go on.
#[utoipa::path(post, path = "/v1/{project_id}/operations/{operation}/resume", operation_id = "operation_resume", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), ("operation" = String, Path, description = "Id")),
    responses((status = 202, body = OperationAnswer), (status = 404, description = "No such operation in the project"),
        (status = 409, description = "It is not paused")))]
pub async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, operation)): Path<(ProjectId, String)>,
) -> ApiResult<(StatusCode, Json<OperationAnswer>)> {
    let rule = rules::OPERATIONS_RESUME;
    let record = operation_for(&app, &caller, &project, operation, rule).await?;
    let id = &record.operation.id;
    let Some(pause) = pause_reached(&OperationOutline::from(&record)) else {
        return Err(ApiError::new(
            Refusal::NotPaused,
            format!(
                "Operation {id} is not paused: it is {}; 'openstack dr operation show {id}' shows its phase.",
                record.operation.state.status()
            ),
        ));
    };
    app.database
        .operation_resume(id, &pause.step, caller.user_id())
        .await?;
    tracing::info!(operation_id = %id, step = pause.step, "operation resumed");
    let record = app.database.operation_show(&project, id).await?;
    let home = &app.settings.site_name;
    Ok((
        StatusCode::ACCEPTED,
        Json(OperationAnswer {
            operation: OperationView::of(home, &record, OperationDetail::Record),
        }),
    ))
}

/// Gives an operation up that has not moved its group: everything that it has done is taken back, also when it is paused or
/// waits for something that never comes. Safe to repeat. Where the other site is lost with the operation, or with what it has
/// made, an operation of its own starts the VMs again that it stopped.
#[utoipa::path(post, path = "/v1/{project_id}/operations/{operation}/abort", operation_id = "operation_abort", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), ("operation" = String, Path, description = "Id")),
    request_body = AbortRequest,
    responses((status = 202, body = AbortAnswer), (status = 404, description = "No such operation in the project"),
        (status = 409, description = "It has ended, has moved the group, deletes what it left, or is run by the other site")))]
pub async fn abort(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Path((project, operation)): Path<(ProjectId, String)>,
    Body(body): Body<AbortRequest>,
) -> ApiResult<(StatusCode, Json<AbortAnswer>)> {
    let rule = rules::OPERATIONS_ABORT;
    let id = OperationId::new(operation);
    let kept = app.operation_anywhere(&caller, &project, &id, rule).await?;
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let record = give_up(&app, asker, kept, body.abort).await?;
    let home = &app.settings.site_name;
    Ok((
        StatusCode::ACCEPTED,
        Json(AbortAnswer {
            operation: OperationView::of(home, &record, OperationDetail::Record),
            copies: AbortedCopyView::all_of(&record),
        }),
    ))
}

/// Goes forward with the copies of a failed failover or failback that could not be taken back, and may be in use: they become
/// the group. Their originals must be at rest, and have been since that operation stopped them; then the source is cleaned up
/// as by any move. Where the source is lost, and somebody says so, the originals are left there as by an unplanned failover.
#[utoipa::path(post, path = "/v1/{project_id}/operations/{operation}/adopt", operation_id = "operation_adopt", tag = "operations",
    params(("project_id" = String, Path, description = "The token's project"), ("operation" = String, Path, description = "Id of the failed operation")),
    request_body = AdoptRequest,
    responses((status = 202, body = OperationAnswer, description = "The operation that makes them the group"),
        (status = 404, description = "No such operation in the project"),
        (status = 409, description = "It has not failed, has left no copy, is not the last, is run by the other site, or members stand in the way: each with its command"),
        (status = 503, description = "A cloud does not answer")))]
pub async fn adopt(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Path((project, operation)): Path<(ProjectId, String)>,
    Body(body): Body<AdoptRequest>,
) -> ApiResult<(StatusCode, Json<OperationAnswer>)> {
    let rule = rules::OPERATIONS_ADOPT;
    let id = OperationId::new(operation);
    let kept = app.operation_anywhere(&caller, &project, &id, rule).await?;
    // It ends as the move would have: the source is deleted.
    let of_the_move = match kept.kind() {
        word if word == OperationKind::Failback.as_str() => rules::PROTECTION_GROUPS_FAILBACK,
        _ => rules::PROTECTION_GROUPS_FAILOVER,
    };
    app.enforce(of_the_move, &caller, &Target::of_project(project.as_str()))?;
    let asker = Asker {
        caller: &caller,
        request: &request,
    };
    let record = start_adoption(&app, asker, kept, body.adopt).await?;
    let home = &app.settings.site_name;
    Ok((
        StatusCode::ACCEPTED,
        Json(OperationAnswer {
            operation: OperationView::of(home, &record, OperationDetail::Record),
        }),
    ))
}

fn nothing_started(cleanup: CleanupView) -> Response {
    Json(CleanupAnswer {
        operation: None,
        cleanup,
    })
    .into_response()
}
