//! A runbook: the lines of an operation, in phases, each with what its failure means.
//!
//! Phases run in order; the lines of a phase run side by side. The builder refuses an undoable phase after the switch
//! or a forward one, so the point of no return is single and visible.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::ServerId,
    operation::{OperationRecord, StepProgress, StepRecord},
    plan::Plan,
};

pub use crate::step::{Reported, Step, Verb};

pub mod abort;
pub mod adopt;
pub mod cleanup;
pub mod failover;
pub mod fence;
pub mod given_up;
mod in_order;
pub mod replicate;
pub mod resource;
pub mod retry;
mod shared_steps;
pub mod table;
pub mod test_cleanup;
pub mod test_failover;
pub mod unplanned_failover;
pub mod waited;

/// The version of the set of steps that this build knows, and of what they mean. An engine leaves operations with a newer
/// one alone.
pub const BOOK_VERSION: u32 = 12;

/// Whether what `upper` made stands on what `below` made, so that `below` must not be taken back while `upper` has not been: a
/// server in the way of its original, a volume that a server uses, bytes behind a volume.
fn made_on(upper: &Step, below: &Step, plan: &Plan) -> bool {
    match (upper, below) {
        (
            Step::RecreateServer { server: copy },
            Step::StopServer { server }
            | Step::ReservePorts { server }
            | Step::CompletePorts { server },
        ) => copy == server,
        (Step::RecreateServer { server }, Step::ManageVolume { volume }) => plan
            .volume(volume.as_str())
            .is_some_and(|(member, _)| member.server_id == *server),
        (
            Step::ManageVolume { volume: imported },
            Step::PromoteVolume { volume } | Step::CloneVolume { volume },
        ) => imported == volume,
        (Step::PromoteVolume { volume: promoted }, Step::FenceVolume { volume }) => {
            promoted == volume
        }
        (Step::FenceVolume { volume }, Step::StopServer { server }) => plan
            .volume(volume.as_str())
            .is_some_and(|(member, _)| member.server_id == *server),
        _ => false,
    }
}

/// Whether what `upper` made stands on what `below` made, both lines of `record`: as `made_on` says, or because
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
    made_on(&upper.action, &below.action, plan) || may_carry_a_copy()
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
    lines: Vec<NewStep>,
}

/// A line under construction: what it does and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStep {
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
        lines: impl IntoIterator<Item = NewStep>,
    ) -> Self {
        let lines: Vec<NewStep> = lines.into_iter().collect();
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

fn key_of(phase: &'static str, line: &NewStep, twice: &BTreeSet<(&'static str, String)>) -> String {
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
