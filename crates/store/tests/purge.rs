//! What is purged, and what never is: everything that a guard, a watch or a person may have to read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::collections::BTreeSet;

use bed::{Bed, fresh, records::at};
use chrono::{DateTime, Utc};
use protector_core::{
    group::{Group, GroupStatus},
    id::{EngineId, GroupId, OperationId, ServerId},
    journal_conformance::{TestBed, group, member, operation},
    leftover::leftover_count,
    operation::{MapKind, OperationKind, OperationRecord, OperationState, StepState},
    runbook::{Step, Verb},
};
use protector_store::{
    EngineRow, LeftoverServers, Lock, NewOperation, OperationCopy, Purgeable, StoreError,
};
use serde_json::json;

/// The kinds that guards read, whatever became of them.
const MOVES: [OperationKind; 4] = [
    OperationKind::Failover,
    OperationKind::Failback,
    OperationKind::Retry,
    OperationKind::Abort,
];
const OTHERS: [OperationKind; 5] = [
    OperationKind::TestFailover,
    OperationKind::TestCleanup,
    OperationKind::Cleanup,
    OperationKind::Sync,
    OperationKind::Fence,
];

/// Long after everything here has ended.
fn later() -> DateTime<Utc> {
    at(1_000_000)
}

/// An operation of `kind` that has ended and left nothing.
fn ended(number: u32, kind: OperationKind) -> OperationRecord {
    let mut record = operation(number);
    record.operation.kind = kind;
    record.operation.state = OperationState::Completed;
    record.operation.finished_at = Some(at(9));
    for step in &mut record.steps {
        step.progress.state = StepState::Done;
    }
    record
}

async fn keep_holding(bed: &Bed, record: &OperationRecord, locks: &[Lock]) {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks,
        group: None,
    };
    bed.database.operation_insert(&new, at(1)).await.unwrap();
}

/// Keeps it, and the other site has been told of it.
async fn keep(bed: &Bed, record: &OperationRecord) {
    keep_holding(bed, record, &[]).await;
    let pushed = bed.database.operation_pushed(&record.operation.id, 1);
    pushed.await.unwrap();
}

/// Purges all that may be, and says what that was.
async fn purge(bed: &Bed) -> BTreeSet<OperationId> {
    let found = bed.database.purgeable(later()).await.unwrap();
    let gone = bed.database.purge_operations(&found.operations, later());
    assert_eq!(gone.await.unwrap(), found.operations.len() as u64);
    found.operations.into_iter().collect()
}

