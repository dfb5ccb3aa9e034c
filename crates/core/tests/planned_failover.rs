//! The planned failover's runbook: what it does in which order, how it shows, and what is next after anything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use protector_core::{
    fault::Code,
    fixtures,
    group::{Group, GroupStatus, ResourceMappings},
    id::{MemberId, NetworkId, ProjectId, ServerId},
    journal::Effect,
    member::{Member, ProtectedVolume, ServerSpec},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, Planning, ResourceMap,
        StepRecord, StepState, progress, steps_completed, steps_failed,
    },
    plan::{ArrayPair, Plan, PlanRefusal},
    priority::Priority,
    recovery_plan::{MemberRecovery, Pause},
    runbook::{
        self, BookError, NewStep, Reported, Runbook, Step, Verb, cleanup::cleanup_of,
        failover::planned_move, fence::fence, unplanned_failover::unplanned_failover,
        waited::served_while_it_waited,
    },
    schedule::{self, Next, NotAbortable},
    storage::PromotionKind,
};

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap()
}

fn group() -> Group {
    Group {
        mappings: ResourceMappings {
            networks: BTreeMap::from([("net-a".into(), "net-b".into())]),
            ..ResourceMappings::default()
        },
        created_at: noon(),
        updated_at: noon(),
        ..fixtures::group()
    }
}

/// A member added `minute` minutes after noon, with volumes of the given names.
fn member(name: &str, minute: i64, volumes: &[&str]) -> Member {
    let added = noon() + TimeDelta::minutes(minute);
    Member {
        id: MemberId::new(format!("member-{minute}")),
        server_id: ServerId::new(format!("server-{minute}")),
        server: ServerSpec {
            nics: vec![fixtures::nic("net-a")],
            ..fixtures::server_spec()
        },
        volumes: volumes
            .iter()
            .enumerate()
            .map(|(place, volume)| ProtectedVolume {
                name: (*volume).into(),
                device: format!("/dev/vd{place}"),
                boot: place == 0,
                ..fixtures::volume(&format!("id-{minute}-{place}"))
            })
            .collect(),
        created_at: added,
        updated_at: added,
        ..fixtures::member(name)
    }
}

/// The contract's Example 1.
fn example() -> Vec<Member> {
    vec![
        member("web-server-1", 1, &["vol-boot-ws1", "vol-data-ws1"]),
        member("web-server-2", 2, &["vol-boot-ws2", "vol-data-ws2"]),
    ]
}

fn plan_of(members: Vec<Member>) -> Result<Plan, PlanRefusal> {
    let arrays = ArrayPair {
        primary: "array-a".into(),
        secondary: "array-b".into(),
        promotion: PromotionKind::Copy,
    };
    let group = group();
    let mappings = group.mappings.clone();
    Plan::move_to_other_site(&group, members, Some(&arrays), mappings, false)
}

fn record(members: Vec<Member>) -> OperationRecord {
    record_of(plan_of(members).unwrap())
}

/// The same between arrays that promote in place.
fn record_in_place(members: Vec<Member>) -> OperationRecord {
    record_of(Plan {
        promotion: PromotionKind::InPlace,
        ..plan_of(members).unwrap()
    })
}

fn record_of(plan: Plan) -> OperationRecord {
    let steps = planned_move(&plan).into_steps().unwrap();
    OperationRecord {
        operation: Operation {
            project_id: ProjectId::new("project-site-a"),
            state: OperationState::Running,
            created_at: noon(),
            ..fixtures::operation("op-1", OperationKind::Failover, plan)
        },
        steps,
        map: ResourceMap::default(),
    }
}

fn end(record: &mut OperationRecord, key: &str, state: StepState) {
    let step = record
        .steps
        .iter_mut()
        .find(|step| step.key == key)
        .unwrap();
    step.progress.state = state;
    if state == StepState::Failed {
        step.progress.error = Some("Cinder timeout after 300s".into());
        step.progress.error_code = Some(Code::Timeout);
    }
}

fn end_all_before(record: &mut OperationRecord, phase: &str) {
    let first = record
        .steps
        .iter()
        .position(|step| step.phase_name == phase)
        .unwrap();
    for step in &mut record.steps[..first] {
        step.progress.state = StepState::Done;
    }
}

