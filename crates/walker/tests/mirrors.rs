//! Faults at every journal write and every remote call of moves between arrays that mirror and promote in place, as those of
//! `schedules.rs` are between arrays that copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use chrono::TimeDelta;
use protector_core::{
    operation::{OperationRecord, OperationState, StepState},
    runbook::Step,
    storage::PromotionKind,
};
use protector_walker::{
    FIRST_COPY, Points, Scenario, Schedule, Story, Subject, WalkOutcome, World, WorldOptions,
    check, walk, walk_aborts, walk_mirrored_story,
};

/// Long before what hangs runs out of its time.
const SOON: TimeDelta = TimeDelta::minutes(2);

async fn calm(scenario: Scenario) -> WalkOutcome {
    let options = WorldOptions::mirrored(scenario, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    assert_eq!(check(&outcome), Vec::<String>::new());
    outcome
}

async fn every_single_fault(scenario: Scenario, subject: Subject) {
    let report = walk(&WorldOptions::mirrored(scenario, 1), subject).await;
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    assert_eq!(report.violations, vec![]);
}

#[tokio::test(start_paused = true)]
async fn a_move_swaps_the_sides_of_each_mirror() {
    let outcome = calm(Scenario::ALL_WELL).await;
    let operation = &outcome.record.operation;
    assert_eq!(operation.state, OperationState::Completed, "{operation:?}");
    assert_eq!(
        outcome.mirrors.len(),
        4,
        "two members with two volumes each"
    );
    let failed = protector_core::operation::steps_failed(&outcome.record.steps);
    assert_eq!(failed, vec![]);
    let replicas = outcome.source.objects.values();
    let replicas = replicas.filter(|object| object.is_replica()).count();
    assert_eq!(replicas, 4, "Cinder forgot them, and their bytes stay");
    for step in &outcome.record.steps {
        if step.phase_name == "delete_source_volume" {
            let facts = step.progress.memo.facts.join("; ");
            assert!(facts.contains("unmanaged instead of deleted"), "{facts}");
            assert!(!facts.contains("is not the copy's"), "{facts}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_taken_back_leaves_each_mirror_as_it_was() {
    let outcome = calm(Scenario::BUILDS_FAIL).await;
    assert_eq!(outcome.record.operation.state, OperationState::Failed);
}

/// I8: what one volume waits for, until its time is up, is waited for by no server but its own.
#[tokio::test(start_paused = true)]
async fn a_volume_that_cannot_be_let_go_of_keeps_no_server_stopped_but_its_own() {
    let outcome = calm(Scenario::ONE_UNDO_FAILS).await;
    let steps = &outcome.record.steps;
    let turned = steps
        .iter()
        .filter_map(|step| step.progress.undo_started_at);
    let turned = turned.min().unwrap();
    let members = &outcome.record.operation.plan.members;
    let start = |member: usize| {
        let server = members[member].server_id.clone();
        let stop = Step::StopServer { server };
        &steps
            .iter()
            .find(|step| step.action == stop)
            .unwrap()
            .progress
    };
    assert_eq!(start(0).state, StepState::UndoFailed, "{:?}", start(0));
    let why = start(0).error.as_deref().unwrap();
    assert!(why.contains("may take no writes yet"), "{why}");
    assert_eq!(start(1).state, StepState::Undone, "{:?}", start(1));
    let after = start(1).finished_at.unwrap() - turned;
    assert!(after < SOON, "it was started {after} after the failure");
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_move_with_a_volume_that_cannot_be_let_go_of() {
    let options = WorldOptions {
        data_volumes: 0,
        ..WorldOptions::mirrored(Scenario::ONE_UNDO_FAILS, 2)
    };
    let report = walk(&options, Subject::Cleanup { at_once: 1 }).await;
    println!("{} schedules", report.schedules);
    assert_eq!(report.violations, vec![]);
}

#[tokio::test(start_paused = true)]
async fn the_first_full_copy_is_waited_for_before_anything_is_stopped() {
    let outcome = calm(Scenario::FIRST_COPY_IS_NOT_THERE).await;
    let operation = &outcome.record.operation;
    assert_eq!(operation.state, OperationState::Completed, "{operation:?}");
    let first_copy = TimeDelta::from_std(FIRST_COPY).unwrap();
    let took = operation.finished_at.unwrap() - operation.started_at.unwrap();
    assert!(took >= first_copy, "{took}");
    for step in &outcome.record.steps {
        if matches!(step.action, Step::StopServer { .. }) {
            let down = operation.finished_at.unwrap() - step.progress.started_at.unwrap();
            assert!(down < first_copy, "{} was down for {down}", step.key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_move_keeps_the_invariants() {
    every_single_fault(Scenario::ALL_WELL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_move_that_is_taken_back_keeps_the_invariants() {
    every_single_fault(Scenario::BUILDS_FAIL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_move_that_retains_its_source_keeps_the_invariants() {
    every_single_fault(Scenario::VOLUMES_RETAINED, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_cleanup_keeps_the_invariants() {
    every_single_fault(Scenario::DELETIONS_FAIL, Subject::Cleanup { at_once: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_cleanup_of_what_could_not_be_taken_back_keeps_the_invariants() {
    every_single_fault(Scenario::UNDO_FAILS, Subject::Cleanup { at_once: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_test_keeps_the_invariants() {
    every_single_fault(Scenario::TEST_ALL_WELL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn an_unplanned_failover_promotes_without_the_source_and_loses_what_came_later() {
    let outcome = calm(Scenario::SOURCE_LOST).await;
    let operation = &outcome.record.operation;
    assert_eq!(operation.state, OperationState::Completed, "{operation:?}");
    assert_eq!(outcome.calls_on_source, 0);
    let both = outcome
        .source
        .objects
        .values()
        .chain(outcome.target.objects.values());
    let primary = both.filter(|object| object.mirror.is_some() && !object.is_replica());
    assert_eq!(
        primary.count(),
        8,
        "the lost side does not know of its loss"
    );
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_an_unplanned_failover_keeps_the_invariants() {
    every_single_fault(Scenario::SOURCE_LOST, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_an_unplanned_failover_that_is_taken_back_keeps_the_invariants() {
    every_single_fault(Scenario::SOURCE_LOST_BUILDS_FAIL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_retry_keeps_the_invariants() {
    let options = WorldOptions::mirrored(Scenario::SOURCE_LOST_IN_PART, 2);
    let report = walk(&options, Subject::Operation).await;
    println!("{} schedules", report.schedules);
    assert_eq!(report.violations, vec![]);
}

/// In peace: the way there, and the way back along the same mirror.
async fn told(story: Story) -> Vec<OperationRecord> {
    let options = WorldOptions {
        promotion: PromotionKind::InPlace,
        ..story.world()
    };
    let schedule = Schedule::default();
    let told = World::build(&options, schedule.clone())
        .tell(story, &schedule)
        .await;
    let ended = |record: &OperationRecord| {
        let operation = &record.operation;
        (operation.kind, operation.state)
    };
    let ends: Vec<_> = told.records.iter().map(ended).collect();
    assert!(
        ends.len() > 2
            && ends
                .iter()
                .all(|(_, state)| *state == OperationState::Completed),
        "{ends:?}"
    );
    assert_eq!(told.violations, Vec::<String>::new());
    told.records
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_there_and_back_along_its_mirrors() {
    told(Story::ThereAndBack).await;
    told(Story::RetainedAndBack).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_site_that_was_fenced_and_cleaned_up_is_a_replica() {
    let records = told(Story::Fenced).await;
    let ended = |action: fn(&Step) -> bool| {
        let steps = records.iter().flat_map(|record| &record.steps);
        let of_one = steps.filter(move |step| action(&step.action));
        of_one.map(|step| step.progress.state).collect::<Vec<_>>()
    };
    let closed = ended(|step| matches!(step, Step::FenceVolume { .. }));
    assert_eq!(closed, [StepState::Done, StepState::Done]);
    let resynced = ended(|step| matches!(step, Step::ResyncVolume { .. }));
    assert_eq!(resynced, [StepState::Done, StepState::Done]);
}

/// Whatever was fenced or promoted when it was lost: the servers run again, on disks that take writes, and the move finds that
/// when its home is back.
#[tokio::test(start_paused = true)]
async fn a_move_whose_home_is_lost_at_any_point_is_given_up_where_its_volumes_are_fenced() {
    let report = walk_aborts(&WorldOptions::mirrored(Scenario::ALL_WELL, 1)).await;
    println!("{} schedules", report.schedules);
    assert!(report.schedules > 300, "{}", report.schedules);
    assert_eq!(report.violations, vec![]);
}

/// A fence, what it closes, and the cleanup that makes it a replica.
#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_fence_and_its_cleanup_keeps_what_was_announced() {
    let report = walk_mirrored_story(Story::Fenced, Points::All).await;
    println!("{} schedules", report.schedules);
    assert_eq!(report.violations, vec![]);
}

#[tokio::test(start_paused = true)]
async fn faults_on_the_way_there_and_back_keep_what_was_written() {
    let points = Points::Some {
        count: 200,
        seed: 20_260_101,
    };
    let report = walk_mirrored_story(Story::ThereAndBack, points).await;
    println!("{} schedules", report.schedules);
    assert_eq!(report.violations, vec![]);
}
