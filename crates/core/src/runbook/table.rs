//! The table of steps: all of a step but what it does, one row for each.
//!
//! What it is about, on which cloud it acts, whom it asks, how long it may take and how it is taken back. What it does is the
//! engine's (`engine/src/step`), when it does it the runbooks' beside this file.

use super::{Step, resource::ResourceKind};
use crate::{
    id::{ServerId, VolumeId},
    member::Member,
    plan::Plan,
    site::SiteScope,
};

/// The row of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'s> {
    /// What it is about.
    pub about: About<'s>,
    /// The cloud on which it acts.
    pub on: Side,
    /// Whom it asks, and so whose limit of calls at a time it draws on.
    pub asks: Asks,
    /// How long it may take.
    pub limit: Limit,
    /// What is waited for, as a timeout names it: "Nova timeout after 600s".
    pub waits_for: &'static str,
    /// Whether it deletes a resource for good, or is to be followed by a deletion.
    pub deletes: bool,
    /// How it is taken back.
    pub undo: Undo<'s>,
}

/// What a step is about. Servers and volumes are named by what they are on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'s> {
    /// The group as a whole.
    Group,
    /// A member's server, or its copy.
    Server(&'s ServerId),
    /// A volume, or its copy.
    Volume(&'s VolumeId),
    /// The ports of a server's copy.
    Ports(&'s ServerId),
    /// A floating IP that led to a server.
    FloatingIp(&'s ServerId),
}

/// The site that a group leaves, or the one where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that it leaves.
    Source,
    /// The one where it goes.
    Target,
}

impl Side {
    /// Its cloud, and the tenant's project there.
    pub fn scope(self, plan: &Plan) -> &SiteScope {
        match self {
            Self::Source => &plan.source,
            Self::Target => &plan.target,
        }
    }
}

/// Whom a step asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nova or Neutron of the side on which it acts.
    Compute,
    Volume,
    /// The array of this side.
    Array(Side),
    /// Nobody whom others ask too.
    Nobody,
}

/// How long a step may take: by which option, or as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `manage_timeout`.
    Manage,
    /// Twice `stop_timeout`: once for the graceful stop, once for the hard one.
    Stop,
    /// `build_timeout`.
    Build,
    /// `replication_timeout`.
    Replication,
    /// `cleanup_timeout`.
    Cleanup,
    /// The member's own, else `probe_timeout`.
    Probe,
    /// What all tries of a hook may take together.
    Hook,
    /// It waits for people, or for a protector that holds still. By then copies run, and somebody may work on them: no time that
    /// passes is a reason to take them back.
    None,
}

