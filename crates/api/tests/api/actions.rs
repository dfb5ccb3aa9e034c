//! Starting a failover.

use std::{sync::atomic::Ordering, time::Duration};

use http::Method;
use protector_core::storage::Pending;
use serde_json::{Value, json};

use crate::{
    fakes::{DB, NET_A, NET_B, PROJECT_A, WEB},
    house::{Answer, House, failover_body, group_path},
};

async fn act(house: &House, token: &str, body: Value) -> Answer {
    let path = group_path("web", "/action");
    house.send(Method::POST, &path, token, body).await
}

#[tokio::test]
async fn a_planned_failover_is_queued_with_its_whole_runbook() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    let started = act(&house, "member", failover_body()).await.expect(202);
    let operation = &started.body["operation"];
    let id = operation["id"].as_str().unwrap();
    assert!(id.starts_with("op-"));
    assert_eq!(operation["operation_type"], "failover");
    assert_eq!(operation["status"], "running");
    assert_eq!(operation["phase"], "queued");
    assert_eq!(operation["progress"], 0);
    assert_eq!(operation["source_site"], "site-a");
    assert_eq!(operation["target_site"], "site-b");
    assert_eq!(operation["steps_completed"], json!([]));
    assert_eq!(operation["steps_failed"], json!([]));
    assert_eq!(operation["protection_group"], "web");
    assert_eq!(
        operation["request_id"],
        started.header("x-openstack-request-id")
    );
    let location = format!("/v1/{PROJECT_A}/operations/{id}");
    assert_eq!(started.header("location"), location);
    let detailed = house
        .get(&format!("{location}?detail=true"), "reader")
        .await
        .expect(200);
    let keys: Vec<&str> = detailed.body["operation"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["key"].as_str().unwrap())
        .collect();
    assert!(keys.contains(&"promote_volumes:vol-boot-ws1"), "{keys:?}");
    assert_eq!(
        keys[keys.len() - 2..],
        ["delete_source_volume:vol-data-ws1", "release_replicas"]
    );
    let group = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    assert_eq!(group.body["protection_group"]["status"], "failing_over");
}

#[tokio::test]
async fn readers_and_nobody_start_nothing() {
    let house = House::with_member(WEB).await;
    act(&house, "reader", failover_body()).await.expect(403);
    act(&house, "", failover_body()).await.expect(401);
}

