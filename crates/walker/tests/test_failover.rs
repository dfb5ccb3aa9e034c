//! Faults at every journal write and every remote call of a test failover and of the cleanup that follows it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use protector_core::operation::OperationState;
use protector_walker::{
    Scenario, Schedule, Subject, World, WorldOptions, check, reached_its_purpose, walk,
};

#[tokio::test(start_paused = true)]
async fn a_calm_test_failover_and_its_cleanup_leave_both_sites_as_they_were() {
    let options = WorldOptions::of(Scenario::TEST_ALL_WELL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let operation = &outcome.record.operation;
    assert_eq!(
        operation.state,
        OperationState::Completed,
        "{:?}",
        operation.error
    );
    assert!(operation.finished_at.is_some());
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    let cleanup = outcome.test_cleanup.unwrap();
    let completed = protector_core::operation::steps_completed(&cleanup.steps);
    assert_eq!(completed.len(), 6, "{completed:?}");
    assert!(completed[0].starts_with("delete_test_vm:"), "{completed:?}");
    assert!(
        completed[5].starts_with("delete_test_volume:"),
        "{completed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_test_failover_and_its_cleanup_leaves_production_alone() {
    every_single_fault_in(Scenario::TEST_ALL_WELL).await;
}

#[tokio::test(start_paused = true)]
async fn copies_that_a_tenant_relies_on_outlive_the_test_cleanup_and_go_when_they_are_let_go() {
    let options = WorldOptions::of(Scenario::TEST_COUNTERPARTS_RELIED_ON, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let kept: Vec<(&str, &str)> = outcome
        .kept
        .iter()
        .map(|kept| (kept.step.as_str(), kept.error.as_str()))
        .collect();
    let [server, boot, data, snapped] = kept[..] else {
        panic!("{kept:?}");
    };
    assert!(server.0.starts_with("delete_test_vm:"), "{kept:?}");
    assert!(server.1.contains("locked (audit)"), "{kept:?}");
    for volume in [boot, data] {
        assert!(volume.1.contains("its server was not deleted"), "{kept:?}");
    }
    assert!(snapped.0.starts_with("delete_test_volume:"), "{kept:?}");
    assert!(snapped.1.contains("it has 1 snapshot ("), "{kept:?}");
    assert_eq!(outcome.record.operation.state, OperationState::Completed);
    assert_eq!(check(&outcome), Vec::<String>::new());
    let left = protector_core::operation::steps_failed(&outcome.test_cleanup.unwrap().steps);
    assert_eq!(
        left,
        vec![],
        "the second cleanup took up what the first left"
    );
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_around_copies_that_a_tenant_relies_on() {
    every_single_fault_in(Scenario::TEST_COUNTERPARTS_RELIED_ON).await;
}

#[tokio::test(start_paused = true)]
async fn a_test_failover_that_cannot_build_is_taken_back() {
    let options = WorldOptions::of(Scenario::TEST_BUILDS_FAIL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    assert_eq!(outcome.record.operation.state, OperationState::Failed);
    let error = outcome.record.operation.error.clone().unwrap();
    assert!(error.contains("No valid host was found."), "{error}");
    assert_eq!(check(&outcome), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_a_test_failover_is_taken_back_leaves_production_alone() {
    every_single_fault_in(Scenario::TEST_BUILDS_FAIL).await;
}

async fn every_single_fault_in(scenario: Scenario) {
    let report = walk(&WorldOptions::of(scenario, 1), Subject::Operation).await;
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    assert!(report.schedules > 100, "{}", report.schedules);
    assert_eq!(report.violations, vec![]);
}
