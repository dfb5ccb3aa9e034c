//! Two engines on one journal whose machines disagree about the time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "tests may panic, and use a part of the script"
)]

mod script;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    clock::Clock,
    id::{EngineId, OperationId},
    journal_conformance,
    operation::StepState,
    runbook::Verb,
};
use protector_engine::{engine::Engine, options::EngineOptions};
use protector_walker::memory_journal::MemoryJournal;
use script::{Look, Script, ScriptClock, ended, operation_of_one_line};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A machine's clock that goes wrong by this much.
struct Off {
    right: Arc<ScriptClock>,
    by: TimeDelta,
}

impl Clock for Off {
    fn now(&self) -> DateTime<Utc> {
        self.right.now() + self.by
    }
}

fn start(
    name: &str,
    by: TimeDelta,
    journal: &Arc<MemoryJournal>,
    script: &Arc<Script>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let right = ScriptClock::new(Duration::ZERO);
    let engine = Engine::new(
        EngineId::new(name),
        journal.clone(),
        script.clone(),
        Arc::new(Off { right, by }),
        EngineOptions::default(),
    );
    let stop = stop.clone();
    tokio::spawn(async move { engine.run(stop).await })
}

fn one_operation() -> (Arc<MemoryJournal>, OperationId) {
    let journal = Arc::new(MemoryJournal::new());
    let record = operation_of_one_line(Verb::Attempt);
    let id = record.operation.id.clone();
    journal.put_group(journal_conformance::group(&record), Vec::new());
    journal.insert(record);
    (journal, id)
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_one_engines_whatever_the_clocks_say() {
    for hours in [1, -1] {
        let (journal, id) = one_operation();
        let script = Script::new(Some(3), |_, look| match look {
            1..=20 => Look::Wait,
            _ => Look::Done,
        });
        let script = Arc::new(script.with_calls_of(Duration::from_secs(5)));
        let stop = CancellationToken::new();
        let right = start("engine-1", TimeDelta::zero(), &journal, &script, &stop);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let wrong = start(
            "engine-2",
            TimeDelta::hours(hours),
            &journal,
            &script,
            &stop,
        );
        while !journal.state(&id).unwrap().is_terminal() {
            assert!(script.calls_under_way() < 2, "both walk it");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(script.looks("line"), 21, "nothing was looked at twice");
        let line = journal.operation(&id).unwrap().steps.remove(0);
        assert_eq!(line.progress.state, StepState::Done);
        stop.cancel();
        right.await.unwrap();
        wrong.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_operation_of_an_engine_that_died_goes_on_whatever_its_clock_said() {
    for hours in [1, -1] {
        let (journal, id) = one_operation();
        let script = Script::new(Some(3), |_, look| match look {
            1..=3 => Look::Wait,
            _ => Look::Done,
        });
        let script = Arc::new(script.with_calls_of(Duration::from_secs(5)));
        let stop = CancellationToken::new();
        let wrong = start(
            "engine-1",
            TimeDelta::hours(hours),
            &journal,
            &script,
            &stop,
        );
        tokio::time::sleep(Duration::from_secs(8)).await;
        wrong.abort();
        let right = start("engine-2", TimeDelta::zero(), &journal, &script, &stop);
        let lease = EngineOptions::default().lease;
        let record = ended(&journal, &id, lease + Duration::from_secs(60)).await;
        assert_eq!(record.steps[0].progress.state, StepState::Done);
        stop.cancel();
        right.await.unwrap();
    }
}
