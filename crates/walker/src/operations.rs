//! The operations of a world, as the API makes them.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use protector_core::{
    fixtures,
    group::Group,
    id::{OperationId, ServerId, SiteName, UserId},
    member::Member,
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
        StepRecord,
    },
    plan::{ArrayPair, Plan, PlanRefusal},
    runbook::{
        Runbook,
        abort::abort,
        cleanup::{cleanup_of, with_floating_ips},
        failover::planned_move,
        fence::fence,
        retry::retry,
        test_cleanup::{TestCopies, test_cleanup},
        test_failover::test_failover,
        unplanned_failover::unplanned_failover,
    },
    storage::PromotionKind,
};

use crate::scenario::{Circumstance, SOURCE, Scenario, Walked, WorldOptions};

/// The id of a test failover's cleanup.
pub(crate) fn test_cleanup_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0002-4b22-a918-000000000002")
}

/// What the API makes of `--action test-cleanup`.
pub(crate) fn test_cleanup_of(test: &OperationRecord, now: DateTime<Utc>) -> OperationRecord {
    #[allow(
        clippy::expect_used,
        reason = "a runbook that breaks its own rules is a defect"
    )]
    let steps = test_cleanup(test, TestCopies::Delete, now).expect("the runbook keeps its rules");
    following(
        test,
        test_cleanup_id(),
        OperationKind::TestCleanup,
        steps,
        now,
    )
}

/// The operation that a scenario is about, as it is accepted.
pub(crate) fn operation_of(
    options: &WorldOptions,
    group: &Group,
    members: &[Member],
    now: DateTime<Utc>,
) -> OperationRecord {
    #[allow(
        clippy::expect_used,
        reason = "a world whose group cannot be planned is a mistake in its making"
    )]
    let plan = plan_of(group, members, options.promotion).expect("the group can be planned");
    let scenario = options.scenario;
    let plan = Plan {
        retain_source_volumes: scenario.has(Circumstance::VolumesRetained),
        ..plan
    };
    let (kind, book) = match scenario.operation {
        Walked::PlannedFailover => (OperationKind::Failover, planned_move(&plan)),
        Walked::UnplannedFailover => (OperationKind::Failover, unplanned_failover(&plan)),
        Walked::TestFailover => (OperationKind::TestFailover, test_failover(&plan)),
    };
    let id = OperationId::new("op-7a3f2c11-0001-4b22-a918-000000000001");
    let mut record = first_of_its_kind(id, kind, plan, book, now);
    if scenario.operation == Walked::UnplannedFailover {
        record.operation.planning = Planning::Unplanned;
    }
    record
}

/// A planned move of the group from where it runs; nothing where the API would refuse it.
pub(crate) fn move_named(
    id: OperationId,
    kind: OperationKind,
    (group, members): (&Group, &[Member]),
    promotion: PromotionKind,
    now: DateTime<Utc>,
) -> Option<OperationRecord> {
    let plan = plan_of(group, members, promotion).ok()?;
    let book = planned_move(&plan);
    Some(first_of_its_kind(id, kind, plan, book, now))
}

fn plan_of(
    group: &Group,
    members: &[Member],
    promotion: PromotionKind,
) -> Result<Plan, PlanRefusal> {
    let array_of = |site: &SiteName| match site.as_str() == SOURCE {
        true => "mock://array-a".to_owned(),
        false => "mock://array-b".to_owned(),
    };
    let arrays = ArrayPair {
        primary: array_of(&group.primary.site),
        secondary: array_of(&group.secondary.site),
        promotion,
    };
    let plan = Plan::move_to_other_site(
        group,
        members.to_vec(),
        Some(&arrays),
        group.mappings_from_current(),
        false,
    )?;
    Ok(plan.recovered_as(group.recovery_plan_from_current(OperationKind::Failover)))
}

/// A new operation of its group.
pub(crate) fn first_of_its_kind(
    id: OperationId,
    kind: OperationKind,
    plan: Plan,
    book: Runbook,
    now: DateTime<Utc>,
) -> OperationRecord {
    #[allow(
        clippy::expect_used,
        reason = "a runbook that breaks its own rules is a defect"
    )]
    let steps = book.into_steps().expect("the runbook keeps its rules");
    OperationRecord {
        operation: Operation {
            user_id: UserId::new("walker"),
            request_id: "req-00000000-0000-4000-8000-000000000001".into(),
            created_at: now,
            ..fixtures::operation(id.as_str(), kind, plan)
        },
        steps,
        map: ResourceMap::default(),
    }
}

/// The id of another try: the `number`th, from 1.
pub(crate) fn retry_id(number: u32) -> OperationId {
    OperationId::new(format!("op-7a3f2c11-0004-4b22-a918-00000000000{number}"))
}

/// What the API makes of `openstack dr retry` after `last`, the failover or a retry of it.
pub(crate) fn retry_of(
    last: &OperationRecord,
    number: u32,
    members: Vec<Member>,
    now: DateTime<Utc>,
) -> OperationRecord {
    retry_named(retry_id(number), last, members, now)
}

