//! Copies of the operations that the other site runs: the newest state, to be read, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::time::Duration;

use bed::records::{at, begin, project, protected};
use protector_core::{
    id::{EngineId, OperationId, ProjectId},
    journal::{Effect, Entry, Journal, OperationChange},
    operation::{MapKind, OperationKind, OperationState, StepRecord, StepState},
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_store::{
    CopyQuota, Database, KeptOperation, OperationCopy, OperationFilter, OperationOrder,
    OrderDirection, Page, StoreError,
};
use serde_json::{Value, json};

fn remote() -> ProjectId {
    "project-b".into()
}

/// A copy of site-a's operation `number`, complete, with three lines.
fn copy(number: u32, revision: u64) -> OperationCopy {
    let id = format!("op-of-a-{number}");
    OperationCopy {
        record: json!({"id": id, "home_site": "site-a", "seen": revision}),
        id: id.into(),
        home_site: "site-a".into(),
        project_id: remote(),
        group_id: "group".into(),
        group_name: "web".to_owned(),
        kind: "failover".to_owned(),
        state: "running".to_owned(),
        parent_id: None,
        leftovers: 0,
        created_at: at(i64::from(number)),
        revision,
        since: 0,
        is_last: true,
        lines: (0..3).map(|position| (position, line(revision))).collect(),
    }
}

fn line(revision: u64) -> Value {
    json!({"seen": revision})
}

async fn seen(database: &Database, number: u32) -> (u64, Vec<u64>) {
    let id = copy(number, 1).id;
    let kept = database.peer_operation_show(&remote(), &id).await.unwrap();
    let lines = database.peer_operation_lines(&id).await.unwrap();
    let of = |value: &Value| value["seen"].as_u64().unwrap();
    (of(&kept.record), lines.iter().map(of).collect())
}

async fn apply(database: &Database, copy: &OperationCopy) -> u64 {
    database.peer_operation_apply(copy).await.unwrap()
}

#[tokio::test]
async fn the_newest_state_wins_in_whatever_order_it_comes() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    for _ in 0..2 {
        assert_eq!(apply(db, &copy(1, 5)).await, 5);
    }
    let next = OperationCopy {
        since: 5,
        lines: vec![(1, line(9))],
        ..copy(1, 9)
    };
    assert_eq!(apply(db, &next).await, 9);
    assert_eq!(seen(db, 1).await, (9, vec![5, 9, 5]));
    // What is late changes nothing, and says what is kept.
    assert_eq!(apply(db, &copy(1, 7)).await, 9);
    assert_eq!(apply(db, &next).await, 9);
    assert_eq!(seen(db, 1).await, (9, vec![5, 9, 5]));
}

#[tokio::test]
async fn a_copy_that_continues_what_is_not_here_is_asked_for_from_there() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let tail = OperationCopy {
        since: 5,
        lines: vec![(1, line(9))],
        ..copy(1, 9)
    };
    assert_eq!(apply(db, &tail).await, 0);
    let id = &tail.id;
    assert!(db.peer_operation_show(&remote(), id).await.is_err());
    assert_eq!(apply(db, &copy(1, 3)).await, 3);
    assert_eq!(apply(db, &tail).await, 3);
    assert_eq!(seen(db, 1).await, (3, vec![3, 3, 3]));
}

#[tokio::test]
async fn a_long_record_comes_in_parts_and_is_shown_when_it_is_complete() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let part = |from: u32, is_last| OperationCopy {
        is_last,
        lines: (from..from + 500).map(|at| (at, line(4))).collect(),
        ..copy(1, 4)
    };
    assert_eq!(apply(db, &part(0, false)).await, 0);
    assert!(list(db, &OperationFilter::default()).await.is_empty());
    assert_eq!(apply(db, &part(500, false)).await, 0);
    // The sender died, and begins again.
    assert_eq!(apply(db, &part(0, false)).await, 0);
    assert_eq!(apply(db, &part(500, false)).await, 0);
    assert_eq!(apply(db, &part(1000, true)).await, 4);
    assert_eq!(seen(db, 1).await, (4, vec![4; 1500]));
}

