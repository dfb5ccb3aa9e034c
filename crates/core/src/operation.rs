//! An operation: one run of a runbook for one protection group, and the durable record of each of its lines.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    fault::Code,
    id::{GroupId, OperationId, ProjectId, SiteName, UserId},
    plan::Plan,
    step::{Reported, Step, Verb},
};

pub use crate::{
    operation_kind::{OperationKind, Planning},
    resource_map::{MapKind, Mapped, ResourceMap},
};

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Waits for an engine.
    Queued,
    /// Its lines are carried out.
    Running,
    /// A line failed before the point of no return: everything done so far is taken back.
    Unwinding,
    /// A test failover whose copies are up: nothing is left to do until a test cleanup removes them and completes it.
    /// No engine walks it and it holds no lock, so that a real failover stays possible.
    AwaitingCleanup,
    /// Ended, its purpose reached.
    Completed,
    /// Ended, its purpose not reached.
    Failed,
}

impl OperationState {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Unwinding,
        Self::AwaitingCleanup,
        Self::Completed,
        Self::Failed,
    ];

    /// The word kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::AwaitingCleanup => "awaiting_cleanup",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// The contract's word for it, as the API shows it: `running`, `completed`, `failed`.
    ///
    /// An operation is `running` from the moment it is accepted (contract, Example 4): its locks are taken and nothing
    /// but an engine's time is missing. `phase` tells the two apart.
    pub fn status(self) -> &'static str {
        match self {
            Self::Queued | Self::Running | Self::Unwinding | Self::AwaitingCleanup => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will happen to the operation any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The states in which an engine has something to do.
    pub const WALKED: [Self; 3] = [Self::Queued, Self::Running, Self::Unwinding];

    /// Whether an engine has something to do.
    pub fn is_walked(self) -> bool {
        Self::WALKED.contains(&self)
    }
}

/// An operation, without its lines. `P` is what is known of its plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation<P = Plan> {
    /// `op-` and a UUID.
    pub id: OperationId,
    pub kind: OperationKind,
    /// Whether its source takes part.
    #[serde(default)]
    pub planning: Planning,
    /// The group it is about.
    pub group_id: GroupId,
    /// The tenant's project on the site that holds this record.
    pub project_id: ProjectId,
    /// Who asked for it.
    pub user_id: UserId,
    /// The site that the group leaves, or whose leftovers are removed.
    pub source_site: SiteName,
    /// The site that the group goes to.
    pub target_site: SiteName,
    /// The operation whose leftovers this one removes.
    pub parent_id: Option<OperationId>,
    /// All facts that its steps need, frozen when it was asked for.
    pub plan: P,
    pub state: OperationState,
    /// The oldest engine's book version that may walk it.
    pub book_version: u32,
    /// The request that made it.
    pub request_id: String,
    /// The caller's own request id, sent on to the clouds.
    pub global_request_id: Option<String>,
    pub error: Option<String>,
    /// The kind of that failure.
    pub error_code: Option<Code>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When an engine began with it.
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl<P> Operation<P> {
    /// Whether it moves a group whose source is lost, to either site: back to the primary one it is of kind
    /// [`OperationKind::Failback`].
    pub fn is_unplanned(&self) -> bool {
        self.planning == Planning::Unplanned
    }

    /// Whether its lines say the same of its planning: an unplanned move is one that switches to what was recovered.
    pub fn is_planned_as(&self, steps: &[StepRecord]) -> bool {
        let is_move = self.kind.is_a_move();
        let to_recovered = |step: &StepRecord| step.action == Step::SwitchRecovered;
        !is_move || self.is_unplanned() == steps.iter().any(to_recovered)
    }
}

/// Where one line of a runbook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Pending,
    /// Begun; it may or may not have reached the cloud.
    Running,
    /// Its purpose is reached.
    Done,
    /// It ended without reaching its purpose.
    Failed,
    /// Left out on purpose, with the reason in `error`.
    Skipped,
    Undoing,
    Undone,
    /// Could not be taken back; something may be left.
    UndoFailed,
}

