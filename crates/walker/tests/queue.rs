//! Two hundred groups want an engine at once: who waits for whom. The real engine under a paused clock, with operations that do
//! what a test says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]
#![allow(dead_code, reason = "the script is shared with other tests")]

mod script;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use protector_core::{
    id::OperationId,
    journal_conformance,
    operation::{OperationKind, OperationRecord, OperationState},
    priority::Priority,
    runbook::{Step, Verb},
};
use protector_walker::memory_journal::MemoryJournal;
use script::{Look, Script, ScriptClock};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// `[engine] max_concurrent_operations`, and the share of a project, by default.
const SLOTS: usize = 40;
const SHARE: usize = 20;

struct House {
    journal: Arc<MemoryJournal>,
    script: Arc<Script>,
    clock: Arc<ScriptClock>,
}

/// An engine that works.
struct Working {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl House {
    fn new(play: impl Fn(&str, u32) -> Look + Send + Sync + 'static) -> Self {
        let mut script = Script::new(None, play);
        script.limit = Duration::from_hours(24);
        Self {
            journal: Arc::new(MemoryJournal::new()),
            script: Arc::new(script),
            clock: ScriptClock::new(Duration::ZERO),
        }
    }

    /// Queues an operation of `project` with one line, `line`.
    fn queue(&self, number: u32, project: &str, line: &str) -> OperationRecord {
        let keys = [format!("{line}:{number}")];
        let mut record = script::operation(number, Verb::Undoable, &keys);
        record.operation.project_id = project.into();
        self.insert(record)
    }

    fn insert(&self, record: OperationRecord) -> OperationRecord {
        self.insert_with(record, Priority::DEFAULT)
    }

    fn insert_with(&self, record: OperationRecord, priority: Priority) -> OperationRecord {
        let group = journal_conformance::group(&record);
        self.journal.put_group(
            protector_core::group::Group { priority, ..group },
            Vec::new(),
        );
        self.journal.insert(record.clone());
        record
    }

    fn engine(&self) -> Working {
        let stop = CancellationToken::new();
        let (journal, clock) = (self.journal.clone(), self.clock.clone());
        let running = script::engine(journal, self.script.clone(), clock, stop.clone());
        Working { stop, running }
    }

    fn record(&self, id: &OperationId) -> OperationRecord {
        self.journal.operation(id).unwrap()
    }

    fn began(&self, id: &OperationId) -> Option<DateTime<Utc>> {
        self.record(id).operation.started_at
    }

