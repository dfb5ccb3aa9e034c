//! Protection groups, their policies and mappings.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::{
    fakes::{NET_A, NET_B, PROJECT_A, WEB},
    house::{House, group_body, group_path, groups_path, policy_body},
};

async fn make(house: &House, token: &str, body: Value) -> crate::house::Answer {
    house.send(Method::POST, &groups_path(), token, body).await
}

#[tokio::test]
async fn a_member_makes_a_group() {
    let house = House::furnished().await;
    let made = make(&house, "member", group_body("prod-web-app"))
        .await
        .expect(201);
    let group = &made.body["protection_group"];
    assert_eq!(group["name"], "prod-web-app");
    assert_eq!(group["project_id"], PROJECT_A);
    assert_eq!(group["primary_site"], "site-a");
    assert_eq!(group["current_primary_site"], "site-a");
    assert_eq!(group["current_primary_site_id"], group["primary_site_id"]);
    assert_eq!(group["status"], "active");
    assert_eq!(group["volume_type_id"], "type-replicated");
    assert_eq!(group["secondary_volume_type_id"], "type-replicated");
    assert_eq!(group["network_mapping"], json!({NET_A: NET_B}));
    assert_eq!(group["member_count"], 0);
    assert_eq!(group["version"], 1);
    assert_eq!(group["sync_status"], "OUT OF SYNC");
    let id = group["id"].as_str().unwrap();
    for name in ["prod-web-app", id] {
        let shown = house.get(&group_path(name, ""), "reader").await.expect(200);
        assert_eq!(&shown.body["protection_group"], group);
    }
}

#[tokio::test]
async fn a_reader_or_nobody_makes_no_group() {
    let house = House::furnished().await;
    make(&house, "reader", group_body("web")).await.expect(403);
    make(&house, "", group_body("web")).await.expect(401);
}

#[tokio::test]
async fn a_group_is_unique_by_name_in_its_project() {
    let house = House::with_group().await;
    let answer = make(&house, "member", group_body("web")).await.expect(409);
    assert!(answer.message().contains("web"), "{}", answer.message());
}

#[tokio::test]
async fn a_wrong_group_is_refused_by_field() {
    let house = House::furnished().await;
    for (field, value, named) in [
        ("name", json!(""), "protection_group.name"),
        (
            "primary_site",
            json!("site-x"),
            "protection_group.primary_site",
        ),
        (
            "secondary_site",
            json!("site-a"),
            "protection_group.secondary_site",
        ),
        (
            "replication_type",
            json!("weekly"),
            "protection_group.replication_type",
        ),
        (
            "replication_type",
            json!("sync"),
            "protection_group.volume_type",
        ),
        (
            "volume_type",
            json!("plain"),
            "protection_group.volume_type",
        ),
        ("volume_type", json!("tin"), "protection_group.volume_type"),
        (
            "secondary_volume_type",
            json!("plain"),
            "protection_group.secondary_volume_type",
        ),
        (
            "network_mapping",
            json!({"net": "net"}),
            "protection_group.network_mapping",
        ),
        ("colour", json!("red"), "colour"),
    ] {
        let mut body = group_body("web");
        body["protection_group"][field] = value;
        let answer = make(&house, "member", body).await.expect(400);
        assert!(answer.message().contains(named), "{}", answer.message());
    }
    let groups = house.get(&groups_path(), "member").await.expect(200);
    assert_eq!(groups.body["protection_groups"], json!([]));
}

