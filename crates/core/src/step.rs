//! What can stand in a runbook: a step, what its failure means, and how it is reported.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::{OperationId, ServerId, VolumeId};

/// What it means when a line of a phase finally fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Everything done so far is taken back, the last phase first; the operation ends `failed`, the world as before.
    Undoable,
    /// The failure is recorded in `steps_failed`; the member that the line belongs to is not recovered, and the operation
    /// goes on with the others. What was made for the member stays for a later try; it is taken back only when everything is.
    Member,
    /// The point of no return of a planned move. Its end is one write to the journal: until then, and if it fails, everything
    /// is taken back; from then on nothing is.
    Switch,
    /// Nothing is taken back any more; the operation ends `failed`.
    Forward,
    /// The failure is recorded in `steps_failed`; the operation goes on and completes.
    Attempt,
    /// Likewise, and nothing is left by it that a cleanup could remove. Unlike attempts, it takes its turn.
    Notice,
}

impl Verb {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Undoable,
        Self::Member,
        Self::Switch,
        Self::Forward,
        Self::Attempt,
        Self::Notice,
    ];

    /// The word kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undoable => "undoable",
            Self::Member => "member",
            Self::Switch => "switch",
            Self::Forward => "forward",
            Self::Attempt => "attempt",
            Self::Notice => "notice",
        }
    }
}

/// How a phase shows in `steps_completed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reported {
    /// Not there; `--detail` shows it.
    Never,
    /// Once, by the phase's name, when all its lines are done.
    ByPhase,
    /// Each line by its key.
    ByLine,
}

/// One line of a runbook. Stored as JSON with the operation, so a variant is a promise: variants are only added, and a
/// changed meaning is a new variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Step {
    /// Compare a member's server on the source with what the group knows of it.
    CheckServer {
        /// The server on the source.
        server: ServerId,
    },
    /// See that the target can take the group: mapped networks and flavors, the import host, volume type.
    CheckTarget,
    /// Shut a source server down: gracefully, then hard.
    StopServer {
        /// The server on the source.
        server: ServerId,
    },
    /// See that the arrays replicate the group's volumes, and that the target has a first full copy of each. It comes before
    /// anything is stopped: that copy may take days.
    ProtectGroup,
    /// Replicate the group's volumes one last time and remember the recovery point.
    ReplicateGroup,
    /// Keep everybody from writing to a volume of the source whose replica is to be promoted in place.
    FenceVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Make a replicated volume writable on the target's array.
    PromoteVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Take a promoted volume into the target's Cinder.
    ManageVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Make the ports of a member's copy with all the addresses that its server has, as far as they can be had.
    ReservePorts {
        /// The server on the source.
        server: ServerId,
    },
    /// Make those ports that could not have their addresses, with new ones.
    CompletePorts {
        /// The server on the source.
        server: ServerId,
    },
    /// Build a member's copy on the target from its imported volumes.
    RecreateServer {
        /// The server on the source.
        server: ServerId,
    },
    /// See that the copy runs with all its volumes attached.
    ConfirmServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Shut the copy of a server down again that was shut off itself.
    RestorePowerState {
        /// The server on the source.
        server: ServerId,
    },
    /// Ask the copy of a server whether it is up, as the recovery plan says.
    ProbeServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Tell somebody of the operation.
    CallHook {
        /// The hook's name in the recovery plan.
        hook: String,
    },
    /// Wait for a person.
    Pause {
        /// The pause's place in the recovery plan, from 0.
        number: u32,
    },
    /// Make the target the group's current primary.
    SwitchPrimary,
    /// Let the floating IPs that the recovery plan names lead to a member's copy. It comes after the switch: what they lead
    /// to until then may still be in use.
    AssociateFloatingIps {
        /// The server on the source.
        server: ServerId,
    },
    /// Have Nova delete those of a member's volumes with its server again that it had so on this site before a move took the
    /// member away. It comes after the switch: until then the copy may be taken back, and what was imported outlives it.
    RestoreDeleteOnTermination {
        /// The server on the source.
        server: ServerId,
    },
    /// Delete a server that the group left behind on the source.
    DeleteSourceServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Delete a volume that the group left behind on the source.
    DeleteSourceVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Choose the latest recovery point that the target's array has of the group.
    ChooseRecoveryPoint,
    /// Make a writable clone of a replicated volume, as of the chosen recovery point, on the target's array.
    CloneVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// See that the target can take the group while nothing is known of the source.
    CheckTargetAlone,
    /// Count a member as recovered: it is built, healthy, and answers its probe.
    CountRecovered {
        /// The server on the source.
        server: ServerId,
    },
    /// See that at least one member was recovered.
    ConfirmRecovered,
    /// Make the target the group's current primary, with the members that were recovered.
    SwitchRecovered,
    /// Take the members that a later try recovered into the group as it runs now.
    AdmitRecovered,
    /// Leave a server on a source that nothing is known of. It fails at once; a cleanup turns it into a deletion.
    LeaveSourceServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Leave a volume there, likewise.
    LeaveSourceVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Leave what a source that nothing is known of has of a mirrored volume, likewise; a cleanup turns it into a resync.
    LeaveReplica {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Make what a lost site, which is back, has of a volume the replica of what was promoted in its place.
    ResyncVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Stop a server that a move left on the source.
    FenceServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Stop a server that a move left on the target, beside the group that runs there.
    FenceServerOnTarget {
        /// The server on the target.
        server: ServerId,
    },
    /// See that each such server is stopped.
    ConfirmFenced,
    /// Let the arrays forget what they keep for this operation alone.
    ReleaseReplicas,
    /// Delete a test failover's copy of a server on the target.
    DeleteTestServer {
        /// The test failover that made the copy.
        test: OperationId,
        /// The server on the source.
        server: ServerId,
    },
    /// Delete a test failover's copy of a volume on the target.
    DeleteTestVolume {
        /// The test failover that made the copy.
        test: OperationId,
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Start a server again that a move stopped whose other site is lost.
    StartSourceServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Let the source write again to a volume that a move has fenced whose other site is lost.
    UnfenceVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// See that each such server is started.
    ConfirmStarted,
    /// See that the original of a copy that is to be adopted is at rest, and has been since the failed move stopped it.
    CheckAtRest {
        /// The server on the source.
        server: ServerId,
    },
    /// Find what a failed move has imported of a volume, in use by the copy of its member or by nothing.
    AdoptVolume {
        /// The volume on the source.
        volume: VolumeId,
    },
    /// Find the copy of a server that a failed move has built: it runs, and is the only one.
    AdoptServer {
        /// The server on the source.
        server: ServerId,
    },
    /// Release a floating IP that a server had which is deleted by now. A cleanup has it only where somebody asked for it.
    ReleaseFloatingIp {
        /// The server on the source.
        server: ServerId,
        address: IpAddr,
    },
    /// Take back a line of an operation that failed and could not take it back itself.
    TakeBack {
        /// The line, as the failed operation had it.
        line: Box<Step>,
    },
}
