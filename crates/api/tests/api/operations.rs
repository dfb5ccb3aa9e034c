//! Operations and their cleanup.

use std::sync::atomic::Ordering;

use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    journal::{Effect, Entry, Journal, OperationChange},
    operation::{OperationState, StepProgress, StepState},
};
use serde_json::{Value, json};

use crate::{
    engine::{claim, cleanup, settle, start},
    fakes::{FixedClock, PROJECT_A, WEB},
    house::House,
};

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
    house.get(&path, "other").await.expect(404);
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
    assert_eq!(list("?leftovers=true").await, [id.as_str()]);
    assert_eq!(list("?leftovers=false").await.len(), 2);
    let path = format!("/v1/{PROJECT_A}/operations?protection_group=typo");
    let unknown = house.get(&path, "reader").await.expect(404);
    assert_eq!(
        unknown.message(),
        "No protection group or operation of one is named typo."
    );
    let path = format!("/v1/{PROJECT_A}/operations?limit=1");
    let first = house.get(&path, "reader").await.expect(200);
    let next = first.body["operations_links"][0]["href"].as_str().unwrap();
    let second = house.get(next, "reader").await.expect(200);
    assert_ne!(
        first.body["operations"][0]["id"],
        second.body["operations"][0]["id"]
    );
    let path = format!("/v1/{PROJECT_A}/operations?status=glorious");
    let wrong = house.get(&path, "reader").await.expect(400);
    assert_eq!(
        wrong.message(),
        "status: must be one of 'pending', 'running', 'completed', 'failed', not 'glorious'."
    );
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
        "skipped": 5, "retained": [], "steps": ["delete_source_volume:vol-data-ws1"],
        "delete_running": [], "floating_ips": [],
        "leftovers": [{
            "step": "delete_source_volume:vol-data-ws1",
            "resource_type": "volume", "resource_id": "vol-data-ws1", "name": "vol-data-ws1",
            "site": "site-a", "project_id": PROJECT_A, "size_gib": 1,
            "reason": "failed", "error": "Cinder timeout after 300s", "error_code": "PRT-TIMEOUT",
            "since": "2025-11-03T14:00:00Z",
            "command": "openstack --os-cloud site-a volume delete vol-data-ws1",
        }],
    });
    assert_eq!(operation["cleanup"], expected);
    assert_eq!(started.body["cleanup"], expected);
    let child: OperationId = operation["id"].as_str().unwrap().into();
    assert!(started.header("location").ends_with(child.as_str()));

    let again = cleanup(&house, &id, "member").await.expect(409);
    assert_eq!(
        again.message(),
        format!(
            "Operation {id} is being cleaned up by operation {child}, which user user-1 asked for at 2025-11-03T14:00:00Z and which is running; watch it with 'openstack dr operation show {child}'."
        )
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
        json!({"operation": null, "cleanup": {
            "skipped": 6, "retained": [], "steps": [], "leftovers": [], "floating_ips": [], "delete_running": []
        }})
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
        ..Entry::default()
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