#[tokio::test]
async fn a_group_needs_a_tenant_mapping_and_its_other_site() {
    let house = House::furnished().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let answer = make(&house, "member", group_body("web")).await.expect(409);
    assert_eq!(
        answer.message(),
        "Remote site unreachable — metadata sync required"
    );
    house.outside.peer.away.store(false, Ordering::SeqCst);
    let mappings = house.database.tenant_mapping_list().await.unwrap();
    house
        .database
        .tenant_mapping_delete(&mappings[0].id)
        .await
        .unwrap();
    let answer = make(&house, "member", group_body("web")).await.expect(409);
    assert!(
        answer
            .message()
            .contains("openstack dr tenant mapping create"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn groups_are_listed_in_pages() {
    let house = House::furnished().await;
    for name in ["c", "a", "b"] {
        make(&house, "member", group_body(name)).await.expect(201);
    }
    let names = |body: &Value| -> Vec<String> {
        body["protection_groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = house
        .get(&format!("{}?limit=2", groups_path()), "member")
        .await
        .expect(200);
    assert_eq!(names(&first.body), ["a", "b"]);
    let next = first.body["protection_groups_links"][0]["href"]
        .as_str()
        .unwrap();
    let second = house.get(next, "member").await.expect(200);
    assert_eq!(names(&second.body), ["c"]);
    assert!(second.body.get("protection_groups_links").is_none());
    for (query, found) in [
        ("sort_dir=desc", vec!["c", "b", "a"]),
        ("name=b", vec!["b"]),
        ("status=active&limit=1", vec!["a"]),
        ("status=error", vec![]),
    ] {
        let path = format!("{}?{query}", groups_path());
        assert_eq!(
            names(&house.get(&path, "reader").await.expect(200).body),
            found
        );
    }
    for query in [
        "limit=0",
        "limit=x",
        "marker=nobody",
        "status=odd",
        "colour=red",
        "sort_key=x",
    ] {
        let path = format!("{}?{query}", groups_path());
        assert_eq!(
            house.get(&path, "member").await.expect(400).key(),
            "badRequest"
        );
    }
}

#[tokio::test]
async fn a_change_raises_the_version_and_needs_the_other_site() {
    let house = House::with_group().await;
    let path = group_path("web", "");
    let before = house.get(&path, "member").await.expect(200).body["protection_group"]["version"]
        .as_u64()
        .unwrap();
    let body = json!({"protection_group": {"name": "shop", "description": "the shop"}});
    house
        .send(Method::PUT, &path, "reader", body.clone())
        .await
        .expect(403);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    house
        .send(Method::PUT, &path, "member", body.clone())
        .await
        .expect(409);
    house.outside.peer.away.store(false, Ordering::SeqCst);
    let changed = house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(200);
    let group = &changed.body["protection_group"];
    assert_eq!(group["name"], "shop");
    assert_eq!(group["description"], "the shop");
    assert_eq!(group["version"], before + 1);
    house.get(&path, "member").await.expect(404);
}

#[tokio::test]
async fn a_deleted_group_is_gone_here_and_there() {
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
    assert_eq!(house.outside.peer.pushed.lock().unwrap().len(), 1);
    house
        .delete(&group_path("web", ""), "reader")
        .await
        .expect(403);
    house
        .delete(&group_path("web", ""), "member")
        .await
        .expect(204);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
    assert_eq!(house.outside.peer.pushed.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_policy_hides_its_tokens_and_knows_its_arrays() {
    let house = House::with_group().await;
    let path = group_path("web", "/policy");
    let shown = house.get(&path, "reader").await.expect(200);
    let policy = &shown.body["policy"];
    assert_eq!(policy["primary_fa_url"], "mock://array-a");
    assert_eq!(policy["primary_fa_api_token"], "***");
    assert_eq!(policy["secondary_fa_api_token"], json!(null));
    assert_eq!(policy["rpo_minutes"], 15);
    house
        .send(Method::POST, &path, "member", policy_body())
        .await
        .expect(409);
    for (field, value) in [
        ("primary_array", json!("mock://array-x")),
        ("secondary_array", json!("mock://array-a")),
        ("secondary_array", json!("array b")),
        ("secondary_array", json!("array-b")),
        ("rpo_minutes", json!(0)),
        ("rpo_minutes", json!(-1)),
        ("rpo_minutes", json!(525_601)),
        ("rpo_minutes", json!(4_294_967_295_u32)),
    ] {
        let body = json!({"policy": {field: value}});
        let answer = house
            .send(Method::PUT, &path, "member", body)
            .await
            .expect(400);
        assert!(
            answer.message().contains(&format!("policy.{field}")),
            "{}",
            answer.message()
        );
    }
    let body = json!({"policy": {"rpo_minutes": 5, "primary_fa_api_token": null}});
    let changed = house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(200);
    assert_eq!(changed.body["policy"]["rpo_minutes"], 5);
    assert_eq!(changed.body["policy"]["primary_fa_api_token"], json!(null));
    house.delete(&path, "reader").await.expect(403);
    house.delete(&path, "member").await.expect(204);
    let gone = house.get(&path, "member").await.expect(404);
    assert!(gone.message().contains("openstack dr policy create"));
}

#[tokio::test]
async fn a_policy_shows_what_its_arrays_can_do_from_version_1_3_on() {
    let house = House::with_group().await;
    let path = group_path("web", "/policy");
    let old = house.get(&path, "reader").await.expect(200).body["policy"].clone();
    assert_eq!(
        (old.get("primary_array"), old.get("capabilities")),
        (None, None)
    );
    let spoken = [
        ("x-auth-token", "reader"),
        ("openstack-api-version", "protector 1.3"),
    ];
    let new = house
        .request(Method::GET, &path, &spoken, Body::empty())
        .await
        .expect(200);
    let policy = &new.body["policy"];
    assert_eq!(policy["primary_array"], "mock://array-a");
    assert_eq!(policy["secondary_array"], policy["secondary_fa_url"]);
    let can = &policy["capabilities"];
    assert_eq!(can["driver"], "MockStorageDriver");
    assert_eq!(can["promotion"], "copy");
    assert_eq!(can["consistency"], "group_when_quiet");
    assert_eq!(can["fences_source"], false);
}

#[tokio::test]
async fn arrays_that_are_not_set_up_for_each_other_are_refused_with_the_cure() {
    let house = House::with_group().await;
    let path = group_path("web", "/policy");
    let cure = "array ceph-b: mirroring is not enabled on pool volumes: 'rbd mirror pool enable volumes image'";
    *house.outside.arrays.findings.lock().unwrap() = vec![cure.to_owned()];
    // Only an operator can mend them, and the tenant's objective is another thing.
    let body = json!({"policy": {"rpo_minutes": 5}});
    let changed = house.send(Method::PUT, &path, "member", body).await;
    assert_eq!(changed.expect(200).body["policy"]["rpo_minutes"], 5);
    let before = house.get(&path, "reader").await.expect(200).body;
    let body = json!({"policy": {"primary_array": "mock://array-b", "secondary_array": "mock://array-a",
        "primary_fa_api_token": null}});
    let refused = house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(400);
    assert_eq!(
        refused.message(),
        format!(
            "policy.secondary_array: mock://array-b and mock://array-a are not set up for each other: {cure}."
        )
    );
    assert_eq!(house.get(&path, "reader").await.expect(200).body, before);
    house.delete(&path, "member").await.expect(204);
    let made = house
        .send(Method::POST, &path, "member", policy_body())
        .await;
    assert!(made.expect(400).message().contains(cure));
}

#[tokio::test]
async fn a_stored_token_goes_only_to_the_array_that_it_was_entered_for() {
    let house = House::with_group().await;
    let path = group_path("web", "/policy");
    let change = async |policy: Value| {
        let body = json!({"policy": policy});
        house.send(Method::PUT, &path, "member", body).await
    };
    let elsewhere = json!({"primary_fa_url": "https://attacker.example.org"});
    let refused = change(elsewhere).await.expect(400);
    let message = refused.message();
    assert!(
        message.starts_with("policy.primary_fa_api_token: is needed"),
        "{message}"
    );
    let shown = house.get(&path, "reader").await.expect(200);
    assert_eq!(shown.body["policy"]["primary_fa_url"], "mock://array-a");
    // The same array, and one without a token, need none.
    change(json!({"primary_fa_url": "mock://array-a", "rpo_minutes": 7}))
        .await
        .expect(200);
    let entered = json!({"primary_fa_url": "mock://array-x", "primary_fa_api_token": "new"});
    let unknown = change(entered).await.expect(400);
    let message = unknown.message();
    assert!(message.starts_with("policy.primary_array"), "{message}");
}

#[tokio::test]
async fn mappings_are_replaced_by_field() {
    let house = House::with_group().await;
    let path = group_path("web", "/resource-mappings");
    let body = json!({"resource_mappings": {"flavor_mapping": {"1": "m1.tiny"}}});
    house
        .send(Method::PUT, &path, "reader", body.clone())
        .await
        .expect(403);
    let changed = house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(200);
    let mappings = &changed.body["resource_mappings"];
    assert_eq!(mappings["network_mapping"], json!({NET_A: NET_B}));
    assert_eq!(mappings["flavor_mapping"], json!({"1": "m1.tiny"}));
    assert_eq!(
        &house.get(&path, "reader").await.expect(200).body["resource_mappings"],
        mappings
    );
    let more = json!({"resource_mappings": {
        "server_group_mapping": {NET_A: NET_B}, "volume_type_mapping": {NET_B: NET_A},
        "qos_policy_mapping": {"gold": NET_B}}});
    let changed = house.send(Method::PUT, &path, "member", more).await;
    let mappings = &changed.expect(200).body["resource_mappings"];
    assert_eq!(mappings["server_group_mapping"], json!({NET_A: NET_B}));
    assert_eq!(mappings["volume_type_mapping"], json!({NET_B: NET_A}));
    assert_eq!(mappings["qos_policy_mapping"], json!({"gold": NET_B}));
    assert_eq!(mappings["flavor_mapping"], json!({"1": "m1.tiny"}), "stays");
    let named = json!({"resource_mappings": {"server_group_mapping": {"web": NET_B}}});
    let refused = house.send(Method::PUT, &path, "member", named).await;
    let why = "resource_mappings.server_group_mapping: 'web' is not a server group's UUID.";
    assert!(refused.expect(400).message().contains(why));
}

#[tokio::test]
async fn sync_status_compares_both_sites_and_sync_force_brings_them_together() {
    let house = House::with_group().await;
    let status = house
        .get(&group_path("web", "/sync-status"), "reader")
        .await
        .expect(200);
    assert_eq!(status.body["sync_status"]["status"], "OUT OF SYNC");
    assert_eq!(status.body["sync_status"]["last_push"], json!(null));
    let force = group_path("web", "/sync-force");
    house
        .send(Method::POST, &force, "reader", json!({}))
        .await
        .expect(403);
    let forced = house
        .send(Method::POST, &force, "member", json!({}))
        .await
        .expect(202);
    let sync = &forced.body["sync_status"];
    assert_eq!(sync["status"], "IN SYNC");
    assert_eq!(sync["sites"][0]["site"], "site-a");
    assert_eq!(sync["sites"][0]["local"], true);
    assert_eq!(sync["sites"][0]["version"], sync["sites"][1]["version"]);
    assert_eq!(sync["last_push"]["result"], "OK");
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    assert_eq!(shown.body["protection_group"]["sync_status"], "IN SYNC");
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let status = house
        .get(&group_path("web", "/sync-status"), "reader")
        .await
        .expect(200);
    assert_eq!(status.body["sync_status"]["status"], "UNREACHABLE");
    assert_eq!(
        status.body["sync_status"]["sites"][1]["version"],
        json!(null)
    );
    let forced = house
        .send(Method::POST, &force, "member", json!({}))
        .await
        .expect(202);
    assert_eq!(forced.body["sync_status"]["last_push"]["result"], "FAILED");
}