impl StepState {
    /// All of them, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Skipped,
        Self::Undoing,
        Self::Undone,
        Self::UndoFailed,
    ];

    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::UndoFailed => "undo_failed",
        }
    }

    /// Whether the line's forward part has ended, well or badly.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// What a step remembers from one call to the next, over crashes and changes of engine. Stored as one flat object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// How often the intent to change the world was written down, each time right before the call.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub intents: u32,
    /// The same for taking the step back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub undo_intents: u32,
    /// When the step last asked for something and got no answer that says what became of it. It may have been carried out,
    /// or still be, and cannot be seen until it has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_at: Option<DateTime<Utc>>,
    /// The number of the try in which the cloud accepted a deletion. Not the same as an intent: after a crash between
    /// the two, nobody knows whether it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_in_try: Option<u32>,
    /// When the deletion of what the step made was last asked for, while it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_asked_at: Option<DateTime<Utc>>,
    /// The id of what the step made or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// Whether `made` was made by an interrupted operation before this one. Somebody may use it by now, so it is never
    /// taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub adopted: bool,
    /// Whether what the step has made may have been in use: it was there when the failed operation that made it had ended,
    /// or while that waited for people. Noted when it is taken back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outlived: bool,
    #[serde(flatten)]
    pub seen: SeenByStep,
    #[serde(flatten)]
    pub since: WaitedSince,
    #[serde(flatten)]
    pub ports: PortDeletions,
    /// Facts that made the step safe, or that explain its end, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// Request ids that the clouds gave to the calls that changed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request_ids: Vec<String>,
}

/// How a step saw the resource that it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenByStep {
    /// How it was before the step touched it, where taking it back needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The compute host that the server was last seen on; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The last status word that the cloud reported for it before the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
}

/// Since when something that a step waits with, or for, has been so without a break.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitedSince {
    /// The resource has been seen healthy.
    #[serde(
        default,
        rename = "healthy_since",
        skip_serializing_if = "Option::is_none"
    )]
    pub healthy: Option<DateTime<Utc>>,
    /// A site that the step asks has not answered.
    #[serde(
        default,
        rename = "silent_since",
        skip_serializing_if = "Option::is_none"
    )]
    pub silent: Option<DateTime<Utc>>,
    /// A cloud that answers does not let the service user in.
    #[serde(
        default,
        rename = "locked_out_since",
        skip_serializing_if = "Option::is_none"
    )]
    pub locked_out: Option<DateTime<Utc>>,
    /// Such a site has answered, and has not said what it was asked.
    #[serde(
        default,
        rename = "untold_since",
        skip_serializing_if = "Option::is_none"
    )]
    pub untold: Option<DateTime<Utc>>,
}

/// The ports that a step deletes beside what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortDeletions {
    /// Those whose deletion was asked for; one whose deletion was refused is not among them.
    #[serde(
        default,
        rename = "deleted_ports",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub deleted: Vec<String>,
    /// Those of them of which nobody knows yet whether they are gone: the answer is not there, or was lost.
    #[serde(
        default,
        rename = "unanswered_ports",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub unanswered: Vec<String>,
}

impl Memo {
    /// Whether the step has made something, or may have: it asked for it, or it knows it.
    pub fn has_made_something(&self) -> bool {
        self.intents > 0 || self.made.is_some()
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands the field by reference"
)]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands the field by reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// The part of a line that changes while an operation runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProgress {
    pub state: StepState,
    /// How many tries to change the world have failed in a way that may pass, forward or (while undoing) backward. A
    /// look that failed before anything was asked for is no try.
    pub failed_tries: u32,
    /// Not before this time is it looked at again.
    pub wake_at: Option<DateTime<Utc>>,
    /// What it waits for, in words.
    pub note: Option<String>,
    pub memo: Memo,
    /// Why it failed or was left out; while it runs forward, why its last try or look failed, if one did.
    pub error: Option<String>,
    /// The kind of that failure.
    pub error_code: Option<Code>,
    /// When it was begun.
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When taking it back was begun.
    pub undo_started_at: Option<DateTime<Utc>>,
}

impl Default for StepProgress {
    fn default() -> Self {
        Self {
            state: StepState::Pending,
            failed_tries: 0,
            wake_at: None,
            note: None,
            memo: Memo::default(),
            error: None,
            error_code: None,
            started_at: None,
            finished_at: None,
            undo_started_at: None,
        }
    }
}

/// One line of an operation: what to do, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its place in the runbook, from 0.
    pub position: u32,
    /// The phase it belongs to, from 0. Phases run in order, the lines of a phase side by side.
    pub phase: u32,
    /// The phase's name, `promote_volumes`.
    pub phase_name: String,
    /// What a failure of this line means.
    pub verb: Verb,
    /// How the phase shows in `steps_completed`.
    pub reported: Reported,
    /// `delete_source_volume:vol-data-ws1`; unique in the operation.
    pub key: String,
    pub action: Step,
    /// The id of the resource that the line is about, as `steps_failed` shows it.
    pub resource_id: Option<String>,
    /// Positions of the lines that must have ended before this one begins, beside its phase's turn.
    pub after: Vec<u32>,
    /// How far it is.
    pub progress: StepProgress,
}

