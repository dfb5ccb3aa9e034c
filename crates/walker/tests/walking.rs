//! How the engine walks lines whatever they do: tries and deadlines, defects, operations that cannot be read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod script;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    fault::Code,
    group::Group,
    id::{EngineId, GroupId, OperationId, UserId},
    journal::{Claim, Entry, Journal, JournalError, Protection},
    journal_conformance,
    operation::{MapKind, OperationRecord, OperationState, StepProgress, StepRecord, StepState},
    queue::Room,
    runbook::Verb,
};
use protector_walker::memory_journal::MemoryJournal;
use script::{
    Look, Script, ScriptClock, ended, engine, operation, operation_of_one_line, walk, walk_by,
};
use tokio_util::sync::CancellationToken;

const BUSY: &str = "DELETE /volumes/vol-1: 503: busy";
const UNREADABLE: &str = "GET /volumes/vol-1: 503: busy";

async fn line_of(script: Script) -> (StepProgress, Arc<Script>) {
    let script = Arc::new(script);
    let record = walk(operation_of_one_line(Verb::Attempt), script.clone()).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    (record.steps[0].progress.clone(), script)
}

fn took(line: &StepProgress) -> i64 {
    (line.finished_at.unwrap() - line.started_at.unwrap()).num_seconds()
}

fn error(line: &StepProgress) -> (Code, &str) {
    (line.error_code.unwrap(), line.error.as_deref().unwrap())
}

#[tokio::test(start_paused = true)]
async fn reads_that_fail_use_up_no_retries() {
    let (line, _) = line_of(Script::new(Some(3), |_, look| match look {
        1..=4 => Look::ReadFails(UNREADABLE),
        5..=7 => Look::ChangeFails(BUSY),
        8..=10 => Look::ReadFails(UNREADABLE),
        _ => Look::Done,
    }))
    .await;
    assert_eq!(line.state, StepState::Done);
    assert_eq!(
        line.failed_tries, 3,
        "the three deletions, not the seven reads"
    );
    assert_eq!((line.error, line.error_code), (None, None));
}

