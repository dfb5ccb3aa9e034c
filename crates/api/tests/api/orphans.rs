//! What earlier operations left, told from the records and from two clouds.

use std::collections::BTreeMap;

use http::Method;
use protector_clouds::clouds::{Holdings, ProjectQuota, QuotaShare};
use protector_core::{
    clock::Clock,
    fault::Code,
    id::OperationId,
    operation::{OperationState, StepState},
    orphan::CloudResource,
    runbook::resource::ResourceKind,
};
use serde_json::{Value, json};

use crate::{
    engine::{cleanup, done, failed_line, not_taken_back, retained, settle, settle_as, start},
    fakes::{FixedClock, OTHER_PROJECT, PROJECT_A, PROJECT_B, WEB},
    house::{House, group_path},
};

fn held(kind: ResourceKind, id: &str, project: &str) -> CloudResource {
    CloudResource {
        kind,
        id: id.to_owned(),
        name: format!("name of {id}"),
        project_id: project.into(),
        status: "available".to_owned(),
        size_gib: (kind == ResourceKind::Volume).then_some(10),
        created_at: FixedClock.now() - chrono::Duration::hours(2),
        metadata: BTreeMap::new(),
        servers: vec![],
        snapshots: vec![],
    }
}

fn volume(id: &str) -> CloudResource {
    held(ResourceKind::Volume, id, PROJECT_A)
}

/// A copy on the other site, with the mark of `operation`.
fn copy(kind: ResourceKind, id: &str, operation: &str) -> CloudResource {
    let mut copy = held(kind, id, PROJECT_B);
    let mark = ("protector:operation".to_owned(), operation.to_owned());
    copy.metadata = BTreeMap::from([mark]);
    copy
}

pub fn holds(house: &House, site: &str, held: Vec<CloudResource>) {
    let share = QuotaShare { used: 7, limit: 10 };
    let quota = ProjectQuota {
        instances: share,
        volumes: share,
        gigabytes: share,
    };
    let holdings = Holdings {
        held,
        quota: Some(quota),
    };
    house
        .outside
        .clouds
        .holdings
        .lock()
        .unwrap()
        .insert(site.to_owned(), holdings);
}

fn path(query: &str) -> String {
    format!("/v1/{PROJECT_A}/orphans{query}")
}

async fn list(house: &House, query: &str) -> Value {
    house.get(&path(query), "reader").await.expect(200).body
}

fn ids(answer: &Value) -> Vec<&str> {
    let orphans = answer["orphans"].as_array().unwrap();
    orphans
        .iter()
        .map(|orphan| orphan["resource_id"].as_str().unwrap())
        .collect()
}

fn orphan<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let orphans = answer["orphans"].as_array().unwrap();
    orphans
        .iter()
        .find(|orphan| orphan["resource_id"] == id)
        .unwrap_or_else(|| panic!("no {id} in {answer}"))
}

/// The member's group as it is after its failover: it has left the source, whose volumes are nobody's now.
async fn forget_member(house: &House) {
    house
        .delete(&group_path("web", "/members/web-server-1"), "member")
        .await
        .expect(204);
}

/// A failover that retained one volume and could not delete the other, and whose group has moved on.
async fn failed_over(house: &House) -> OperationId {
    let id = start(house).await;
    // `failed` and not `completed` opens the group again, so that the test can take the member out.
    settle_as(house, OperationState::Failed, |step| {
        match step.key.as_str() {
            "delete_source_volume:vol-boot-ws1" => retained(),
            "delete_source_volume:vol-data-ws1" => failed_line(),
            _ => done(),
        }
    })
    .await;
    forget_member(house).await;
    id
}

#[tokio::test]
async fn retained_and_failed_volumes_are_listed_with_all_that_one_needs_to_know() {
    let house = House::with_member(WEB).await;
    let id = failed_over(&house).await;
    holds(
        &house,
        "site-a",
        vec![volume("vol-boot-ws1"), volume("vol-data-ws1")],
    );
    let answer = list(&house, "").await;
    assert_eq!(
        answer["orphans"][0],
        json!({
            "resource_type": "volume", "resource_id": "vol-boot-ws1",
            "name": "name of vol-boot-ws1", "size_gib": 10, "site": "site-a",
            "status": "available", "seen": "found", "operation_id": id.as_str(),
            "step": "delete_source_volume:vol-boot-ws1", "protection_group": "web",
            "since": "2025-11-03T14:00:00Z", "age_seconds": 0,
            "reason": "retained by configuration", "used_by": [], "deletable": true,
            "why_not": null,
        })
    );
    let failed = orphan(&answer, "vol-data-ws1");
    assert_eq!(failed["reason"], "Cinder timeout after 300s");
    assert_eq!(failed["deletable"], true);
    assert_eq!(
        answer["sites"][0],
        json!({
            "site": "site-a", "project_id": PROJECT_A, "status": "OK", "error": null,
            "quota": {
                "volumes": {"used": 7, "limit": 10, "orphans": 2},
                "gigabytes": {"used": 7, "limit": 10, "orphans": 20},
                "instances": {"used": 7, "limit": 10, "orphans": 0},
            },
        })
    );
    assert_eq!(answer["sites"][1]["site"], "site-b");

    // What is listed as deletable is what a cleanup takes.
    let chosen = json!({"cleanup": {"resources": ["vol-boot-ws1"]}});
    let path = format!("/v1/{PROJECT_A}/operations/{id}/cleanup");
    house
        .send(Method::POST, &path, "member", chosen)
        .await
        .expect(202);
}

