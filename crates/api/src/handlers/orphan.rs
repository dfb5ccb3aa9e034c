//! Orphans: what earlier operations left on the sites. They are deleted by a cleanup of their operation.

use std::sync::Arc;

use axum::{Json, extract::State};
use protector_core::id::ProjectId;
use protector_oslo::policy::rules;
use protector_wire::orphan::{OrphanQuery, OrphansAnswer};

use crate::{
    app::{
        App,
        orphan::{OrphanFilter, list_orphans},
    },
    handlers::operation::operated_groups,
    http::{
        caller::Caller,
        error::ApiResult,
        extract::{Path, Query},
    },
};

/// Lists what earlier operations left, from their records and from the clouds. A site that does not answer does not
/// fail the call.
#[utoipa::path(get, path = "/v1/{project_id}/orphans", operation_id = "orphan_list", tag = "orphans",
    params(("project_id" = String, Path, description = "The token's project"), OrphanQuery),
    responses((status = 200, body = OrphansAnswer),
        (status = 404, description = "No such site or protection group")))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(project): Path<ProjectId>,
    Query(query): Query<OrphanQuery>,
) -> ApiResult<Json<OrphansAnswer>> {
    caller.must_own(&project)?;
    app.enforce(rules::ORPHANS_INDEX, &caller, &caller.own_project())?;
    let site = match &query.site {
        Some(name) => Some(app.database.site_show(name).await?.name),
        None => None,
    };
    let groups = match &query.protection_group {
        Some(name) => Some(operated_groups(&app, &project, name).await?),
        None => None,
    };
    let scope = OrphanFilter {
        project: &project,
        site: site.as_ref(),
        groups: groups.as_deref(),
    };
    list_orphans(&app, scope).await.map(Json)
}
