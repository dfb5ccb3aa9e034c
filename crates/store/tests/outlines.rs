//! A list shows of each operation what its whole record shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests may panic, and say their seed"
)]

mod bed;

use std::collections::BTreeSet;

use bed::{
    Bed, fresh,
    records::{at, project},
};
use protector_core::{
    group::{Group, GroupStatus},
    journal_conformance::{TestBed, group, member, operation},
    leftover::leftover_count,
    member::MemberStatus,
    operation::{
        MapKind, OperationKind, OperationRecord, OperationState, Planning, StepRecord, StepState,
    },
    outline::OperationOutline,
    priority::Priority,
    recovery_plan::Pause,
    runbook::{
        Reported, Step, Verb, adopt::adopt, failover::planned_move, test_failover::test_failover,
        unplanned_failover::unplanned_failover,
    },
};
use protector_store::{
    KeptOperation, ListedOperation, NewOperation, OperationCopy, OperationFilter, OperationOrder,
    OrderDirection, Page,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::json;

const RECORDS: u32 = 150;

fn seed() -> u64 {
    let asked = std::env::var("PROTECTOR_SEED").ok();
    let seed = asked.map_or(20_260_101, |seed| seed.parse().unwrap());
    eprintln!("PROTECTOR_SEED={seed}");
    seed
}

/// What operations may become: all kinds, in all states, with lines in all states.
struct SeededRandom(StdRng);

impl SeededRandom {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.0).unwrap()
    }

    fn maybe(&mut self) -> bool {
        self.0.random()
    }

    fn record(&mut self, number: u32) -> OperationRecord {
        let mut record = operation(number);
        record.operation.kind = self.one_of(&[
            OperationKind::Failover,
            OperationKind::Failover,
            OperationKind::Failback,
            OperationKind::TestFailover,
            OperationKind::Cleanup,
            OperationKind::Sync,
            OperationKind::Retry,
        ]);
        let states = [OperationState::Completed, OperationState::Running];
        record.operation.state = match self.maybe() {
            true => self.one_of(&states),
            false => self.one_of(&OperationState::ALL),
        };
        record.operation.error = self.maybe().then(|| "it failed".to_owned());
        record.operation.started_at = self.maybe().then(|| at(3));
        self.plan(&mut record, number);
        record.steps = self.runbook(&mut record);
        for step in &mut record.steps {
            self.progress(step);
        }
        self.map(&mut record);
        record
    }

    fn plan(&mut self, record: &mut OperationRecord, number: u32) {
        let members = ["web", "db"].map(|name| {
            let mut member = member(record, name);
            member.server_id = format!("server-{name}-{number}").into();
            member.status = self.one_of(&[MemberStatus::Protected, MemberStatus::Error]);
            member
        });
        let plan = &mut record.operation.plan;
        plan.members = members.to_vec();
        plan.group_name = format!("group-{number}");
        plan.adopts = self.maybe().then(|| operation(number + 1).operation.id);
        plan.recovery.pauses = vec![Pause {
            before_priority: Priority::DEFAULT,
            message: format!("look at {number}"),
        }];
    }

    fn runbook(&mut self, record: &mut OperationRecord) -> Vec<StepRecord> {
        let plan = &record.operation.plan;
        let book = match self.0.random_range(0..5) {
            0 => planned_move(plan),
            1 => test_failover(plan),
            2 => adopt(plan, &BTreeSet::new()),
            _ => {
                record.operation.planning = Planning::Unplanned;
                unplanned_failover(plan)
            }
        };
        book.into_steps().unwrap()
    }

    fn progress(&mut self, step: &mut StepRecord) {
        step.verb = match self.0.random_range(0..5) {
            // Its verb is told by its action, which an outline does not read.
            _ if step.action == Step::SwitchPrimary => step.verb,
            0 => self.one_of(&Verb::ALL),
            _ => step.verb,
        };
        step.reported = match self.0.random_range(0..5) {
            0 => self.one_of(&[Reported::Never, Reported::ByPhase, Reported::ByLine]),
            _ => step.reported,
        };
        let progress = &mut step.progress;
        progress.state = match self.maybe() {
            true => StepState::Done,
            false => self.one_of(&StepState::ALL),
        };
        progress.error = self.maybe().then(|| "because \"stop_server\"".to_owned());
        progress.started_at = self.maybe().then(|| at(4));
        progress.finished_at = self.maybe().then(|| at(5));
        progress.memo.intents = u32::from(self.maybe());
        progress.memo.seen.before = self.maybe().then(|| "ACTIVE".to_owned());
        progress.memo.made = self.maybe().then(|| format!("made-by-{}", step.position));
        progress.memo.facts = vec!["\"recreate_server\"".to_owned()];
        if let Step::Pause { .. } = step.action {
            progress.state = self.one_of(&[StepState::Running, StepState::Done]);
        }
        if let Step::CountRecovered { .. } = step.action {
            step.verb = Verb::Member;
            progress.state = self.one_of(&[StepState::Done, StepState::Failed, StepState::Skipped]);
        }
    }

    fn map(&mut self, record: &mut OperationRecord) {
        let group = record.operation.group_id.to_string();
        let map = &mut record.map;
        map.insert(MapKind::Server, "server-web", "copy-web");
        if self.maybe() {
            map.insert(MapKind::RecoveryPoint, group.as_str(), "point-1");
            map.insert(
                MapKind::RecoveryPointTime,
                group.as_str(),
                at(1).to_rfc3339(),
            );
        }
        if self.0.random_range(0..4) == 0 {
            map.insert(MapKind::Aborted, record.operation.id.as_str(), "user-a");
        }
        for step in &record.steps {
            match &step.action {
                Step::Pause { .. } if self.0.random() => {
                    map.insert(MapKind::Resumed, step.key.as_str(), "user-a");
                }
                Step::CountRecovered { server } if step.progress.state == StepState::Done => {
                    map.insert(MapKind::Recovered, server.as_str(), "copy");
                }
                _ => {}
            }
        }
    }
}

