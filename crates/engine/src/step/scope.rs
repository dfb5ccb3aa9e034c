//! What a 404 proves: something known is read with the same token before an absence is believed.

use protector_core::{
    fault::Code,
    guard::{KnownThere, absence_proves_nothing, lives_on_unseen},
    id::{FloatingIpId, NetworkId, ProjectId, ServerId, VolumeId},
    plan::Plan,
};
use protector_openstack::{cloud::Cloud, network::FloatingIpFilter};

use super::reading;
use crate::{
    clouds::{found, stop},
    step_error::StepError,
};

/// The service that said 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Server,
    Volume,
    FloatingIp,
}

/// Whose token got the 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eyes {
    /// The service user's within the tenant's project.
    Tenant,
    /// The administrator's, which sees every project.
    Admin,
}

/// Ends the step's look unless a 404 of `cloud` can be believed. Three cheap reads: the token's own project, the
/// project's quota in the service that said 404, and one of the networks that the plan names there. See
/// [`absence_proves_nothing`] for why that is a proof.
pub(super) async fn believe_absence(
    cloud: &Cloud,
    absent: Absent,
    eyes: Eyes,
    project: &ProjectId,
    networks: &[NetworkId],
) -> Result<(), StepError> {
    let token_project = cloud.session().project_id().await.map_err(stop)?;
    let answers = answers_for(cloud, absent, project);
    let (network, service_answers) = tokio::join!(one_that_is_known(cloud, networks), answers);
    let (network, service_answers) = (network?, service_answers?);
    let scope = KnownThere {
        recorded_project: (eyes == Eyes::Tenant).then_some(project.as_str()),
        token_project: token_project.as_str(),
        service_answers,
        network,
    };
    match absence_proves_nothing(&scope) {
        None => Ok(()),
        Some(why) => Err(StepError::last(Code::Kept, why)),
    }
}

/// Ends the step's look unless the administrator, who sees every project, does not see the server or volume `id` either:
/// what another project has accepted lives on there, and its former owner gets a 404.
pub(super) async fn believe_gone_for_all(
    admin: &Cloud,
    absent: Absent,
    id: &str,
    project: &ProjectId,
) -> Result<(), StepError> {
    let owner = match absent {
        Absent::Server => reading::server(admin, &ServerId::new(id))
            .await?
            .map(|server| server.project_id),
        Absent::Volume => reading::volume(admin, &VolumeId::new(id))
            .await?
            .map(|volume| volume.project_id),
        Absent::FloatingIp => found(admin.network().floating_ip(&FloatingIpId::new(id)).await)?
            .map(|floating| floating.project_id),
    };
    if let Some(why) = lives_on_unseen(project.as_str(), owner.as_ref().map(ProjectId::as_str)) {
        return Err(StepError::last(Code::Kept, why));
    }
    believe_absence(admin, absent, Eyes::Admin, project, &[]).await
}

/// The first of the networks that the region knows, or else one that it does not know; `None` if there are none to ask for.
async fn one_that_is_known<'a>(
    cloud: &Cloud,
    networks: &'a [NetworkId],
) -> Result<Option<(&'a str, bool)>, StepError> {
    for network in networks {
        if found(cloud.network().network(network).await)?.is_some() {
            return Ok(Some((network.as_str(), true)));
        }
    }
    Ok(networks.first().map(|unknown| (unknown.as_str(), false)))
}

async fn answers_for(
    cloud: &Cloud,
    absent: Absent,
    project: &ProjectId,
) -> Result<bool, StepError> {
    let answer = match absent {
        Absent::Server => found(cloud.compute().quota(project).await)?,
        Absent::Volume => found(cloud.volume().quota(project).await)?,
        // Not every Neutron shows what is used of a quota.
        Absent::FloatingIp => {
            let of_project = FloatingIpFilter {
                project_id: Some(project.clone()),
                ..FloatingIpFilter::default()
            };
            let listed = found(cloud.network().floating_ips(&of_project).await)?;
            return Ok(listed.is_some());
        }
    };
    Ok(answer.is_some())
}

/// The networks of the target that the plan names: those that its members are mapped to, then the mapping's others. Each may
/// be gone; one that is there is enough.
pub(super) fn target_networks(plan: &Plan) -> Vec<NetworkId> {
    let mapped = &plan.mappings.networks;
    let used = networks_of_members(plan).filter_map(|network| mapped.get(network.as_str()));
    let mapped = used.chain(mapped.values()).map(NetworkId::new);
    each_once(mapped)
}

/// The networks of the source that the plan names, in the same order.
pub(super) fn source_networks(plan: &Plan) -> Vec<NetworkId> {
    let mapped = plan.mappings.networks.keys().map(NetworkId::new);
    each_once(networks_of_members(plan).cloned().chain(mapped))
}

fn networks_of_members(plan: &Plan) -> impl Iterator<Item = &NetworkId> {
    let nics = plan.members.iter().flat_map(|member| &member.server.nics);
    nics.map(|nic| &nic.network_id)
}

fn each_once(networks: impl Iterator<Item = NetworkId>) -> Vec<NetworkId> {
    let mut once: Vec<NetworkId> = Vec::new();
    for network in networks {
        if !once.contains(&network) {
            once.push(network);
        }
    }
    once
}
