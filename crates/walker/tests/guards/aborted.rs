//! A planned failover that somebody gives up: whatever it was at, everything is as before.

use std::{collections::BTreeMap, time::Duration};

use protector_core::{
    fault::Code,
    group::GroupStatus,
    operation::{OperationRecord, OperationState, StepState},
    peer_site::ReservationError,
    plan::Plan,
    priority::Priority,
    recovery_plan::Pause,
    runbook::Step,
};
use protector_simcloud::{cloud::CallEffect, in_process::lock};
use tokio::time::Instant;

use super::{
    fixture::{Answer, Fixture},
    source_at_rest::fault,
    taken_back::rebuild_from_imports,
};

fn holds_still() -> Answer {
    Box::new(|_| Ok(()))
}

pub fn with_a_pause(plan: &mut Plan) {
    plan.recovery.pauses = vec![Pause {
        before_priority: Priority::DEFAULT,
        message: "Switch the DNS record.".to_owned(),
    }];
}

fn has_begun(record: &OperationRecord, phase: &str) -> bool {
    record
        .steps
        .iter()
        .any(|step| step.phase_name == phase && step.progress.state != StepState::Pending)
}

fn assert_all_is_as_before(fixture: &Fixture, record: &OperationRecord) {
    let operation = &record.operation;
    assert_eq!(operation.state, OperationState::Failed);
    assert_eq!(operation.error.as_deref(), Some("aborted by user user-1"));
    assert_eq!(operation.error_code, Some(Code::Aborted));
    assert_eq!(fixture.group().status, GroupStatus::Active);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(lock(&fixture.target).servers().len(), 0);
    assert_eq!(lock(&fixture.target).volumes().len(), 0);
    assert!(fixture.has_volume(&fixture.boot) && fixture.has_volume(&fixture.data));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_given_up_in_any_phase_before_its_switch_is_taken_back() {
    for phase in [
        "check_source",
        "check_target",
        "stop_source_vms",
        "final_replication",
        "promote_volumes",
        "manage_volumes",
        "recreate_vms",
    ] {
        let when = |record: &OperationRecord| has_begun(record, phase);
        let (fixture, record) = Fixture::aborted(|_| {}, holds_still(), when).await;
        assert_all_is_as_before(&fixture, &record);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_operation_that_is_given_up_is_taken_back() {
    let begin = Instant::now();
    let when = |record: &OperationRecord| {
        has_begun(record, "pause") && begin.elapsed() > Duration::from_secs(1800)
    };
    let (fixture, record) = Fixture::aborted(with_a_pause, holds_still(), when).await;
    assert_all_is_as_before(&fixture, &record);
}

/// The other site's protector never answers again: the switch would wait for it for ever. Its cloud does.
#[tokio::test(start_paused = true)]
async fn a_switch_that_waits_for_the_other_site_is_given_up() {
    let says: Answer = Box::new(|record| {
        let switches = record.steps.iter().any(|step| {
            step.action == Step::SwitchPrimary && step.progress.state == StepState::Running
        });
        let aborted = record.operation.state == OperationState::Unwinding;
        match switches && !aborted {
            true => Err(ReservationError::Silent("connection refused".to_owned())),
            false => Ok(()),
        }
    });
    let begin = Instant::now();
    let when = |record: &OperationRecord| {
        has_begun(record, "switch_primary") && begin.elapsed() > Duration::from_secs(1800)
    };
    let (fixture, record) = Fixture::aborted(|_| {}, says, when).await;
    assert_all_is_as_before(&fixture, &record);
}

/// Nobody takes it back: it has not begun.
#[tokio::test(start_paused = true)]
async fn a_queued_operation_that_is_given_up_ends_without_a_call() {
    let when = |record: &OperationRecord| record.operation.state == OperationState::Queued;
    let (fixture, record) = Fixture::aborted(|_| {}, holds_still(), when).await;
    assert_all_is_as_before(&fixture, &record);
    let begun =
        |step: &&protector_core::operation::StepRecord| step.progress.state != StepState::Pending;
    assert_eq!(record.steps.iter().find(begun), None);
}

/// Long before the taking back of what is on the target runs out of time.
const SOON: Duration = Duration::from_secs(180);

fn assert_it_runs_again(fixture: &Fixture, record: &OperationRecord, after: Duration) {
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(fixture.group().status, GroupStatus::Active);
    assert!(after < SOON, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_running_move_whose_target_is_lost_starts_its_servers_without_its_word() {
    for phase in ["final_replication", "manage_volumes", "recreate_vms"] {
        let (fixture, record, after) = Fixture::given_up_as_lost(
            |_, _| {},
            |record| has_begun(record, phase),
            Fixture::lose_the_target,
        )
        .await;
        assert_it_runs_again(&fixture, &record, after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_move_whose_target_is_lost_starts_its_servers_without_its_word() {
    let (fixture, record, after) = Fixture::given_up_as_lost(
        |_, plan| with_a_pause(plan),
        |record| has_begun(record, "pause"),
        Fixture::lose_the_target,
    )
    .await;
    assert_it_runs_again(&fixture, &record, after);
}

/// Its copy was asked for and is there: what the record says of it is all that anybody knows.
#[tokio::test(start_paused = true)]
async fn a_move_that_is_taken_back_does_not_wait_for_a_lost_target() {
    let (fixture, record, after) = Fixture::given_up_as_lost(
        |fixture, _| fixture.no_copy_can_be_built(),
        |record| record.operation.state == OperationState::Unwinding,
        Fixture::lose_the_target,
    )
    .await;
    assert_it_runs_again(&fixture, &record, after);
    let left = record.steps.iter().find(|step| {
        step.phase_name == "recreate_vms" && step.progress.state == StepState::UndoFailed
    });
    let why = left.unwrap().progress.error.clone().unwrap();
    assert!(
        why.contains("left on site-b, which is lost") && why.contains("operation cleanup"),
        "{why}"
    );
    let stopped = record.steps.iter().find(|step| {
        matches!(step.action, Step::StopServer { .. }) && step.progress.state == StepState::Undone
    });
    let facts = &stopped.unwrap().progress.memo.facts;
    assert!(
        facts.iter().any(|fact| fact.contains("said by who asked")),
        "{facts:?}"
    );
}

/// A record has thousands of lines: what somebody else has written meanwhile, and what one line has asked for, is read by itself.
#[tokio::test(start_paused = true)]
async fn while_a_target_is_silent_no_look_reads_the_record_whole() {
    let (fixture, record, _) = Fixture::given_up_as_lost(
        |fixture, _| fixture.no_copy_can_be_built(),
        |record| record.operation.state == OperationState::Unwinding,
        Fixture::lose_the_target,
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(fixture.records_read_whole(), 1, "when it was claimed");
}

/// That it is lost is only said: what its cloud shows counts for more.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_said_to_be_lost_and_shows_a_copy_keeps_its_original_stopped() {
    let (fixture, record, _) = Fixture::given_up_as_lost(
        |fixture, _| {
            fixture.no_copy_can_be_built();
            let effect = CallEffect::Status {
                status: 503,
                body: None,
                headers: BTreeMap::new(),
            };
            fault(&fixture.target, "DELETE", "*/servers/*", effect);
        },
        |record| record.operation.state == OperationState::Unwinding,
        |fixture| {
            let copy = lock(&fixture.target).servers()[0].id.clone();
            fixture.target_answers(&format!("*/servers/{copy}"), 503, serde_json::json!({}));
        },
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    assert_eq!(fixture.group().status, GroupStatus::Error);
}

const START: &str = "start_source_vms:vm-001";

/// Its copy is on the target, where somebody may be at work with it.
#[tokio::test(start_paused = true)]
async fn a_server_is_not_started_beside_a_copy_that_is_seen() {
    let mut fixture = Fixture::stuck().await;
    assert_eq!(fixture.group().status, GroupStatus::Error);
    let ended = fixture.abort_for_the_lost_target().await;
    let why = ended.failure(START);
    assert!(why.contains("may still run on site-b"), "{why}");
    let confirmed = ended.failure("confirm_started");
    assert_eq!(confirmed, "not started again on site-a: vm-001");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    assert_eq!(fixture.group().status, GroupStatus::Error);
}

/// Who asked has said that it is lost; the record says what that rests on.
#[tokio::test(start_paused = true)]
async fn a_server_is_started_again_where_the_other_site_does_not_answer() {
    let mut fixture = Fixture::stuck().await;
    fixture.lose_the_target();
    let ended = fixture.abort_for_the_lost_target().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(fixture.group().status, GroupStatus::Active);
    let facts = ended.facts(START);
    assert!(
        facts.iter().any(|fact| fact.contains("said by who asked")),
        "{facts:?}"
    );
}

/// A service that says that something else holds a server, or that it has too much to do, is there, and so may a copy be.
#[tokio::test(start_paused = true)]
async fn a_server_is_not_started_where_the_other_site_answers_without_telling() {
    for status in [401, 409, 429] {
        let mut fixture = Fixture::stuck().await;
        fixture.target_answers("*/servers*", status, serde_json::json!({}));
        let ended = fixture.abort_for_the_lost_target().await;
        assert_ne!(ended.failure(START), "", "{status}");
        let server = fixture.server_facts(&fixture.server).unwrap();
        assert_eq!(server.status, "SHUTOFF", "{status}");
    }
}

/// Somebody has deleted the copy, and built a server of their own from what the move had imported.
#[tokio::test(start_paused = true)]
async fn a_server_is_not_started_beside_whoever_holds_its_imports() {
    let mut fixture = Fixture::left_running().await;
    fixture.deletes_the_copy();
    fixture.a_while().await;
    let rebuilt = rebuild_from_imports(&fixture).expect("the imports are free");
    fixture.a_while().await;
    let ended = fixture.abort_for_the_lost_target().await;
    let why = ended.failure(START);
    let holder = format!("not started: server {rebuilt} (ACTIVE) on site-b holds ");
    assert!(why.starts_with(&holder), "{why}");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    let url = format!("compute /servers/{rebuilt}");
    fixture.on_target("demo", "DELETE", &url, &serde_json::Value::Null);
    fixture.a_while().await;
    let ended = fixture.abort_for_the_lost_target().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}
