//! Somebody speaks as the other site's protector, or as that one says what it may not. Nothing of it is taken, nothing is told.

use http::Method;
use serde_json::{Value, json};

use protector_store::CopyQuota;

use crate::{
    fakes::{OTHER_PROJECT, OTHER_PROJECT_B, PROJECT_A, WEB},
    house::{Answer, House, group_path},
    metadata::changed,
};

const UNKNOWN: &str = "7a3f2c11-0001-4b22-a918-0000000000ff";

fn metadata_of(project: &str, group: &str) -> String {
    format!("/v1/{project}/protection-groups/{group}/metadata")
}

/// The record of a failover that `home` says it runs.
fn copy(home: &str, group: &str) -> Value {
    json!({"operation_copy": {
        "home_site": home, "group_id": group, "group_name": "web", "kind": "failover", "state": "running",
        "created_at": "2025-11-03T14:00:00Z", "parent_id": null, "leftovers": 0, "revision": 1, "since": 0, "is_last": true,
        "record": {"id": "op-1", "home_site": home, "status": "in_progress"}, "lines": [],
    }})
}

/// Puts what `change` makes of the group's metadata to where `path` says, as the other site's protector.
async fn offered(house: &House, path: &str, change: impl FnOnce(&mut Value)) -> Answer {
    let (_, body) = changed(house, 9, change).await;
    house.send(Method::PUT, path, "service", body).await
}

async fn with_web() -> (House, String) {
    let house = House::with_member(WEB).await;
    let (id, _) = changed(&house, 9, |_| ()).await;
    (house, id)
}

#[tokio::test]
async fn a_role_makes_nobody_the_other_sites_protector() {
    let (house, id) = with_web().await;
    let (_, body) = changed(&house, 9, |document| {
        document["group"]["description"] = json!("mine now");
    })
    .await;
    let before = house.everything().await;
    let path = metadata_of(PROJECT_A, &id);
    let mark = &body["metadata"]["base"];
    let known = format!(
        "{path}?version={}&digest={}",
        mark["version"],
        mark["digest"].as_str().unwrap()
    );
    let reservation = format!("{path}/reservations/site-b");
    let reserve = json!({"reservation": {"version": mark["version"]}});
    let record = format!("/v1/{PROJECT_A}/operations/op-1/copy");
    for token in ["admin", "admin@own", "service@own", "service@foreign"] {
        let calls = [
            (Method::GET, path.clone(), Value::Null),
            (Method::GET, format!("{path}?document=true"), Value::Null),
            (Method::PUT, path.clone(), body.clone()),
            (Method::DELETE, known.clone(), Value::Null),
            (Method::PUT, reservation.clone(), reserve.clone()),
            (Method::DELETE, reservation.clone(), Value::Null),
            (Method::PUT, record.clone(), copy("site-b", &id)),
        ];
        for (method, path, body) in calls {
            let answer = house.send(method, &path, token, body).await.expect(403);
            let said = answer.message();
            assert!(said.contains("is not the other site's protector"), "{said}");
            assert!(said.contains("peer_user_ids"), "{said}");
        }
    }
    assert_eq!(house.everything().await, before);
    for token in ["service", "named"] {
        house.get(&path, token).await.expect(200);
    }
}

