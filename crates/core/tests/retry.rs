//! What each retry of an unplanned failover knows of what the tries before it have made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeZone, Utc};
use protector_core::{
    fixtures,
    id::SiteName,
    leftover::leftovers,
    mark,
    member::{Member, MemberStatus},
    operation::{
        MapKind, Memo, Operation, OperationKind, OperationRecord, OperationState, Planning,
        ResourceMap, StepRecord, StepState,
    },
    orphan::{CloudResource, OrphanEvidence, SiteSeen, orphans},
    plan::Plan,
    runbook::{
        Step,
        given_up::{given_up_members, with_given_up},
        resource::ResourceKind,
        retry::retry,
        unplanned_failover::unplanned_failover,
    },
};

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 12, 0, 0).unwrap()
}

fn plan() -> Plan {
    let member = Member {
        id: "member".into(),
        server_id: "server".into(),
        status: MemberStatus::Error,
        volumes: vec![fixtures::volume("volume")],
        created_at: noon(),
        updated_at: noon(),
        ..fixtures::member("web")
    };
    fixtures::plan(vec![member])
}

fn record(kind: OperationKind, steps: Vec<StepRecord>) -> OperationRecord {
    let plan = plan();
    OperationRecord {
        steps,
        map: ResourceMap::default(),
        operation: Operation {
            state: OperationState::Failed,
            created_at: noon(),
            ..fixtures::operation("op", kind, plan)
        },
    }
}

fn failover() -> OperationRecord {
    let steps = unplanned_failover(&plan()).into_steps().unwrap();
    let mut record = record(OperationKind::Failover, steps);
    record.operation.planning = Planning::Unplanned;
    record
}

fn retry_after(last: &OperationRecord) -> OperationRecord {
    record(OperationKind::Retry, retry(&plan(), last).unwrap())
}

fn import() -> Step {
    Step::ManageVolume {
        volume: "volume".into(),
    }
}

fn build() -> Step {
    Step::RecreateServer {
        server: "server".into(),
    }
}

fn taking_back(line: Step) -> Step {
    Step::TakeBack {
        line: Box::new(line),
    }
}

fn line<'a>(record: &'a OperationRecord, action: &Step) -> &'a StepRecord {
    let found = record.steps.iter().find(|step| step.action == *action);
    found.unwrap_or_else(|| panic!("no {action:?}"))
}

fn has(record: &OperationRecord, action: &Step) -> bool {
    record.steps.iter().any(|step| step.action == *action)
}

/// Ends the line that does `action`. What it made is told to it by `made`; otherwise it remembers what it was told.
fn end(record: &mut OperationRecord, action: &Step, state: StepState, made: Option<&str>) {
    let step = record
        .steps
        .iter_mut()
        .find(|step| step.action == *action)
        .unwrap();
    step.progress.state = state;
    if let Some(made) = made {
        step.progress.memo.intents += 1;
        step.progress.memo.made = Some(made.to_owned());
    }
}

fn made(record: &OperationRecord, action: &Step) -> Option<String> {
    line(record, action).progress.memo.made.clone()
}

#[test]
fn what_was_made_is_known_to_each_try_also_to_one_that_never_came_to_it() {
    let mut last = failover();
    end(&mut last, &import(), StepState::Done, Some("copy-volume"));
    end(&mut last, &build(), StepState::Done, Some("copy-server"));
    for _ in 0..3 {
        let mut next = retry_after(&last);
        assert_eq!(made(&next, &import()).as_deref(), Some("copy-volume"));
        assert_eq!(made(&next, &build()).as_deref(), Some("copy-server"));
        assert!(!has(&next, &taking_back(build())), "it was built");
        assert!(!has(&next, &taking_back(import())), "it was imported");
        end(&mut next, &import(), StepState::Skipped, None);
        end(&mut next, &build(), StepState::Skipped, None);
        last = next;
    }
}

