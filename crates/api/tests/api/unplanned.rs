//! Starting unplanned failovers, retries and fences; what a failover would do.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use http::Method;
use protector_core::{
    clock::Clock,
    operation::{MapKind, OperationKind, OperationRecord, Planning, StepState},
    runbook::{Step, unplanned_failover::unplanned_failover},
    storage::{PromotionKind, RecoveryPoint},
};
use protector_store::NewOperation;
use serde_json::{Value, json};

use crate::{
    engine,
    fakes::{FixedClock, WEB},
    house::{Answer, House, failover_body, group_path},
    site_failover::arrive,
};

async fn act(house: &House, token: &str, body: Value) -> Answer {
    let path = group_path("web", "/action");
    house.send(Method::POST, &path, token, body).await
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_done_and_starts_nothing() {
    let house = House::with_member(WEB).await;
    let asked =
        json!({"failover": {"type": "planned", "dry_run": true, "retain_source_volumes": true}});
    let shown = act(&house, "member", asked).await.expect(200);
    assert_eq!(shown.body["operation"], json!(null));
    let preview = &shown.body["preview"];
    assert_eq!(preview["type"], "planned");
    assert_eq!(preview["source_site"], "site-a");
    assert_eq!(preview["target_site"], "site-b");
    assert_eq!(preview["retain_source_volumes"], true);
    assert_eq!(preview["recovery_point"], json!(null));
    assert_eq!(preview["members"][0]["name"], "web-server-1");
    let steps = preview["steps"].as_array().unwrap();
    let [.., deletion, release] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    let deletion = deletion.as_str().unwrap();
    assert!(deletion.starts_with("delete_source_volume:"), "{deletion}");
    assert_eq!(release, "release_replicas");
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
    act(&house, "member", failover_body()).await.expect(202);
}

#[tokio::test]
async fn a_dry_run_is_refused_where_the_real_one_is() {
    let house = House::with_member(WEB).await;
    let failback = json!({"failback": {"dry_run": true}});
    let refused = act(&house, "member", failback).await.expect(409);
    let text = refused.message();
    assert!(text.contains("failback starts from failed_over"), "{text}");
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let asked = json!({"failover": {"type": "planned", "dry_run": true}});
    let refused = act(&house, "member", asked).await.expect(409);
    assert!(refused.message().contains("Remote site unreachable"));
    let asked = json!({"failover": {"type": "planned", "dry_run": true}});
    act(&house, "reader", asked).await.expect(403);
}

#[tokio::test]
async fn an_unplanned_failover_is_refused_on_the_site_that_it_leaves() {
    let house = House::with_member(WEB).await;
    for dry_run in [true, false] {
        let asked = json!({"failover": {"type": "unplanned", "dry_run": dry_run}});
        let refused = act(&house, "member", asked).await.expect(409);
        let text = refused.message();
        assert!(
            text.contains("is started on site-b, where it goes"),
            "{text}"
        );
    }
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
}

#[tokio::test]
async fn a_retry_and_a_fence_start_only_after_an_unplanned_failover() {
    let house = House::with_member(WEB).await;
    for (action, from) in [
        (
            json!({"retry": {}}),
            "retry starts from active_partial or failed_over_partial",
        ),
        (json!({"fence": null}), "has nothing to fence"),
    ] {
        act(&house, "reader", action.clone()).await.expect(403);
        let refused = act(&house, "member", action).await.expect(409);
        assert!(refused.message().contains(from), "{}", refused.message());
    }
    let bad = json!({"retry": {"network_mapping": {"x": "y"}}});
    let refused = act(&house, "member", bad).await.expect(400);
    let text = refused.message();
    assert!(text.starts_with("retry.network_mapping"), "{text}");
}

#[tokio::test]
async fn what_an_unplanned_failover_left_is_known_however_many_operations_came_after_it() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    arrive(&house).await;
    let planned = house.database.operation_show_by_id(&id).await.unwrap();
    insert(&house, &lost(&planned)).await;
    for number in 2..=230 {
        insert(&house, &replication(&planned, number)).await;
    }
    let network = "7a3f2c11-0001-4b22-a918-00000000000a";
    let asked = json!({"failback": {"dry_run": true, "network_mapping": {network: network}}});
    let refused = act(&house, "member", asked).await.expect(409);
    let text = refused.message();
    assert!(
        text.contains("unplanned failover op-unplanned left them"),
        "{text}"
    );
    let check = house.get(&group_path("web", "/check"), "reader").await;
    let findings = check.body["check"]["findings"].as_array().unwrap();
    let same = |finding: &Value| finding["status"] == "error" && finding["message"] == text;
    assert!(findings.iter().any(same), "{findings:#?}");
    act(&house, "member", json!({"fence": null}))
        .await
        .expect(202);
}