#[tokio::test]
async fn a_group_of_projects_that_nobody_has_linked_is_not_taken() {
    let (house, _) = with_web().await;
    let before = house.everything().await;
    let victims = [
        ("primary", OTHER_PROJECT_B, "secondary", PROJECT_A),
        ("secondary", OTHER_PROJECT_B, "primary", PROJECT_A),
        ("primary", OTHER_PROJECT_B, "secondary", OTHER_PROJECT),
    ];
    for (there, victim, here, attacker) in victims {
        let change = |document: &mut Value| {
            document["group"]["id"] = json!(UNKNOWN);
            document["group"]["name"] = json!("loot");
            document["group"][there] = json!({"site": "site-b", "project_id": victim});
            document["group"][here] = json!({"site": "site-a", "project_id": attacker});
            document["members"][0]["group_id"] = json!(UNKNOWN);
        };
        let answer = offered(&house, &metadata_of(attacker, UNKNOWN), change).await;
        let said = answer.expect(409);
        let said = said.message();
        assert!(said.contains("are not linked on this site"), "{said}");
        assert!(said.contains("tenant mapping create"), "{said}");
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn nothing_moves_a_known_group_into_other_projects_or_sites() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let changes: [fn(&mut Value); 5] = [
        |group| group["primary"]["project_id"] = json!(OTHER_PROJECT),
        |group| group["secondary"]["project_id"] = json!(OTHER_PROJECT_B),
        |group| group["secondary"]["site"] = json!("site-c"),
        |group| group["replication_type"] = json!("sync"),
        |group| {
            let primary = group["primary"].take();
            group["primary"] = group["secondary"].take();
            group["secondary"] = primary;
        },
    ];
    for force in [false, true] {
        for change in changes {
            let change = |document: &mut Value| change(&mut document["group"]);
            let (_, mut body) = changed(&house, 9, change).await;
            body["metadata"]["force"] = json!(force);
            let path = metadata_of(PROJECT_A, &id);
            let answer = house.send(Method::PUT, &path, "service", body).await;
            answer.expect(400);
        }
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn the_paths_project_is_the_groups_on_this_site() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let other = metadata_of("bbbbbbbb000040008000000000000001", &id);
    let answer = offered(&house, &other, |_| ()).await.expect(400);
    let said = answer.message();
    assert!(said.contains("the group's project on site-a"), "{said}");
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn what_no_tenant_may_say_the_other_site_may_not_either() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let changes: [fn(&mut Value); 3] = [
        |document| document["group"]["name"] = json!("a/b"),
        |document| document["group"]["description"] = json!("\u{1b}[2J"),
        |document| document["policy"]["primary_fa_url"] = json!("file:///etc/passwd"),
    ];
    for change in changes {
        let answer = offered(&house, &metadata_of(PROJECT_A, &id), change).await;
        let said = answer.expect(400);
        let said = said.message();
        assert!(said.starts_with("metadata.document."), "{said}");
    }
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_site_that_is_not_the_groups_holds_it_for_nobody() {
    let (house, id) = with_web().await;
    let version = changed(&house, 9, |_| ()).await.1["metadata"]["base"]["version"].clone();
    for site in ["site-x", "site-a"] {
        let path = group_path(&id, &format!("/metadata/reservations/{site}"));
        let body = json!({"reservation": {"version": version}});
        let answer = house.send(Method::PUT, &path, "service", body).await;
        answer.expect(400);
    }
    let body = json!({"protection_group": {"description": "free"}});
    let path = group_path("web", "");
    house
        .send(Method::PUT, &path, "member", body)
        .await
        .expect(200);
}

#[tokio::test]
async fn records_of_operations_come_from_the_groups_other_site_for_linked_projects() {
    let (house, id) = with_web().await;
    let before = house.everything().await;
    let put = async |project: &str, body: Value| {
        let path = format!("/v1/{project}/operations/op-1/copy");
        house.send(Method::PUT, &path, "service", body).await
    };
    put(PROJECT_A, copy("site-x", &id)).await.expect(400);
    put(PROJECT_A, copy("site-x", UNKNOWN)).await.expect(404);
    put(OTHER_PROJECT, copy("site-b", UNKNOWN))
        .await
        .expect(404);
    put(OTHER_PROJECT, copy("site-b", &id)).await.expect(404);
    assert_eq!(house.everything().await, before);
    put(PROJECT_A, copy("site-b", UNKNOWN)).await.expect(200);
}

#[tokio::test]
async fn user_data_and_urls_of_hooks_are_not_shown_to_the_other_site() {
    let (house, id) = with_web().await;
    let path = metadata_of(PROJECT_A, &id);
    offered(&house, &path, |document| {
        document["members"][0]["server"]["user_data"] = json!("cGFzc3dvcmQ=");
        document["group"]["recovery_plan"]["hooks"] = json!([{"name": "tell", "when": "after",
            "url": "https://hooks.example.org/dr/?key=cGFzc3dvcmQ="}]);
    })
    .await
    .expect(200);
    let shown = house.get(&format!("{path}?document=true"), "service").await;
    let text = shown.expect(200).body.to_string();
    assert!(!text.contains("cGFzc3dvcmQ="), "{text}");
    assert!(text.contains("\"user_data\":\"***\""), "{text}");
    assert!(text.contains("\"url\":\"***\""), "{text}");
}

#[tokio::test]
async fn no_more_is_kept_of_what_the_other_site_sends_than_the_quota_says() {
    let (house, id) = with_web().await;
    let house = house.with_copy_quota(CopyQuota {
        groups: Some(1),
        operations: Some(1),
    });
    let another = |document: &mut Value| {
        document["group"]["id"] = json!(UNKNOWN);
        document["group"]["name"] = json!("one-more");
        document["members"] = json!([]);
    };
    let before = house.everything().await;
    let path = metadata_of(PROJECT_A, UNKNOWN);
    let said = offered(&house, &path, another).await.expect(403);
    let said = said.message();
    assert!(
        said.starts_with("Quota exceeded for protection groups"),
        "{said}"
    );
    assert!(said.contains("peer_protection_groups"), "{said}");
    assert_eq!(house.everything().await, before);
    // What is known is brought up to date.
    let path = metadata_of(PROJECT_A, &id);
    let change = |document: &mut Value| document["group"]["description"] = json!("newer");
    offered(&house, &path, change).await.expect(200);

    let path = |operation: &str| format!("/v1/{PROJECT_A}/operations/{operation}/copy");
    let first = copy("site-b", &id);
    let put = async |operation: &str, body: Value| {
        let path = path(operation);
        house.send(Method::PUT, &path, "service", body).await
    };
    put("op-1", first.clone()).await.expect(200);
    let mut second = first;
    second["operation_copy"]["record"]["id"] = json!("op-2");
    let said = put("op-2", second).await.expect(403);
    let said = said.message();
    assert!(said.starts_with("Quota exceeded for records"), "{said}");
}
