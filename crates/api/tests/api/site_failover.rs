//! All groups of a site, in the order of their priorities.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;
use protector_core::{
    clock::Clock,
    journal::{Effect, Entry, Journal, OperationChange},
    operation::OperationState,
};
use serde_json::{Value, json};

use crate::{
    engine::{claim, start},
    fakes::{DB, FixedClock, OTHER_PROJECT, OTHER_PROJECT_B, PROJECT_A, WEB},
    house::{Answer, House, group_body, group_path, groups_path, policy_body},
};

const SITE: &str = "/v1/admin/sites/site-a/failover";
const ADMIN: &str = "dr_site_admin@foreign";

async fn newest(house: &House, method: Method, path: &str, token: &str, body: Value) -> Answer {
    let headers = [
        ("x-auth-token", token),
        ("content-type", "application/json"),
        ("openstack-api-version", "protector 1.1"),
    ];
    let body = Body::from(body.to_string());
    house.request(method, path, &headers, body).await
}

/// A group of `project` with a policy and, unless it is nobody's, a member.
async fn group(
    house: &House,
    (role, project): (&str, &str),
    name: &str,
    priority: u8,
    server: Option<&str>,
) {
    let groups = format!("/v1/{project}/protection-groups");
    let mut body = group_body(name);
    body["protection_group"]["priority"] = json!(priority);
    newest(house, Method::POST, &groups, role, body)
        .await
        .expect(201);
    let policy = format!("{groups}/{name}/policy");
    house
        .send(Method::POST, &policy, role, policy_body())
        .await
        .expect(201);
    if let Some(server) = server {
        let members = format!("{groups}/{name}/members");
        let body = json!({"member": {"server_id": server}});
        house
            .send(Method::POST, &members, role, body)
            .await
            .expect(201);
    }
}

/// Two groups of one tenant that can be moved, of priorities 4 and 2, and one of another that cannot: it is empty, and
/// would go first.
async fn three_groups() -> House {
    let house = House::furnished().await;
    let mapping = json!({"tenant_mapping": {
        "primary_site": "site-a", "primary_project_id": OTHER_PROJECT,
        "secondary_site": "site-b", "secondary_project_id": OTHER_PROJECT_B,
    }});
    house
        .send(Method::POST, "/v1/admin/tenant-mappings", "admin", mapping)
        .await
        .expect(201);
    group(&house, ("member", PROJECT_A), "web", 4, Some(WEB)).await;
    group(&house, ("member", PROJECT_A), "data", 2, Some(DB)).await;
    group(&house, ("other", OTHER_PROJECT), "empty", 1, None).await;
    house
}

async fn fail_over(house: &House, options: Value) -> Answer {
    house
        .send(Method::POST, SITE, ADMIN, json!({"failover": options}))
        .await
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let entries = list.as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn groups_go_by_priority_and_one_that_cannot_keeps_nobody() {
    let house = three_groups().await;
    let answer = fail_over(&house, json!({"type": "planned"}))
        .await
        .expect(202)
        .body;
    assert_eq!(
        names(&answer["protection_groups"], "name"),
        ["empty", "data", "web"]
    );
    assert_eq!(answer["protection_groups"][1]["priority"], 2);
    assert_eq!(answer["protection_groups"][1]["target_site"], "site-b");
    assert_eq!(
        names(&answer["started"], "protection_group"),
        ["data", "web"]
    );
    for operation in answer["started"].as_array().unwrap() {
        assert_eq!(operation["operation_type"], "failover");
        assert_eq!(operation["source_site"], "site-a");
    }
    let refused = &answer["refused"][0];
    assert_eq!(refused["name"], "empty");
    assert_eq!(refused["project_id"], OTHER_PROJECT);
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("no members"), "{reason}");
    // The operations are their tenant's.
    let operations = house
        .get(&format!("/v1/{PROJECT_A}/operations"), "reader")
        .await;
    assert_eq!(operations.body["operations"].as_array().unwrap().len(), 2);
    let shown = house.get(&group_path("web", ""), "reader").await;
    assert_eq!(shown.body["protection_group"]["status"], "failing_over");
}

