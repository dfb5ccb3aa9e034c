//! What must hold at the end of a story, whatever people did in it.

use std::collections::BTreeSet;

use protector_core::{
    operation::{OperationRecord, StepState},
    runbook::Step,
};

use crate::{act::WorldSite, life::WorldWatch, violation::Violation, world::World};

/// Checks all that can be seen from the records and the clouds in the end.
pub(crate) fn check_story(
    world: &World,
    life: &WorldWatch,
    records: &[OperationRecord],
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let begun = recorded_as_begun(records);
    for record in records {
        ended(world, record, &mut violations);
        deletions_agree_with_the_record(world, life, record, &begun, &mut violations);
    }
    for place in [WorldSite::Source, WorldSite::Target] {
        bystanders_untouched(world, life, place, &mut violations);
    }
    violations
}

/// I9: everything ends.
fn ended(world: &World, record: &OperationRecord, violations: &mut Vec<Violation>) {
    let operation = &record.operation;
    if !operation.state.is_terminal() {
        let state = operation.state.as_str();
        let at = record
            .steps
            .iter()
            .find(|step| matches!(step.progress.state, StepState::Running | StepState::Undoing))
            .map(|step| format!("{}: {:?}", step.key, step.progress));
        violations.push(format!("I9: {} is still {state}: {at:?}", operation.id));
    }
    if world.journal.is_locked(&operation.id) {
        violations.push(format!("I9: {} still holds its lock", operation.id));
    }
}

/// The servers and volumes whose deletion a record says was begun, whatever has become of it: an adoption deletes what the
/// failed move was to, and a deletion whose site is lost meanwhile is carried out without its answer.
fn recorded_as_begun(records: &[OperationRecord]) -> BTreeSet<&str> {
    let steps = records.iter().flat_map(|record| &record.steps);
    steps
        .filter(|step| !is_untold(step.progress.state))
        .filter_map(|step| match &step.action {
            Step::DeleteSourceServer { server } => Some(server.as_str()),
            Step::DeleteSourceVolume { volume } => Some(volume.as_str()),
            _ => None,
        })
        .collect()
}

fn is_untold(state: StepState) -> bool {
    matches!(state, StepState::Skipped | StepState::Pending)
}

/// I5: what is recorded as deleted is gone, and nothing is whose deletion was never begun.
fn deletions_agree_with_the_record(
    world: &World,
    life: &WorldWatch,
    record: &OperationRecord,
    begun: &BTreeSet<&str>,
    violations: &mut Vec<Violation>,
) {
    let home = match record.operation.source_site == world.source_site() {
        true => WorldSite::Source,
        false => WorldSite::Target,
    };
    let facts = home.of(world).facts();
    for step in &record.steps {
        let (id, there) = match &step.action {
            Step::DeleteSourceServer { server } => {
                let id = server.as_str();
                (id, facts.servers.iter().any(|known| known.id == id))
            }
            Step::DeleteSourceVolume { volume } => {
                let id = volume.as_str();
                (id, facts.volumes.iter().any(|known| known.id == id))
            }
            _ => continue,
        };
        if step.progress.state == StepState::Done && there {
            violations.push(format!("I5: {} is recorded as done and is there", step.key));
        }
        let untold = is_untold(step.progress.state);
        let by_nobody = !begun.contains(id) && !life.is_peoples_work(id);
        if untold && !there && by_nobody && !life.is_forgetful() {
            violations.push(format!("I5: {} was never begun and is gone", step.key));
        }
    }
}

/// I1: what was there before and belongs to no member is there as it was, whatever its metadata say.
fn bystanders_untouched(
    world: &World,
    life: &WorldWatch,
    place: WorldSite,
    violations: &mut Vec<Violation>,
) {
    let site = place.of(world);
    let now = site.facts();
    let Some(record) = world.journal.operation(&world.operation) else {
        return;
    };
    let plan = &record.operation.plan;
    let servers = plan.members.iter().map(|member| member.server_id.as_str());
    let volumes = plan.volumes().map(|(_, volume)| volume.id.as_str());
    let members: BTreeSet<&str> = servers.chain(volumes).collect();
    let is_bystander = |id: &str| !members.contains(id) && !life.is_peoples_work(id);
    for before in site
        .before
        .servers
        .iter()
        .filter(|known| is_bystander(&known.id))
    {
        let after = now.servers.iter().find(|known| known.id == before.id);
        let same = after
            .is_some_and(|after| after.status == before.status && after.volumes == before.volumes);
        if !same {
            violations.push(format!("I1: server {} is not as it was", before.id));
        }
    }
    for before in site
        .before
        .volumes
        .iter()
        .filter(|known| is_bystander(&known.id))
    {
        if !now.volumes.iter().any(|known| known.id == before.id) {
            violations.push(format!("I1: volume {} is gone", before.id));
        }
    }
}
