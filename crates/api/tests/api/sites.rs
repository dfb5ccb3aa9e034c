//! Sites and tenant mappings.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::{
    fakes::{OTHER_PROJECT, PROJECT_A, PROJECT_B},
    house::{House, group_path, site_body},
};

#[tokio::test]
async fn an_administrator_registers_a_site_and_never_sees_the_password() {
    let house = House::new().await;
    let body = site_body("site-a");
    let made = house
        .send(Method::POST, "/v1/admin/sites", "admin", body)
        .await
        .expect(201);
    let site = &made.body["site"];
    assert_eq!(site["name"], "site-a");
    assert_eq!(site["local"], true);
    assert_eq!(site["status"], "active");
    assert_eq!(site["user_domain_name"], "Default");
    assert_eq!(site["project_name"], "service");
    assert_eq!(site["interface"], "public");
    assert_eq!(site["created_at"], "2025-11-03T14:00:00Z");
    assert!(!made.body.to_string().contains("hunter2"));
    let id = site["id"].as_str().unwrap();
    for name in ["site-a", id] {
        let path = format!("/v1/admin/sites/{name}");
        assert_eq!(
            &house.get(&path, "admin").await.expect(200).body["site"],
            site
        );
    }
    let password = house
        .database
        .site_password(&"site-a".into())
        .await
        .unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "hunter2");
}

#[tokio::test]
async fn only_administrators_register_sites() {
    let house = House::new().await;
    let send = |token: &'static str| {
        house.send(Method::POST, "/v1/admin/sites", token, site_body("site-a"))
    };
    assert_eq!(send("member").await.expect(403).key(), "forbidden");
    send("").await.expect(401);
}

#[tokio::test]
async fn tenants_see_names_and_states_only() {
    let house = House::furnished().await;
    let sites = house.get("/v1/admin/sites", "reader").await.expect(200);
    let site = &sites.body["sites"][1];
    let mut fields: Vec<&String> = site.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["description", "id", "local", "name", "status"]);
    assert_eq!(site["local"], false);
    house.get("/v1/admin/sites", "").await.expect(401);
}

#[tokio::test]
async fn a_bad_site_is_refused_by_field() {
    let house = House::new().await;
    for (field, value) in [
        ("name", json!("a/b")),
        ("auth_url", json!("keystone")),
        ("password", json!("")),
        ("username", json!(" ")),
        ("cacert", json!("ca.pem")),
        ("interface", json!("secret")),
    ] {
        let mut body = site_body("site-a");
        body["site"][field] = value;
        let answer = house
            .send(Method::POST, "/v1/admin/sites", "admin", body)
            .await
            .expect(400);
        assert!(
            answer.message().contains(&format!("site.{field}")),
            "{}",
            answer.message()
        );
    }
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let house = House::furnished().await;
    let answer = house
        .send(
            Method::POST,
            "/v1/admin/sites",
            "admin",
            site_body("site-a"),
        )
        .await
        .expect(409);
    assert_eq!(answer.key(), "conflictingRequest");
    assert!(answer.message().contains("site-a"));
}

#[tokio::test]
async fn a_site_changes_by_field_and_clears_by_null() {
    let house = House::furnished().await;
    let path = "/v1/admin/sites/site-b";
    let body = json!({"site": {"description": "the other one", "region_name": "two"}});
    let changed = house
        .send(Method::PUT, path, "admin", body)
        .await
        .expect(200);
    assert_eq!(changed.body["site"]["description"], "the other one");
    let body = json!({"site": {"region_name": null, "password": "changed"}});
    let changed = house
        .send(Method::PUT, path, "admin", body)
        .await
        .expect(200);
    assert_eq!(changed.body["site"]["region_name"], json!(null));
    assert_eq!(changed.body["site"]["description"], "the other one");
    let password = house
        .database
        .site_password(&"site-b".into())
        .await
        .unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "changed");
    house
        .send(Method::PUT, path, "member", json!({"site": {}}))
        .await
        .expect(403);
}

