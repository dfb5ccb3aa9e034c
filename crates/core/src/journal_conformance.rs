//! What every journal must do, as tests: the database's and the simulation's are held to the same behaviour.
//!
//! A crate with a journal implements [`TestBed`] and calls [`journal_conformance!`](crate::journal_conformance!) in its
//! tests, which makes one test of each function here.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test suite"
)]

use std::{collections::BTreeMap, future::Future, pin::pin, task::Poll, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    fault::Code,
    fixtures,
    group::{Group, GroupStatus, ResourceMappings},
    id::{EngineId, GroupId, OperationId, ServerId, VolumeId},
    journal::{Claim, Effect, Entry, Journal, JournalError, OperationChange, Protection},
    member::{Flavor, KeyPair, Member, MemberStatus, Nic, ProtectedVolume, ServerSpec},
    operation::{
        MapKind, Memo, Operation, OperationKind, OperationRecord, OperationState, PortDeletions,
        ResourceMap, SeenByStep, StepProgress, StepRecord, StepState, WaitedSince,
    },
    plan::Plan,
    queue::{Lane, Room},
    runbook::{BOOK_VERSION, Reported, Step, Verb},
    site::SiteScope,
};

/// How long the suite's leases are.
const LEASE: Duration = Duration::from_secs(60);

/// An empty journal with the doors that its service has beside the port.
#[async_trait]
pub trait TestBed: Send + Sync {
    /// The journal under test.
    type Journal: Journal;

    /// The journal under test.
    fn journal(&self) -> &Self::Journal;

    /// Adds an operation that holds a lock of its own, as the API does when it accepts one.
    async fn insert(&self, record: OperationRecord);

    /// Asks that an operation be given up, as the API does.
    async fn abort(&self, id: &OperationId, user: &str);

    /// Adds a group.
    async fn put_group(&self, group: Group, members: Vec<Member>);

    /// An operation as it stands.
    async fn operation(&self, id: &OperationId) -> OperationRecord;

    /// A group and its members as they stand.
    async fn group(&self, id: &GroupId) -> (Group, Vec<Member>);

    /// Whether an operation still holds its lock.
    async fn is_locked(&self, id: &OperationId) -> bool;
}

/// Makes one `#[tokio::test]` of each case. `$bed` is an async function from the case's name to an empty [`TestBed`].
#[macro_export]
macro_rules! journal_conformance {
    ($bed:path) => {
        $crate::journal_conformance!(@cases $bed;
            what_was_inserted_is_loaded,
            an_operation_is_claimed_once,
            of_two_claimers_one_wins,
            a_claim_takes_no_more_than_its_limit,
            the_oldest_is_claimed_first,
            lanes_shares_and_what_has_begun_decide_what_is_claimed,
            a_lease_that_ended_is_taken_over_with_a_larger_fence,
            an_old_fence_is_refused,
            a_refused_record_changes_nothing,
            a_record_is_whole,
            a_record_extends_the_lease,
            a_renewal_extends_the_lease,
            a_release_lets_another_go_on,
            a_forgotten_engine_loses_its_leases,
            a_newer_book_is_left_alone,
            what_has_settled_is_never_claimed,
            settling_releases_locks,
            an_unwinding_operation_is_claimed,
            maps_grow_and_shrink,
            a_group_follows_its_operation,
            a_group_at_rest_is_what_its_place_and_its_members_make_it,
            a_group_is_mended_when_none_of_its_members_is_left_stopped,
            only_a_group_in_error_is_mended,
            what_is_protected_is_seen_and_not_written_down_for_deletion,
            a_group_is_read_as_it_stands,
            a_switch_takes_nothing_that_another_group_has,
            what_rests_on_old_readings_is_not_written,
            a_parents_line_is_settled,
            what_awaits_its_cleanup_is_left_alone_until_that_completes_it,
            a_failed_operation_stays_failed,
            a_parent_knows_what_its_cleanup_learnt,
            one_entry_of_the_map_is_read_as_it_stands,
            the_lines_about_a_resource_are_read_as_they_stand,
            an_abort_is_heard_of_by_the_walk,
            an_abort_that_came_first_keeps_the_group_from_moving,
        );
    };
    (@cases $bed:path; $($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let bed = $bed(stringify!($case)).await;
                $crate::journal_conformance::$case(&bed).await;
            }
        )*
    };
}

/// A record comes back as it went in.
pub async fn what_was_inserted_is_loaded(bed: &impl TestBed) {
    let mut record = operation(1);
    record.steps[1].progress = busy_progress();
    record.map.insert(MapKind::Volume, "vol-1", "vol-2");
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    assert_eq!(bed.journal().load(&claim).await, Ok(record));
}

/// Nobody else gets an operation under a lease, not even its owner.
pub async fn an_operation_is_claimed_once(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    assert_eq!(claim.operation_id, id(1));
    assert_eq!(claim.engine_id, engine("a"));
    assert_eq!(claims(bed, "b", at(1)).await, vec![]);
    assert_eq!(claims(bed, "a", at(1)).await, vec![]);
}

/// Two engines that look at the same time share the operations out.
pub async fn of_two_claimers_one_wins(bed: &impl TestBed) {
    for number in 1..=5 {
        bed.insert(operation(number)).await;
    }
    let (a, b) = both(claims(bed, "a", at(0)), claims(bed, "b", at(0))).await;
    let mut ids: Vec<_> = a.into_iter().chain(b).map(|c| c.operation_id).collect();
    ids.sort();
    assert_eq!(ids, (1..=5).map(id).collect::<Vec<_>>());
}

