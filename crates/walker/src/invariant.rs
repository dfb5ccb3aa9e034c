//! The invariants of `docs/safety.md`, checked from the clouds' insides and the record.

use std::collections::BTreeSet;

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationState, StepState},
    runbook::{Step, cleanup::is_left},
};
use protector_simcloud::backend::MemVolume;

use crate::{
    lost_invariant,
    scenario::{Circumstance, Walked},
    test_invariant,
    violation::{Violation, bystanders_untouched, ended, no_port_is_forgotten, taken_back},
    world::{CloudFacts, WalkOutcome},
};

/// Checks all invariants that can be seen at the end.
pub fn check(outcome: &WalkOutcome) -> Vec<Violation> {
    match outcome.scenario.operation {
        Walked::TestFailover => return test_invariant::check(outcome),
        Walked::UnplannedFailover => return lost_invariant::check(outcome),
        Walked::PlannedFailover => {}
    }
    let mut violations = Vec::new();
    ended(outcome, &mut violations);
    bystanders_untouched(outcome, &mut violations);
    if outcome.ran_twice {
        violations.push("I10: a server and its copy ran together".to_owned());
    }
    if outcome.ran_on_a_replica {
        violations.push("I10: a server ran on a disk that takes no writes".to_owned());
    }
    match outcome.record.operation.state {
        OperationState::Completed => completed(outcome, &mut violations),
        OperationState::Failed => taken_back(outcome, &mut violations),
        _ => {}
    }
    deletions_agree_with_the_record(outcome, &mut violations);
    no_port_is_forgotten(outcome, &mut violations);
    no_bytes_lost(outcome, &mut violations);
    one_side_may_be_written_to(outcome, &mut violations);
    violations
}

/// Of a mirror's two sides never both take writes; the one that does is where the group runs, under the name by which its
/// Cinder knows it. What could not be taken back may leave none that does.
fn one_side_may_be_written_to(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let record = &outcome.record;
    let is_left = record
        .steps
        .iter()
        .any(|step| step.progress.state == StepState::UndoFailed);
    for (_, volume) in record.operation.plan.volumes() {
        let Some(mirror) = outcome.mirrors.get(&volume.id) else {
            continue;
        };
        let copy = record.map.target(MapKind::Volume, volume.id.as_str());
        let wanted = match record.operation.state {
            OperationState::Completed => (None, copy.map(|id| format!("volume-{id}"))),
            _ => (Some(format!("volume-{}", volume.id)), None),
        };
        let (here, there) = (
            primary(&outcome.source, mirror),
            primary(&outcome.target, mirror),
        );
        let both = here.is_some() && there.is_some();
        let found = (here.map(str::to_owned), there.map(str::to_owned));
        if both || (found != wanted && !is_left) {
            violations.push(format!(
                "I4: of {} (source, target) may be written to {found:?}, not {wanted:?}",
                volume.id
            ));
        }
    }
}

/// The object of `mirror` that may be written to.
pub(crate) fn primary<'f>(facts: &'f CloudFacts, mirror: &str) -> Option<&'f str> {
    let is_primary = |object: &MemVolume| {
        let of = object.mirror.as_ref();
        of.is_some_and(|of| of.is_primary && of.id == mirror)
    };
    let mut objects = facts.objects.iter();
    objects
        .find(|(_, object)| is_primary(object))
        .map(|(name, _)| name.as_str())
}

/// A fault that passes never keeps a failover from its end: it completes, or is taken back, and nothing is left over.
pub fn reached_its_purpose(outcome: &WalkOutcome) -> Vec<Violation> {
    if outcome.scenario.operation == Walked::UnplannedFailover {
        return lost_invariant::reached_its_purpose(outcome);
    }
    let mut violations = Vec::new();
    let operation = &outcome.record.operation;
    let expected = outcome.scenario.end.state();
    let leftovers_of = match expected {
        OperationState::Completed => StepState::Failed,
        _ => StepState::UndoFailed,
    };
    if operation.state != expected {
        violations.push(format!(
            "the operation is {} after a fault that passes: {}",
            operation.state.as_str(),
            operation.error.as_deref().unwrap_or("no reason given")
        ));
    }
    // A cleanup that a person asks for tries each line once (contract): what a fault kept from it stays listed.
    let of_cleanup = outcome
        .test_cleanup
        .iter()
        .filter(|_| !outcome.scenario.has(Circumstance::TestCounterpartsReliedOn))
        .flat_map(|record| &record.steps);
    for step in outcome.record.steps.iter().chain(of_cleanup) {
        if step.progress.state == leftovers_of {
            let why = step.progress.error.as_deref().unwrap_or_default();
            violations.push(format!("{} failed: {why}", step.key));
        }
    }
    violations
}

/// However the first cleanups went, a later one in peace leaves nothing, none changes the operation's own result (I6), and
/// nothing is deleted twice (I7).
pub fn nothing_left_after_cleanup(outcome: &WalkOutcome) -> Vec<Violation> {
    let mut violations = reached_its_purpose(outcome);
    for left in outcome.record.steps.iter().filter(is_left) {
        violations.push(format!("{} is left after the last cleanup", left.key));
    }
    for cleanup in &outcome.cleanups {
        let operation = &cleanup.operation;
        if !operation.state.is_terminal() {
            let state = operation.state.as_str();
            violations.push(format!("I9: the cleanup {} is still {state}", operation.id));
        }
    }
    for twice in &outcome.deleted_twice {
        violations.push(format!("I7: deleted again: {twice}"));
    }
    only_what_is_left_was_released(outcome, &mut violations);
    violations
}

