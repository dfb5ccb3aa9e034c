//! A runbook: the lines of an operation, in phases, each with what its failure means.
//!
//! Phases run in order; the lines of a phase run side by side. The builder refuses an undoable phase after the switch
//! or a forward one, so the point of no return is single and visible.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    id::{OperationId, ServerId, VolumeId},
    operation::{OperationRecord, StepProgress, StepRecord},
    plan::Plan,
};

pub mod abort;
pub mod adopt;
pub mod cleanup;
pub mod failover;
pub mod fence;
pub mod given_up;
mod in_order;
mod lines;
pub mod replicate;
pub mod resource;
pub mod retry;
pub mod table;
pub mod test_cleanup;
pub mod test_failover;
pub mod unplanned_failover;
pub mod waited;

/// The version of the set of steps that this build knows, and of what they mean. An engine leaves operations with a newer
/// one alone.
pub const BOOK_VERSION: u32 = 12;

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
    /// Replicate the group's volumes one last time and remember the recovery point.
    ReplicateGroup,
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
    /// Take back a line of an operation that failed and could not take it back itself.
    TakeBack {
        /// The line, as the failed operation had it.
        line: Box<Step>,
    },
}

impl Step {
    /// Whether what this line made stands on what `earlier` made, so that `earlier` must not be taken back while this
    /// one has not been: a server in the way of its original, a volume that a server uses, bytes behind a volume.
    pub fn stands_on(&self, earlier: &Self, plan: &Plan) -> bool {
        match (self, earlier) {
            (
                Self::RecreateServer { server: copy },
                Self::StopServer { server }
                | Self::ReservePorts { server }
                | Self::CompletePorts { server },
            ) => copy == server,
            (Self::RecreateServer { server }, Self::ManageVolume { volume }) => plan
                .volume(volume.as_str())
                .is_some_and(|(member, _)| member.server_id == *server),
            (
                Self::ManageVolume { volume: imported },
                Self::PromoteVolume { volume } | Self::CloneVolume { volume },
            ) => imported == volume,
            _ => false,
        }
    }
}

/// Whether what `upper` made stands on what `below` made, both lines of `record`: as [`Step::stands_on`] says, or because
/// the record leaves open whether a copy of a server runs.
///
/// A build that nobody answered may be under way without a server to be seen. Then a volume that cannot be let go of may be
/// what the copy runs on, and its original must not be started beside it.
pub fn stands_on(upper: &StepRecord, below: &StepRecord, record: &OperationRecord) -> bool {
    let plan = &record.operation.plan;
    let may_carry_a_copy = || match (&upper.action, &below.action) {
        (Step::ManageVolume { volume }, Step::StopServer { server }) => {
            plan.volume(volume.as_str())
                .is_some_and(|(member, _)| member.server_id == *server)
                && is_build_unanswered(server, record)
        }
        _ => false,
    };
    upper.action.stands_on(&below.action, plan) || may_carry_a_copy()
}

fn is_build_unanswered(server: &ServerId, record: &OperationRecord) -> bool {
    record.steps.iter().any(|step| {
        matches!(&step.action, Step::RecreateServer { server: built } if built == server)
            && step.progress.memo.unanswered_at.is_some()
    })
}

/// A phase under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    name: &'static str,
    verb: Verb,
    reported: Reported,
    lines: Vec<Line>,
}

/// A line under construction: what it does and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What to do.
    pub action: Step,
    /// The resource's name; empty where it has none.
    pub name: String,
    /// The resource's id; `None` for a line about the whole group.
    pub resource_id: Option<String>,
    /// Actions, earlier in the book, that must have ended before this line begins.
    pub after: Vec<Step>,
}

/// A runbook under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runbook {
    phases: Vec<Phase>,
}

/// A runbook that breaks its own rules: a defect of protector, found when it is built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// A phase that could be taken back after one that cannot.
    #[error("phase {0} is undoable but comes after the point of no return")]
    UndoableAfterForward(&'static str),
    /// A line waits for one that is not before it.
    #[error("line {0} waits for a line that does not come before it")]
    WaitsForLater(String),
}

impl Runbook {
    /// Adds a phase; an empty one is left out.
    #[must_use]
    pub fn phase(
        mut self,
        name: &'static str,
        verb: Verb,
        reported: Reported,
        lines: impl IntoIterator<Item = Line>,
    ) -> Self {
        let lines: Vec<Line> = lines.into_iter().collect();
        if !lines.is_empty() {
            self.phases.push(Phase {
                name,
                verb,
                reported,
                lines,
            });
        }
        self
    }

    fn has_phase(&self, name: &str) -> bool {
        self.phases.iter().any(|phase| phase.name == name)
    }

    /// Turns the book into the rows that are stored, with unique keys: the resource's name, or its id where it has
    /// none or the name is not unique in the phase (docs/adr/0022).
    pub fn into_steps(self) -> Result<Vec<StepRecord>, BookError> {
        refuse_undoable_after_forward(&self.phases)?;
        let mut steps: Vec<StepRecord> = Vec::new();
        let mut positions: BTreeMap<String, u32> = BTreeMap::new();
        let twice = names_used_twice(&self.phases);
        for (number, phase) in (0_u32..).zip(self.phases) {
            for line in phase.lines {
                let position = u32::try_from(steps.len()).unwrap_or(u32::MAX);
                let key = key_of(phase.name, &line, &twice);
                let after = line
                    .after
                    .iter()
                    .map(|action| positions.get(&identity(action)).copied())
                    .collect::<Option<Vec<u32>>>()
                    .ok_or_else(|| BookError::WaitsForLater(key.clone()))?;
                positions.insert(identity(&line.action), position);
                steps.push(StepRecord {
                    position,
                    phase: number,
                    phase_name: phase.name.to_owned(),
                    verb: phase.verb,
                    reported: phase.reported,
                    key,
                    action: line.action,
                    resource_id: line.resource_id,
                    after,
                    progress: StepProgress::default(),
                });
            }
        }
        Ok(steps)
    }
}

fn refuse_undoable_after_forward(phases: &[Phase]) -> Result<(), BookError> {
    let pivot = phases
        .iter()
        .position(|phase| matches!(phase.verb, Verb::Switch | Verb::Forward));
    let behind = pivot.map_or(phases.len(), |pivot| pivot + 1);
    let late = phases
        .iter()
        .skip(behind)
        .find(|phase| matches!(phase.verb, Verb::Undoable | Verb::Member | Verb::Switch));
    late.map_or(Ok(()), |phase| {
        Err(BookError::UndoableAfterForward(phase.name))
    })
}

/// Names that more than one line of phases with one name has; a recovery plan splits phases.
fn names_used_twice(phases: &[Phase]) -> BTreeSet<(&'static str, String)> {
    let mut seen = BTreeSet::new();
    phases
        .iter()
        .flat_map(|phase| {
            phase
                .lines
                .iter()
                .map(|line| (phase.name, line.name.clone()))
        })
        .filter(|name| !seen.insert(name.clone()))
        .collect()
}

fn key_of(phase: &'static str, line: &Line, twice: &BTreeSet<(&'static str, String)>) -> String {
    let is_twice = twice.contains(&(phase, line.name.clone()));
    match &line.resource_id {
        None if line.name.is_empty() => phase.to_owned(),
        None => format!("{phase}:{}", line.name),
        Some(id) if line.name.is_empty() || is_twice => format!("{phase}:{id}"),
        Some(_) => format!("{phase}:{}", line.name),
    }
}

fn identity(action: &Step) -> String {
    format!("{action:?}")
}
