//! An operation of 500 servers and 2,000 volumes in the database: accepted, loaded, and written to line by line.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they measured"
)]

mod bed;

use std::time::{Duration, Instant};

use protector_core::{
    id::EngineId,
    journal::{Claim, Effect, Entry, Journal},
    journal_conformance::{TestBed, member, operation},
    member::Member,
    operation::{OperationRecord, StepProgress, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, failover::planned_move},
};

const SERVERS: usize = 500;
const VOLUMES_EACH: usize = 4;

fn large() -> OperationRecord {
    let mut record = operation(1);
    let members: Vec<Member> = (0..SERVERS)
        .map(|server| {
            let mut member = member(&record, &format!("vm-{server}"));
            let volume = member.volumes[0].clone();
            member.volumes = (0..VOLUMES_EACH)
                .map(|place| {
                    let mut volume = volume.clone();
                    volume.id = format!("vol-{server}-{place}").into();
                    volume.name = format!("volume {place} of {server}");
                    volume
                })
                .collect();
            member
        })
        .collect();
    record.operation.plan.members = members;
    record.steps = planned_move(&record.operation.plan).into_steps().unwrap();
    record
}

/// What one line costs: its begin, its intent, its end with a mapping or its parent's line.
async fn walk_line(bed: &bed::Bed, claim: &Claim, position: u32, effect: Effect) {
    let now = operation(1).operation.created_at;
    let mut progress = StepProgress {
        state: StepState::Running,
        ..StepProgress::default()
    };
    for intents in 0..2 {
        progress.memo.intents = intents;
        let entry = Entry {
            steps: vec![(position, progress.clone())],
            ..Entry::default()
        };
        bed.journal().record(claim, now, entry).await.unwrap();
    }
    progress.state = StepState::Done;
    let entry = Entry {
        steps: vec![(position, progress)],
        effects: vec![effect],
        ..Entry::default()
    };
    bed.journal().record(claim, now, entry).await.unwrap();
}

async fn timed<T>(what: &str, work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let done = work.await;
    println!("{what}: {:?}", begun.elapsed());
    (done, begun.elapsed())
}

#[tokio::test]
#[ignore = "takes a minute: make soak"]
async fn soak_an_operation_of_five_hundred_servers() {
    let bed = bed::fresh("large").await;
    let record = large();
    let lines = record.steps.len();
    println!("{lines} lines");
    timed("accepted", bed.insert(record.clone())).await;
    let now = record.operation.created_at;
    let claims = bed
        .journal()
        .claim(
            &EngineId::new("a"),
            now,
            Duration::from_secs(60),
            BOOK_VERSION,
            &Room::for_any(1),
        )
        .await
        .unwrap();
    let claim = &claims[0];
    let (loaded, _) = timed("loaded", bed.journal().load(claim)).await;
    assert_eq!(loaded.unwrap().steps.len(), lines);
    let mapped = |line: usize| Effect::Mapped {
        kind: protector_core::operation::MapKind::Volume,
        source: record.steps[line]
            .resource_id
            .clone()
            .unwrap_or_else(|| format!("source {line}")),
        target: format!("target {line}"),
    };
    // The work that grows with what is there must not: the last thousand lines cost what the first did.
    let mut costs = Vec::new();
    for thousand in 0..lines / 1000 {
        let (_, cost) = timed(&format!("lines from {thousand}000, 3 writes each"), async {
            for line in thousand * 1000..(thousand + 1) * 1000 {
                let position = u32::try_from(line).unwrap();
                walk_line(&bed, claim, position, mapped(line)).await;
            }
        })
        .await;
        costs.push(cost);
    }
    let (first, last) = (costs[0], costs[costs.len() - 1]);
    assert!(
        last < first * 4,
        "the last thousand lines took {last:?}, the first {first:?}"
    );
    timed(
        "a thousand lines whose parent's line is settled too",
        async {
            for line in 0..1000_usize {
                let effect = Effect::ParentStep {
                    operation_id: record.operation.id.clone(),
                    key: record.steps[lines - 1 - line].key.clone(),
                    progress: StepProgress {
                        state: StepState::Done,
                        ..StepProgress::default()
                    },
                };
                walk_line(&bed, claim, u32::try_from(line).unwrap(), effect).await;
            }
        },
    )
    .await;
}
