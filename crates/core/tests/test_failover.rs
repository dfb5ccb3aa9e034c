//! The runbooks of a test failover and of its cleanup: what they do in which order, how they show, how they end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use chrono::{DateTime, TimeZone, Utc};
use protector_core::{
    fault::Code,
    fixtures,
    id::{OperationId, ProjectId},
    journal::Effect,
    member::{Member, ProtectedVolume},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap, StepState,
        progress, steps_completed, steps_failed,
    },
    plan::Plan,
    runbook::{
        Step, Verb,
        cleanup::cleanup_of,
        test_cleanup::{LEFT_FOR_INSPECTION, TestCopies, test_cleanup},
        test_failover::test_failover,
    },
    schedule::{self, Next},
};

fn noon() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap()
}

fn member(name: &str, volumes: &[&str]) -> Member {
    Member {
        volumes: volumes
            .iter()
            .map(|volume| ProtectedVolume {
                name: (*volume).into(),
                ..fixtures::volume(&format!("id-of-{volume}"))
            })
            .collect(),
        created_at: noon(),
        updated_at: noon(),
        ..fixtures::member(name)
    }
}

fn test_record() -> OperationRecord {
    let plan = fixtures::plan(vec![
        member("web-server-1", &["vol-boot-ws1", "vol-data-ws1"]),
        member("db-server", &["vol-boot-db"]),
    ]);
    let steps = test_failover(&plan).into_steps().unwrap();
    let mut map = ResourceMap::default();
    for member in &plan.members {
        map.insert(
            MapKind::Server,
            member.server_id.as_str(),
            format!("copy-of-{}", member.name),
        );
    }
    for (_, volume) in plan.volumes() {
        map.insert(
            MapKind::Volume,
            volume.id.as_str(),
            format!("copy-of-{}", volume.name),
        );
    }
    OperationRecord {
        operation: operation("op-4", OperationKind::TestFailover, None, plan),
        steps,
        map,
    }
}

fn operation(id: &str, kind: OperationKind, parent: Option<&str>, plan: Plan) -> Operation {
    Operation {
        project_id: ProjectId::new("project-site-a"),
        parent_id: parent.map(OperationId::from),
        state: OperationState::Running,
        created_at: noon(),
        ..fixtures::operation(id, kind, plan)
    }
}

fn cleanup_record(copies: TestCopies) -> OperationRecord {
    let test = test_record();
    OperationRecord {
        steps: test_cleanup(&test, copies, noon()).unwrap(),
        operation: operation(
            "op-5",
            OperationKind::TestCleanup,
            Some("op-4"),
            test.operation.plan,
        ),
        map: test.map,
    }
}

fn keys(record: &OperationRecord) -> Vec<&str> {
    record.steps.iter().map(|step| step.key.as_str()).collect()
}

fn end_all(record: &mut OperationRecord) {
    for step in &mut record.steps {
        step.progress.state = StepState::Done;
    }
}

#[test]
fn no_line_of_a_test_failover_or_its_cleanup_changes_the_source() {
    let (test, cleanup) = (test_record(), cleanup_record(TestCopies::Delete));
    for step in test.steps.iter().chain(&cleanup.steps) {
        let on_target = matches!(
            step.action,
            Step::CheckTarget
                | Step::ChooseRecoveryPoint
                | Step::CloneVolume { .. }
                | Step::ManageVolume { .. }
                | Step::ReservePorts { .. }
                | Step::CompletePorts { .. }
                | Step::RecreateServer { .. }
                | Step::ConfirmServer { .. }
                | Step::ReleaseReplicas
                | Step::DeleteTestServer { .. }
                | Step::DeleteTestVolume { .. }
        );
        assert!(on_target, "{}", step.key);
    }
}

#[test]
fn a_test_failover_awaits_its_cleanup_when_its_copies_are_up() {
    let mut test = test_record();
    end_all(&mut test);
    let up = OperationState::AwaitingCleanup;
    assert_eq!(schedule::next(&test, noon()), Next::Settle(up));
    assert_eq!(up.status(), "running");
    assert!(!up.is_terminal() && !up.is_walked());
    assert_eq!(progress(up, &test.steps), 99);
    assert_eq!(
        steps_completed(&test.steps),
        ["clone_volumes", "manage_volumes", "recreate_vms"]
    );
    let effect = schedule::effect_at_end(&test.operation, &test.steps, up);
    assert_eq!(effect, None, "its group stays as it is");
}

#[test]
fn a_test_failover_that_fails_is_taken_back_and_leaves_its_group_alone() {
    let mut test = test_record();
    end_all(&mut test);
    let build = test
        .steps
        .iter_mut()
        .find(|step| step.phase_name == "recreate_vms")
        .unwrap();
    build.progress.state = StepState::Failed;
    build.progress.error = Some("No valid host was found.".into());
    assert!(matches!(schedule::next(&test, noon()), Next::Unwind { .. }));
    let effect = schedule::effect_at_end(&test.operation, &test.steps, OperationState::Failed);
    assert_eq!(effect, None);
}