#[tokio::test]
async fn what_somebody_deleted_by_hand_is_left_out() {
    let house = House::with_member(WEB).await;
    failed_over(&house).await;
    holds(&house, "site-a", vec![volume("vol-boot-ws1")]);
    assert_eq!(ids(&list(&house, "").await), ["vol-boot-ws1"]);
}

#[tokio::test]
async fn what_somebody_uses_is_not_deletable() {
    let house = House::with_member(WEB).await;
    failed_over(&house).await;
    let mut attached = volume("vol-boot-ws1");
    attached.servers = vec!["server-of-bob".to_owned()];
    let mut copied = volume("vol-data-ws1");
    copied.snapshots = vec!["snap-of-bob".to_owned()];
    holds(&house, "site-a", vec![attached, copied]);
    let answer = list(&house, "").await;
    let attached = orphan(&answer, "vol-boot-ws1");
    assert_eq!(attached["used_by"], json!(["server-of-bob"]));
    assert_eq!(attached["deletable"], false);
    assert_eq!(
        attached["why_not"],
        "it is attached to server server-of-bob"
    );
    let copied = orphan(&answer, "vol-data-ws1");
    assert_eq!(copied["used_by"], json!(["snap-of-bob"]));
    assert_eq!(copied["why_not"], "it has snapshots: snap-of-bob");
}

#[tokio::test]
async fn a_volume_of_a_server_that_goes_too_is_deletable() {
    let house = House::with_member(WEB).await;
    let _ = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        if step.phase_name.starts_with("delete_source") {
            failed_line()
        } else {
            done()
        }
    })
    .await;
    forget_member(&house).await;
    let mut attached = volume("vol-boot-ws1");
    attached.servers = vec![WEB.to_owned()];
    let server = held(ResourceKind::Server, WEB, PROJECT_A);
    holds(&house, "site-a", vec![server, attached]);
    let answer = list(&house, "").await;
    assert_eq!(ids(&answer), [WEB, "vol-boot-ws1"]);
    assert_eq!(answer["orphans"][1]["deletable"], true);
    assert_eq!(answer["orphans"][1]["used_by"], json!([WEB]));
    assert_eq!(answer["sites"][0]["quota"]["instances"]["orphans"], 1);
}

#[tokio::test]
async fn a_groups_current_member_is_nobodys_orphan() {
    let house = House::with_member(WEB).await;
    let _ = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        if step.phase_name.starts_with("delete_source") {
            failed_line()
        } else {
            done()
        }
    })
    .await;
    let mut marked = volume("vol-data-ws1");
    let mark = ("protector:operation".to_owned(), "op-of-earlier".to_owned());
    marked.metadata = BTreeMap::from([mark]);
    let server = held(ResourceKind::Server, WEB, PROJECT_A);
    holds(
        &house,
        "site-a",
        vec![server, volume("vol-boot-ws1"), marked],
    );
    let answer = list(&house, "").await;
    assert!(ids(&answer).is_empty(), "{answer}");
}

