//! `GET …/check`: what would make a failover fail, and what to do about it.

use std::sync::atomic::Ordering;

use http::Method;
use protector_core::{
    clock::Clock as _,
    readiness::{Silence, Usage},
    storage::RecoveryPoint,
};
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, WEB},
    house::{House, group_path},
};

/// A group with a member, pushed to the other site, replicated ten minutes ago.
async fn ready_house() -> House {
    let house = House::with_member(WEB).await;
    house
        .send(
            Method::POST,
            &group_path("web", "/sync-force"),
            "member",
            json!({}),
        )
        .await
        .expect(202);
    *house.outside.arrays.points.lock().unwrap() = vec![RecoveryPoint {
        id: "rp-1".into(),
        taken_at: FixedClock.now() - chrono::Duration::minutes(10),
    }];
    house
}

async fn check(house: &House) -> Value {
    let path = group_path("web", "/check");
    house.get(&path, "reader").await.expect(200).body["check"].clone()
}

/// The findings of one word that are not `ok`.
fn found<'c>(check: &'c Value, word: &str) -> Vec<&'c Value> {
    check["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["check"] == word && finding["status"] != "ok")
        .collect()
}

#[track_caller]
fn only<'c>(check: &'c Value, word: &str, status: &str) -> &'c Value {
    let findings = found(check, word);
    assert_eq!(findings.len(), 1, "{check:#}");
    assert_eq!(findings[0]["status"], status, "{check:#}");
    assert!(findings[0]["fix"].is_string(), "{check:#}");
    findings[0]
}

#[tokio::test]
async fn a_group_that_lacks_nothing_is_ready_and_every_word_is_said() {
    let house = ready_house().await;
    let check = check(&house).await;
    assert_eq!(check["ready"], true, "{check:#}");
    assert_eq!(check["checked_at"], "2025-11-03T14:00:00Z");
    let findings = check["findings"].as_array().unwrap();
    let words: Vec<&str> = findings
        .iter()
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    assert_eq!(
        words,
        [
            "site_reachable",
            "peer_reachable",
            "in_sync",
            "status",
            "policy",
            "recovery_point",
            "mapping",
            "quota",
            "flavor",
            "image",
            "carried",
            "security_group",
            "rights",
            "volume_type",
            "member",
            "backend",
            "leftovers"
        ]
    );
    for finding in findings {
        assert_eq!(finding["status"], "ok", "{finding}");
        assert_eq!(finding["fix"], Value::Null, "{finding}");
    }
}

#[tokio::test]
async fn checking_changes_nothing() {
    let house = ready_house().await;
    let before = house.everything().await;
    check(&house).await;
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn only_who_may_read_the_group_may_check_it() {
    let house = ready_house().await;
    let path = group_path("web", "/check");
    house.get(&path, "other").await.expect(404);
    house.get(&path, "").await.expect(401);
    house
        .get(&group_path("nobody", "/check"), "member")
        .await
        .expect(404);
    house.policy("\"protector:protection_groups:check\": \"role:admin\"\n");
    house.get(&path, "member").await.expect(403);
}

#[tokio::test]
async fn a_site_that_does_not_answer_takes_only_its_own_checks_away() {
    let house = ready_house().await;
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-b".to_owned());
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    let finding = only(&check, "site_reachable", "error");
    assert_eq!(finding["subject"], "site-b");
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .contains("connection refused")
    );
    for word in [
        "mapping",
        "quota",
        "flavor",
        "security_group",
        "volume_type",
    ] {
        only(&check, word, "warning");
    }
    for word in ["member", "image", "recovery_point", "backend", "in_sync"] {
        assert!(found(&check, word).is_empty(), "{check:#}");
    }
}

#[tokio::test]
async fn one_service_that_refuses_takes_only_its_own_check_away() {
    let house = ready_house().await;
    *house.outside.clouds.target_change.lock().unwrap() = Some(|seen| {
        seen.pools = Err(Silence::Refused("HTTP 403: not allowed (req-1)".to_owned()));
    });
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    let finding = only(&check, "rights", "error");
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains("volume pools") && message.contains("req-1"),
        "{message}"
    );
    only(&check, "volume_type", "warning");
    assert!(found(&check, "quota").is_empty());
}

#[tokio::test]
async fn the_other_protector_away_or_behind_is_found() {
    let house = ready_house().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let away = check(&house).await;
    only(&away, "peer_reachable", "error");
    only(&away, "in_sync", "warning");
    house.outside.peer.away.store(false, Ordering::SeqCst);
    house.outside.peer.pushed.lock().unwrap().clear();
    let behind = check(&house).await;
    assert!(found(&behind, "peer_reachable").is_empty());
    let finding = only(&behind, "in_sync", "error");
    assert!(finding["fix"].as_str().unwrap().contains("sync-force"));
}