async fn is_kept(bed: &Bed, id: &OperationId) -> bool {
    match bed.database.operation_show_by_id(id).await {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn of_all_kinds_and_states_only_what_has_ended_and_moved_nothing_is_purged() {
    let bed = fresh("").await;
    let (mut number, mut expected) = (0, BTreeSet::new());
    for state in OperationState::ALL {
        for kind in MOVES.into_iter().chain(OTHERS) {
            number += 1;
            let mut record = ended(number, kind);
            record.operation.state = state;
            keep(&bed, &record).await;
            if state.is_terminal() && OTHERS.contains(&kind) {
                expected.insert(record.operation.id);
            }
        }
    }
    assert_eq!(purge(&bed).await, expected);
    for gone in 1..=number {
        let id = operation(gone).operation.id;
        assert_eq!(is_kept(&bed, &id).await, !expected.contains(&id), "{id}");
    }
    let lines = bed.database.operation_steps(expected.first().unwrap());
    assert_eq!(lines.await.unwrap(), vec![]);
    assert_eq!(purge(&bed).await, BTreeSet::new(), "once");
}

#[tokio::test]
async fn what_has_left_something_or_may_be_at_work_is_kept_whatever_its_lines_say() {
    let bed = fresh("").await;
    let (mut number, mut expected) = (0, BTreeSet::new());
    for state in StepState::ALL {
        for verb in Verb::ALL {
            number += 1;
            let mut record = ended(number, OperationKind::TestFailover);
            record.operation.state = OperationState::Failed;
            record.steps[1].progress.state = state;
            record.steps[1].verb = verb;
            keep(&bed, &record).await;
            let is_left = leftover_count(&record) > 0;
            let at_work = matches!(state, StepState::Running | StepState::Undoing);
            let unrecovered =
                verb == Verb::Member && matches!(state, StepState::Failed | StepState::Skipped);
            if !is_left && !at_work && !unrecovered {
                expected.insert(record.operation.id);
            }
        }
    }
    assert!(!expected.is_empty());
    let left = bed.database.left_count().await.unwrap();
    assert_eq!(purge(&bed).await, expected);
    assert_eq!(bed.database.left_count().await.unwrap(), left);
}

#[tokio::test]
async fn what_is_young_locked_or_not_told_to_the_other_site_is_kept() {
    let bed = fresh("").await;
    let kind = OperationKind::Sync;
    let mut young = ended(1, kind);
    young.operation.finished_at = Some(later());
    keep(&bed, &young).await;
    let mut without_end = ended(2, kind);
    without_end.operation.finished_at = None;
    keep(&bed, &without_end).await;
    let untold = ended(3, kind);
    keep_holding(&bed, &untold, &[]).await;
    let holding = ended(4, kind);
    let locks = [Lock::group(&holding.operation.group_id)];
    keep_holding(&bed, &holding, &locks).await;
    let cleaned = ended(5, OperationKind::TestFailover);
    keep(&bed, &cleaned).await;
    let mut cleanup = ended(6, OperationKind::Cleanup);
    cleanup.operation.state = OperationState::Running;
    keep_holding(&bed, &cleanup, &[Lock::cleanup_of(&cleaned.operation.id)]).await;
    assert_eq!(purge(&bed).await, BTreeSet::new());
}

#[tokio::test]
async fn what_something_was_made_for_goes_with_it_or_after_it_and_never_before() {
    let bed = fresh("").await;
    let test = ended(1, OperationKind::TestFailover);
    let mut cleanup = ended(2, OperationKind::TestCleanup);
    cleanup.operation.parent_id = Some(test.operation.id.clone());
    let kept_test = ended(3, OperationKind::TestFailover);
    let mut young = ended(4, OperationKind::TestCleanup);
    young.operation.parent_id = Some(kept_test.operation.id.clone());
    young.operation.finished_at = Some(later());
    // The move stays, and what was cleaned up after it does not have to.
    let moved = ended(5, OperationKind::Failover);
    let mut after = ended(6, OperationKind::Cleanup);
    after.operation.parent_id = Some(moved.operation.id.clone());
    for record in [&test, &cleanup, &kept_test, &young, &moved, &after] {
        keep(&bed, record).await;
    }
    let only_the_test = [test.operation.id.clone()];
    let gone = bed.database.purge_operations(&only_the_test, later());
    assert_eq!(gone.await.unwrap(), 0, "its cleanup is there still");
    let expected = [&after, &cleanup, &test].map(|record| record.operation.id.clone());
    let found = bed.database.purgeable(later()).await.unwrap();
    assert_eq!(found.operations, expected);
    assert_eq!(purge(&bed).await, expected.into_iter().collect());
}

/// What guards and watches read of a database.
#[derive(Debug, PartialEq)]
struct Read {
    of_one: Vec<Vec<LeftoverServers>>,
    of_both: Vec<Vec<LeftoverServers>>,
    all: Vec<LeftoverServers>,
    copied: BTreeSet<String>,
    left: u64,
}

async fn read(bed: &Bed, groups: &[GroupId], servers: &[&str]) -> Read {
    let database = &bed.database;
    let (mut of_one, mut of_both) = (Vec::new(), Vec::new());
    for group in groups {
        of_one.push(database.leftover_servers_of(group).await.unwrap());
        of_both.push(database.leftover_servers_of_both(group).await.unwrap());
    }
    Read {
        of_one,
        of_both,
        all: database.leftover_servers(None, 100).await.unwrap().left,
        copied: database.copied_among(servers).await.unwrap(),
        left: database.left_count().await.unwrap(),
    }
}

/// A move of `group` on which `source` became `copy`, and whose line about `source` ended so.
fn moved(
    number: u32,
    group: &GroupId,
    (source, copy): (&str, &str),
    (state, line): (OperationState, StepState),
) -> OperationRecord {
    let mut record = ended(number, OperationKind::Failover);
    record.operation.group_id = group.clone();
    record.operation.state = state;
    let step = &mut record.steps[0];
    step.phase_name = "delete_source_vm".to_owned();
    step.action = Step::DeleteSourceServer {
        server: ServerId::new(source),
    };
    step.resource_id = Some(source.to_owned());
    step.verb = Verb::Attempt;
    step.progress.state = line;
    record.steps.truncate(1);
    record.map.insert(MapKind::Server, source, copy);
    record
}

#[tokio::test]
async fn lives_leftovers_and_what_the_other_site_told_are_the_same_after_a_purge() {
    let bed = fresh("").await;
    let record = operation(1);
    let id = record.operation.group_id.clone();
    let runs = Group {
        status: GroupStatus::FailedOver,
        version: 1,
        current_primary_site: "site-b".into(),
        ..group(&record)
    };
    let mut current = member(&record, "web");
    current.server_id = "third".into();
    bed.put_group(runs, vec![current]).await;
    let completed = OperationState::Completed;
    // Three lives of one machine, the copy of a failed move, and one that was deleted.
    for record in [
        moved(2, &id, ("first", "second"), (completed, StepState::Failed)),
        moved(3, &id, ("second", "third"), (completed, StepState::Done)),
        moved(
            4,
            &id,
            ("third", "lost"),
            (OperationState::Failed, StepState::Pending),
        ),
    ] {
        keep(&bed, &record).await;
    }
    for (number, kind) in (10..).zip(OTHERS) {
        let mut record = ended(number, kind);
        record.operation.group_id = id.clone();
        record.map.insert(MapKind::Server, "first", "of-a-test");
        keep(&bed, &record).await;
    }
    for (number, kind, leftovers) in [
        (20, "failover", 0),
        (21, "retry", 0),
        (22, "sync", 0),
        (23, "test_failover", 2),
    ] {
        let copy = copy(number, &id, kind, leftovers);
        bed.database.peer_operation_apply(&copy).await.unwrap();
    }
    let servers = ["first", "second", "third", "lost"];
    let before = read(&bed, std::slice::from_ref(&id), &servers).await;
    assert!(
        !before.of_both[0].is_empty() && before.copied.len() == 3,
        "{before:?}"
    );

    let found = bed.database.purgeable(later()).await.unwrap();
    assert_eq!(found.copies, [OperationId::new("op-of-b-22")]);
    let copies = bed.database.purge_copies(&found.copies, later());
    assert_eq!(copies.await.unwrap(), 1);
    assert_eq!(purge(&bed).await.len(), OTHERS.len());

    assert_eq!(
        read(&bed, std::slice::from_ref(&id), &servers).await,
        before
    );
}

fn copy(number: u32, group: &GroupId, kind: &str, leftovers: u32) -> OperationCopy {
    let id = format!("op-of-b-{number}");
    OperationCopy {
        record: json!({"id": id, "source_site": "site-b", "target_site": "site-a", "status": "completed"}),
        id: id.into(),
        home_site: "site-b".into(),
        project_id: "project-a".into(),
        group_id: group.clone(),
        group_name: "web".to_owned(),
        kind: kind.to_owned(),
        state: "completed".to_owned(),
        parent_id: None,
        leftovers,
        created_at: at(i64::from(number)),
        revision: 1,
        since: 0,
        is_last: true,
        lines: vec![(
            0,
            json!({"key": "delete_source_vm:web", "phase": "delete_source_vm", "state": "failed", "resource_id": "first"}),
        )],
    }
}

#[tokio::test]
async fn copies_that_are_incomplete_open_or_of_an_unknown_kind_are_kept() {
    let bed = fresh("").await;
    let id = operation(1).operation.group_id;
    let mut part = copy(1, &id, "sync", 0);
    part.is_last = false;
    let mut open = copy(2, &id, "sync", 0);
    open.state = "running".to_owned();
    let unknown = copy(3, &id, "teleport", 0);
    let mut odd = copy(4, &id, "sync", 0);
    odd.state = "asleep".to_owned();
    for copy in [&part, &open, &unknown, &odd] {
        bed.database.peer_operation_apply(copy).await.unwrap();
    }
    let found = bed.database.purgeable(later()).await.unwrap();
    assert_eq!(found, Purgeable::default());
}

#[tokio::test]
async fn rows_for_an_archive_hold_the_record_its_lines_and_its_map() {
    let bed = fresh("").await;
    let mut record = ended(1, OperationKind::Sync);
    record.map.insert(MapKind::Volume, "a", "b");
    keep(&bed, &record).await;
    let ids = [record.operation.id.clone()];
    let rows = bed.database.operation_rows(&ids).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["operation"]["id"], ids[0].as_str());
    assert_eq!(rows[0]["steps"].as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["resource_map"][0]["target_id"], "b");
    let group = record.operation.group_id;
    let kept = copy(2, &group, "sync", 0);
    bed.database.peer_operation_apply(&kept).await.unwrap();
    let rows = bed.database.copy_rows(&[kept.id]).await.unwrap();
    assert_eq!(rows[0]["peer_operation"]["kind"], "sync");
    assert_eq!(rows[0]["lines"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn engines_that_were_not_seen_for_long_are_forgotten() {
    let bed = fresh("").await;
    for (id, seen_at) in [("old", at(1)), ("young", later())] {
        let engine = EngineRow {
            id: EngineId::new(id),
            host: "host".to_owned(),
            version: "1".to_owned(),
            book_version: 1,
            started_at: at(0),
            seen_at,
            stopping: false,
        };
        bed.database.engine_heartbeat(&engine).await.unwrap();
    }
    assert_eq!(bed.database.purgeable(later()).await.unwrap().engines, 1);
    assert_eq!(bed.database.purge_engines(later()).await.unwrap(), 1);
    let left = bed.database.engine_list().await.unwrap();
    assert_eq!(left[0].id.as_str(), "young");
}
