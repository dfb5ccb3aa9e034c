//! Tenant mappings: which projects of two sites belong to the same tenant.
//!
//! Making one is the act by which an administrator lets the service work for that tenant: the service user gets the
//! role `member` on both projects.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use http::StatusCode;
use protector_core::{
    id::{ProjectId, TenantMappingId},
    site::{SiteScope, TenantMapping},
};
use protector_oslo::policy::{Target, rules};
use protector_store::{GroupFilter, GroupOrder, OrderDirection, Page};
use protector_wire::tenant_mapping::{
    CreateTenantMapping, RevokeQuery, TenantMappingAnswer, TenantMappingQuery, TenantMappingView,
    TenantMappingsAnswer,
};

use crate::{
    app::{App, names, refusal::Refusal},
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        extract::{Body, Path, Query},
        page::{self, limit},
    },
};

/// Lists the mappings.
#[utoipa::path(get, path = "/v1/admin/tenant-mappings", operation_id = "tenant_mapping_list", tag = "tenant mappings",
    params(TenantMappingQuery),
    responses((status = 200, body = TenantMappingsAnswer)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<TenantMappingQuery>,
) -> ApiResult<Json<TenantMappingsAnswer>> {
    app.enforce(rules::TENANT_MAPPINGS_INDEX, &caller, &Target::none())?;
    let mut mappings = app.database.tenant_mapping_list().await?;
    mappings.retain(|mapping| {
        [&mapping.primary, &mapping.secondary]
            .into_iter()
            .any(|scope| {
                let project = query.project_id.as_ref();
                project.is_none_or(|project| scope.project_id.as_str() == project)
            })
    });
    page::order(&mut mappings, query.sort_dir, |mapping| {
        (mapping.created_at, mapping.id.to_string())
    });
    let limit = limit(query.limit, app.settings.max_limit)?;
    let marker = query.marker.as_deref();
    let page = page::cut(mappings, &uri, marker, limit, |mapping| mapping.id.as_str())?;
    Ok(Json(TenantMappingsAnswer {
        tenant_mappings: page.items.iter().map(TenantMappingView::from).collect(),
        tenant_mappings_links: page.links,
    }))
}

/// Maps a project to its counterpart and gives the service its role on both.
#[utoipa::path(post, path = "/v1/admin/tenant-mappings", operation_id = "tenant_mapping_create", tag = "tenant mappings",
    request_body = CreateTenantMapping,
    responses((status = 201, body = TenantMappingAnswer),
        (status = 400, description = "A site or a project does not exist"),
        (status = 409, description = "A project is mapped already"),
        (status = 503, description = "A site does not answer")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<CreateTenantMapping>,
) -> ApiResult<(StatusCode, Json<TenantMappingAnswer>)> {
    app.enforce(rules::TENANT_MAPPINGS_CREATE, &caller, &Target::none())?;
    let new = body.tenant_mapping;
    let primary = scope(&app, "primary", &new.primary_site, &new.primary_project_id).await?;
    let secondary = scope(
        &app,
        "secondary",
        &new.secondary_site,
        &new.secondary_project_id,
    )
    .await?;
    if primary.site == secondary.site {
        return Err(ApiError::bad_request(format!(
            "tenant_mapping.secondary_site: must be another site than primary_site, both are {}.",
            primary.site
        )));
    }
    let id = new.id.unwrap_or_else(|| app.ids.uuid());
    let mapping = TenantMapping {
        id: TenantMappingId::new(id.to_string()),
        primary,
        secondary,
        created_at: app.clock.now(),
    };
    // The roles first: they can be given twice, and a mapping without them would promise what is not there.
    for scope in [&mapping.primary, &mapping.secondary] {
        app.clouds
            .grant_member(&scope.site, &scope.project_id)
            .await?;
    }
    app.database.tenant_mapping_insert(&mapping).await?;
    tracing::info!(
        primary = %mapping.primary.project_id,
        secondary = %mapping.secondary.project_id,
        "tenant mapping made, the service user is member of both projects"
    );
    let tenant_mapping = TenantMappingView::from(&mapping);
    Ok((
        StatusCode::CREATED,
        Json(TenantMappingAnswer { tenant_mapping }),
    ))
}

