//! How much of everything one project may have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use bed::records::{at, begin, project, protected};
use protector_core::{
    group::{Group, GroupStatus},
    journal_conformance::TestBed as _,
    operation::{OperationKind, Planning},
    runbook::unplanned_failover::unplanned_failover,
};
use protector_store::{Database, Precondition, QuotaOf, Quotas, StoreError};
use tokio::task::JoinSet;

fn named(group: &Group, number: u32) -> Group {
    Group {
        id: format!("another-{number}").as_str().into(),
        name: format!("another-{number}"),
        ..group.clone()
    }
}

fn is_over<T>(outcome: &Result<T, StoreError>, expected: QuotaOf) -> bool {
    matches!(outcome, Err(StoreError::OverQuota { of, .. }) if *of == expected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_do_not_pass_a_quota_together() {
    let bed = bed::fresh("").await;
    let (group, ..) = protected(&bed, 1).await;
    let quotas = Quotas {
        protection_groups: Some(4),
        ..Quotas::default()
    };
    let services = [bed.database.clone(), bed.another().await];
    let services = services.map(|database| database.with_quotas(quotas));
    let mut writers = JoinSet::new();
    for number in 0..10 {
        let database = services[number as usize % 2].clone();
        let group = named(&group, number);
        writers.spawn(async move { database.group_insert(&project(), &group).await });
    }
    let outcomes = writers.join_all().await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 3, "one was there: {outcomes:?}");
    let refused = |outcome: &&Result<(), StoreError>| is_over(outcome, QuotaOf::ProtectionGroups);
    assert_eq!(outcomes.iter().filter(refused).count(), 7, "{outcomes:?}");
    let (other, another) = ("other".into(), named(&group, 99));
    services[0].group_insert(&other, &another).await.unwrap();
    let another = named(&group, 100);
    bed.database
        .group_insert(&project(), &another)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_group_takes_as_many_members_as_the_quota_says() {
    let bed = bed::fresh("").await;
    let (_, member, _) = protected(&bed, 1).await;
    let database = bed.database.clone().with_quotas(Quotas {
        members_per_group: Some(2),
        ..Quotas::default()
    });
    let mut added = Vec::new();
    for number in 2..=3 {
        let mut another = member.clone();
        another.id = format!("member-{number}").as_str().into();
        another.server_id = format!("server-2-{number}").as_str().into();
        another.volumes.clear();
        added.push(
            database
                .member_insert(&another, Precondition::Any, at(2))
                .await,
        );
    }
    assert!(added[0].is_ok(), "{added:?}");
    assert!(is_over(&added[1], QuotaOf::MembersPerGroup), "{added:?}");
    let group = bed.group(&member.group_id).await;
    assert_eq!(group.1.len(), 2);
}

/// Begins an operation of `kind` on a group of its own.
async fn started(
    bed: &bed::Bed,
    database: &Database,
    number: u32,
    kind: OperationKind,
    unplanned: bool,
) -> Result<(), StoreError> {
    let (group, _, mut record) = protected(bed, number).await;
    record.operation.kind = kind;
    if unplanned {
        record.operation.planning = Planning::Unplanned;
        let steps = unplanned_failover(&record.operation.plan).into_steps();
        record.steps = steps.unwrap();
    }
    let outcome = begin(database, &record, &group).await;
    if outcome.is_err() {
        let (kept, _) = bed.group(&group.id).await;
        assert_eq!(
            (kept.status, kept.version),
            (GroupStatus::Active, group.version)
        );
    }
    outcome
}

#[tokio::test]
async fn only_what_can_wait_is_refused_for_a_quota_of_operations() {
    use OperationKind::{
        Abort, Cleanup, Failback, Failover, Fence, Retry, Sync, TestCleanup, TestFailover,
    };

    let bed = bed::fresh("").await;
    let database = bed.database.clone().with_quotas(Quotas {
        open_operations: Some(1),
        ..Quotas::default()
    });
    started(&bed, &database, 1, Failover, false).await.unwrap();
    for (number, kind) in [Failover, Failback, TestFailover, Sync]
        .into_iter()
        .enumerate()
    {
        let number = u32::try_from(number).unwrap() + 10;
        let outcome = started(&bed, &database, number, kind, false).await;
        assert!(
            is_over(&outcome, QuotaOf::OpenOperations),
            "{kind}: {outcome:?}"
        );
    }
    for (number, (kind, unplanned)) in [
        (Failover, true),
        (Failback, true),
        (Retry, false),
        (Fence, false),
        (Abort, false),
        (Cleanup, false),
        (TestCleanup, false),
    ]
    .into_iter()
    .enumerate()
    {
        let number = u32::try_from(number).unwrap() + 20;
        let outcome = started(&bed, &database, number, kind, unplanned).await;
        outcome.unwrap_or_else(|error| panic!("{kind} on the worst day: {error}"));
    }
}