/// How what a step has made is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo<'s> {
    /// It has made nothing.
    Nothing,
    /// The original is started again.
    StartOriginal(&'s ServerId),
    /// The source may write to its volume again.
    Unfence(&'s VolumeId),
    /// What was promoted is discarded on the array.
    DiscardPromoted(&'s VolumeId),
    /// The clone is discarded there.
    DiscardClone(&'s VolumeId),
    /// Cinder lets go of the import.
    Unmanage(&'s VolumeId),
    /// The ports are deleted.
    DeletePorts(&'s ServerId),
    /// The copy is deleted.
    DeleteCopy(&'s ServerId),
}

impl Step {
    pub fn row(&self) -> Row<'_> {
        use About::{FloatingIp, Group, Ports, Server, Volume};
        use Side::{Source, Target};
        match self {
            Self::CheckServer { server } => {
                on(Source, Server(server)).within(Limit::Manage, "check")
            }
            Self::CheckTarget => on(Target, Group).within(Limit::Manage, "check"),
            Self::StopServer { server } => on(Source, Server(server))
                .within(Limit::Stop, "Nova")
                .undone_by(Undo::StartOriginal(server)),
            // It asks the array that the group leaves, which may hang: not in the way of steps that a failover needs.
            Self::ProtectGroup | Self::ReplicateGroup => on(Source, Group)
                .asking(Asks::Array(Source))
                .within(Limit::Replication, "array"),
            Self::FenceVolume { volume } => on(Source, Volume(volume))
                .asking(Asks::Array(Source))
                .within(Limit::Replication, "array")
                .undone_by(Undo::Unfence(volume)),
            Self::PromoteVolume { volume } => on(Target, Volume(volume))
                .asking(Asks::Array(Target))
                .within(Limit::Replication, "array")
                .undone_by(Undo::DiscardPromoted(volume)),
            Self::ManageVolume { volume } => on(Target, Volume(volume))
                .asking(Asks::Volume)
                .within(Limit::Manage, "Cinder")
                .undone_by(Undo::Unmanage(volume)),
            Self::ReservePorts { server } | Self::CompletePorts { server } => {
                on(Target, Ports(server))
                    .within(Limit::Manage, "Neutron")
                    .undone_by(Undo::DeletePorts(server))
            }
            Self::RecreateServer { server } => on(Target, Server(server))
                .within(Limit::Build, "Nova")
                .undone_by(Undo::DeleteCopy(server)),
            Self::ConfirmServer { server } => {
                on(Target, Server(server)).within(Limit::Manage, "check")
            }
            Self::RestorePowerState { server } => {
                on(Target, Server(server)).within(Limit::Stop, "Nova")
            }
            Self::ProbeServer { server } => {
                on(Target, Server(server)).within(Limit::Probe, "probe")
            }
            Self::CallHook { .. } => on(Target, Group)
                .asking(Asks::Nobody)
                .within(Limit::Hook, "hook"),
            Self::Pause { .. } => on(Target, Group)
                .asking(Asks::Nobody)
                .within(Limit::None, "pause"),
            Self::SwitchPrimary | Self::SwitchRecovered | Self::AdmitRecovered => on(Target, Group)
                .asking(Asks::Nobody)
                .within(Limit::None, "protector"),
            Self::AssociateFloatingIps { server } => {
                on(Target, Server(server)).within(Limit::Manage, "Neutron")
            }
            Self::RestoreDeleteOnTermination { server } => {
                on(Target, Server(server)).within(Limit::Manage, "Nova")
            }
            Self::DeleteSourceServer { server } => on(Source, Server(server))
                .within(Limit::Cleanup, "Nova")
                .deleting(),
            Self::DeleteSourceVolume { volume } => on(Source, Volume(volume))
                .asking(Asks::Volume)
                .within(Limit::Cleanup, "Cinder")
                .deleting(),
            Self::ChooseRecoveryPoint => on(Target, Group)
                .asking(Asks::Array(Target))
                .within(Limit::Replication, "array"),
            Self::CloneVolume { volume } => on(Target, Volume(volume))
                .asking(Asks::Array(Target))
                .within(Limit::Replication, "array")
                .undone_by(Undo::DiscardClone(volume)),
            Self::CheckTargetAlone => on(Target, Group).within(Limit::Manage, "check"),
            Self::CountRecovered { server } => on(Target, Server(server))
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal"),
            Self::ConfirmRecovered => on(Target, Group)
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal"),
            Self::LeaveSourceServer { server } => on(Source, Server(server))
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal")
                .deleting(),
            Self::LeaveReplica { volume } => on(Source, Volume(volume))
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal"),
            Self::ResyncVolume { volume } => on(Source, Volume(volume))
                .asking(Asks::Array(Source))
                .within(Limit::Replication, "array"),
            Self::LeaveSourceVolume { volume } => on(Source, Volume(volume))
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal")
                .deleting(),
            Self::FenceServer { server } | Self::StartSourceServer { server } => {
                on(Source, Server(server)).within(Limit::Stop, "Nova")
            }
            Self::UnfenceVolume { volume } => on(Source, Volume(volume))
                .asking(Asks::Array(Source))
                .within(Limit::Replication, "array"),
            Self::FenceServerOnTarget { server } => {
                on(Target, Server(server)).within(Limit::Stop, "Nova")
            }
            Self::ConfirmFenced => on(Source, Group).within(Limit::Manage, "Nova"),
            Self::ConfirmStarted => on(Source, Group)
                .asking(Asks::Nobody)
                .within(Limit::Manage, "journal"),
            // As `ReplicateGroup`.
            Self::ReleaseReplicas => on(Target, Group)
                .asking(Asks::Array(Source))
                .within(Limit::Cleanup, "array"),
            Self::DeleteTestServer { server, .. } => on(Target, Server(server))
                .within(Limit::Cleanup, "Nova")
                .deleting(),
            Self::DeleteTestVolume { volume, .. } => on(Target, Volume(volume))
                .asking(Asks::Volume)
                .within(Limit::Cleanup, "Cinder")
                .deleting(),
            // Nothing is stopped for it, and a person may give the operation up.
            Self::CheckAtRest { server } => on(Source, Server(server)).within(Limit::None, "Nova"),
            Self::AdoptVolume { volume } => on(Target, Volume(volume))
                .asking(Asks::Volume)
                .within(Limit::Manage, "check"),
            Self::AdoptServer { server } => {
                on(Target, Server(server)).within(Limit::Manage, "check")
            }
            Self::ReleaseFloatingIp { server, .. } => on(Source, FloatingIp(server))
                .within(Limit::Cleanup, "Neutron")
                .deleting(),
            Self::TakeBack { line } => line.row(),
        }
    }

    /// Whether it takes something from the source that its taking back gives back there: nothing of the target is touched by that.
    pub fn takes_from_the_source(&self) -> bool {
        !matches!(self, Self::TakeBack { .. })
            && matches!(self.row().undo, Undo::StartOriginal(_) | Undo::Unfence(_))
    }

    /// The kind of the resource that the line is about; `None` for a line about the whole group.
    pub fn resource_kind(&self) -> Option<ResourceKind> {
        match self.row().about {
            About::Group => None,
            About::Server(_) => Some(ResourceKind::Server),
            About::Volume(_) => Some(ResourceKind::Volume),
            About::Ports(_) => Some(ResourceKind::Port),
            About::FloatingIp(_) => Some(ResourceKind::FloatingIp),
        }
    }

    /// Whether the line deletes a resource for good, or is to be followed by a deletion. What takes a line back deletes nothing
    /// that was there before.
    pub fn deletes(&self) -> bool {
        !matches!(self, Self::TakeBack { .. }) && self.row().deletes
    }

    /// The member that a line makes something of that can be taken back.
    pub fn member<'p>(&self, plan: &'p Plan) -> Option<&'p Member> {
        match self.row().undo {
            Undo::Nothing => None,
            Undo::StartOriginal(server) | Undo::DeletePorts(server) | Undo::DeleteCopy(server) => {
                plan.member_of_server(server.as_str())
            }
            Undo::Unfence(volume)
            | Undo::DiscardPromoted(volume)
            | Undo::DiscardClone(volume)
            | Undo::Unmanage(volume) => plan.volume(volume.as_str()).map(|(member, _)| member),
        }
    }

    /// The cloud and the project in which the line acts.
    pub fn scope<'p>(&self, plan: &'p Plan) -> &'p SiteScope {
        self.row().on.scope(plan)
    }
}

/// A row of a step that asks Nova or Neutron; what it waits for is still to be said.
fn on(on: Side, about: About<'_>) -> Row<'_> {
    Row {
        about,
        on,
        asks: Asks::Compute,
        limit: Limit::Manage,
        waits_for: "check",
        deletes: false,
        undo: Undo::Nothing,
    }
}

impl<'s> Row<'s> {
    fn asking(self, asks: Asks) -> Self {
        Self { asks, ..self }
    }

    fn within(self, limit: Limit, waits_for: &'static str) -> Self {
        Self {
            limit,
            waits_for,
            ..self
        }
    }

    fn deleting(self) -> Self {
        Self {
            deletes: true,
            ..self
        }
    }

    fn undone_by(self, undo: Undo<'s>) -> Self {
        Self { undo, ..self }
    }
}
