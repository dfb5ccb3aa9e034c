//! Which servers of which groups the watch of split brains looks after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use std::collections::BTreeSet;

use bed::{Bed, fresh, records::at};
use protector_core::{
    group::{Group, GroupStatus},
    id::{GroupId, ServerId},
    journal_conformance::{TestBed, group, member, operation},
    member::{Member, MemberStatus},
    operation::{MapKind, OperationKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::Step,
};
use protector_store::{LeftoverServers, NewOperation, OperationCopy};
use serde_json::json;

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

async fn left_of(bed: &Bed, id: &GroupId) -> Vec<LeftoverServers> {
    bed.database.leftover_servers_of(id).await.unwrap()
}

fn servers(left: &[LeftoverServers]) -> Vec<&str> {
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
            .leftover_servers(after.as_ref(), 100)
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
    // The group runs no other life of what is on site-b.
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
    let page = bed.database.leftover_servers(None, 100).await.unwrap();
    let left = servers(&page.left);
    assert_eq!(left, ["copy"], "beside the member that is its original");
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

/// Of group `number`, which runs `server` on `site`.
async fn runs_on(bed: &Bed, record: &OperationRecord, site: &str, member_now: Member) -> GroupId {
    let group = Group {
        status: GroupStatus::Active,
        version: 1,
        current_primary_site: site.into(),
        ..group(record)
    };
    let id = group.id.clone();
    bed.put_group(group, vec![member_now]).await;
    id
}

fn runs(record: &OperationRecord, server: &str, status: MemberStatus) -> Member {
    Member {
        server_id: server.into(),
        status,
        ..member(record, "web")
    }
}

/// A move of `server` to site-b that has failed and could not take back what it had built.
fn failed(number: u32, server: &str, undone: StepState) -> OperationRecord {
    let mut record = moved(number, server, undone);
    record.operation.state = OperationState::Failed;
    let build = &mut record.steps[0];
    build.phase_name = "recreate_vms".to_owned();
    build.key = format!("recreate_vms:{server}");
    build.action = Step::RecreateServer {
        server: ServerId::new(server),
    };
    build.verb = protector_core::runbook::Verb::Undoable;
    record
}

/// Its original is the group: whoever starts the copy has two.
#[tokio::test]
async fn a_copy_that_a_failed_move_could_not_take_back_is_left() {
    for (undone, expected) in [
        (StepState::UndoFailed, &["copy"][..]),
        (StepState::Failed, &["copy"]),
        (StepState::Undone, &[]),
    ] {
        let bed = fresh("").await;
        let record = failed(1, "server", undone);
        let now = runs(&record, "server", MemberStatus::Protected);
        let id = runs_on(&bed, &record, "site-a", now).await;
        keep(&bed, &record).await;
        let left = left_of(&bed, &id).await;
        assert_eq!(servers(&left), expected, "{undone:?}");
        assert!(left.iter().all(|left| left.site.as_str() == "site-b"));
    }
}

/// It was asked for, and the move was given up before it had seen it run.
#[tokio::test]
async fn a_copy_that_is_in_no_map_is_left_as_well() {
    let bed = fresh("").await;
    let mut record = failed(1, "server", StepState::UndoFailed);
    record.map.remove(MapKind::Server, "server");
    record.steps[0].progress.memo.made = Some("half-built".to_owned());
    let now = runs(&record, "server", MemberStatus::Protected);
    let id = runs_on(&bed, &record, "site-a", now).await;
    keep(&bed, &record).await;
    assert_eq!(servers(&left_of(&bed, &id).await), ["half-built"]);
}

/// What could not be recovered has no other life that runs; and one whose original has left the group is nobody's here.
#[tokio::test]
async fn a_copy_beside_which_the_group_runs_nothing_is_not_left() {
    for now in [
        runs(&operation(1), "server", MemberStatus::Error),
        runs(&operation(1), "another", MemberStatus::Protected),
        runs(&operation(1), "copy", MemberStatus::Protected),
    ] {
        let bed = fresh("").await;
        let record = failed(1, "server", StepState::UndoFailed);
        let id = runs_on(&bed, &record, "site-a", now.clone()).await;
        keep(&bed, &record).await;
        assert_eq!(servers(&left_of(&bed, &id).await), [""; 0], "{now:?}");
    }
}

/// There, back, and there again: a life of the machine is left on each site.
#[tokio::test]
async fn lives_of_generations_ago_are_left_on_either_site() {
    let bed = fresh("").await;
    let mut third = moved(3, "a-2", StepState::Done);
    third.map.insert(MapKind::Server, "a-2", "b-3");
    let now = runs(&third, "b-3", MemberStatus::Protected);
    let id = runs_on(&bed, &third, "site-b", now).await;
    let mut first = moved(1, "a-0", StepState::Failed);
    first.map.insert(MapKind::Server, "a-0", "b-1");
    let mut second = moved(2, "b-1", StepState::Skipped);
    second.operation.kind = OperationKind::Failback;
    (second.operation.source_site, second.operation.target_site) =
        ("site-b".into(), "site-a".into());
    second.map.insert(MapKind::Server, "b-1", "a-2");
    for mut record in [first, second, third] {
        record.operation.group_id = id.clone();
        keep(&bed, &record).await;
    }
    let left = left_of(&bed, &id).await;
    let places: Vec<(&str, Vec<&str>)> = left
        .iter()
        .map(|left| {
            let servers = left.servers.iter().map(ServerId::as_str);
            (left.site.as_str(), servers.collect())
        })
        .collect();
    assert_eq!(places, [("site-a", vec!["a-0"]), ("site-b", vec!["b-1"])]);
}

/// What site-b tells of a move of its own from `from` to `to`, with these lines: phase, id of its server, state.
async fn told(
    bed: &Bed,
    id: &GroupId,
    state: OperationState,
    sites: [&str; 2],
    lines: &[(&str, &str, &str)],
) {
    told_as(bed, id, state, sites, lines, ["op-of-b", "failback"]).await;
}

/// The same of an operation of this id and kind; a retry is of `op-of-b`.
async fn told_as(
    bed: &Bed,
    id: &GroupId,
    state: OperationState,
    sites: [&str; 2],
    lines: &[(&str, &str, &str)],
    [operation, kind]: [&str; 2],
) {
    let stored = bed.database.group_show_by_id(id).await.unwrap();
    let shown = lines.iter().map(|(phase, server, state)| {
        json!({"key": format!("{phase}:web"), "phase": phase, "state": state, "resource_id": server})
    });
    let copy = OperationCopy {
        id: operation.into(),
        home_site: "site-b".into(),
        project_id: stored.local_project_id,
        group_id: id.clone(),
        group_name: stored.group.name,
        kind: kind.to_owned(),
        state: state.as_str().to_owned(),
        parent_id: (kind == "retry").then(|| "op-of-b".into()),
        leftovers: 1,
        created_at: at(20),
        revision: 1,
        since: 0,
        is_last: true,
        record: json!({"source_site": sites[0], "target_site": sites[1]}),
        lines: (0..).zip(shown).collect(),
    };
    bed.database.peer_operation_apply(&copy).await.unwrap();
}

async fn left_of_both(bed: &Bed, id: &GroupId) -> Vec<LeftoverServers> {
    bed.database.leftover_servers_of_both(id).await.unwrap()
}

/// A move of site-a that has left its original, and the group on site-b since.
async fn gone_to_b(bed: &Bed, site: &str, server: &str) -> GroupId {
    let mut first = moved(1, "a-0", StepState::Failed);
    first.map.insert(MapKind::Server, "a-0", "b-1");
    let now = runs(&first, server, MemberStatus::Protected);
    let id = runs_on(bed, &first, site, now).await;
    keep(bed, &first).await;
    id
}

/// Each site looks after what its own moves have left; whether the group runs once, what both have left tells.
#[tokio::test]
async fn what_both_sites_have_left_is_told_apart_and_together() {
    for (undone, together) in [("undo_failed", &["a-0", "a-2"][..]), ("undone", &["a-0"])] {
        let bed = fresh("").await;
        let id = gone_to_b(&bed, "site-b", "b-1").await;
        let lines = [
            ("recreate_vms", "a-2", undone),
            ("delete_source_vm", "b-1", "pending"),
        ];
        let back = ["site-b", "site-a"];
        told(&bed, &id, OperationState::Failed, back, &lines).await;
        assert_eq!(servers(&left_of(&bed, &id).await), ["a-0"]);
        let both = left_of_both(&bed, &id).await;
        assert_eq!(servers(&both), together, "{undone}");
        assert!(both.iter().all(|left| left.site.as_str() == "site-a"));
    }
}

/// An original that the other site could not delete counts as one's own does: only where there is a copy.
#[tokio::test]
async fn an_original_that_the_other_site_has_left_counts_where_it_was_recovered() {
    for (built, copy, together) in [("done", "a-2", &["a-0", "b-1"][..]), ("failed", "b-1", &[])] {
        let bed = fresh("").await;
        let id = gone_to_b(&bed, "site-a", "a-2").await;
        let lines = [
            ("recreate_vms", copy, built),
            ("delete_source_vm", "b-1", "failed"),
        ];
        let back = ["site-b", "site-a"];
        told(&bed, &id, OperationState::Completed, back, &lines).await;
        let both = left_of_both(&bed, &id).await;
        assert_eq!(servers(&both), together, "{built}");
    }
}

/// There by this site, back by the other one: only that one's record says that what runs now is a life of what was left.
#[tokio::test]
async fn a_life_between_which_and_the_group_a_move_of_the_other_site_stands_is_left() {
    let bed = fresh("").await;
    let id = gone_to_b(&bed, "site-a", "a-2").await;
    assert!(servers(&left_of(&bed, &id).await).is_empty());
    let lines = [
        ("recreate_vms", "a-2", "done"),
        ("delete_source_vm", "b-1", "done"),
    ];
    let back = ["site-b", "site-a"];
    told(&bed, &id, OperationState::Completed, back, &lines).await;
    let left = left_of(&bed, &id).await;
    assert_eq!(servers(&left), ["a-0"], "b-1 was deleted there");
    assert_eq!(left[0].site.as_str(), "site-a");
}

/// The other site has recovered it by a retry, which has no lines of what was left: its move has.
#[tokio::test]
async fn what_a_retry_of_the_other_site_has_built_is_a_life_of_what_its_move_has_left() {
    let bed = fresh("").await;
    let id = gone_to_b(&bed, "site-a", "a-2").await;
    let back = ["site-b", "site-a"];
    let failed = [
        ("recreate_vms", "b-1", "failed"),
        ("delete_source_vm", "b-1", "failed"),
    ];
    told(&bed, &id, OperationState::Completed, back, &failed).await;
    assert!(servers(&left_of_both(&bed, &id).await).is_empty());
    let built = [("recreate_vms", "a-2", "done")];
    let retry = ["op-retry-of-b", "retry"];
    told_as(&bed, &id, OperationState::Completed, back, &built, retry).await;
    assert_eq!(servers(&left_of_both(&bed, &id).await), ["a-0", "b-1"]);
}