fn next_keys(record: &OperationRecord) -> Vec<String> {
    match schedule::next(record, noon()) {
        Next::Run(lines) | Next::Undo(lines) => lines
            .into_iter()
            .map(|line| record.steps[line as usize].key.clone())
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_clean_failover_shows_example_1_of_the_contract() {
    let mut record = record(example());
    for step in &mut record.steps {
        step.progress.state = StepState::Done;
    }
    assert_eq!(
        steps_completed(&record.steps),
        [
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "delete_source_vm:web-server-1",
            "delete_source_vm:web-server-2",
            "delete_source_volume:vol-boot-ws1",
            "delete_source_volume:vol-data-ws1",
            "delete_source_volume:vol-boot-ws2",
            "delete_source_volume:vol-data-ws2",
        ]
    );
    assert_eq!(steps_failed(&record.steps), []);
    assert_eq!(
        schedule::next(&record, noon()),
        Next::Settle(OperationState::Completed)
    );
}

#[test]
fn a_failed_deletion_shows_example_2_and_the_operation_completes() {
    let mut record = record(example());
    for step in &mut record.steps {
        step.progress.state = StepState::Done;
    }
    end(
        &mut record,
        "delete_source_volume:vol-data-ws1",
        StepState::Failed,
    );
    let failed = steps_failed(&record.steps);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].step, "delete_source_volume:vol-data-ws1");
    assert_eq!(failed[0].error, "Cinder timeout after 300s");
    assert_eq!(failed[0].resource_id.as_deref(), Some("id-1-1"));
    assert_eq!(
        steps_completed(&record.steps).len(),
        8,
        "the contract's 8 skipped"
    );
    assert_eq!(
        schedule::next(&record, noon()),
        Next::Settle(OperationState::Completed)
    );
}

#[test]
fn a_volume_goes_when_its_own_server_is_gone_not_when_all_are() {
    let mut record = record(example());
    end_all_before(&mut record, "delete_source_vm");
    end(
        &mut record,
        "delete_source_vm:web-server-2",
        StepState::Done,
    );
    assert_eq!(
        next_keys(&record),
        [
            "delete_source_vm:web-server-1",
            "delete_source_volume:vol-boot-ws2",
            "delete_source_volume:vol-data-ws2"
        ]
    );
}

#[test]
fn nothing_is_deleted_before_the_switch_has_ended() {
    let mut record = record(example());
    end_all_before(&mut record, "switch_primary");
    assert_eq!(next_keys(&record), ["switch_primary"]);
}

#[test]
fn a_failure_before_the_switch_takes_back_the_last_phase_first() {
    let mut record = record(example());
    end_all_before(&mut record, "recreate_vms");
    end(&mut record, "recreate_vms:web-server-1", StepState::Done);
    end(&mut record, "recreate_vms:web-server-2", StepState::Failed);
    let Next::Unwind { error, code } = schedule::next(&record, noon()) else {
        panic!("it must turn round");
    };
    assert_eq!(
        error,
        "recreate_vms:web-server-2: Cinder timeout after 300s"
    );
    assert_eq!(code, Code::Timeout);
    record.operation.state = OperationState::Unwinding;
    assert_eq!(
        next_keys(&record),
        ["recreate_vms:web-server-1", "recreate_vms:web-server-2"]
    );
    end(&mut record, "recreate_vms:web-server-1", StepState::Undone);
    end(&mut record, "recreate_vms:web-server-2", StepState::Undone);
    let (starts, rest): (Vec<_>, Vec<_>) = next_keys(&record)
        .into_iter()
        .partition(|key| key.starts_with("stop_source_vms:"));
    assert_eq!(starts.len(), 2);
    // Nothing waits for a port, and a port only for its copy.
    let phases = ["manage_volumes:", "reserve_ports:", "complete_ports:"];
    let is_in_one = |key: &String| phases.iter().any(|phase| key.starts_with(phase));
    assert!(rest.iter().all(is_in_one), "{rest:?}");
}

