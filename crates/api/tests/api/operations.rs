//! Operations and their cleanup.

use std::sync::atomic::Ordering;

use http::Method;
use protector_core::{
    clock::Clock,
    fault::Code,
    group::GroupStatus,
    id::{EngineId, OperationId},
    journal::{Claim, Effect, Entry, Journal, OperationChange},
    operation::{OperationState, StepProgress, StepState},
    runbook::BOOK_VERSION,
};
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, PROJECT_A, WEB},
    house::{Answer, House, failover_body, group_path},
};

async fn start(house: &House) -> OperationId {
    let path = group_path("web", "/action");
    let started = house
        .send(Method::POST, &path, "member", failover_body())
        .await
        .expect(202);
    started.body["operation"]["id"].as_str().unwrap().into()
}

async fn claim(house: &House) -> Claim {
    let lease = std::time::Duration::from_secs(60);
    let claims = house
        .database
        .claim(
            &EngineId::new("e"),
            FixedClock.now(),
            lease,
            BOOK_VERSION,
            1,
        )
        .await
        .unwrap();
    claims.into_iter().next().unwrap()
}

/// Ends the newest operation as an engine would: every line done, but those whose key begins with a word of `failed`.
async fn settle(house: &House, failed: &[&str]) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let steps = record
        .steps
        .iter()
        .map(|step| {
            let bad = failed.iter().any(|word| step.key.starts_with(word));
            let progress = StepProgress {
                state: if bad {
                    StepState::Failed
                } else {
                    StepState::Done
                },
                error: bad.then(|| "Cinder timeout after 300s".to_owned()),
                error_code: bad.then_some(Code::Timeout),
                started_at: Some(now),
                finished_at: Some(now),
                ..StepProgress::default()
            };
            (step.position, progress)
        })
        .collect();
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps,
        effects: vec![],
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: now,
        }),
        ..Entry::default()
    };
    for entry in [started, ended] {
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

async fn cleanup(house: &House, id: &OperationId, token: &str) -> Answer {
    let path = format!("/v1/{PROJECT_A}/operations/{id}/cleanup");
    house
        .send(Method::POST, &path, token, json!({"cleanup": {}}))
        .await
}

async fn show(house: &House, id: &OperationId) -> Value {
    let path = format!("/v1/{PROJECT_A}/operations/{id}");
    house.get(&path, "reader").await.expect(200).body["operation"].clone()
}

#[tokio::test]
async fn a_record_has_the_contracts_form() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle(&house, &["delete_source_volume:vol-data-ws1"]).await;
    let operation = show(&house, &id).await;
    assert_eq!(operation["status"], "completed");
    assert_eq!(operation["progress"], 100);
    assert_eq!(operation["started_at"], "2025-11-03T14:00:00Z");
    assert_eq!(operation["completed_at"], "2025-11-03T14:00:00Z");
    assert_eq!(
        operation["steps_completed"],
        json!([
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "delete_source_vm:web-server-1",
            "delete_source_volume:vol-boot-ws1"
        ])
    );
    assert_eq!(
        operation["steps_failed"],
        json!([{
            "step": "delete_source_volume:vol-data-ws1",
            "error": "Cinder timeout after 300s",
            "resource_id": "vol-data-ws1"
        }])
    );
    assert_eq!(operation["error"], json!(null));
    assert!(operation.get("steps").is_none());
}

#[tokio::test]
async fn other_projects_operations_do_not_exist() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    let path = format!("/v1/{}/operations/{id}", crate::fakes::OTHER_PROJECT);
    let answer = house.get(&path, "other").await.expect(404);
    assert_eq!(answer.key(), "itemNotFound");
    let path = format!("/v1/{PROJECT_A}/operations/{id}");
    house.get(&path, "").await.expect(401);
    house.get(&path, "other").await.expect(403);
}

