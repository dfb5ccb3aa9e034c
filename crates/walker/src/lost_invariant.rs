//! What must hold after an unplanned failover, checked from the clouds' insides and the records.

use protector_core::{
    fault::Code,
    group::GroupStatus,
    member::MemberStatus,
    operation::{MapKind, OperationRecord, OperationState, ResourceMap, StepState},
    runbook::Step,
};

use crate::{
    lost_run::LATER,
    scenario::End,
    violation::{Violation, bystanders_untouched, ended, taken_back},
    world::WalkOutcome,
};

pub(crate) fn check(outcome: &WalkOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    ended(outcome, &mut violations);
    source_left_alone(outcome, &mut violations);
    bystanders_untouched(outcome, &mut violations);
    for record in std::iter::once(&outcome.record).chain(&outcome.retry) {
        nothing_tied_to_what_may_be_deleted(record, &mut violations);
    }
    match outcome.record.operation.state {
        OperationState::Completed => recovered(outcome, &mut violations),
        OperationState::Failed => taken_back(outcome, &mut violations),
        _ => {}
    }
    if let Some(retry) = &outcome.retry
        && !retry.operation.state.is_terminal()
    {
        let state = retry.operation.state.as_str();
        violations.push(format!("I9: the retry is still {state}"));
    }
    violations
}

/// The copy of a member that was not recovered may be deleted, so that another one is built of its volumes: none goes with it.
fn nothing_tied_to_what_may_be_deleted(record: &OperationRecord, violations: &mut Vec<Violation>) {
    for step in &record.steps {
        if let Step::RestoreDeleteOnTermination { server } = &step.action
            && step.progress.memo.intents > 0
            && record
                .map
                .target(MapKind::Recovered, server.as_str())
                .is_none()
        {
            violations.push(format!(
                "{} tied volumes to a copy that may be deleted",
                step.key
            ));
        }
    }
}

/// A fault that passes keeps nobody from being recovered: at once, or by the retry.
pub(crate) fn reached_its_purpose(outcome: &WalkOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    let expected = outcome.scenario.end.state();
    let operation = &outcome.record.operation;
    if operation.state != expected {
        violations.push(format!(
            "the operation is {} after a fault that passes: {}",
            operation.state.as_str(),
            operation.error.as_deref().unwrap_or("no reason given")
        ));
    }
    if expected == OperationState::Completed && outcome.group.0.status != GroupStatus::FailedOver {
        violations.push(format!("the group is {}", outcome.group.0.status));
    }
    if outcome.scenario.end == End::CompletedInPart && outcome.retry.is_none() {
        violations.push("nothing was left for a retry".to_owned());
    }
    if expected == OperationState::Completed {
        nothing_else_was_made(outcome, &mut violations);
    }
    violations
}

/// I12: the target has one copy of each server and volume of the group more than before, and nothing besides.
fn nothing_else_was_made(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let plan = &outcome.record.operation.plan;
    let (before, after) = (&outcome.target_before, &outcome.target);
    let (members, volumes) = (plan.members.len(), plan.volumes().count());
    for (what, made, wanted) in [
        (
            "servers",
            after.servers.len() - before.servers.len(),
            members,
        ),
        (
            "volumes",
            after.volumes.len() - before.volumes.len(),
            volumes,
        ),
        (
            "objects",
            after.objects.len() - before.objects.len(),
            volumes,
        ),
    ] {
        if made != wanted {
            violations.push(format!(
                "I12: {made} {what} were made on the target for {wanted}"
            ));
        }
    }
}

/// Not one call of the failover went to the source, and it is as it was. A retry asks whether it is back.
fn source_left_alone(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    if outcome.calls_on_source > 0 {
        let calls = outcome.calls_on_source;
        violations.push(format!("{calls} calls went to a source that is lost"));
    }
    let (before, after) = (&outcome.source_before, &outcome.source);
    if before.servers != after.servers || before.volumes != after.volumes {
        violations.push("servers or volumes of the source are not as they were".to_owned());
    }
    for (name, object) in &after.objects {
        if !object.bytes.ends_with(LATER.as_bytes()) {
            violations.push(format!("I4: the bytes of {name} on the source are lost"));
        }
    }
}

/// Each member that counts as recovered runs once, on the bytes of the recovery point, and the group has it as it is
/// there; any other is in the group as it was, in error, and nothing says that its source may go.
fn recovered(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let (group, members) = &outcome.group;
    let plan = &outcome.record.operation.plan;
    if group.current_primary_site != plan.target.site {
        violations.push("the group does not run on the target".to_owned());
    }
    if members.len() != plan.members.len() {
        violations.push(format!("the group has {} members", members.len()));
    }
    let map = union(&outcome.record, outcome.retry.as_ref());
    for known in &plan.members {
        let Some(now) = members.iter().find(|member| member.id == known.id) else {
            violations.push(format!("{} is not in the group any more", known.name));
            continue;
        };
        match now.status {
            MemberStatus::Error if now.server_id != known.server_id => {
                violations.push(format!("{} is in error and moved", known.name));
            }
            MemberStatus::Error => {}
            MemberStatus::Protected => {
                let copies = outcome.target.servers.iter().filter(|server| {
                    server.metadata.get("protector:source").map(String::as_str)
                        == Some(known.server_id.as_str())
                });
                let running: Vec<&str> = copies
                    .filter(|server| server.running)
                    .map(|server| server.id.as_str())
                    .collect();
                if running != [now.server_id.as_str()] {
                    violations.push(format!("{} runs as {running:?}", known.name));
                }
                for volume in &known.volumes {
                    let was = outcome
                        .source_before
                        .objects
                        .get(&format!("volume-{}", volume.id));
                    let copy = map.target(MapKind::Volume, volume.id.as_str());
                    let is =
                        copy.and_then(|copy| outcome.target.objects.get(&format!("volume-{copy}")));
                    if was.map(|object| &object.bytes) != is.map(|object| &object.bytes) {
                        violations.push(format!("{} is not as at the recovery point", volume.id));
                    }
                }
            }
        }
    }
    let left = outcome.record.steps.iter().filter(|step| {
        matches!(
            step.action,
            Step::LeaveSourceServer { .. } | Step::LeaveSourceVolume { .. }
        )
    });
    for step in left {
        let progress = &step.progress;
        if progress.state != StepState::Failed || progress.error_code != Some(Code::Kept) {
            violations.push(format!("{} is {}", step.key, progress.state.as_str()));
        }
    }
    one_copy_of_each_volume(outcome, violations);
}

fn one_copy_of_each_volume(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    for (_, volume) in outcome.record.operation.plan.volumes() {
        let copies = outcome.target.volumes.iter().filter(|copy| {
            copy.metadata.get("protector:source").map(String::as_str) == Some(volume.id.as_str())
        });
        let copies = copies.count();
        if copies > 1 {
            violations.push(format!(
                "{copies} copies of volume {} on the target",
                volume.id
            ));
        }
    }
}

fn union(failover: &OperationRecord, retry: Option<&OperationRecord>) -> ResourceMap {
    let mut map = failover.map.clone();
    for (kind, source, target) in retry.iter().flat_map(|retry| retry.map.iter()) {
        map.insert(kind, source, target);
    }
    map
}