#[tokio::test]
async fn a_mark_alone_never_makes_a_resource_deletable() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        let mut progress = done();
        if step.phase_name == "recreate_vms" {
            progress.state = StepState::Undone;
            progress.memo.made = Some("copy-of-web".to_owned());
        }
        progress
    })
    .await;
    let server = ResourceKind::Server;
    holds(
        &house,
        "site-b",
        vec![
            copy(server, "copy-of-web", id.as_str()),
            copy(server, "forged", id.as_str()),
            copy(server, "stranger", "op-unknown"),
            held(server, "unmarked", PROJECT_B),
        ],
    );
    let answer = list(&house, "").await;
    assert_eq!(ids(&answer), ["copy-of-web", "forged", "stranger"]);
    for (orphan_id, says) in [
        (
            "copy-of-web",
            format!("operation {id} recorded it as taken back (recreate_vms:web-server-1)"),
        ),
        ("forged", format!("operation {id} has no record of it")),
        (
            "stranger",
            "its operation op-unknown is not in this site's records".to_owned(),
        ),
    ] {
        let found = orphan(&answer, orphan_id);
        assert_eq!(found["deletable"], false);
        assert_eq!(found["why_not"], says);
    }
    let stranger = orphan(&answer, "stranger");
    assert_eq!(stranger["operation_id"], Value::Null);
    assert_eq!(stranger["age_seconds"], 7200);
    assert!(stranger["reason"].as_str().unwrap().contains("op-unknown"));
}

/// Its home is lost, and with it what could clean up after it.
#[tokio::test]
async fn the_copies_of_a_test_of_the_lost_site_are_listed_with_what_deletes_them() {
    let house = House::with_member(WEB).await;
    let mut server = copy(ResourceKind::Server, "test-copy", "op-of-site-b");
    let mut volume = copy(ResourceKind::Volume, "test-volume", "op-of-site-b");
    for held in [&mut server, &mut volume] {
        let mark = ("protector:test".to_owned(), "op-of-site-b".to_owned());
        held.metadata.extend([mark]);
    }
    holds(&house, "site-b", vec![server, volume]);
    let answer = list(&house, "").await;
    assert_eq!(ids(&answer), ["test-copy", "test-volume"]);
    for (id, kind) in [("test-copy", "server"), ("test-volume", "volume")] {
        let found = orphan(&answer, id);
        assert_eq!(found["deletable"], false);
        let why = found["why_not"].as_str().unwrap();
        let by_hand = format!("'openstack --os-cloud site-b {kind} delete {id}'");
        assert!(why.contains("op-of-site-b"), "{why}");
        assert!(why.contains(&by_hand), "{why}");
    }
}

/// The copies of an operation under way, a test failover's among them, are in use.
#[tokio::test]
async fn copies_of_an_operation_under_way_are_not_listed() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    let made = copy(ResourceKind::Server, "copy-of-web", id.as_str());
    holds(&house, "site-b", vec![made]);
    assert!(ids(&list(&house, "").await).is_empty());
}

#[tokio::test]
async fn a_copy_that_could_not_be_taken_back_is_deletable_through_its_operation() {
    let house = House::with_member(WEB).await;
    let id = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        match step.phase_name.as_str() {
            "recreate_vms" => not_taken_back(Some("copy-of-web")),
            "promote_volumes" => not_taken_back(Some("array-object")),
            "stop_source_vms" => not_taken_back(None),
            _ => done(),
        }
    })
    .await;
    let made = copy(ResourceKind::Server, "copy-of-web", id.as_str());
    holds(&house, "site-b", vec![made]);
    let answer = list(&house, "").await;
    assert_eq!(
        ids(&answer),
        ["copy-of-web"],
        "a stopped source server is no orphan"
    );
    let found = &answer["orphans"][0];
    assert_eq!(found["step"], "undo:recreate_vms:web-server-1");
    assert_eq!(found["site"], "site-b");
    assert_eq!(found["deletable"], true);
}

#[tokio::test]
async fn a_site_that_does_not_answer_does_not_fail_the_list() {
    let house = House::with_member(WEB).await;
    failed_over(&house).await;
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-a".to_owned());
    let stranger = copy(ResourceKind::Volume, "stranger", "op-unknown");
    holds(&house, "site-b", vec![stranger]);
    let answer = list(&house, "").await;
    assert_eq!(ids(&answer), ["vol-boot-ws1", "vol-data-ws1", "stranger"]);
    let known = orphan(&answer, "vol-boot-ws1");
    assert_eq!(known["seen"], "unknown");
    assert_eq!(known["status"], Value::Null);
    assert_eq!(known["name"], "vol-boot-ws1");
    assert_eq!(known["deletable"], false);
    assert_eq!(known["why_not"], "site-a does not answer");
    assert_eq!(answer["sites"][0]["status"], "UNREACHABLE");
    assert!(
        answer["sites"][0]["error"]
            .as_str()
            .unwrap()
            .contains("connection refused")
    );
    assert_eq!(answer["sites"][0]["quota"], Value::Null);
    assert_eq!(answer["sites"][1]["status"], "OK");
}

