//! The runbook of another try at the members that an unplanned failover could not recover.

use super::{
    BookError, NewStep, Reported, Runbook, Step, Verb,
    in_order::recreate_in_order,
    made_on,
    shared_steps::{
        complete_copies, each_volume, make_ports, manage_promoted, manage_volume, promote_volume,
        recreate_server, whole_group,
    },
};
use crate::{
    operation::{Memo, OperationRecord, StepRecord, StepState, WaitedSince},
    plan::Plan,
};

/// Recovers the members of `plan` after `last`, the failover or the retry before this one.
///
/// What failed is taken back first, then done again, and not before it has been taken back. What was made is found by what
/// `last` remembers of it, and each try hands on all that it was told, also of lines that it never came to: what one try
/// forgets, no later one finds. Nothing is taken back at the end: what a member lacks now, the next try adds.
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
            plan.members
                .iter()
                .filter_map(|member| take_back(&recreate_server(member), last)),
        )
        .phase(
            "take_back_volumes",
            Verb::Member,
            Reported::Never,
            plan.volumes()
                .filter_map(|(_, volume)| take_back(&manage_volume(volume), last)),
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
    let book = make_ports(book, plan, Verb::Member);
    let book = recreate_in_order(book, plan, Verb::Member)
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
        );
    let mut steps = complete_copies(book, plan).into_steps()?;
    wait_for_what_is_taken_back(&mut steps, plan);
    for step in &mut steps {
        step.progress.memo = remembered(&step.action, last);
    }
    Ok(steps)
}

/// A line that takes back what the line of `last` that does `action` has left, if that failed after it began to make
/// something.
fn take_back(action: &Step, last: &OperationRecord) -> Option<NewStep> {
    remains(action, last)?;
    let line = line_of(action, last)?;
    Some(NewStep {
        action: taking_back(action),
        name: line.key.clone(),
        resource_id: line.resource_id.clone(),
        after: Vec::new(),
    })
}

/// The line of `last` that knows best what is to be taken back of `action`: that line itself, if it failed; else the one
/// that was to take it back and did not.
fn remains<'a>(action: &Step, last: &'a OperationRecord) -> Option<&'a StepRecord> {
    let failed = line_of(action, last)
        .filter(|line| matches!(line.progress.state, StepState::Failed | StepState::Running));
    let not_taken_back =
        line_of(&taking_back(action), last).filter(|line| line.progress.state != StepState::Done);
    [failed, not_taken_back]
        .into_iter()
        .flatten()
        .find(|line| line.progress.memo.has_made_something())
}

fn line_of<'a>(action: &Step, last: &'a OperationRecord) -> Option<&'a StepRecord> {
    last.steps.iter().find(|step| step.action == *action)
}

fn taking_back(action: &Step) -> Step {
    Step::TakeBack {
        line: Box::new(action.clone()),
    }
}

/// Nothing is made anew beside what could not be taken back, and no volume is let go of under a server.
fn wait_for_what_is_taken_back(steps: &mut [StepRecord], plan: &Plan) {
    let taken_back: Vec<(u32, Step)> = steps
        .iter()
        .filter_map(|step| match &step.action {
            Step::TakeBack { line } => Some((step.position, line.as_ref().clone())),
            _ => None,
        })
        .collect();
    for step in steps {
        let waits_for = |line: &Step| match &step.action {
            Step::TakeBack { line: below } => made_on(line, below, plan),
            // The ports of a copy that is there are its own.
            Step::ReservePorts { server } => {
                matches!(line, Step::RecreateServer { server: copy } if copy == server)
            }
            action => line == action,
        };
        let first = taken_back.iter().filter(|(_, line)| waits_for(line));
        step.after.extend(first.map(|(position, _)| *position));
    }
}

/// What `last` knows of what `action` is about. A line that takes something back and the one that does it again know the
/// same: what has turned out well since is not taken back, and has to be found.
fn remembered(action: &Step, last: &OperationRecord) -> Memo {
    let known = match action {
        Step::TakeBack { line } => remains(line, last),
        Step::ManageVolume { .. }
        | Step::RecreateServer { .. }
        | Step::ReservePorts { .. }
        | Step::CompletePorts { .. } => line_of(action, last)
            .filter(|line| line.progress.memo.has_made_something())
            .or_else(|| remains(action, last)),
        _ => None,
    };
    let known = known
        .map(|line| line.progress.memo.clone())
        .unwrap_or_default();
    Memo {
        // An earlier try has made it, maybe days ago: somebody may have used it since.
        outlived: matches!(action, Step::TakeBack { .. }),
        // Another day, another silence.
        since: WaitedSince {
            healthy: known.since.healthy,
            ..WaitedSince::default()
        },
        ..known
    }
}
