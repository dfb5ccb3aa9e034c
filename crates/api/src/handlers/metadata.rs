//! Receives a group's metadata from the other site's protector.
//!
//! The path names the tenant's project on this cloud; the token is that of the other site's service user here, for the
//! service project.

use std::sync::Arc;

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use http::StatusCode;
use protector_core::id::{GroupId, ProjectId, SiteName};
use protector_openstack::bounds::LARGEST_DOCUMENT;
use protector_peer::peer::other_scope;
use protector_store::{MetadataDocument, MetadataState, Offered, Reservation, StoreError, Taken};
use protector_wire::metadata::{
    HeldAnswer, HeldMetadata, HeldQuery, MetadataAnswer, PushMetadata, ReservationAnswer,
    ReservationView, ReserveGroup, WithdrawQuery,
};

use crate::{
    app::{App, names, recovery_plan, refusal::Refusal, sync},
    http::{
        error::{ApiError, ApiResult},
        extract::{Body, Path, Query},
        peer_caller::PeerCaller,
    },
};

/// The largest metadata that is read: some 10,000 members. No more than is read of the other site's answers.
pub const MAX_BODY_BYTES: usize = LARGEST_DOCUMENT;

/// Tells what is kept of a group here, for the other site to compare.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/metadata", operation_id = "metadata_show", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id"), HeldQuery),
    responses((status = 200, body = HeldAnswer), (status = 404, description = "The group is not known here")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: PeerCaller,
    Path((project, group)): Path<(ProjectId, String)>,
    Query(query): Query<HeldQuery>,
) -> ApiResult<Json<HeldAnswer>> {
    let id = GroupId::new(group);
    let ours = app.database.metadata_outgoing(&id).await?;
    if ours.local_project_id != project {
        return Err(ApiError::not_found("Protection group", id.as_str()));
    }
    let other = other_scope(&ours.document.group, &app.settings.site_name);
    caller.speaks_for(&app, &other.site).await?;
    let moving = app.database.operation_moving(&id).await?;
    let document = query
        .document
        .then(|| ours.document.to_masked_json())
        .transpose()?;
    Ok(Json(HeldAnswer {
        metadata: HeldMetadata {
            version: ours.side.now.version,
            digest: ours.side.now.digest,
            changed_at: ours.document.group.updated_at,
            base: ours.side.base.map(Into::into),
            moved_by: moving.map(|record| record.operation.id.to_string()),
            retired_at: ours.peer_retired_at,
            document,
        },
    }))
}

/// Takes over a group's metadata from the other site, if it was made from what is kept here. The same again changes
/// nothing, nor does what was overtaken on its way: the answer says what is kept.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/metadata", operation_id = "metadata_receive", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id")),
    request_body = PushMetadata,
    responses((status = 200, body = MetadataAnswer),
        (status = 409, description = "The group was changed here too, is moved by an operation here, or was deleted here")))]
pub async fn receive(
    State(app): State<Arc<App>>,
    caller: PeerCaller,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<PushMetadata>,
) -> ApiResult<Json<MetadataAnswer>> {
    let pushed = body.metadata;
    let document = MetadataDocument::from_json(pushed.document)?;
    refuse_mismatch(&app, &project, &group, &pushed.origin_site, &document)?;
    let origin = SiteName::new(pushed.origin_site.clone());
    caller.speaks_for(&app, &origin).await?;
    refuse_what_no_tenant_may_say(&document)?;
    refuse_unseen_texts(&app, &document).await?;
    refuse_misread(&document, pushed.version, &pushed.digest)?;
    let offered = Offered {
        document,
        base: pushed.base.map(Into::into),
        // What was forced, and undone since, is not forced again by who says it again.
        force: pushed.force && caller.is_first(&app).await?,
    };
    let now = app.clock.now();
    match app.database.metadata_apply(&project, &offered, now).await? {
        Taken::Held(mark) => {
            let kept = mark.version;
            tracing::info!(
                group,
                offered = pushed.version,
                kept,
                forced = offered.force,
                origin_site = pushed.origin_site,
                "metadata offered"
            );
            Ok(Json(MetadataAnswer {
                metadata: mark.into(),
            }))
        }
        Taken::Conflict(conflict) => Err(ApiError::new(
            Refusal::MetadataConflict,
            sync::in_conflict_with(&app, &offered.document.group, &conflict),
        )),
    }
}

