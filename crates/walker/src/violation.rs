//! What must hold of every operation, whatever its kind.

use std::collections::BTreeSet;

use protector_core::{
    group::GroupStatus,
    operation::{StepRecord, StepState},
    runbook::{Step, cleanup::is_left},
};

use crate::world::{CloudFacts, WalkOutcome};

pub(crate) fn ended(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let state = outcome.record.operation.state;
    if !state.is_terminal() {
        violations.push(format!("I9: the operation is still {}", state.as_str()));
    }
    if outcome.locked {
        violations.push("I9: the group is still locked".to_owned());
    }
}

/// I1: nothing outside the operation's set is touched.
pub(crate) fn bystanders_untouched(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let members: BTreeSet<&str> = outcome
        .record
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
    let same = others(&outcome.source_before) == others(&outcome.source)
        && others(&outcome.target_before) == others(&outcome.target);
    if !same {
        violations.push("I1: a server outside the group has changed".to_owned());
    }
}

/// A failed failover: the world is as it was, but for what the record lists.
pub(crate) fn taken_back(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let listed = outcome
        .record
        .steps
        .iter()
        .any(|step| step.progress.state == StepState::UndoFailed);
    if listed {
        return;
    }
    let servers = |facts: &CloudFacts| {
        facts
            .servers
            .iter()
            .map(|server| {
                (
                    server.id.clone(),
                    server.status.clone(),
                    server.volumes.clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    if servers(&outcome.source_before) != servers(&outcome.source) {
        violations.push("the source's servers are not as they were".to_owned());
    }
    if servers(&outcome.target_before) != servers(&outcome.target) {
        violations.push("servers were left on the target".to_owned());
    }
    if outcome.target.volumes.len() != outcome.target_before.volumes.len() {
        violations.push("volumes were left on the target".to_owned());
    }
    // A mirror's replica is there before and after.
    let objects = outcome.target.objects.iter();
    let left: Vec<_> = objects
        .filter(|(name, object)| {
            !object.is_replica() && !outcome.target_before.objects.contains_key(*name)
        })
        .map(|(name, _)| name)
        .collect();
    if !left.is_empty() {
        violations.push(format!("objects were left on the target's array: {left:?}"));
    }
    if outcome.group.0.status != GroupStatus::Active {
        violations.push(format!("the group is {}", outcome.group.0.status));
    }
}

/// An invariant that did not hold, with what was seen.
pub type Violation = String;

/// I12 of ports: one that was made and is in no server is named by the record, or that of the test cleanup; or that one has the
/// line left that deletes it, with the copy that has had it.
pub(crate) fn no_port_is_forgotten(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let records = std::iter::once(&outcome.record).chain(&outcome.test_cleanup);
    let steps: Vec<_> = records.flat_map(|record| &record.steps).collect();
    let deletes_it =
        |step: &&StepRecord| matches!(step.action, Step::DeleteTestServer { .. }) && is_left(*step);
    if steps.iter().any(deletes_it) {
        return;
    }
    let ports = outcome.target.marked_ports.iter();
    for port in ports
        .filter(|port| port.device.is_empty())
        .map(|port| &port.id)
    {
        let is_named = steps.iter().any(|step| {
            let progress = &step.progress;
            let said = progress.error.iter().chain(&progress.memo.facts);
            said.into_iter().any(|text| text.contains(port.as_str()))
        });
        if !is_named {
            violations.push(format!("I12: port {port} is left and nobody says so"));
        }
    }
}