/// An engine takes what it has room for.
pub async fn a_claim_takes_no_more_than_its_limit(bed: &impl TestBed) {
    for number in 1..=3 {
        bed.insert(operation(number)).await;
    }
    let taken = claims_of(bed, "a", at(0), BOOK_VERSION, 2).await;
    assert_eq!(taken.len(), 2);
    assert_eq!(claims(bed, "b", at(0)).await.len(), 1);
}

/// Who asked first is served first.
pub async fn the_oldest_is_claimed_first(bed: &impl TestBed) {
    for number in 1..=3 {
        bed.insert(operation(number)).await;
    }
    let taken = claims_of(bed, "a", at(0), BOOK_VERSION, 1).await;
    assert_eq!(taken[0].operation_id, id(1));
}

/// A lease that ended is free for anybody, and the fence grows.
pub async fn a_lease_that_ended_is_taken_over_with_a_larger_fence(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let first = claim_one(bed, "a", at(0)).await;
    start(bed, &first).await;
    assert_eq!(claims(bed, "b", at(60)).await, vec![]);
    let second = claim_one(bed, "b", at(61)).await;
    assert!(second.fence > first.fence);
    assert!(bed.journal().load(&second).await.is_ok());
}

/// Who has lost an operation can neither write to it, nor renew, nor give away what is another's.
pub async fn an_old_fence_is_refused(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let old = claim_one(bed, "a", at(0)).await;
    let new = claim_one(bed, "b", at(61)).await;
    let journal = bed.journal();
    let recorded = journal.record(&old, at(62), Entry::default()).await;
    assert_eq!(recorded, Err(JournalError::LeaseLost));
    assert_eq!(
        journal.renew(&old, at(62)).await,
        Err(JournalError::LeaseLost)
    );
    assert_eq!(journal.load(&old).await, Err(JournalError::LeaseLost));
    // Whether this is reported as lost is the journal's choice; that it has no effect is not.
    let _ = journal.release(&old).await;
    assert_eq!(claims(bed, "c", at(63)).await, vec![]);
    assert_eq!(journal.renew(&new, at(63)).await, Ok(()));

    // The same engine, having taken the operation twice, is held to its newer claim too.
    let newest = claim_one(bed, "b", at(200)).await;
    assert_eq!(
        journal.renew(&new, at(201)).await,
        Err(JournalError::LeaseLost)
    );
    assert_eq!(journal.renew(&newest, at(201)).await, Ok(()));
}

/// All of an entry is refused with it.
pub async fn a_refused_record_changes_nothing(bed: &impl TestBed) {
    let record = operation(1);
    let group_before = group(&record);
    bed.put_group(group_before.clone(), vec![]).await;
    bed.insert(record.clone()).await;
    let old = claim_one(bed, "a", at(0)).await;
    claim_one(bed, "b", at(61)).await;
    let entry = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: at(62),
        }),
        steps: vec![(0, done())],
        effects: vec![
            mapped("vol-1", "vol-2"),
            Effect::GroupStatus {
                group_id: group_before.id.clone(),
                status: GroupStatus::Error,
            },
        ],
        ..Entry::default()
    };
    assert_eq!(
        bed.journal().record(&old, at(62), entry).await,
        Err(JournalError::LeaseLost)
    );
    assert_eq!(bed.operation(&id(1)).await, record);
    assert_eq!(bed.group(&group_before.id).await.0, group_before);
    assert!(bed.is_locked(&id(1)).await);
}

/// All of an entry is written with it.
pub async fn a_record_is_whole(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let entry = Entry {
        operation: Some(OperationChange::Started { at: at(1) }),
        steps: vec![(0, done()), (1, busy_progress())],
        effects: vec![mapped("vol-1", "vol-2")],
        ..Entry::default()
    };
    write(bed, &claim, at(1), entry).await;
    let record = bed.operation(&id(1)).await;
    assert_eq!(record.operation.state, OperationState::Running);
    assert_eq!(record.operation.started_at, Some(at(1)));
    assert_eq!(record.steps[0].progress, done());
    assert_eq!(record.steps[1].progress, busy_progress());
    assert_eq!(record.map.target(MapKind::Volume, "vol-1"), Some("vol-2"));
}

/// Who writes is alive.
pub async fn a_record_extends_the_lease(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    write(bed, &claim, at(50), Entry::default()).await;
    assert_eq!(claims(bed, "b", at(109)).await, vec![]);
    assert_eq!(claims(bed, "b", at(111)).await.len(), 1);
}

/// Who renews is alive.
pub async fn a_renewal_extends_the_lease(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    assert_eq!(bed.journal().renew(&claim, at(50)).await, Ok(()));
    assert_eq!(claims(bed, "b", at(109)).await, vec![]);
    assert_eq!(claims(bed, "b", at(111)).await.len(), 1);
}

/// A graceful stop costs no lease's time, and who has stopped cannot write any more.
pub async fn a_release_lets_another_go_on(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    start(bed, &claim).await;
    assert_eq!(bed.journal().release(&claim).await, Ok(()));
    assert_eq!(
        bed.journal().renew(&claim, at(2)).await,
        Err(JournalError::LeaseLost)
    );
    let next = claim_one(bed, "b", at(2)).await;
    assert!(next.fence > claim.fence);
}

