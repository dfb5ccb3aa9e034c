//! `GET /v1/health`: how everything is, and never a failure because something is not.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;
use protector_core::{clock::Clock as _, storage::RecoveryPoint};
use protector_store::EngineRow;
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, PROJECT_A, WEB},
    house::{House, group_path},
};

/// A pushed group with a member, and an engine that was seen `seconds` ago.
async fn house_with_engine(seconds: i64) -> House {
    let house = House::with_member(WEB).await;
    let force = group_path("web", "/sync-force");
    house
        .send(Method::POST, &force, "member", json!({}))
        .await
        .expect(202);
    let seen_at = FixedClock.now() - chrono::Duration::seconds(seconds);
    let engine = EngineRow {
        id: "engine-1".into(),
        host: "controller".to_owned(),
        version: "0.1".to_owned(),
        book_version: 1,
        started_at: seen_at,
        seen_at,
        stopping: false,
    };
    house.database.engine_heartbeat(&engine).await.unwrap();
    house
}

/// The other array has a recovery point of every group, taken `seconds` ago.
fn recovery_point(house: &House, seconds: i64) {
    let point = RecoveryPoint {
        id: "point-1".into(),
        taken_at: FixedClock.now() - chrono::Duration::seconds(seconds),
    };
    house.outside.arrays.points.lock().unwrap().push(point);
}

async fn health(house: &House, token: &str) -> Value {
    house.get("/v1/health", token).await.expect(200).body["health"].clone()
}

/// The same in the newest microversion.
async fn detailed(house: &House, token: &str) -> Value {
    let headers = [
        ("x-auth-token", token),
        ("openstack-api-version", "protector 1.2"),
    ];
    let answer = house
        .request(Method::GET, "/v1/health", &headers, Body::empty())
        .await;
    answer.expect(200).body["health"].clone()
}

fn component<'h>(health: &'h Value, name: &str) -> &'h Value {
    let components = health["components"].as_array().unwrap();
    components
        .iter()
        .find(|component| component["name"] == name)
        .unwrap()
}

#[tokio::test]
async fn all_is_well() {
    let house = house_with_engine(3).await;
    recovery_point(&house, 60);
    let health = health(&house, "reader").await;
    assert_eq!(health["status"], "ok", "{health:#}");
    assert_eq!(health["site"], "site-a");
    let well = json!({"identity": "ok", "compute": "ok", "volume": "ok", "network": "ok", "protector": "ok"});
    for (number, site) in ["site-a", "site-b"].into_iter().enumerate() {
        let expected = json!({"name": site, "reachable": true, "error": null, "services": well});
        assert_eq!(health["sites"][number], expected);
    }
    for name in ["protector-api", "protector-engine", "database", "storage"] {
        let expected = json!({"name": name, "status": "ok"});
        assert_eq!(component(&health, name), &expected);
    }
    let group = &health["protection_groups"][0];
    assert_eq!(group["name"], "web");
    assert_eq!(group["sync_status"], "IN SYNC");
    assert_eq!(group["rpo_minutes"], 15);
    assert_eq!(group["failover_ready"], true);
    assert_eq!(group["split_brain"], false);
    assert_eq!(group["last_replication_at"], Value::Null);
}

#[tokio::test]
async fn details_come_with_microversion_1_2() {
    let house = house_with_engine(3).await;
    let plain = health(&house, "member").await;
    let group = plain["protection_groups"][0].as_object().unwrap();
    assert!(!group.contains_key("lag_seconds") && !group.contains_key("rpo_met"));
    let detailed = detailed(&house, "member").await;
    let group = detailed["protection_groups"][0].as_object().unwrap();
    assert_eq!(group["lag_seconds"], Value::Null);
    assert_eq!(group["rpo_met"], false, "never replicated");
    let engine = component(&detailed, "protector-engine");
    assert_eq!(engine["detail"], "1 engine(s) up");
}

#[tokio::test]
async fn a_group_is_as_ready_as_the_recovery_point_that_the_other_array_really_has() {
    let house = house_with_engine(3).await;
    let shown = detailed(&house, "member").await;
    let group = &shown["protection_groups"][0];
    assert_eq!(group["sync_status"], "IN SYNC");
    assert_eq!(group["failover_ready"], false, "{group:#}");
    assert_eq!(group["rpo_met"], false, "{group:#}");
    assert_eq!(group["lag_seconds"], Value::Null);

    for (age, met) in [(16 * 60, false), (60, true)] {
        recovery_point(&house, age);
        let shown = detailed(&house, "member").await;
        let group = &shown["protection_groups"][0];
        assert_eq!(group["failover_ready"], true, "{group:#}");
        assert_eq!(group["rpo_met"], met, "{group:#}");
        assert_eq!(group["lag_seconds"], age);
    }
    let away = &house.outside.arrays.away;
    away.lock().unwrap().insert("mock://array-b".to_owned());
    let shown = detailed(&house, "member").await;
    let group = &shown["protection_groups"][0];
    assert_eq!(group["failover_ready"], false, "{group:#}");
    assert_eq!(group["rpo_met"], false, "{group:#}");
}

