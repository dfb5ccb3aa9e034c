//! What must hold after a test failover and its cleanup, checked from the clouds' insides and the records.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protector_core::{
    group::GroupStatus,
    operation::{OperationRecord, OperationState, StepState},
    runbook::{Step, cleanup::is_left},
};

use crate::{
    violation::{Violation, bystanders_untouched, ended, no_port_is_forgotten, taken_back},
    world::{CloudFacts, WalkOutcome},
};

pub(crate) fn check(outcome: &WalkOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    ended(outcome, &mut violations);
    production_untouched(outcome, &mut violations);
    bystanders_untouched(outcome, &mut violations);
    no_port_is_forgotten(outcome, &mut violations);
    match (outcome.record.operation.state, &outcome.test_cleanup) {
        (OperationState::Completed, Some(cleanup)) => cleaned(outcome, cleanup, &mut violations),
        (OperationState::Completed, None) => {
            violations.push("the test failover completed without a test cleanup".to_owned());
        }
        (OperationState::Failed, None) => taken_back(outcome, &mut violations),
        (state, _) => violations.push(format!("the test failover is {}", state.as_str())),
    }
    violations
}

/// The source got no call that changes anything, and is as it was, to the byte. So is the group.
fn production_untouched(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    for call in &outcome.changes_on_source {
        violations.push(format!("the source was changed: {call}"));
    }
    let (before, after) = (&outcome.source_before, &outcome.source);
    if before.servers != after.servers || before.volumes != after.volumes {
        violations.push("servers or volumes of the source are not as they were".to_owned());
    }
    let bytes = |facts: &CloudFacts| -> BTreeMap<String, Bytes> {
        let objects = facts.objects.iter();
        objects
            .map(|(name, object)| (name.clone(), object.bytes.clone()))
            .collect()
    };
    if bytes(before) != bytes(after) {
        violations.push("the source's array is not as it was".to_owned());
    }
    let plan = &outcome.record.operation.plan;
    let (group, members) = &outcome.group;
    let same = group.status == GroupStatus::Active
        && group.current_primary_site == plan.source.site
        && *members == plan.members;
    if !same {
        violations.push("the group is not as it was".to_owned());
    }
}

/// After a test cleanup the target is as it was before the test, but for what the record lists.
fn cleaned(outcome: &WalkOutcome, cleanup: &OperationRecord, violations: &mut Vec<Violation>) {
    if cleanup.operation.state != OperationState::Completed {
        let state = cleanup.operation.state.as_str();
        violations.push(format!("I9: the test cleanup is still {state}"));
    }
    let listed: BTreeSet<&str> = cleanup
        .steps
        .iter()
        .filter(is_left)
        .filter_map(|step| step.resource_id.as_deref())
        .collect();
    for id in on_target_since(outcome) {
        if !listed.contains(id.as_str()) {
            violations.push(format!(
                "I12: {id} was left on the target and is not listed"
            ));
        }
    }
    for step in &cleanup.steps {
        let there = step
            .resource_id
            .as_ref()
            .is_some_and(|id| on_target_since(outcome).contains(id));
        if step.progress.state == StepState::Done && there {
            violations.push(format!("I5: {} is recorded as done and is there", step.key));
        }
        let is_deletion = matches!(
            step.action,
            Step::DeleteTestServer { .. } | Step::DeleteTestVolume { .. }
        );
        if !is_deletion {
            violations.push(format!("{} is no line of a test cleanup", step.key));
        }
    }
    // The replicas of mirrors are there before and after.
    let objects = outcome.target.objects.iter().filter(|(name, object)| {
        let volume = name.strip_prefix("volume-").unwrap_or(name);
        !outcome.target_before.objects.contains_key(*name)
            && !listed.contains(volume)
            && !object.is_replica()
    });
    violations.extend(objects.map(|(name, _)| format!("I12: object {name} was left on the array")));
    if outcome.target_before.volumes.iter().any(|known| {
        !outcome
            .target
            .volumes
            .iter()
            .any(|volume| volume.id == known.id)
    }) {
        violations.push("I1: a volume that was on the target before is gone".to_owned());
    }
}

/// The servers and volumes that the target has and did not have before.
fn on_target_since(outcome: &WalkOutcome) -> BTreeSet<String> {
    let ids = |facts: &crate::CloudFacts| -> BTreeSet<String> {
        let servers = facts.servers.iter().map(|server| server.id.clone());
        let volumes = facts.volumes.iter().map(|volume| volume.id.clone());
        servers.chain(volumes).collect()
    };
    ids(&outcome.target)
        .difference(&ids(&outcome.target_before))
        .cloned()
        .collect()
}
