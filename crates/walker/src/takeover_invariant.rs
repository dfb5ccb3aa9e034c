//! What must hold when a failover was interrupted by the loss of its site and taken over on the other one.

use std::collections::BTreeSet;

use protector_core::{
    fault::Code,
    group::GroupStatus,
    id::OperationId,
    mark,
    member::{Member, ProtectedVolume},
    operation::{MapKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::{Step, Verb},
};
use protector_simcloud::cloud::{ServerFacts, VolumeFacts};

use crate::{
    lost_run::LATER, takeover_run::TakeoverOutcome, violation::Violation, world::CloudFacts,
};

/// Checks a takeover that nothing but passing faults disturbed.
pub fn check_takeover(outcome: &TakeoverOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    for held in &outcome.locked {
        violations.push(format!("I9: {held} still holds its lock"));
    }
    interrupted_has_ended(outcome, &mut violations);
    source_left_alone(outcome, &mut violations);
    let Some(failover) = &outcome.failover else {
        violations.push("the site was not lost".to_owned());
        return violations;
    };
    if met_a_broken_copy(outcome, failover) {
        return violations;
    }
    recovered(outcome, failover, &mut violations);
    cleaned_up(outcome, failover, &mut violations);
    nothing_forgotten(outcome, &mut violations);
    ports_are_known(outcome, &mut violations);
    bystanders_untouched(outcome, &mut violations);
    violations
}

/// The interrupted failover was too late to do anything, or it had come to its end before.
fn interrupted_has_ended(outcome: &TakeoverOutcome, violations: &mut Vec<Violation>) {
    let operation = &outcome.interrupted.operation;
    let error = operation.error.as_deref().unwrap_or_default();
    let was_over = outcome.lost.operation.state.is_terminal() || has_switched(&outcome.lost);
    let agrees = match operation.state {
        OperationState::Completed => was_over,
        OperationState::Failed => {
            operation.error_code == Some(Code::Superseded) || !goes_forward(&outcome.lost)
        }
        _ => false,
    };
    if !agrees {
        violations.push(format!(
            "the interrupted failover, {} when its site was lost, is {}: {error}",
            outcome.lost.operation.state.as_str(),
            operation.state.as_str()
        ));
    }
}

/// Whether it was not being taken back, nor about to be.
fn goes_forward(record: &OperationRecord) -> bool {
    let going = matches!(
        record.operation.state,
        OperationState::Queued | OperationState::Running
    );
    let has_failed =
        |step: &StepRecord| step.verb == Verb::Undoable && step.progress.state == StepState::Failed;
    going && !record.steps.iter().any(has_failed)
}

fn has_switched(record: &OperationRecord) -> bool {
    record
        .steps
        .iter()
        .any(|step| step.action == Step::SwitchPrimary && step.progress.state == StepState::Done)
}

fn was_replicated(record: &OperationRecord) -> bool {
    record
        .steps
        .iter()
        .any(|step| step.action == Step::ReplicateGroup && step.progress.state == StepState::Done)
}

/// A site that returns changes nothing of its own, but for the deletions of a failover that had succeeded. What stood still
/// may finish the one call at which it was: that starts or stops a server.
fn source_left_alone(outcome: &TakeoverOutcome, violations: &mut Vec<Violation>) {
    let [_, returned, after, _] = &outcome.source;
    if has_switched(&outcome.lost) {
        return;
    }
    let shown = |facts: &CloudFacts| {
        let servers = facts.servers.iter().map(|server| {
            let status = (!outcome.stood_still).then(|| server.status.clone());
            (server.id.clone(), server.volumes.clone(), status)
        });
        // The names of a mirror follow the other side, so Cinder may not find what it had.
        let volumes = facts.volumes.iter().map(|volume| VolumeFacts {
            has_object: true,
            ..volume.clone()
        });
        (servers.collect::<Vec<_>>(), volumes.collect::<Vec<_>>())
    };
    if shown(returned) != shown(after) {
        violations.push("servers or volumes of the lost site are not as they were".to_owned());
    }
}

/// Each member runs once, on bytes that are the newest that had been replicated, and the group knows it so.
fn recovered(
    outcome: &TakeoverOutcome,
    failover: &OperationRecord,
    violations: &mut Vec<Violation>,
) {
    let operation = &failover.operation;
    if operation.state != OperationState::Completed {
        violations.push(format!(
            "the failover in its place is {}: {}",
            operation.state.as_str(),
            operation.error.as_deref().unwrap_or_default()
        ));
        return;
    }
    let (group, members) = &outcome.group;
    if group.status != GroupStatus::FailedOver {
        violations.push(format!("the group is {}", group.status));
        return;
    }
    for known in &operation.plan.members {
        let Some(now) = members.iter().find(|member| member.id == known.id) else {
            violations.push(format!("{} is not in the group any more", known.name));
            continue;
        };
        runs_once(outcome, known, now, violations);
        for (was, is) in known.volumes.iter().zip(&now.volumes) {
            has_newest_bytes(outcome, (was, is), violations);
        }
    }
}

/// A copy that Nova could not build for the interrupted failover holds its volumes, and is a person's to delete. It is found
/// where the site is lost in the moment between that and the failover's turning back.
fn met_a_broken_copy(outcome: &TakeoverOutcome, failover: &OperationRecord) -> bool {
    let [_, lost, _] = &outcome.target;
    let interrupted = outcome.interrupted.operation.id.as_str();
    let is_broken = |server: &ServerFacts| {
        let marked_by = server.metadata.get("protector:operation");
        server.status == "ERROR" && marked_by.map(String::as_str) == Some(interrupted)
    };
    failover.operation.state == OperationState::Failed && lost.servers.iter().any(is_broken)
}

fn runs_once(
    outcome: &TakeoverOutcome,
    known: &Member,
    now: &Member,
    violations: &mut Vec<Violation>,
) {
    let [.., target] = &outcome.target;
    let running: Vec<&str> = target
        .servers
        .iter()
        .filter(|server| server.running && is_copy_of(&server.metadata, known.server_id.as_str()))
        .map(|server| server.id.as_str())
        .collect();
    if running != [now.server_id.as_str()] {
        violations.push(format!(
            "{} runs as {running:?}, and the group has it as {}",
            known.name, now.server_id
        ));
    }
    let attached = target
        .servers
        .iter()
        .find(|server| server.id == now.server_id.as_str())
        .map(|server| {
            server
                .volumes
                .iter()
                .map(String::as_str)
                .collect::<BTreeSet<_>>()
        });
    let volumes: BTreeSet<_> = now
        .volumes
        .iter()
        .map(|volume| volume.id.as_str())
        .collect();
    if attached.as_ref() != Some(&volumes) {
        violations.push(format!("{} has {attached:?}, not {volumes:?}", known.name));
    }
}

fn has_newest_bytes(
    outcome: &TakeoverOutcome,
    (was, is): (&ProtectedVolume, &ProtectedVolume),
    violations: &mut Vec<Violation>,
) {
    let [before, ..] = &outcome.source;
    let [.., target] = &outcome.target;
    let name = |id: &str| format!("volume-{id}");
    let newest = before
        .objects
        .get(&name(was.id.as_str()))
        .map(|object| &object.bytes);
    let oldest = newest.and_then(|bytes| {
        bytes
            .strip_suffix(LATER.as_bytes())
            .map(|rest| bytes.slice_ref(rest))
    });
    let found = target
        .objects
        .get(&name(is.id.as_str()))
        .map(|object| &object.bytes);
    let replicated = was_replicated(&outcome.lost);
    let agrees = found.is_some_and(|found| {
        Some(found) == newest || (!replicated && Some(found) == oldest.as_ref())
    });
    if !agrees {
        violations.push(format!(
            "I4: volume {} has lost what had been replicated",
            was.id
        ));
    }
    let failover = outcome.failover.as_ref().map(|record| &record.operation.id);
    let copies: Vec<_> = target
        .volumes
        .iter()
        .filter(|volume| is_copy_of(&volume.metadata, was.id.as_str()))
        .filter(|volume| {
            volume
                .metadata
                .get("protector:operation")
                .map(String::as_str)
                == failover.map(OperationId::as_str)
        })
        .map(|volume| volume.id.as_str())
        .collect();
    if copies != [is.id.as_str()] {
        violations.push(format!(
            "the copies of volume {} on the target are {copies:?}",
            was.id
        ));
    }
}

fn is_copy_of(metadata: &std::collections::BTreeMap<String, String>, source: &str) -> bool {
    metadata.get("protector:source").map(String::as_str) == Some(source)
}

/// After the fencing and the cleanup nothing of the group is left on the site that was lost, and the copies are untouched.
fn cleaned_up(
    outcome: &TakeoverOutcome,
    failover: &OperationRecord,
    violations: &mut Vec<Violation>,
) {
    let ends = [("fence", &outcome.fence), ("cleanup", &outcome.cleanup)];
    for (what, record) in ends {
        let Some(record) = record else {
            violations.push(format!("there was no {what}"));
            return;
        };
        if record.operation.state != OperationState::Completed {
            violations.push(format!(
                "the {what} is {}: {}",
                record.operation.state.as_str(),
                record.operation.error.as_deref().unwrap_or_default()
            ));
        }
        for step in &record.steps {
            if step.progress.state != StepState::Done {
                violations.push(format!(
                    "{what}: {} is {}: {}",
                    step.key,
                    step.progress.state.as_str(),
                    step.progress.error.as_deref().unwrap_or_default()
                ));
            }
        }
    }
    let [.., source] = &outcome.source;
    for member in &failover.operation.plan.members {
        if source
            .servers
            .iter()
            .any(|server| server.id == member.server_id.as_str())
        {
            violations.push(format!("{} is left on the lost site", member.name));
        }
        for volume in &member.volumes {
            if source
                .volumes
                .iter()
                .any(|left| left.id == volume.id.as_str())
            {
                violations.push(format!("volume {} is left on the lost site", volume.id));
            }
        }
    }
    let [.., target] = &outcome.target;
    for (name, object) in &source.objects {
        let Some(mirror) = &object.mirror else {
            continue;
        };
        let copy = target.objects.get(name);
        let follows = copy.is_some_and(|copy| {
            copy.bytes == object.bytes
                && copy
                    .mirror
                    .as_ref()
                    .is_some_and(|of| of.id == mirror.id && of.is_primary)
        });
        if mirror.is_primary || !follows {
            violations.push(format!(
                "{name} is no replica of what runs on the other site"
            ));
        }
    }
}

/// What the interrupted failover made and nobody took over can be found: a volume by its mark, an object by its name or by
/// the record. Without anything being taken back or on its way there is none.
fn nothing_forgotten(outcome: &TakeoverOutcome, violations: &mut Vec<Violation>) {
    let [before, _, target] = &outcome.target;
    let interrupted = &outcome.interrupted;
    let id = interrupted.operation.id.as_str();
    let may_leave = outcome.stood_still || !goes_forward(&outcome.lost);
    for volume in &target.volumes {
        let is_known = before.volumes.iter().any(|known| known.id == volume.id);
        let marked_by = volume
            .metadata
            .get("protector:operation")
            .map(String::as_str);
        if !is_known && (marked_by.is_none() || (marked_by == Some(id) && !may_leave)) {
            violations.push(format!(
                "volume {} on the target belongs to nothing",
                volume.id
            ));
        }
    }
    let volumes: BTreeSet<String> = target
        .volumes
        .iter()
        .map(|volume| format!("volume-{}", volume.id))
        .collect();
    let recorded = |object: &str| {
        object.contains(id)
            || interrupted.map.iter().any(|(kind, _, made)| {
                kind == MapKind::Volume && object == format!("volume-{made}")
            })
    };
    for (object, it) in &target.objects {
        let explained =
            volumes.contains(object) || it.is_replica() || (may_leave && recorded(object));
        if !explained {
            violations.push(format!(
                "object {object} on the target's array belongs to nothing"
            ));
        }
    }
}

/// A port is deleted with the copy that has it, and is found by the mark of what has made that copy. None is left free, but by
/// an interrupted failover that goes on with what it had begun when its site returns.
fn ports_are_known(outcome: &TakeoverOutcome, violations: &mut Vec<Violation>) {
    let [.., target] = &outcome.target;
    let interrupted = outcome.interrupted.operation.id.as_str();
    let may_leave = outcome.stood_still || !goes_forward(&outcome.lost);
    for port in &target.marked_ports {
        let (id, description) = (&port.id, &port.description);
        let is_of = |maker: &str| description.contains(&format!(":{maker}"));
        if port.device.is_empty() {
            if !(may_leave && is_of(interrupted)) {
                violations.push(format!("port {id}, {description}, is left free"));
            }
            continue;
        }
        let server = target
            .servers
            .iter()
            .find(|server| server.id == port.device);
        let maker = server.and_then(|server| server.metadata.get(mark::OPERATION));
        if !maker.is_some_and(|maker| is_of(maker)) {
            violations.push(format!(
                "port {id}, {description}, is in server {}, which {maker:?} has made",
                port.device
            ));
        }
    }
}

/// I1: nothing outside the group is touched.
fn bystanders_untouched(outcome: &TakeoverOutcome, violations: &mut Vec<Violation>) {
    let members: BTreeSet<&str> = outcome
        .lost
        .operation
        .plan
        .members
        .iter()
        .map(|member| member.server_id.as_str())
        .collect();
    let others = |facts: &CloudFacts| {
        facts
            .servers
            .iter()
            .filter(|server| !members.contains(server.id.as_str()))
            .filter(|server| !server.metadata.contains_key("protector:operation"))
            .map(|server| {
                (
                    server.id.clone(),
                    server.status.clone(),
                    server.volumes.clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    let [source_before, .., source] = &outcome.source;
    let [target_before, _, target] = &outcome.target;
    if others(source_before) != others(source) || others(target_before) != others(target) {
        violations.push("I1: a server outside the group has changed".to_owned());
    }
}
