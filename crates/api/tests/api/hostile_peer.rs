//! Somebody speaks as the other site's protector, or as that one says what it may not. Nothing of it is taken, nothing is told.

use std::sync::atomic::Ordering;

use axum::body::Body;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method};
use protector_core::clock::Clock;
use protector_openstack::message_signer::UnsignedMessage;
use protector_peer::message_signature::Parties;
use protector_store::CopyQuota;
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, OTHER_PROJECT, OTHER_PROJECT_B, PROJECT_A, WEB, new_key},
    house::{Answer, House, group_path, site_body},
    metadata::changed,
    two_sites::headers_with,
};

const UNKNOWN: &str = "7a3f2c11-0001-4b22-a918-0000000000ff";

fn metadata_of(project: &str, group: &str) -> String {
    format!("/v1/{project}/protection-groups/{group}/metadata")
}

/// The record of a failover that `home` says it runs.
fn copy(home: &str, group: &str) -> Value {
    json!({"operation_copy": {
        "home_site": home, "group_id": group, "group_name": "web", "kind": "failover", "state": "running",
        "created_at": "2025-11-03T14:00:00Z", "parent_id": null, "leftovers": 0, "revision": 1, "since": 0, "is_last": true,
        "record": {"id": "op-1", "home_site": home, "status": "in_progress"}, "lines": [],
    }})
}

/// Puts what `change` makes of the group's metadata to where `path` says, as the other site's protector.
async fn offered(house: &House, path: &str, change: impl FnOnce(&mut Value)) -> Answer {
    let (_, body) = changed(house, 9, change).await;
    house.send(Method::PUT, path, "service", body).await
}

async fn with_web() -> (House, String) {
    let house = House::with_member(WEB).await;
    let (id, _) = changed(&house, 9, |_| ()).await;
    (house, id)
}

#[tokio::test]
async fn a_role_makes_nobody_the_other_sites_protector() {
    let (house, id) = with_web().await;
    let (_, body) = changed(&house, 9, |document| {
        document["group"]["description"] = json!("mine now");
    })
    .await;
    let before = house.everything().await;
    let path = metadata_of(PROJECT_A, &id);
    let mark = &body["metadata"]["base"];
    let known = format!(
        "{path}?version={}&digest={}",
        mark["version"],
        mark["digest"].as_str().unwrap()
    );
    let reservation = format!("{path}/reservations/site-b");
    let reserve = json!({"reservation": {"version": mark["version"]}});
    let record = format!("/v1/{PROJECT_A}/operations/op-1/copy");
    for token in ["admin", "admin@own", "service@own", "service@foreign"] {
        let calls = [
            (Method::GET, path.clone(), Value::Null),
            (Method::GET, format!("{path}?document=true"), Value::Null),
            (Method::PUT, path.clone(), body.clone()),
            (Method::DELETE, known.clone(), Value::Null),
            (Method::PUT, reservation.clone(), reserve.clone()),
            (Method::DELETE, reservation.clone(), Value::Null),
            (Method::PUT, record.clone(), copy("site-b", &id)),
        ];
        for (method, path, body) in calls {
            let answer = house.send(method, &path, token, body).await.expect(403);
            let said = answer.message();
            assert!(said.contains("is not the other site's protector"), "{said}");
            assert!(said.contains("peer_user_ids"), "{said}");
        }
    }
    assert_eq!(house.everything().await, before);
    for token in ["service", "named"] {
        house.get(&path, token).await.expect(200);
    }
}

