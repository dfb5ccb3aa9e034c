//! What the tries at a member that an unplanned failover did not recover have made for it, once it has left the group.

use protector_core::{
    mark::SOURCE,
    operation::{FailedStep, StepState, steps_failed},
};
use protector_simcloud::cloud::VolumeFacts;
use protector_walker::{Scenario, Schedule, WalkOutcome, World, WorldOptions};

/// What there is on the target for the member that no try has recovered.
fn made_for_the_lost(outcome: &WalkOutcome) -> Vec<String> {
    let Some(lost) = outcome.record.operation.plan.members.last() else {
        return Vec::new();
    };
    let is_its_own = |volume: &&VolumeFacts| {
        let source = volume.metadata.get(SOURCE);
        let mut originals = lost.volumes.iter();
        originals.any(|original| source.is_some_and(|source| *source == original.id.as_str()))
    };
    let servers = outcome.target.servers.iter();
    let servers = servers.filter(|server| server.name == lost.name);
    let imports = outcome.target.volumes.iter().filter(is_its_own);
    servers
        .map(|server| format!("server {}", server.status))
        .chain(imports.map(|volume| format!("volume {}", volume.status)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_made_for_a_member_that_was_given_up_is_cleaned_up_by_hand() {
    for retries in [0, 2] {
        let options = WorldOptions::of(Scenario::SOURCE_LOST_IN_PART, 3);
        let world = World::build(&options, Schedule::default());
        let outcome = world.run_and_give_up(retries, |_| {}).await;
        let lost = outcome.record.operation.plan.members.last().unwrap();
        let steps = outcome.cleanups[0].steps.iter();
        let taken: Vec<_> = steps
            .filter(|step| step.key.starts_with("undo:"))
            .map(|step| (&step.key, step.progress.state, &step.progress.error))
            .collect();
        // Its copy, its ports, and two lines for each volume.
        assert_eq!(taken.len(), 2 + 2 * lost.volumes.len(), "{taken:?}");
        assert!(
            taken.iter().all(|line| line.1 == StepState::Done),
            "{taken:?}"
        );
        assert_eq!(
            made_for_the_lost(&outcome),
            Vec::<String>::new(),
            "after {retries} retries"
        );
        for original in &lost.volumes {
            let mut there = outcome.source.volumes.iter();
            let kept = there.any(|volume| volume.id == original.id.as_str() && volume.has_object);
            assert!(kept, "{} is gone", original.id);
        }
        let running = outcome.target.servers.iter();
        let running = running.filter(|server| server.running).count();
        let others = outcome.record.operation.plan.members.len() - 1;
        assert!(running >= others, "what was recovered runs");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_for_a_member_that_was_given_up_is_kept_when_its_original_is_gone() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_IN_PART, 2);
    let world = World::build(&options, Schedule::default());
    let outcome = world
        .run_and_give_up(0, World::delete_the_last_original)
        .await;
    let lost = outcome.record.operation.plan.members.last().unwrap();
    let made = made_for_the_lost(&outcome);
    let imports = made.iter().filter(|what| what.starts_with("volume"));
    assert_eq!(imports.count(), lost.volumes.len(), "{made:?}");
    let kept = steps_failed(&outcome.cleanups[0].steps);
    let says = |step: &FailedStep| step.error.contains("this may be the last copy");
    assert!(kept.iter().any(says), "{kept:?}");
}
