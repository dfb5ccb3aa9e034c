//! Receives a group's metadata from the other site's protector.
//!
//! The path names the tenant's project on this cloud; the token is that of the other site's service user here, for the
//! service project.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
};
use chrono::Duration;
use http::{StatusCode, request::Parts};
use protector_core::id::{GroupId, ProjectId, SiteName};
use protector_oslo::policy::{Target, rules};
use protector_store::{Basis, MetadataDocument, Reservation, StoreError};

use crate::{
    app::App,
    caller::Caller,
    error::{ApiError, ApiResult},
    extract::{Body, Path},
    wire::metadata::{
        KeptMetadata, MetadataAnswer, NewMetadata, PushMetadata, ReservationAnswer,
        ReservationView, ReserveGroup,
    },
};

/// The largest metadata that is read: some 20,000 members.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// How long a group is held still for the other site: from its asking to the arrival of what it then records.
const HELD_FOR: Duration = Duration::minutes(1);

/// A caller who may push metadata. Settled before the body is read, which may be much larger than a tenant's.
pub struct PeerCaller;

impl FromRequestParts<Arc<App>> for PeerCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        app.enforce(rules::METADATA_PUSH, &caller, &Target::none())?;
        Ok(Self)
    }
}

/// Takes over a group's metadata from the other site.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/metadata", operation_id = "metadata_receive", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id")),
    request_body = PushMetadata,
    responses((status = 200, body = MetadataAnswer), (status = 409, description = "The version kept here is newer or different")))]
pub async fn receive(
    State(app): State<Arc<App>>,
    _: PeerCaller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<PushMetadata>,
) -> ApiResult<Json<MetadataAnswer>> {
    let NewMetadata {
        version,
        origin_site,
        document,
    } = body.metadata;
    let document = MetadataDocument::from_json(document)?;
    refuse_mismatch(&app, &group, &origin_site, &document)?;
    let version = app
        .database
        .metadata_apply(&project, version, &document)
        .await?;
    tracing::info!(group, version, origin_site, "metadata taken over");
    Ok(Json(MetadataAnswer {
        metadata: KeptMetadata { version },
    }))
}

fn refuse_mismatch(
    app: &App,
    group: &str,
    origin: &str,
    document: &MetadataDocument,
) -> ApiResult<()> {
    if document.group.id.as_str() != group {
        return Err(ApiError::bad_request(format!(
            "metadata.document: is of group {}, the path names {group}.",
            document.group.id
        )));
    }
    let local = app.settings.site_name.as_str();
    let sites = [
        document.group.primary.site.as_str(),
        document.group.secondary.site.as_str(),
    ];
    if origin == local || !sites.contains(&origin) || !sites.contains(&local) {
        return Err(ApiError::bad_request(format!(
            "metadata.origin_site: '{origin}' is not the other site of this group; this is {local}, the group's sites are {} and {}.",
            sites[0], sites[1]
        )));
    }
    Ok(())
}

/// Forgets a group that was deleted on the other site. Not known here: fine.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/metadata", operation_id = "metadata_withdraw", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id")),
    responses((status = 204, description = "The group is not known here any more"), (status = 409, description = "An operation moves the group, or the copies of a test failover of it are up")))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    _: PeerCaller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<StatusCode> {
    let stored = match app.database.group_show(&project, &group).await {
        Err(StoreError::NotFound { .. }) => return Ok(StatusCode::NO_CONTENT),
        other => other?,
    };
    if stored.group.id.as_str() != group {
        return Ok(StatusCode::NO_CONTENT);
    }
    app.refuse_while_tested(&stored.group).await?;
    app.database
        .group_delete(&stored.group.id, Basis::Any)
        .await?;
    tracing::info!(group, "group forgotten, it was deleted on the other site");
    Ok(StatusCode::NO_CONTENT)
}

/// Holds a group still for the other site, which is about to move it. It ends by itself after a minute, and with the
/// next metadata from there.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/metadata/reservations/{site}", operation_id = "metadata_reserve", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id"), ("site" = String, Path, description = "The name of the site that asks")),
    request_body = ReserveGroup,
    responses((status = 200, body = ReservationAnswer), (status = 409, description = "Another version is kept here, or an operation moves the group, or is about to")))]
pub async fn reserve(
    State(app): State<Arc<App>>,
    _: PeerCaller,
    Path((project, group, site)): Path<(ProjectId, String, String)>,
    Body(body): Body<ReserveGroup>,
) -> ApiResult<Json<ReservationAnswer>> {
    let now = app.clock.now();
    let wanted = Reservation {
        local_project: project,
        group_id: GroupId::new(group),
        version: body.reservation.version,
        by_site: SiteName::new(site),
        until: now + HELD_FOR,
    };
    app.database.group_reserve(&wanted, now).await?;
    Ok(Json(ReservationAnswer {
        reservation: ReservationView {
            until: wanted.until.into(),
        },
    }))
}

/// Gives a reservation back. None there: fine.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/metadata/reservations/{site}", operation_id = "metadata_release", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id"), ("site" = String, Path, description = "The name of the site that gives it back")),
    responses((status = 204, description = "That site holds no reservation any more")))]
pub async fn release(
    State(app): State<Arc<App>>,
    _: PeerCaller,
    Path((project, group, site)): Path<(ProjectId, String, String)>,
) -> ApiResult<StatusCode> {
    app.database
        .group_release(&project, &GroupId::new(group), &SiteName::new(site))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