#[tokio::test]
async fn a_failover_needs_members_a_policy_and_the_other_site() {
    let house = House::with_group().await;
    let answer = act(&house, "member", failover_body()).await.expect(409);
    assert!(
        answer.message().contains("no members"),
        "{}",
        answer.message()
    );
    house.add(WEB).await.expect(201);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let answer = act(&house, "member", failover_body()).await.expect(409);
    assert_eq!(
        answer.message(),
        "Remote site unreachable — metadata sync required"
    );
    house.outside.peer.away.store(false, Ordering::SeqCst);
    house
        .delete(&group_path("web", "/policy"), "member")
        .await
        .expect(204);
    let answer = act(&house, "member", failover_body()).await.expect(409);
    assert!(
        answer.message().contains("no replication policy"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn a_mapping_given_with_the_call_stands_for_this_operation_only() {
    let house = House::with_member(WEB).await;
    let none = json!({"resource_mappings": {"network_mapping": {}}});
    house
        .send(
            Method::PUT,
            &group_path("web", "/resource-mappings"),
            "member",
            none,
        )
        .await
        .expect(200);
    let body = json!({"failover": {"type": "planned", "network_mapping": {NET_A: NET_B}, "retain_source_volumes": true}});
    let started = act(&house, "member", body).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = house
        .database
        .operation_show_by_id(&id.into())
        .await
        .unwrap();
    assert_eq!(record.operation.plan.mappings.networks[NET_A], NET_B);
    assert!(record.operation.plan.retain_source_volumes);
    let stored = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap();
    assert!(stored.group.mappings.networks.is_empty());
}

#[tokio::test]
async fn a_body_has_exactly_one_action() {
    let house = House::with_member(WEB).await;
    for body in [
        json!({}),
        json!({"failover": {"type": "planned"}, "sync": {}}),
        json!({"explode": {}}),
        json!({"failover": {"type": "sideways"}}),
        json!({"failover": {}}),
        json!({"failover": {"type": "planned", "speed": 9}}),
        json!({"failover": {"type": "planned", "network_mapping": {"a": "b"}}}),
        json!([]),
    ] {
        let answer = act(&house, "member", body).await.expect(400);
        assert_eq!(answer.key(), "badRequest");
    }
}

#[tokio::test]
async fn a_moving_group_is_not_changed() {
    let house = House::with_member(WEB).await;
    act(&house, "member", failover_body()).await.expect(202);
    house.add(DB).await.expect(409);
    house
        .delete(&group_path("web", "/members/web-server-1"), "member")
        .await
        .expect(409);
    house
        .delete(&group_path("web", "/policy"), "member")
        .await
        .expect(409);
    let deleted = house
        .delete(&group_path("web", ""), "member")
        .await
        .expect(409);
    assert!(
        deleted.message().contains("failing_over"),
        "{}",
        deleted.message()
    );
}

#[tokio::test]
async fn a_group_that_is_newer_on_the_other_site_is_not_moved() {
    let house = House::with_member(WEB).await;
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    let id = shown.body["protection_group"]["id"].as_str().unwrap();
    house
        .send(
            Method::POST,
            &group_path("web", "/sync-force"),
            "member",
            json!({}),
        )
        .await
        .expect(202);
    // A failover that was started on the other site has got this far, and its push is on its way.
    let newer = [(id.to_owned(), u64::MAX)];
    house.outside.peer.pushed.lock().unwrap().extend(newer);
    let answer = act(&house, "member", failover_body()).await.expect(409);
    assert!(
        answer.message().contains("web is OUT OF SYNC"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn what_the_other_site_does_not_know_yet_is_handed_over_before_a_failover() {
    let house = House::with_member(WEB).await;
    house.outside.peer.pushed.lock().unwrap().clear();
    act(&house, "member", failover_body()).await.expect(202);
    assert_eq!(house.outside.peer.pushed.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_action_has_exactly_one_name() {
    let house = House::with_member(WEB).await;
    for body in [
        json!({}),
        json!({"failover": {"type": "planned"}, "sync": {}}),
    ] {
        let answer = act(&house, "member", body).await.expect(400);
        assert!(
            answer.message().contains("exactly one key"),
            "{}",
            answer.message()
        );
    }
}

/// The copy may take days, in which everything would be stopped.
#[tokio::test]
async fn no_planned_move_starts_before_the_first_full_copies() {
    let house = House::with_member(WEB).await;
    *house.outside.arrays.first_copies.lock().unwrap() = Some(Pending {
        what: "the first copy of volume-web on mock://array-b".to_owned(),
        percent: Some(42),
        bytes_left: None,
        time_left: None,
        look_again: Duration::from_secs(60),
    });
    let refused = act(&house, "member", failover_body()).await.expect(409);
    let said = refused.message();
    assert!(
        said.contains("the first copy of volume-web on mock://array-b (42 %)"),
        "{said}"
    );
    assert!(said.contains("--action sync' begins it"), "{said}");
    let check = house
        .get(&group_path("web", "/check"), "reader")
        .await
        .expect(200)
        .body;
    let findings = check["check"]["findings"].as_array().unwrap();
    let point = findings
        .iter()
        .find(|finding| finding["check"] == "recovery_point")
        .unwrap();
    assert_eq!(point["status"], "error", "{point}");
    assert!(
        point["message"].as_str().unwrap().contains("42 %"),
        "{point}"
    );
    *house.outside.arrays.first_copies.lock().unwrap() = None;
    act(&house, "member", failover_body()).await.expect(202);
}

#[tokio::test]
async fn no_planned_move_starts_that_would_delete_what_has_no_copy() {
    let house = House::with_member(WEB).await;
    let clouds = &house.outside.clouds;
    // Since it was added.
    *clouds.source_change.lock().unwrap() = Some(|seen| {
        let volumes = seen.volumes.as_mut().unwrap();
        for volume in volumes
            .iter_mut()
            .filter(|volume| volume.id.as_str() == "vol-data-ws1")
        {
            volume.traits.encrypted = true;
        }
    });
    for dry_run in [true, false] {
        let body = json!({"failover": {"type": "planned", "dry_run": dry_run}});
        let answer = act(&house, "member", body).await.expect(409);
        let said = answer.message();
        assert!(
            said.contains("server web-server-1 has the encrypted volume vol-data-ws1"),
            "{said}"
        );
        assert!(
            said.contains("openstack dr member remove web web-server-1"),
            "{said}"
        );
    }
    let group = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    assert_eq!(group.body["protection_group"]["status"], "active");
}
