//! The runbook of another try at the members that an unplanned failover could not recover.

use super::{
    BookError, Line, Reported, Runbook, Step, Verb,
    in_order::recreate_in_order,
    lines::{each_volume, manage_promoted, promote_volume, whole_group},
};
use crate::{
    operation::{Memo, OperationRecord, StepRecord, StepState},
    plan::Plan,
};

/// Recovers the members of `plan` after `last`, the failover or the retry before this one.
///
/// What failed is taken back first, then done again; what succeeded is found by what `last` remembers of it. Nothing is
/// taken back at the end: what a member lacks now, the next try adds.
///
/// # Errors
///
/// A defect of this runbook.
pub fn retry(plan: &Plan, last: &OperationRecord) -> Result<Vec<StepRecord>, BookError> {
    let book = Runbook::default()
        .phase(
            "check_target",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::CheckTargetAlone)],
        )
        .phase(
            "take_back_vms",
            Verb::Member,
            Reported::Never,
            failed_lines(plan, last, |step| {
                matches!(step, Step::RecreateServer { .. })
            }),
        )
        .phase(
            "take_back_volumes",
            Verb::Member,
            Reported::Never,
            failed_lines(plan, last, |step| matches!(step, Step::ManageVolume { .. })),
        )
        .phase(
            "promote_volumes",
            Verb::Member,
            Reported::ByPhase,
            each_volume(plan, promote_volume),
        )
        .phase(
            "manage_volumes",
            Verb::Member,
            Reported::ByPhase,
            manage_promoted(plan),
        );
    let mut steps = recreate_in_order(book, plan, Verb::Member)
        .phase(
            "confirm_recovered",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::ConfirmRecovered)],
        )
        .phase(
            "admit_recovered",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::AdmitRecovered)],
        )
        .into_steps()?;
    for step in &mut steps {
        step.progress.memo = remembered(&step.action, last);
    }
    Ok(steps)
}

/// The lines of `last` that began to make something for a member of `plan` and failed, each to be taken back.
fn failed_lines(
    plan: &Plan,
    last: &OperationRecord,
    of_kind: fn(&Step) -> bool,
) -> impl Iterator<Item = Line> {
    last.steps
        .iter()
        .filter(move |step| of_kind(&step.action) && is_of(plan, &step.action))
        .filter(|step| step.progress.state == StepState::Failed && step.progress.memo.intents > 0)
        .map(|step| Line {
            action: Step::TakeBack {
                line: Box::new(step.action.clone()),
            },
            name: step.key.clone(),
            resource_id: step.resource_id.clone(),
            after: Vec::new(),
        })
}

fn is_of(plan: &Plan, action: &Step) -> bool {
    match action {
        Step::RecreateServer { server } => plan.member_of_server(server.as_str()).is_some(),
        Step::ManageVolume { volume } => plan.volume(volume.as_str()).is_some(),
        _ => false,
    }
}

/// What `last` remembers of a line that is taken back, or that it carried out.
fn remembered(action: &Step, last: &OperationRecord) -> Memo {
    let (wanted, state) = match action {
        Step::TakeBack { line } => (line.as_ref(), StepState::Failed),
        Step::ManageVolume { .. } | Step::RecreateServer { .. } => (action, StepState::Done),
        _ => return Memo::default(),
    };
    let known = last
        .steps
        .iter()
        .find(|step| step.action == *wanted && step.progress.state == state);
    known
        .map(|step| step.progress.memo.clone())
        .unwrap_or_default()
}
