//! What the arrays of a group can do: its recovery points, listed and gone to; dry runs; what promotion in place cannot do.

use axum::body::Body;
use chrono::TimeDelta;
use http::Method;
use protector_core::{
    clock::Clock,
    storage::{PointsKept, PromotionKind, RecoveryPoint},
};
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, NET_A, WEB},
    house::{Answer, House, group_path},
    way_back,
};

const NEWEST: (&str, &str) = ("openstack-api-version", "protector 1.3");

async fn with_two_points() -> House {
    having_two_points(House::with_member(WEB).await)
}

fn having_two_points(house: House) -> House {
    let point = |id: &str, seconds| RecoveryPoint {
        id: id.into(),
        taken_at: FixedClock.now() - TimeDelta::seconds(seconds),
    };
    *house.outside.arrays.points.lock().unwrap() =
        vec![point("point-2", 60), point("point-1", 3600)];
    house
}

async fn listed(house: &House) -> Answer {
    let path = group_path("web", "/recovery-points");
    let headers = [("x-auth-token", "reader"), NEWEST];
    house
        .request(Method::GET, &path, &headers, Body::empty())
        .await
}

async fn act(house: &House, body: Value) -> Answer {
    let headers = [
        ("x-auth-token", "member"),
        ("content-type", "application/json"),
        NEWEST,
    ];
    let path = group_path("web", "/action");
    house
        .request(Method::POST, &path, &headers, Body::from(body.to_string()))
        .await
}

#[tokio::test]
async fn they_are_listed_newest_first_with_what_they_are_good_for() {
    let house = with_two_points().await;
    let shown = listed(&house).await.expect(200);
    let points = shown.body["recovery_points"].as_array().unwrap();
    let [latest, earlier] = points.as_slice() else {
        panic!("{points:?}");
    };
    assert_eq!(latest["id"], "point-2");
    assert_eq!(latest["age_seconds"], 60);
    assert_eq!(latest["consistency"], "group_when_quiet");
    assert_eq!(latest["array"], "mock://array-b");
    assert_eq!(
        (&earlier["id"], &earlier["for_failover"]),
        (&json!("point-1"), &json!(true))
    );
    let old = house
        .get(&group_path("web", "/recovery-points"), "reader")
        .await;
    assert!(
        old.expect(404)
            .message()
            .contains("from API version 1.3 on")
    );
}

