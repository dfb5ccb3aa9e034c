//! The runbook of a manual cleanup: the lines that an ended operation left undone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Reported, Step, Verb};
use crate::{
    id::{FloatingIpId, ServerId},
    member::{FloatingAddress, Member},
    operation::{
        MapKind, Memo, Operation, OperationKind, OperationRecord, StepInProgress, StepProgress,
        StepRecord, StepState,
    },
};

/// The prefix of a line that takes another one back, in keys and in `steps_failed`.
pub const UNDO: &str = "undo:";

/// The phase of the lines that release floating IPs.
const RELEASE_FLOATING_IP: &str = "release_floating_ip";

/// The states, each with the verb that it needs where it needs one, in which a line has left something behind that a
/// cleanup can remove. The one definition of a leftover: [`is_left`] reads it, and so does the database's filter.
pub const LEFT: [(StepState, Option<Verb>); 3] = [
    (StepState::UndoFailed, None),
    (StepState::Failed, Some(Verb::Attempt)),
    (StepState::Skipped, Some(Verb::Attempt)),
];

/// The kind of operation whose own lines are never leftovers: they are those of the operation it cleans up.
pub const NEVER_LEAVES: OperationKind = OperationKind::Cleanup;

/// Whether a cleanup of `operation` may be asked for: it has ended, and is not itself a cleanup.
pub fn may_be_cleaned_up<P>(operation: &Operation<P>) -> bool {
    operation.state.is_terminal() && operation.kind != NEVER_LEAVES
}

/// The lines with which `parent` can be cleaned up: each that failed, could not be taken back, or was retained by
/// configuration. Empty when nothing is left.
///
/// Keys are the parent's, so that the end of a line here is written to the parent's line too.
pub fn cleanup_of(parent: &OperationRecord) -> Vec<StepRecord> {
    let left = left_in_order(parent);
    with_release(parent, again_in_order(parent, &left))
}

/// Adds the line that lets go of the recovery point once the last source volume is gone: until then the point tells what was
/// written to them.
fn with_release(parent: &OperationRecord, mut lines: Vec<StepRecord>) -> Vec<StepRecord> {
    let volumes: Vec<u32> = lines
        .iter()
        .filter(|line| matches!(line.action, Step::DeleteSourceVolume { .. }))
        .map(|line| line.position)
        .collect();
    let release = parent
        .steps
        .iter()
        .find(|step| step.action == Step::ReleaseReplicas && !is_left(step));
    if let Some(release) = release.filter(|_| !volumes.is_empty()) {
        let position = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        lines.push(StepRecord {
            reported: Reported::Never,
            ..again(parent, release, position, volumes)
        });
    }
    lines
}

/// Adds the lines that release the floating IPs of those members on the source whose original the operation has deleted, or
/// deletes now with `lines`: each after that, and none that a cleanup has released before. Of a member that `is_meant` refuses
/// none is.
pub fn with_floating_ips(
    parent: &OperationRecord,
    mut lines: Vec<StepRecord>,
    is_meant: impl Fn(&ServerId) -> bool,
) -> Vec<StepRecord> {
    let plan = &parent.operation.plan;
    let members = plan.members.iter().filter(|member| {
        is_meant(&member.server_id) && deletes_original(parent, &member.server_id)
    });
    let is_released = |floating: &FloatingAddress| {
        let id = floating.id.as_ref().map(FloatingIpId::as_str);
        id.is_some_and(|id| parent.map.target(MapKind::ReleasedFloatingIp, id).is_some())
    };
    for member in members {
        let after: Vec<u32> = lines
            .iter()
            .filter(|line| {
                matches!(&line.action, Step::DeleteSourceServer { server } if *server == member.server_id)
            })
            .map(|line| line.position)
            .collect();
        for (_, floating) in member.floating_ips() {
            if !is_released(floating) {
                let position = u32::try_from(lines.len()).unwrap_or(u32::MAX);
                lines.push(release(member, floating, position, after.clone()));
            }
        }
    }
    lines
}

/// Whether the operation has deleted the original, or left it for a cleanup to delete.
fn deletes_original(parent: &OperationRecord, original: &ServerId) -> bool {
    parent.steps.iter().any(|step| match &step.action {
        Step::DeleteSourceServer { server } | Step::LeaveSourceServer { server } => {
            server == original && (step.progress.state == StepState::Done || is_left(step))
        }
        _ => false,
    })
}

