//! The table of bad input: a clear error each, and nothing changed in the database.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::{
    fakes::{FOREIGN, IMAGE, NET_B, OTHER_PROJECT, PLAIN, WEB},
    house::{House, MAX_BODY, failover_body, group_body, group_path, groups_path},
};

/// Sends one bad request and sees that it is refused as told and that nothing has changed.
struct Bad<'h> {
    house: &'h House,
    before: Value,
}

impl<'h> Bad<'h> {
    async fn new(house: &'h House) -> Self {
        let before = house.everything().await;
        Self { house, before }
    }

    #[track_caller]
    fn same(&self, after: &Value) {
        assert_eq!(&self.before, after, "something has changed");
    }

    async fn refused(&self, path: &str, token: &str, body: Value, status: u16, says: &[&str]) {
        self.refused_text(path, token, body.to_string(), status, says)
            .await;
    }

    async fn refused_text(
        &self,
        path: &str,
        token: &str,
        body: String,
        status: u16,
        says: &[&str],
    ) {
        let answer = self
            .house
            .send_text(Method::POST, path, token, body)
            .await
            .expect(status);
        for words in says {
            assert!(
                answer.message().contains(words),
                "'{}' does not say '{words}'",
                answer.message()
            );
        }
        self.same(&self.house.everything().await);
    }
}

#[tokio::test]
async fn wrong_token() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let path = group_path("web", "/action");
    let says = ["requires authentication"];
    bad.refused(&path, "nonsense", failover_body(), 401, &says)
        .await;
}

#[tokio::test]
async fn other_tenants_group() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let own_path = format!("/v1/{OTHER_PROJECT}/protection-groups/web");
    let answer = house.get(&own_path, "other").await.expect(404);
    assert_eq!(answer.message(), "Protection group web could not be found.");
    let says = ["could not be found"];
    let path = format!("{own_path}/action");
    bad.refused(&path, "other", failover_body(), 404, &says)
        .await;
    let path = group_path("web", "/action");
    bad.refused(&path, "other", failover_body(), 404, &["Project"])
        .await;
}

#[tokio::test]
async fn unknown_site() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let mut body = group_body("second");
    body["protection_group"]["secondary_site"] = json!("site-x");
    let says = ["secondary_site", "site-x", "openstack dr site list"];
    bad.refused(&groups_path(), "member", body, 400, &says)
        .await;
}

#[tokio::test]
async fn server_with_an_ineligible_or_foreign_volume() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let path = group_path("web", "/members");
    for (server, says) in [
        (
            PLAIN,
            vec!["vol-plain", "ineligible", "replication_enabled"],
        ),
        (
            FOREIGN,
            vec!["vol-foreign", "foreign backend", "mock://array-a"],
        ),
        (IMAGE, vec!["server_id", "boots from an image"]),
        (
            "7a3f2c11-0001-4b22-a918-0000000000ff",
            vec!["server_id", "has no server"],
        ),
    ] {
        let body = json!({"member": {"server_id": server}});
        bad.refused(&path, "member", body, 400, &says).await;
    }
    let body = json!({"member": {"server_id": "web-server-1"}});
    bad.refused(&path, "member", body, 400, &["member.server_id"])
        .await;
}

#[tokio::test]
async fn missing_network_mapping() {
    let house = House::with_member(WEB).await;
    let none = json!({"resource_mappings": {"network_mapping": {NET_B: NET_B}}});
    let path = group_path("web", "/resource-mappings");
    house
        .send(Method::PUT, &path, "member", none)
        .await
        .expect(200);
    let bad = Bad::new(&house).await;
    let path = group_path("web", "/action");
    let says = ["network_mapping", "web-server-1"];
    bad.refused(&path, "member", failover_body(), 400, &says)
        .await;
}

#[tokio::test]
async fn double_failover() {
    let house = House::with_member(WEB).await;
    let path = group_path("web", "/action");
    let first = house
        .send(Method::POST, &path, "member", failover_body())
        .await
        .expect(202);
    let id = first.body["operation"]["id"].as_str().unwrap().to_owned();
    let bad = Bad::new(&house).await;
    let says = [id.as_str(), "running", "failing_over"];
    bad.refused(&path, "member", failover_body(), 409, &says)
        .await;
}

#[tokio::test]
async fn failovers_at_the_same_moment_end_in_one() {
    let house = House::with_member(WEB).await;
    let path = group_path("web", "/action");
    let both = futures_util::future::join_all(
        (0..4).map(|_| house.send(Method::POST, &path, "member", failover_body())),
    )
    .await;
    let mut codes: Vec<u16> = both.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [202, 409, 409, 409]);
}

#[tokio::test]
async fn unreachable_keystone() {
    let house = House::with_member(WEB).await;
    let before = house.everything().await;
    let path = group_path("web", "/action");
    house.outside.keystone.away.store(true, Ordering::SeqCst);
    // A token that was validated before goes on working; a new one cannot be validated.
    let answer = house
        .send(Method::POST, &path, "other", failover_body())
        .await
        .expect(503);
    assert_eq!(
        answer.message(),
        "The Keystone service is temporarily unavailable."
    );
    house.outside.keystone.away.store(false, Ordering::SeqCst);
    assert_eq!(before, house.everything().await);
}

#[tokio::test]
async fn unreachable_cloud() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-a".to_owned());
    let body = json!({"member": {"server_id": crate::fakes::DB}});
    let path = group_path("web", "/members");
    bad.refused(&path, "member", body, 503, &["site-a does not answer"])
        .await;
}

#[tokio::test]
async fn malformed_json() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let path = group_path("web", "/action");
    let body = "{\"failover\": {\"type\": \"planned\"".to_owned();
    bad.refused_text(&path, "member", body, 400, &["Malformed JSON", "line 1"])
        .await;
    let body = "{\"failover\": {\"type\": \"planned\", \"network_mapping\": 3}}".to_owned();
    bad.refused_text(&path, "member", body, 400, &["failover.network_mapping"])
        .await;
    let body = "{\"failover\": {\"type\": 3}}".to_owned();
    bad.refused_text(&path, "member", body, 400, &["failover.type"])
        .await;
}

#[tokio::test]
async fn oversized_body() {
    let house = House::with_member(WEB).await;
    let bad = Bad::new(&house).await;
    let body = format!("{{\"failover\": \"{}\"}}", "x".repeat(MAX_BODY));
    let path = group_path("web", "/action");
    bad.refused_text(&path, "member", body, 413, &["too large"])
        .await;
}