/// A restarted engine need not wait for the leases of the one that died; those of others stay.
pub async fn a_forgotten_engine_loses_its_leases(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let dead = claim_one(bed, "a", at(0)).await;
    bed.insert(operation(2)).await;
    let other = claim_one(bed, "b", at(0)).await;
    assert_eq!(bed.journal().forget(&engine("a")).await, Ok(()));
    assert_eq!(
        bed.journal().renew(&dead, at(1)).await,
        Err(JournalError::LeaseLost)
    );
    let again = claim_one(bed, "a", at(1)).await;
    assert_eq!(again.operation_id, id(1));
    assert!(again.fence > dead.fence);
    assert_eq!(bed.journal().renew(&other, at(1)).await, Ok(()));
}

/// During an upgrade, an old engine does not walk what it may not understand.
pub async fn a_newer_book_is_left_alone(bed: &impl TestBed) {
    let mut newer = operation(1);
    newer.operation.book_version = BOOK_VERSION + 1;
    bed.insert(newer).await;
    assert_eq!(claims(bed, "old", at(0)).await, vec![]);
    let taken = claims_of(bed, "new", at(0), BOOK_VERSION + 1, 9).await;
    assert_eq!(taken.len(), 1);
}

/// The end is the end.
pub async fn what_has_settled_is_never_claimed(bed: &impl TestBed) {
    for (number, state) in [(1, OperationState::Completed), (2, OperationState::Failed)] {
        bed.insert(operation(number)).await;
        let claim = claim_one(bed, "a", at(0)).await;
        settle(bed, &claim, state).await;
        assert_eq!(claims(bed, "b", at(10_000)).await, vec![]);
        let record = bed.operation(&claim.operation_id).await;
        assert_eq!(record.operation.state, state);
        assert_eq!(record.operation.finished_at, Some(at(5)));
        let late = bed.journal().record(&claim, at(6), Entry::default()).await;
        assert_eq!(late, Err(JournalError::LeaseLost));
    }
}

/// The group is free for the next operation when this one has ended, not before.
pub async fn settling_releases_locks(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    bed.insert(operation(2)).await;
    let mut taken = claims_of(bed, "a", at(0), BOOK_VERSION, 1).await;
    let claim = taken.remove(0);
    start(bed, &claim).await;
    assert!(bed.is_locked(&id(1)).await);
    settle(bed, &claim, OperationState::Completed).await;
    assert!(!bed.is_locked(&id(1)).await);
    assert!(bed.is_locked(&id(2)).await);
}

/// Taking back goes on after a crash, and its reason is kept.
pub async fn an_unwinding_operation_is_claimed(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let entry = Entry {
        operation: Some(OperationChange::Unwinding {
            error: "Cinder: HTTP 413 (req-1)".to_owned(),
            code: Code::Refused,
        }),
        ..Entry::default()
    };
    write(bed, &claim, at(1), entry).await;
    let next = claim_one(bed, "b", at(100)).await;
    let record = bed.journal().load(&next).await.expect("load");
    assert_eq!(record.operation.state, OperationState::Unwinding);
    assert_eq!(record.operation.error_code, Some(Code::Refused));
    assert_eq!(
        record.operation.error.as_deref(),
        Some("Cinder: HTTP 413 (req-1)")
    );
}

/// The map holds what became what, the last word of it, until it is gone again.
pub async fn maps_grow_and_shrink(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let entry = Entry {
        effects: vec![
            mapped("vol-1", "vol-2"),
            mapped("vol-1", "vol-3"),
            mapped("vol-4", "vol-5"),
            Effect::Unmapped {
                kind: MapKind::Volume,
                source: "vol-4".to_owned(),
            },
            Effect::Unmapped {
                kind: MapKind::Server,
                source: "vol-1".to_owned(),
            },
        ],
        ..Entry::default()
    };
    write(bed, &claim, at(1), entry).await;
    let map = bed.operation(&id(1)).await.map;
    assert_eq!(
        map.iter().collect::<Vec<_>>(),
        vec![(MapKind::Volume, "vol-1", "vol-3")]
    );
}

/// A group's status, last replication, site and members change with the line that changed them, and its version grows.
pub async fn a_group_follows_its_operation(bed: &impl TestBed) {
    let record = operation(1);
    let before = group(&record);
    let group_id = before.id.clone();
    bed.put_group(before.clone(), vec![member(&record, "old")])
        .await;
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;

    let replicated = Effect::GroupReplicated {
        group_id: group_id.clone(),
        at: at(1),
    };
    write(bed, &claim, at(2), effect(replicated)).await;
    let members = vec![member(&record, "new-1"), member(&record, "new-2")];
    let switched = Effect::GroupSwitched {
        group_id: group_id.clone(),
        current_primary_site: "site-b".into(),
        members: members.clone(),
    };
    write(bed, &claim, at(3), effect(switched)).await;
    let (group, kept) = bed.group(&group_id).await;
    assert_eq!(group.last_replication_at, Some(at(1)));
    assert_eq!(group.current_primary_site.as_str(), "site-b");
    assert_eq!(group.status, GroupStatus::FailedOver);
    assert_eq!(group.updated_at, at(3));
    assert!(group.version > before.version);
    assert_eq!(kept, members);

    let settled = Effect::GroupStatus {
        group_id: group_id.clone(),
        status: GroupStatus::Error,
    };
    write(bed, &claim, at(4), effect(settled)).await;
    let (after, _) = bed.group(&group_id).await;
    assert_eq!(after.status, GroupStatus::Error);
    assert!(after.version > group.version);
}

