//! The failover of all groups that run on a site, by whoever answers for the site.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::StatusCode;
use protector_oslo::policy::{Target, rules};
use protector_wire::site_failover::{FailOverSite, SiteFailoverAnswer};

use crate::{
    app::{
        App,
        start::site_failover::{LastingAsker, groups_in_order, preview, project_count, start_all},
    },
    http::{
        caller::Caller,
        error::ApiResult,
        extract::{Body, Path},
        request::RequestContext,
    },
};

/// Fails over all protection groups that run on a site, in the order of their priorities. What is refused for one
/// group does not keep the others. Safe to repeat: groups that are on their way are refused.
#[utoipa::path(post, path = "/v1/admin/sites/{site}/failover", operation_id = "site_failover", tag = "sites",
    params(("site" = String, Path, description = "Name or id of the site that the groups leave")),
    request_body = FailOverSite,
    responses((status = 202, body = SiteFailoverAnswer),
        (status = 200, body = SiteFailoverAnswer, description = "A dry run"),
        (status = 400, description = "A project that has no group on the site"),
        (status = 404, description = "No such site")))]
pub async fn fail_over(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(request): Extension<RequestContext>,
    Path(site): Path<String>,
    Body(body): Body<FailOverSite>,
) -> ApiResult<(StatusCode, Json<SiteFailoverAnswer>)> {
    app.enforce(rules::SITES_FAILOVER, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?.name;
    let asked = body.failover;
    let groups = groups_in_order(&app, &site, asked.projects.as_deref()).await?;
    if asked.dry_run {
        let answer = preview(&app, asked.kind, &groups).await?;
        return Ok((StatusCode::OK, Json(answer)));
    }
    let projects = project_count(&groups);
    tracing::warn!(%site, groups = groups.len(), projects, "failover of a site");
    let asker = LastingAsker {
        caller: Arc::new(caller),
        request,
    };
    let answer = start_all(app, asker, asked.kind, groups).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