/// The target may take its time with everything else.
#[test]
fn a_server_is_started_again_as_soon_as_its_own_copy_is_gone_or_was_never_asked_for() {
    let mut record = record(example());
    end_all_before(&mut record, "recreate_vms");
    end(&mut record, "recreate_vms:web-server-1", StepState::Done);
    record.operation.state = OperationState::Unwinding;
    let starts = |record: &OperationRecord| {
        let keys = next_keys(record);
        keys.into_iter()
            .filter(|key| key.starts_with("stop_source_vms:"))
            .collect::<Vec<_>>()
    };
    assert_eq!(starts(&record), ["stop_source_vms:web-server-2"]);
    end(&mut record, "recreate_vms:web-server-1", StepState::Undone);
    assert_eq!(starts(&record).len(), 2);
}

/// What nobody answered may be under way without a server to be seen: its volumes tell, when they are let go of.
#[test]
fn a_server_whose_build_nobody_answered_is_started_when_its_volumes_are_free() {
    let mut record = record(example());
    end_all_before(&mut record, "recreate_vms");
    end(&mut record, "recreate_vms:web-server-1", StepState::Undone);
    let build = record
        .steps
        .iter_mut()
        .find(|step| step.key == "recreate_vms:web-server-1");
    build.unwrap().progress.memo.unanswered_at = Some(noon());
    record.operation.state = OperationState::Unwinding;
    let start = "stop_source_vms:web-server-1".to_owned();
    assert!(!next_keys(&record).contains(&start));
    end(
        &mut record,
        "manage_volumes:vol-boot-ws1",
        StepState::Undone,
    );
    end(
        &mut record,
        "manage_volumes:vol-data-ws1",
        StepState::Undone,
    );
    assert!(next_keys(&record).contains(&start));
}

/// Of the first member one volume hangs on the array; nothing of the second one is made on it.
#[test]
fn a_volume_that_hangs_holds_back_no_server_but_its_own() {
    let mut record = record_in_place(example());
    end_all_before(&mut record, "recreate_vms");
    record.operation.state = OperationState::Unwinding;
    let hangs = "vol-data-ws1";
    end(
        &mut record,
        &format!("manage_volumes:{hangs}"),
        StepState::Undoing,
    );
    for below in ["manage_volumes", "promote_volumes", "fence_volumes"] {
        let keys = next_keys(&record);
        for volume in ["vol-boot-ws1", "vol-boot-ws2", "vol-data-ws2"] {
            let key = format!("{below}:{volume}");
            assert!(keys.contains(&key), "{key} is not among {keys:?}");
            end(&mut record, &key, StepState::Undone);
        }
        let waits = |phase: &str| !keys.contains(&format!("{phase}:{hangs}"));
        assert!(
            waits("promote_volumes") && waits("fence_volumes"),
            "{keys:?}"
        );
    }
    let keys = next_keys(&record);
    assert!(
        keys.contains(&"stop_source_vms:web-server-2".to_owned()),
        "{keys:?}"
    );
    assert!(
        !keys.contains(&"stop_source_vms:web-server-1".to_owned()),
        "{keys:?}"
    );
}

/// Volumes were fenced of the second member too, which was off before the move.
#[test]
fn an_abort_starts_each_server_as_soon_as_its_own_volumes_are_free() {
    let mut record = record_in_place(example());
    let stopped = BTreeSet::from([record.operation.plan.members[0].server_id.clone()]);
    record.operation.kind = OperationKind::Abort;
    record.steps = runbook::abort::abort(&record.operation.plan, &stopped)
        .into_steps()
        .unwrap();
    let free = |volume: &str| format!("unfence_volumes:{volume}");
    let all = [
        "vol-boot-ws1",
        "vol-data-ws1",
        "vol-boot-ws2",
        "vol-data-ws2",
    ]
    .map(free);
    assert_eq!(next_keys(&record), all);
    end(&mut record, &all[0], StepState::Done);
    assert_eq!(
        next_keys(&record),
        all[1..],
        "its other volume takes no writes yet"
    );
    end(&mut record, &all[1], StepState::Done);
    let start = "start_source_vms:web-server-1".to_owned();
    assert_eq!(
        next_keys(&record),
        [&all[2], &all[3], &start].map(String::clone)
    );
    end(&mut record, &start, StepState::Done);
    assert_eq!(
        next_keys(&record),
        all[2..],
        "the confirmation waits for all"
    );
}

