//! What a 404 proves: something known is read with the same token before an absence is believed.

use protector_core::{
    fault::Code,
    guard::{Scope, absence_proves_nothing, lives_on_unseen},
    id::{NetworkId, ProjectId, ServerId, VolumeId},
    plan::Plan,
};
use protector_openstack::cloud::Cloud;

use super::reading;
use crate::{
    action::Stop,
    clouds::{found, stop},
};

/// The service that said 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Server,
    Volume,
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
/// project's quota in the service that said 404, and a network that the plan names. See
/// [`absence_proves_nothing`] for why that is a proof.
pub(super) async fn believe_absence(
    cloud: &Cloud,
    absent: Absent,
    eyes: Eyes,
    project: &ProjectId,
    network: Option<&NetworkId>,
) -> Result<(), Stop> {
    let token_project = cloud.session().project_id().await.map_err(stop)?;
    let network_is_known = async {
        match network {
            Some(network) => Ok(found(cloud.network().network(network).await)?.is_some()),
            None => Ok(false),
        }
    };
    let answers = answers_for(cloud, absent, project);
    let (network_is_known, service_answers): (Result<bool, Stop>, _) =
        tokio::join!(network_is_known, answers);
    let (network_is_known, service_answers) = (network_is_known?, service_answers?);
    let scope = Scope {
        recorded_project: (eyes == Eyes::Tenant).then_some(project.as_str()),
        token_project: token_project.as_str(),
        service_answers,
        network: network.map(|network| (network.as_str(), network_is_known)),
    };
    match absence_proves_nothing(&scope) {
        None => Ok(()),
        Some(why) => Err(Stop::last(Code::Kept, why)),
    }
}

/// Ends the step's look unless the administrator, who sees every project, does not see the server or volume `id` either:
/// what another project has accepted lives on there, and its former owner gets a 404.
pub(super) async fn believe_gone_for_all(
    admin: &Cloud,
    absent: Absent,
    id: &str,
    project: &ProjectId,
) -> Result<(), Stop> {
    let owner = match absent {
        Absent::Server => reading::server(admin, &ServerId::new(id))
            .await?
            .map(|server| server.project_id),
        Absent::Volume => reading::volume(admin, &VolumeId::new(id))
            .await?
            .map(|volume| volume.project_id),
    };
    if let Some(why) = lives_on_unseen(project.as_str(), owner.as_ref().map(ProjectId::as_str)) {
        return Err(Stop::last(Code::Kept, why));
    }
    believe_absence(admin, absent, Eyes::Admin, project, None).await
}

async fn answers_for(cloud: &Cloud, absent: Absent, project: &ProjectId) -> Result<bool, Stop> {
    let answer = match absent {
        Absent::Server => found(cloud.compute().quota(project).await)?,
        Absent::Volume => found(cloud.volume().quota(project).await)?,
    };
    Ok(answer.is_some())
}

/// A network of the target that the plan names: one that its members are mapped to. The mapping may hold others, which
/// nobody uses and which may be gone.
pub(super) fn known_network(plan: &Plan) -> Option<NetworkId> {
    plan.members
        .iter()
        .flat_map(|member| &member.server.nics)
        .find_map(|nic| plan.mappings.networks.get(nic.network_id.as_str()))
        .map(NetworkId::new)
}
