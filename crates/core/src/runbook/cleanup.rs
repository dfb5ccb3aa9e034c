//! The runbook of a manual cleanup: the lines that an ended operation left undone.

use std::collections::BTreeMap;

use super::{Reported, Step, Verb};
use crate::operation::{Memo, OperationRecord, StepProgress, StepRecord, StepState};

/// The prefix of a line that takes another one back, in keys and in `steps_failed`.
pub const UNDO: &str = "undo:";

/// The lines with which `parent` can be cleaned up: each that failed, could not be taken back, or was retained by
/// configuration. Empty when nothing is left.
///
/// Keys are the parent's, so that the end of a line here is written to the parent's line too.
pub fn cleanup_of(parent: &OperationRecord) -> Vec<StepRecord> {
    let mut left: Vec<&StepRecord> = parent.steps.iter().filter(|step| is_left(step)).collect();
    // What was made last is taken back first. Taking back and deleting never meet: one is before the switch, one after.
    left.sort_by_key(|step| {
        (
            is_undo(step),
            if is_undo(step) {
                u32::MAX - step.position
            } else {
                step.position
            },
        )
    });
    let places: BTreeMap<u32, u32> = left
        .iter()
        .zip(0_u32..)
        .map(|(step, place)| (step.position, place))
        .collect();
    left.iter()
        .zip(0_u32..)
        .map(|(step, position)| {
            let after = waits_for(step, &left, parent)
                .filter_map(|position| places.get(&position).copied())
                .collect();
            again(step, position, after)
        })
        .collect()
}

fn is_undo(step: &StepRecord) -> bool {
    step.progress.state == StepState::UndoFailed
}

/// The parent's lines that must have ended before `step` is looked at again: those it waited for then, or, where it is
/// taken back, those that stand on what it made.
fn waits_for<'a>(
    step: &'a StepRecord,
    left: &'a [&StepRecord],
    parent: &'a OperationRecord,
) -> impl Iterator<Item = u32> + 'a {
    let undo = is_undo(step);
    let then = step.after.iter().copied().filter(move |_| !undo);
    let upon = left
        .iter()
        .filter(move |other| {
            undo && is_undo(other) && other.action.stands_on(&step.action, &parent.operation.plan)
        })
        .map(|other| other.position);
    then.chain(upon)
}

/// Whether `step` left something behind that a cleanup can remove.
pub fn is_left(step: &StepRecord) -> bool {
    match step.progress.state {
        StepState::UndoFailed => true,
        StepState::Failed | StepState::Skipped => step.verb == Verb::Attempt,
        _ => false,
    }
}

fn again(step: &StepRecord, position: u32, after: Vec<u32>) -> StepRecord {
    let undo = is_undo(step);
    // Taking back needs to know what was made. A deletion looks afresh: what was asked before is over.
    let memo = if undo {
        step.progress.memo.clone()
    } else {
        Memo::default()
    };
    let progress = StepProgress {
        memo,
        ..StepProgress::default()
    };
    StepRecord {
        position,
        phase: 0,
        phase_name: step.phase_name.clone(),
        verb: Verb::Attempt,
        reported: Reported::ByLine,
        key: if undo {
            format!("{UNDO}{}", step.key)
        } else {
            step.key.clone()
        },
        action: if undo {
            Step::TakeBack {
                line: Box::new(step.action.clone()),
            }
        } else {
            step.action.clone()
        },
        resource_id: step.resource_id.clone(),
        after,
        progress,
    }
}
