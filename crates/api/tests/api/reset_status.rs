//! A status that nobody leads out of, and the reset that looks at both clouds first.

use std::collections::BTreeMap;

use http::Method;
use protector_clouds::clouds::Holdings;
use protector_core::{
    group::GroupStatus, mark, orphan::CloudResource, runbook::resource::ResourceKind,
};
use serde_json::{Value, json};

use crate::{
    engine,
    fakes::{PROJECT_A, WEB},
    house::{Answer, House, group_path},
    way_back::{failed_over, left_as},
};

async fn reset(house: &House, options: Value) -> Answer {
    let path = group_path("web", "/reset-status");
    let body = json!({"reset_status": options});
    house.send(Method::POST, &path, "member", body).await
}

async fn status(house: &House) -> Value {
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    shown.body["protection_group"]["status"].clone()
}

fn held(kind: ResourceKind, id: &str, name: &str, status: &str) -> CloudResource {
    CloudResource {
        kind,
        id: id.to_owned(),
        name: name.to_owned(),
        project_id: PROJECT_A.into(),
        status: status.to_owned(),
        size_gib: None,
        created_at: chrono::DateTime::UNIX_EPOCH,
        metadata: BTreeMap::new(),
        servers: Vec::new(),
        snapshots: Vec::new(),
    }
}

pub fn server(id: &str, status: &str) -> CloudResource {
    held(ResourceKind::Server, id, "web-server-1", status)
}

/// The member's server and volumes, as the site shows them that it runs on.
fn whole(status: &str) -> Vec<CloudResource> {
    let volumes = ["vol-boot-ws1", "vol-data-ws1"];
    let volumes = volumes.map(|id| held(ResourceKind::Volume, id, id, "in-use"));
    std::iter::once(server(WEB, status))
        .chain(volumes)
        .collect()
}

pub fn shows(house: &House, site: &str, held: Vec<CloudResource>) {
    let holdings = Holdings { held, quota: None };
    let mut shown = house.outside.clouds.holdings.lock().unwrap();
    shown.insert(site.to_owned(), holdings);
}

/// A group that runs on site-b, left in `status`.
async fn stuck(left: GroupStatus) -> House {
    let house = left_as(left).await;
    shows(&house, "site-b", whole("ACTIVE"));
    assert_eq!(status(&house).await, left.as_str());
    house
}

#[tokio::test]
async fn every_status_that_nobody_leads_out_of_ends_when_both_clouds_agree_with_the_record() {
    for left in [
        GroupStatus::Error,
        GroupStatus::SplitBrain,
        GroupStatus::FailingOver,
        GroupStatus::FailingBack,
    ] {
        let house = stuck(left).await;
        let told = reset(&house, json!({"dry_run": true}))
            .await
            .expect(200)
            .body;
        assert_eq!(told["reset_status"]["before"], left.as_str());
        assert_eq!(told["reset_status"]["status"], "failed_over");
        let found = told["reset_status"]["findings"][0]["found"]
            .as_str()
            .unwrap();
        assert_eq!(found, "is ACTIVE on site-b");
        assert_eq!(
            status(&house).await,
            left.as_str(),
            "a dry run changes nothing"
        );
        reset(&house, json!({})).await.expect(200);
        assert_eq!(status(&house).await, "failed_over", "{left}");
    }
}

#[tokio::test]
async fn what_runs_on_the_other_site_too_is_named_with_its_cure() {
    let house = stuck(GroupStatus::SplitBrain).await;
    let mut old = server("old", "ACTIVE");
    old.metadata.insert(mark::SOURCE.to_owned(), WEB.to_owned());
    shows(&house, "site-a", vec![old]);
    let refused = reset(&house, json!({})).await.expect(409);
    let said = refused.message();
    assert!(said.contains("web stays split_brain"), "{said}");
    assert!(said.contains("--os-cloud site-a server stop old"), "{said}");
    assert_eq!(status(&house).await, "split_brain");
}

#[tokio::test]
async fn a_member_whose_server_is_gone_is_no_reason_to_stay_in_error() {
    let house = stuck(GroupStatus::Error).await;
    shows(&house, "site-b", vec![]);
    let told = reset(&house, json!({})).await.expect(200).body;
    let found = told["reset_status"]["findings"][0]["found"]
        .as_str()
        .unwrap();
    assert!(
        found.contains("openstack dr member remove web web-server-1"),
        "{found}"
    );
    assert_eq!(status(&house).await, "failed_over");
}

#[tokio::test]
async fn a_site_that_does_not_answer_proves_nothing_until_somebody_says_that_it_is_lost() {
    let house = stuck(GroupStatus::Error).await;
    house
        .outside
        .clouds
        .away
        .lock()
        .unwrap()
        .insert("site-a".to_owned());
    let silent = reset(&house, json!({})).await.expect(503);
    assert!(silent.message().contains("site-a"), "{}", silent.message());
    assert_eq!(status(&house).await, "error");
    let told = reset(&house, json!({"other_site_lost": true}))
        .await
        .expect(200)
        .body;
    let findings = told["reset_status"]["findings"].to_string();
    assert!(findings.contains("is said to be lost"), "{findings}");
    assert_eq!(status(&house).await, "failed_over");
}

#[tokio::test]
async fn a_group_that_an_operation_moves_is_not_reset() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    let refused = reset(&house, json!({})).await.expect(409);
    assert!(
        refused.message().contains(id.as_str()),
        "{}",
        refused.message()
    );
    assert_eq!(status(&house).await, "failing_over");
}

#[tokio::test]
async fn a_group_at_rest_stays_as_it_is() {
    let house = failed_over().await;
    shows(&house, "site-b", whole("SHUTOFF"));
    let before = house.get(&group_path("web", ""), "member").await.body;
    reset(&house, json!({})).await.expect(200);
    let after = house.get(&group_path("web", ""), "member").await.body;
    assert_eq!(before, after);
}

/// The record of the failover that left them was lost with an old backup: the marks of the group's own servers tell.
#[tokio::test]
async fn a_fence_without_any_record_goes_by_the_marks_of_what_runs() {
    let house = stuck(GroupStatus::SplitBrain).await;
    let mut here = whole("ACTIVE");
    let old = "7a3f2c11-0001-4b22-a918-0000000000aa";
    here[0]
        .metadata
        .insert(mark::SOURCE.to_owned(), old.to_owned());
    shows(&house, "site-b", here);
    let path = group_path("web", "/action");
    let fence = json!({"fence": null});
    let started = house
        .send(Method::POST, &path, "member", fence)
        .await
        .expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    assert_eq!(started.body["operation"]["source_site"], "site-a");
    let shown = house
        .get(
            &format!("/v1/{PROJECT_A}/operations/{id}?detail=true"),
            "member",
        )
        .await
        .expect(200)
        .body;
    let step = &shown["operation"]["steps"][0];
    assert_eq!(step["key"], "fence_source_vm:web-server-1");
    assert_eq!(step["resource_id"], old);
    assert_eq!(step["site"], "site-a");
}

#[tokio::test]
async fn a_fence_that_nothing_tells_what_to_stop_names_the_way_by_hand() {
    let house = stuck(GroupStatus::SplitBrain).await;
    let path = group_path("web", "/action");
    let fence = json!({"fence": null});
    let refused = house
        .send(Method::POST, &path, "member", fence)
        .await
        .expect(409);
    let said = refused.message();
    assert!(said.contains("protection-group reset-status web"), "{said}");
    assert!(said.contains("web-server-1"), "{said}");
}
