//! Which network, flavor, server group and volume type of one site stands for which on the other.

use std::sync::Arc;

use axum::extract::State;
use protector_core::{group::Group, id::ProjectId};
use protector_oslo::policy::rules;
use protector_store::group::GroupChange;
use protector_wire::group::{MappingChanges, MappingsAnswer, MappingsView, UpdateMappings};

use crate::{
    app::{App, group as app_group, names},
    http::{
        caller::Caller,
        error::ApiResult,
        etag::{IfMatch, Tagged},
        extract::{Body, Path},
    },
};

/// Shows a group's mappings, read from its primary to its secondary site.
#[utoipa::path(get, path = "/v1/{project_id}/protection-groups/{group}/resource-mappings", operation_id = "resource_mapping_show", tag = "resource mappings",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id")),
    responses((status = 200, body = MappingsAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((project, group)): Path<(ProjectId, String)>,
) -> ApiResult<Tagged<MappingsAnswer>> {
    let rule = rules::RESOURCE_MAPPINGS_SHOW;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    Ok(answer(&stored.group))
}

/// Replaces a group's mappings; one that is left out stays.
#[utoipa::path(put, path = "/v1/{project_id}/protection-groups/{group}/resource-mappings", operation_id = "resource_mapping_update", tag = "resource mappings",
    params(("project_id" = String, Path, description = "The token's project"), ("group" = String, Path, description = "Name or id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the answer that the request rests on")),
    request_body = UpdateMappings,
    responses((status = 200, body = MappingsAnswer, headers(("ETag" = String, description = "The group's version"))), (status = 404, description = "No such group in the project"),
        (status = 409, description = "The group is busy, or the other site is unreachable"),
        (status = 412, description = "The group is not at the version of If-Match any more")))]
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    if_match: IfMatch,
    Path((project, group)): Path<(ProjectId, String)>,
    Body(body): Body<UpdateMappings>,
) -> ApiResult<Tagged<MappingsAnswer>> {
    let rule = rules::RESOURCE_MAPPINGS_UPDATE;
    let stored = app.group_for(&caller, &project, &group, rule).await?;
    let precondition = if_match.precondition(&stored.group)?;
    check(&body.resource_mappings)?;
    app_group::refuse_while_moving(&stored.group)?;
    app.require_peer_of(&stored.group).await?;
    let change = GroupChange {
        networks: body.resource_mappings.network_mapping,
        flavors: body.resource_mappings.flavor_mapping,
        server_groups: body.resource_mappings.server_group_mapping,
        volume_types: body.resource_mappings.volume_type_mapping,
        qos_policies: body.resource_mappings.qos_policy_mapping,
        precondition,
        ..GroupChange::default()
    };
    let stored = app
        .database
        .group_update(&stored.group.id, &change, app.clock.now())
        .await
        .map_err(|error| if_match.told(&stored.group, error))?;
    Ok(answer(&stored.group))
}

fn answer(group: &Group) -> Tagged<MappingsAnswer> {
    Tagged {
        version: group.version,
        body: MappingsAnswer {
            resource_mappings: MappingsView::from(&group.mappings),
        },
    }
}

fn check(changes: &MappingChanges) -> ApiResult<()> {
    if let Some(map) = &changes.network_mapping {
        names::network_mapping("resource_mappings.network_mapping", map)?;
    }
    if let Some(map) = &changes.flavor_mapping {
        names::flavor_mapping("resource_mappings.flavor_mapping", map)?;
    }
    if let Some(map) = &changes.server_group_mapping {
        names::server_group_mapping("resource_mappings.server_group_mapping", map)?;
    }
    if let Some(map) = &changes.volume_type_mapping {
        names::volume_type_mapping("resource_mappings.volume_type_mapping", map)?;
    }
    changes.qos_policy_mapping.as_ref().map_or(Ok(()), |map| {
        names::qos_policy_mapping("resource_mappings.qos_policy_mapping", map)
    })
}