#[tokio::test]
async fn other_tenants_things_are_never_shown_nor_looked_at() {
    let house = House::with_member(WEB).await;
    let id = failed_over(&house).await;
    let mut given_away = volume("vol-boot-ws1");
    given_away.project_id = OTHER_PROJECT.into();
    let mut stranger = volume("vol-of-other");
    stranger.project_id = OTHER_PROJECT.into();
    let mark = ("protector:operation".to_owned(), id.to_string());
    stranger.metadata = BTreeMap::from([mark]);
    holds(&house, "site-a", vec![given_away, stranger]);
    let answer = list(&house, "").await;
    assert_eq!(ids(&answer), ["vol-boot-ws1"]);
    let moved = &answer["orphans"][0];
    assert_eq!(moved["deletable"], false);
    assert!(moved["why_not"].as_str().unwrap().contains(OTHER_PROJECT));

    house.outside.clouds.read.lock().unwrap().clear();
    let theirs = format!("/v1/{OTHER_PROJECT}/orphans");
    let answer = house.get(&theirs, "other").await.expect(200).body;
    assert_eq!(answer, json!({"orphans": [], "sites": []}));
    let read = house.outside.clouds.read.lock().unwrap().clone();
    assert!(read.is_empty(), "{read:?}");
}

#[tokio::test]
async fn a_list_can_be_of_one_site_or_group() {
    let house = House::with_member(WEB).await;
    failed_over(&house).await;
    holds(&house, "site-a", vec![volume("vol-boot-ws1")]);
    let stranger = copy(ResourceKind::Volume, "stranger", "op-unknown");
    holds(&house, "site-b", vec![stranger]);
    assert_eq!(ids(&list(&house, "").await), ["vol-boot-ws1", "stranger"]);
    let there = list(&house, "?site=site-b").await;
    assert_eq!(ids(&there), ["stranger"]);
    assert_eq!(there["sites"].as_array().unwrap().len(), 1);
    let webs = list(&house, "?protection_group=web").await;
    assert_eq!(ids(&webs), ["vol-boot-ws1"]);
    // Operations outlive their groups, and so do orphans.
    house
        .delete(&group_path("web", ""), "member")
        .await
        .expect(204);
    let webs = list(&house, "?protection_group=web").await;
    assert_eq!(ids(&webs), ["vol-boot-ws1"]);

    let unknown = house.get(&path("?site=site-x"), "reader").await.expect(404);
    assert_eq!(unknown.message(), "Site site-x could not be found.");
    let unknown = house
        .get(&path("?protection_group=typo"), "reader")
        .await
        .expect(404);
    assert_eq!(
        unknown.message(),
        "No protection group or operation of one is named typo."
    );
    let wrong = house.get(&path("?colour=red"), "reader").await.expect(400);
    assert!(wrong.message().contains("unknown parameter `colour`"));
}

#[tokio::test]
async fn what_a_cleanup_has_deleted_is_not_listed_even_where_the_cloud_still_shows_it() {
    let house = House::with_member(WEB).await;
    let id = failed_over(&house).await;
    holds(
        &house,
        "site-a",
        vec![volume("vol-boot-ws1"), volume("vol-data-ws1")],
    );
    cleanup(&house, &id, "member").await.expect(202);
    settle(&house, &["delete_source_volume:vol-data-ws1"]).await;
    assert_eq!(ids(&list(&house, "").await), ["vol-data-ws1"]);
}

#[tokio::test]
async fn what_was_kept_says_why() {
    let house = House::with_member(WEB).await;
    let _ = start(&house).await;
    settle_as(&house, OperationState::Failed, |step| {
        let mut progress = done();
        if step.key == "delete_source_volume:vol-data-ws1" {
            progress = failed_line();
            progress.error = Some("kept: it is in a group".to_owned());
            progress.error_code = Some(Code::Kept);
        }
        progress
    })
    .await;
    forget_member(&house).await;
    holds(&house, "site-a", vec![volume("vol-data-ws1")]);
    let answer = list(&house, "").await;
    assert_eq!(answer["orphans"][0]["reason"], "kept: it is in a group");
}

#[tokio::test]
async fn readers_look_strangers_and_nobody_do_not() {
    let house = House::with_member(WEB).await;
    house.get(&path(""), "reader").await.expect(200);
    house.get(&path(""), "member").await.expect(200);
    house.get(&path(""), "other").await.expect(404);
    house.get(&path(""), "").await.expect(401);
}

#[tokio::test]
async fn the_policy_file_can_close_the_list() {
    let house = House::with_member(WEB).await;
    house.policy("\"protector:orphans:index\": \"role:auditor\"\n");
    let refused = house.get(&path(""), "member").await.expect(403);
    assert_eq!(
        refused.message(),
        "Policy doesn't allow protector:orphans:index to be performed."
    );
}
