//! From a group and a request to the plan and the runbook of a failover.

use protector_core::{
    group::{Group, ResourceMappings, start_statuses, status_while},
    member::Member,
    operation::{OperationKind, StepRecord},
    plan::{ArrayPair, Plan, PlanRefusal},
    runbook::failover::planned_failover,
};

use super::names;
use crate::{
    error::{ApiError, ApiResult},
    wire::operation::Failover,
};

/// Refuses a kind of operation that the group's status does not allow.
pub fn refuse_wrong_status(group: &Group, kind: OperationKind) -> ApiResult<()> {
    if status_while(group.status, kind).is_some() {
        return Ok(());
    }
    let allowed: Vec<&str> = start_statuses(kind)
        .into_iter()
        .map(protector_core::group::GroupStatus::as_str)
        .collect();
    Err(ApiError::conflict(format!(
        "Protection group {} is {}: {kind} starts from {}.",
        group.name,
        group.status,
        allowed.join(" or ")
    )))
}

/// The stored mappings read from source to target, with those of the request over them.
pub fn mappings(group: &Group, request: &Failover) -> ApiResult<ResourceMappings> {
    names::network_mapping("failover.network_mapping", &request.network_mapping)?;
    names::flavor_mapping("failover.flavor_mapping", &request.flavor_mapping)?;
    let mut mappings = group.mappings_from_current();
    mappings.networks.extend(request.network_mapping.clone());
    mappings.flavors.extend(request.flavor_mapping.clone());
    Ok(mappings)
}

/// Plans a planned failover and writes its runbook.
pub fn planned(
    group: &Group,
    members: Vec<Member>,
    arrays: Option<&ArrayPair>,
    mappings: ResourceMappings,
    retain_source_volumes: bool,
) -> ApiResult<(Plan, Vec<StepRecord>)> {
    let plan = Plan::move_to_other_site(group, members, arrays, mappings, retain_source_volumes)
        .map_err(|refusal| refused(group, &refusal))?;
    let steps = planned_failover(&plan)
        .into_steps()
        .map_err(ApiError::internal)?;
    Ok((plan, steps))
}

/// A mapping that the request could have given is the request's fault; what the group lacks is its state.
fn refused(group: &Group, refusal: &PlanRefusal) -> ApiError {
    match refusal {
        PlanRefusal::UnmappedNetworks(_) => ApiError::bad_request(format!("{refusal}.")),
        PlanRefusal::NoMembers | PlanRefusal::NoPolicy | PlanRefusal::SharedVolume(_) => {
            ApiError::conflict(format!(
                "Protection group {} cannot be moved: {refusal}.",
                group.name
            ))
        }
    }
}
