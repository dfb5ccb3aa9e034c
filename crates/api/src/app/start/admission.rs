//! What the start of an operation has to pass: the group's status, the mappings of the request, and what a plan refuses.

use std::collections::{BTreeMap, BTreeSet};

use protector_core::{
    group::{Group, GroupStatus, ResourceMappings, start_statuses, status_while},
    operation::OperationKind,
    plan::PlanRefusal,
};

use crate::{
    app::{names, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

/// Refuses a kind of operation that the group's status does not allow.
pub fn refuse_wrong_status(group: &Group, kind: OperationKind) -> ApiResult<()> {
    if status_while(group.status, kind).is_some() {
        return Ok(());
    }
    let allowed: Vec<&str> = start_statuses(kind)
        .into_iter()
        .map(GroupStatus::as_str)
        .collect();
    Err(ApiError::new(
        Refusal::WrongStatus,
        format!(
            "Protection group {} is {}: {kind} starts from {}.{}",
            group.name,
            group.status,
            allowed.join(" or "),
            way_out(group)
        ),
    ))
}

/// What leads out of a status from which little starts.
fn way_out(group: &Group) -> String {
    let name = &group.name;
    match group.status {
        GroupStatus::SplitBrain => format!(
            " Stop what runs on {} first: 'openstack dr fence {name}'.",
            group.other().site
        ),
        GroupStatus::Error => format!(
            " 'openstack dr operation list --protection-group {name}' names the operation that failed; when that is cleaned up, or cannot be, 'openstack dr protection-group reset-status {name}' looks at both sites and ends it."
        ),
        GroupStatus::FailingOver | GroupStatus::FailingBack => format!(
            " If no operation moves it any more, 'openstack dr protection-group reset-status {name}' looks at both sites and ends it."
        ),
        GroupStatus::Active
        | GroupStatus::ActivePartial
        | GroupStatus::FailedOver
        | GroupStatus::FailedOverPartial => String::new(),
    }
}

/// The stored mappings read from source to target, with those that a request gives in its object `action` over them.
/// Both are written from the primary to the secondary site, whichever way the group goes.
pub fn mappings(
    group: &Group,
    action: &str,
    networks: &BTreeMap<String, String>,
    flavors: &BTreeMap<String, String>,
) -> ApiResult<ResourceMappings> {
    let nothing = ResourceMappings::default();
    mappings_over(group, nothing, action, networks, flavors)
}

/// The same, with those that an earlier move of the group had between the stored and the given ones. `known` is written from
/// its source to its target.
pub fn mappings_over(
    group: &Group,
    known: ResourceMappings,
    action: &str,
    networks: &BTreeMap<String, String>,
    flavors: &BTreeMap<String, String>,
) -> ApiResult<ResourceMappings> {
    names::network_mapping(&format!("{action}.network_mapping"), networks)?;
    names::flavor_mapping(&format!("{action}.flavor_mapping"), flavors)?;
    let given = ResourceMappings {
        networks: networks.clone(),
        flavors: flavors.clone(),
        ..ResourceMappings::default()
    };
    let given = if group.current_primary_site == group.secondary.site {
        refuse_ambiguous(&format!("{action}.network_mapping"), networks)?;
        refuse_ambiguous(&format!("{action}.flavor_mapping"), flavors)?;
        given.reversed()
    } else {
        given
    };
    let mut mappings = group.mappings_from_current();
    for over in [known, given] {
        mappings.extend(over);
    }
    Ok(mappings)
}

/// On the way back, one of the secondary site's can become only one of the primary's.
fn refuse_ambiguous(field: &str, map: &BTreeMap<String, String>) -> ApiResult<()> {
    let mut seen = BTreeSet::new();
    match map.values().find(|secondary| !seen.insert(*secondary)) {
        None => Ok(()),
        Some(twice) => Err(ApiError::bad_request(format!(
            "{field}: {twice} stands for more than one on the primary site; name each of the secondary site once."
        ))),
    }
}

/// A mapping that the request could have given is the request's fault; what the group lacks is its state.
pub fn refused(group: &Group, refusal: &PlanRefusal) -> ApiError {
    match refusal {
        PlanRefusal::UnmappedNetworks(_) => ApiError::bad_request(format!("{refusal}.")),
        PlanRefusal::NoMembers | PlanRefusal::NoPolicy | PlanRefusal::SharedVolume(_) => {
            ApiError::new(
                Refusal::NotMovable,
                format!(
                    "Protection group {} cannot be moved: {refusal}.",
                    group.name
                ),
            )
        }
    }
}
