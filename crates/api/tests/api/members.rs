//! Members of groups.

use std::sync::atomic::Ordering;

use http::Method;
use protector_core::clock::Clock as _;
use protector_store::{Precondition, Removable};
use serde_json::json;

use crate::{
    engine,
    fakes::{DB, FixedClock, NET_A, PROJECT_A, WEB},
    house::{House, group_path},
};

#[tokio::test]
async fn a_server_is_captured_whole() {
    let house = House::with_group().await;
    let made = house.add(WEB).await.expect(201);
    let member = &made.body["member"];
    assert_eq!(member["name"], "web-server-1");
    assert_eq!(member["server_id"], WEB);
    assert_eq!(member["status"], "protected");
    assert_eq!(
        member["flavor"],
        json!({"id": "flavor-1", "name": "m1.small", "vcpus": 1, "ram": 2048})
    );
    assert_eq!(
        member["networks"],
        json!([{"network_id": NET_A, "fixed_ips": ["10.0.1.5"]}])
    );
    assert_eq!(member["security_groups"], json!(["default"]));
    assert_eq!(member["key_name"], "alice");
    assert_eq!(member["metadata"], json!({"tier": "web"}));
    assert_eq!(member["availability_zone"], "nova");
    let volumes: Vec<(&str, bool)> = member["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| {
            (
                volume["id"].as_str().unwrap(),
                volume["boot"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(volumes, [("vol-boot-ws1", true), ("vol-data-ws1", false)]);
    let stored = house
        .database
        .group_show(&crate::fakes::PROJECT_A.into(), "web")
        .await
        .unwrap();
    let members = house.database.member_list(&stored.group.id).await.unwrap();
    let key = members[0].server.key_pair.as_ref().unwrap();
    assert_eq!(key.public_key.as_deref(), Some("ssh-ed25519 AAAA alice"));
}

#[tokio::test]
async fn members_are_found_by_name_id_and_server() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    let listed = house
        .get(&group_path("web", "/members"), "reader")
        .await
        .expect(200);
    assert_eq!(listed.body["members"].as_array().unwrap().len(), 2);
    let id = listed.body["members"][0]["id"].as_str().unwrap();
    for name in ["db-server", id, DB] {
        let path = group_path("web", &format!("/members/{name}"));
        let shown = house.get(&path, "reader").await.expect(200);
        assert_eq!(shown.body["member"]["server_id"], DB);
    }
    house
        .get(&group_path("web", "/members/nobody"), "member")
        .await
        .expect(404);
    let group = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    assert_eq!(group.body["protection_group"]["member_count"], 2);
}

#[tokio::test]
async fn a_member_is_removed_from_the_records_only() {
    let house = House::with_member(WEB).await;
    let path = group_path("web", "/members/web-server-1");
    house.delete(&path, "reader").await.expect(403);
    house.delete(&path, "").await.expect(401);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    house.delete(&path, "member").await.expect(409);
    house.outside.peer.away.store(false, Ordering::SeqCst);
    house.delete(&path, "member").await.expect(204);
    house.delete(&path, "member").await.expect(404);
}

#[tokio::test]
async fn a_server_is_in_one_group_once() {
    let house = House::with_member(WEB).await;
    let again = house.add(WEB).await.expect(409);
    assert!(again.message().contains(WEB), "{}", again.message());
}

/// The cleanup of an operation may delete it at any moment.
#[tokio::test]
async fn what_a_running_cleanup_is_to_delete_is_not_taken_in() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    engine::settle(&house, &["delete_source"]).await;
    let group = house.database.group_show(&PROJECT_A.into(), "web").await;
    let group = group.unwrap().group;
    let at_rest = house
        .database
        .group_put_at_rest(&group.id, group.version, FixedClock.now());
    assert!(at_rest.await.unwrap());
    let members = house.database.member_list(&group.id).await.unwrap();
    house
        .database
        .member_delete(
            &group.id,
            members[0].id.as_str(),
            Removable::Recovered,
            Precondition::Any,
            FixedClock.now(),
        )
        .await
        .unwrap();
    let started = engine::cleanup(&house, &id, "member").await.expect(202);
    let cleanup = started.body["operation"]["id"].as_str().unwrap();
    let before = house.everything().await;
    let refused = house.add(WEB).await.expect(409);
    for said in [WEB, cleanup, "dr operation show"] {
        assert!(refused.message().contains(said), "{}", refused.message());
    }
    assert_eq!(house.everything().await, before);
    engine::settle(&house, &["delete_source"]).await;
    house.add(WEB).await.expect(201);
}

#[tokio::test]
async fn user_data_comes_from_the_request_where_the_cloud_hides_it() {
    let house = House::with_group().await;
    let path = group_path("web", "/members");
    let body = |data: &str| json!({"member": {"server_id": WEB, "user_data": data}});
    let bad = house
        .send(Method::POST, &path, "member", body("#cloud-config"))
        .await
        .expect(400);
    assert!(bad.message().contains("user_data"));
    house
        .send(Method::POST, &path, "member", body("I2Nsb3Vk"))
        .await
        .expect(201);
    let stored = house
        .database
        .group_show(&crate::fakes::PROJECT_A.into(), "web")
        .await
        .unwrap();
    let group = &stored.group.id;
    let members = house.database.member_list(group).await.unwrap();
    let members = house.database.opened(group, members);
    assert_eq!(
        members[0]
            .server
            .user_data
            .as_ref()
            .map(|data| data.expose()),
        Some(Ok("I2Nsb3Vk"))
    );
}

#[tokio::test]
async fn what_would_be_lost_with_the_original_is_not_taken_up() {
    let house = House::with_group().await;
    let clouds = &house.outside.clouds;
    *clouds.volume_change.lock().unwrap() = Some(|volume| volume.traits.encrypted = true);
    let answer = house.add(WEB).await.expect(400);
    let said = answer.message();
    assert!(
        said.contains("server web-server-1 has the encrypted volume vol-"),
        "{said}"
    );
    assert!(said.contains("its deletion destroys the key"), "{said}");
    *clouds.volume_change.lock().unwrap() = None;
    *clouds.server_change.lock().unwrap() = Some(|server| server.traits.ephemeral_gib = 20);
    let answer = house.add(WEB).await.expect(400);
    let said = answer.message();
    assert!(said.contains("an ephemeral disk of 20 GiB"), "{said}");
    let members = house.get(&group_path("web", "/members"), "reader").await;
    assert_eq!(members.expect(200).body["members"], json!([]));
}

#[tokio::test]
async fn what_a_copy_comes_up_without_is_told_when_its_original_is_added() {
    let house = House::with_group().await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.traits.swap_mib = 512;
        let gpu = ("pci_passthrough:alias".to_owned(), "a100:1".to_owned());
        server.traits.extra_specs.extend([gpu]);
    });
    let added = house.add(WEB).await.expect(201);
    let warnings = added.body["member"]["warnings"].as_array().unwrap();
    let warnings: Vec<&str> = warnings.iter().filter_map(|said| said.as_str()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("pci_passthrough:alias=a100:1"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("a swap disk of 512 MiB"),
        "{warnings:?}"
    );
    let path = group_path("web", "/members/web-server-1");
    let shown = house.get(&path, "reader").await;
    assert!(shown.expect(200).body["member"]["warnings"].is_null());
}

/// The caller is `user-1`, and may have a `mykey` of his own.
#[tokio::test]
async fn the_key_pair_is_that_of_who_made_the_server() {
    let house = House::with_group().await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.key_name = Some("mykey".to_owned());
        server.user_id = Some("bob".into());
    });
    house.add(WEB).await.expect(201);
    let stored = house.database.group_show(&PROJECT_A.into(), "web").await;
    let group = stored.unwrap().group;
    let members = house.database.member_list(&group.id).await.unwrap();
    let key = members[0].server.key_pair.as_ref().unwrap();
    assert_eq!(key.name, "mykey");
    assert_eq!(key.public_key.as_deref(), Some("ssh-ed25519 AAAA bob"));
}