#[test]
fn what_failed_is_taken_back_first_and_the_line_that_does_it_again_waits_for_that() {
    let mut last = failover();
    end(&mut last, &import(), StepState::Failed, Some("copy-volume"));
    end(&mut last, &build(), StepState::Failed, Some("copy-server"));
    let next = retry_after(&last);
    for (action, copy) in [(import(), "copy-volume"), (build(), "copy-server")] {
        let taken_back = line(&next, &taking_back(action.clone()));
        assert_eq!(taken_back.progress.memo.made.as_deref(), Some(copy));
        let again = line(&next, &action);
        assert!(again.after.contains(&taken_back.position), "{again:?}");
        let known = again.progress.memo.made.as_deref();
        assert_eq!(known, Some(copy), "it may have turned out well since");
    }
    let server = line(&next, &taking_back(build())).position;
    let volume = line(&next, &taking_back(import()));
    assert_eq!(volume.after, [server], "no volume is taken from a server");
}

#[test]
fn what_could_not_be_taken_back_is_taken_back_by_the_next_try() {
    let mut last = failover();
    end(&mut last, &import(), StepState::Done, Some("copy-volume"));
    end(&mut last, &build(), StepState::Failed, Some("copy-server"));
    for state in [StepState::Failed, StepState::Skipped, StepState::Failed] {
        let mut next = retry_after(&last);
        let taken_back = made(&next, &taking_back(build()));
        assert_eq!(taken_back.as_deref(), Some("copy-server"));
        end(&mut next, &taking_back(build()), state, None);
        end(&mut next, &build(), StepState::Skipped, None);
        last = next;
    }
    let mut next = retry_after(&last);
    end(&mut next, &taking_back(build()), StepState::Done, None);
    end(&mut next, &build(), StepState::Failed, Some("another"));
    let after = retry_after(&next);
    let taken_back = made(&after, &taking_back(build()));
    assert_eq!(taken_back.as_deref(), Some("another"));
}

#[test]
fn what_failed_and_made_nothing_is_not_taken_back() {
    let mut last = failover();
    end(&mut last, &import(), StepState::Failed, None);
    end(&mut last, &build(), StepState::Skipped, None);
    let next = retry_after(&last);
    assert!(!has(&next, &taking_back(import())));
    assert!(!has(&next, &taking_back(build())));
    assert_eq!(line(&next, &build()).progress.memo, Memo::default());
}

/// Every way in which a failover and three retries after it can end for one server: whatever is there is known to the
/// next try, also what was left because it had come up by the time it was to be taken back.
#[test]
fn nothing_that_was_made_is_ever_forgotten() {
    for (ends, leaves) in every_chain(4)
        .into_iter()
        .flat_map(|ends| [(ends.clone(), false), (ends, true)])
    {
        let mut last = failover();
        let mut there = None;
        for (number, (taken_back, built)) in ends.iter().enumerate() {
            if number > 0 {
                last = retry_after(&last);
            }
            if has(&last, &taking_back(build())) {
                end(&mut last, &taking_back(build()), *taken_back, None);
                if *taken_back == StepState::Done && !leaves {
                    there = None;
                }
            }
            let is_blocked = has(&last, &taking_back(build())) && *taken_back != StepState::Done;
            if is_blocked || *built == StepState::Skipped {
                end(&mut last, &build(), StepState::Skipped, None);
            } else {
                let copy = there
                    .get_or_insert_with(|| format!("copy-{number}"))
                    .clone();
                end(&mut last, &build(), *built, Some(&copy));
            }
            let next = retry_after(&last);
            let known = made(&next, &build());
            assert!(
                there.is_none() || known == there,
                "{there:?} is forgotten, {known:?} known, after {ends:?}"
            );
        }
    }
}

/// Every sequence of `length` ends of taking a line back and of doing it again.
fn every_chain(length: u32) -> Vec<Vec<(StepState, StepState)>> {
    let states = [StepState::Done, StepState::Failed, StepState::Skipped];
    let each: Vec<(StepState, StepState)> = states
        .iter()
        .flat_map(|taken_back| states.iter().map(move |built| (*taken_back, *built)))
        .collect();
    (0..length).fold(vec![Vec::new()], |chains, _| {
        chains
            .iter()
            .flat_map(|chain| {
                each.iter()
                    .map(move |end| chain.iter().copied().chain([*end]).collect())
            })
            .collect()
    })
}