#[tokio::test]
async fn a_group_of_projects_that_nobody_has_linked_is_not_taken() {
    let (house, _) = with_web().await;
    let before = house.everything().await;
    let victims = [
        ("primary", OTHER_PROJECT_B, "secondary", PROJECT_A),
        ("secondary", OTHER_PROJECT_B, "primary", PROJECT_A),
        ("primary", OTHER_PROJECT_B, "secondary", OTHER_PROJECT),
    ];
    for (there, victim, here, attacker) in victims {
        let change = |document: &mut Value| {
            document["group"]["id"] = json!(UNKNOWN);
            document["group"]["name"] = json!("loot");
            document["group"][there] = json!({"site": "site-b", "project_id": victim});
            document["group"][here] = json!({"site": "site-a", "project_id": attacker});
            document["members"][0]["group_id"] = json!(UNKNOWN);
        };
        let answer = offered(&house, &metadata_of(attacker, UNKNOWN), change).await;
        let said = answer.expect(409);
        let said = said.message();
        assert!(said.contains("are not linked on this site"), "{said}");
        assert!(said.contains("tenant mapping create"), "{said}");
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn nothing_moves_a_known_group_into_other_projects_or_sites() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let changes: [fn(&mut Value); 5] = [
        |group| group["primary"]["project_id"] = json!(OTHER_PROJECT),
        |group| group["secondary"]["project_id"] = json!(OTHER_PROJECT_B),
        |group| group["secondary"]["site"] = json!("site-c"),
        |group| group["replication_type"] = json!("sync"),
        |group| {
            let primary = group["primary"].take();
            group["primary"] = group["secondary"].take();
            group["secondary"] = primary;
        },
    ];
    for force in [false, true] {
        for change in changes {
            let change = |document: &mut Value| change(&mut document["group"]);
            let (_, mut body) = changed(&house, 9, change).await;
            body["metadata"]["force"] = json!(force);
            let path = metadata_of(PROJECT_A, &id);
            let answer = house.send(Method::PUT, &path, "service", body).await;
            answer.expect(400);
        }
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn the_paths_project_is_the_groups_on_this_site() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let other = metadata_of("bbbbbbbb000040008000000000000001", &id);
    let answer = offered(&house, &other, |_| ()).await.expect(400);
    let said = answer.message();
    assert!(said.contains("the group's project on site-a"), "{said}");
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn what_no_tenant_may_say_the_other_site_may_not_either() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let changes: [fn(&mut Value); 3] = [
        |document| document["group"]["name"] = json!("a/b"),
        |document| document["group"]["description"] = json!("\u{1b}[2J"),
        |document| document["policy"]["primary_fa_url"] = json!("file:///etc/passwd"),
    ];
    for change in changes {
        let answer = offered(&house, &metadata_of(PROJECT_A, &id), change).await;
        let said = answer.expect(400);
        let said = said.message();
        assert!(said.starts_with("metadata.document."), "{said}");
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_site_that_is_not_the_groups_holds_it_for_nobody() {
    let (house, id) = with_web().await;
    let version = changed(&house, 9, |_| ()).await.1["metadata"]["base"]["version"].clone();
    for (site, status) in [("site-x", 403), ("site-a", 400)] {
        let path = group_path(&id, &format!("/metadata/reservations/{site}"));
        let body = json!({"reservation": {"version": version}});
        let answer = house.send(Method::PUT, &path, "service", body).await;
        answer.expect(status);
    }
    let body = json!({"protection_group": {"description": "free"}});
    let path = group_path("web", "");
    house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(200);
}

#[tokio::test]
async fn records_of_operations_come_from_the_groups_other_site_for_linked_projects() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let put = async |project: &str, body: Value| {
        let path = format!("/v1/{project}/operations/op-1/copy");
        house.send(Method::PUT, &path, "service", body).await
    };
    put(PROJECT_A, copy("site-x", &id)).await.expect(403);
    put(PROJECT_A, copy("site-x", UNKNOWN)).await.expect(403);
    put(OTHER_PROJECT, copy("site-b", UNKNOWN))
        .await
        .expect(404);
    put(OTHER_PROJECT, copy("site-b", &id)).await.expect(404);
    assert_eq!(house.everything().await, before);
    put(PROJECT_A, copy("site-b", UNKNOWN)).await.expect(200);
}

#[tokio::test]
async fn user_data_and_urls_of_hooks_are_not_shown_to_the_other_site() {
    let (house, id) = with_web().await;
    let path = metadata_of(PROJECT_A, &id);
    offered(&house, &path, |document| {
        document["members"][0]["server"]["user_data"] = json!("cGFzc3dvcmQ=");
        document["group"]["recovery_plan"]["hooks"] = json!([{"name": "tell", "when": "after",
            "url": "https://hooks.example.org/dr/?key=cGFzc3dvcmQ="}]);
    })
    .await
    .expect(200);
    let shown = house.get(&format!("{path}?document=true"), "service").await;
    let text = shown.expect(200).body.to_string();
    assert!(!text.contains("cGFzc3dvcmQ="), "{text}");
    assert!(text.contains("\"user_data\":\"***\""), "{text}");
    assert!(text.contains("\"url\":\"***\""), "{text}");
}

/// What a thief of the peer's token can say, and a body that would be taken.
#[derive(Clone)]
struct Call {
    method: Method,
    path: String,
    body: String,
}

async fn calls(house: &House, id: &str) -> Vec<Call> {
    let path = metadata_of(PROJECT_A, id);
    let (_, body) = changed(house, 9, |document| {
        document["group"]["description"] = json!("mine now");
    })
    .await;
    let base = &body["metadata"]["base"];
    let (version, digest) = (&base["version"], base["digest"].as_str().unwrap());
    let reservation = format!("{path}/reservations/site-b");
    let record = format!("/v1/{PROJECT_A}/operations/op-1/copy");
    let reserve = json!({"reservation": {"version": version}});
    let withdrawal = format!("{path}?version={version}&digest={digest}");
    [
        (Method::GET, format!("{path}?document=true"), String::new()),
        (Method::PUT, path.clone(), body.to_string()),
        (Method::PUT, reservation.clone(), reserve.to_string()),
        (Method::DELETE, reservation, String::new()),
        (Method::PUT, record, copy("site-b", id).to_string()),
        (Method::DELETE, withdrawal, String::new()),
    ]
    .into_iter()
    .map(|(method, path, body)| Call { method, path, body })
    .collect()
}

fn parties(sender: &str, receiver: &str) -> Parties {
    Parties {
        sender: sender.into(),
        receiver: receiver.into(),
    }
}

/// The headers of a call with the peer's token and the signature that `sender` makes of it for `receiver` at `created`.
fn signed(house: &House, call: &Call, parties: &Parties, created: DateTime<Utc>) -> HeaderMap {
    let mut headers = headers_with("service");
    let message = UnsignedMessage {
        method: &call.method,
        target: &call.path,
        headers: &headers,
        body: call.body.as_bytes(),
    };
    let peer = &house.outside.peer;
    let signature = peer.signs_as(parties, created, &message);
    headers.extend(signature);
    headers
}

async fn deliver(house: &House, call: &Call, headers: HeaderMap) -> Answer {
    let (method, body) = (call.method.clone(), Body::from(call.body.clone()));
    house.deliver(method, &call.path, headers, body).await
}

/// Each call with what `headers` makes of it is refused with a sentence that says all of `says`; nothing is changed by any.
async fn all_are_refused(
    house: &House,
    id: &str,
    headers: impl Fn(&House, &Call) -> HeaderMap,
    says: &[&str],
) {
    let before = house.everything().await;
    for call in calls(house, id).await {
        let answer = deliver(house, &call, headers(house, &call)).await;
        let what = format!("{} {}", call.method, call.path);
        assert_eq!(answer.status, 403, "{what}: {}", answer.body);
        let said = answer.message();
        for word in says {
            assert!(said.contains(word), "{what}: {said}");
        }
    }
    assert_eq!(house.everything().await, before);
    let key = house.outside.peer.key.lock().unwrap().public;
    assert_eq!(pinned(house).await, json!(key.fingerprint()));
}

async fn pinned(house: &House) -> Value {
    let shown = house.get("/v1/admin/sites/site-b", "admin").await;
    shown.expect(200).body["site"]["key_fingerprint"].clone()
}

#[tokio::test]
async fn a_stolen_token_is_not_enough() {
    let (house, id) = with_web().await;
    let command = "openstack dr site set site-b --forget-peer-key";
    let stolen = |_: &House, _: &Call| headers_with("service");
    all_are_refused(&house, &id, stolen, &["is not signed", command]).await;
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused() {
    let (house, id) = with_web().await;
    let real = house.outside.peer.key.lock().unwrap().clone();
    let forged = new_key();
    let by_another = |house: &House, call: &Call| {
        *house.outside.peer.key.lock().unwrap() = forged.clone();
        let parties = parties("site-b", "site-a");
        let headers = signed(house, call, &parties, FixedClock.now());
        *house.outside.peer.key.lock().unwrap() = real.clone();
        headers
    };
    let fingerprints = [real.public.fingerprint(), forged.public.fingerprint()];
    let command = format!(
        "openstack dr site set site-b --peer-key {}",
        fingerprints[1]
    );
    let says = [&fingerprints[0], &fingerprints[1], &command].map(String::as_str);
    all_are_refused(&house, &id, by_another, &says).await;
    // Not even where it says that it is the real one's.
    let disguised = |house: &House, call: &Call| {
        let mut headers = by_another(house, call);
        let input = headers["signature-input"].to_str().unwrap();
        let input = input.replace(&fingerprints[1], &fingerprints[0]);
        headers.insert("signature-input", input.parse().unwrap());
        headers
    };
    all_are_refused(&house, &id, disguised, &["does not fit"]).await;
}

#[tokio::test]
async fn a_signature_for_another_site_or_by_another_one_is_refused() {
    let (house, id) = with_web().await;
    let now = FixedClock.now();
    let for_another =
        |house: &House, call: &Call| signed(house, call, &parties("site-b", "site-c"), now);
    all_are_refused(&house, &id, for_another, &["is signed for site-c"]).await;
    let by_nobody =
        |house: &House, call: &Call| signed(house, call, &parties("site-x", "site-a"), now);
    all_are_refused(&house, &id, by_nobody, &["site-x is not registered"]).await;
    let by_itself =
        |house: &House, call: &Call| signed(house, call, &parties("site-a", "site-a"), now);
    all_are_refused(&house, &id, by_itself, &["signing key of site-a"]).await;
    // A site of this protector that has nothing to do with the group.
    house
        .send(
            Method::POST,
            "/v1/admin/sites",
            "admin",
            site_body("site-c"),
        )
        .await
        .expect(201);
    let before = house.everything().await;
    for call in calls(&house, &id).await {
        let headers = signed(&house, &call, &parties("site-c", "site-a"), now);
        let answer = deliver(&house, &call, headers).await.expect(403);
        let said = answer.message();
        assert!(
            said.contains("site-c, which cannot speak for site-b"),
            "{said}"
        );
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_signature_of_another_time_is_refused_with_both_clocks() {
    let (house, id) = with_web().await;
    for (seconds, clock) in [
        (-301, "2025-11-03T13:54:59Z"),
        (301, "2025-11-03T14:05:01Z"),
    ] {
        let then = FixedClock.now() + TimeDelta::seconds(seconds);
        let old =
            |house: &House, call: &Call| signed(house, call, &parties("site-b", "site-a"), then);
        let says = [
            clock,
            "2025-11-03T14:00:00Z",
            "peer_signature_window_seconds",
        ];
        all_are_refused(&house, &id, old, &says).await;
    }
    for seconds in [-300, 300] {
        let then = FixedClock.now() + TimeDelta::seconds(seconds);
        let call = &calls(&house, &id).await[0];
        let headers = signed(&house, call, &parties("site-b", "site-a"), then);
        deliver(&house, call, headers).await.expect(200);
    }
}

#[tokio::test]
async fn a_signature_fits_one_call_alone() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    for call in calls(&house, &id).await {
        let headers = signed(
            &house,
            &call,
            &parties("site-b", "site-a"),
            FixedClock.now(),
        );
        let mark = if call.path.contains('?') { '&' } else { '?' };
        let mut others = vec![
            Call {
                path: call.path.replace("/v1/", "/v1/0"),
                ..call.clone()
            },
            Call {
                path: format!("{}{mark}x=1", call.path),
                ..call.clone()
            },
            Call {
                method: if call.method == Method::DELETE {
                    Method::PUT
                } else {
                    Method::DELETE
                },
                ..call.clone()
            },
        ];
        others.retain(|other| other.method == call.method || !other.path.ends_with("/copy"));
        for other in others {
            let answer = deliver(&house, &other, headers.clone()).await.expect(403);
            assert!(
                answer.message().contains("does not fit"),
                "{}",
                answer.message()
            );
        }
        if !call.body.is_empty() {
            let other = Call {
                body: format!("{} ", call.body),
                ..call.clone()
            };
            let answer = deliver(&house, &other, headers.clone()).await.expect(403);
            assert!(
                answer.message().contains("changed on its way"),
                "{}",
                answer.message()
            );
        }
        let mut with_another_token = headers;
        with_another_token.insert("x-auth-token", "named".parse().unwrap());
        let answer = deliver(&house, &call, with_another_token).await.expect(403);
        assert!(
            answer.message().contains("does not fit"),
            "{}",
            answer.message()
        );
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn what_is_said_again_does_nothing() {
    let (house, id) = with_web().await;
    let calls = calls(&house, &id).await;
    let now = FixedClock.now();
    let say = |call: &Call| signed(&house, call, &parties("site-b", "site-a"), now);
    let [_, _, reserve, release, ..] = calls.as_slice() else {
        panic!("a call is missing");
    };
    let describe = async |text: &str| {
        let body = json!({"protection_group": {"description": text}});
        house
            .send(Method::PUT, &group_path("web", ""), "member", body)
            .await
    };
    // Once more while it holds: the same answer. Once more when it was given back: it is not held again.
    let (reserved, released) = (say(reserve), say(release));
    let first = deliver(&house, reserve, reserved.clone()).await.expect(200);
    let again = deliver(&house, reserve, reserved.clone()).await.expect(200);
    assert_eq!(first.body, again.body);
    describe("held").await.expect(409);
    deliver(&house, release, released.clone()).await.expect(204);
    let refused = deliver(&house, reserve, reserved).await.expect(409);
    assert!(
        refused.message().contains("said again"),
        "{}",
        refused.message()
    );
    // What is held anew is not given back by an old message.
    deliver(&house, reserve, say(reserve)).await.expect(200);
    deliver(&house, release, released).await.expect(204);
    describe("held").await.expect(409);
    deliver(&house, release, say(release)).await.expect(204);
    describe("free").await.expect(200);
}

#[tokio::test]
async fn a_group_that_was_deleted_does_not_come_back_by_an_old_message() {
    let (house, id) = with_web().await;
    let now = FixedClock.now();
    let say = |call: &Call| signed(&house, call, &parties("site-b", "site-a"), now);
    let (_, mut body) = changed(&house, 9, |_| ()).await;
    body["metadata"]["force"] = json!(true);
    let force = Call {
        method: Method::PUT,
        path: metadata_of(PROJECT_A, &id),
        body: body.to_string(),
    };
    let forced = say(&force);
    deliver(&house, &force, forced.clone()).await.expect(200);
    let withdraw = calls(&house, &id).await.pop().unwrap();
    let withdrawn = say(&withdraw);
    deliver(&house, &withdraw, withdrawn.clone())
        .await
        .expect(204);
    let refused = deliver(&house, &force, forced).await.expect(409);
    assert!(
        refused.message().contains("was deleted here"),
        "{}",
        refused.message()
    );
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
    // Nor does one that a person has brought back go by one.
    deliver(&house, &force, say(&force)).await.expect(200);
    deliver(&house, &withdraw, withdrawn).await.expect(204);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_peer_of_an_older_release_is_heard_until_its_key_is_known() {
    let house = House::new().await;
    house
        .outside
        .peer
        .signs_nothing
        .store(true, Ordering::SeqCst);
    let house = house.furnish().await;
    assert_eq!(pinned(&house).await, Value::Null);
    let unsigned = async |path: &str| {
        let headers = headers_with("service");
        house
            .deliver(Method::GET, path, headers, Body::empty())
            .await
    };
    let path = metadata_of(PROJECT_A, UNKNOWN);
    unsigned(&path).await.expect(404);
    // It is upgraded: from the first call that it signs on, none without is believed.
    house
        .outside
        .peer
        .signs_nothing
        .store(false, Ordering::SeqCst);
    house.get(&path, "service").await.expect(404);
    assert_ne!(pinned(&house).await, Value::Null);
    let refused = unsigned(&path).await.expect(403);
    assert!(
        refused.message().contains("is not signed"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn a_signature_alone_pins_nothing() {
    let house = House::new().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let house = house.furnish().await;
    // It cannot be asked which key is its own: no better than a token alone, and what comes with it is not kept.
    let path = metadata_of(PROJECT_A, UNKNOWN);
    house.get(&path, "service").await.expect(404);
    assert_eq!(pinned(&house).await, Value::Null);
    house.outside.peer.away.store(false, Ordering::SeqCst);
    let told = house.outside.peer.key.lock().unwrap().clone();
    let forged = Call {
        method: Method::GET,
        path,
        body: String::new(),
    };
    *house.outside.peer.key.lock().unwrap() = new_key();
    let headers = signed(
        &house,
        &forged,
        &parties("site-b", "site-a"),
        FixedClock.now(),
    );
    *house.outside.peer.key.lock().unwrap() = told.clone();
    deliver(&house, &forged, headers).await.expect(403);
    assert_eq!(pinned(&house).await, json!(told.public.fingerprint()));
}

#[tokio::test]
async fn a_changed_key_counts_when_an_administrator_says_so() {
    let (house, id) = with_web().await;
    let path = metadata_of(PROJECT_A, &id);
    let old = pinned(&house).await;
    *house.outside.peer.key.lock().unwrap() = new_key();
    let new = house.outside.peer.key.lock().unwrap().public.fingerprint();
    house.get(&path, "service").await.expect(403);
    let set = async |token: &str, key: Value| {
        let body = json!({"site": {"peer_key": key}});
        house
            .send(Method::PUT, "/v1/admin/sites/site-b", token, body)
            .await
    };
    set("member", json!(new)).await.expect(403);
    let refused = set("admin", json!(format!("SHA256:{}", "A".repeat(43))))
        .await
        .expect(409);
    assert!(refused.message().contains(&new), "{}", refused.message());
    set("admin", json!("rubbish")).await.expect(400);
    assert_eq!(pinned(&house).await, old);
    house.get(&path, "service").await.expect(403);
    let shown = set("admin", json!(new)).await.expect(200);
    assert_eq!(shown.body["site"]["key_fingerprint"], json!(new));
    house.get(&path, "service").await.expect(200);
    // Or it is forgotten, and the next one counts that the protector tells.
    *house.outside.peer.key.lock().unwrap() = new_key();
    house.get(&path, "service").await.expect(403);
    let shown = set("admin", Value::Null).await.expect(200);
    assert_eq!(shown.body["site"]["key_fingerprint"], Value::Null);
    house.get(&path, "service").await.expect(200);
    assert_ne!(pinned(&house).await, Value::Null);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    set("admin", json!(new)).await.expect(503);
    let body = json!({"site": {"peer_key": null, "description": "x"}});
    let both = house
        .send(Method::PUT, "/v1/admin/sites/site-b", "admin", body)
        .await;
    both.expect(400);
    let body = json!({"site": {"peer_key": null}});
    let own = house
        .send(Method::PUT, "/v1/admin/sites/site-a", "admin", body)
        .await;
    own.expect(400);
}

#[tokio::test]
async fn no_more_is_kept_of_what_the_other_site_sends_than_the_quota_says() {
    let (house, id) = with_web().await;
    let house = house.with_copy_quota(CopyQuota {
        groups: Some(1),
        operations: Some(1),
    });
    let another = |document: &mut Value| {
        document["group"]["id"] = json!(UNKNOWN);
        document["group"]["name"] = json!("one-more");
        document["members"] = json!([]);
    };
    let before = house.everything().await;
    let path = metadata_of(PROJECT_A, UNKNOWN);
    let said = offered(&house, &path, another).await.expect(403);
    let said = said.message();
    assert!(
        said.starts_with("Quota exceeded for protection groups"),
        "{said}"
    );
    assert!(said.contains("peer_protection_groups"), "{said}");
    assert_eq!(house.everything().await, before);
    // What is known is brought up to date.
    let path = metadata_of(PROJECT_A, &id);
    let change = |document: &mut Value| document["group"]["description"] = json!("newer");
    offered(&house, &path, change).await.expect(200);

    let path = |operation: &str| format!("/v1/{PROJECT_A}/operations/{operation}/copy");
    let first = copy("site-b", &id);
    let put = async |operation: &str, body: Value| {
        let path = path(operation);
        house.send(Method::PUT, &path, "service", body).await
    };
    put("op-1", first.clone()).await.expect(200);
    let mut second = first;
    second["operation_copy"]["record"]["id"] = json!("op-2");
    let said = put("op-2", second).await.expect(403);
    let said = said.message();
    assert!(said.starts_with("Quota exceeded for records"), "{said}");
}