#[test]
fn what_could_not_be_taken_back_is_left_for_a_cleanup_in_the_right_order() {
    let mut test = test_record();
    for step in &mut test.steps {
        step.progress.state = match step.phase_name.as_str() {
            "clone_volumes" | "manage_volumes" => StepState::UndoFailed,
            _ => StepState::Undone,
        };
    }
    let lines = cleanup_of(&test);
    assert_eq!(lines.len(), 6);
    assert!(lines[0].key.starts_with("undo:manage_volumes:"));
    let clone = lines
        .iter()
        .find(|line| line.key == "undo:clone_volumes:vol-data-ws1")
        .unwrap();
    let import = lines
        .iter()
        .find(|line| line.key == "undo:manage_volumes:vol-data-ws1")
        .unwrap();
    assert_eq!(clone.after, [import.position], "Cinder lets go first");
}

#[test]
fn a_test_cleanup_deletes_servers_then_their_volumes_by_the_copies_ids() {
    let cleanup = cleanup_record(TestCopies::Delete);
    assert_eq!(
        keys(&cleanup),
        [
            "delete_test_vm:web-server-1",
            "delete_test_vm:db-server",
            "delete_test_volume:vol-boot-ws1",
            "delete_test_volume:vol-data-ws1",
            "delete_test_volume:vol-boot-db",
        ]
    );
    let ids: Vec<_> = cleanup
        .steps
        .iter()
        .map(|step| step.resource_id.as_deref().unwrap())
        .collect();
    assert_eq!(ids[0], "copy-of-web-server-1");
    assert_eq!(ids[3], "copy-of-vol-data-ws1");
    assert!(cleanup.steps.iter().all(|step| step.verb == Verb::Attempt));
    assert_eq!(cleanup.steps[2].after, [0]);
    assert_eq!(cleanup.steps[4].after, [1], "each after its own server");
}

#[test]
fn a_test_cleanup_completes_its_test_failover_whatever_it_had_to_leave() {
    let mut cleanup = cleanup_record(TestCopies::Delete);
    end_all(&mut cleanup);
    cleanup.steps[4].progress.state = StepState::Failed;
    cleanup.steps[4].progress.error = Some("Cinder timeout after 300s".into());
    let completed = OperationState::Completed;
    assert_eq!(schedule::next(&cleanup, noon()), Next::Settle(completed));
    let effect = schedule::effect_at_end(&cleanup.operation, &cleanup.steps, completed);
    assert_eq!(
        effect,
        Some(Effect::ParentCompleted {
            operation_id: "op-4".into()
        })
    );
    let failed = steps_failed(&cleanup.steps);
    assert_eq!(
        failed[0].resource_id.as_deref(),
        Some("copy-of-vol-boot-db")
    );
    let left = cleanup_of(&cleanup);
    assert_eq!(left.len(), 1);
    let Step::DeleteTestVolume { test, .. } = &left[0].action else {
        panic!("{:?}", left[0].action);
    };
    assert_eq!(
        test.as_str(),
        "op-4",
        "the maker is known to the line itself"
    );
}

#[test]
fn copies_left_for_inspection_are_skipped_at_once_and_cleaned_up_later() {
    let cleanup = cleanup_record(TestCopies::LeaveForInspection);
    for step in &cleanup.steps {
        assert_eq!(step.progress.state, StepState::Skipped);
        assert_eq!(step.progress.error.as_deref(), Some(LEFT_FOR_INSPECTION));
        assert_eq!(step.progress.error_code, Some(Code::Kept));
    }
    assert_eq!(progress(OperationState::Queued, &cleanup.steps), 0);
    assert_eq!(
        schedule::next(&cleanup, noon()),
        Next::Settle(OperationState::Completed)
    );
    assert_eq!(steps_failed(&cleanup.steps), vec![]);
    let left = cleanup_of(&cleanup);
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|step| step.progress.error.is_none()));
}

#[test]
fn stored_steps_keep_their_form() {
    let forms: Vec<String> = [Step::ChooseRecoveryPoint, Step::ReleaseReplicas]
        .into_iter()
        .chain([
            Step::CloneVolume { volume: "v".into() },
            Step::DeleteTestServer {
                test: "op-4".into(),
                server: "s".into(),
            },
            Step::DeleteTestVolume {
                test: "op-4".into(),
                volume: "v".into(),
            },
        ])
        .map(|step| serde_json::to_string(&step).unwrap())
        .collect();
    assert_eq!(
        forms,
        [
            r#"{"action":"choose_recovery_point"}"#,
            r#"{"action":"release_replicas"}"#,
            r#"{"action":"clone_volume","volume":"v"}"#,
            r#"{"action":"delete_test_server","test":"op-4","server":"s"}"#,
            r#"{"action":"delete_test_volume","test":"op-4","volume":"v"}"#,
        ]
    );
    let state = serde_json::to_string(&OperationState::AwaitingCleanup).unwrap();
    assert_eq!(state, r#""awaiting_cleanup""#);
}