#[tokio::test]
async fn a_group_without_policy_members_or_recovery_point_is_not_ready() {
    let house = House::furnished().await;
    let body = crate::house::group_body("web");
    let path = crate::house::groups_path();
    house
        .send(Method::POST, &path, "member", body)
        .await
        .expect(201);
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    for word in ["policy", "recovery_point", "member"] {
        only(&check, word, "error");
    }
}

#[tokio::test]
async fn an_old_recovery_point_misses_the_objective_and_none_is_worse() {
    let house = ready_house().await;
    house.outside.arrays.points.lock().unwrap()[0].taken_at =
        FixedClock.now() - chrono::Duration::minutes(16);
    let old = check(&house).await;
    let finding = only(&old, "recovery_point", "warning");
    assert_eq!(
        finding["message"],
        "the newest recovery point is 16 min old, the objective is 15 min"
    );
    assert_eq!(old["ready"], true);
    house.outside.arrays.points.lock().unwrap().clear();
    let none = check(&house).await;
    only(&none, "recovery_point", "error");
    assert_eq!(none["ready"], false);
}

#[tokio::test]
async fn a_full_quota_is_found_with_the_command_that_raises_it() {
    let house = ready_house().await;
    *house.outside.clouds.target_change.lock().unwrap() = Some(|seen| {
        let full = Usage {
            used: 10,
            limit: 10,
        };
        seen.compute_quota
            .as_mut()
            .unwrap()
            .insert("cores".to_owned(), full);
    });
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    let finding = only(&check, "quota", "error");
    assert_eq!(finding["subject"], "cores");
    assert_eq!(
        finding["fix"],
        "openstack --os-cloud site-b quota set --cores 11 bbbbbbbb000040008000000000000001"
    );
}

#[tokio::test]
async fn a_volume_attached_since_is_found() {
    let house = ready_house().await;
    *house.outside.clouds.source_change.lock().unwrap() = Some(|seen| {
        seen.servers.as_mut().unwrap()[0]
            .volumes
            .push("vol-new".into());
    });
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    let finding = only(&check, "member", "error");
    assert_eq!(finding["subject"], "web-server-1");
    assert!(
        finding["message"]
            .as_str()
            .unwrap()
            .contains("attached since: vol-new")
    );
}

#[tokio::test]
async fn a_volume_that_the_array_does_not_hold_is_found() {
    let house = ready_house().await;
    house
        .outside
        .arrays
        .lost
        .lock()
        .unwrap()
        .insert("vol-data-ws1".to_owned());
    let check = check(&house).await;
    let finding = only(&check, "backend", "error");
    assert_eq!(finding["subject"], "vol-data-ws1");
}

#[tokio::test]
async fn an_operation_at_work_is_found() {
    let house = ready_house().await;
    house
        .send(
            Method::POST,
            &group_path("web", "/action"),
            "member",
            crate::house::failover_body(),
        )
        .await
        .expect(202);
    let check = check(&house).await;
    let finding = only(&check, "status", "error");
    assert!(
        finding["fix"]
            .as_str()
            .unwrap()
            .contains("operation show op-")
    );
}

#[tokio::test]
async fn a_start_is_refused_for_the_reason_that_the_check_gave_and_goes_through_when_it_gave_none()
{
    let house = ready_house().await;
    let start = async || {
        let path = group_path("web", "/action");
        let body = crate::house::failover_body();
        house.send(Method::POST, &path, "member", body).await
    };
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let away = check(&house).await;
    assert_eq!(away["ready"], false, "{away:#}");
    let refused = start().await.expect(409);
    assert!(refused.message().contains("Remote site unreachable"));
    only(&away, "peer_reachable", "error");

    house.outside.peer.away.store(false, Ordering::SeqCst);
    let ready = check(&house).await;
    assert_eq!(ready["ready"], true, "{ready:#}");
    start().await.expect(202);

    let moving = check(&house).await;
    assert_eq!(moving["ready"], false, "{moving:#}");
    let refused = start().await.expect(409);
    let operation = only(&moving, "status", "error")["subject"].clone();
    assert!(refused.message().contains(operation.as_str().unwrap()));
}

#[tokio::test]
async fn what_would_be_lost_with_the_original_is_found_before_the_day() {
    let house = ready_house().await;
    *house.outside.clouds.source_change.lock().unwrap() = Some(|seen| {
        let servers = seen.servers.as_mut().unwrap();
        servers[0].traits.ephemeral_gib = 20;
    });
    let check = check(&house).await;
    assert_eq!(check["ready"], false);
    let finding = only(&check, "carried", "error");
    assert_eq!(finding["subject"], "web-server-1");
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains("an ephemeral disk of 20 GiB"), "{message}");
}