/// The servers of what is closed are stopped first; those beside the group wait for no array.
#[test]
fn a_fence_closes_each_volume_once_its_own_server_is_stopped() {
    let mut record = record_in_place(example());
    record.operation.kind = OperationKind::Fence;
    record.operation.plan.left_on_target = vec!["copy".into()];
    let plan = &record.operation.plan;
    let planned = fence(plan, Planning::Planned).into_steps().unwrap();
    let closes = |step: &StepRecord| matches!(step.action, Step::FenceVolume { .. });
    assert!(
        !planned.iter().any(closes),
        "a planned move has closed them"
    );
    record.steps = fence(plan, Planning::Unplanned).into_steps().unwrap();
    let stops = ["web-server-1", "web-server-2"].map(|name| format!("fence_source_vm:{name}"));
    assert_eq!(next_keys(&record), stops);
    end(&mut record, &stops[0], StepState::Done);
    let closed = ["vol-boot-ws1", "vol-data-ws1"].map(|name| format!("fence_source_volume:{name}"));
    assert_eq!(
        next_keys(&record),
        [&stops[1], &closed[0], &closed[1]].map(String::clone)
    );
    end(&mut record, &stops[1], StepState::Done);
    assert!(next_keys(&record).contains(&"fence_target_vm:copy".to_owned()));
}

/// `key` finds that the other site has moved the group.
fn supersede(record: &mut OperationRecord, key: &str, state: StepState) {
    end(record, key, state);
    let step = record.steps.iter_mut().find(|step| step.key == key);
    step.unwrap().progress.error_code = Some(Code::Superseded);
}

#[test]
fn a_superseded_failover_ends_and_takes_nothing_back() {
    for (phase, key) in [
        ("manage_volumes", "manage_volumes:vol-data-ws1"),
        ("switch_primary", "switch_primary"),
    ] {
        let mut record = record(example());
        end_all_before(&mut record, phase);
        supersede(&mut record, key, StepState::Failed);
        let Next::Unwind { error, code } = schedule::next(&record, noon()) else {
            panic!("it must say why it ends");
        };
        assert!(error.starts_with(key), "{error}");
        assert_eq!(code, Code::Superseded);
        record.operation.state = OperationState::Unwinding;
        let failed = OperationState::Failed;
        assert_eq!(schedule::next(&record, noon()), Next::Settle(failed));
        let after = schedule::effect_at_end(&record.operation, &record.steps, failed);
        assert_eq!(after, None, "what the group is, the other site says");
    }
}

#[test]
fn a_failover_that_is_superseded_while_it_is_taken_back_leaves_the_rest() {
    let mut record = record(example());
    end_all_before(&mut record, "recreate_vms");
    record.operation.state = OperationState::Unwinding;
    supersede(
        &mut record,
        "manage_volumes:vol-data-ws1",
        StepState::UndoFailed,
    );
    let failed = OperationState::Failed;
    assert_eq!(schedule::next(&record, noon()), Next::Settle(failed));
    let after = schedule::effect_at_end(&record.operation, &record.steps, failed);
    assert_eq!(after, None);
}

#[test]
fn what_could_not_be_taken_back_is_listed_and_the_rest_goes_on() {
    let mut record = record(example());
    end_all_before(&mut record, "recreate_vms");
    record.operation.state = OperationState::Unwinding;
    for step in record
        .steps
        .iter_mut()
        .filter(|step| step.phase_name == "manage_volumes")
    {
        step.progress.state = StepState::UndoFailed;
        step.progress.memo.made = Some("copy".into());
    }
    assert!(
        next_keys(&record)
            .iter()
            .filter(|key| !key.starts_with("reserve_ports:") && !key.starts_with("complete_ports:"))
            .all(|key| key.starts_with("promote_volumes:") || key.starts_with("stop_source_vms:"))
    );
    let failed = steps_failed(&record.steps);
    assert_eq!(failed[0].step, "undo:manage_volumes:vol-boot-ws1");
    assert_eq!(
        failed[0].resource_id.as_deref(),
        Some("copy"),
        "what is left, by its id"
    );
}

#[test]
fn a_group_whose_servers_could_not_be_started_again_is_in_error() {
    let mut record = record(example());
    let status = |record: &OperationRecord| {
        schedule::effect_at_end(&record.operation, &record.steps, OperationState::Failed)
    };
    assert_eq!(status(&record), Some(at_rest(&record)));
    end(
        &mut record,
        "stop_source_vms:web-server-1",
        StepState::UndoFailed,
    );
    assert_eq!(status(&record), Some(becomes(GroupStatus::Error)));
}

