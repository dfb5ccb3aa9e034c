//! Sites: registered by administrators, seen in outline by everybody.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, State},
};
use http::StatusCode;
use protector_core::site::{Site, SiteStatus};
use protector_oslo::policy::{Target, rules};
use protector_wire::{
    retirement::{NewRetirement, RetirementAnswer},
    site::{
        CreateSite, SiteAnswer, SiteDetail, SiteKeys, SiteQuery, SiteSortKey, SiteView,
        SitesAnswer, UpdateSite, ValidationAnswer, VolumeTypeQuery, VolumeTypeView,
        VolumeTypesAnswer, status_word,
    },
};

use crate::{
    app::{
        App, peer_key, retirement, site as app_site, site_validation::validate as validate_site,
        volume_type,
    },
    http::{
        caller::Caller,
        error::{ApiError, ApiResult},
        extract::{Body, Path, Query},
        page::{self, limit},
    },
};

fn detail_for(app: &App, caller: &Caller) -> SiteDetail {
    if app.allows(rules::SITES_UPDATE, caller, &Target::none()) {
        SiteDetail::Registration
    } else {
        SiteDetail::Outline
    }
}

fn view(app: &App, site: &Site, detail: SiteDetail, keys: &SiteKeys) -> SiteView {
    let is_local = site.name == app.settings.site_name;
    SiteView::of(site, is_local, detail, keys)
}

async fn view_with_key(app: &App, site: &Site, detail: SiteDetail) -> ApiResult<SiteView> {
    let keys = keys_for(app, detail).await?;
    Ok(view(app, site, detail, &keys))
}

/// The keys, for who may see them.
async fn keys_for(app: &App, detail: SiteDetail) -> ApiResult<SiteKeys> {
    if detail == SiteDetail::Outline {
        return Ok(SiteKeys::default());
    }
    let own = match app.database.signing_key_public().await? {
        Some(own) => own,
        None => app.identity().kept_key().await?.public,
    };
    Ok(SiteKeys {
        own: Some(own),
        pinned: app.database.peer_keys().await?,
    })
}

/// Lists the sites. Tenants see names and states only.
#[utoipa::path(get, path = "/v1/admin/sites", operation_id = "site_list", tag = "sites",
    params(SiteQuery),
    responses((status = 200, body = SitesAnswer)))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<SiteQuery>,
) -> ApiResult<Json<SitesAnswer>> {
    app.enforce(rules::SITES_INDEX, &caller, &Target::none())?;
    let detail = detail_for(&app, &caller);
    let mut sites = app.database.site_list().await?;
    sites.retain(|site| {
        let named = query
            .name
            .as_ref()
            .is_none_or(|name| site.name.as_str() == name);
        let so = query.status.as_ref();
        named && so.is_none_or(|status| status_word(site.status) == status)
    });
    page::order(&mut sites, query.sort_dir, |site| {
        let key = match query.sort_key {
            SiteSortKey::Name => site.name.to_string(),
            SiteSortKey::Status => status_word(site.status).to_owned(),
        };
        (key, site.id.to_string())
    });
    let limit = limit(query.limit, app.settings.max_limit)?;
    let marker = query.marker.as_deref();
    let keys = keys_for(&app, detail).await?;
    let page = page::cut(sites, &uri, marker, limit, |site| site.id.as_str())?;
    Ok(Json(SitesAnswer {
        sites: page
            .items
            .iter()
            .map(|site| view(&app, site, detail, &keys))
            .collect(),
        sites_links: page.links,
    }))
}