/// A line that no line of the parent stands for.
fn release(
    member: &Member,
    floating: &FloatingAddress,
    position: u32,
    after: Vec<u32>,
) -> StepRecord {
    StepRecord {
        position,
        phase: 0,
        phase_name: RELEASE_FLOATING_IP.to_owned(),
        verb: Verb::Attempt,
        reported: Reported::ByLine,
        key: format!("{RELEASE_FLOATING_IP}:{}", floating.address),
        action: Step::ReleaseFloatingIp {
            server: member.server_id.clone(),
            address: floating.address,
        },
        resource_id: floating.id.as_ref().map(FloatingIpId::to_string),
        after,
        progress: StepProgress::default(),
    }
}

/// The same for those of them only whose place in `parent` is in `chosen`.
///
/// # Errors
///
/// The key of a chosen line and of one that stands on it and was not chosen: what is below is not taken away first.
pub fn cleanup_of_chosen(
    parent: &OperationRecord,
    chosen: &BTreeSet<u32>,
) -> Result<Vec<StepRecord>, StandsOn> {
    let left = left_in_order(parent);
    let (kept, rest): (Vec<&StepRecord>, Vec<&StepRecord>) = left
        .into_iter()
        .partition(|step| chosen.contains(&step.position));
    for below in kept.iter().filter(|step| is_undo(step)) {
        let upper = rest.iter().find(|step| stands_on(step, below, parent));
        if let Some(upper) = upper {
            return Err(StandsOn {
                below: below.position,
                upper: upper.position,
            });
        }
    }
    let lines = again_in_order(parent, &kept);
    Ok(match rest.is_empty() {
        true => with_release(parent, lines),
        false => lines,
    })
}

/// A chosen line on which one stands that was not chosen, by their places in the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandsOn {
    /// The line that was chosen.
    pub below: u32,
    /// The line that has to go first.
    pub upper: u32,
}

/// The lines of `parent` that left something behind, in the order in which a cleanup takes them up.
pub fn left_in_order(parent: &OperationRecord) -> Vec<&StepRecord> {
    let mut left: Vec<&StepRecord> = parent.steps.iter().filter(is_left).collect();
    // What was made last is taken back first. Of one member taking back and deleting meet only where it was given up, and its
    // original is no more deleted for what is taken back.
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
    left
}

fn again_in_order(parent: &OperationRecord, left: &[&StepRecord]) -> Vec<StepRecord> {
    let places: BTreeMap<u32, u32> = left
        .iter()
        .zip(0_u32..)
        .map(|(step, place)| (step.position, place))
        .collect();
    left.iter()
        .zip(0_u32..)
        .map(|(step, position)| {
            let after = waits_for(step, left, parent)
                .filter_map(|position| places.get(&position).copied())
                .collect();
            again(parent, step, position, after)
        })
        .collect()
}

/// Whether a cleanup takes back what `step` made, instead of trying it again.
pub(crate) fn is_undo(step: &StepRecord) -> bool {
    step.progress.state == StepState::UndoFailed
}

fn stands_on(upper: &StepRecord, below: &StepRecord, parent: &OperationRecord) -> bool {
    is_undo(below) && is_undo(upper) && super::stands_on(upper, below, parent)
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
        .filter(move |other| stands_on(other, step, parent))
        .map(|other| other.position);
    then.chain(upon)
}

/// Whether `step` left something behind that a cleanup can remove.
pub fn is_left(step: &impl StepInProgress) -> bool {
    LEFT.iter()
        .any(|(state, verb)| *state == step.state() && verb.is_none_or(|verb| verb == step.verb()))
}

/// What was left on a source that was lost is deleted, or made a replica, once that is back; anything else is tried again.
fn deletion(left: &Step) -> Step {
    match left {
        Step::LeaveSourceServer { server } => Step::DeleteSourceServer {
            server: server.clone(),
        },
        Step::LeaveSourceVolume { volume } => Step::DeleteSourceVolume {
            volume: volume.clone(),
        },
        Step::LeaveReplica { volume } => Step::ResyncVolume {
            volume: volume.clone(),
        },
        other => other.clone(),
    }
}

/// Whether somebody may have worked on what `step` has made, which was there when `parent` had ended: on the copy of a server,
/// or on an import alone, which its tenant can attach to any server. A test's copies are nobody's work.
fn has_outlived(parent: &OperationRecord, step: &StepRecord) -> bool {
    is_undo(step)
        && parent.operation.kind != OperationKind::TestFailover
        && step.action.member(&parent.operation.plan).is_some()
}

fn again(
    parent: &OperationRecord,
    step: &StepRecord,
    position: u32,
    after: Vec<u32>,
) -> StepRecord {
    let undo = is_undo(step);
    // Taking back needs to know what was made. A deletion looks afresh: what was asked before is over.
    let memo = if undo {
        Memo {
            outlived: has_outlived(parent, step),
            ..step.progress.memo.clone()
        }
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
            deletion(&step.action)
        },
        resource_id: step.resource_id.clone(),
        after,
        progress,
    }
}
