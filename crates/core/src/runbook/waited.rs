//! Whether copies ran while their operation waited: whoever waits for a person, or for hours, has copies that serve meanwhile.

use chrono::TimeDelta;

use super::Step;
use crate::operation::{OperationKind, OperationRecord, StepRecord};

/// A switch that has waited for longer than this has let its copies serve.
const SERVES_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Whether what `step` of `record` has made may have been used by people before it is taken back: the copy that it belongs to
/// was up when the operation came to a pause, had told somebody with a hook, or waited at its switch.
///
/// Not in an operation that somebody gives up: he has been told what is discarded then. Nor in a test, whose copies are
/// nobody's work.
pub fn served_while_it_waited(record: &OperationRecord, step: &StepRecord) -> bool {
    let operation = &record.operation;
    if operation.kind == OperationKind::TestFailover || record.aborted_by().is_some() {
        return false;
    }
    let Some(member) = step.action.member(&operation.plan) else {
        return false;
    };
    let mut builds = record.steps.iter().filter(|line| {
        matches!(&line.action, Step::RecreateServer { server } if *server == member.server_id)
    });
    // What is behind a phase has begun when all of that phase was up.
    builds.any(|build| {
        let mut later = record.steps.iter().filter(|line| line.phase > build.phase);
        later.any(has_waited)
    })
}

/// Whether a line has let time pass in which people may have gone to work.
fn has_waited(line: &StepRecord) -> bool {
    let progress = &line.progress;
    let Some(begun) = progress.started_at else {
        return false;
    };
    match line.action {
        Step::Pause { .. } => true,
        Step::CallHook { .. } => progress.error.is_none(),
        Step::SwitchPrimary => progress
            .finished_at
            .is_some_and(|ended| ended - begun > SERVES_AFTER),
        _ => false,
    }
}