/// Registers a site.
#[utoipa::path(post, path = "/v1/admin/sites", operation_id = "site_create", tag = "sites",
    request_body = CreateSite,
    responses((status = 201, body = SiteAnswer), (status = 409, description = "The name or id is taken")))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body<CreateSite>,
) -> ApiResult<(StatusCode, Json<SiteAnswer>)> {
    app.enforce(rules::SITES_CREATE, &caller, &Target::none())?;
    app_site::check_new(&body.site, app.settings.site_urls)?;
    let (site, password) = app_site::registered(&app, body.site);
    app.database.site_insert(&site, &password).await?;
    app.clouds.forget(&site.name).await;
    tracing::info!(site = %site.name, user_id = %caller.user_id(), "site registered");
    if site.name != app.settings.site_name {
        peer_key::pinned_or_learned(&app, &site.name).await?;
    }
    let site = view_with_key(&app, &site, SiteDetail::Registration).await?;
    Ok((StatusCode::CREATED, Json(SiteAnswer { site })))
}

/// Shows a site. Tenants see its name and state only.
#[utoipa::path(get, path = "/v1/admin/sites/{site}", operation_id = "site_show", tag = "sites",
    params(("site" = String, Path, description = "Name or id")),
    responses((status = 200, body = SiteAnswer), (status = 404, description = "No such site")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(site): Path<String>,
) -> ApiResult<Json<SiteAnswer>> {
    app.enforce(rules::SITES_SHOW, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?;
    let site = view_with_key(&app, &site, detail_for(&app, &caller)).await?;
    Ok(Json(SiteAnswer { site }))
}

/// Changes how the service reaches a site. Where `auth_url`, `username`, `user_domain_name`, `project_name`,
/// `project_domain_name` or `cacert` changes, `password` must be given too: the stored one goes only to where it was
/// entered for.
#[utoipa::path(put, path = "/v1/admin/sites/{site}", operation_id = "site_update", tag = "sites",
    params(("site" = String, Path, description = "Name or id")),
    request_body = UpdateSite,
    responses((status = 200, body = SiteAnswer),
        (status = 400, description = "A field is wrong, or `password` is needed anew"),
        (status = 404, description = "No such site"),
        (status = 409, description = "The site's protector tells another key than `peer_key`, or none"),
        (status = 503, description = "The site's protector does not answer, which `peer_key` is asked of")))]
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(site): Path<String>,
    Body(body): Body<UpdateSite>,
) -> ApiResult<Json<SiteAnswer>> {
    app.enforce(rules::SITES_UPDATE, &caller, &Target::none())?;
    app_site::check_changes(&body.site, app.settings.site_urls)?;
    let before = app.database.site_show(&site).await?;
    if let Some(change) = app_site::peer_key_change(&body.site)? {
        let fingerprint = peer_key::change(&app, &before.name, &change).await?;
        tracing::info!(site = %before.name, user_id = %caller.user_id(), ?fingerprint, "key of another site's protector changed");
        let site = view_with_key(&app, &before, SiteDetail::Registration).await?;
        return Ok(Json(SiteAnswer { site }));
    }
    let password = body.site.password.clone().map(|password| password.0);
    let site = app_site::changed(&before, body.site, app.clock.now());
    let mut fields = app_site::differences(&before, &site);
    app_site::check_password_is_given_anew(&fields, password.as_ref())?;
    app.database
        .site_update(&before, &site, password.as_ref())
        .await?;
    app.clouds.forget(&site.name).await;
    fields.extend(password.map(|_| "password"));
    tracing::info!(site = %site.name, user_id = %caller.user_id(), fields = %fields.join(", "), "site changed");
    let site = view_with_key(&app, &site, SiteDetail::Registration).await?;
    Ok(Json(SiteAnswer { site }))
}