/// A group that nothing is under way with is what follows from where it runs and which of its members are in error.
pub async fn a_group_at_rest_is_what_its_place_and_its_members_make_it(bed: &impl TestBed) {
    let record = operation(1);
    let before = group(&record);
    let group_id = before.id.clone();
    bed.put_group(before, vec![]).await;
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    for (site, in_error, status) in [
        ("site-b", MemberStatus::Protected, GroupStatus::FailedOver),
        (
            "site-b",
            MemberStatus::Error,
            GroupStatus::FailedOverPartial,
        ),
        ("site-a", MemberStatus::Error, GroupStatus::ActivePartial),
        ("site-a", MemberStatus::Protected, GroupStatus::Active),
    ] {
        let last = Member {
            status: in_error,
            ..member(&record, "new-2")
        };
        let switched = Effect::GroupSwitched {
            group_id: group_id.clone(),
            current_primary_site: site.into(),
            members: vec![member(&record, "new-1"), last],
        };
        write(bed, &claim, at(1), effect(switched)).await;
        assert_eq!(bed.group(&group_id).await.0.status, status);
        let at_rest = Effect::GroupAtRest {
            group_id: group_id.clone(),
        };
        let mended = Effect::GroupMended {
            group_id: group_id.clone(),
            failed: operation(1).operation.id,
        };
        let fenced = Effect::GroupFenced {
            group_id: group_id.clone(),
        };
        for (from, end) in [
            (GroupStatus::FailingOver, at_rest),
            (GroupStatus::Error, mended),
            (GroupStatus::SplitBrain, fenced),
        ] {
            let set = Effect::GroupStatus {
                group_id: group_id.clone(),
                status: from,
            };
            write(bed, &claim, at(2), effect(set)).await;
            write(bed, &claim, at(3), effect(end)).await;
            assert_eq!(
                bed.group(&group_id).await.0.status,
                status,
                "{from} on {site}"
            );
        }
    }
}

/// A member that its failed operation has left stopped keeps its group in `error`; one that has left the group does not.
pub async fn a_group_is_mended_when_none_of_its_members_is_left_stopped(bed: &impl TestBed) {
    let mut record = operation(1);
    let group_of_it = group(&record);
    let group_id = group_of_it.id.clone();
    let (stays, left) = (member(&record, "stays"), member(&record, "left"));
    for (step, member) in record.steps.iter_mut().zip([&stays, &left]) {
        step.action = Step::StopServer {
            server: member.server_id.clone(),
        };
        step.progress.state = StepState::UndoFailed;
    }
    bed.put_group(group_of_it, vec![stays]).await;
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let error = Effect::GroupStatus {
        group_id: group_id.clone(),
        status: GroupStatus::Error,
    };
    write(bed, &claim, at(1), effect(error)).await;
    let mended = Effect::GroupMended {
        group_id: group_id.clone(),
        failed: record.operation.id.clone(),
    };
    write(bed, &claim, at(2), effect(mended.clone())).await;
    assert_eq!(bed.group(&group_id).await.0.status, GroupStatus::Error);
    let started = StepProgress {
        state: StepState::Undone,
        ..StepProgress::default()
    };
    let entry = Entry {
        steps: vec![(record.steps[0].position, started)],
        effects: vec![mended],
        ..Entry::default()
    };
    write(bed, &claim, at(3), entry).await;
    assert_eq!(bed.group(&group_id).await.0.status, GroupStatus::Active);
}

/// Who protects a server or volume is read when it is asked for, and in the transaction that wants nobody to.
pub async fn what_is_protected_is_seen_and_not_written_down_for_deletion(bed: &impl TestBed) {
    let record = operation(1);
    let group = group(&record);
    let mine = member(&record, "old");
    bed.put_group(group.clone(), vec![mine.clone()]).await;
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let server = mine.server_id.to_string();
    let volume = mine.volumes[0].id.to_string();
    let another = || "another".to_owned();
    let journal = bed.journal();
    for id in [server, volume] {
        let asked = [another(), id.clone()];
        let found = journal.protection_of(&asked).await;
        let protection = Protection {
            resource: id,
            group_name: group.name.clone(),
        };
        assert_eq!(found, Ok(Some(protection.clone())));
        let before = bed.operation(&claim.operation_id).await;
        let entry = Entry {
            unprotected: asked.to_vec(),
            ..effect(mapped("vol-1", "vol-2"))
        };
        let refused = journal.record(&claim, at(1), entry).await;
        assert_eq!(refused, Err(JournalError::Protected(protection)));
        assert_eq!(bed.operation(&claim.operation_id).await, before);
    }
    assert_eq!(journal.protection_of(&[another()]).await, Ok(None));
    assert_eq!(journal.protection_of(&[]).await, Ok(None));
    let entry = Entry {
        unprotected: vec![another()],
        ..effect(mapped("vol-1", "vol-2"))
    };
    write(bed, &claim, at(2), entry).await;
    let after = bed.operation(&claim.operation_id).await;
    assert_eq!(after.map.target(MapKind::Volume, "vol-1"), Some("vol-2"));
}

/// A group is read as it stands, and is nothing where it is not on record.
pub async fn a_group_is_read_as_it_stands(bed: &impl TestBed) {
    let group = group(&operation(1));
    let (id, journal) = (group.id.clone(), bed.journal());
    assert_eq!(journal.group_now(&id).await, Ok(None));
    bed.put_group(group, vec![]).await;
    let now = bed.group(&id).await.0;
    assert_eq!(journal.group_now(&id).await, Ok(Some(now)));
}

