//! Whether this process can work, for load balancers.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

/// Answer of the health check.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct HealthAnswer {
    /// `ok`.
    #[schema(value_type = String)]
    pub status: &'static str,
}

/// Says whether the service and its database answer. No token is needed.
#[utoipa::path(get, path = "/healthcheck", operation_id = "healthcheck", tag = "versions", security(()),
    responses((status = 200, body = HealthAnswer), (status = 503, description = "The database does not answer")))]
pub async fn check(State(app): State<Arc<App>>) -> ApiResult<Json<HealthAnswer>> {
    app.database.ping().await.map_err(ApiError::from)?;
    Ok(Json(HealthAnswer { status: "ok" }))
}