#[tokio::test]
async fn an_array_that_goes_to_what_it_has_at_the_moment_says_so() {
    let house = with_two_points().await;
    *house.outside.arrays.kept.lock().unwrap() = PointsKept::LatestOnly;
    let shown = listed(&house).await.expect(200);
    let for_failover: Vec<_> = shown.body["recovery_points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["for_failover"].clone())
        .collect();
    assert_eq!(for_failover, [false, false]);
}

#[tokio::test]
async fn an_array_that_does_not_answer_is_no_empty_list() {
    let house = with_two_points().await;
    house
        .outside
        .arrays
        .away
        .lock()
        .unwrap()
        .insert("mock://array-b".to_owned());
    let silent = listed(&house).await.expect(503);
    assert!(silent.message().contains("mock://array-b"));
}

#[tokio::test]
async fn a_test_goes_to_the_one_that_is_asked_for() {
    let house = with_two_points().await;
    let asked = json!({"test_failover": {"recovery_point": "point-1"}});
    let begun = act(&house, asked).await.expect(202);
    let id = begun.body["operation"]["id"].as_str().unwrap().into();
    let record = house.database.operation_show_by_id(&id).await.unwrap();
    let wanted = record.operation.plan.recovery_point.unwrap();
    assert_eq!(wanted.as_str(), "point-1");
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_and_starts_nothing() {
    let house = with_two_points().await;
    let gone = json!({"test_failover": {"recovery_point": "point-0"}});
    let refused = act(&house, gone).await.expect(400);
    let text = refused.message();
    assert!(
        text.starts_with(
            "test_failover.recovery_point: mock://array-b has no recovery point point-0"
        ),
        "{text}"
    );
    let planned = json!({"failover": {"type": "planned", "recovery_point": "point-1"}});
    let refused = act(&house, planned.clone()).await.expect(400);
    let text = refused.message();
    assert!(
        text.starts_with("failover.recovery_point: a planned failover replicates first"),
        "{text}"
    );
    let path = group_path("web", "/action");
    let old = house.send(Method::POST, &path, "member", planned).await;
    let text = old.expect(400).message().to_owned();
    assert!(text.contains("is there from API version 1.3 on"), "{text}");
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
}

#[tokio::test]
async fn a_dry_run_tells_what_the_arrays_can_do() {
    let house = with_two_points().await;
    let asked = json!({"failover": {"type": "planned", "dry_run": true}});
    let shown = act(&house, asked.clone()).await.expect(200);
    let can = &shown.body["preview"]["capabilities"];
    assert_eq!(
        (&can["driver"], &can["promotion"]),
        (&json!("MockStorageDriver"), &json!("copy"))
    );
    let path = group_path("web", "/action");
    let old = house.send(Method::POST, &path, "member", asked).await;
    assert_eq!(old.expect(200).body["preview"].get("capabilities"), None);
}

/// An unplanned move to this site, which is the primary one, of a group that runs on the other.
fn unplanned(verb: &str, point: &str, dry_run: bool) -> Value {
    json!({verb: {"type": "unplanned", "dry_run": dry_run, "network_mapping": {NET_A: NET_A},
        "recovery_point": point}})
}

#[tokio::test]
async fn an_unplanned_move_goes_to_the_one_that_is_asked_for() {
    for verb in ["failover", "failback"] {
        let house = having_two_points(way_back::failed_over().await);
        let shown = act(&house, unplanned(verb, "point-1", true))
            .await
            .expect(200);
        let point = &shown.body["preview"]["recovery_point"];
        assert_eq!(
            (&point["id"], &point["age_seconds"]),
            (&json!("point-1"), &json!(3600))
        );
        let begun = act(&house, unplanned(verb, "point-1", false))
            .await
            .expect(202);
        let id = begun.body["operation"]["id"].as_str().unwrap().into();
        let record = house.database.operation_show_by_id(&id).await.unwrap();
        let wanted = record.operation.plan.recovery_point.unwrap();
        assert_eq!(wanted.as_str(), "point-1");
    }
}

#[tokio::test]
async fn no_unplanned_move_is_promised_a_point_that_its_array_cannot_go_back_to() {
    let house = having_two_points(way_back::failed_over().await);
    *house.outside.arrays.kept.lock().unwrap() = PointsKept::LatestOnly;
    for point in ["point-1", "point-2"] {
        let refused = act(&house, unplanned("failover", point, false)).await;
        let text = refused.expect(400).message().to_owned();
        assert!(
            text.starts_with(
                "failover.recovery_point: mock://array-a goes to what it has at the moment"
            ),
            "{text}"
        );
    }
}

/// Its copies are of what came last, and may have been written to.
#[tokio::test]
async fn what_was_interrupted_is_not_used_for_a_point_that_is_asked_for() {
    let (house, _) = way_back::taken_over_in_vain().await;
    let house = having_two_points(house);
    for point in ["point-1", "point-2"] {
        let shown = act(&house, unplanned("failover", point, true)).await;
        let shown = shown.expect(200).body["preview"].clone();
        let warnings = shown["warnings"].to_string();
        assert!(!warnings.contains("was interrupted"), "{warnings}");
        assert_eq!(shown["recovery_point"]["id"], point);
    }
}

#[tokio::test]
async fn an_array_that_does_not_answer_is_named_with_the_field() {
    let house = having_two_points(way_back::failed_over().await);
    *house.outside.arrays.away.lock().unwrap() = ["mock://array-a".to_owned()].into();
    let silent = act(&house, unplanned("failover", "point-1", false)).await;
    let text = silent.expect(503).message().to_owned();
    assert!(
        text.starts_with("failover.recovery_point: The recovery points cannot be told"),
        "{text}"
    );
}

#[tokio::test]
async fn volumes_that_become_replicas_are_not_retained() {
    let house = with_two_points().await;
    *house.outside.arrays.promotion.lock().unwrap() = PromotionKind::InPlace;
    let asked = |retain: Value| json!({"failover": {"type": "planned", "dry_run": true, "retain_source_volumes": retain}});
    let refused = act(&house, asked(json!(true))).await.expect(400);
    let text = refused.message();
    assert!(
        text.starts_with("failover.retain_source_volumes: arrays mock://array-a and mock://array-b promote in place"),
        "{text}"
    );
    let shown = act(&house, asked(Value::Null)).await.expect(200);
    assert_eq!(shown.body["preview"]["retain_source_volumes"], false);
    *house.outside.arrays.promotion.lock().unwrap() = PromotionKind::Copy;
    let shown = act(&house, asked(json!(true))).await.expect(200);
    assert_eq!(shown.body["preview"]["retain_source_volumes"], true);
}
