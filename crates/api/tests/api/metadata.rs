//! Metadata from the other site.

use http::Method;
use serde_json::{Value, json};

use crate::{
    fakes::{PROJECT_A, WEB},
    house::{Answer, House, group_path},
};

/// The group's metadata as it is here, as if the other site had sent it as `version`.
async fn pushed(house: &House, version: u64) -> (String, Value) {
    let stored = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap();
    let document = house
        .database
        .metadata_document(&stored.group.id)
        .await
        .unwrap();
    let mut document = document.to_json().unwrap();
    document["group"]["version"] = json!(version);
    let body =
        json!({"metadata": {"version": version, "origin_site": "site-b", "document": document}});
    (stored.group.id.to_string(), body)
}

async fn put(house: &House, group: &str, token: &str, body: Value) -> Answer {
    house
        .send(Method::PUT, &group_path(group, "/metadata"), token, body)
        .await
}

#[tokio::test]
async fn newer_metadata_is_taken_over() {
    let house = House::with_member(WEB).await;
    let (id, mut body) = pushed(&house, 9).await;
    body["metadata"]["document"]["group"]["name"] = json!("renamed");
    put(&house, &id, "member", body.clone()).await.expect(403);
    put(&house, &id, "", body.clone()).await.expect(401);
    let taken = put(&house, &id, "service", body.clone()).await.expect(200);
    assert_eq!(taken.body, json!({"metadata": {"version": 9}}));
    put(&house, &id, "service", body.clone()).await.expect(200);
    let group = house
        .get(&group_path("renamed", ""), "member")
        .await
        .expect(200);
    assert_eq!(group.body["protection_group"]["version"], 9);
    assert_eq!(group.body["protection_group"]["sync_status"], "IN SYNC");
    let listed = house
        .get(&group_path("renamed", "/members"), "member")
        .await
        .expect(200);
    assert_eq!(listed.body["members"].as_array().unwrap().len(), 1);

    body["metadata"]["document"]["group"]["name"] = json!("other");
    let differs = put(&house, &id, "service", body).await.expect(409);
    assert_eq!(differs.key(), "conflictingRequest");
}

#[tokio::test]
async fn metadata_must_be_of_this_group_and_these_sites() {
    let house = House::with_member(WEB).await;
    let (id, body) = pushed(&house, 9).await;
    put(
        &house,
        "7a3f2c11-0001-4b22-a918-0000000000ff",
        "service",
        body.clone(),
    )
    .await
    .expect(400);
    let mut own = body.clone();
    own["metadata"]["origin_site"] = json!("site-a");
    put(&house, &id, "service", own).await.expect(400);
    let mut broken = body;
    broken["metadata"]["document"]["group"]["status"] = json!("glorious");
    let answer = put(&house, &id, "service", broken).await.expect(400);
    assert!(
        answer.message().starts_with("metadata.document"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn large_metadata_is_read_from_the_peer_only() {
    let house = House::with_member(WEB).await;
    let (id, mut body) = pushed(&house, 9).await;
    let long = "x".repeat(crate::house::MAX_BODY * 2);
    body["metadata"]["document"]["members"][0]["server"]["user_data"] = json!(long);
    put(&house, &id, "member", body.clone()).await.expect(403);
    put(&house, &id, "service", body).await.expect(200);
}

#[tokio::test]
async fn a_withdrawn_group_is_forgotten() {
    let house = House::with_member(WEB).await;
    let (id, _) = pushed(&house, 9).await;
    let path = group_path(&id, "/metadata");
    house.delete(&path, "member").await.expect(403);
    house.delete(&path, "service").await.expect(204);
    house.delete(&path, "service").await.expect(204);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
}
