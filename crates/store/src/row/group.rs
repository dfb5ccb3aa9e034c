//! Groups, to rows and back.

use std::collections::BTreeMap;

use protector_core::{
    group::{Group, ResourceMappings},
    id::ProjectId,
    priority::Priority,
    site::SiteScope,
};

use crate::{
    entity::protection_group::Model,
    error::StoreError,
    sealing::Kept,
    words::{from_json, from_word, to_count, to_json, to_signed, to_small, to_u32},
};

pub(crate) fn to_row(local_project: &ProjectId, group: &Kept<Group>) -> Result<Model, StoreError> {
    Ok(Model {
        id: group.id.to_string(),
        local_project_id: local_project.to_string(),
        name: group.name.clone(),
        description: group.description.clone(),
        primary_site: group.primary.site.to_string(),
        primary_project_id: group.primary.project_id.to_string(),
        secondary_site: group.secondary.site.to_string(),
        secondary_project_id: group.secondary.project_id.to_string(),
        current_primary_site: group.current_primary_site.to_string(),
        status: group.status.as_str().to_owned(),
        replication_type: group.replication_type.as_str().to_owned(),
        volume_type_id: group.volume_type_id.clone(),
        secondary_volume_type_id: group.secondary_volume_type_id.clone(),
        network_mapping: to_json(&group.mappings.networks)?,
        flavor_mapping: to_json(&group.mappings.flavors)?,
        server_group_mapping: Some(to_json(&group.mappings.server_groups)?),
        volume_type_mapping: Some(to_json(&group.mappings.volume_types)?),
        qos_policy_mapping: Some(to_json(&group.mappings.qos_policies)?),
        recovery_plan: Some(to_json(&group.recovery_plan)?),
        priority: to_small(u32::from(group.priority.get())),
        fidelity: group.fidelity.as_str().to_owned(),
        version: to_signed(group.version),
        last_replication_at: group.last_replication_at,
        created_at: group.created_at,
        updated_at: group.updated_at,
        pushed_version: 0,
        peer_version: None,
        push_failed_tries: 0,
        push_error: None,
        last_push_at: None,
        next_push_at: None,
        reserved_by: None,
        reserved_until: None,
        base_digest: None,
        conflict: None,
        peer_retired_at: None,
    })
}

pub(crate) fn from_row(row: Model) -> Result<Group, StoreError> {
    Ok(Group {
        id: row.id.into(),
        name: row.name,
        description: row.description,
        primary: SiteScope {
            site: row.primary_site.into(),
            project_id: row.primary_project_id.into(),
        },
        secondary: SiteScope {
            site: row.secondary_site.into(),
            project_id: row.secondary_project_id.into(),
        },
        current_primary_site: row.current_primary_site.into(),
        status: from_word("protection_groups.status", &row.status)?,
        replication_type: from_word("protection_groups.replication_type", &row.replication_type)?,
        volume_type_id: row.volume_type_id,
        secondary_volume_type_id: row.secondary_volume_type_id,
        mappings: ResourceMappings {
            networks: from_json("protection_groups.network_mapping", row.network_mapping)?,
            flavors: from_json("protection_groups.flavor_mapping", row.flavor_mapping)?,
            server_groups: mapping(
                "protection_groups.server_group_mapping",
                row.server_group_mapping,
            )?,
            volume_types: mapping(
                "protection_groups.volume_type_mapping",
                row.volume_type_mapping,
            )?,
            qos_policies: mapping(
                "protection_groups.qos_policy_mapping",
                row.qos_policy_mapping,
            )?,
        },
        recovery_plan: row
            .recovery_plan
            .map(|plan| from_json("protection_groups.recovery_plan", plan))
            .transpose()?
            .unwrap_or_default(),
        priority: priority(row.priority)?,
        fidelity: from_word("protection_groups.fidelity", &row.fidelity)?,
        version: to_count("protection_groups.version", row.version)?,
        last_replication_at: row.last_replication_at,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn mapping(
    column: &'static str,
    stored: Option<serde_json::Value>,
) -> Result<BTreeMap<String, String>, StoreError> {
    stored.map_or_else(|| Ok(BTreeMap::new()), |stored| from_json(column, stored))
}

pub(crate) fn priority(stored: i32) -> Result<Priority, StoreError> {
    let number = to_u32("protection_groups.priority", stored)?;
    u8::try_from(number)
        .ok()
        .and_then(|number| Priority::try_from(number).ok())
        .ok_or_else(|| StoreError::Unreadable(format!("protection_groups.priority: {number}")))
}