/// An entry that waited for the journal until nobody may believe any more what it rests on changes nothing.
pub async fn what_rests_on_old_readings_is_not_written(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let journal = bed.journal();
    let now = journal.now().await.expect("the journal's time");
    let before = bed.operation(&claim.operation_id).await;
    let entry = |not_after| Entry {
        not_after: Some(not_after),
        ..effect(mapped("vol-1", "vol-2"))
    };
    let late = entry(now - TimeDelta::seconds(1));
    let refused = journal.record(&claim, at(1), late).await;
    assert_eq!(refused, Err(JournalError::Outdated));
    assert_eq!(bed.operation(&claim.operation_id).await, before);
    let in_time = entry(now + TimeDelta::hours(1));
    write(bed, &claim, at(2), in_time).await;
    let after = bed.operation(&claim.operation_id).await;
    assert_eq!(after.map.target(MapKind::Volume, "vol-1"), Some("vol-2"));
}

/// A group does not become the owner of what another one protects: nothing of such a switch is written.
pub async fn a_switch_takes_nothing_that_another_group_has(bed: &impl TestBed) {
    let (record, other) = (operation(1), operation(2));
    let own = group(&record);
    let theirs = Group {
        name: "theirs".to_owned(),
        ..group(&other)
    };
    let copy = member(&record, "copy");
    let taken = Member {
        id: "member-of-theirs".into(),
        group_id: theirs.id.clone(),
        ..copy.clone()
    };
    bed.put_group(own.clone(), vec![]).await;
    bed.put_group(theirs.clone(), vec![taken]).await;
    bed.insert(record).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let switch = Entry {
        steps: vec![(0, done())],
        ..effect(Effect::GroupSwitched {
            group_id: own.id.clone(),
            current_primary_site: own.secondary.site.clone(),
            members: vec![copy.clone()],
        })
    };
    let before = bed.operation(&claim.operation_id).await;
    let refused = bed.journal().record(&claim, at(1), switch.clone()).await;
    let protection = Protection {
        resource: copy.server_id.to_string(),
        group_name: theirs.name.clone(),
    };
    assert_eq!(refused, Err(JournalError::Protected(protection)));
    assert_eq!(bed.operation(&claim.operation_id).await, before);
    assert_eq!(bed.group(&own.id).await, (own.clone(), vec![]));
    bed.put_group(theirs, vec![]).await;
    write(bed, &claim, at(2), switch).await;
    let (_, members) = bed.group(&own.id).await;
    assert_eq!(members, vec![copy]);
}

/// The end of an error makes a group in `error` active, and leaves every other one, and one that is gone, alone.
pub async fn only_a_group_in_error_is_mended(bed: &impl TestBed) {
    let record = operation(1);
    let before = group(&record);
    let group_id = before.id.clone();
    bed.put_group(before.clone(), vec![]).await;
    bed.insert(record).await;
    let claim = claim_one(bed, "a", at(0)).await;
    for (status, then) in [
        (GroupStatus::FailedOver, GroupStatus::FailedOver),
        (GroupStatus::Error, GroupStatus::Active),
    ] {
        let group_id = group_id.clone();
        let set = Effect::GroupStatus {
            group_id: group_id.clone(),
            status,
        };
        write(bed, &claim, at(1), effect(set)).await;
        let (set, _) = bed.group(&group_id).await;
        let mended = Effect::GroupMended {
            group_id: group_id.clone(),
            failed: operation(1).operation.id,
        };
        write(bed, &claim, at(2), effect(mended)).await;
        let (after, _) = bed.group(&group_id).await;
        assert_eq!(after.status, then);
        assert_eq!(after.version > set.version, status != then);
    }
    let gone = Effect::GroupMended {
        group_id: GroupId::new("gone"),
        failed: OperationId::new("forgotten"),
    };
    write(bed, &claim, at(3), effect(gone)).await;
}

/// What a cleanup learns of what became what, its parent's next cleanup must know too.
pub async fn a_parent_knows_what_its_cleanup_learnt(bed: &impl TestBed) {
    let mut parent = operation(1);
    parent.map.insert(MapKind::Volume, "vol-4", "vol-5");
    bed.insert(parent).await;
    let claim = claim_one(bed, "a", at(0)).await;
    settle(bed, &claim, OperationState::Completed).await;
    let mut child = operation(2);
    child.operation.kind = OperationKind::Cleanup;
    child.operation.parent_id = Some(id(1));
    bed.insert(child).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let entry = Entry {
        effects: vec![
            mapped("vol-1", "vol-2"),
            Effect::Unmapped {
                kind: MapKind::Volume,
                source: "vol-4".to_owned(),
            },
        ],
        ..Entry::default()
    };
    write(bed, &claim, at(2), entry).await;
    for holder in [id(1), id(2)] {
        let map = bed.operation(&holder).await.map;
        assert_eq!(map.target(MapKind::Volume, "vol-1"), Some("vol-2"));
        assert_eq!(map.target(MapKind::Volume, "vol-4"), None);
    }
}

