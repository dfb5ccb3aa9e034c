//! Fills an empty database with groups and ended operations, for `benches/lists.py`.
//!
//! `fill_database URL KEYS PROJECT OTHER GROUPS OPERATIONS`: each group has two VMs with two volumes each, and its share of
//! the operations. Of every ten groups one was deleted since: its operations are there still. Of every twenty one is of the
//! project OTHER. Of every fifty operations one has left a volume, of every forty one is an unplanned failover that has not
//! recovered all VMs. What is secret is sealed with the keys of the folder KEYS.
#![allow(
    clippy::print_stdout,
    reason = "a program for the command line says what it has done"
)]

use std::error::Error;

use chrono::TimeDelta;
use protector_core::{
    group::{Group, GroupStatus},
    journal_conformance::{group, member, operation},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, Planning, StepRecord,
        StepState,
    },
    runbook::{Step, failover::planned_move, unplanned_failover::unplanned_failover},
};
use protector_store::{Database, KeyRepository, NewOperation, PoolOptions, Precondition};

type Outcome<T> = Result<T, Box<dyn Error>>;

const KINDS: [OperationKind; 4] = [
    OperationKind::Failover,
    OperationKind::Failback,
    OperationKind::TestFailover,
    OperationKind::Sync,
];

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, keys, project, other, groups, operations] = arguments.as_slice() else {
        return Err("fill_database URL KEYS PROJECT OTHER GROUPS OPERATIONS".into());
    };
    let owners = Owners { project, other };
    let (groups, operations) = (groups.parse()?, operations.parse()?);
    let keys = KeyRepository::open(keys.as_ref())?;
    let database = Database::connect(&url.as_str().into(), PoolOptions::default())
        .await?
        .with_keys(keys);
    database.migrate().await?;
    for number in 0..groups {
        protect(&database, owners.of(number), number).await?;
    }
    for number in 0..operations {
        operate(&database, &owners, groups, number).await?;
    }
    println!("{groups} groups, {operations} operations");
    database.close().await?;
    Ok(())
}

/// The projects.
struct Owners<'a> {
    project: &'a str,
    other: &'a str,
}

impl<'a> Owners<'a> {
    /// Whose the group `number` is.
    fn of(&self, number: u32) -> &'a str {
        match number % 20 {
            4 => self.other,
            _ => self.project,
        }
    }
}

fn is_deleted(number: u32) -> bool {
    number % 10 == 9
}

/// An operation of group `number` that nobody has begun.
fn planned(project: &str, number: u32) -> OperationRecord {
    let mut record = operation(number);
    record.operation.project_id = project.into();
    record.operation.plan.group_name = format!("group-{number}");
    record.operation.plan.source.project_id = project.into();
    record.operation.plan.members = ["web", "db"]
        .map(|name| {
            let mut member = member(&record, name);
            member.id = format!("member-{name}-{number}").into();
            member.server_id = format!("server-{name}-{number}").into();
            member
        })
        .to_vec();
    record
}

async fn protect(database: &Database, project: &str, number: u32) -> Outcome<()> {
    if is_deleted(number) {
        return Ok(());
    }
    let record = planned(project, number);
    let group = Group {
        name: format!("group-{number}"),
        status: GroupStatus::Active,
        version: 1,
        ..group(&record)
    };
    database.group_insert(&project.into(), &group).await?;
    for member in &record.operation.plan.members {
        let now = member.created_at;
        database
            .member_insert(member, Precondition::Any, now)
            .await?;
    }
    Ok(())
}

async fn operate(
    database: &Database,
    owners: &Owners<'_>,
    groups: u32,
    number: u32,
) -> Outcome<()> {
    let group = number % groups;
    let mut record = planned(owners.of(group), group);
    let operation = &mut record.operation;
    operation.id = format!("op-00000000-0000-4000-8000-{number:012}").into();
    operation.kind = KINDS[number as usize % KINDS.len()];
    operation.state = OperationState::Completed;
    operation.created_at += TimeDelta::seconds(i64::from(number));
    operation.started_at = Some(operation.created_at);
    operation.finished_at = Some(operation.created_at + TimeDelta::seconds(90));
    let is_unplanned = number.is_multiple_of(40);
    if is_unplanned {
        record.operation.planning = Planning::Unplanned;
    }
    record.steps = match is_unplanned {
        true => unplanned_failover(&record.operation.plan).into_steps()?,
        false => planned_move(&record.operation.plan).into_steps()?,
    };
    for step in &mut record.steps {
        carried_out(step, &record.operation);
    }
    remember(&mut record);
    if is_unplanned {
        leave_unrecovered(&mut record);
    } else if number.is_multiple_of(50)
        && let Some(last) = record.steps.last_mut()
    {
        last.progress.state = StepState::Failed;
        last.progress.error = Some("Cinder timeout after 300s".to_owned());
    }
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[],
        group: None,
    };
    let now = record.operation.created_at;
    database.operation_insert(&new, now).await?;
    Ok(())
}

fn carried_out(step: &mut StepRecord, operation: &Operation) {
    let progress = &mut step.progress;
    progress.state = StepState::Done;
    progress.started_at = operation.started_at;
    progress.finished_at = operation.finished_at;
    progress.memo.intents = 1;
    progress.memo.seen.before = Some("ACTIVE".to_owned());
    progress.memo.made = Some("00000000-0000-4000-8000-000000000001".to_owned());
    let id = "req-00000000-0000-4000-8000-000000000002";
    progress.memo.request_ids = vec![id.to_owned()];
}

/// Notes what became what.
fn remember(record: &mut OperationRecord) {
    let group = record.operation.group_id.to_string();
    let time = record.operation.created_at.to_rfc3339();
    let map = &mut record.map;
    map.insert(MapKind::RecoveryPoint, group.as_str(), "point-1");
    map.insert(MapKind::RecoveryPointTime, group, time);
    for member in &record.operation.plan.members {
        let server = member.server_id.as_str();
        map.insert(MapKind::Server, server, format!("copy-of-{server}"));
        map.insert(MapKind::Recovered, server, format!("copy-of-{server}"));
        for volume in &member.volumes {
            let id = volume.id.as_str();
            map.insert(MapKind::Volume, id, format!("copy-of-{id}"));
            map.insert(MapKind::Promoted, id, format!("on-array-{id}"));
        }
    }
}

/// The first VM was not recovered.
fn leave_unrecovered(record: &mut OperationRecord) {
    let Some(member) = record.operation.plan.members.first() else {
        return;
    };
    let unrecovered = &member.server_id;
    record.map.remove(MapKind::Recovered, unrecovered.as_str());
    for step in &mut record.steps {
        let counts =
            matches!(&step.action, Step::CountRecovered { server } if server == unrecovered);
        if counts {
            step.progress.state = StepState::Skipped;
        }
    }
}
