//! `ETag` and `If-Match`: nobody overwrites what they have not seen.

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::{
    fakes::{DB, NET_A, NET_B, WEB},
    house::{Answer, House, group_body, group_path, groups_path, policy_body},
};

const PARTS: [&str; 5] = [
    "",
    "/policy",
    "/resource-mappings",
    "/recovery-plan",
    "/members",
];

async fn tag(house: &House) -> String {
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    let tag = shown.header("etag").to_owned();
    let version = shown.body["protection_group"]["version"].as_u64().unwrap();
    assert_eq!(tag, format!("\"{version}\""));
    tag
}

async fn if_match(house: &House, method: Method, part: &str, tag: &str, body: Value) -> Answer {
    let headers = [
        ("x-auth-token", "member"),
        ("content-type", "application/json"),
        ("if-match", tag),
    ];
    let path = group_path("web", part);
    let body = Body::from(body.to_string());
    house.request(method, &path, &headers, body).await
}

fn description() -> Value {
    json!({"protection_group": {"description": "x"}})
}

fn rpo() -> Value {
    json!({"policy": {"rpo_minutes": 30}})
}

fn mapping() -> Value {
    json!({"resource_mappings": {"network_mapping": {NET_A: NET_B}}})
}

/// Each change that may rest on a version.
fn changes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::PUT, "", description()),
        (Method::PUT, "/policy", rpo()),
        (Method::PUT, "/resource-mappings", mapping()),
        (
            Method::PUT,
            "/recovery-plan",
            json!({"recovery_plan": {"pauses": [{"before_priority": 2, "message": "wait"}]}}),
        ),
        (Method::DELETE, "/members/web-server-1", Value::Null),
        (Method::DELETE, "/policy", Value::Null),
        (Method::DELETE, "", Value::Null),
    ]
}

#[tokio::test]
async fn what_is_shown_of_a_group_carries_its_version() {
    let house = House::with_member(WEB).await;
    let tag = tag(&house).await;
    for part in PARTS {
        let shown = house.get(&group_path("web", part), "reader").await;
        assert_eq!(shown.expect(200).header("etag"), tag, "{part}");
    }
    let member = house
        .get(&group_path("web", "/members/web-server-1"), "reader")
        .await;
    assert_eq!(member.expect(200).header("etag"), tag);
}

#[tokio::test]
async fn what_a_change_answers_carries_the_new_version() {
    let house = House::furnished().await;
    let made = house
        .send(Method::POST, &groups_path(), "member", group_body("web"))
        .await;
    assert_eq!(made.expect(201).header("etag"), "\"1\"");
    let policy = group_path("web", "/policy");
    let made = house
        .send(Method::POST, &policy, "member", policy_body())
        .await;
    assert_eq!(made.expect(201).header("etag"), "\"2\"");
    assert_eq!(house.add(WEB).await.expect(201).header("etag"), "\"3\"");
    for (number, (method, part, body)) in changes().into_iter().take(4).enumerate() {
        let changed = house
            .send(method, &group_path("web", part), "member", body)
            .await;
        assert_eq!(
            changed.expect(200).header("etag"),
            format!("\"{}\"", number + 4)
        );
    }
    assert_eq!(tag(&house).await, "\"7\"");
}

#[tokio::test]
async fn a_change_that_rests_on_an_old_version_is_refused() {
    let house = House::with_member(WEB).await;
    let old = tag(&house).await;
    house.add(DB).await.expect(201);
    let new = tag(&house).await;
    let before = house.everything().await;
    for (method, part, body) in changes() {
        let refused = if_match(&house, method, part, &old, body).await.expect(412);
        assert_eq!(refused.key(), "preconditionFailed");
        for version in [&old, &new] {
            let version = version.trim_matches('"');
            let says = format!("version {version}");
            assert!(refused.message().contains(&says), "{}", refused.message());
        }
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_change_that_rests_on_the_current_version_is_made() {
    let house = House::with_member(WEB).await;
    let last = changes().len() - 1;
    for (number, (method, part, body)) in changes().into_iter().enumerate() {
        let tag = tag(&house).await;
        // One among several, as the header allows.
        let tags = format!("\"999\", {tag}");
        let answer = if_match(&house, method.clone(), part, &tags, body).await;
        let expected = if method == Method::PUT { 200 } else { 204 };
        answer.expect(expected);
        assert!(number == last || self::tag(&house).await != tag);
    }
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
}

#[tokio::test]
async fn any_version_will_do_for_a_star_and_a_weak_tag_for_none() {
    let house = House::with_member(WEB).await;
    if_match(&house, Method::PUT, "", "*", description())
        .await
        .expect(200);
    let weak = format!("W/{}", tag(&house).await);
    if_match(&house, Method::PUT, "", &weak, description())
        .await
        .expect(412);
    let unquoted = if_match(&house, Method::PUT, "", "7", description()).await;
    let unquoted = unquoted.expect(400);
    assert!(
        unquoted.message().starts_with("If-Match: "),
        "{}",
        unquoted.message()
    );
}

#[tokio::test]
async fn what_is_not_there_is_404_whatever_the_version() {
    let house = House::furnished().await;
    if_match(&house, Method::PUT, "", "\"1\"", description())
        .await
        .expect(404);
}
