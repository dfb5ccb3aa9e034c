//! Whether this process can work, for load balancers; and how everything around it is, for people.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use protector_oslo::policy::{Target, rules};
use protector_wire::{
    health::{HealthAnswer, HealthQuery, HealthReportAnswer},
    version::Microversion,
};

use crate::{
    app::{
        App,
        health::{Wanted, report},
    },
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        extract::Query,
    },
};

/// Says whether the service answers and its database takes writes. No token is needed.
#[utoipa::path(get, path = "/healthcheck", operation_id = "healthcheck", tag = "versions", security(()),
    responses((status = 200, body = HealthAnswer), (status = 503, description = "The database does not answer, or takes no write")))]
pub async fn check(State(app): State<Arc<App>>) -> ApiResult<Json<HealthAnswer>> {
    app.database
        .check_writable()
        .await
        .map_err(ApiError::from)?;
    Ok(Json(HealthAnswer { status: "ok" }))
}

/// Shows how the sites, the parts of this site's service and the caller's protection groups are. What does not answer is
/// part of the report.
#[utoipa::path(get, path = "/v1/health", operation_id = "health_show", tag = "versions", params(HealthQuery),
    responses((status = 200, body = HealthReportAnswer), (status = 403, description = "all_projects is for administrators")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Extension(version): Extension<Microversion>,
    Query(query): Query<HealthQuery>,
) -> ApiResult<Json<HealthReportAnswer>> {
    app.enforce(rules::HEALTH_SHOW, &caller, &caller.own_project())?;
    let project = if query.all_projects {
        app.enforce(rules::ADMIN_REQUIRED, &caller, &Target::none())?;
        None
    } else {
        Some(caller.project_id().clone())
    };
    let wanted = Wanted {
        project,
        reasons: app.allows(rules::SITES_UPDATE, &caller, &Target::none()),
        version,
    };
    let health = report(&app, &wanted).await;
    Ok(Json(HealthReportAnswer { health }))
}
