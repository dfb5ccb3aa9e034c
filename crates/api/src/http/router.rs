//! All routes, each registered together with its description, and what surrounds them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, OriginalUri},
    middleware,
    routing::get,
};
use http::Method;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt as _},
    routes,
};

use crate::{
    app::{App, refusal::Refusal},
    handlers::{
        action, group, health, member, metadata, operation, operation_copy, orphan, policy,
        readiness, recovery_plan, recovery_point, reset_status, resource_mapping, signing_key,
        site, site_failover, sync, tenant_mapping,
    },
    http::{audit, error::ApiError, metrics, openapi, request, version},
};

/// The routes with their descriptions.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(version::versions))
        .routes(routes!(version::version))
        .routes(routes!(openapi::show))
        .routes(routes!(health::check))
        .routes(routes!(health::show))
        .routes(routes!(site::list, site::create))
        .routes(routes!(site::show, site::update, site::delete))
        .routes(routes!(site::validate))
        .routes(routes!(site::retire))
        .routes(routes!(site::volume_types))
        .routes(routes!(site_failover::fail_over))
        .routes(routes!(tenant_mapping::list, tenant_mapping::create))
        .routes(routes!(tenant_mapping::show, tenant_mapping::delete))
        .routes(routes!(group::list, group::create))
        .routes(routes!(group::show, group::update, group::delete))
        .routes(routes!(member::list, member::create))
        .routes(routes!(member::show, member::delete))
        .routes(routes!(member::compare))
        .routes(routes!(
            policy::show,
            policy::create,
            policy::update,
            policy::delete
        ))
        .routes(routes!(recovery_point::list))
        .routes(routes!(resource_mapping::show, resource_mapping::update))
        .routes(routes!(recovery_plan::show, recovery_plan::update))
        .routes(routes!(action::act))
        .routes(routes!(readiness::check))
        .routes(routes!(sync::status))
        .routes(routes!(sync::force))
        .routes(routes!(reset_status::reset))
        .routes(
            routes!(metadata::show, metadata::receive, metadata::withdraw)
                .layer(DefaultBodyLimit::max(metadata::MAX_BODY_BYTES)),
        )
        .routes(routes!(metadata::reserve, metadata::release))
        .routes(routes!(signing_key::show))
        .routes(routes!(operation::list))
        .routes(routes!(operation::show))
        .routes(routes!(operation::cleanup))
        .routes(routes!(operation::resume))
        .routes(routes!(operation::abort))
        .routes(routes!(operation::adopt))
        .routes(
            routes!(operation_copy::receive)
                .layer(DefaultBodyLimit::max(operation_copy::MAX_BODY_BYTES)),
        )
        .routes(routes!(orphan::list))
}

/// The service: serve it with `axum::serve`.
pub fn router(app: App) -> Router {
    let limit = app.settings.max_body_bytes;
    let app = Arc::new(app);
    let counts = Arc::clone(&app.metrics);
    let (routes, _) = routes().split_for_parts();
    routes
        .route("/v1", get(version::version_without_slash))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        // The last layer is the outermost: ids and the access log surround everything, panics included.
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn(version::negotiate))
        .layer(CatchPanicLayer::custom(request::answer_panic))
        .layer(middleware::from_fn_with_state(counts, metrics::measure))
        .layer(middleware::from_fn_with_state(app.clone(), audit::witness))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            request::accompany,
        ))
        .with_state(app)
}

async fn no_such_path(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::new(
        Refusal::NoSuchPath,
        format!(
            "The API has no path {}; GET / lists its versions.",
            uri.path()
        ),
    )
}

async fn no_such_method(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::new(
        Refusal::NoSuchMethod,
        format!("{method} is not possible on {}.", uri.path()),
    )
}
