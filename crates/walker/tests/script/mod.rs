//! Operations whose steps do what a test says, walked by the real engine under a paused clock.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use protector_core::{
    clock::Clock,
    fault::Code,
    id::{EngineId, OperationId},
    journal::Journal,
    journal_conformance,
    operation::{Operation, OperationRecord, StepProgress, StepRecord},
    runbook::{Reported, Step, Verb},
};
use protector_engine::{
    action::{Actions, ConcurrencyLimit, Progress, StepContext, StepLimits},
    engine::Engine,
    options::EngineOptions,
    step_error::StepError,
};
use protector_walker::memory_journal::MemoryJournal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What one look at a line does.
#[derive(Clone, Debug)]
pub enum Look {
    /// The line is done.
    Done,
    /// The cloud is working on it; look again in a second.
    Wait,
    /// The same, with another pause.
    WaitFor(Duration),
    /// The resource cannot be read, with these words of the cloud.
    ReadFails(&'static str),
    /// The change is asked for, and refused for now with these words.
    ChangeFails(&'static str),
    /// The change that was accepted was not carried out.
    CameBack(&'static str),
    /// No repetition will help.
    Refused(&'static str),
    /// The cloud never answers.
    Hang,
    /// The step has a defect.
    Panic,
}

/// What every look at every line does, by the line's key and the look's number from 1.
pub type Play = dyn Fn(&str, u32) -> Look + Send + Sync;

/// Steps that follow a script.
pub struct Script {
    play: Box<Play>,
    retries: Option<u32>,
    /// How long each line is given.
    pub limit: Duration,
    call_time: Duration,
    looks: Mutex<BTreeMap<String, u32>>,
    calls: AtomicUsize,
}

/// A call under way; dropped when it has ended or was cut off.
struct Call<'s>(&'s AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Script {
    /// Steps that do what `play` says, with this many retries.
    pub fn new(
        retries: Option<u32>,
        play: impl Fn(&str, u32) -> Look + Send + Sync + 'static,
    ) -> Self {
        Self {
            play: Box::new(play),
            retries,
            limit: Duration::from_secs(300),
            call_time: Duration::ZERO,
            looks: Mutex::default(),
            calls: AtomicUsize::new(0),
        }
    }

    /// Each look takes this long, as calls to clouds do.
    pub fn with_calls_of(self, call_time: Duration) -> Self {
        Self { call_time, ..self }
    }

    /// How many looks a line has had.
    pub fn looks(&self, key: &str) -> u32 {
        self.looks.lock().unwrap().get(key).copied().unwrap_or(0)
    }

    /// How many calls are under way.
    pub fn calls_under_way(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many looks all lines have had.
    pub fn all_looks(&self) -> u32 {
        self.looks.lock().unwrap().values().sum()
    }
}

#[async_trait]
impl Actions for Script {
    async fn run(&self, cx: &mut StepContext<'_>) -> Result<Progress, StepError> {
        let number = {
            let mut looks = self.looks.lock().unwrap();
            let looks = looks.entry(cx.step.key.clone()).or_default();
            *looks += 1;
            *looks
        };
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _call = Call(&self.calls);
        tokio::time::sleep(self.call_time).await;
        match (self.play)(&cx.step.key, number) {
            Look::Done => Ok(Progress::done()),
            Look::Wait => Ok(wait_for(Duration::from_secs(1))),
            Look::WaitFor(again) => Ok(wait_for(again)),
            Look::ReadFails(words) => Err(StepError::passing(words)),
            Look::ChangeFails(words) => {
                let refused = Err(StepError::passing(words));
                cx.intend().await?.carry_out(async { refused }).await?
            }
            Look::CameBack(words) => Err(StepError::came_back(words)),
            Look::Refused(words) => Err(StepError::last(Code::Refused, words)),
            Look::Hang => std::future::pending().await,
            Look::Panic => panic!("index out of bounds"),
        }
    }

    async fn undo(&self, _cx: &mut StepContext<'_>) -> Result<Progress, StepError> {
        Ok(Progress::done())
    }

    fn step_limits(&self, _operation: &Operation, _step: &StepRecord) -> StepLimits {
        StepLimits {
            limit: self.limit,
            retries: self.retries,
            timeout_error: "Cinder timeout after 300s".to_owned(),
            says_what_for: false,
        }
    }

    fn concurrency_limit(&self, operation: &Operation, _step: &StepRecord) -> ConcurrencyLimit {
        ConcurrencyLimit::Volume(operation.source_site.clone())
    }
}

fn wait_for(again: Duration) -> Progress {
    Progress::Waiting {
        on: "the cloud".to_owned(),
        again,
    }
}

/// The virtual time, and optionally a little more with each reading: code between two readings takes time.
pub struct ScriptClock {
    start: Instant,
    reading_takes: Duration,
    readings: AtomicU64,
}

impl ScriptClock {
    pub fn new(reading_takes: Duration) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            reading_takes,
            readings: AtomicU64::new(0),
        })
    }
}

impl Clock for ScriptClock {
    fn now(&self) -> DateTime<Utc> {
        let readings = self.readings.fetch_add(1, Ordering::SeqCst);
        let readings = u32::try_from(readings).unwrap();
        let elapsed = self.start.elapsed() + self.reading_takes * readings;
        let epoch = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
        (epoch + TimeDelta::from_std(elapsed).unwrap()).trunc_subsecs(6)
    }
}

/// An operation of these lines side by side, all of one verb, each about a source volume of the key's name.
pub fn operation(number: u32, verb: Verb, keys: &[String]) -> OperationRecord {
    let mut record = journal_conformance::operation(number);
    record.steps = (0..)
        .zip(keys)
        .map(|(position, key)| StepRecord {
            position,
            phase: 0,
            phase_name: "delete_source_volume".to_owned(),
            verb,
            reported: Reported::ByLine,
            key: key.clone(),
            action: Step::DeleteSourceVolume {
                volume: key.as_str().into(),
            },
            resource_id: Some(key.clone()),
            after: Vec::new(),
            progress: StepProgress::default(),
        })
        .collect();
    record
}

/// As [`operation`], with one line.
pub fn operation_of_one_line(verb: Verb) -> OperationRecord {
    operation(1, verb, &["line".to_owned()])
}

/// An engine on `journal` that ends when `stop` does.
pub fn engine(
    journal: Arc<dyn Journal>,
    script: Arc<Script>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let engine = Engine::new(
        EngineId::new("engine-1"),
        journal,
        script,
        clock,
        EngineOptions::default(),
    );
    tokio::spawn(async move { engine.run(stop).await })
}

/// Walks the operation to its end. Panics when it has none within an hour.
pub async fn walk(record: OperationRecord, script: Arc<Script>) -> OperationRecord {
    walk_by(record, script, ScriptClock::new(Duration::ZERO)).await
}

/// As [`walk`], by another clock.
pub async fn walk_by(
    record: OperationRecord,
    script: Arc<Script>,
    clock: Arc<ScriptClock>,
) -> OperationRecord {
    let journal = Arc::new(MemoryJournal::new());
    let id = record.operation.id.clone();
    let group = journal_conformance::group(&record);
    journal.put_group(group, Vec::new());
    journal.insert(record);
    let stop = CancellationToken::new();
    let running = engine(journal.clone(), script, clock, stop.clone());
    let record = ended(&journal, &id, Duration::from_secs(3600)).await;
    stop.cancel();
    running.await.unwrap();
    record
}

/// Waits until the operation has ended.
pub async fn ended(
    journal: &MemoryJournal,
    id: &OperationId,
    patience: Duration,
) -> OperationRecord {
    let deadline = Instant::now() + patience;
    loop {
        let record = journal.operation(id).unwrap();
        if record.operation.state.is_terminal() {
            return record;
        }
        assert!(
            Instant::now() < deadline,
            "{id} has not ended within {patience:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
