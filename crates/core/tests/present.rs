//! What a cleanup takes for the copies of what an operation left: where the group is now, and never production for a copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::collections::BTreeMap;

use chrono::{TimeZone, Utc};
use protector_core::{
    group::{ReplicationType, ResourceMappings},
    id::{ProjectId, SiteName},
    member::{Flavor, Member, MemberStatus, ProtectedVolume, ServerSpec},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
    },
    plan::Plan,
    present::{CurrentMember, map_as_of_now},
    recovery_plan::RecoveryPlan,
    runbook::{BOOK_VERSION, failover::planned_move},
    site::SiteScope,
};

fn scope(site: &str) -> SiteScope {
    SiteScope {
        site: SiteName::new(site),
        project_id: ProjectId::new(format!("project-{site}")),
    }
}

fn volume(id: &str) -> ProtectedVolume {
    ProtectedVolume {
        id: id.into(),
        name: id.to_owned(),
        size_gib: 1,
        device: String::new(),
        boot: false,
        delete_on_termination: false,
        delete_on_termination_at: None,
        metadata: BTreeMap::new(),
        image_properties: BTreeMap::new(),
        description: None,
        bootable: None,
        volume_type: None,
        tag: None,
        name_id: None,
        host: None,
    }
}

fn member() -> Member {
    let noon = Utc.with_ymd_and_hms(2025, 11, 3, 12, 0, 0).unwrap();
    Member {
        id: "member-web-1".into(),
        group_id: "group".into(),
        name: "web-1".into(),
        server_id: "server-web-1".into(),
        status: MemberStatus::Protected,
        server: ServerSpec {
            flavor: Flavor {
                id: "1".into(),
                name: "small".into(),
                vcpus: 1,
                ram_mib: 1024,
                disks: None,
            },
            nics: vec![],
            security_groups: vec![],
            key_pair: None,
            metadata: BTreeMap::new(),
            user_data: None,
            availability_zone: None,
            config_drive: false,
            description: None,
            tags: vec![],
            hostname: None,
            server_group: None,
        },
        volumes: vec![volume("vol-1"), volume("vol-2")],
        earlier: vec![],
        created_at: noon,
        updated_at: noon,
    }
}

/// A record about one member with two volumes, whose copies it made on the target.
fn record(kind: OperationKind, state: OperationState) -> OperationRecord {
    let member = member();
    let created_at = member.created_at;
    let plan = Plan {
        group_id: "group".into(),
        group_name: "prod-web-app".into(),
        source: scope("site-a"),
        target: scope("site-b"),
        replication_type: ReplicationType::Async,
        source_array: "array-a".into(),
        target_array: "array-b".into(),
        promotion: protector_core::storage::PromotionKind::Copy,
        target_volume_type: None,
        mappings: ResourceMappings::default(),
        members: vec![member],
        others: Vec::new(),
        retain_source_volumes: false,
        recovery: RecoveryPlan::default(),
        interrupted: vec![],
        adopts: None,
        fidelity: protector_core::group::Fidelity::Told,
        built_as_until: BTreeMap::new(),
        left_on_target: vec![],
    };
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
            id: "op-1".into(),
            kind,
            planning: Planning::Planned,
            group_id: plan.group_id.clone(),
            project_id: plan.source.project_id.clone(),
            user_id: "user".into(),
            source_site: plan.source.site.clone(),
            target_site: plan.target.site.clone(),
            parent_id: None,
            plan,
            state,
            book_version: BOOK_VERSION,
            request_id: "req".into(),
            global_request_id: None,
            error: None,
            error_code: None,
            created_at,
            started_at: None,
            finished_at: None,
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
