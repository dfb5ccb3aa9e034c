//! A failover in the order of a recovery plan, with probes, hooks and a pause, and with every single fault in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use chrono::{DateTime, Utc};
use protector_core::operation::{OperationRecord, OperationState, steps_completed};
use protector_walker::{
    Scenario, Schedule, Subject, World, WorldOptions, check, reached_its_purpose, walk,
};

fn began(record: &OperationRecord, key: &str) -> DateTime<Utc> {
    let step = record.steps.iter().find(|step| step.key == key);
    step.and_then(|step| step.progress.started_at)
        .unwrap_or_else(|| panic!("{key} has not begun"))
}

fn ended(record: &OperationRecord, key: &str) -> DateTime<Utc> {
    let step = record.steps.iter().find(|step| step.key == key);
    step.and_then(|step| step.progress.finished_at)
        .unwrap_or_else(|| panic!("{key} has not ended"))
}

#[tokio::test(start_paused = true)]
async fn members_start_in_the_order_of_the_plan_and_what_is_between_happens_between() {
    let options = WorldOptions::of(Scenario::IN_ORDER, 3);
    let outcome = World::build(&options, Schedule::default()).run().await;
    let record = &outcome.record;
    assert_eq!(
        record.operation.state,
        OperationState::Completed,
        "{:?}",
        record.operation.error
    );
    assert_eq!(check(&outcome), Vec::<String>::new());
    assert_eq!(reached_its_purpose(&outcome), Vec::<String>::new());
    let completed = steps_completed(&record.steps);
    assert_eq!(
        completed[..9],
        [
            "call_hook:first",
            "promote_volumes",
            "manage_volumes",
            "pause:0",
            "recreate_vms",
            "probe_vms",
            "call_hook:between",
            "pause:1",
            "call_hook:last",
        ]
    );
    assert!(
        completed[9].starts_with("delete_source_vm:"),
        "{completed:?}"
    );
    let members = &record.operation.plan.members;
    let [one, two, three] = [0, 1, 2].map(|place| members[place].name.clone());
    assert!(ended(record, "call_hook:first") <= began(record, &format!("stop_source_vms:{one}")));
    assert!(ended(record, &format!("probe_vms:{one}")) <= began(record, "call_hook:between"));
    assert!(ended(record, "call_hook:between") <= began(record, "pause:1"));
    for later in [two, three] {
        assert!(ended(record, "pause:1") <= began(record, &format!("recreate_vms:{later}")));
    }
    let facts: Vec<&String> = record
        .steps
        .iter()
        .flat_map(|step| &step.progress.memo.facts)
        .collect();
    assert!(
        facts
            .iter()
            .any(|fact| *fact == "user the person let it go on"),
        "{facts:?}"
    );
    assert!(
        facts.iter().any(|fact| fact.starts_with("probe tcp ")),
        "{facts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_single_fault_of_a_failover_in_order() {
    let report = walk(&WorldOptions::of(Scenario::IN_ORDER, 1), Subject::Operation).await;
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    assert!(report.schedules > 100, "{}", report.schedules);
    assert_eq!(report.violations, vec![]);
}
