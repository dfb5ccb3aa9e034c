//! A person deletes the original and its volumes while the move of it is under way, or has failed: what was promoted of them is
//! the last copy.

use protector_core::operation::{OperationRecord, OperationState, StepState};
use protector_simcloud::{cloud::CallEffect, in_process::lock};
use serde_json::Value;

use super::{
    fixture::Fixture,
    source_at_rest::{fault, has_begun},
};

const DISCARD: &str = "undo:promote_volumes:vm-001-data-1";
const UNMANAGE: &str = "undo:manage_volumes:vm-001-data-1";

/// Deletes the server when `phase` has begun, and its volumes as soon as nothing holds them.
fn deleting(phase: &'static str) -> impl FnMut(&Fixture, &OperationRecord) {
    let (mut server, mut volumes) = (false, false);
    move |fixture, record| {
        let free = |id: &String| {
            fixture
                .volume_facts(id)
                .is_some_and(|it| it.status == "available")
        };
        if !server && has_begun(record, phase) {
            let url = format!("compute /servers/{}", fixture.server);
            fixture.at_once("demo", "DELETE", &url, &Value::Null);
            server = true;
        }
        let ids = [fixture.boot.clone(), fixture.data.clone()];
        if server && !volumes && ids.iter().all(free) {
            for id in ids {
                let url = format!("volumev3 /volumes/{id}");
                fixture.at_once("demo", "DELETE", &url, &Value::Null);
            }
            volumes = true;
        }
    }
}

fn of_line<'a>(record: &'a OperationRecord, key: &str) -> (StepState, &'a str) {
    let step = record.steps.iter().find(|step| step.key == key).unwrap();
    let why = step.progress.error.as_deref();
    (step.progress.state, why.unwrap_or_default())
}

/// A failover whose original is deleted, with its volumes, while the imports take their time.
async fn moved_while_all_is_deleted() -> (Fixture, OperationRecord) {
    Fixture::moved_among(
        |fixture| {
            let delay = CallEffect::Delay { seconds: 20.0 };
            fault(&fixture.target, "GET", "*/volumes/*", delay);
        },
        deleting("manage_volumes"),
    )
    .await
}

fn imports(fixture: &Fixture) -> usize {
    lock(&fixture.target).volumes().len()
}

#[tokio::test(start_paused = true)]
async fn what_was_promoted_of_an_original_that_is_gone_by_then_is_not_taken_back() {
    let (mut fixture, record) = moved_while_all_is_deleted().await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert!(!fixture.has_volume(&fixture.boot) && !fixture.has_volume(&fixture.data));
    let (state, why) = of_line(&record, "manage_volumes:vm-001-data-1");
    assert_eq!(state, StepState::UndoFailed);
    for said in [
        &format!("({}) on site-a", fixture.data),
        "this may be the last copy",
        "openstack dr operation adopt op-",
        "--delete-running vm-001",
    ] {
        assert!(why.contains(said), "{said} is not in {why}");
    }
    assert_eq!(imports(&fixture), 2);
    lock(&fixture.target).clear_faults();
    // As often as it is asked for.
    for _ in 0..2 {
        let ended = fixture.cleanup().await;
        assert!(
            ended
                .failure(UNMANAGE)
                .contains("this may be the last copy")
        );
        assert!(ended.failure(DISCARD).contains("kept"));
        assert_eq!(imports(&fixture), 2);
    }
    fixture.delete_running.push(fixture.server.clone());
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(imports(&fixture), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_is_it_by_hand_when_the_original_was_deleted_after_the_failover_had_failed() {
    let mut fixture = Fixture::stuck().await;
    let url = format!("compute /servers/{}", fixture.server);
    fixture.at_once("demo", "DELETE", &url, &Value::Null);
    fixture.a_while().await;
    let there = imports(&fixture);
    assert!(there > 0);
    for id in [&fixture.boot, &fixture.data] {
        let url = format!("volumev3 /volumes/{id}");
        fixture.at_once("demo", "DELETE", &url, &Value::Null);
    }
    fixture.a_while().await;
    let ended = fixture.cleanup().await;
    assert!(
        ended
            .failure(UNMANAGE)
            .contains("this may be the last copy")
    );
    assert_eq!(imports(&fixture), there);
    fixture.delete_running.push(fixture.server.clone());
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(imports(&fixture), 0);
}