/// A cleanup settles the line that its parent left, and no other.
pub async fn a_parents_line_is_settled(bed: &impl TestBed) {
    let parent = operation(1);
    bed.insert(parent.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    settle(bed, &claim, OperationState::Completed).await;
    let mut child = operation(2);
    child.operation.kind = OperationKind::Cleanup;
    child.operation.parent_id = Some(id(1));
    bed.insert(child).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let line = Effect::ParentStep {
        operation_id: id(1),
        key: parent.steps[1].key.clone(),
        progress: done(),
    };
    write(bed, &claim, at(1), effect(line)).await;
    let steps = bed.operation(&id(1)).await.steps;
    assert_eq!(steps[0], parent.steps[0]);
    assert_eq!(steps[1].progress, done());
}

/// A test failover whose copies are up is nobody's work and holds no lock; its test cleanup ends it, and nothing else.
pub async fn what_awaits_its_cleanup_is_left_alone_until_that_completes_it(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let test = claim_one(bed, "a", at(0)).await;
    settle(bed, &test, OperationState::AwaitingCleanup).await;
    assert!(!bed.is_locked(&id(1)).await);
    assert_eq!(claims(bed, "b", at(10_000)).await, vec![]);
    let up = bed.operation(&id(1)).await.operation;
    assert_eq!(up.state, OperationState::AwaitingCleanup);
    assert_eq!(up.finished_at, None);

    let mut child = operation(2);
    child.operation.kind = OperationKind::TestCleanup;
    child.operation.parent_id = Some(id(1));
    bed.insert(child).await;
    let claim = claim_one(bed, "a", at(20_000)).await;
    let completed = || {
        effect(Effect::ParentCompleted {
            operation_id: id(1),
        })
    };
    write(bed, &claim, at(20_001), completed()).await;
    let ended = bed.operation(&id(1)).await.operation;
    assert_eq!(ended.state, OperationState::Completed);
    assert_eq!(ended.finished_at, Some(at(20_001)));
    write(bed, &claim, at(20_002), completed()).await;
    assert_eq!(bed.operation(&id(1)).await.operation, ended);
}

/// An operation that failed is not completed by another one.
pub async fn a_failed_operation_stays_failed(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let failed = claim_one(bed, "a", at(0)).await;
    settle(bed, &failed, OperationState::Failed).await;
    bed.insert(operation(2)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let completed = Effect::ParentCompleted {
        operation_id: id(1),
    };
    write(bed, &claim, at(1), effect(completed)).await;
    let after = bed.operation(&id(1)).await.operation;
    assert_eq!(after.state, OperationState::Failed);
    assert_eq!(after.finished_at, Some(at(5)));
}

/// What somebody else than the engine has written, and nothing to one that does not own the operation.
pub async fn one_entry_of_the_map_is_read_as_it_stands(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let aborted = async |claim: &Claim| {
        let journal = bed.journal();
        journal
            .mapped(claim, MapKind::Aborted, id(1).as_str())
            .await
    };
    assert_eq!(aborted(&claim).await, Ok(None));
    bed.abort(&id(1), "user-b").await;
    assert_eq!(aborted(&claim).await, Ok(Some("user-b".to_owned())));
    let operation = id(1);
    let other = bed.journal();
    let other = other.mapped(&claim, MapKind::Server, operation.as_str());
    assert_eq!(other.await, Ok(None), "of another kind");
    let old = Claim {
        fence: claim.fence - 1,
        ..claim
    };
    assert_eq!(aborted(&old).await, Err(JournalError::LeaseLost));
}

/// And no others, nor to one that does not own the operation.
pub async fn the_lines_about_a_resource_are_read_as_they_stand(bed: &impl TestBed) {
    let mut inserted = operation(1);
    inserted.steps[1].resource_id = Some("resource-2".to_owned());
    bed.insert(inserted.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    let begun = StepProgress {
        state: StepState::Running,
        ..StepProgress::default()
    };
    let entry = Entry {
        steps: vec![(1, begun)],
        ..Entry::default()
    };
    write(bed, &claim, at(1), entry).await;
    let record = bed.journal().load(&claim).await.expect("load");
    let about =
        async |claim: &Claim, resource: &str| bed.journal().steps_about(claim, resource).await;
    for (position, resource) in ["resource-1", "resource-2"].into_iter().enumerate() {
        let expected = vec![record.steps[position].clone()];
        assert_eq!(about(&claim, resource).await, Ok(expected), "{resource}");
    }
    assert_eq!(about(&claim, "another").await, Ok(Vec::new()));
    let old = Claim {
        fence: claim.fence - 1,
        ..claim
    };
    assert_eq!(
        about(&old, "resource-2").await,
        Err(JournalError::LeaseLost)
    );
}

/// What somebody asks of a running operation is heard by the engine that walks it, and is in the record of the next one.
pub async fn an_abort_is_heard_of_by_the_walk(bed: &impl TestBed) {
    bed.insert(operation(1)).await;
    let claim = claim_one(bed, "a", at(0)).await;
    assert_eq!(bed.journal().aborted_by(&claim).await, Ok(None));
    bed.abort(&id(1), "user-b").await;
    let heard = bed.journal().aborted_by(&claim).await;
    assert_eq!(heard, Ok(Some("user-b".into())));
    let record = bed.journal().load(&claim).await.expect("load");
    assert_eq!(record.aborted_by(), Some("user-b"));
}

/// Whichever is recorded first counts: the abort, or the move of the group.
pub async fn an_abort_that_came_first_keeps_the_group_from_moving(bed: &impl TestBed) {
    let record = operation(1);
    let before = group(&record);
    bed.put_group(before.clone(), Vec::new()).await;
    bed.insert(record.clone()).await;
    let claim = claim_one(bed, "a", at(0)).await;
    bed.abort(&id(1), "user-b").await;
    let switched = || {
        effect(Effect::GroupSwitched {
            group_id: before.id.clone(),
            current_primary_site: "site-b".into(),
            members: Vec::new(),
        })
    };
    let refused = bed.journal().record(&claim, at(1), switched()).await;
    assert_eq!(refused, Err(JournalError::aborted()));
    assert_eq!(bed.group(&before.id).await.0, before);
    // Nothing else is refused: what was under way is written down.
    write(bed, &claim, at(2), Entry::default()).await;
}

/// In the order that [`queue::next`](crate::queue::next) says, which has tests of its own.
pub async fn lanes_shares_and_what_has_begun_decide_what_is_claimed(bed: &impl TestBed) {
    for (number, project) in [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "a")] {
        let mut queued = operation(number);
        queued.operation.project_id = project.into();
        if number == 5 {
            queued.operation.kind = OperationKind::Fence;
        }
        bed.insert(queued).await;
    }
    let room = |free: usize| Room {
        per_project: 2,
        ..Room::for_any(free)
    };
    let claimed = async |name: &str, now, free| {
        let room = room(free);
        let claims = bed
            .journal()
            .claim(&engine(name), now, LEASE, BOOK_VERSION, &room)
            .await
            .expect("claim");
        let ids: Vec<OperationId> = claims.iter().map(|one| one.operation_id.clone()).collect();
        (ids, claims)
    };
    let (ids, claims) = claimed("x", at(0), 9).await;
    assert_eq!(ids, [5, 1, 4, 2].map(id));
    assert_eq!(claims[0].lane, Lane::Urgent);
    assert_eq!(claims[2].project_id.as_str(), "b");
    start(bed, &claims[3]).await;
    for claim in &claims[1..] {
        bed.journal().release(claim).await.expect("release");
    }
    // The second one has begun.
    let (ids, _) = claimed("y", at(1), 3).await;
    assert_eq!(ids, [2, 4, 1].map(id));
}

async fn claims(bed: &impl TestBed, name: &str, now: DateTime<Utc>) -> Vec<Claim> {
    claims_of(bed, name, now, BOOK_VERSION, 10).await
}

async fn claims_of(
    bed: &impl TestBed,
    name: &str,
    now: DateTime<Utc>,
    book_version: u32,
    limit: usize,
) -> Vec<Claim> {
    bed.journal()
        .claim(
            &engine(name),
            now,
            LEASE,
            book_version,
            &Room::for_any(limit),
        )
        .await
        .expect("claim")
}

async fn claim_one(bed: &impl TestBed, name: &str, now: DateTime<Utc>) -> Claim {
    let mut claims = claims(bed, name, now).await;
    assert_eq!(claims.len(), 1, "one operation can be claimed");
    claims.remove(0)
}

async fn write(bed: &impl TestBed, claim: &Claim, now: DateTime<Utc>, entry: Entry) {
    assert_eq!(bed.journal().record(claim, now, entry).await, Ok(()));
}

async fn start(bed: &impl TestBed, claim: &Claim) {
    let entry = Entry {
        operation: Some(OperationChange::Started { at: at(0) }),
        ..Entry::default()
    };
    write(bed, claim, at(0), entry).await;
}

async fn settle(bed: &impl TestBed, claim: &Claim, state: OperationState) {
    let entry = Entry {
        operation: Some(OperationChange::Settled { state, at: at(5) }),
        ..Entry::default()
    };
    write(bed, claim, at(5), entry).await;
}

fn effect(effect: Effect) -> Entry {
    Entry {
        effects: vec![effect],
        ..Entry::default()
    }
}

fn mapped(source: &str, target: &str) -> Effect {
    Effect::Mapped {
        kind: MapKind::Volume,
        source: source.to_owned(),
        target: target.to_owned(),
    }
}

/// Polls both until both are ready.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    std::future::poll_fn(move |cx| {
        if a_done.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            a_done = Some(value);
        }
        if b_done.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            b_done = Some(value);
        }
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Seconds after the suite's beginning, with microseconds that a journal must keep.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
        + TimeDelta::microseconds(1_762_178_400_123_456)
        + TimeDelta::seconds(seconds)
}