    async fn ended_within(&self, record: &OperationRecord, patience: Duration) -> Duration {
        let from = Instant::now();
        let ended = script::ended(&self.journal, &record.operation.id, patience).await;
        assert_eq!(ended.operation.state, OperationState::Completed);
        from.elapsed()
    }
}

impl Working {
    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An operation that stands at a pause of its recovery plan until somebody lets it go on.
fn paused(number: u32, project: &str) -> OperationRecord {
    let keys = [format!("pause:{number}")];
    let mut record = script::operation(number, Verb::Undoable, &keys);
    record.operation.project_id = project.into();
    record.steps[0].action = Step::Pause { number: 0 };
    record
}

/// What follows a disaster, as a fence does.
fn urgent(number: u32, project: &str) -> OperationRecord {
    let mut record = script::operation(number, Verb::Attempt, &[format!("fence:{number}")]);
    record.operation.project_id = project.into();
    record.operation.kind = OperationKind::Fence;
    record
}

/// Everything of a site that is dead fails until it is back.
fn dead_until(back: Arc<AtomicBool>) -> impl Fn(&str, u32) -> Look + Send + Sync {
    move |line, _| match line.split(':').next() {
        Some("dead") if !back.load(Ordering::SeqCst) => Look::ReadFails("connection refused"),
        Some("pause") => Look::WaitFor(seconds(3)),
        _ => Look::Done,
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_dead_site_or_a_person_is_in_nobodys_way() {
    let back = Arc::new(AtomicBool::new(false));
    let house = House::new(dead_until(back.clone()));
    let dead: Vec<_> = (0..150)
        .map(|number| house.queue(number, ["noisy", "loud"][number as usize % 2], "dead"))
        .collect();
    for number in 150..170 {
        house.insert(paused(number, "careful"));
    }
    let engine = house.engine();

    // All places are taken at first by what will wait; the disaster has a lane of its own.
    tokio::time::sleep(seconds(2)).await;
    let disaster = house.insert(urgent(170, "victim"));
    assert!(house.ended_within(&disaster, seconds(3)).await < seconds(3));

    tokio::time::sleep(seconds(300)).await;
    let others: Vec<_> = (171..200)
        .map(|number| {
            house.queue(
                number,
                ["noisy", "quiet", "calm"][number as usize % 3],
                "live",
            )
        })
        .collect();
    for other in &others {
        house.ended_within(other, seconds(5)).await;
    }
    for waiting in &dead {
        assert!(house.began(&waiting.operation.id).is_some());
    }

    // And what has waited ends when its site is back, within a few of its looks.
    back.store(true, Ordering::SeqCst);
    for waiting in &dead {
        house.ended_within(waiting, seconds(120)).await;
    }
    engine.end().await;
}

/// Nobody's servers stand still because others are at work.
#[tokio::test(start_paused = true)]
async fn what_has_stopped_its_servers_goes_on_without_a_slot() {
    let goes_on = Arc::new(AtomicBool::new(false));
    let said = goes_on.clone();
    let house = House::new(move |line, _| match line.split(':').next() {
        Some("pause") if !said.load(Ordering::SeqCst) => Look::WaitFor(seconds(3)),
        Some("work") => Look::WaitFor(seconds(60)),
        _ => Look::Done,
    });
    let keys = ["stop", "pause", "build"].map(|line| format!("{line}:0"));
    let mut record = script::operation(0, Verb::Undoable, &keys);
    record.steps[0].action = Step::StopServer {
        server: "server-1".into(),
    };
    record.steps[1].action = Step::Pause { number: 0 };
    for (phase, step) in (0..).zip(&mut record.steps) {
        step.phase = phase;
        step.after = (0..phase).collect();
    }
    let stopped = house.insert(record);
    let engine = house.engine();
    tokio::time::sleep(seconds(10)).await;

    let others: Vec<_> = (1..=SLOTS as u32)
        .map(|number| house.queue(number, &format!("project-{}", number % 5), "work"))
        .collect();
    tokio::time::sleep(seconds(10)).await;
    for other in &others {
        assert!(
            house.began(&other.operation.id).is_some(),
            "its slot was left"
        );
    }
    goes_on.store(true, Ordering::SeqCst);
    house.ended_within(&stopped, seconds(10)).await;
    engine.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_takes_up_what_waits_begins_what_does_not() {
    let house = House::new(dead_until(Arc::default()));
    for number in 0..150 {
        house.queue(number, &format!("project-{}", number % 5), "dead");
    }
    let first = house.engine();
    tokio::time::sleep(seconds(600)).await;
    first.end().await;

    let second = house.engine();
    // When it has all that there was to take, of each project its share.
    tokio::time::sleep(seconds(5)).await;
    let other = house.queue(150, "project-0", "live");
    let took = house.ended_within(&other, seconds(15)).await;
    assert!(took < seconds(15), "{took:?}");
    second.end().await;
}

#[tokio::test(start_paused = true)]
async fn projects_take_turns_and_none_has_more_than_its_share() {
    let house = House::new(|_, look| match look {
        1..=10 => Look::WaitFor(seconds(1)),
        _ => Look::Done,
    });
    // One tenant came first with 140 groups, three with 20 each came later.
    let whose = |number: u32| match number {
        0..140 => "first",
        140..160 => "second",
        160..180 => "third",
        _ => "fourth",
    };
    for number in 0..200 {
        house.queue(number, whose(number), "live");
    }
    let engine = house.engine();
    let mut most = 0;
    let mut at_first = None;
    while house
        .journal
        .operations()
        .iter()
        .any(|record| !record.operation.state.is_terminal())
    {
        tokio::time::sleep(seconds(1)).await;
        let mut under_way: BTreeMap<String, usize> = BTreeMap::new();
        for record in house.journal.operations() {
            if record.operation.state == OperationState::Running {
                *under_way
                    .entry(record.operation.project_id.to_string())
                    .or_default() += 1;
            }
        }
        assert!(
            under_way.values().all(|count| *count <= SHARE),
            "{under_way:?}"
        );
        let all = under_way.values().sum::<usize>();
        most = most.max(all);
        assert!(all <= SLOTS, "{under_way:?}");
        if all == SLOTS {
            at_first.get_or_insert(under_way);
        }
    }
    assert_eq!(most, SLOTS);
    let fair = ["first", "second", "third", "fourth"].map(|project| (project.to_owned(), 10));
    assert_eq!(at_first, Some(BTreeMap::from(fair)));
    engine.end().await;
}

#[tokio::test(start_paused = true)]
async fn in_a_project_the_groups_that_matter_most_go_first() {
    let house = House::new(|_, look| match look {
        1 => Look::WaitFor(seconds(5)),
        _ => Look::Done,
    });
    let mut numbers: Vec<(u32, Priority)> = Vec::new();
    for number in 0..30 {
        let priority = Priority::ALL[(number % 5) as usize];
        let keys = [format!("live:{number}")];
        let mut record = script::operation(number, Verb::Undoable, &keys);
        record.operation.project_id = "one".into();
        house.insert_with(record, priority);
        numbers.push((number, priority));
    }
    let engine = house.engine();
    tokio::time::sleep(seconds(60)).await;
    engine.end().await;
    let mut begun: Vec<(DateTime<Utc>, Priority)> = numbers
        .iter()
        .map(|(number, priority)| {
            let record = script::operation(*number, Verb::Undoable, &[]);
            (house.began(&record.operation.id).unwrap(), *priority)
        })
        .collect();
    begun.sort_by_key(|(at, _)| *at);
    let of_the_first = begun
        .iter()
        .take(SHARE)
        .map(|(_, priority)| *priority)
        .max();
    assert!(of_the_first <= Some(Priority::ALL[3]), "{begun:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_gets_on_again_waits_for_its_turn_with_what_it_began() {
    let back = Arc::new(AtomicBool::new(false));
    let at_work = Arc::new(AtomicUsize::new(0));
    let (is_back, counted) = (back.clone(), at_work.clone());
    let house = House::new(move |line, look| match line.split(':').next() {
        Some("dead") if !is_back.load(Ordering::SeqCst) => Look::ReadFails("no route to host"),
        Some("dead") => Look::Done,
        _ if look == 1 => {
            counted.fetch_add(1, Ordering::SeqCst);
            Look::WaitFor(seconds(20))
        }
        _ => {
            counted.fetch_sub(1, Ordering::SeqCst);
            Look::Done
        }
    });
    // Each has something to do after what it waits for.
    for number in 0..60 {
        let keys = ["dead", "work"].map(|line| format!("{line}:{number}"));
        let mut record = script::operation(number, Verb::Undoable, &keys);
        record.operation.project_id = format!("project-{}", number % 6).as_str().into();
        record.steps[1].phase = 1;
        record.steps[1].phase_name = "afterwards".to_owned();
        record.steps[1].after = vec![0];
        house.insert(record);
    }
    let engine = house.engine();
    tokio::time::sleep(seconds(300)).await;
    back.store(true, Ordering::SeqCst);
    let mut most = 0;
    while house
        .journal
        .operations()
        .iter()
        .any(|record| !record.operation.state.is_terminal())
    {
        tokio::time::sleep(seconds(1)).await;
        most = most.max(at_work.load(Ordering::SeqCst));
    }
    assert_eq!(most, SLOTS);
    engine.end().await;
}