/// I1, I12: of the source's floating IPs those are gone that led to a server of the group, and no other.
fn only_what_is_left_was_released(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let plan = &outcome.record.operation.plan;
    for floating in &outcome.source_before.floating_ips {
        let there = outcome.source.floating_ips.iter();
        let is_there = there.into_iter().any(|now| now.id == floating.id);
        let server = floating.server.as_deref().unwrap_or_default();
        let is_of_group = plan.member_of_server(server).is_some();
        let goes = is_of_group && outcome.scenario.has(Circumstance::FloatingIpsReleased);
        if is_there == goes {
            violations.push(format!(
                "floating IP {} of server {server:?} is {}",
                floating.address,
                if is_there { "there" } else { "released" }
            ));
        }
    }
}

/// I12: every server and volume of the group is recorded as deleted and gone, or listed as left and there; and the target
/// has exactly one copy of each.
pub fn conserved(outcome: &WalkOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    let there: BTreeSet<&str> = ids(&outcome.source);
    let mut recorded = 0;
    for step in &outcome.record.steps {
        let id = match &step.action {
            Step::DeleteSourceServer { server } => server.as_str(),
            Step::DeleteSourceVolume { volume } => volume.as_str(),
            _ => continue,
        };
        recorded += 1;
        let state = step.progress.state;
        let agrees = match state {
            StepState::Done => !there.contains(id),
            StepState::Failed | StepState::Skipped => there.contains(id),
            _ => false,
        };
        if !agrees {
            violations.push(format!(
                "I12: {} is {} and {}: {}",
                step.key,
                state.as_str(),
                if there.contains(id) { "there" } else { "gone" },
                step.progress.error.as_deref().unwrap_or_default()
            ));
        }
    }
    let plan = &outcome.record.operation.plan;
    let members = plan.members.len() + plan.volumes().count();
    if recorded != members {
        violations.push(format!("I12: {recorded} deletions for {members} resources"));
    }
    let gone = ids(&outcome.source_before).len() - there.len();
    let deleted = steps_done(outcome);
    if gone != deleted {
        violations.push(format!(
            "I12: {gone} resources are gone, {deleted} are recorded"
        ));
    }
    violations
}

fn ids(facts: &CloudFacts) -> BTreeSet<&str> {
    let servers = facts.servers.iter().map(|server| server.id.as_str());
    let volumes = facts.volumes.iter().map(|volume| volume.id.as_str());
    servers.chain(volumes).collect()
}

fn steps_done(outcome: &WalkOutcome) -> usize {
    let steps = outcome.record.steps.iter();
    steps
        .filter(|step| step.action.deletes() && step.progress.state == StepState::Done)
        .count()
}

/// A completed failover: each member runs once on the target, on its own bytes; the source keeps only what is listed.
fn completed(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    let plan = &outcome.record.operation.plan;
    let made: Vec<_> = outcome
        .target
        .servers
        .iter()
        .filter(|server| server.metadata.contains_key("protector:operation"))
        .collect();
    if made.len() != plan.members.len() {
        violations.push(format!(
            "{} servers on the target for {} members",
            made.len(),
            plan.members.len()
        ));
    }
    for member in &plan.members {
        let copy = outcome
            .record
            .map
            .target(MapKind::Server, member.server_id.as_str());
        let runs = made
            .iter()
            .any(|server| Some(server.id.as_str()) == copy && server.running);
        if !runs {
            violations.push(format!("{} does not run on the target", member.name));
        }
    }
    let volumes = outcome.target.volumes.len() - outcome.target_before.volumes.len();
    if volumes != plan.volumes().count() {
        violations.push(format!("{volumes} volumes were made on the target"));
    }
    if outcome.group.0.status != GroupStatus::FailedOver {
        violations.push(format!("the group is {}", outcome.group.0.status));
    }
    if outcome.group.0.current_primary_site != plan.target.site {
        violations.push("the group does not run on the target".to_owned());
    }
}

/// I5, I6, I12: what is recorded as deleted is gone; what is there is recorded as left.
fn deletions_agree_with_the_record(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    for step in &outcome.record.steps {
        let there = match &step.action {
            Step::DeleteSourceServer { server } => outcome
                .source
                .servers
                .iter()
                .any(|known| known.id == server.as_str()),
            Step::DeleteSourceVolume { volume } => outcome
                .source
                .volumes
                .iter()
                .any(|known| known.id == volume.as_str()),
            _ => continue,
        };
        let state = step.progress.state;
        let agrees = match state {
            StepState::Done => !there,
            // A deletion may still take effect after its time was up; then it is listed, and cleanup finds it gone.
            StepState::Failed => true,
            _ => there,
        };
        if !agrees {
            violations.push(format!(
                "I5: {} is recorded as {} and is {}",
                step.key,
                state.as_str(),
                if there { "there" } else { "gone" }
            ));
        }
    }
}

/// I4: the bytes of every volume of the group are on the source or, attached to a running server, on the target.
fn no_bytes_lost(outcome: &WalkOutcome, violations: &mut Vec<Violation>) {
    for (_, volume) in outcome.record.operation.plan.volumes() {
        let name = format!("volume-{}", volume.id);
        let bytes = |object: Option<&MemVolume>| object.map(|object| object.bytes.clone());
        let original = bytes(outcome.source_before.objects.get(&name));
        if bytes(outcome.source.objects.get(&name)) == original {
            continue;
        }
        let copy = outcome
            .record
            .map
            .target(MapKind::Volume, volume.id.as_str())
            .map(|id| format!("volume-{id}"));
        let saved = copy.and_then(|copy| outcome.target.objects.get(&copy));
        if bytes(saved) != original {
            violations.push(format!("I4: the bytes of volume {} are lost", volume.id));
        }
    }
}