#[tokio::test]
async fn a_fence_waits_for_a_move_of_the_other_site_and_not_for_one_that_is_silent() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    arrive(&house).await;
    let planned = house.database.operation_show_by_id(&id).await.unwrap();
    insert(&house, &lost(&planned)).await;
    let peer = &house.outside.peer;
    *peer.moving.lock().unwrap() = Some("op-failback".into());
    let refused = act(&house, "member", json!({"fence": null})).await;
    let refused = refused.expect(409);
    let text = refused.message();
    assert!(
        text.contains("moves protection group web at this moment, with operation op-failback"),
        "{text}"
    );
    peer.turns_away.store(true, Ordering::SeqCst);
    let refused = act(&house, "member", json!({"fence": null})).await;
    let refused = refused.expect(409);
    let text = refused.message();
    assert!(
        text.contains("who are you?") && text.contains("peer_user_ids"),
        "{text}"
    );
    peer.away.store(true, Ordering::SeqCst);
    act(&house, "member", json!({"fence": null}))
        .await
        .expect(202);
}

/// A fence closes what a failover has left, and a cleanup makes it a replica: both take no writes.
#[tokio::test]
async fn what_a_fence_has_closed_is_no_replica_of_what_runs() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    arrive(&house).await;
    let arrays = &house.outside.arrays;
    *arrays.promotion.lock().unwrap() = PromotionKind::InPlace;
    arrays.closed.store(true, Ordering::SeqCst);
    let mut planned = house.database.operation_show_by_id(&id).await.unwrap();
    planned.operation.plan.promotion = PromotionKind::InPlace;
    let failover = lost(&planned);
    insert(&house, &failover).await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let network = "7a3f2c11-0001-4b22-a918-00000000000a";
    let mapping = json!({network: network});
    let asked =
        json!({"failback": {"type": "unplanned", "dry_run": true, "network_mapping": mapping}});
    let point = |minutes: i64| RecoveryPoint {
        id: "point".into(),
        taken_at: failover.operation.created_at + TimeDelta::minutes(minutes),
    };
    for points in [vec![], vec![point(-5)]] {
        *arrays.points.lock().unwrap() = points;
        let refused = act(&house, "member", asked.clone()).await.expect(409);
        let text = refused.message();
        assert!(
            text.contains("of 2 of its volumes is not a replica"),
            "{text}"
        );
        assert!(
            text.contains("an administrator of the arrays opens them"),
            "{text}"
        );
    }
    *arrays.points.lock().unwrap() = vec![point(5)];
    act(&house, "member", asked).await.expect(200);
}

/// An unplanned failover of the same members, which has left them on the source.
fn lost(planned: &OperationRecord) -> OperationRecord {
    let mut record = later(planned, 1);
    record.operation.id = "op-unplanned".into();
    record.operation.planning = Planning::Unplanned;
    record.steps = unplanned_failover(&record.operation.plan)
        .into_steps()
        .unwrap();
    for member in &planned.operation.plan.members {
        let server = member.server_id.as_str();
        record.map.insert(MapKind::Server, server, "its-copy");
    }
    for step in &mut record.steps {
        step.progress.state = match step.action {
            Step::LeaveSourceServer { .. }
            | Step::LeaveSourceVolume { .. }
            | Step::LeaveReplica { .. } => StepState::Failed,
            _ => StepState::Done,
        };
    }
    record
}

fn replication(planned: &OperationRecord, number: i64) -> OperationRecord {
    let mut record = later(planned, number);
    record.operation.id = format!("op-sync-{number}").as_str().into();
    record.operation.kind = OperationKind::Sync;
    record.steps.clear();
    record
}

fn later(planned: &OperationRecord, minutes: i64) -> OperationRecord {
    let mut record = planned.clone();
    record.operation.created_at += TimeDelta::minutes(minutes);
    record
}

async fn insert(house: &House, record: &OperationRecord) {
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[],
        group: None,
    };
    let inserted = house.database.operation_insert(&new, FixedClock.now());
    inserted.await.unwrap();
}

#[tokio::test]
async fn a_planned_failover_has_no_recovery_point_of_its_own_choice_and_loses_nothing() {
    let house = House::with_member(WEB).await;
    let started = act(&house, "member", failover_body()).await.expect(202);
    let operation = &started.body["operation"];
    assert_eq!(operation["recovery_point"], json!(null));
    assert_eq!(operation["data_loss_seconds"], json!(null));
    assert_eq!(started.body.get("preview"), None);
    engine::settle(&house, &[]).await;
}