#[tokio::test]
async fn a_copy_is_its_project_s_and_its_home_s() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, _, record) = protected(&bed, 1).await;
    begin(db, &record, &group).await.unwrap();
    apply(db, &copy(1, 1)).await;
    let of = |change: fn(&mut OperationCopy)| {
        let mut copy = copy(1, 2);
        change(&mut copy);
        copy
    };
    for stranger in [
        of(|copy| copy.project_id = "elsewhere".into()),
        of(|copy| copy.home_site = "site-c".into()),
    ] {
        let refused = db.peer_operation_apply(&stranger).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    }
    // A group of another project's.
    let mut theirs = copy(2, 1);
    theirs.group_id = group.id.clone();
    let refused = db.peer_operation_apply(&theirs).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    // This site's own operation is not overwritten.
    let mut own = copy(3, 1);
    own.id = record.operation.id.clone();
    let refused = db.peer_operation_apply(&own).await;
    assert_eq!(
        refused,
        Err(StoreError::OwnOperation(record.operation.id.clone()))
    );
    let id = copy(1, 1).id;
    for project in ["elsewhere", "project-a"] {
        let hidden = db.peer_operation_show(&project.into(), &id).await;
        assert!(matches!(hidden, Err(StoreError::NotFound { .. })));
    }
}

async fn list(database: &Database, filter: &OperationFilter) -> Vec<OperationId> {
    let page = Page {
        limit: 100,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Asc,
    };
    let listed = database
        .operation_list_of_both(filter, &page)
        .await
        .unwrap();
    listed.items.iter().map(|kept| kept.id().clone()).collect()
}

#[tokio::test]
async fn operations_of_both_sites_are_listed_together_page_by_page() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let mut own = Vec::new();
    for number in 1..=4 {
        let (group, _, mut record) = protected(&bed, number).await;
        record.operation.created_at = at(i64::from(number) * 10);
        begin(db, &record, &group).await.unwrap();
        own.push(record.operation.id);
    }
    // Of the same project on this site, between the others.
    let mut expected = own.clone();
    for (number, place) in [(1, 0), (15, 2), (25, 4), (26, 5), (99, 8)] {
        let mut copy = copy(number, 1);
        copy.project_id = project();
        copy.home_site = "site-b".into();
        apply(db, &copy).await;
        expected.insert(place, copy.id);
    }
    apply(db, &copy(30, 1)).await;
    let mine = OperationFilter {
        project_id: Some(project()),
        ..OperationFilter::default()
    };
    assert_eq!(list(db, &mine).await, expected);
    for sort_dir in [OrderDirection::Asc, OrderDirection::Desc] {
        for sort_key in [OperationOrder::CreatedAt, OperationOrder::Id] {
            for limit in 1..=expected.len() as u64 {
                let mut all = Vec::new();
                let mut marker = None;
                loop {
                    let page = Page {
                        limit,
                        marker,
                        sort_key,
                        sort_dir,
                    };
                    let listed = db.operation_list_of_both(&mine, &page).await.unwrap();
                    assert!(listed.items.len() as u64 <= limit);
                    all.extend(listed.items.iter().map(|kept| kept.id().clone()));
                    if !listed.more {
                        break;
                    }
                    marker = all.last().map(ToString::to_string);
                }
                let mut in_order = expected.clone();
                if sort_key == OperationOrder::Id {
                    in_order.sort();
                }
                if sort_dir == OrderDirection::Desc {
                    in_order.reverse();
                }
                assert_eq!(all, in_order, "{sort_key:?} {sort_dir:?}, {limit} a page");
            }
        }
    }
    let hidden = Page {
        limit: 5,
        marker: Some(copy(30, 1).id.to_string()),
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Asc,
    };
    assert!(matches!(
        db.operation_list_of_both(&mine, &hidden).await,
        Err(StoreError::MarkerNotFound(_))
    ));
}