/// The switch is one write together with its line's end, so one that failed has not happened.
#[test]
fn a_switch_that_failed_is_taken_back_like_anything_before_it() {
    let mut record = record(example());
    end_all_before(&mut record, "switch_primary");
    end(&mut record, "switch_primary", StepState::Failed);
    let Next::Unwind { error, .. } = schedule::next(&record, noon()) else {
        panic!("it must turn round");
    };
    assert!(error.starts_with("switch_primary: "), "{error}");
    record.operation.state = OperationState::Unwinding;
    assert_eq!(
        next_keys(&record),
        [
            "recreate_vms:web-server-1",
            "recreate_vms:web-server-2",
            "restore_power_state:web-server-1",
            "restore_power_state:web-server-2"
        ]
    );
    assert_eq!(
        schedule::effect_at_end(&record.operation, &record.steps, OperationState::Failed),
        Some(at_rest(&record)),
        "its servers run on the source again"
    );
}

#[test]
fn a_cleanup_that_was_to_start_servers_again_looks_whether_the_groups_error_is_over() {
    let mut parent = record(example());
    for server in ["web-server-1", "web-server-2"] {
        end(
            &mut parent,
            &format!("stop_source_vms:{server}"),
            StepState::UndoFailed,
        );
    }
    let mut cleanup = parent.clone();
    cleanup.operation.kind = OperationKind::Cleanup;
    cleanup.steps = cleanup_of(&parent);
    let after = |cleanup: &OperationRecord| {
        let ended = OperationState::Completed;
        schedule::effect_at_end(&cleanup.operation, &cleanup.steps, ended)
    };
    cleanup.operation.parent_id = Some(parent.operation.id.clone());
    let looks = Effect::GroupMended {
        group_id: cleanup.operation.group_id.clone(),
        failed: parent.operation.id.clone(),
    };
    assert_eq!(after(&cleanup), Some(looks));
    cleanup.steps.clear();
    assert_eq!(
        after(&cleanup),
        None,
        "a cleanup that deletes changes nothing"
    );
}

#[test]
fn a_cleanup_takes_back_in_the_order_in_which_things_stand_on_each_other() {
    let mut parent = record(example());
    for key in [
        "stop_source_vms:web-server-1",
        "promote_volumes:vol-boot-ws1",
        "manage_volumes:vol-boot-ws1",
        "recreate_vms:web-server-1",
        "recreate_vms:web-server-2",
    ] {
        end(&mut parent, key, StepState::UndoFailed);
    }
    let steps = cleanup_of(&parent);
    let after = |key: &str| {
        let step = steps.iter().find(|step| step.key == key).unwrap();
        step.after
            .iter()
            .map(|position| steps[*position as usize].key.as_str())
            .collect::<Vec<_>>()
    };
    let copy = ["undo:recreate_vms:web-server-1"];
    assert_eq!(after("undo:stop_source_vms:web-server-1"), copy);
    assert_eq!(after("undo:manage_volumes:vol-boot-ws1"), copy);
    assert_eq!(
        after("undo:promote_volumes:vol-boot-ws1"),
        ["undo:manage_volumes:vol-boot-ws1"]
    );
    assert!(after("undo:recreate_vms:web-server-2").is_empty());
    assert!(steps.iter().enumerate().all(|(place, step)| {
        step.position as usize == place && step.after.iter().all(|at| *at < step.position)
    }));
}

#[test]
fn a_server_is_started_after_volumes_that_the_copy_of_an_unanswered_build_may_use() {
    let mut parent = record(example());
    for key in [
        "stop_source_vms:web-server-1",
        "stop_source_vms:web-server-2",
        "manage_volumes:vol-boot-ws1",
    ] {
        end(&mut parent, key, StepState::UndoFailed);
    }
    let waits_for = |parent: &OperationRecord, server: &str| {
        let steps = cleanup_of(parent);
        let key = format!("undo:stop_source_vms:{server}");
        let step = steps.iter().find(|step| step.key == key).unwrap();
        let first = step.after.first().copied();
        first.map(|position| steps[position as usize].key.clone())
    };
    assert_eq!(
        waits_for(&parent, "web-server-1"),
        None,
        "no copy can use the volume: Cinder's trouble keeps nobody off"
    );
    for step in &mut parent.steps {
        if step.key.starts_with("recreate_vms:") {
            step.progress.memo.unanswered_at = Some(noon());
        }
    }
    assert_eq!(
        waits_for(&parent, "web-server-1").as_deref(),
        Some("undo:manage_volumes:vol-boot-ws1")
    );
    assert_eq!(
        waits_for(&parent, "web-server-2"),
        None,
        "it has other volumes"
    );
}