/// One side of a mapping: a registered site and a project that exists there.
async fn scope(app: &App, side: &str, site: &str, project: &str) -> ApiResult<SiteScope> {
    let field = format!("tenant_mapping.{side}_site");
    let site = app.registered_site(&field, site).await?;
    let field = format!("tenant_mapping.{side}_project_id");
    names::present(&field, project)?;
    let scope = SiteScope {
        site: site.name,
        project_id: project.into(),
    };
    if app
        .clouds
        .project_exists(&scope.site, &scope.project_id)
        .await?
    {
        return Ok(scope);
    }
    Err(ApiError::bad_request(format!(
        "{field}: {} has no project {project}; give the project's id, as 'openstack project show' prints it.",
        scope.site
    )))
}

/// Shows a mapping.
#[utoipa::path(get, path = "/v1/admin/tenant-mappings/{mapping}", operation_id = "tenant_mapping_show", tag = "tenant mappings",
    params(("mapping" = String, Path, description = "Id")),
    responses((status = 200, body = TenantMappingAnswer), (status = 404, description = "No such mapping")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(mapping): Path<String>,
) -> ApiResult<Json<TenantMappingAnswer>> {
    app.enforce(rules::TENANT_MAPPINGS_SHOW, &caller, &Target::none())?;
    let mapping = app.database.tenant_mapping_show(&mapping.into()).await?;
    Ok(Json(TenantMappingAnswer {
        tenant_mapping: TenantMappingView::from(&mapping),
    }))
}

/// Removes a mapping. Groups that were made with it stay, and so do the roles, since an administrator may have given
/// them before; with `revoke=true` they go too.
#[utoipa::path(delete, path = "/v1/admin/tenant-mappings/{mapping}", operation_id = "tenant_mapping_delete", tag = "tenant mappings",
    params(("mapping" = String, Path, description = "Id"), RevokeQuery),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such mapping"),
        (status = 409, description = "Protection groups need the role that is to be revoked"),
        (status = 503, description = "A site does not answer")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(mapping): Path<String>,
    Query(query): Query<RevokeQuery>,
) -> ApiResult<StatusCode> {
    app.enforce(rules::TENANT_MAPPINGS_DELETE, &caller, &Target::none())?;
    let mapping = app.database.tenant_mapping_show(&mapping.into()).await?;
    if query.revoke {
        revoke(&app, &mapping).await?;
    }
    app.database.tenant_mapping_delete(&mapping.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the service user's role on both projects. It is needed by groups for as long as they are there.
async fn revoke(app: &App, mapping: &TenantMapping) -> ApiResult<()> {
    let project = mapping.project_on(&app.settings.site_name);
    let groups = match project {
        Some(project) => groups_of(app, project).await?,
        None => Vec::new(),
    };
    if !groups.is_empty() {
        return Err(ApiError::new(
            Refusal::InUse,
            format!(
                "The service user's roles are needed by protection groups {}; delete these first, or the mapping without revoke.",
                groups.join(", ")
            ),
        ));
    }
    for scope in [&mapping.primary, &mapping.secondary] {
        app.clouds
            .revoke_member(&scope.site, &scope.project_id)
            .await?;
    }
    tracing::info!(
        primary = %mapping.primary.project_id,
        secondary = %mapping.secondary.project_id,
        "the service user is no longer member of the projects"
    );
    Ok(())
}

/// The names of some groups of a project on this site.
async fn groups_of(app: &App, project: &ProjectId) -> ApiResult<Vec<String>> {
    let filter = GroupFilter {
        project_id: Some(project.clone()),
        ..GroupFilter::default()
    };
    let page = Page {
        limit: 10,
        marker: None,
        sort_key: GroupOrder::Name,
        sort_dir: OrderDirection::Asc,
    };
    let listed = app.database.group_list(&filter, &page).await?;
    let names = listed.items.into_iter().map(|stored| stored.group.name);
    Ok(names.collect())
}