#[tokio::test]
async fn copies_are_found_by_what_is_asked_for() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let mut ended = copy(1, 1);
    ended.state = "completed".to_owned();
    ended.leftovers = 2;
    let mut cleanup = copy(2, 1);
    cleanup.kind = "cleanup".to_owned();
    cleanup.parent_id = Some(ended.id.clone());
    cleanup.group_id = "other-group".into();
    for copy in [&ended, &cleanup] {
        apply(db, copy).await;
    }
    let all = OperationFilter::default;
    for (filter, found) in [
        (all(), vec![&ended, &cleanup]),
        (
            OperationFilter {
                with_leftovers: true,
                ..all()
            },
            vec![&ended],
        ),
        (
            OperationFilter {
                states: vec![OperationState::Running],
                ..all()
            },
            vec![&cleanup],
        ),
        (
            OperationFilter {
                kinds: vec![OperationKind::Cleanup],
                ..all()
            },
            vec![&cleanup],
        ),
        (
            OperationFilter {
                parent_id: Some(ended.id.clone()),
                ..all()
            },
            vec![&cleanup],
        ),
        (
            OperationFilter {
                groups: vec!["group".into()],
                ..all()
            },
            vec![&ended],
        ),
        (
            OperationFilter {
                project_id: Some(project()),
                ..all()
            },
            vec![],
        ),
    ] {
        let ids: Vec<_> = found.iter().map(|copy| copy.id.clone()).collect();
        assert_eq!(list(db, &filter).await, ids, "{filter:?}");
    }
    // Its group is not known here, and may be deleted on both sites: its operations are still found by its name.
    let named = db.operation_groups(&remote(), "web").await.unwrap();
    assert_eq!(named.len(), 2);
    assert!(
        db.operation_groups(&project(), "web")
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn an_engine_finds_no_copy_and_no_copy_holds_a_lock() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    for state in OperationState::WALKED {
        let mut copy = copy(1, 1);
        copy.id = format!("op-{}", state.as_str()).into();
        copy.state = state.as_str().to_owned();
        apply(db, &copy).await;
    }
    let engine = EngineId::new("engine-1");
    let lease = Duration::from_secs(60);
    let claims = db
        .claim(&engine, at(99), lease, BOOK_VERSION, &Room::for_any(10))
        .await;
    assert_eq!(claims.unwrap(), vec![]);
    assert_eq!(db.queued_at(at(99), BOOK_VERSION).await.unwrap(), []);
    assert!(db.operation_push_due(at(99), 10).await.unwrap().is_empty());
    assert_eq!(list(db, &OperationFilter::default()).await.len(), 3);
    let own = Page {
        limit: 9,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Asc,
    };
    let listed = db.operation_list(&OperationFilter::default(), &own).await;
    assert_eq!(listed.unwrap().items, vec![]);
}

#[tokio::test]
async fn lines_about_a_resource_have_changed_when_its_copy_is_known() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, _, record) = protected(&bed, 1).await;
    begin(db, &record, &group).await.unwrap();
    let id = &record.operation.id;
    let push = db.operation_push(id).await.unwrap();
    db.operation_pushed(id, push.revision).await.unwrap();

    let lease = Duration::from_secs(600);
    let engine = EngineId::new("engine-1");
    let claims = db
        .claim(&engine, at(100), lease, BOOK_VERSION, &Room::for_any(5))
        .await;
    let claim = claims.unwrap().remove(0);
    let named = |step: &StepRecord| step.resource_id.clone();
    let server = record.steps.iter().find_map(named).unwrap();
    let about_it: Vec<u32> = record
        .steps
        .iter()
        .filter(|step| named(step).as_ref() == Some(&server))
        .map(|step| step.position)
        .collect();
    let kind = MapKind::Server;
    let mapped = Effect::Mapped {
        kind,
        source: server.clone(),
        target: "copy".into(),
    };
    let unmapped = Effect::Unmapped {
        kind,
        source: server,
    };
    for (second, effect) in [(101, mapped), (102, unmapped)] {
        let entry = Entry {
            effects: vec![effect],
            ..Entry::default()
        };
        db.record(&claim, at(second), entry).await.unwrap();
        let push = db.operation_push(id).await.unwrap();
        assert_eq!(push.changed, about_it);
        db.operation_pushed(id, push.revision).await.unwrap();
    }
}

