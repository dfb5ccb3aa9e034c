//! What a line is about: the kind of its resource, and the cloud on which it acts.

use super::Step;
use crate::{id::ServerId, member::Member, plan::Plan, site::SiteScope};

/// A kind of resource that operations delete or take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A Nova server.
    Server,
    /// A Cinder volume.
    Volume,
    /// A Neutron port.
    Port,
}

impl ResourceKind {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Volume => "volume",
            Self::Port => "port",
        }
    }
}

impl Step {
    /// The kind of the resource that the line is about; `None` for a line about the whole group.
    pub fn resource_kind(&self) -> Option<ResourceKind> {
        match self {
            Self::CheckTarget
            | Self::CheckTargetAlone
            | Self::ConfirmRecovered
            | Self::SwitchRecovered
            | Self::AdmitRecovered
            | Self::ConfirmFenced
            | Self::ConfirmStarted
            | Self::ReplicateGroup
            | Self::ChooseRecoveryPoint
            | Self::SwitchPrimary
            | Self::CallHook { .. }
            | Self::Pause { .. }
            | Self::ReleaseReplicas => None,
            Self::CheckServer { .. }
            | Self::StopServer { .. }
            | Self::RecreateServer { .. }
            | Self::ConfirmServer { .. }
            | Self::RestorePowerState { .. }
            | Self::AssociateFloatingIps { .. }
            | Self::RestoreDeleteOnTermination { .. }
            | Self::ProbeServer { .. }
            | Self::CountRecovered { .. }
            | Self::LeaveSourceServer { .. }
            | Self::FenceServer { .. }
            | Self::FenceServerOnTarget { .. }
            | Self::StartSourceServer { .. }
            | Self::CheckAtRest { .. }
            | Self::AdoptServer { .. }
            | Self::DeleteSourceServer { .. }
            | Self::DeleteTestServer { .. } => Some(ResourceKind::Server),
            Self::PromoteVolume { .. }
            | Self::AdoptVolume { .. }
            | Self::CloneVolume { .. }
            | Self::ManageVolume { .. }
            | Self::DeleteSourceVolume { .. }
            | Self::LeaveSourceVolume { .. }
            | Self::DeleteTestVolume { .. } => Some(ResourceKind::Volume),
            Self::ReservePorts { .. } | Self::CompletePorts { .. } => Some(ResourceKind::Port),
            Self::TakeBack { line } => line.resource_kind(),
        }
    }

    /// Whether the line deletes a resource for good, or is to be followed by a deletion.
    pub fn deletes(&self) -> bool {
        matches!(
            self,
            Self::DeleteSourceServer { .. }
                | Self::DeleteSourceVolume { .. }
                | Self::LeaveSourceServer { .. }
                | Self::LeaveSourceVolume { .. }
                | Self::DeleteTestServer { .. }
                | Self::DeleteTestVolume { .. }
        )
    }

    /// The member's server on the source that a cleanup's line deletes, or whose copy it takes back.
    pub fn takes_a_server_of(&self) -> Option<&ServerId> {
        match self {
            Self::DeleteSourceServer { server } => Some(server),
            Self::TakeBack { line } => match line.as_ref() {
                Self::RecreateServer { server } => Some(server),
                _ => None,
            },
            _ => None,
        }
    }

    /// The member that a line makes something of that can be taken back.
    pub fn member<'p>(&self, plan: &'p Plan) -> Option<&'p Member> {
        match self {
            Self::StopServer { server }
            | Self::ReservePorts { server }
            | Self::CompletePorts { server }
            | Self::RecreateServer { server } => plan.member_of_server(server.as_str()),
            Self::ManageVolume { volume }
            | Self::PromoteVolume { volume }
            | Self::CloneVolume { volume } => {
                plan.volume(volume.as_str()).map(|(member, _)| member)
            }
            Self::TakeBack { line } => line.member(plan),
            _ => None,
        }
    }

    /// The cloud and the project in which the line acts.
    pub fn scope<'p>(&self, plan: &'p Plan) -> &'p SiteScope {
        match self {
            Self::CheckServer { .. }
            | Self::CheckAtRest { .. }
            | Self::StopServer { .. }
            | Self::ReplicateGroup
            | Self::DeleteSourceServer { .. }
            | Self::DeleteSourceVolume { .. }
            | Self::LeaveSourceServer { .. }
            | Self::LeaveSourceVolume { .. }
            | Self::FenceServer { .. }
            | Self::ConfirmFenced
            | Self::StartSourceServer { .. }
            | Self::ConfirmStarted => &plan.source,
            Self::CheckTarget
            | Self::CheckTargetAlone
            | Self::CountRecovered { .. }
            | Self::ConfirmRecovered
            | Self::SwitchRecovered
            | Self::AdmitRecovered
            | Self::PromoteVolume { .. }
            | Self::ManageVolume { .. }
            | Self::ReservePorts { .. }
            | Self::CompletePorts { .. }
            | Self::RecreateServer { .. }
            | Self::ConfirmServer { .. }
            | Self::RestorePowerState { .. }
            | Self::AssociateFloatingIps { .. }
            | Self::RestoreDeleteOnTermination { .. }
            | Self::ProbeServer { .. }
            | Self::CallHook { .. }
            | Self::Pause { .. }
            | Self::SwitchPrimary
            | Self::ChooseRecoveryPoint
            | Self::CloneVolume { .. }
            | Self::AdoptVolume { .. }
            | Self::AdoptServer { .. }
            | Self::FenceServerOnTarget { .. }
            | Self::ReleaseReplicas
            | Self::DeleteTestServer { .. }
            | Self::DeleteTestVolume { .. } => &plan.target,
            Self::TakeBack { line } => line.scope(plan),
        }
    }
}
