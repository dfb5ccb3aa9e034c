//! Records to test with.

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    group::{Group, GroupStatus},
    id::ProjectId,
    journal_conformance::{TestBed, group, member, operation},
    member::Member,
    operation::OperationRecord,
};
use protector_store::{Database, GroupStart, Lock, NewOperation, ReplicationPolicy, StoreError};

use super::Bed;

pub const TOKEN: &str = "t0ken-of-array-a";

pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_762_178_400 + seconds)
}

pub fn policy(group: &Group) -> ReplicationPolicy {
    ReplicationPolicy {
        group_id: group.id.clone(),
        primary_fa_url: "mock://array-a".to_owned(),
        secondary_fa_url: "mock://array-b".to_owned(),
        primary_fa_api_token: Some(TOKEN.into()),
        secondary_fa_api_token: None,
        rpo_minutes: 15,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub fn project() -> ProjectId {
    "project-a".into()
}

/// A group of one member, `active` at version 2, and an operation to move it.
pub async fn protected(bed: &Bed, number: u32) -> (Group, Member, OperationRecord) {
    let record = operation(number);
    let group = Group {
        status: GroupStatus::Active,
        version: 1,
        name: format!("group-{number}"),
        ..group(&record)
    };
    let mut member = member(&record, "web-server-1");
    member.server_id = format!("server-{number}").into();
    bed.put_group(group, vec![member.clone()]).await;
    let group = bed.group(&record.operation.group_id).await.0;
    (group, member, record)
}

pub fn start(group: &Group) -> GroupStart {
    GroupStart {
        group_id: group.id.clone(),
        from_status: group.status,
        from_version: group.version,
        status: GroupStatus::FailingOver,
        supersedes: None,
    }
}

pub async fn begin(
    database: &Database,
    record: &OperationRecord,
    group: &Group,
) -> Result<(), StoreError> {
    begin_at(database, record, group, at(1)).await
}

pub async fn begin_at(
    database: &Database,
    record: &OperationRecord,
    group: &Group,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[Lock::group(&group.id)],
        group: Some(start(group)),
    };
    database.operation_insert(&new, now).await
}