#[tokio::test]
async fn only_what_has_changed_is_due() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    let (group, _, record) = protected(&bed, 1).await;
    begin(db, &record, &group).await.unwrap();
    let id = &record.operation.id;
    let due = async |second| db.operation_push_due(at(second), 5).await.unwrap();
    assert_eq!(due(1).await, vec![id.clone()]);
    let push = db.operation_push(id).await.unwrap();
    let positions: Vec<u32> = record.steps.iter().map(|step| step.position).collect();
    assert_eq!((push.since, &push.changed), (0, &positions));
    db.operation_pushed(id, push.revision).await.unwrap();
    assert!(due(99).await.is_empty());

    let lease = Duration::from_secs(600);
    let engine = EngineId::new("engine-1");
    let claims = db
        .claim(&engine, at(100), lease, BOOK_VERSION, &Room::for_any(5))
        .await;
    let claim = claims.unwrap().remove(0);
    // A longer lease is nothing to tell.
    db.renew(&claim, at(101)).await.unwrap();
    assert!(due(110).await.is_empty());
    let mut progress = record.steps[1].progress.clone();
    progress.state = StepState::Running;
    let entry = Entry {
        steps: vec![(1, progress)],
        ..Entry::default()
    };
    db.record(&claim, at(120), entry.clone()).await.unwrap();
    // Lines are collected for a moment, also while more of them come.
    assert!(due(120).await.is_empty());
    db.record(&claim, at(121), entry).await.unwrap();
    assert!(due(124).await.is_empty());
    assert_eq!(due(125).await, vec![id.clone()]);
    let push = db.operation_push(id).await.unwrap();
    assert_eq!((push.since, push.changed), (1, vec![1]));
    assert_eq!(push.record.steps[1].progress.state, StepState::Running);

    // It has changed again while it was pushed: it stays due.
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(123),
        }),
        ..Entry::default()
    };
    db.record(&claim, at(123), ended).await.unwrap();
    db.operation_pushed(id, push.revision).await.unwrap();
    assert_eq!(due(123).await, vec![id.clone()]);
    let last = db.operation_push(id).await.unwrap();
    assert_eq!((last.since, last.changed), (push.revision, vec![]));

    db.operation_push_failed(id, 1, "connection refused", at(200))
        .await
        .unwrap();
    assert!(due(199).await.is_empty());
    assert_eq!(due(200).await, vec![id.clone()]);
    assert_eq!(db.operation_push(id).await.unwrap().failed_tries, 1);
    // The other site has lost its database.
    db.operation_push_from(id, 0).await.unwrap();
    let whole = db.operation_push(id).await.unwrap();
    assert_eq!(whole.changed, positions);
}

#[tokio::test]
async fn a_copy_keeps_what_it_is() {
    let bed = bed::fresh("").await;
    let db = &bed.database;
    apply(db, &copy(1, 1)).await;
    let page = Page {
        limit: 1,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Asc,
    };
    let listed = db
        .operation_list_of_both(&OperationFilter::default(), &page)
        .await;
    let KeptOperation::Elsewhere(kept) = listed.unwrap().items.remove(0) else {
        panic!("it is not this site's");
    };
    assert_eq!(kept.home_site.as_str(), "site-a");
    assert_eq!(kept.record, copy(1, 1).record);
}

/// A record of site-a's operation `number` on `group`, which has ended and left nothing.
fn ended(number: u32, group: &str, kind: OperationKind) -> OperationCopy {
    OperationCopy {
        group_id: group.into(),
        kind: kind.as_str().to_owned(),
        state: OperationState::Completed.as_str().to_owned(),
        ..copy(number, 1)
    }
}