fn engine(name: &str) -> EngineId {
    EngineId::new(name)
}

fn id(number: u32) -> OperationId {
    OperationId::new(format!("op-00000000-0000-4000-8000-{number:012}"))
}

/// An operation of two lines on a group of its own, asked for at second -100 and `number`.
pub fn operation(number: u32) -> OperationRecord {
    let group_id = GroupId::new(format!("10000000-0000-4000-8000-{number:012}"));
    let plan = plan(&group_id);
    let steps = vec![
        line(0, "delete_source_vm", delete_server()),
        line(1, "delete_source_volume", delete_volume()),
    ];
    OperationRecord {
        operation: Operation {
            id: id(number),
            group_id,
            project_id: "project-a".into(),
            user_id: "user-a".into(),
            source_site: "site-a".into(),
            target_site: "site-b".into(),
            request_id: "req-1".to_owned(),
            global_request_id: Some("req-2".to_owned()),
            created_at: at(i64::from(number) - 100),
            ..fixtures::operation("op", OperationKind::Failover, plan)
        },
        steps,
        map: ResourceMap::default(),
    }
}

/// The group of an operation of this suite, at version 7 and in status `failing_over`.
pub fn group(record: &OperationRecord) -> Group {
    let plan = &record.operation.plan;
    Group {
        id: plan.group_id.clone(),
        name: format!("group of {}", record.operation.id),
        primary: plan.source.clone(),
        secondary: plan.target.clone(),
        current_primary_site: plan.source.site.clone(),
        status: GroupStatus::FailingOver,
        replication_type: plan.replication_type,
        mappings: plan.mappings.clone(),
        version: 7,
        created_at: at(-200),
        updated_at: at(-200),
        ..fixtures::group()
    }
}