#[tokio::test]
async fn asked_again_it_starts_what_is_left() {
    let house = three_groups().await;
    start(&house).await;
    let answer = fail_over(&house, json!({"type": "planned"}))
        .await
        .expect(202)
        .body;
    assert_eq!(names(&answer["started"], "protection_group"), ["data"]);
    let again = fail_over(&house, json!({"type": "planned"}))
        .await
        .expect(202)
        .body;
    assert_eq!(again["started"], json!([]));
    assert_eq!(names(&again["refused"], "name"), ["empty", "data", "web"]);
    let reason = again["refused"][2]["reason"].as_str().unwrap();
    assert!(
        reason.contains("openstack dr operation show op-"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_starts_nothing() {
    let house = three_groups().await;
    let before = house.everything().await;
    let options = json!({"type": "planned", "dry_run": true});
    let answer = fail_over(&house, options).await.expect(200).body;
    assert_eq!(
        names(&answer["protection_groups"], "name"),
        ["empty", "data", "web"]
    );
    assert_eq!(answer["started"], json!([]));
    assert_eq!(names(&answer["refused"], "name"), ["empty"]);
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn only_the_named_projects_go() {
    let house = three_groups().await;
    let options = json!({"type": "planned", "dry_run": true, "projects": [OTHER_PROJECT]});
    let answer = fail_over(&house, options).await.expect(200).body;
    assert_eq!(names(&answer["protection_groups"], "name"), ["empty"]);
    for (projects, says) in [
        (json!([]), "failover.projects: names no project"),
        (
            json!([OTHER_PROJECT, "nobodys"]),
            "failover.projects[1]: no protection group of project nobodys",
        ),
    ] {
        let options = json!({"type": "planned", "projects": projects});
        let refused = fail_over(&house, options).await.expect(400);
        assert!(refused.message().starts_with(says), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_peer_that_does_not_answer_is_asked_once_and_refuses_all() {
    let house = three_groups().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    house.outside.peer.reached.store(0, Ordering::SeqCst);
    let answer = fail_over(&house, json!({"type": "planned"}))
        .await
        .expect(202)
        .body;
    assert_eq!(answer["started"], json!([]));
    for refused in answer["refused"].as_array().unwrap() {
        assert_eq!(
            refused["reason"],
            "Remote site unreachable — metadata sync required"
        );
    }
    assert_eq!(house.outside.peer.reached.load(Ordering::SeqCst), 1);
}

/// The newest failover ends well, as an engine would write it down.
pub async fn arrive(house: &House) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let group_id = house
        .database
        .load(&claim)
        .await
        .unwrap()
        .operation
        .group_id;
    let switched = Effect::GroupSwitched {
        current_primary_site: "site-b".into(),
        members: house.database.member_list(&group_id).await.unwrap(),
        group_id,
    };
    let state = OperationState::Completed;
    for (change, effects) in [
        (OperationChange::Started { at: now }, vec![switched]),
        (OperationChange::Settled { state, at: now }, vec![]),
    ] {
        let entry = Entry {
            operation: Some(change),
            effects,
            ..Entry::default()
        };
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_on_its_second_site_is_told_to_fail_back() {
    let house = House::with_member(WEB).await;
    start(&house).await;
    arrive(&house).await;
    let path = "/v1/admin/sites/site-b/failover";
    let body = json!({"failover": {"type": "planned"}});
    let answer = house
        .send(Method::POST, path, ADMIN, body)
        .await
        .expect(202)
        .body;
    let reason = answer["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("'openstack dr failback web'"), "{reason}");
    let nothing = fail_over(&house, json!({"type": "planned"}))
        .await
        .expect(202)
        .body;
    assert_eq!(nothing["protection_groups"], json!([]));
}

#[tokio::test]
async fn a_site_that_is_not_registered_is_404() {
    let house = House::furnished().await;
    let body = json!({"failover": {"type": "planned"}});
    let path = "/v1/admin/sites/site-x/failover";
    house
        .send(Method::POST, path, ADMIN, body)
        .await
        .expect(404);
}

#[tokio::test]
async fn priorities_are_there_from_version_1_1_on() {
    let house = House::furnished().await;
    let mut body = group_body("web");
    body["protection_group"]["priority"] = json!(1);
    let base = house
        .send(Method::POST, &groups_path(), "member", body.clone())
        .await;
    let base = base.expect(400);
    assert!(
        base.message().starts_with("protection_group.priority: "),
        "{}",
        base.message()
    );
    assert!(
        base.message()
            .contains("'OpenStack-API-Version: protector 1.1'")
    );
    let made = newest(&house, Method::POST, &groups_path(), "member", body)
        .await
        .expect(201);
    assert_eq!(made.body["protection_group"]["priority"], 1);

    let path = group_path("web", "");
    let shown = house.get(&path, "reader").await.expect(200);
    assert!(shown.body["protection_group"].get("priority").is_none());
    let sort = format!("{}?sort_key=priority", groups_path());
    house.get(&sort, "reader").await.expect(400);
    let listed = newest(&house, Method::GET, &sort, "reader", Value::Null)
        .await
        .expect(200);
    assert_eq!(listed.body["protection_groups"][0]["priority"], 1);

    let change = json!({"protection_group": {"priority": 5}});
    house
        .send(Method::PUT, &path, "member", change.clone())
        .await
        .expect(400);
    let changed = newest(&house, Method::PUT, &path, "member", change)
        .await
        .expect(200);
    assert_eq!(changed.body["protection_group"]["priority"], 5);
    for wrong in [json!(0), json!(6), json!(-1), json!("high"), json!(1.5)] {
        let change = json!({"protection_group": {"priority": wrong}});
        let refused = newest(&house, Method::PUT, &path, "member", change)
            .await
            .expect(400);
        assert!(
            refused.message().contains("protection_group.priority"),
            "{}",
            refused.message()
        );
    }
    let body = group_body("usual");
    let made = newest(&house, Method::POST, &groups_path(), "member", body)
        .await
        .expect(201);
    assert_eq!(made.body["protection_group"]["priority"], 3);
}
