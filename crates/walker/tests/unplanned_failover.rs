//! Unplanned failovers while the source is cut off, with every single fault; and another try at what was not recovered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use protector_core::{
    group::GroupStatus,
    mark::SOURCE,
    member::MemberStatus,
    operation::{
        FailedStep, MapKind, OperationRecord, OperationState, steps_completed, steps_failed,
    },
};
use protector_walker::{
    Fault, FaultPoint, Scenario, Schedule, Subject, World, WorldOptions, check,
    reached_its_purpose, walk,
};

#[tokio::test(start_paused = true)]
async fn a_group_is_recovered_while_its_source_hangs_and_nothing_asks_it() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let operation = &outcome.record.operation;
    assert_eq!(
        operation.state,
        OperationState::Completed,
        "{:?}",
        operation.error
    );
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    assert_eq!(outcome.calls_on_source, 0);
    let took = operation.finished_at.unwrap() - operation.started_at.unwrap();
    assert!(
        took.num_seconds() < 60,
        "nothing waited for the dead site: {took}"
    );
    assert_eq!(
        steps_completed(&outcome.record.steps),
        [
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "restore_delete_on_termination:vm-001",
            "restore_delete_on_termination:vm-002"
        ]
    );
    let failed = steps_failed(&outcome.record.steps);
    assert_eq!(
        failed.len(),
        6,
        "two VMs and four volumes are left: {failed:?}"
    );
    for left in failed {
        assert!(
            left.error
                .starts_with("kept: an unplanned failover does not touch site-a"),
            "{}",
            left.error
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_an_unplanned_failover() {
    every_single_fault_in(&WorldOptions::of(Scenario::SOURCE_LOST, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_unplanned_failover_that_recovers_nobody_is_taken_back() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_BUILDS_FAIL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let operation = &outcome.record.operation;
    assert_eq!(operation.state, OperationState::Failed);
    let error = operation.error.clone().unwrap();
    assert!(
        error.contains("none of the 2 members could be recovered"),
        "{error}"
    );
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(outcome.group.0.status, GroupStatus::Active);
}

/// Its source is lost, it runs, and people may be at work on it: that its probe finds nobody is no reason to delete it.
#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_is_kept_though_no_member_answered_its_probe() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_PROBE_FAILS, 1);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let operation = &outcome.record.operation;
    let error = operation.error.clone().unwrap_or_default();
    assert!(
        error.contains("none of the 1 members could be recovered"),
        "{error}"
    );
    let member = &operation.plan.members[0];
    let copies = outcome.target.servers.iter();
    let copy = copies
        .filter(|server| {
            server.metadata.get(SOURCE).map(String::as_str) == Some(member.server_id.as_str())
        })
        .find(|server| server.running)
        .map(|server| server.id.as_str())
        .expect("the copy runs on");
    let failed = steps_failed(&outcome.record.steps);
    let key = format!("undo:recreate_vms:{}", member.name);
    let kept = failed.iter().find(|step| step.step == key);
    let why = &kept.unwrap_or_else(|| panic!("{failed:?}")).error;
    for said in [
        copy,
        "is ACTIVE",
        "site-a, which has its original, is lost",
        "openstack dr operation adopt",
        "openstack dr operation cleanup",
    ] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
    let imports = outcome.target.volumes.len() - outcome.target_before.volumes.len();
    assert_eq!(imports, member.volumes.len(), "what it runs on stays");
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_while_an_unplanned_failover_is_taken_back() {
    every_single_fault_in(&WorldOptions::of(Scenario::SOURCE_LOST_BUILDS_FAIL, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_recovered_is_recovered_by_a_retry() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_IN_PART, 3);
    let outcome = World::build(&options, Schedule::default()).run().await;
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    let record = &outcome.record;
    let last = &record.operation.plan.members[2];
    let failed: Vec<String> = steps_failed(&record.steps)
        .into_iter()
        .map(|step| step.step)
        .collect();
    assert!(
        failed.contains(&format!("recreate_vms:{}", last.name)),
        "{failed:?}"
    );
    assert!(
        !failed.iter().any(|step| step.starts_with("confirm_vms")),
        "said once: {failed:?}"
    );
    let why = steps_failed(&record.steps)
        .into_iter()
        .find(|step| {
            step.resource_id.as_deref() == Some(last.server_id.as_str())
                && step.step.starts_with("delete_source_vm")
        })
        .unwrap();
    assert!(
        why.error.contains("its VM was not recovered on site-b"),
        "{}",
        why.error
    );
    let retry = outcome.retry.unwrap();
    assert_eq!(
        retry.operation.state,
        OperationState::Completed,
        "{:?}",
        retry.operation.error
    );
    let (group, members) = &outcome.group;
    assert_eq!(group.status, GroupStatus::FailedOver);
    assert!(
        members
            .iter()
            .all(|member| member.status == MemberStatus::Protected)
    );
}

/// What it has written since the recovery point is only there.
#[tokio::test(start_paused = true)]
async fn a_retry_builds_nothing_beside_an_original_that_is_back() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_AND_BACK_BEFORE_RETRY, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    assert_eq!(check(&outcome), Vec::<String>::new());
    let last = &outcome.record.operation.plan.members[1];
    let retry = outcome.retry.unwrap();
    let failed = steps_failed(&retry.steps);
    let build = format!("recreate_vms:{}", last.name);
    let why = failed.iter().find(|step| step.step == build);
    let why = &why.unwrap_or_else(|| panic!("{failed:?}")).error;
    assert!(
        why.contains("is back on site-a (ACTIVE) and may run"),
        "{why}"
    );
    assert!(why.contains("a failback of"), "the way on: {why}");
    assert_eq!(
        outcome.target.servers.len(),
        outcome.target_before.servers.len() + 1
    );
    let (group, _) = &outcome.group;
    assert_eq!(group.status, GroupStatus::FailedOverPartial);
}

/// One call that is turned away or not answered does not make a site that is back a lost one.
#[tokio::test(start_paused = true)]
async fn a_source_that_turns_one_call_away_is_not_taken_for_lost() {
    let options = one_volume_each(Scenario::SOURCE_LOST_AND_BACK_BEFORE_RETRY);
    let calm = World::build(&options, Schedule::default()).run().await;
    for number in 1..=calm.calls {
        let schedule = Schedule {
            faults: vec![(Fault::RetryAfter, FaultPoint::Call(number))],
            acts: Vec::new(),
        };
        let outcome = World::build(&options, schedule).run().await;
        let copies = outcome.target.servers.len() - outcome.target_before.servers.len();
        assert_eq!(copies, 1, "the retry built another one: call {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_in_part_and_its_retry() {
    every_single_fault_in(&one_volume_each(Scenario::SOURCE_LOST_IN_PART)).await;
}

/// The runs whose every call and write is disturbed have one volume for each member.
fn one_volume_each(scenario: Scenario) -> WorldOptions {
    WorldOptions {
        data_volumes: 0,
        ..WorldOptions::of(scenario, 2)
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_did_not_answer_its_probe_is_the_one_that_a_retry_recovers() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_PROBE_FAILS, 2);
    recovered_by_the_last_retry(&options).await;
}

fn restored(record: &OperationRecord, member: usize) -> Vec<String> {
    let name = &record.operation.plan.members[member].name;
    let key = format!("restore_delete_on_termination:{name}");
    let line = record.steps.iter().find(|step| step.key == key);
    line.unwrap().progress.memo.facts.clone()
}

/// Its disks are what a retry goes on from, or a cleanup looks at: they must not go with a copy that somebody deletes.
#[tokio::test(start_paused = true)]
async fn the_disks_of_a_copy_that_the_switch_did_not_take_in_outlive_it() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_PROBE_FAILS, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let record = &outcome.record;
    let last = &record.operation.plan.members[1];
    let built = record.map.target(MapKind::Server, last.server_id.as_str());
    assert!(built.is_some(), "it has a copy");
    assert_eq!(restored(record, 1), ["not done: it was not recovered"]);
    let turned_on = restored(record, 0).join("; ");
    assert!(turned_on.contains("was turned on"), "{turned_on}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_never_came_to_a_copy_does_not_hide_it_from_the_next() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_RETRY_SKIPPED, 2);
    recovered_by_the_last_retry(&options).await;
}

/// The failover has built the last member, which did not answer; the last retry takes that copy into the group.
async fn recovered_by_the_last_retry(options: &WorldOptions) {
    let outcome = World::build(options, Schedule::default()).run().await;
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    let record = &outcome.record;
    let last = &record.operation.plan.members[1];
    let failed = steps_failed(&record.steps);
    let probe = failed
        .iter()
        .find(|step| step.step.starts_with("probe_vms"));
    assert_eq!(
        probe.unwrap().error,
        "probe timeout after 10s",
        "{failed:?}"
    );
    let built = record.map.target(MapKind::Server, last.server_id.as_str());
    let retry = outcome.retry.unwrap();
    assert_eq!(
        retry.operation.state,
        OperationState::Completed,
        "{:?}",
        steps_failed(&retry.steps)
    );
    let (group, members) = &outcome.group;
    assert_eq!(group.status, GroupStatus::FailedOver);
    let recovered = members.iter().find(|member| member.id == last.id).unwrap();
    assert_eq!(
        Some(recovered.server_id.as_str()),
        built,
        "the copy that runs is the one that was built"
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_cinder_renamed_and_did_not_import_is_imported_by_a_retry() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_IMPORTS_FAIL, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let failed = steps_failed(&outcome.record.steps);
    let import = failed
        .iter()
        .find(|step| step.step.starts_with("manage_volumes"));
    let why = &import.unwrap().error;
    assert!(why.contains("could not import it"), "{why}");
    let retry = outcome.retry.as_ref().unwrap();
    assert_eq!(steps_failed(&retry.steps), [], "{:?}", outcome.target);
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_comes_up_late_is_kept_by_a_retry_that_was_to_take_it_back() {
    let options = WorldOptions::of(Scenario::SOURCE_LOST_BUILD_ANSWERED_LATE, 2);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let failed = steps_failed(&outcome.record.steps);
    let builds = |failed: &[FailedStep]| {
        let of_copies = |step: &&FailedStep| step.step.starts_with("recreate_vms");
        failed.iter().filter(of_copies).count()
    };
    assert_eq!(builds(&failed), 1, "{failed:?}");
    let retry = outcome.retry.as_ref().unwrap();
    assert_eq!(steps_failed(&retry.steps), []);
    let taken_back = retry
        .steps
        .iter()
        .find(|step| step.phase_name == "take_back_vms")
        .unwrap();
    let facts = &taken_back.progress.memo.facts;
    assert!(
        facts.iter().any(|fact| fact.ends_with("has come up since")),
        "{facts:?}"
    );
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_whose_copy_comes_up_late_and_its_retry() {
    every_single_fault_in(&one_volume_each(Scenario::SOURCE_LOST_BUILD_ANSWERED_LATE)).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_whose_imports_fail_and_its_retry() {
    every_single_fault_in(&one_volume_each(Scenario::SOURCE_LOST_IMPORTS_FAIL)).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_without_an_answer_and_its_retry() {
    every_single_fault_in(&one_volume_each(Scenario::SOURCE_LOST_PROBE_FAILS)).await;
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_and_two_retries() {
    every_single_fault_in(&one_volume_each(Scenario::SOURCE_LOST_RETRY_SKIPPED)).await;
}

async fn every_single_fault_in(options: &WorldOptions) {
    let report = walk(options, Subject::Operation).await;
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    assert!(report.schedules > 100, "{}", report.schedules);
    assert_eq!(report.violations, vec![]);
}