/// A member of an operation's group, with every field filled.
pub fn member(record: &OperationRecord, name: &str) -> Member {
    let number = record.operation.id.as_str();
    Member {
        id: format!("member-{name}-{}", &number[number.len() - 4..]).into(),
        group_id: record.operation.group_id.clone(),
        server: server_spec(),
        volumes: vec![
            volume(&format!("vol-1-of-{name}-{number}"), true),
            volume(&format!("vol-2-of-{name}-{number}"), false),
        ],
        created_at: at(-150),
        updated_at: at(-150),
        ..fixtures::member(name)
    }
}

fn plan(group_id: &GroupId) -> Plan {
    Plan {
        group_id: group_id.clone(),
        source: SiteScope {
            site: "site-a".into(),
            project_id: "project-a".into(),
        },
        target: SiteScope {
            site: "site-b".into(),
            project_id: "project-b".into(),
        },
        source_array: "mock://array-a".to_owned(),
        target_array: "mock://array-b".to_owned(),
        target_volume_type: Some("type-b".to_owned()),
        mappings: ResourceMappings {
            networks: BTreeMap::from([("net-a".to_owned(), "net-b".to_owned())]),
            ..ResourceMappings::default()
        },
        ..fixtures::plan(Vec::new())
    }
}

fn server_spec() -> ServerSpec {
    ServerSpec {
        flavor: Flavor {
            id: "flavor-1".into(),
            name: "m1.small".to_owned(),
            vcpus: 2,
            ram_mib: 4096,
            disks: None,
        },
        nics: vec![Nic {
            network_id: "net-a".into(),
            fixed_ips: vec![[10, 0, 0, 5].into()],
            port: None,
            tag: None,
        }],
        security_groups: vec!["default".to_owned()],
        key_pair: Some(KeyPair {
            name: "ops".to_owned(),
            public_key: Some("ssh-ed25519 AAAA".to_owned()),
            kind: "ssh".to_owned(),
        }),
        metadata: BTreeMap::from([("role".to_owned(), "wéb".to_owned())]),
        user_data: Some(crate::confidential::Confidential::new(
            "I2Nsb3VkLWNvbmZpZwo=",
        )),
        availability_zone: Some("nova".to_owned()),
        config_drive: true,
        description: Some("front end".to_owned()),
        ..fixtures::server_spec()
    }
}

fn volume(id: &str, boot: bool) -> ProtectedVolume {
    ProtectedVolume {
        name: format!("{id}-name"),
        size_gib: 20,
        device: if boot { "/dev/vda" } else { "/dev/vdb" }.to_owned(),
        boot,
        delete_on_termination: !boot,
        ..fixtures::volume(id)
    }
}

fn delete_server() -> Step {
    Step::DeleteSourceServer {
        server: ServerId::new("server-1"),
    }
}

fn delete_volume() -> Step {
    Step::DeleteSourceVolume {
        volume: VolumeId::new("vol-1"),
    }
}

fn line(position: u32, phase: &str, action: Step) -> StepRecord {
    StepRecord {
        position,
        phase: position,
        phase_name: phase.to_owned(),
        verb: Verb::Attempt,
        reported: Reported::ByLine,
        key: format!("{phase}:web-server-1"),
        action,
        resource_id: Some("resource-1".to_owned()),
        after: (0..position).collect(),
        progress: StepProgress::default(),
    }
}

fn done() -> StepProgress {
    StepProgress {
        state: StepState::Done,
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        ..StepProgress::default()
    }
}

/// Progress with every field filled.
fn busy_progress() -> StepProgress {
    StepProgress {
        state: StepState::UndoFailed,
        failed_tries: 3,
        wake_at: Some(at(9)),
        note: Some("waits for the volume to be available".to_owned()),
        memo: Memo {
            intents: 2,
            undo_intents: 1,
            unanswered_at: Some(at(1)),
            accepted_in_try: Some(1),
            undo_asked_at: Some(at(4)),
            made: Some("vol-9".to_owned()),
            adopted: true,
            outlived: true,
            seen: SeenByStep {
                before: Some("ACTIVE".to_owned()),
                host: Some("compute-1".to_owned()),
                observed: Some("in-use".to_owned()),
            },
            since: WaitedSince {
                healthy: Some(at(2)),
                silent: Some(at(3)),
                locked_out: Some(at(4)),
                untold: Some(at(4)),
            },
            ports: PortDeletions {
                deleted: vec!["port-1".to_owned()],
                unanswered: vec!["port-1".to_owned()],
            },
            facts: vec!["the copy is healthy".to_owned()],
            request_ids: vec!["req-7".to_owned()],
        },
        error: Some("Cinder timeout after 300s".to_owned()),
        error_code: Some(Code::AlreadyGone),
        started_at: Some(at(1)),
        finished_at: Some(at(2)),
        undo_started_at: Some(at(3)),
    }
}
