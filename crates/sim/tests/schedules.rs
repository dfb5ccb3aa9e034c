//! Every single fault at every journal write and every remote call of a planned failover.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use protector_core::operation::OperationState;
use protector_sim::walker::{Scenario, Schedule, World, WorldOptions, check, walk};

#[tokio::test(start_paused = true)]
async fn a_calm_failover_completes_and_leaves_nothing() {
    let options = WorldOptions {
        members: 2,
        scenario: Scenario::AllWell,
    };
    let outcome = World::build(&options, Schedule { fault: None }).run().await;
    assert_eq!(
        outcome.record.operation.state,
        OperationState::Completed,
        "{:?}",
        outcome.record.operation.error
    );
    assert_eq!(check(&outcome), Vec::<String>::new());
    let failed: Vec<_> = protector_core::operation::steps_failed(&outcome.record.steps);
    assert_eq!(failed, vec![]);
    assert_eq!(outcome.source.servers.len(), 1, "only the bystander stays");
    println!("{} writes, {} calls", outcome.writes, outcome.calls);
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_keeps_the_invariants() {
    every_single_fault_in(Scenario::AllWell).await;
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_cannot_build_is_taken_back() {
    let options = WorldOptions {
        members: 2,
        scenario: Scenario::BuildsFail,
    };
    let outcome = World::build(&options, Schedule { fault: None }).run().await;
    assert_eq!(outcome.record.operation.state, OperationState::Failed);
    let error = outcome.record.operation.error.clone().unwrap();
    assert!(error.contains("No valid host was found."), "{error}");
    assert_eq!(check(&outcome), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_it_is_taken_back_keeps_the_invariants() {
    every_single_fault_in(Scenario::BuildsFail).await;
}

async fn every_single_fault_in(scenario: Scenario) {
    let report = walk(&WorldOptions {
        members: 1,
        scenario,
    })
    .await;
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    assert!(
        report.violations.is_empty(),
        "{} of {} schedules break an invariant:\n{}",
        report.violations.len(),
        report.schedules,
        report
            .violations
            .iter()
            .map(|(schedule, violations)| format!("{schedule:?}: {violations:?}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}