fn becomes(status: GroupStatus) -> Effect {
    Effect::GroupStatus {
        group_id: record(example()).operation.group_id,
        status,
    }
}

fn at_rest(record: &OperationRecord) -> Effect {
    Effect::GroupAtRest {
        group_id: record.operation.group_id.clone(),
    }
}

#[test]
fn progress_reaches_100_only_with_the_end() {
    let mut record = record(example());
    assert_eq!(progress(OperationState::Running, &record.steps), 0);
    for step in &mut record.steps {
        step.progress.state = StepState::Done;
    }
    assert_eq!(progress(OperationState::Running, &record.steps), 99);
    assert_eq!(progress(OperationState::Completed, &record.steps), 100);
}

#[test]
fn names_used_twice_and_missing_names_give_way_to_ids() {
    let record = record(vec![
        member("web", 1, &["data", ""]),
        member("web", 2, &["data"]),
    ]);
    let keys: Vec<&str> = record
        .steps
        .iter()
        .filter(|step| step.reported == Reported::ByLine)
        .map(|step| step.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "delete_source_vm:server-1",
            "delete_source_vm:server-2",
            "delete_source_volume:id-1-0",
            "delete_source_volume:id-1-1",
            "delete_source_volume:id-2-0",
        ]
    );
}

#[test]
fn a_cleanup_takes_what_is_left_and_looks_afresh() {
    let mut parent = record(example());
    for step in &mut parent.steps {
        step.progress.state = StepState::Done;
        step.progress.memo.intents = 4;
    }
    end(
        &mut parent,
        "delete_source_vm:web-server-1",
        StepState::Failed,
    );
    end(
        &mut parent,
        "delete_source_volume:vol-data-ws1",
        StepState::Failed,
    );
    end(
        &mut parent,
        "delete_source_volume:vol-data-ws2",
        StepState::Skipped,
    );
    let steps = cleanup_of(&parent);
    let keys: Vec<&str> = steps.iter().map(|step| step.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "delete_source_vm:web-server-1",
            "delete_source_volume:vol-data-ws1",
            "delete_source_volume:vol-data-ws2",
            "release_replicas"
        ]
    );
    assert_eq!(steps[1].after, [0], "the volume still waits for its server");
    assert!(steps[2].after.is_empty());
    assert_eq!(steps[3].after, [1, 2], "the point tells of the volumes");
    assert!(steps.iter().all(|step| step.progress.memo.intents == 0));
}

#[test]
fn a_cleanup_of_a_failed_operation_takes_back_what_it_made() {
    let mut parent = record(example());
    end(
        &mut parent,
        "manage_volumes:vol-data-ws1",
        StepState::UndoFailed,
    );
    let steps = cleanup_of(&parent);
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].key, "undo:manage_volumes:vol-data-ws1");
    assert!(matches!(steps[0].action, Step::TakeBack { .. }));
}

#[test]
fn a_plan_without_a_way_to_end_well_is_refused() {
    assert_eq!(plan_of(vec![]), Err(PlanRefusal::NoMembers));
    let mut stray = member("web", 1, &["data"]);
    stray.server.nics[0].network_id = NetworkId::new("net-x");
    let refusal = plan_of(vec![stray]).unwrap_err();
    assert!(
        refusal.to_string().contains("net-x (used by web)"),
        "{refusal}"
    );
    let twins = vec![member("a", 1, &["data"]), member("b", 1, &["data"])];
    assert!(matches!(plan_of(twins), Err(PlanRefusal::SharedVolume(_))));
}