#[tokio::test(start_paused = true)]
async fn one_try_and_three_retries_then_the_clouds_own_words() {
    let (line, _) = line_of(Script::new(Some(3), |_, _| Look::ChangeFails(BUSY))).await;
    assert_eq!(line.state, StepState::Failed);
    assert_eq!(line.memo.intents, 4);
    assert_eq!(error(&line), (Code::Unavailable, BUSY));
    assert!(took(&line) >= 1 + 2 + 4, "with back-off: {} s", took(&line));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_failed_for_the_last_time_and_happened_all_the_same_is_done() {
    let (line, _) = line_of(Script::new(Some(0), |_, look| match look {
        1 => Look::ChangeFails("DELETE /volumes/vol-1: the answer was lost"),
        2 => Look::Wait,
        _ => Look::Done,
    }))
    .await;
    assert_eq!(line.state, StepState::Done);
    assert_eq!(line.memo.intents, 1);
}

#[tokio::test(start_paused = true)]
async fn a_manual_cleanup_asks_once_and_reads_as_often_as_it_must() {
    let (line, script) = line_of(Script::new(Some(0), |_, look| match look {
        1..=5 => Look::ReadFails(UNREADABLE),
        _ => Look::ChangeFails(BUSY),
    }))
    .await;
    assert_eq!(line.state, StepState::Failed);
    assert_eq!(line.memo.intents, 1);
    assert_eq!(error(&line), (Code::Unavailable, BUSY));
    assert_eq!(script.looks("line"), 7, "one more look after the try");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_came_back_counts_as_a_try() {
    let came_back = "Cinder accepted the deletion and the volume is available again";
    let (line, script) = line_of(Script::new(Some(3), move |_, _| Look::CameBack(came_back))).await;
    assert_eq!(line.state, StepState::Failed);
    assert_eq!(error(&line), (Code::Unavailable, came_back));
    assert_eq!(script.looks("line"), 4);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_pass_is_not_tried_again() {
    let (line, script) = line_of(Script::new(Some(3), |_, _| Look::Refused("403: policy"))).await;
    assert_eq!(error(&line), (Code::Refused, "403: policy"));
    assert_eq!(script.looks("line"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_never_finishes_is_a_timeout() {
    let (line, _) = line_of(Script::new(Some(3), |_, _| Look::Wait)).await;
    assert_eq!(error(&line), (Code::Timeout, "Cinder timeout after 300s"));
    let facts = &line.memo.facts;
    assert_eq!(facts, &["when its time was over, it waited for the cloud"]);
    assert_eq!(took(&line), 300);
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_fails_until_the_deadline_has_the_last_word() {
    let (line, _) = line_of(Script::new(Some(3), |_, _| Look::ReadFails(UNREADABLE))).await;
    let words = "Cinder timeout after 300s: GET /volumes/vol-1: 503: busy";
    assert_eq!(error(&line), (Code::Unavailable, words));
    assert_eq!(line.failed_tries, 0);
    assert_eq!(took(&line), 300);
}

#[tokio::test(start_paused = true)]
async fn a_last_look_that_hangs_keeps_the_words_of_the_one_before() {
    let (line, _) = line_of(Script::new(Some(3), |_, look| match look {
        1..=9 => Look::ReadFails(UNREADABLE),
        _ => Look::Hang,
    }))
    .await;
    let words = "Cinder timeout after 300s: GET /volumes/vol-1: 503: busy";
    assert_eq!(error(&line), (Code::Timeout, words));
    assert!(took(&line) <= 301);
}

#[tokio::test(start_paused = true)]
async fn a_step_with_a_defect_fails_its_own_line_only() {
    let keys = ["a".to_owned(), "b".to_owned()];
    let script = Script::new(Some(3), |key, look| match (key, look) {
        ("a", _) => Look::Panic,
        (_, 1) => Look::Wait,
        _ => Look::Done,
    });
    let record = walk(operation(1, Verb::Attempt, &keys), Arc::new(script)).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let (code, why) = error(&record.steps[0].progress);
    assert_eq!(code, Code::Internal);
    assert_eq!(
        why,
        "a defect of protector: step a broke off (index out of bounds); the engine's log has the place"
    );
    assert_eq!(record.steps[1].progress.state, StepState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_defect_before_the_point_of_no_return_is_taken_back() {
    let script = Script::new(None, |_, _| Look::Panic);
    let record = walk(operation_of_one_line(Verb::Undoable), Arc::new(script)).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let why = record.operation.error.unwrap();
    assert!(
        why.starts_with("line: a defect of protector: step line broke off"),
        "{why}"
    );
    assert_eq!(record.steps[0].progress.state, StepState::Undone);
}

#[tokio::test(start_paused = true)]
async fn three_hundred_stuck_resources_cost_one_timeout_and_delay_nobody() {
    let mut keys: Vec<String> = (0..300).map(|number| format!("stuck-{number}")).collect();
    keys.push("quick".to_owned());
    let script = Script::new(Some(3), |key, look| match (key, look) {
        ("quick", 5..) => Look::Done,
        _ => Look::Wait,
    });
    let script = Arc::new(script.with_calls_of(Duration::from_millis(60)));
    let record = walk(operation(1, Verb::Attempt, &keys), script.clone()).await;
    let operation = &record.operation;
    let took = (operation.finished_at.unwrap() - operation.started_at.unwrap()).num_seconds();
    assert!((300..=310).contains(&took), "{took} s");
    let (quick, stuck) = record.steps.split_last().unwrap();
    assert!(
        stuck
            .iter()
            .all(|step| { step.progress.error.as_deref() == Some("Cinder timeout after 300s") })
    );
    let quick = (quick.progress.finished_at.unwrap() - operation.started_at.unwrap()).num_seconds();
    assert!(quick <= 30, "the one that got on took {quick} s");
    let looks = script.all_looks();
    assert!(
        looks <= 301 * 110,
        "{looks} looks: the clouds are asked less often when many wait"
    );
}

/// The engine works out how long to sleep a moment after it asked what is due. What falls due in between must not be
/// slept over until the lease has to be renewed.
#[tokio::test(start_paused = true)]
async fn a_line_that_falls_due_while_the_pause_is_worked_out_is_not_slept_over() {
    // The line falls due after the schedule was asked (one reading after the look) and before the pause is known (two).
    let script = Script::new(Some(3), |_, look| match look {
        1..=20 => Look::WaitFor(Duration::from_millis(400)),
        _ => Look::Done,
    });
    let clock = ScriptClock::new(Duration::from_millis(250));
    let record = walk_by(
        operation_of_one_line(Verb::Attempt),
        Arc::new(script),
        clock,
    )
    .await;
    let line = &record.steps[0].progress;
    assert_eq!(line.state, StepState::Done);
    assert!(took(line) < 60, "it was slept over: {} s", took(line));
}

/// A journal in which one operation cannot be loaded.
struct Poisoned {
    inner: Arc<MemoryJournal>,
    operation: OperationId,
    error: JournalError,
    loads: std::sync::atomic::AtomicUsize,
    /// What is done right before an operation is given back.
    at_release: Box<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl Journal for Poisoned {
    async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
        self.inner.now().await
    }

    async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, JournalError> {
        self.inner.protection_of(resources).await
    }

    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError> {
        self.inner
            .claim(engine, now, lease, book_version, room)
            .await
    }

    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError> {
        if claim.operation_id == self.operation {
            self.loads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return Err(self.error.clone());
        }
        self.inner.load(claim).await
    }

    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError> {
        self.inner.mapped(claim, kind, source).await
    }

    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        self.inner.steps_about(claim, resource).await
    }

    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError> {
        self.inner.group_now(id).await
    }

    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError> {
        self.inner.aborted_by(claim).await
    }

    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError> {
        self.inner.record(claim, now, entry).await
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        self.inner.renew(claim, now).await
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        self.inner.forget(engine).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        (self.at_release)();
        self.inner.release(claim).await
    }
}

/// Runs an engine for 20 minutes beside an operation that cannot be loaded; gives how often that was tried.
async fn loads_beside_a_healthy_operation(error: JournalError) -> usize {
    let inner = Arc::new(MemoryJournal::new());
    let keys = ["line".to_owned()];
    for number in [1, 2] {
        let record = operation(number, Verb::Attempt, &keys);
        inner.put_group(journal_conformance::group(&record), Vec::new());
        inner.insert(record);
    }
    let journal = Arc::new(Poisoned {
        inner: inner.clone(),
        operation: operation(1, Verb::Attempt, &keys).operation.id,
        error,
        loads: std::sync::atomic::AtomicUsize::new(0),
        at_release: Box::new(|| {}),
    });
    let stop = CancellationToken::new();
    let script = Arc::new(Script::new(Some(3), |_, look| match look {
        1 => Look::Wait,
        _ => Look::Done,
    }));
    let clock = ScriptClock::new(Duration::ZERO);
    let running = engine(journal.clone(), script, clock, stop.clone());
    let healthy = operation(2, Verb::Attempt, &keys).operation.id;
    ended(&inner, &healthy, Duration::from_secs(10)).await;
    tokio::time::sleep(Duration::from_secs(1200)).await;
    stop.cancel();
    running.await.unwrap();
    journal.loads.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_cannot_be_read_is_tried_once_per_lease_and_stops_no_other() {
    let loads =
        loads_beside_a_healthy_operation(JournalError::Unreadable("a step of tomorrow".into()))
            .await;
    assert!((9..=11).contains(&loads), "{loads} loads in 20 minutes");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_the_database_does_not_give_is_not_claimed_in_a_circle() {
    let loads =
        loads_beside_a_healthy_operation(JournalError::Unavailable("time-out".into())).await;
    assert!(
        (300..=1201).contains(&loads),
        "{loads} loads in 20 minutes, with looks for work a second apart"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_the_stop_is_cut_off_before_another_engine_may_take_its_line_up() {
    let inner = Arc::new(MemoryJournal::new());
    let record = operation_of_one_line(Verb::Attempt);
    inner.put_group(journal_conformance::group(&record), Vec::new());
    inner.insert(record);
    let script = Arc::new(Script::new(Some(3), |_, _| Look::Hang));
    let (calls, at_release) = std::sync::mpsc::channel();
    let seen = script.clone();
    let journal = Arc::new(Poisoned {
        inner,
        operation: OperationId::new("none"),
        error: JournalError::Unavailable("none".into()),
        loads: std::sync::atomic::AtomicUsize::new(0),
        at_release: Box::new(move || calls.send(seen.calls_under_way()).unwrap()),
    });
    let stop = CancellationToken::new();
    let clock = ScriptClock::new(Duration::ZERO);
    let running = engine(journal, script.clone(), clock, stop.clone());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(script.calls_under_way(), 1);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(at_release.try_iter().collect::<Vec<_>>(), [0]);
}
