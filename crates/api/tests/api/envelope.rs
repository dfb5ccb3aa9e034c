//! What surrounds every answer: versions, ids, error bodies.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;

use crate::{
    fakes::PROJECT_A,
    house::{House, MAX_BODY, groups_path, site_body},
};

#[tokio::test]
async fn the_versions_are_shown_without_a_token() {
    let house = House::new().await;
    let versions = house.get("/", "").await.expect(300);
    let version = &versions.body["versions"][0];
    assert_eq!(version["id"], "v1");
    assert_eq!(version["status"], "CURRENT");
    assert_eq!(version["version"], "1.3");
    assert_eq!(version["min_version"], "1.0");
    assert_eq!(version["links"][0]["href"], "http://controller:8788/v1/");
    let one = house.get("/v1/", "").await.expect(200);
    assert_eq!(&one.body["version"], version);
    house.get("/v1", "").await.expect(200);
    house.get("/healthcheck", "").await.expect(200);
    let document = house.get("/v1/openapi.json", "").await.expect(200);
    assert_eq!(document.body["info"]["title"], "protector");
}

#[tokio::test]
async fn a_service_that_speaks_https_names_itself_so() {
    let house = House::new().await.over_tls();
    let version = house.get("/v1/", "").await.expect(200);
    let link = &version.body["version"]["links"][0];
    assert_eq!(link["href"], "https://controller:8788/v1/");
}

#[tokio::test]
async fn every_answer_names_its_version_and_its_request() {
    let house = House::new().await;
    let answer = house.get("/v1/admin/sites", "admin").await.expect(200);
    assert_eq!(answer.header("openstack-api-version"), "protector 1.0");
    assert_eq!(answer.header("vary"), "OpenStack-API-Version");
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
    let headers = [
        ("x-auth-token", "admin"),
        ("openstack-api-version", "protector 1.3"),
        (
            "x-openstack-request-id",
            "req-7a3f2c11-0001-4b22-a918-000000000001",
        ),
    ];
    let answer = house
        .request(Method::GET, "/v1/admin/sites", &headers, Body::empty())
        .await
        .expect(200);
    assert_eq!(answer.header("openstack-api-version"), "protector 1.3");
    assert_ne!(
        answer.header("x-openstack-request-id"),
        "req-7a3f2c11-0001-4b22-a918-000000000001"
    );
}

#[tokio::test]
async fn an_unknown_version_is_406_with_the_range() {
    let house = House::new().await;
    let headers = [
        ("x-auth-token", "admin"),
        ("openstack-api-version", "protector 1.9"),
    ];
    let answer = house
        .request(Method::GET, "/v1/admin/sites", &headers, Body::empty())
        .await
        .expect(406);
    assert_eq!(answer.key(), "notAcceptable");
    assert!(answer.message().contains("1.0") && answer.message().contains("1.3"));
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
}

#[tokio::test]
async fn a_missing_or_wrong_token_is_401_with_keystones_address() {
    let house = House::new().await;
    for token in ["", "nonsense"] {
        let answer = house.get(&groups_path(), token).await.expect(401);
        assert_eq!(answer.key(), "unauthorized");
        let code = &answer.body["unauthorized"]["error_code"];
        assert_eq!(code, "PRT-UNAUTHENTICATED");
        assert_eq!(
            answer.header("www-authenticate"),
            "Keystone uri=\"http://keystone:5000\""
        );
    }
    house.get(&groups_path(), "unscoped").await.expect(403);
}

#[tokio::test]
async fn an_unreachable_keystone_is_503() {
    let house = House::new().await;
    house.outside.keystone.away.store(true, Ordering::SeqCst);
    let answer = house.get(&groups_path(), "member").await.expect(503);
    assert_eq!(answer.key(), "serviceUnavailable");
    assert_eq!(
        answer.message(),
        "The Keystone service is temporarily unavailable."
    );
}

#[tokio::test]
async fn the_project_in_the_path_must_be_the_tokens() {
    let house = House::new().await;
    let answer = house.get(&groups_path(), "other").await.expect(404);
    assert_eq!(answer.key(), "itemNotFound");
    assert!(answer.message().contains(PROJECT_A));
}

#[tokio::test]
async fn unknown_paths_and_methods_have_error_bodies() {
    let house = House::new().await;
    assert_eq!(
        house.get("/v2/x", "member").await.expect(404).key(),
        "itemNotFound"
    );
    let answer = house.delete("/v1/admin/sites", "admin").await.expect(405);
    assert_eq!(answer.key(), "badMethod");
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
}

#[tokio::test]
async fn a_body_must_be_json_of_the_right_form_and_size() {
    let house = House::new().await;
    let path = "/v1/admin/sites";
    let send = |body: String| house.send_text(Method::POST, path, "admin", body);

    let malformed = send("{\"site\": {\"name\": }}".to_owned())
        .await
        .expect(400);
    assert_eq!(malformed.key(), "badRequest");
    assert!(
        malformed.message().contains("line 1, column"),
        "{}",
        malformed.message()
    );

    let unknown = send("{\"site\": {\"nmae\": \"x\"}}".to_owned())
        .await
        .expect(400);
    assert!(unknown.message().contains("nmae"), "{}", unknown.message());

    let wrong = send("{\"site\": {\"name\": 7}}".to_owned())
        .await
        .expect(400);
    assert!(wrong.message().contains("site.name"), "{}", wrong.message());

    let large = send(" ".repeat(MAX_BODY + 1)).await.expect(413);
    assert_eq!(large.key(), "overLimit");

    let headers = [("x-auth-token", "admin"), ("content-type", "text/plain")];
    let body = Body::from(site_body("x").to_string());
    let plain = house
        .request(Method::POST, path, &headers, body)
        .await
        .expect(415);
    assert_eq!(plain.key(), "unsupportedMediaType");
    let body = Body::from(site_body("x").to_string());
    house
        .request(Method::POST, path, &headers[..1], body)
        .await
        .expect(415);

    let sites = house.get(path, "admin").await.expect(200);
    assert_eq!(sites.body["sites"].as_array().unwrap().len(), 0);
}
