//! Lines of operations, to rows and back.

use protector_core::{
    id::OperationId,
    operation::{StepProgress, StepRecord},
    step::{Step, Verb},
};
use sea_orm::Set;

use crate::{
    entity::step::{ActiveModel, Model},
    error::StoreError,
    foreign_text::ForeignText,
    words::{from_json, from_word, to_json, to_small, to_u32, to_word},
};

pub(crate) fn progress_row(progress: &StepProgress) -> Result<ActiveModel, StoreError> {
    Ok(ActiveModel {
        state: Set(progress.state.as_str().to_owned()),
        failed_tries: Set(to_small(progress.failed_tries)),
        wake_at: Set(progress.wake_at),
        note: Set(progress.note.clone().map(ForeignText::of)),
        memo: Set(to_json(&progress.memo)?),
        error: Set(progress.error.clone().map(ForeignText::of)),
        error_code: Set(progress.error_code.as_ref().map(to_word).transpose()?),
        started_at: Set(progress.started_at),
        finished_at: Set(progress.finished_at),
        undo_started_at: Set(progress.undo_started_at),
        ..ActiveModel::default()
    })
}

pub(crate) fn to_row(operation: &OperationId, step: &StepRecord) -> Result<Model, StoreError> {
    let progress = &step.progress;
    Ok(Model {
        operation_id: operation.to_string(),
        position: to_small(step.position),
        phase: to_small(step.phase),
        phase_name: step.phase_name.clone(),
        verb: step.verb.as_str().to_owned(),
        reported: to_word(&step.reported)?,
        step_key: step.key.clone(),
        action: to_json(&step.action)?,
        resource_id: step.resource_id.clone(),
        waits_for: to_json(&step.after)?,
        state: progress.state.as_str().to_owned(),
        failed_tries: to_small(progress.failed_tries),
        wake_at: progress.wake_at,
        note: progress.note.clone().map(ForeignText::of),
        memo: to_json(&progress.memo)?,
        error: progress.error.clone().map(ForeignText::of),
        error_code: progress.error_code.as_ref().map(to_word).transpose()?,
        started_at: progress.started_at,
        finished_at: progress.finished_at,
        undo_started_at: progress.undo_started_at,
        revision: 1,
    })
}

/// A service of the release before that still runs writes *forward* of a planned move's switch, as all did before m0050.
fn verb_of(action: &Step, verb: Verb) -> Verb {
    match (action, verb) {
        (Step::SwitchPrimary, Verb::Forward) => Verb::Switch,
        _ => verb,
    }
}

pub(crate) fn from_row(row: Model) -> Result<StepRecord, StoreError> {
    let code = row.error_code.as_deref();
    let action = from_json("steps.action", row.action)?;
    let verb = from_word("steps.verb", &row.verb)?;
    Ok(StepRecord {
        position: to_u32("steps.position", row.position)?,
        phase: to_u32("steps.phase", row.phase)?,
        phase_name: row.phase_name,
        verb: verb_of(&action, verb),
        reported: from_word("steps.reported", &row.reported)?,
        key: row.step_key,
        action,
        resource_id: row.resource_id,
        after: from_json("steps.waits_for", row.waits_for)?,
        progress: StepProgress {
            state: from_word("steps.state", &row.state)?,
            failed_tries: to_u32("steps.failed_tries", row.failed_tries)?,
            wake_at: row.wake_at,
            note: row.note.map(ForeignText::into_text),
            memo: from_json("steps.memo", row.memo)?,
            error: row.error.map(ForeignText::into_text),
            error_code: code
                .map(|code| from_word("steps.error_code", code))
                .transpose()?,
            started_at: row.started_at,
            finished_at: row.finished_at,
            undo_started_at: row.undo_started_at,
        },
    })
}
