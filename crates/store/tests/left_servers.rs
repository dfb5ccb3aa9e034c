//! Which servers of which groups the watch of split brains looks after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod bed;

use std::collections::BTreeSet;

use bed::{Bed, fresh, records::at};
use protector_core::{
    group::{Group, GroupStatus},
    id::{GroupId, ServerId},
    journal_conformance::{TestBed, group, member, operation},
    operation::{MapKind, OperationKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::Step,
};
use protector_store::{LeftServers, NewOperation};

/// A completed move of group `number` to site-b, one of whose lines is about `server` and ended so.
fn moved(number: u32, server: &str, ended: StepState) -> OperationRecord {
    let mut record = operation(number);
    record.operation.state = OperationState::Completed;
    record.operation.finished_at = Some(at(9));
    let mut line: StepRecord = record.steps[0].clone();
    line.phase_name = "delete_source_vm".to_owned();
    line.key = format!("delete_source_vm:{server}");
    line.action = Step::DeleteSourceServer {
        server: ServerId::new(server),
    };
    line.resource_id = Some(server.to_owned());
    line.verb = protector_core::runbook::Verb::Attempt;
    line.after = Vec::new();
    line.progress.state = ended;
    record.steps = vec![line];
    record.map.insert(MapKind::Server, server, "copy");
    record
}

async fn keep(bed: &Bed, record: &OperationRecord) {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[],
        group: None,
    };
    bed.database.operation_insert(&new, at(1)).await.unwrap();
}

/// The group of `record`, which runs on site-b.
async fn arrived(bed: &Bed, record: &OperationRecord, number: u32, status: GroupStatus) -> GroupId {
    let group = Group {
        status,
        version: 1,
        name: format!("group-{number}"),
        current_primary_site: "site-b".into(),
        ..group(record)
    };
    let mut copy = member(record, "web");
    copy.server_id = format!("copy-{number}").into();
    let id = group.id.clone();
    bed.put_group(group, vec![copy]).await;
    id
}

async fn left_of(bed: &Bed, id: &GroupId) -> Vec<LeftServers> {
    bed.database.left_servers_of(id).await.unwrap()
}

fn servers(left: &[LeftServers]) -> Vec<&str> {
    let all = left.iter().flat_map(|left| &left.servers);
    all.map(ServerId::as_str).collect()
}

#[tokio::test]
async fn every_group_is_looked_after_however_many_there_are() {
    const GROUPS: u32 = 620;
    let bed = fresh("").await;
    for number in 1..=GROUPS {
        let record = moved(number, &format!("server-{number}"), StepState::Failed);
        arrived(&bed, &record, number, GroupStatus::FailedOver).await;
        keep(&bed, &record).await;
    }
    let began = std::time::Instant::now();
    let (mut after, mut pages, mut seen) = (None, 0, BTreeSet::new());
    loop {
        let page = bed
            .database
            .left_servers(after.as_ref(), 100)
            .await
            .unwrap();
        pages += 1;
        for left in &page.left {
            assert_eq!(left.site.as_str(), "site-a");
            assert!(seen.insert(left.group_id.clone()), "twice: {left:?}");
            assert_eq!(left.servers.len(), 1);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    eprintln!("{pages} pages in {:?}", began.elapsed());
    assert_eq!(seen.len(), GROUPS as usize);
    assert_eq!(pages, 7);
}

#[tokio::test]
async fn what_was_kept_or_retained_is_left_and_what_was_deleted_is_not() {
    let bed = fresh("").await;
    for (number, ended, expected) in [
        (1, StepState::Failed, &["server"][..]),
        (2, StepState::Skipped, &["server"]),
        (3, StepState::Done, &[]),
    ] {
        let record = moved(number, "server", ended);
        let id = arrived(&bed, &record, number, GroupStatus::FailedOver).await;
        keep(&bed, &record).await;
        assert_eq!(servers(&left_of(&bed, &id).await), expected, "{ended:?}");
    }
}

#[tokio::test]
async fn earlier_moves_the_same_way_count_and_moves_the_other_way_do_not() {
    let bed = fresh("").await;
    let last = moved(1, "second", StepState::Failed);
    let id = arrived(&bed, &last, 1, GroupStatus::FailedOver).await;
    keep(&bed, &last).await;
    let mut first = moved(2, "first", StepState::Failed);
    first.operation.group_id = id.clone();
    keep(&bed, &first).await;
    let mut back = moved(3, "on-b", StepState::Failed);
    back.operation.group_id = id.clone();
    back.operation.kind = OperationKind::Failback;
    (back.operation.source_site, back.operation.target_site) = ("site-b".into(), "site-a".into());
    keep(&bed, &back).await;
    let mut failed = moved(4, "never-moved", StepState::Failed);
    failed.operation.group_id = id.clone();
    failed.operation.state = OperationState::Failed;
    keep(&bed, &failed).await;
    assert_eq!(servers(&left_of(&bed, &id).await), ["first", "second"]);
}

#[tokio::test]
async fn a_group_on_its_way_and_a_server_that_is_a_member_are_no_business_of_the_watch() {
    let bed = fresh("").await;
    let record = moved(1, "copy-1", StepState::Failed);
    arrived(&bed, &record, 1, GroupStatus::FailedOver).await;
    keep(&bed, &record).await;
    let on_its_way = moved(2, "server", StepState::Failed);
    arrived(&bed, &on_its_way, 2, GroupStatus::Error).await;
    keep(&bed, &on_its_way).await;
    let page = bed.database.left_servers(None, 100).await.unwrap();
    assert_eq!(page.left, []);
    assert_eq!(page.next, None);
}

/// It runs where it always did, also when its owner has taken it out of the group.
#[tokio::test]
async fn what_no_move_has_made_a_copy_of_is_not_left() {
    let bed = fresh("").await;
    let mut record = moved(1, "server-1", StepState::Failed);
    record.map.remove(MapKind::Server, "server-1");
    let id = arrived(&bed, &record, 1, GroupStatus::FailedOver).await;
    keep(&bed, &record).await;
    let mut test = moved(2, "server-1", StepState::Done);
    test.operation.kind = OperationKind::TestFailover;
    keep(&bed, &test).await;
    assert!(
        servers(&left_of(&bed, &id).await).is_empty(),
        "nobody made a copy"
    );
    let mut retry = moved(3, "server-1", StepState::Done);
    retry.operation.kind = OperationKind::Retry;
    keep(&bed, &retry).await;
    assert_eq!(servers(&left_of(&bed, &id).await), ["server-1"]);
}