async fn keep(bed: &Bed, record: &OperationRecord) {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[],
        group: None,
    };
    let made = bed.database.operation_insert(&new, at(1)).await;
    made.unwrap();
}

/// The group of `record` with the members of its plan, on one of its sites.
async fn protect(bed: &Bed, record: &OperationRecord, runs_on: &str) {
    let kept = Group {
        status: GroupStatus::Active,
        version: 1,
        name: record.operation.plan.group_name.clone(),
        current_primary_site: runs_on.into(),
        ..group(record)
    };
    let members = record.operation.plan.members.clone();
    bed.put_group(kept, members).await;
}

/// A try at what `failover` did not recover.
fn retried(dice: &mut SeededRandom, number: u32, failover: &OperationRecord) -> OperationRecord {
    let mut retry = dice.record(number);
    retry.operation.kind = OperationKind::Retry;
    retry.operation.group_id = failover.operation.group_id.clone();
    retry.operation.plan = failover.operation.plan.clone();
    retry.operation.parent_id = Some(failover.operation.id.clone());
    retry
}

fn copy(number: u32) -> OperationCopy {
    let record = operation(number);
    OperationCopy {
        id: format!("op-of-b-{number}").into(),
        home_site: "site-b".into(),
        project_id: project(),
        group_id: record.operation.group_id,
        group_name: "gone".to_owned(),
        kind: "failover".to_owned(),
        state: "completed".to_owned(),
        parent_id: None,
        leftovers: number % 2,
        created_at: record.operation.created_at,
        revision: 1,
        since: 0,
        is_last: true,
        record: json!({"id": number}),
        lines: Vec::new(),
    }
}

async fn filled(dice: &mut SeededRandom) -> Bed {
    let bed = fresh("").await;
    let mut failover: Option<OperationRecord> = None;
    for number in 1..=RECORDS {
        let record = match failover.take() {
            Some(before) if dice.maybe() => retried(dice, number, &before),
            _ => dice.record(number),
        };
        if record.operation.parent_id.is_none() {
            let runs_on = dice.one_of(&["site-a", "site-b", ""]);
            if !runs_on.is_empty() {
                protect(&bed, &record, runs_on).await;
            }
        }
        keep(&bed, &record).await;
        failover = record.operation.parent_id.is_none().then_some(record);
    }
    for number in (1..RECORDS).step_by(10) {
        let kept = bed.database.peer_operation_apply(&copy(number)).await;
        kept.unwrap();
    }
    bed
}

/// What a list has to show of `kept`, from all that there is of it.
async fn from_the_whole(bed: &Bed, kept: KeptOperation) -> ListedOperation {
    match kept {
        KeptOperation::Elsewhere(copy) => ListedOperation::Elsewhere(copy),
        KeptOperation::Here(record) => {
            let as_left = bed.database.operation_as_left(&record).await.unwrap();
            ListedOperation::Here {
                outline: Box::new(OperationOutline::from(&*record)),
                leftovers: leftover_count(&as_left),
            }
        }
    }
}

/// How often what is hard to get right was in a list.
#[derive(Debug, Default)]
struct Seen {
    given_up: usize,
    paused: usize,
    adopting: usize,
    elsewhere: usize,
}

impl Seen {
    fn add(&mut self, listed: &ListedOperation) {
        match listed {
            ListedOperation::Elsewhere(_) => self.elsewhere += 1,
            ListedOperation::Here { outline, leftovers } => {
                self.given_up += usize::from(*leftovers > outline.leftover_count());
                self.paused += usize::from(!outline.pauses.is_empty());
                self.adopting += usize::from(outline.operation.plan.adopts.is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_list_shows_of_each_operation_what_its_whole_record_shows() {
    let mut dice = SeededRandom(StdRng::seed_from_u64(seed()));
    let bed = filled(&mut dice).await;
    let database = &bed.database;
    for with_leftovers in [false, true] {
        let filter = OperationFilter {
            project_id: Some(project()),
            with_leftovers,
            ..OperationFilter::default()
        };
        let mut page = Page {
            limit: 23,
            marker: None,
            sort_key: OperationOrder::CreatedAt,
            sort_dir: OrderDirection::Desc,
        };
        let mut seen = Seen::default();
        loop {
            let shown = database.operation_outlines(&filter, &page).await.unwrap();
            let whole = database.operation_list_of_both(&filter, &page).await;
            let whole = whole.unwrap();
            assert_eq!(shown.more, whole.more);
            assert_eq!(shown.items.len(), whole.items.len());
            for (shown, whole) in shown.items.iter().zip(whole.items) {
                assert_eq!(*shown, from_the_whole(&bed, whole).await);
                seen.add(shown);
            }
            page.marker = shown.items.last().map(|listed| listed.id().to_string());
            if !shown.more {
                break;
            }
        }
        let all = [seen.given_up, seen.paused, seen.adopting, seen.elsewhere];
        assert!(all.into_iter().all(|count| count > 0), "{seen:?}");
    }
}