#[tokio::test]
async fn operations_are_filtered_and_paged() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle(&house, &["delete_source_volume"]).await;
    let cleaning = cleanup(&house, &id, "member").await.expect(202);
    let child = cleaning.body["operation"]["id"].as_str().unwrap();
    let list = async |query: &str| -> Vec<String> {
        let path = format!("/v1/{PROJECT_A}/operations{query}");
        let listed = house.get(&path, "reader").await.expect(200);
        let operations = listed.body["operations"].as_array().unwrap().clone();
        operations
            .iter()
            .map(|operation| operation["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("").await.len(), 2);
    assert_eq!(
        list("?protection_group=web&status=completed").await,
        [id.as_str()]
    );
    assert_eq!(list("?operation_type=cleanup").await, [child]);
    assert_eq!(list("?status=pending").await, [child]);
    assert_eq!(list("?status=running").await, [child]);
    assert!(list("?protection_group=nothing").await.is_empty());
    let path = format!("/v1/{PROJECT_A}/operations?limit=1");
    let first = house.get(&path, "reader").await.expect(200);
    let next = first.body["operations_links"][0]["href"].as_str().unwrap();
    let second = house.get(next, "reader").await.expect(200);
    assert_ne!(
        first.body["operations"][0]["id"],
        second.body["operations"][0]["id"]
    );
    let path = format!("/v1/{PROJECT_A}/operations?status=glorious");
    house.get(&path, "reader").await.expect(400);
}

#[tokio::test]
async fn cleanup_takes_up_what_failed() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle(&house, &["delete_source_volume:vol-data-ws1"]).await;
    cleanup(&house, &id, "reader").await.expect(403);
    cleanup(&house, &id, "").await.expect(401);
    let started = cleanup(&house, &id, "member").await.expect(202);
    let operation = &started.body["operation"];
    assert_eq!(operation["operation_type"], "cleanup");
    assert_eq!(operation["parent_operation_id"], id.as_str());
    let expected = json!({
        "skipped": 5, "retained": false, "steps": ["delete_source_volume:vol-data-ws1"]
    });
    assert_eq!(operation["cleanup"], expected);
    assert_eq!(started.body["cleanup"], expected);
    let child: OperationId = operation["id"].as_str().unwrap().into();
    assert!(started.header("location").ends_with(child.as_str()));

    let again = cleanup(&house, &id, "member").await.expect(409);
    assert!(
        again.message().contains(child.as_str()),
        "{}",
        again.message()
    );
    settle(&house, &[]).await;
    let nested = cleanup(&house, &child, "member").await.expect(409);
    assert!(
        nested.message().contains(id.as_str()),
        "{}",
        nested.message()
    );
}

#[tokio::test]
async fn nothing_left_is_said_at_once() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle(&house, &[]).await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let answer = cleanup(&house, &id, "member").await.expect(200);
    assert_eq!(
        answer.body,
        json!({"operation": null, "cleanup": {"skipped": 6, "retained": false, "steps": []}})
    );
}

#[tokio::test]
async fn cleanup_is_refused_with_the_contracts_words() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    let early = cleanup(&house, &id, "member").await.expect(409);
    assert_eq!(
        early.message(),
        "Operation not in completed state: the operation must be completed or failed, it is running"
    );
    settle(&house, &["delete_source_vm"]).await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let alone = cleanup(&house, &id, "member").await.expect(409);
    assert_eq!(
        alone.message(),
        "Remote site unreachable — metadata sync required"
    );
    cleanup(&house, &"op-nothing".into(), "member")
        .await
        .expect(404);
}

/// Ends the newest operation as one that could not start its server again, with the group in `status`.
async fn leave_stopped(house: &House, status: GroupStatus) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let stopped = StepProgress {
        state: StepState::UndoFailed,
        error: Some("Nova timeout after 600s".to_owned()),
        ..StepProgress::default()
    };
    let steps = record
        .steps
        .iter()
        .filter(|step| step.key.starts_with("stop_source_vms"))
        .map(|step| (step.position, stopped.clone()))
        .collect();
    let entry = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Failed,
            at: now,
        }),
        steps,
        effects: vec![Effect::GroupStatus {
            group_id: record.operation.group_id,
            status,
        }],
    };
    house.database.record(&claim, now, entry).await.unwrap();
}

#[tokio::test]
async fn a_cleanup_starts_stopped_servers_of_a_group_in_error() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    leave_stopped(&house, GroupStatus::Error).await;
    let answer = cleanup(&house, &id, "member").await.expect(202);
    assert_eq!(
        answer.body["cleanup"]["steps"],
        json!(["undo:stop_source_vms:web-server-1"])
    );
}

#[tokio::test]
async fn a_cleanup_starts_nothing_behind_a_group_that_went_on() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    leave_stopped(&house, GroupStatus::FailedOver).await;
    let answer = cleanup(&house, &id, "member").await.expect(409);
    assert!(
        answer.message().contains("may run elsewhere by now"),
        "{}",
        answer.message()
    );
}