/// Whoever may change a site must not learn its password by naming a Keystone of their own.
#[tokio::test]
async fn the_stored_password_is_not_sent_to_where_it_was_not_entered_for() {
    let house = House::furnished().await;
    let path = "/v1/admin/sites/site-b";
    let before = house.get(path, "admin").await.expect(200).body;
    for (field, value) in [
        ("auth_url", json!("http://attacker.example.org:5000/v3")),
        ("username", json!("somebody")),
        ("user_domain_name", json!("elsewhere")),
        ("project_name", json!("elsewhere")),
        ("project_domain_name", json!("elsewhere")),
        ("cacert", json!("/tmp/attacker.pem")),
    ] {
        let body = json!({"site": {field: value, "description": "not this either"}});
        let refused = house.send(Method::PUT, path, "admin", body).await;
        let refused = refused.expect(400);
        let told = refused.message();
        assert!(told.starts_with("site.password:"), "{told}");
        assert!(told.contains(&format!("site.{field} changes")), "{told}");
        assert!(told.contains("--password -"), "{told}");
        let after = house.get(path, "admin").await.expect(200).body;
        assert_eq!(after, before, "{field}");
        // With it the change is made; and what stays as it is needs none.
        let body = json!({"site": {field: value, "password": "entered anew"}});
        let made = house.send(Method::PUT, path, "admin", body).await;
        assert_eq!(made.expect(200).body["site"][field], value);
        let body = json!({"site": {field: value}});
        house
            .send(Method::PUT, path, "admin", body)
            .await
            .expect(200);
        let mut old = json!({"site": {field: before["site"][field]}});
        let refused = house.send(Method::PUT, path, "admin", old.clone()).await;
        refused.expect(400);
        old["site"]["password"] = json!("hunter2");
        house
            .send(Method::PUT, path, "admin", old)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_site_in_the_clear_is_refused_unless_the_operator_allows_it() {
    let house = House::furnished().await.without_http_sites();
    let refused = house.send(
        Method::POST,
        "/v1/admin/sites",
        "admin",
        site_body("site-c"),
    );
    let refused = refused.await.expect(400);
    let told = refused.message();
    assert!(told.starts_with("site.auth_url:"), "{told}");
    assert!(told.contains("[openstack] allow_http_sites"), "{told}");
    house
        .get("/v1/admin/sites/site-c", "admin")
        .await
        .expect(404);

    let path = "/v1/admin/sites/site-b";
    let to = |url: &str| json!({"site": {"auth_url": url, "password": "entered anew"}});
    for url in ["http://elsewhere:5000/v3", "HTTP://elsewhere:5000/v3"] {
        house
            .send(Method::PUT, path, "admin", to(url))
            .await
            .expect(400);
    }
    // What is registered already stays in use and can be changed otherwise.
    let body = json!({"site": {"description": "the other one"}});
    house
        .send(Method::PUT, path, "admin", body)
        .await
        .expect(200);
    for url in ["https://elsewhere:5000/v3", "HTTPS://elsewhere:5000/v3"] {
        house
            .send(Method::PUT, path, "admin", to(url))
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_site_in_use_stays() {
    let house = House::with_group().await;
    let answer = house
        .delete("/v1/admin/sites/site-b", "admin")
        .await
        .expect(409);
    assert!(answer.message().contains("in use"), "{}", answer.message());
    house
        .delete("/v1/admin/sites/site-c", "admin")
        .await
        .expect(404);
    house
        .delete("/v1/admin/sites/site-b", "member")
        .await
        .expect(403);

    let house = House::new().await;
    let body = site_body("site-c");
    house
        .send(Method::POST, "/v1/admin/sites", "admin", body)
        .await
        .expect(201);
    house
        .delete("/v1/admin/sites/site-c", "admin")
        .await
        .expect(204);
    house
        .get("/v1/admin/sites/site-c", "admin")
        .await
        .expect(404);
}

#[tokio::test]
async fn validation_reports_checks_and_the_site_s_state() {
    let house = House::furnished().await;
    let path = "/v1/admin/sites/site-b/validate";
    let send = |token: &'static str| house.send(Method::POST, path, token, json!({}));
    let good = send("admin").await.expect(200);
    assert_eq!(good.body["validation"]["valid"], true, "{}", good.body);
    let names: Vec<&str> = good.body["validation"]["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "keystone",
            "role",
            "compute",
            "volume",
            "network",
            "image",
            "volume_types",
            "manage",
            "protector",
            "arrays"
        ]
    );
    for check in good.body["validation"]["checks"].as_array().unwrap() {
        assert_eq!(check["fix"], json!(null), "{check}");
    }
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-b".to_owned());
    let bad = send("admin").await.expect(200);
    assert_eq!(bad.body["validation"]["valid"], false);
    let checks = bad.body["validation"]["checks"].as_array().unwrap();
    assert_eq!(checks[0]["name"], "keystone");
    let fix = checks[0]["fix"].as_str().unwrap();
    assert!(fix.contains("http://site-b:5000/v3"), "{fix}");
    // What needs no cloud is looked at all the same.
    let rest: Vec<_> = checks[1..].iter().map(|check| &check["name"]).collect();
    assert_eq!(rest, ["protector", "arrays"]);
    let site = house
        .get("/v1/admin/sites/site-b", "admin")
        .await
        .expect(200);
    assert_eq!(site.body["site"]["status"], "unreachable");
    send("member").await.expect(403);
}

async fn check(house: &House, site: &str, name: &str) -> Value {
    let path = format!("/v1/admin/sites/{site}/validate");
    let answer = house.send(Method::POST, &path, "admin", json!({})).await;
    let checks = answer.expect(200).body["validation"]["checks"].clone();
    let mut checks = checks.as_array().unwrap().clone();
    checks.retain(|check| check["name"] == name);
    checks.pop().unwrap()
}

#[tokio::test]
async fn validation_finds_what_would_fail_a_failover_and_says_what_to_do() {
    let house = House::new().await;
    let site = house.send(
        Method::POST,
        "/v1/admin/sites",
        "admin",
        site_body("site-b"),
    );
    site.await.expect(201);
    let manage = check(&house, "site-b", "manage").await;
    assert_eq!(manage["ok"], true);
    assert!(manage["detail"].as_str().unwrap().starts_with("not tried"));
    let arrays = check(&house, "site-b", "arrays").await;
    assert!(arrays["detail"].as_str().unwrap().starts_with("not tried"));

    let house = House::with_group().await;
    for (site, array) in [("site-a", "mock://array-a"), ("site-b", "mock://array-b")] {
        let arrays = check(&house, site, "arrays").await;
        assert_eq!(arrays["ok"], true);
        assert_eq!(arrays["detail"], format!("{array} answer"));
    }
    let clouds = &house.outside.clouds;
    clouds.members_may_not_manage.store(true, Ordering::SeqCst);
    let manage = check(&house, "site-b", "manage").await;
    assert_eq!(manage["ok"], false);
    let fix = manage["fix"].as_str().unwrap();
    assert!(fix.contains("volume_extension:volume_manage"), "{fix}");
    assert!(fix.contains("volume_extension:volume_unmanage"), "{fix}");

    house.outside.peer.away.store(true, Ordering::SeqCst);
    let protector = check(&house, "site-b", "protector").await;
    assert_eq!(protector["ok"], false);
    let fix = protector["fix"].as_str().unwrap();
    assert!(fix.contains("openstack catalog show protector"), "{fix}");
}

#[tokio::test]
async fn volume_types_show_why_they_cannot_be_used() {
    let house = House::furnished().await;
    let path = "/v1/admin/sites/site-a/volume-types";
    let types = house.get(path, "admin").await.expect(200);
    let types = types.body["volume_types"].as_array().unwrap();
    assert_eq!(types[0]["name"], "plain");
    assert_eq!(types[0]["eligible"], false);
    assert!(
        types[0]["reason"]
            .as_str()
            .unwrap()
            .contains("replication_enabled")
    );
    assert_eq!(types[1]["eligible"], true);
    assert_eq!(types[1]["replication_type"], "async");
    assert_eq!(types[1]["reason"], json!(null));
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-a".to_owned());
    house.get(path, "admin").await.expect(503);
}

#[tokio::test]
async fn a_tenant_mapping_grants_the_service_user_its_role_on_both_sites() {
    let house = House::furnished().await;
    let granted = house.outside.clouds.granted.lock().unwrap().clone();
    let want = |site: &str, project: &str| (site.to_owned(), project.to_owned());
    assert_eq!(
        granted,
        [want("site-a", PROJECT_A), want("site-b", PROJECT_B)]
    );
    let listed = house
        .get("/v1/admin/tenant-mappings", "admin")
        .await
        .expect(200);
    let mapping = &listed.body["tenant_mappings"][0];
    assert_eq!(mapping["secondary_project_id"], PROJECT_B);
    let path = format!(
        "/v1/admin/tenant-mappings/{}",
        mapping["id"].as_str().unwrap()
    );
    house.get(&path, "admin").await.expect(200);
    house.get(&path, "member").await.expect(403);
    house.delete(&path, "admin").await.expect(204);
    house.get(&path, "admin").await.expect(404);
}

async fn the_mapping(house: &House) -> String {
    let listed = house.get("/v1/admin/tenant-mappings", "admin").await;
    let id = &listed.body["tenant_mappings"][0]["id"];
    format!("/v1/admin/tenant-mappings/{}", id.as_str().unwrap())
}

#[tokio::test]
async fn a_mapping_that_is_revoked_takes_the_role_away_on_both_sites() {
    let house = House::furnished().await;
    let path = the_mapping(&house).await;
    let revoke = format!("{path}?revoke=true");
    house.delete(&revoke, "member").await.expect(403);
    assert_eq!(house.outside.clouds.granted.lock().unwrap().len(), 2);

    // A site that does not answer keeps the role, and so the mapping.
    let clouds = &house.outside.clouds;
    clouds.away.lock().unwrap().insert("site-b".to_owned());
    house.delete(&revoke, "admin").await.expect(503);
    house.get(&path, "admin").await.expect(200);
    clouds.away.lock().unwrap().clear();

    house.delete(&revoke, "admin").await.expect(204);
    assert_eq!(house.outside.clouds.granted.lock().unwrap().len(), 0);
    house.get(&path, "admin").await.expect(404);
}

#[tokio::test]
async fn a_mapping_whose_groups_need_the_role_is_not_revoked() {
    let house = House::with_group().await;
    let path = the_mapping(&house).await;
    let refused = house.delete(&format!("{path}?revoke=true"), "admin").await;
    let refused = refused.expect(409);
    assert!(refused.message().contains("web"), "{}", refused.message());
    assert_eq!(house.outside.clouds.granted.lock().unwrap().len(), 2);
    house.get(&path, "admin").await.expect(200);
    // Without it the mapping goes, and the group can still be moved.
    house.delete(&path, "admin").await.expect(204);
    assert_eq!(house.outside.clouds.granted.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_tenant_mapping_needs_projects_that_exist() {
    let house = House::furnished().await;
    let body = |primary: &str, site: &str| {
        json!({"tenant_mapping": {
            "primary_site": "site-a", "primary_project_id": primary,
            "secondary_site": site, "secondary_project_id": PROJECT_B,
        }})
    };
    for (primary, site, field, status) in [
        ("nowhere", "site-b", "primary_project_id", 400),
        (OTHER_PROJECT, "site-x", "secondary_site", 400),
        (OTHER_PROJECT, "site-a", "secondary_site", 400),
        (PROJECT_A, "site-b", "project", 409),
    ] {
        let answer = house
            .send(
                Method::POST,
                "/v1/admin/tenant-mappings",
                "admin",
                body(primary, site),
            )
            .await
            .expect(status);
        assert!(answer.message().contains(field), "{}", answer.message());
    }
    let path = "/v1/admin/tenant-mappings";
    house
        .send(Method::POST, path, "member", body(OTHER_PROJECT, "site-b"))
        .await
        .expect(403);
    house
        .get(&group_path("web", ""), "member")
        .await
        .expect(404);
}