async fn kept_ids(database: &Database) -> Vec<String> {
    let page = Page {
        limit: 50,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Asc,
    };
    let all = OperationFilter {
        project_id: Some(remote()),
        ..OperationFilter::default()
    };
    let listed = database.operation_list_of_both(&all, &page).await.unwrap();
    listed
        .items
        .iter()
        .map(|kept| kept.id().to_string())
        .collect()
}

#[tokio::test]
async fn of_the_records_of_a_group_old_history_makes_room_and_what_is_needed_stays() {
    let bed = bed::fresh("").await;
    let quota = CopyQuota {
        operations: Some(4),
        groups: None,
    };
    let db = &bed.another().await.with_copy_quota(quota);
    let keep = async |copy: &OperationCopy| db.peer_operation_apply(copy).await;
    let id = |number: u32| format!("op-of-a-{number}");
    // A move, a sync that left something, a test with a cleanup of its own: none of them goes.
    let left = OperationCopy {
        leftovers: 1,
        ..ended(2, "gone", OperationKind::Sync)
    };
    let cleanup = OperationCopy {
        parent_id: Some(id(3).into()),
        ..ended(4, "gone", OperationKind::TestCleanup)
    };
    keep(&ended(1, "gone", OperationKind::Failover))
        .await
        .unwrap();
    keep(&left).await.unwrap();
    keep(&ended(3, "gone", OperationKind::TestFailover))
        .await
        .unwrap();
    keep(&cleanup).await.unwrap();
    keep(&ended(5, "gone", OperationKind::Sync)).await.unwrap();
    assert_eq!(
        kept_ids(db).await,
        [1, 2, 3, 5].map(id),
        "the cleanup of the test made room"
    );
    // Another group that nobody knows is no way round: they count together.
    keep(&ended(6, "elsewhere", OperationKind::Failover))
        .await
        .unwrap();
    assert_eq!(kept_ids(db).await, [1, 2, 5, 6].map(id));
    keep(&ended(7, "elsewhere", OperationKind::Failback))
        .await
        .unwrap();
    assert_eq!(kept_ids(db).await, [1, 2, 6, 7].map(id));
    let refused = keep(&ended(8, "gone", OperationKind::Sync))
        .await
        .unwrap_err();
    let said = refused.to_string();
    assert!(
        said.starts_with("Quota exceeded for records of operations"),
        "{said}"
    );
    assert!(said.contains("[quota] peer_operations"), "{said}");
    assert_eq!(kept_ids(db).await, [1, 2, 6, 7].map(id));
    // What is kept is brought up to date all the same, and without a quota all is kept.
    let newer = OperationCopy {
        revision: 2,
        ..ended(1, "gone", OperationKind::Failover)
    };
    assert_eq!(keep(&newer).await, Ok(2));
    let all = &bed.database;
    let eighth = ended(8, "gone", OperationKind::Sync);
    all.peer_operation_apply(&eighth).await.unwrap();
    assert_eq!(kept_ids(all).await.len(), 5);
}

#[tokio::test]
async fn records_of_a_group_that_is_known_count_by_themselves() {
    let bed = bed::fresh("").await;
    let quota = CopyQuota {
        operations: Some(1),
        groups: None,
    };
    let db = &bed.another().await.with_copy_quota(quota);
    let (group, ..) = protected(&bed, 1).await;
    let of_group = |number: u32| OperationCopy {
        home_site: "site-b".into(),
        project_id: project(),
        ..ended(number, group.id.as_str(), OperationKind::Failover)
    };
    db.peer_operation_apply(&of_group(1)).await.unwrap();
    let stranger = ended(2, "unknown", OperationKind::Failover);
    db.peer_operation_apply(&stranger).await.unwrap();
    let refused = db.peer_operation_apply(&of_group(3)).await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains(group.id.as_str()), "{said}");
}
