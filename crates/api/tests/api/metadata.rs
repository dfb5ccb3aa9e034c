//! Metadata from the other site.

use http::Method;
use protector_store::MetadataDocument;
use serde_json::{Value, json};

use crate::{
    fakes::{PROJECT_A, WEB},
    house::{Answer, House, group_path},
};

/// The group's metadata as it is here with `change` made to it, as if the other site had changed it to `version`.
pub async fn changed(
    house: &House,
    version: u64,
    change: impl FnOnce(&mut Value),
) -> (String, Value) {
    let stored = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap();
    let id = &stored.group.id;
    let ours = house.database.metadata_outgoing(id).await.unwrap();
    let mut document = ours.document.to_json().unwrap();
    document["group"]["version"] = json!(version);
    change(&mut document);
    let parsed = MetadataDocument::from_json(document.clone());
    let digest = parsed.map_or_else(|_| "none".to_owned(), |parsed| parsed.digest().unwrap());
    let base = ours.side.now;
    let body = json!({"metadata": {
        "version": version, "digest": digest, "origin_site": "site-b",
        "base": {"version": base.version, "digest": base.digest}, "document": document,
    }});
    (id.to_string(), body)
}

async fn pushed(house: &House, version: u64) -> (String, Value) {
    changed(house, version, |_| ()).await
}

async fn put(house: &House, group: &str, token: &str, body: Value) -> Answer {
    house
        .send(Method::PUT, &group_path(group, "/metadata"), token, body)
        .await
}

#[tokio::test]
async fn newer_metadata_is_taken_over() {
    let house = House::with_member(WEB).await;
    let rename =
        |name: &'static str| move |document: &mut Value| document["group"]["name"] = json!(name);
    let (id, body) = changed(&house, 9, rename("renamed")).await;
    let (_, other) = changed(&house, 9, rename("other")).await;
    put(&house, &id, "member", body.clone()).await.expect(403);
    put(&house, &id, "", body.clone()).await.expect(401);
    let taken = put(&house, &id, "service", body.clone()).await.expect(200);
    let digest = &body["metadata"]["digest"];
    let kept = json!({"metadata": {"version": 9, "digest": digest}});
    assert_eq!(taken.body, kept);
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

    // Made from what was here before: whoever sent it has not seen that it was renamed.
    house
        .send(
            Method::PUT,
            &group_path("renamed", ""),
            "member",
            json!({"protection_group": {"description": "mine"}}),
        )
        .await
        .expect(200);
    let differs = put(&house, &id, "service", other).await.expect(409);
    assert_eq!(differs.key(), "conflictingRequest");
    assert!(
        differs.message().contains("is in conflict"),
        "{}",
        differs.message()
    );
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
    let long = "x".repeat(crate::house::MAX_BODY * 2);
    let (id, body) = changed(&house, 9, |document| {
        document["members"][0]["server"]["user_data"] = json!(long);
    })
    .await;
    put(&house, &id, "member", body.clone()).await.expect(403);
    put(&house, &id, "service", body).await.expect(200);
}

#[tokio::test]
async fn a_withdrawn_group_is_forgotten() {
    let house = House::with_member(WEB).await;
    let (id, body) = pushed(&house, 9).await;
    let base = &body["metadata"]["base"];
    let digest = base["digest"].as_str().unwrap();
    let known = format!("/metadata?version={}&digest={digest}", base["version"]);
    let path = group_path(&id, &known);
    let other = group_path(&id, &format!("/metadata?version=9&digest={digest}"));
    house.delete(&other, "service").await.expect(409);
    house
        .delete(&group_path(&id, "/metadata"), "service")
        .await
        .expect(400);
    house.delete(&path, "member").await.expect(403);
    house.delete(&path, "service").await.expect(204);
    house.delete(&path, "service").await.expect(204);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
    // What was on its way when it was deleted does not bring it back.
    let late = put(&house, &id, "service", body.clone()).await.expect(409);
    assert!(
        late.message().contains("was deleted here"),
        "{}",
        late.message()
    );
    // Somebody who wants it back does.
    let mut forced = body;
    forced["metadata"]["force"] = json!(true);
    put(&house, &id, "service", forced).await.expect(200);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
}