/// What of a line tells how far its operation is, and what it has left: all that most lines show without `--detail`.
pub trait StepInProgress {
    /// The name of its phase.
    fn phase_name(&self) -> &str;
    /// What a failure of it means.
    fn verb(&self) -> Verb;
    /// How its phase shows in `steps_completed`.
    fn reported(&self) -> Reported;
    /// Its key.
    fn key(&self) -> &str;
    /// Where it is.
    fn state(&self) -> StepState;
}

impl<L: StepInProgress> StepInProgress for &L {
    fn phase_name(&self) -> &str {
        (**self).phase_name()
    }

    fn verb(&self) -> Verb {
        (**self).verb()
    }

    fn reported(&self) -> Reported {
        (**self).reported()
    }

    fn key(&self) -> &str {
        (**self).key()
    }

    fn state(&self) -> StepState {
        (**self).state()
    }
}

impl StepInProgress for StepRecord {
    fn phase_name(&self) -> &str {
        &self.phase_name
    }

    fn verb(&self) -> Verb {
        self.verb
    }

    fn reported(&self) -> Reported {
        self.reported
    }

    fn key(&self) -> &str {
        &self.key
    }

    fn state(&self) -> StepState {
        self.progress.state
    }
}

/// Why a running operation is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It is not wanted any more: all that it has done is taken back.
    Unwanted,
    /// The site where it goes is lost, says who asked: what does not answer there is left.
    TargetIsLost,
}

impl GivenUp {
    /// What is noted of the operation, with the user who asked.
    pub fn noted(self) -> &'static [MapKind] {
        match self {
            Self::Unwanted => &[MapKind::Aborted],
            Self::TargetIsLost => &[MapKind::Aborted, MapKind::TargetIsLost],
        }
    }
}

/// An operation with all that is recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    pub operation: Operation,
    /// Its lines, by position.
    pub steps: Vec<StepRecord>,
    pub map: ResourceMap,
}

impl OperationRecord {
    /// Who has asked that the operation be given up.
    pub fn aborted_by(&self) -> Option<&str> {
        self.map
            .target(MapKind::Aborted, self.operation.id.as_str())
    }
}

/// One entry of `steps_failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStep {
    /// The line's key, `delete_source_volume:vol-data-ws1`.
    pub step: String,
    /// Why, with the cloud's own words.
    pub error: String,
    /// The resource's id on its cloud.
    pub resource_id: Option<String>,
}

/// Percent of the lines that have ended: 0 until an engine begins, 100 only when the operation has ended.
pub fn progress(state: OperationState, steps: &[impl StepInProgress]) -> u8 {
    if state == OperationState::Queued {
        return 0;
    }
    if state.is_terminal() {
        return 100;
    }
    let ended = steps.iter().filter(|step| step.state().has_ended()).count();
    let percent = (ended * 100).checked_div(steps.len()).unwrap_or(0).min(99);
    u8::try_from(percent).unwrap_or(99)
}

/// `steps_completed` as the contract prints it: a phase before cleanup once, by its name, when all of it is done, also where
/// a recovery plan has split it; cleanup line by line.
pub fn steps_completed(steps: &[impl StepInProgress]) -> Vec<String> {
    let unfinished: BTreeSet<&str> = steps
        .iter()
        .filter(|step| step.state() != StepState::Done)
        .map(StepInProgress::phase_name)
        .collect();
    let mut completed = Vec::new();
    for step in steps {
        match step.reported() {
            Reported::Never => {}
            Reported::ByLine => {
                if step.state() == StepState::Done {
                    completed.push(step.key().to_owned());
                }
            }
            Reported::ByPhase => {
                let name = step.phase_name();
                let ended = !unfinished.contains(name);
                if ended && !completed.iter().any(|shown| shown == name) {
                    completed.push(name.to_owned());
                }
            }
        }
    }
    completed
}

/// `steps_failed` as the contract prints it, in the order of the runbook.
pub fn steps_failed(steps: &[StepRecord]) -> Vec<FailedStep> {
    steps
        .iter()
        .filter(|step| {
            matches!(
                step.progress.state,
                StepState::Failed | StepState::UndoFailed
            )
        })
        .map(|step| FailedStep {
            step: match step.progress.state {
                StepState::UndoFailed => format!("undo:{}", step.key),
                _ => step.key.clone(),
            },
            error: step.progress.error.clone().unwrap_or_default(),
            resource_id: step
                .progress
                .memo
                .made
                .clone()
                .filter(|_| step.progress.state == StepState::UndoFailed)
                .or_else(|| step.resource_id.clone()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_states_has_each_of_them_in_its_place() {
        let place = |state| match state {
            OperationState::Queued => 0,
            OperationState::Running => 1,
            OperationState::Unwinding => 2,
            OperationState::AwaitingCleanup => 3,
            OperationState::Completed => 4,
            OperationState::Failed => 5,
        };
        let places: Vec<usize> = OperationState::ALL.into_iter().map(place).collect();
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    }
}