#[tokio::test]
async fn no_engine_is_an_error() {
    let house = house_with_engine(31).await;
    let health = detailed(&house, "member").await;
    assert_eq!(health["status"], "error");
    let engine = component(&health, "protector-engine");
    assert_eq!(engine["status"], "error");
    assert_eq!(
        engine["detail"],
        "no engine is up; the last report was 31 s ago"
    );
}

#[tokio::test]
async fn a_site_that_is_away_is_told_and_the_reason_to_administrators_only() {
    let house = house_with_engine(3).await;
    let away = &house.outside.clouds.away;
    away.lock().unwrap().insert("site-b".to_owned());
    house.outside.peer.away.store(true, Ordering::SeqCst);
    for (token, reason) in [
        ("member", "does not answer"),
        ("admin", "connection refused"),
    ] {
        let health = health(&house, token).await;
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["sites"][0]["reachable"], true);
        let site = &health["sites"][1];
        assert_eq!(site["reachable"], false);
        assert_eq!(site["error"], reason);
        assert_eq!(site["services"]["compute"], reason);
        assert_eq!(site["services"]["protector"], reason);
    }
    let health = health(&house, "member").await;
    assert_eq!(health["protection_groups"][0]["failover_ready"], false);
}

#[tokio::test]
async fn one_service_that_is_away_takes_no_other_away() {
    let house = house_with_engine(3).await;
    let network = &house.outside.clouds.silent_network;
    *network.lock().unwrap() = Some("HTTP 503".to_owned());
    let health = health(&house, "admin").await;
    let site = &health["sites"][1];
    assert_eq!(site["reachable"], true);
    assert_eq!(site["services"]["network"], "HTTP 503");
    assert_eq!(site["services"]["compute"], "ok");
    assert_eq!(health["status"], "degraded");
}

#[tokio::test]
async fn an_array_that_is_away_degrades_the_storage() {
    let house = house_with_engine(3).await;
    let away = &house.outside.arrays.away;
    away.lock().unwrap().insert("mock://array-b".to_owned());
    let health = detailed(&house, "member").await;
    assert_eq!(health["status"], "degraded");
    let storage = component(&health, "storage");
    assert_eq!(storage["status"], "degraded");
    assert_eq!(storage["detail"], "mock://array-b: does not answer");
    away.lock().unwrap().insert("mock://array-a".to_owned());
    let health = detailed(&house, "member").await;
    assert_eq!(health["status"], "error");
}

#[tokio::test]
async fn groups_are_the_callers_own_unless_an_administrator_asks_for_all() {
    let house = house_with_engine(3).await;
    let other = health(&house, "other").await;
    assert_eq!(other["protection_groups"], json!([]));
    let own = health(&house, "admin").await;
    assert_eq!(own["protection_groups"], json!([]));
    let path = "/v1/health?all_projects=true";
    let all = house.get(path, "admin").await.expect(200);
    let groups = &all.body["health"]["protection_groups"];
    assert_eq!(groups.as_array().unwrap().len(), 1);
    house.get(path, "member").await.expect(403);
    let shown = house.database.group_show(&PROJECT_A.into(), "web").await;
    assert_eq!(groups[0]["id"], shown.unwrap().group.id.as_str());
}

#[tokio::test]
async fn the_report_is_for_those_with_a_token() {
    let house = house_with_engine(3).await;
    house.get("/v1/health", "").await.expect(401);
    house.policy("\"protector:health:show\": \"role:admin\"\n");
    house.get("/v1/health", "member").await.expect(403);
}

#[tokio::test]
async fn the_counters_know_routes_and_not_who_asked() {
    let house = House::with_group().await;
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    house
        .get(&group_path("nobody", ""), "member")
        .await
        .expect(404);
    house.get("/v1/no/such/path/at/all", "member").await;
    let text = house.counted().await;
    for line in [
        "protector_api_requests_total{route=\"/v1/{project_id}/protection-groups/{group}\",method=\"GET\",status=\"200\"} 1",
        "protector_api_requests_total{route=\"/v1/{project_id}/protection-groups/{group}\",method=\"GET\",status=\"404\"} 1",
        "protector_api_requests_total{route=\"unmatched\",method=\"GET\",status=\"404\"} 1",
        "protector_api_request_duration_seconds_count{route=\"/v1/{project_id}/protection-groups/{group}\",method=\"GET\"} 2",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }
    for told in [PROJECT_A, "nobody", "no/such"] {
        assert!(!text.contains(told), "{told} in {text}");
    }
}

#[tokio::test]
async fn the_counters_are_not_on_the_listener_of_the_api() {
    let house = House::new().await;
    for token in ["", "member", "admin"] {
        house.get("/metrics", token).await.expect(404);
    }
}
