//! An operation as it is shown without its lines: how far it is, what it has done, and what it has left.
//!
//! A record is far larger than that: its plan holds all facts of its VMs, each line what it did and remembers. A list reads
//! only what is here of each operation, and one that is shown alone is shown from the outline of its record, so that both say
//! the same.

use crate::{
    id::OperationId,
    leftover::left_among,
    operation::{
        MapKind, Operation, OperationRecord, OperationState, ResourceMap, StepInProgress,
        StepRecord, StepState,
    },
    plan::Plan,
    recovery_plan::Pause,
    runbook::{Reported, Step, Verb, given_up::is_undone_for_member},
};

/// The words of the actions of lines of which more is shown than [`StepOutline`] has, in whatever state they are. A database
/// finds the lines by them.
pub const TELLING_ACTIONS: [&str; 3] = ["stop_server", "recreate_server", "pause"];

/// The states in which more is shown of any line.
pub const TELLING_STATES: [StepState; 2] = [StepState::Failed, StepState::UndoFailed];

/// The kinds of entries of an operation's map that are shown.
pub const SHOWN_KINDS: [MapKind; 4] = [
    MapKind::RecoveryPoint,
    MapKind::RecoveryPointTime,
    MapKind::Resumed,
    MapKind::Aborted,
];

/// An operation without what is not shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationOutline {
    pub operation: Operation<PlanOutline>,
    /// All its lines, by position.
    pub lines: Vec<StepOutline>,
    /// Those of which more is shown, whole, by position: what failed, and what tells of an outage or of a pause.
    pub telling: Vec<StepRecord>,
    /// The entries of its map of [`SHOWN_KINDS`].
    pub map: ResourceMap,
    /// The pauses of its plan, where a line may wait at one; else none.
    pub pauses: Vec<Pause>,
}

/// What is shown of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOutline {
    pub group_name: String,
    /// The failed move with whose copies the operation goes forward.
    pub adopts: Option<OperationId>,
}

/// What is shown of most lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutline {
    /// The name of its phase.
    pub phase_name: String,
    /// What a failure of it means.
    pub verb: Verb,
    /// How its phase shows in `steps_completed`.
    pub reported: Reported,
    pub key: String,
    pub state: StepState,
}

impl StepInProgress for StepOutline {
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
        self.state
    }
}

impl From<&StepRecord> for StepOutline {
    fn from(step: &StepRecord) -> Self {
        Self {
            phase_name: step.phase_name.clone(),
            verb: step.verb,
            reported: step.reported,
            key: step.key.clone(),
            state: step.progress.state,
        }
    }
}

impl From<&Plan> for PlanOutline {
    fn from(plan: &Plan) -> Self {
        Self {
            group_name: plan.group_name.clone(),
            adopts: plan.adopts.clone(),
        }
    }
}

impl From<&OperationRecord> for OperationOutline {
    fn from(record: &OperationRecord) -> Self {
        let shown = record
            .map
            .iter()
            .filter(|(kind, ..)| SHOWN_KINDS.contains(kind));
        let telling = record.steps.iter().filter(|step| tells_more(step));
        let mut outline = Self {
            operation: without_plan(&record.operation),
            lines: record.steps.iter().map(StepOutline::from).collect(),
            telling: telling.cloned().collect(),
            map: ResourceMap::default(),
            pauses: Vec::new(),
        };
        for (kind, source, target) in shown {
            outline.map.insert(kind, source, target);
        }
        if outline.waits_at_a_pause() {
            outline.pauses = record.operation.plan.recovery.pauses.clone();
        }
        outline
    }
}

impl OperationOutline {
    /// How many lines have left something that a cleanup can remove. [`Self::may_give_members_up`] tells whether there may be
    /// more by what has become of the group since.
    pub fn leftover_count(&self) -> usize {
        left_among(&self.operation, &self.lines)
    }

    /// Whether [`may_give_members_up`](crate::runbook::given_up::may_give_members_up) is to be asked of the whole record: of
    /// a member that was not recovered there is a line that was not done.
    pub fn may_give_members_up(&self) -> bool {
        self.operation.state == OperationState::Completed
            && self.operation.is_unplanned()
            && self.lines.iter().any(is_undone_for_member)
    }

    /// Who has asked that the operation be given up.
    pub fn aborted_by(&self) -> Option<&str> {
        self.map
            .target(MapKind::Aborted, self.operation.id.as_str())
    }

    /// Whether a line of it is a pause that was reached, whether or not somebody has let it go on since.
    pub fn waits_at_a_pause(&self) -> bool {
        self.telling.iter().any(is_begun_pause)
    }
}

/// Whether more is shown of `step` than its outline.
pub fn tells_more(step: &StepRecord) -> bool {
    let always = matches!(
        step.action,
        Step::StopServer { .. } | Step::RecreateServer { .. }
    );
    always || is_begun_pause(step) || TELLING_STATES.contains(&step.progress.state)
}

fn is_begun_pause(step: &StepRecord) -> bool {
    matches!(step.action, Step::Pause { .. }) && step.progress.state == StepState::Running
}

fn without_plan(operation: &Operation) -> Operation<PlanOutline> {
    Operation {
        id: operation.id.clone(),
        kind: operation.kind,
        planning: operation.planning,
        group_id: operation.group_id.clone(),
        project_id: operation.project_id.clone(),
        user_id: operation.user_id.clone(),
        source_site: operation.source_site.clone(),
        target_site: operation.target_site.clone(),
        parent_id: operation.parent_id.clone(),
        plan: PlanOutline::from(&operation.plan),
        state: operation.state,
        book_version: operation.book_version,
        request_id: operation.request_id.clone(),
        global_request_id: operation.global_request_id.clone(),
        error: operation.error.clone(),
        error_code: operation.error_code,
        created_at: operation.created_at,
        started_at: operation.started_at,
        finished_at: operation.finished_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal_conformance::operation;

    /// By these words a database finds what [`tells_more`] asks for.
    #[test]
    fn the_actions_that_tell_more_have_the_words_that_are_stored() {
        let mut step = operation(1).steps.remove(0);
        let actions = [
            Step::StopServer { server: "a".into() },
            Step::RecreateServer { server: "a".into() },
            Step::Pause { number: 0 },
        ];
        for (action, word) in actions.into_iter().zip(TELLING_ACTIONS) {
            let stored = serde_json::to_value(&action).unwrap();
            assert_eq!(stored["action"], word);
            step.action = action;
            step.progress.state = StepState::Running;
            assert!(tells_more(&step), "{word}");
        }
    }
}