/// The same, with an id of its own.
pub(crate) fn retry_named(
    id: OperationId,
    last: &OperationRecord,
    members: Vec<Member>,
    now: DateTime<Utc>,
) -> OperationRecord {
    let mappings = last.operation.plan.mappings.clone();
    #[allow(
        clippy::expect_used,
        reason = "a world whose group cannot be planned is a mistake in this file"
    )]
    let plan =
        Plan::recover_the_rest(&last.operation.plan, members, mappings).expect("a member is left");
    #[allow(
        clippy::expect_used,
        reason = "a runbook that breaks its own rules is a defect"
    )]
    let steps = retry(&plan, last).expect("the runbook keeps its rules");
    let failover = last.operation.parent_id.clone();
    let record = following(last, id, OperationKind::Retry, steps, now);
    OperationRecord {
        operation: Operation {
            plan,
            parent_id: failover.or(record.operation.parent_id),
            ..record.operation
        },
        ..record
    }
}

/// The id of the cleanup of that cleanup.
pub(crate) fn general_cleanup_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0003-4b22-a918-000000000003")
}

/// The id of an unplanned failover in place of an interrupted one.
pub(crate) fn takeover_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0005-4b22-a918-000000000005")
}

/// What the API of the surviving site makes of `openstack dr failover --unplanned` of a group whose failover `interrupted`
/// is, if it may go on from one.
pub(crate) fn takeover_of(
    (group, members): (&Group, &[Member]),
    promotion: PromotionKind,
    interrupted: Vec<OperationId>,
    now: DateTime<Utc>,
) -> OperationRecord {
    takeover_named(takeover_id(), (group, members), promotion, interrupted, now)
}

/// The same, with an id of its own.
pub(crate) fn takeover_named(
    id: OperationId,
    (group, members): (&Group, &[Member]),
    promotion: PromotionKind,
    interrupted: Vec<OperationId>,
    now: DateTime<Utc>,
) -> OperationRecord {
    let options = WorldOptions {
        promotion,
        ..WorldOptions::of(Scenario::SOURCE_LOST, 1)
    };
    let record = operation_of(&options, group, members, now);
    OperationRecord {
        operation: Operation {
            id,
            plan: record.operation.plan.taking_over(interrupted),
            ..record.operation
        },
        ..record
    }
}

/// The id of a fencing.
pub(crate) fn fence_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0006-4b22-a918-000000000006")
}

/// What the API makes of `openstack dr fence`.
pub(crate) fn fence_of(failover: &OperationRecord, now: DateTime<Utc>) -> OperationRecord {
    fence_named(fence_id(), failover, now)
}

/// The same, with an id of its own.
pub(crate) fn fence_named(
    id: OperationId,
    failover: &OperationRecord,
    now: DateTime<Utc>,
) -> OperationRecord {
    #[allow(
        clippy::expect_used,
        reason = "a runbook that breaks its own rules is a defect"
    )]
    let steps = fence(&failover.operation.plan, failover.operation.planning)
        .into_steps()
        .expect("the runbook keeps its rules");
    following(failover, id, OperationKind::Fence, steps, now)
}

/// The id of an abort for a lost target.
pub(crate) fn abort_id() -> OperationId {
    OperationId::new("op-7a3f2c11-0007-4b22-a918-000000000007")
}

/// What the API of the originals' site makes of `openstack dr operation abort --target-is-lost` of `failover`, which has stopped
/// these servers.
pub(crate) fn abort_of(
    failover: &OperationRecord,
    stopped: &BTreeSet<ServerId>,
    now: DateTime<Utc>,
) -> OperationRecord {
    let plan = Plan {
        interrupted: vec![failover.operation.id.clone()],
        ..failover.operation.plan.clone()
    };
    let book = abort(&plan, stopped);
    let mut record = first_of_its_kind(abort_id(), OperationKind::Abort, plan, book, now);
    let members = record.operation.plan.members.iter();
    for member in members.filter(|member| !stopped.contains(&member.server_id)) {
        let off = MapKind::PowerState;
        record.map.insert(off, member.server_id.as_str(), "SHUTOFF");
    }
    record
}

/// What the API makes of `openstack dr operation cleanup`.
pub(crate) fn cleanup_named(
    id: OperationId,
    parent: &OperationRecord,
    now: DateTime<Utc>,
) -> OperationRecord {
    following(parent, id, OperationKind::Cleanup, cleanup_of(parent), now)
}

/// The same of `openstack dr operation cleanup --release-floating-ips`.
pub(crate) fn cleanup_with_floating_ips(
    id: OperationId,
    parent: &OperationRecord,
    now: DateTime<Utc>,
) -> OperationRecord {
    let steps = with_floating_ips(parent, cleanup_of(parent), |_| true);
    following(parent, id, OperationKind::Cleanup, steps, now)
}

fn following(
    parent: &OperationRecord,
    id: OperationId,
    kind: OperationKind,
    steps: Vec<StepRecord>,
    now: DateTime<Utc>,
) -> OperationRecord {
    OperationRecord {
        operation: Operation {
            id,
            kind,
            planning: Planning::Planned,
            parent_id: Some(parent.operation.id.clone()),
            state: OperationState::Queued,
            error: None,
            error_code: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            ..parent.operation.clone()
        },
        steps,
        map: parent.map.clone(),
    }
}
