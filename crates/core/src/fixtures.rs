//! What tests start from: the plainest group, member, plan and operation. A test that is about a field sets it, and takes the
//! others from here: `Member { status: MemberStatus::Error, ..fixtures::member("web") }`.
//!
//! All of it is of one group, `prod-web-app` with the id `group`, which runs on `site-a` and is protected on `site-b`. Times
//! are the epoch.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    group::{Fidelity, Group, GroupStatus, ReplicationType, ResourceMappings},
    member::{Flavor, Member, MemberStatus, Nic, ProtectedVolume, ServerSpec},
    operation::{Operation, OperationKind, OperationState, Planning},
    plan::Plan,
    priority::Priority,
    recovery_plan::RecoveryPlan,
    runbook::BOOK_VERSION,
    site::SiteScope,
    storage::PromotionKind,
};

const EPOCH: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// The tenant's project on a site: `project-site-a`.
pub fn scope(site: &str) -> SiteScope {
    SiteScope {
        site: site.into(),
        project_id: format!("project-{site}").into(),
    }
}

/// The flavor `small`: one CPU and 1 GiB of memory.
pub fn flavor() -> Flavor {
    Flavor {
        id: "1".into(),
        name: "small".to_owned(),
        vcpus: 1,
        ram_mib: 1024,
        disks: None,
    }
}

/// A network interface that takes any address.
pub fn nic(network: &str) -> Nic {
    Nic {
        network_id: network.into(),
        fixed_ips: vec![],
        port: None,
        tag: None,
    }
}

/// A server without networks.
pub fn server_spec() -> ServerSpec {
    ServerSpec {
        flavor: flavor(),
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
    }
}

/// A data volume of 1 GiB, named as its id.
pub fn volume(id: &str) -> ProtectedVolume {
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

/// The member `member-NAME` with the server `server-NAME` and no volumes.
pub fn member(name: &str) -> Member {
    Member {
        id: format!("member-{name}").into(),
        group_id: "group".into(),
        name: name.to_owned(),
        server_id: format!("server-{name}").into(),
        status: MemberStatus::Protected,
        server: server_spec(),
        volumes: vec![],
        earlier: vec![],
        created_at: EPOCH,
        updated_at: EPOCH,
    }
}

/// The group at version 1, at rest, with the volume types `type-a` and `type-b` and no mappings.
pub fn group() -> Group {
    Group {
        id: "group".into(),
        name: "prod-web-app".to_owned(),
        description: None,
        primary: scope("site-a"),
        secondary: scope("site-b"),
        current_primary_site: "site-a".into(),
        status: GroupStatus::Active,
        replication_type: ReplicationType::Async,
        volume_type_id: "type-a".to_owned(),
        secondary_volume_type_id: Some("type-b".to_owned()),
        mappings: ResourceMappings::default(),
        priority: Priority::DEFAULT,
        recovery_plan: RecoveryPlan::default(),
        fidelity: Fidelity::Told,
        version: 1,
        last_replication_at: None,
        created_at: EPOCH,
        updated_at: EPOCH,
    }
}

/// The plan of a move of these members to `site-b`.
pub fn plan(members: Vec<Member>) -> Plan {
    Plan {
        group_id: "group".into(),
        group_name: "prod-web-app".to_owned(),
        source: scope("site-a"),
        target: scope("site-b"),
        replication_type: ReplicationType::Async,
        source_array: "array-a".to_owned(),
        target_array: "array-b".to_owned(),
        promotion: PromotionKind::Copy,
        target_volume_type: None,
        mappings: ResourceMappings::default(),
        members,
        others: vec![],
        retain_source_volumes: false,
        recovery: RecoveryPlan::default(),
        interrupted: vec![],
        adopts: None,
        fidelity: Fidelity::Told,
        built_as_until: BTreeMap::new(),
        left_on_target: vec![],
        recovery_point: None,
    }
}

/// An operation as it is accepted: planned, queued, of this build, asked for by `user`.
pub fn operation(id: &str, kind: OperationKind, plan: Plan) -> Operation {
    Operation {
        id: id.into(),
        kind,
        planning: Planning::Planned,
        group_id: plan.group_id.clone(),
        project_id: plan.source.project_id.clone(),
        user_id: "user".into(),
        source_site: plan.source.site.clone(),
        target_site: plan.target.site.clone(),
        parent_id: None,
        plan,
        state: OperationState::Queued,
        book_version: BOOK_VERSION,
        request_id: "req".to_owned(),
        global_request_id: None,
        error: None,
        error_code: None,
        created_at: EPOCH,
        started_at: None,
        finished_at: None,
    }
}