fn completed() -> OperationRecord {
    let mut failover = failover();
    failover.operation.state = OperationState::Completed;
    end(&mut failover, &import(), StepState::Done, Some("import"));
    end(&mut failover, &build(), StepState::Failed, Some("built"));
    failover
}

#[test]
fn a_member_is_given_up_when_no_retry_can_take_it_up_any_more() {
    let failover = completed();
    let unrecovered = plan().members;
    let mut brought = unrecovered.clone();
    brought[0].status = MemberStatus::Protected;
    let given_up = |tries: &[OperationRecord], site: &str, members: &[Member]| {
        let site = SiteName::new(site);
        !given_up_members(&failover, tries, Some((&site, members))).is_empty()
    };
    assert!(!given_up(&[], "site-b", &unrecovered), "a retry needs it");
    assert!(given_up(&[], "site-b", &[]), "it has left the group");
    assert!(given_up(&[], "site-b", &brought), "another move brought it");
    assert!(given_up(&[], "site-a", &unrecovered), "the group moved on");
    assert!(!given_up_members(&failover, &[], None).is_empty());

    let mut last = retry_after(&failover);
    assert!(given_up(std::slice::from_ref(&last), "site-b", &[]));
    last.operation.state = OperationState::Running;
    assert!(
        !given_up(std::slice::from_ref(&last), "site-b", &[]),
        "a retry runs"
    );
    last.operation.state = OperationState::Completed;
    last.map.insert(MapKind::Recovered, "server", "copy");
    assert!(!given_up(&[last], "site-b", &[]), "it was recovered");

    let mut taken_back = completed();
    taken_back.operation.state = OperationState::Failed;
    assert!(given_up_members(&taken_back, &[], None).is_empty());
}

#[test]
fn an_orphan_of_an_unrecovered_member_names_the_cleanup_that_takes_it() {
    let failover = completed();
    let import = CloudResource {
        kind: ResourceKind::Volume,
        id: "import".to_owned(),
        name: String::new(),
        project_id: plan().target.project_id,
        status: "reserved".to_owned(),
        size_gib: Some(1),
        created_at: noon(),
        metadata: BTreeMap::from([(mark::OPERATION.to_owned(), "op".to_owned())]),
        servers: vec![],
        snapshots: vec![],
    };
    let site = SiteSeen {
        scope: plan().target,
        held: Some(vec![import]),
    };
    let found = orphans(OrphanEvidence {
        records: &[],
        makers: &BTreeMap::from([("op".to_owned(), failover)]),
        members: &[],
        sites: &[site],
    });
    let why = found[0].why_not.clone().unwrap();
    assert!(why.contains("a VM that it did not recover"), "{why}");
    assert!(why.contains("'openstack dr operation cleanup op'"), "{why}");
}

#[test]
fn what_all_tries_have_made_for_a_member_that_is_given_up_is_left() {
    let failover = completed();
    let mut last = retry_after(&failover);
    end(&mut last, &build(), StepState::Failed, Some("built anew"));
    let given_up = BTreeSet::from(["server".into()]);
    let mut left = with_given_up(&failover, std::slice::from_ref(&last), &given_up);
    assert_eq!(made(&left, &import()).as_deref(), Some("import"));
    assert_eq!(made(&left, &build()).as_deref(), Some("built anew"));
    let keys = |record: &OperationRecord| -> Vec<String> {
        let left = leftovers(record).into_iter();
        left.map(|left| left.step)
            .filter(|step| step.starts_with("undo:"))
            .collect()
    };
    let all = ["undo:recreate_vms:web", "undo:manage_volumes:volume"];
    assert_eq!(keys(&left), all, "what was made last goes first");
    assert_eq!(keys(&failover), Vec::<String>::new());
    assert_eq!(
        with_given_up(&failover, std::slice::from_ref(&last), &BTreeSet::new()),
        failover
    );

    end(&mut left, &build(), StepState::Undone, None);
    let again = with_given_up(&left, std::slice::from_ref(&last), &given_up);
    assert_eq!(keys(&again), all[1..], "what a cleanup took is gone");
}