#[test]
fn an_undoable_phase_after_the_point_of_no_return_is_refused() {
    let line = |action| NewStep {
        action,
        name: String::new(),
        resource_id: None,
        after: vec![],
    };
    let book = |first, second| {
        let switch = [line(Step::SwitchPrimary)];
        let book = Runbook::default().phase("switch", first, Reported::Never, switch);
        let check = [line(Step::CheckTarget)];
        book.phase("check", second, Reported::Never, check)
            .into_steps()
    };
    for first in [Verb::Switch, Verb::Forward] {
        for second in [Verb::Undoable, Verb::Member, Verb::Switch] {
            let refused = Err(BookError::UndoableAfterForward("check"));
            assert_eq!(book(first, second), refused, "{second:?} after {first:?}");
        }
        assert!(book(first, Verb::Notice).is_ok());
    }
    assert!(book(Verb::Undoable, Verb::Switch).is_ok());
}

/// Stored steps outlive the build that wrote them: this fails for whoever changes how one is written.
#[test]
fn stored_steps_keep_their_form() {
    let record = record(vec![member("web", 1, &["data"])]);
    let forms: Vec<String> = record
        .steps
        .iter()
        .map(|step| serde_json::to_string(&step.action).unwrap())
        .collect();
    assert_eq!(
        forms,
        [
            r#"{"action":"check_server","server":"server-1"}"#,
            r#"{"action":"check_target"}"#,
            r#"{"action":"protect_group"}"#,
            r#"{"action":"stop_server","server":"server-1"}"#,
            r#"{"action":"replicate_group"}"#,
            r#"{"action":"promote_volume","volume":"id-1-0"}"#,
            r#"{"action":"manage_volume","volume":"id-1-0"}"#,
            r#"{"action":"reserve_ports","server":"server-1"}"#,
            r#"{"action":"complete_ports","server":"server-1"}"#,
            r#"{"action":"recreate_server","server":"server-1"}"#,
            r#"{"action":"confirm_server","server":"server-1"}"#,
            r#"{"action":"restore_power_state","server":"server-1"}"#,
            r#"{"action":"switch_primary"}"#,
            r#"{"action":"delete_source_server","server":"server-1"}"#,
            r#"{"action":"delete_source_volume","volume":"id-1-0"}"#,
            r#"{"action":"release_replicas"}"#,
        ]
    );
    let undo = Step::TakeBack {
        line: Box::new(record.steps[0].action.clone()),
    };
    assert_eq!(
        serde_json::to_string(&undo).unwrap(),
        r#"{"action":"take_back","line":{"action":"check_server","server":"server-1"}}"#
    );
}

#[test]
fn a_plan_that_names_one_interrupted_operation_is_read_as_a_list() {
    let mut plan = serde_json::to_value(plan_of(example()).unwrap()).unwrap();
    assert_eq!(plan.get("interrupted"), None);
    for (written, read) in [
        (serde_json::json!("op-1"), vec!["op-1".into()]),
        (
            serde_json::json!(["op-2", "op-1"]),
            vec!["op-2".into(), "op-1".into()],
        ),
    ] {
        plan["interrupted"] = written;
        let plan: Plan = serde_json::from_value(plan.clone()).unwrap();
        assert_eq!(plan.interrupted, read);
    }
}

fn abort(record: &mut OperationRecord) {
    let id = record.operation.id.to_string();
    record.map.insert(MapKind::Aborted, id, "user-1");
}

#[test]
fn an_abort_turns_a_failover_round_until_it_has_switched() {
    for phase in ["check_source", "recreate_vms", "switch_primary"] {
        let mut record = record(example());
        end_all_before(&mut record, phase);
        abort(&mut record);
        let turned = Next::Unwind {
            error: "aborted by user user-1".to_owned(),
            code: Code::Aborted,
        };
        assert_eq!(schedule::next(&record, noon()), turned, "{phase}");
    }
    let mut record = record(example());
    end_all_before(&mut record, "delete_source_vm");
    abort(&mut record);
    let too_late = NotAbortable::PastThePointOfNoReturn;
    assert_eq!(schedule::abortable(&record), Err(too_late));
    assert!(matches!(schedule::next(&record, noon()), Next::Run(_)));
}