/// Refuses a document of which this release does not know every part: taken over, the rest would be lost.
fn refuse_misread(document: &MetadataDocument, version: u64, digest: &str) -> ApiResult<()> {
    if document.group.version != version {
        return Err(ApiError::bad_request(format!(
            "metadata.version: is {version}, the document says {}.",
            document.group.version
        )));
    }
    let read = document.digest()?;
    if read != digest {
        return Err(ApiError::bad_request(format!(
            "metadata.digest: is {digest}, the document as it is understood here has {read}. The two sites' protectors are of different releases: bring both to the same."
        )));
    }
    Ok(())
}

/// What a tenant could not have said here is not taken from the other site either.
fn refuse_what_no_tenant_may_say(document: &MetadataDocument) -> ApiResult<()> {
    let group = &document.group;
    names::network_mapping("metadata.document.group.mappings", &group.mappings.networks)?;
    let Some(policy) = document.policy() else {
        return Ok(());
    };
    names::array("metadata.document.policy", &policy.primary_fa_url)?;
    names::array("metadata.document.policy", &policy.secondary_fa_url)
}

/// Texts that no tenant could have given the group, unless they are those by which it is known here: however it came to
/// them, a group must be recoverable.
async fn refuse_unseen_texts(app: &App, document: &MetadataDocument) -> ApiResult<()> {
    let group = &document.group;
    let known = match app.database.group_show_by_id(&group.id).await {
        Ok(stored) => Some(stored.group),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let known = known.as_ref();
    if known.map(|known| &known.name) != Some(&group.name) {
        names::name("metadata.document.group.name", &group.name)?;
    }
    if known.map(|known| &known.description) != Some(&group.description) {
        let described = group.description.as_deref();
        names::description("metadata.document.group.description", described)?;
    }
    if known.map(|known| &known.mappings.flavors) != Some(&group.mappings.flavors) {
        names::flavor_mapping("metadata.document.group.mappings", &group.mappings.flavors)?;
    }
    let (theirs, field) = (&group.mappings, "metadata.document.group.mappings");
    if known.map(|known| &known.mappings.server_groups) != Some(&theirs.server_groups) {
        names::server_group_mapping(field, &theirs.server_groups)?;
    }
    if known.map(|known| &known.mappings.volume_types) != Some(&theirs.volume_types) {
        names::volume_type_mapping(field, &theirs.volume_types)?;
    }
    if known.map(|known| &known.mappings.qos_policies) != Some(&theirs.qos_policies) {
        names::qos_policy_mapping(field, &theirs.qos_policies)?;
    }
    // Not the whole plan: what is sealed of it here is never like what comes.
    if known.map(|known| &known.recovery_plan.pauses) != Some(&group.recovery_plan.pauses) {
        let plan = &group.recovery_plan;
        recovery_plan::refuse_unseen("metadata.document.group.recovery_plan", plan)?;
    }
    Ok(())
}

fn refuse_mismatch(
    app: &App,
    project: &ProjectId,
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
    let scopes = [&document.group.primary, &document.group.secondary];
    let here = scopes.iter().find(|scope| scope.site.as_str() == local);
    if here.is_some_and(|here| here.project_id != *project) {
        return Err(ApiError::bad_request(format!(
            "metadata.document: the group's project on {local} is another one than the path's, {project}."
        )));
    }
    let sites = [
        document.group.primary.site.as_str(),
        document.group.secondary.site.as_str(),
    ];
    if sites[0] == sites[1]
        || origin == local
        || !sites.contains(&origin)
        || !sites.contains(&local)
    {
        return Err(ApiError::bad_request(format!(
            "metadata.origin_site: '{origin}' is not the other site of this group; this is {local}, the group's sites are {} and {}.",
            sites[0], sites[1]
        )));
    }
    Ok(())
}

/// Forgets a group that was deleted on the other site, which held it as the query says. Not known here: it is
/// remembered as deleted all the same, so that nothing old brings it back.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/metadata", operation_id = "metadata_withdraw", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id"), WithdrawQuery),
    responses((status = 204, description = "The group is not known here any more"),
        (status = 409, description = "Something else is kept here, an operation moves the group, or the copies of a test failover of it are up")))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    caller: PeerCaller,
    Path((project, group)): Path<(ProjectId, String)>,
    Query(query): Query<WithdrawQuery>,
) -> ApiResult<StatusCode> {
    let id = GroupId::new(group);
    match app.database.group_show_by_id(&id).await {
        Ok(stored) if stored.local_project_id == project => {
            let other = other_scope(&stored.group, &app.settings.site_name);
            caller.speaks_for(&app, &other.site).await?;
            app.refuse_while_tested(&stored.group).await?;
        }
        Ok(_) | Err(StoreError::NotFound { .. }) => caller.speaks_for_somebody(&app).await?,
        Err(error) => return Err(error.into()),
    }
    if !caller.is_first(&app).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let known = MetadataState {
        version: query.version,
        digest: query.digest,
    };
    app.database
        .group_forget(&project, &id, &known, app.clock.now())
        .await?;
    tracing::info!(group = %id, "group forgotten, it was deleted on the other site");
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
    caller: PeerCaller,
    Path((project, group, site)): Path<(ProjectId, String, String)>,
    Body(body): Body<ReserveGroup>,
) -> ApiResult<Json<ReservationAnswer>> {
    if site == app.settings.site_name.as_str() {
        return Err(ApiError::bad_request(format!(
            "site: {site} is this site; the other one asks in its own name."
        )));
    }
    let now = app.clock.now();
    let wanted = Reservation {
        local_project: project,
        group_id: GroupId::new(group),
        version: body.reservation.version,
        by_site: SiteName::new(site),
        until: now + Reservation::LASTS,
    };
    caller.speaks_for(&app, &wanted.by_site).await?;
    let until = match caller.is_first(&app).await? {
        true => {
            app.database.group_reserve(&wanted, now).await?;
            wanted.until
        }
        false => still_reserved(&app, &wanted).await?,
    };
    Ok(Json(ReservationAnswer {
        reservation: ReservationView {
            until: until.into(),
        },
    }))
}

