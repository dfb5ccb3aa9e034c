//! Faults at every journal write and every remote call: of a planned failover, of one that is taken back, and of the
//! cleanups that follow. Every single one, then pairs of them chosen by a seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use std::time::Duration;

use protector_core::{
    group::GroupStatus,
    operation::{OperationState, StepState},
    runbook::Step,
};
use protector_simcloud::cloud::ServerFacts;
use protector_walker::{
    LATE_BUILD, Report, Scenario, Schedule, SeededRandom, Subject, VERY_LATE_BUILD, WalkOutcome,
    World, WorldOptions, check, nothing_left_after_cleanup, reached_its_purpose, walk, walk_pairs,
};

/// Another seed: `PROTECTOR_SEED=7 cargo nextest run pairs`.
const SEED_VARIABLE: &str = "PROTECTOR_SEED";
/// Pairs of each kind in a short run.
const FEW: usize = 60;
/// In a long one (`make soak`).
const MANY: usize = 1500;

const ONE_CLEANUP: Subject = Subject::Cleanup { at_once: 1 };
const TWO_CLEANUPS: Subject = Subject::Cleanup { at_once: 2 };

fn seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok();
    given.map_or(20_260_101, |seed| seed.parse().expect("a number"))
}

fn nothing_is_broken(report: &Report) {
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

async fn every_single_fault(scenario: Scenario, subject: Subject) {
    nothing_is_broken(&walk(&WorldOptions::of(scenario, 1), subject).await);
}

async fn pairs(scenario: Scenario, subject: Subject, count: usize) {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    nothing_is_broken(&walk_pairs(&WorldOptions::of(scenario, 1), subject, seed, count).await);
}

#[tokio::test(start_paused = true)]
async fn a_calm_failover_completes_and_leaves_nothing() {
    let options = WorldOptions::of(Scenario::ALL_WELL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
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
    assert!(!outcome.changes_on_source.is_empty(), "changes are seen");
    println!("{} writes, {} calls", outcome.writes, outcome.calls);
}

/// One server cannot be built, and the request for the other one is not answered while everything is taken back.
async fn one_build_is_answered_late(scenario: Scenario) -> WalkOutcome {
    let outcome = World::build(&WorldOptions::of(scenario, 2), Schedule::default())
        .run()
        .await;
    let operation = &outcome.record.operation;
    assert_eq!(operation.state, OperationState::Failed);
    let error = operation.error.as_deref().unwrap();
    assert!(error.contains("No valid host was found"), "{error}");
    assert!(!outcome.ran_twice, "a server ran beside its copy");
    assert_eq!(check(&outcome), Vec::<String>::new());
    outcome
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_build_is_answered_late_is_taken_back_before_its_original_starts() {
    let outcome = one_build_is_answered_late(Scenario::BUILD_ANSWERED_LATE).await;
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    assert!(took(&outcome) > LATE_BUILD, "{:?}", took(&outcome));
}

#[tokio::test(start_paused = true)]
async fn an_original_stays_stopped_while_a_volume_shows_that_its_copy_may_run() {
    let outcome = one_build_is_answered_late(Scenario::BUILD_ANSWERED_VERY_LATE).await;
    assert!(took(&outcome) > VERY_LATE_BUILD, "{:?}", took(&outcome));
    assert_eq!(outcome.group.0.status, GroupStatus::Error);
    let last = &outcome.record.operation.plan.members[1];
    let marked = |server: &&ServerFacts| {
        server.metadata.get("protector:source").map(String::as_str) == Some(last.server_id.as_str())
    };
    let copy = outcome.target.servers.iter().find(marked).unwrap();
    // Its port is gone by then, so that Nova cannot build it; nobody has heard of that either.
    assert_eq!(copy.status, "ERROR", "{copy:?}");
    let why = |action: &Step| {
        let step = outcome
            .record
            .steps
            .iter()
            .find(|step| step.action == *action);
        let progress = &step.unwrap().progress;
        assert_eq!(progress.state, StepState::UndoFailed, "{progress:?}");
        progress.error.clone().unwrap()
    };
    for volume in &last.volumes {
        let volume = volume.id.clone();
        assert_eq!(
            why(&Step::ManageVolume { volume }),
            format!(
                "Cinder timeout after 300s: volume status reserved, held for server {}",
                copy.id
            )
        );
    }
    let server = last.server_id.clone();
    let stays_stopped = why(&Step::StopServer { server });
    assert!(
        stays_stopped.starts_with("not started: its copy may still run on site-b"),
        "{stays_stopped}"
    );
    assert!(stays_stopped.contains(&copy.id), "{stays_stopped}");
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_with_a_build_that_is_answered_late() {
    let options = WorldOptions {
        data_volumes: 0,
        ..WorldOptions::of(Scenario::BUILD_ANSWERED_LATE, 2)
    };
    nothing_is_broken(&walk(&options, Subject::Operation).await);
}

fn took(outcome: &WalkOutcome) -> Duration {
    let operation = &outcome.record.operation;
    let took = operation.finished_at.unwrap() - operation.started_at.unwrap();
    took.to_std().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_cannot_build_is_taken_back() {
    let options = WorldOptions::of(Scenario::BUILDS_FAIL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    assert_eq!(outcome.record.operation.state, OperationState::Failed);
    let error = outcome.record.operation.error.clone().unwrap();
    assert!(error.contains("No valid host was found."), "{error}");
    assert_eq!(check(&outcome), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_a_failover_could_not_delete_is_left_and_cleaned_up_later() {
    let options = WorldOptions::of(Scenario::DELETIONS_FAIL, 2);
    let left = World::build(&options, Schedule::default()).run().await;
    assert_eq!(left.record.operation.state, OperationState::Completed);
    assert_eq!(
        left.source.servers,
        left.source_before
            .servers
            .iter()
            .map(|server| {
                left.source
                    .servers
                    .iter()
                    .find(|there| there.id == server.id)
                    .cloned()
                    .unwrap()
            })
            .collect::<Vec<_>>()
    );
    let outcome = World::build(&options, Schedule::default())
        .run_and_clean_up(1)
        .await;
    assert_eq!(nothing_left_after_cleanup(&outcome), Vec::<String>::new());
    assert_eq!(outcome.cleanups.len(), 1, "one is enough");
    assert_eq!(outcome.source.servers.len(), 1, "only the bystander stays");
}

#[tokio::test(start_paused = true)]
async fn what_a_failover_could_not_take_back_is_left_and_cleaned_up_later() {
    let options = WorldOptions::of(Scenario::UNDO_FAILS, 2);
    let left = World::build(&options, Schedule::default()).run().await;
    assert_eq!(left.record.operation.state, OperationState::Failed);
    let stays = left.record.steps.iter();
    assert!(
        stays
            .filter(|step| step.progress.state == StepState::UndoFailed)
            .count()
            > 2
    );
    let outcome = World::build(&options, Schedule::default())
        .run_and_clean_up(1)
        .await;
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(nothing_left_after_cleanup(&outcome), Vec::<String>::new());
    assert_eq!(outcome.cleanups.len(), 1, "one is enough");
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_keeps_the_invariants() {
    every_single_fault(Scenario::ALL_WELL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_it_is_taken_back_keeps_the_invariants() {
    every_single_fault(Scenario::BUILDS_FAIL, Subject::Operation).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_leftovers_are_cleaned_up_keeps_the_invariants() {
    every_single_fault(Scenario::DELETIONS_FAIL, ONE_CLEANUP).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_floating_ips_are_released_keeps_the_invariants() {
    every_single_fault(Scenario::FLOATING_IPS_RELEASED, ONE_CLEANUP).await;
}

#[tokio::test(start_paused = true)]
async fn a_floating_ip_is_released_once_its_server_is_gone_and_what_the_recovery_plan_names_is_kept()
 {
    let options = WorldOptions::of(Scenario::FLOATING_IPS_RELEASED, 2);
    let outcome = World::build(&options, Schedule::default())
        .run_and_clean_up(1)
        .await;
    assert_eq!(nothing_left_after_cleanup(&outcome), Vec::<String>::new());
    let first = &outcome.cleanups[0].steps;
    let failed = protector_core::operation::steps_failed(first);
    assert_eq!(failed.len(), 2, "{failed:?}");
    for kept in &failed {
        assert!(kept.error.contains("recovery plan names it"), "{kept:?}");
    }
    let again = protector_core::operation::steps_failed(&outcome.cleanups[1].steps);
    assert_eq!(
        again.len(),
        outcome.cleanups[1].steps.len(),
        "what is done is skipped"
    );
    for server in &outcome.record.operation.plan.members {
        let ended = |of: &dyn Fn(&Step) -> bool| {
            let step = first.iter().find(|step| of(&step.action)).unwrap();
            (step.progress.started_at, step.progress.finished_at)
        };
        let deletion = ended(
            &|step| matches!(step, Step::DeleteSourceServer { server: of } if *of == server.server_id),
        );
        let release = ended(
            &|step| matches!(step, Step::ReleaseFloatingIp { server: of, .. } if *of == server.server_id),
        );
        assert!(release.0 >= deletion.1, "{release:?} {deletion:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_a_failed_failover_is_cleaned_up_keeps_the_invariants() {
    every_single_fault(Scenario::UNDO_FAILS, ONE_CLEANUP).await;
}

/// The API lets one cleanup run at a time; the deletions themselves must not depend on that.
#[tokio::test(start_paused = true)]
async fn every_single_fault_in_two_cleanups_at_once_keeps_the_invariants() {
    every_single_fault(Scenario::DELETIONS_FAIL, TWO_CLEANUPS).await;
}

#[tokio::test(start_paused = true)]
async fn pairs_of_faults_keep_the_invariants() {
    pairs(Scenario::ALL_WELL, Subject::Operation, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn pairs_of_faults_while_it_is_taken_back_keep_the_invariants() {
    pairs(Scenario::BUILDS_FAIL, Subject::Operation, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn pairs_of_faults_while_leftovers_are_cleaned_up_keep_the_invariants() {
    pairs(Scenario::DELETIONS_FAIL, ONE_CLEANUP, FEW).await;
    pairs(Scenario::UNDO_FAILS, ONE_CLEANUP, FEW).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes: make soak"]
async fn soak_many_pairs_of_faults() {
    let mut dice = SeededRandom::new(seed());
    for (scenario, subject) in [
        (Scenario::ALL_WELL, Subject::Operation),
        (Scenario::BUILDS_FAIL, Subject::Operation),
        (Scenario::DELETIONS_FAIL, ONE_CLEANUP),
        (Scenario::DELETIONS_FAIL, TWO_CLEANUPS),
        (Scenario::UNDO_FAILS, ONE_CLEANUP),
    ] {
        let seed = dice.roll();
        println!("{scenario:?}, {subject:?}: {SEED_VARIABLE}={seed}");
        let options = WorldOptions::of(scenario, 1);
        nothing_is_broken(&walk_pairs(&options, subject, seed, MANY).await);
    }
}