#[test]
fn what_has_ended_or_begun_to_delete_cannot_be_aborted() {
    let mut record = record(example());
    for (state, why) in [
        (OperationState::Completed, NotAbortable::Ended),
        (OperationState::Failed, NotAbortable::Ended),
        (OperationState::AwaitingCleanup, NotAbortable::CopiesAreUp),
    ] {
        record.operation.state = state;
        assert_eq!(schedule::abortable(&record), Err(why));
    }
    record.operation.state = OperationState::Running;
    record.steps.retain(|step| step.verb == Verb::Attempt);
    assert_eq!(schedule::abortable(&record), Ok(()), "nothing has begun");
    record.steps[0].progress.state = StepState::Running;
    assert_eq!(schedule::abortable(&record), Err(NotAbortable::Deletes));
}

/// The example in two tiers, with a pause between them.
fn in_two_tiers() -> OperationRecord {
    let mut record = record(example());
    let plan = &mut record.operation.plan;
    let [first, second] = [Priority::ALL[0], Priority::ALL[1]];
    for (member, priority) in plan.members.iter().zip([first, second]) {
        let recovery = MemberRecovery {
            priority,
            ..MemberRecovery::default()
        };
        plan.recovery.members.insert(member.id.clone(), recovery);
    }
    plan.recovery.pauses = vec![Pause {
        before_priority: second,
        message: "Look at the first one.".into(),
    }];
    record.steps = planned_move(plan).into_steps().unwrap();
    record
}

/// The builds, and the imports below them, that people may have used.
fn served(record: &OperationRecord) -> Vec<&str> {
    let lines = record.steps.iter().filter(|line| {
        matches!(
            line.action,
            Step::RecreateServer { .. } | Step::ManageVolume { .. }
        )
    });
    lines
        .filter(|line| served_while_it_waited(record, line, noon()))
        .map(|line| line.key.as_str())
        .collect()
}

#[test]
fn a_copy_that_was_up_before_a_pause_may_have_been_used() {
    let mut record = in_two_tiers();
    end_all_before(&mut record, "pause");
    assert_eq!(served(&record), Vec::<&str>::new());
    let mut steps = record.steps.iter_mut();
    let pause = steps.find(|step| step.phase_name == "pause").unwrap();
    pause.progress.started_at = Some(noon());
    // Of the second one only the imports are there, which its tenant can attach to any server.
    let there = served(&record);
    let builds: Vec<&&str> = there
        .iter()
        .filter(|key| key.starts_with("recreate_vms"))
        .collect();
    assert_eq!(builds, [&"recreate_vms:web-server-1"]);
    let imports = record.operation.plan.volumes().count();
    assert_eq!(there.len(), builds.len() + imports, "{there:?}");
    // Who gives it up knows that.
    abort(&mut record);
    assert_eq!(served(&record), Vec::<&str>::new());
}

/// Whatever the operation was at: its confirmation, a slow build beside it, the switch.
#[test]
fn a_copy_that_was_up_for_long_may_have_been_used() {
    for (minutes, used) in [(1, false), (60, true)] {
        let mut record = record(example());
        end_all_before(&mut record, "confirm_vms");
        for step in &mut record.steps {
            if step.progress.state == StepState::Done {
                step.progress.finished_at = Some(noon() - TimeDelta::minutes(minutes));
            }
        }
        assert_eq!(!served(&record).is_empty(), used, "{minutes}");
        // That taking back lasts is no reason to stop it.
        let first = record.steps.first_mut().unwrap();
        first.progress.undo_started_at = Some(noon() - TimeDelta::minutes(minutes));
        assert_eq!(served(&record), Vec::<&str>::new());
    }
}

#[test]
fn a_copy_whose_original_is_lost_may_be_in_use_as_soon_as_it_was_asked_for() {
    let mut record = record(example());
    record.operation.planning = Planning::Unplanned;
    record.steps = unplanned_failover(&record.operation.plan)
        .into_steps()
        .unwrap();
    assert_eq!(served(&record), Vec::<&str>::new());
    let is_build = |step: &&mut StepRecord| matches!(step.action, Step::RecreateServer { .. });
    let build = record.steps.iter_mut().find(is_build).unwrap();
    build.progress.memo.intents = 1;
    let built = build.key.clone();
    assert!(served(&record).contains(&built.as_str()));
    abort(&mut record);
    assert_eq!(served(&record), Vec::<&str>::new());
}
