//! What a cleanup takes for the copies of what an operation left: where the group is now, and never production for a copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use chrono::{TimeZone, Utc};
use protector_core::{
    fixtures,
    id::SiteName,
    member::Member,
    operation::{MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap},
    present::{CurrentMember, map_as_of_now},
    runbook::failover::planned_move,
};

fn member() -> Member {
    let noon = Utc.with_ymd_and_hms(2025, 11, 3, 12, 0, 0).unwrap();
    Member {
        volumes: vec![fixtures::volume("vol-1"), fixtures::volume("vol-2")],
        created_at: noon,
        updated_at: noon,
        ..fixtures::member("web-1")
    }
}

/// A record about one member with two volumes, whose copies it made on the target.
fn record(kind: OperationKind, state: OperationState) -> OperationRecord {
    let member = member();
    let created_at = member.created_at;
    let plan = fixtures::plan(vec![member]);
    let mut map = ResourceMap::default();
    for (kind, source, copy) in [
        (MapKind::Server, "server-web-1", "server-copy"),
        (MapKind::Volume, "vol-1", "vol-copy-1"),
        (MapKind::Volume, "vol-2", "vol-copy-2"),
    ] {
        map.insert(kind, source, copy);
    }
    OperationRecord {
        steps: planned_move(&plan).into_steps().unwrap(),
        map,
        operation: Operation {
            state,
            created_at,
            ..fixtures::operation("op-1", kind, plan)
        },
    }
}

fn now_at(record: &OperationRecord, site: &str, prefix: &str) -> CurrentMember {
    let mut member = record.operation.plan.members[0].clone();
    member.server_id = format!("{prefix}-server").into();
    for (volume, number) in member.volumes.iter_mut().zip(1..) {
        volume.id = format!("{prefix}-vol-{number}").into();
    }
    CurrentMember {
        site: SiteName::new(site),
        member,
    }
}

#[test]
fn a_move_that_came_back_and_went_again_has_its_heirs_where_the_group_is_now() {
    let parent = record(OperationKind::Failover, OperationState::Completed);
    let back = map_as_of_now(&parent, &[now_at(&parent, "site-a", "back")]);
    assert_eq!(
        back.target(MapKind::ReturnedServer, "server-web-1"),
        Some("back-server")
    );
    assert_eq!(
        back.target(MapKind::ReturnedVolume, "vol-2"),
        Some("back-vol-2")
    );
    let again = map_as_of_now(&parent, &[now_at(&parent, "site-b", "again")]);
    assert_eq!(
        again.target(MapKind::Server, "server-web-1"),
        Some("again-server")
    );
    assert_eq!(again.target(MapKind::Volume, "vol-1"), Some("again-vol-1"));
    assert_eq!(again.target(MapKind::ReturnedServer, "server-web-1"), None);
}

#[test]
fn what_an_operation_made_that_moved_nothing_is_never_taken_for_production() {
    for (kind, state) in [
        (OperationKind::TestCleanup, OperationState::Completed),
        (OperationKind::TestFailover, OperationState::Failed),
        (OperationKind::Failover, OperationState::Failed),
        (OperationKind::Failback, OperationState::Failed),
    ] {
        let parent = record(kind, state);
        for site in ["site-a", "site-b"] {
            let map = map_as_of_now(&parent, &[now_at(&parent, site, "production")]);
            assert_eq!(map, parent.map, "{kind} {state:?} {site}");
        }
    }
}
