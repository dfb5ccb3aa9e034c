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
    let left: Vec<&StepRecord> = parent.steps.iter().filter(|step| is_left(step)).collect();
    let places: BTreeMap<u32, u32> = left
        .iter()
        .zip(0_u32..)
        .map(|(step, place)| (step.position, place))
        .collect();
    left.into_iter()
        .zip(0_u32..)
        .map(|(step, position)| again(step, position, &places))
        .collect()
}

/// Whether `step` left something behind that a cleanup can remove.
pub fn is_left(step: &StepRecord) -> bool {
    match step.progress.state {
        StepState::UndoFailed => true,
        StepState::Failed | StepState::Skipped => step.verb == Verb::Attempt,
        _ => false,
    }
}

fn again(step: &StepRecord, position: u32, places: &BTreeMap<u32, u32>) -> StepRecord {
    let undo = step.progress.state == StepState::UndoFailed;
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
        after: if undo {
            Vec::new()
        } else {
            step.after
                .iter()
                .filter_map(|position| places.get(position).copied())
                .collect()
        },
        progress,
    }
}