/// Removes a site that no protection group uses.
#[utoipa::path(delete, path = "/v1/admin/sites/{site}", operation_id = "site_delete", tag = "sites",
    params(("site" = String, Path, description = "Name or id")),
    responses((status = 204, description = "Removed"), (status = 404, description = "No such site"),
        (status = 409, description = "Protection groups use it")))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(site): Path<String>,
) -> ApiResult<StatusCode> {
    app.enforce(rules::SITES_DELETE, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?;
    app.database.site_delete(site.id.as_str()).await?;
    app.clouds.forget(&site.name).await;
    tracing::info!(site = %site.name, user_id = %caller.user_id(), "site removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Retires a site that is gone for good: its groups that run here have no other site any more, can be changed and deleted
/// without it, and nobody is asked there or believed from there. A dry run tells what that means, group by group.
#[utoipa::path(post, path = "/v1/admin/sites/{site}/retire", operation_id = "site_retire", tag = "sites",
    params(("site" = String, Path, description = "Name or id")),
    request_body = NewRetirement,
    responses((status = 200, body = RetirementAnswer), (status = 400, description = "The site of this protector"),
        (status = 404, description = "No such site"),
        (status = 409, description = "Its protector answers, or a group runs there or is moved: the message says what is in the way")))]
pub async fn retire(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(site): Path<String>,
    Body(body): Body<NewRetirement>,
) -> ApiResult<Json<RetirementAnswer>> {
    app.enforce(rules::SITES_RETIRE, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?;
    let retirement = retirement::retire(&app, &site, body.retire).await?;
    Ok(Json(RetirementAnswer { retirement }))
}

/// Checks that a site can be reached and used: its services and their versions, the service user's rights, its volume
/// types, its protector, and the arrays that replication policies name. Each check that fails says what to do.
#[utoipa::path(post, path = "/v1/admin/sites/{site}/validate", operation_id = "site_validate", tag = "sites",
    params(("site" = String, Path, description = "Name or id")),
    responses((status = 200, body = ValidationAnswer), (status = 404, description = "No such site")))]
pub async fn validate(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(site): Path<String>,
) -> ApiResult<Json<ValidationAnswer>> {
    app.enforce(rules::SITES_VALIDATE, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?;
    let password = app.database.site_password(&site.name).await?;
    let validation = validate_site(&app, &site, &password).await?;
    let reached = validation
        .checks
        .iter()
        .any(|check| check.name == "keystone" && check.ok);
    note_reached(&app, &site, reached).await?;
    Ok(Json(ValidationAnswer { validation }))
}

async fn note_reached(app: &App, site: &Site, reached: bool) -> ApiResult<()> {
    let status = match reached {
        true => SiteStatus::Active,
        false => SiteStatus::Unreachable,
    };
    app.database
        .site_note_reached(&site.id, status)
        .await
        .map_err(ApiError::from)
}

/// Lists a site's volume types and whether protection groups can use them.
#[utoipa::path(get, path = "/v1/admin/sites/{site}/volume-types", operation_id = "site_volume_types", tag = "sites",
    params(("site" = String, Path, description = "Name or id"), VolumeTypeQuery),
    responses((status = 200, body = VolumeTypesAnswer), (status = 404, description = "No such site"),
        (status = 409, description = "The site refuses the service user"),
        (status = 503, description = "The site does not answer")))]
pub async fn volume_types(
    State(app): State<Arc<App>>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Path(site): Path<String>,
    Query(query): Query<VolumeTypeQuery>,
) -> ApiResult<Json<VolumeTypesAnswer>> {
    app.enforce(rules::SITES_LIST_VOLUME_TYPES, &caller, &Target::none())?;
    let site = app.database.site_show(&site).await?;
    let types = app.clouds.volume_types(&site.name).await?;
    let mut types: Vec<VolumeTypeView> = types.iter().map(volume_type::view).collect();
    types.retain(|found| {
        let named = query.name.as_ref().is_none_or(|name| *name == found.name);
        named
            && query
                .eligible
                .is_none_or(|eligible| eligible == found.eligible)
    });
    page::order(&mut types, query.sort_dir, |found| {
        (found.name.clone(), found.id.clone())
    });
    let limit = limit(query.limit, app.settings.max_limit)?;
    let marker = query.marker.as_deref();
    let page = page::cut(types, &uri, marker, limit, |found| found.id.as_str())?;
    Ok(Json(VolumeTypesAnswer {
        volume_types: page.items,
        volume_types_links: page.links,
    }))
}
