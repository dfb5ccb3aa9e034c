//! What an operator finds in the access log and in the audit trail.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use protector_oslo::{Config, log, log::LogFile};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;

use crate::{
    fakes::{PROJECT_A, WEB},
    house::{House, failover_body, group_body, group_path, groups_path, policy_body, site_body},
};

/// What is logged by this thread while it is in scope.
struct Logged {
    dir: TempDir,
    _guard: DefaultGuard,
}

impl Logged {
    fn now() -> Self {
        let dir = TempDir::new().unwrap();
        let file = LogFile::open(dir.path().join("api.log"), "the test").unwrap();
        let general = Config::from_str_for_tests("").unwrap().general;
        let subscriber = log::subscriber(&general, Arc::new(file));
        Self {
            dir,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// The lines of the access log.
    fn access(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.path().join("api.log")).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.contains(" protector_api::access "));
        lines.map(str::to_owned).collect()
    }
}

#[track_caller]
fn must_say(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "no {word} in: {line}");
    }
}

#[tokio::test]
async fn a_request_leaves_one_line_with_who_from_where_and_what_came_of_it() {
    let house = House::with_group().await;
    let logged = Logged::now();
    let path = group_path("web", "");
    let headers = [
        ("x-auth-token", "member"),
        ("x-forwarded-for", "198.51.100.66, 192.0.2.7"),
    ];
    let query = format!("{path}?fields=hunter2");
    let answer = house
        .request(Method::GET, &query, &headers, Body::empty())
        .await;
    let length = answer.header("content-length").to_owned();
    house.get(&groups_path(), "").await.expect(401);
    let lines = logged.access();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    must_say(
        &lines[0],
        &[
            " answered ",
            "method=GET",
            &format!(" path={path} "),
            &format!("status={}", answer.status.as_u16()),
            "user=user-1",
            &format!("project={PROJECT_A}"),
            "remote=127.0.0.9",
            "forwarded=192.0.2.7",
            answer.header("x-openstack-request-id"),
            " ms=",
        ],
    );
    if !length.is_empty() {
        must_say(&lines[0], &[&format!("bytes={length}")]);
    }
    assert!(!lines[0].contains("hunter2") && !lines[0].contains("bytes=0 "));
    must_say(
        &lines[1],
        &["status=401", "user=- project=-", "forwarded=-"],
    );
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_leaves_a_line_too() {
    let house = House::with_group().await;
    let logged = Logged::now();
    let path = group_path("web", "");
    house.give_up(Method::GET, &path).await;
    house.give_up(Method::DELETE, &path).await;
    let lines = logged.access();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    must_say(
        &lines[0],
        &["given up by the client", "status=499", "method=GET", &path],
    );
    must_say(
        &lines[1],
        &["given up by the client", "status=499", "method=DELETE"],
    );
    let line = "protector_api_requests_total{route=\"/v1/{project_id}/protection-groups/{group}\",method=\"GET\",status=\"499\"} 1";
    let text = house.counted().await;
    assert!(text.lines().any(|other| other == line), "{text}");
    let deed = house.audited().pop().unwrap();
    assert_eq!(deed["action"], "delete", "{deed:#}");
    assert_eq!(deed["outcome"], "unknown", "{deed:#}");
    assert_eq!(deed["reason"]["reasonCode"], "499", "{deed:#}");
}

#[tokio::test]
async fn a_path_is_cut_and_cannot_forge_a_line() {
    let house = House::new().await;
    let logged = Logged::now();
    let path = format!("/v1/%0Astatus=200/{}", "a".repeat(6000));
    house.get(&path, "").await;
    let lines = logged.access();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    must_say(&lines[0], &["status=404", "%0Astatus", "aaa..."]);
    assert!(lines[0].len() < 600, "{}", lines[0]);
}

/// Action, outcome, status, kind and id of a deed.
fn short(deed: &Value) -> [&str; 5] {
    [
        &deed["action"],
        &deed["outcome"],
        &deed["reason"]["reasonCode"],
        &deed["target"]["typeURI"],
        &deed["target"]["id"],
    ]
    .map(|told| told.as_str().unwrap())
}

#[tokio::test]
async fn each_change_is_one_event_of_the_audit_trail_and_refused_ones_are_failures() {
    let house = House::with_member(WEB).await;
    let group = house.get(&group_path("web", ""), "member").await;
    let id = group.body["protection_group"]["id"].as_str().unwrap();
    let told = house.audited();
    let made: Vec<_> = told.iter().map(short).collect();
    let kinds = "service/protector/protection-groups";
    assert_eq!(
        made[3],
        ["create", "success", "201", kinds, id],
        "{made:#?}"
    );
    let before = told.len();

    let again = group_body("web");
    house
        .send(Method::POST, &groups_path(), "member", again)
        .await
        .expect(409);
    let path = group_path("web", "");
    house.delete(&path, "").await.expect(401);
    house.delete(&path, "reader").await.expect(403);
    let act = group_path("web", "/action");
    let started = house
        .send(Method::POST, &act, "member", failover_body())
        .await
        .expect(202);
    let operation = started.body["operation"]["id"].as_str().unwrap();
    house.get(&path, "member").await.expect(200);
    let told = house.audited();
    let deeds: Vec<_> = told[before..].iter().map(short).collect();
    assert_eq!(
        deeds,
        [
            ["create", "failure", "409", kinds, "unknown"],
            ["delete", "failure", "401", kinds, "web"],
            ["delete", "failure", "403", kinds, "web"],
            ["update/failover", "success", "202", kinds, "web"],
        ]
    );
    let failover = told.last().unwrap();
    assert_eq!(
        failover["tags"],
        json!([format!("operation_id?value={operation}")])
    );
    let who = &failover["initiator"];
    assert_eq!(who["id"], "user-1", "{failover:#}");
    assert_eq!(who["project_id"], PROJECT_A, "{failover:#}");
    assert_eq!(who["host"]["address"], "127.0.0.9", "{failover:#}");
    assert_eq!(who["request_id"], started.header("x-openstack-request-id"));
    assert_eq!(failover["requestPath"], act);
    assert_eq!(told[before + 1]["initiator"]["id"], "unknown");
}

#[tokio::test]
async fn no_secret_is_in_the_audit_trail() {
    let house = House::with_member(WEB).await;
    let path = group_path("web", "/policy");
    house
        .send(Method::PUT, &path, "member", policy_body())
        .await;
    let body = site_body("site-c");
    house
        .send(Method::POST, "/v1/admin/sites", "admin", body)
        .await;
    let text: Vec<_> = house.audited().iter().map(Value::to_string).collect();
    let text = text.join("\n");
    for secret in ["hunter2", "array-secret", "x-auth-token"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// A request as the listener hands it on.
pub fn from_here(mut request: Request<Body>) -> Request<Body> {
    let remote = std::net::SocketAddr::from(([127, 0, 0, 9], 4711));
    let from = axum::extract::ConnectInfo(remote);
    request.extensions_mut().insert(from);
    request
}