/// What becomes of a reservation that is asked for in the same words again: it lasts no longer by that, and one that was given
/// back stays given back.
async fn still_reserved(app: &App, asked: &Reservation) -> ApiResult<DateTime<Utc>> {
    let (group, by_site) = (&asked.group_id, &asked.by_site);
    let held = app
        .database
        .group_reserved_until(&asked.local_project, group, by_site, app.clock.now())
        .await?;
    held.ok_or_else(|| {
        ApiError::new(Refusal::SaidBefore, format!(
            "{by_site} has asked for this before, and does not hold protection group {group} any more: a message that is said again does nothing."
        ))
    })
}

/// Gives a reservation back. None there: fine.
#[utoipa::path(delete, path = "/v1/{project_id}/protection-groups/{group}/metadata/reservations/{site}", operation_id = "metadata_release", tag = "metadata",
    params(("project_id" = String, Path, description = "The tenant's project on this cloud"), ("group" = String, Path, description = "Id"), ("site" = String, Path, description = "The name of the site that gives it back")),
    responses((status = 204, description = "That site holds no reservation any more")))]
pub async fn release(
    State(app): State<Arc<App>>,
    caller: PeerCaller,
    Path((project, group, site)): Path<(ProjectId, String, String)>,
) -> ApiResult<StatusCode> {
    let by_site = SiteName::new(site);
    caller.speaks_for(&app, &by_site).await?;
    if caller.is_first(&app).await? {
        app.database
            .group_release(&project, &GroupId::new(group), &by_site)
            .await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
