//! Going forward with what a failed failover has made: when that starts, and who stands in the way.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use chrono::TimeDelta;
use http::Method;
use protector_clouds::clouds::Holdings;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    journal::{Effect, Entry, Journal, OperationChange},
    mark,
    member::Member,
    operation::{MapKind, OperationState, Planning, StepProgress, StepRecord, StepState},
    orphan::CloudResource,
    runbook::{Step, resource::ResourceKind},
};
use protector_store::{Lock, OperationCopy};
use serde_json::{Value, json};

use crate::{
    engine::{self, claim, done, not_taken_back},
    fakes::{DB, FixedClock, NET_A, PROJECT_A, WEB},
    house::{Answer, House, group_path},
    way_back,
};

const BOOT: &str = "vol-boot-ws1";
const DATA: &str = "vol-data-ws1";

async fn adopt(house: &House, id: &OperationId, token: &str) -> Answer {
    let path = format!("/v1/{PROJECT_A}/operations/{id}/adopt");
    house
        .send(Method::POST, &path, token, json!({"adopt": {}}))
        .await
}

async fn group(house: &House) -> Value {
    let shown = house
        .get(&group_path("web", ""), "member")
        .await
        .expect(200);
    shown.body["protection_group"].clone()
}

/// A failover that failed and has left its copy running; the group is in error.
async fn failed() -> (House, OperationId) {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    fail(&house, &[]).await;
    (house, id)
}

/// All but the copies of the servers in `taken_back` could not be taken back.
async fn fail(house: &House, taken_back: &[&str]) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let progress = |step: &Step| match step {
        Step::RecreateServer { server } if !taken_back.contains(&server.as_str()) => {
            not_taken_back(Some("copy-1"))
        }
        Step::StopServer { .. } | Step::ManageVolume { .. } | Step::PromoteVolume { .. } => {
            not_taken_back(None)
        }
        Step::SwitchPrimary | Step::DeleteSourceServer { .. } | Step::DeleteSourceVolume { .. } => {
            StepProgress::default()
        }
        _ => StepProgress {
            state: StepState::Undone,
            ..done()
        },
    };
    let steps = record.steps.iter();
    let steps = steps.map(|step| (step.position, progress(&step.action)));
    let noted = Effect::Mapped {
        kind: MapKind::LastAction,
        source: WEB.to_owned(),
        target: "req-stop".to_owned(),
    };
    let error = Effect::GroupStatus {
        group_id: record.operation.group_id.clone(),
        status: GroupStatus::Error,
    };
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps: steps.collect(),
        effects: vec![noted, error],
        ..Entry::default()
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Failed,
            at: now,
        }),
        ..Entry::default()
    };
    for entry in [started, ended] {
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

fn held(kind: ResourceKind, id: &str, status: &str) -> CloudResource {
    CloudResource {
        kind,
        id: id.to_owned(),
        name: id.to_owned(),
        project_id: PROJECT_A.into(),
        status: status.to_owned(),
        size_gib: None,
        created_at: chrono::DateTime::UNIX_EPOCH,
        metadata: BTreeMap::new(),
        servers: Vec::new(),
        snapshots: Vec::new(),
    }
}

fn copy(kind: ResourceKind, source: &str, status: &str, maker: &OperationId) -> CloudResource {
    let mut copy = held(kind, &format!("copy-of-{source}"), status);
    copy.metadata = BTreeMap::from([
        (mark::OPERATION.to_owned(), maker.to_string()),
        (mark::SOURCE.to_owned(), source.to_owned()),
    ]);
    copy
}

fn shows(house: &House, site: &str, held: Vec<CloudResource>) {
    let holdings = Holdings { held, quota: None };
    let mut shown = house.outside.clouds.holdings.lock().unwrap();
    shown.insert(site.to_owned(), holdings);
}

/// The original rests, and its copy runs with its volumes.
fn all_is_well(house: &House, id: &OperationId) {
    shows(
        house,
        "site-a",
        vec![held(ResourceKind::Server, WEB, "SHUTOFF")],
    );
    shows(house, "site-b", whole_copy(id));
}

fn whole_copy(id: &OperationId) -> Vec<CloudResource> {
    vec![
        copy(ResourceKind::Server, WEB, "ACTIVE", id),
        copy(ResourceKind::Volume, BOOT, "in-use", id),
        copy(ResourceKind::Volume, DATA, "in-use", id),
    ]
}

fn says(answer: &Answer, words: &[&str]) {
    let said = answer.message();
    for word in words {
        assert!(said.contains(word), "{word} is not in {said}");
    }
}

#[tokio::test]
async fn what_a_failed_failover_has_left_running_is_adopted() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    adopt(&house, &id, "reader").await.expect(403);
    let started = adopt(&house, &id, "member").await.expect(202).body;
    let operation = &started["operation"];
    assert_eq!(operation["operation_type"], "failover");
    assert_eq!(operation["target_site"], "site-b");
    assert_eq!(group(&house).await["status"], "failing_over");
    let adoption: OperationId = operation["id"].as_str().unwrap().into();
    let record = house
        .database
        .operation_show_by_id(&adoption)
        .await
        .unwrap();
    assert_eq!(record.operation.plan.adopts, Some(id.clone()));
    assert_eq!(
        record.map.target(MapKind::LastAction, WEB),
        Some("req-stop")
    );
    let phases: Vec<&str> = record
        .steps
        .iter()
        .map(|step| step.phase_name.as_str())
        .collect();
    assert!(!phases.contains(&"recreate_vms") && !phases.contains(&"stop_source_vms"));
    assert!(phases.contains(&"adopt_vms") && phases.contains(&"delete_source_volume"));

    let twice = adopt(&house, &id, "member").await.expect(409);
    says(&twice, &["(failover) is running"]);
    let cleanup = engine::cleanup(&house, &id, "member").await.expect(409);
    says(&cleanup, &[adoption.as_str(), "adopts"]);
}

#[tokio::test]
async fn what_was_adopted_is_nothing_that_a_cleanup_removes() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    adopt(&house, &id, "member").await.expect(202);
    engine::settle(&house, &[]).await;
    let cleanup = engine::cleanup(&house, &id, "member").await.expect(200);
    assert_eq!(cleanup.body["cleanup"]["steps"], json!([]));
}

#[tokio::test]
async fn every_member_that_stands_in_the_way_is_named_with_its_command() {
    let (house, id) = failed().await;
    let other = OperationId::new("op-other");
    let running = vec![held(ResourceKind::Server, WEB, "ACTIVE")];
    let resting = vec![held(ResourceKind::Server, WEB, "SHUTOFF")];
    let stopped = {
        let mut copies = whole_copy(&id);
        copies[0].status = "SHUTOFF".to_owned();
        copies
    };
    let torn = whole_copy(&id)[..2].to_vec();
    let twice = {
        let mut copies = whole_copy(&id);
        copies.push(copy(ResourceKind::Server, WEB, "ACTIVE", &other));
        copies
    };
    let foreign = vec![copy(ResourceKind::Server, WEB, "ACTIVE", &other)];
    let cases: [(&Vec<CloudResource>, Vec<CloudResource>, &str); 6] = [
        (&running, whole_copy(&id), "--delete-running"),
        (
            &resting,
            stopped,
            "openstack --os-cloud site-b server start copy-of-",
        ),
        (&resting, torn, "is not whole"),
        (&resting, twice, "has more than one copy on site-b"),
        (&resting, foreign, "which operation op-other has made"),
        (&resting, vec![], "has no copy on site-b any more"),
    ];
    for (source, target, word) in cases {
        shows(&house, "site-a", source.clone());
        shows(&house, "site-b", target);
        let refused = adopt(&house, &id, "member").await.expect(409);
        says(&refused, &["Protection group web cannot go forward", word]);
        assert_eq!(group(&house).await["status"], "error", "{word}");
    }
}

/// One member's copy could not be taken back; the other's was, and its original runs on as the only one there is.
#[tokio::test]
async fn nobody_is_told_to_delete_an_original_that_has_no_copy() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    let id = engine::start(&house).await;
    fail(&house, &[DB]).await;
    shows(
        &house,
        "site-a",
        vec![
            held(ResourceKind::Server, WEB, "SHUTOFF"),
            held(ResourceKind::Server, DB, "ACTIVE"),
        ],
    );
    shows(&house, "site-b", whole_copy(&id));
    let refused = adopt(&house, &id, "member").await.expect(409);
    let name = name_of(&house, DB).await;
    says(
        &refused,
        &[
            &format!("{name} is ACTIVE on site-a ({DB}), and has no copy on site-b"),
            &format!("'openstack dr member remove web {name}'"),
        ],
    );
    for word in ["server delete", "volume delete", "--delete-running"] {
        assert!(!refused.message().contains(word), "{}", refused.message());
    }
    // What it is told to do leads on.
    let path = group_path("web", &format!("/members/{name}"));
    house.delete(&path, "member").await.expect(204);
    adopt(&house, &id, "member").await.expect(202);
}

async fn name_of(house: &House, server: &str) -> String {
    let path = group_path("web", "/members");
    let shown = house.get(&path, "member").await.expect(200).body;
    let members = shown["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["server_id"] == server);
    member.unwrap()["name"].as_str().unwrap().to_owned()
}

/// It ends as the move would have: with the deletion of the source.
#[tokio::test]
async fn who_may_not_fail_over_does_not_adopt_either() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    house.policy("\"protector:protection_groups:action:failover\": \"role:operator\"\n");
    let refused = adopt(&house, &id, "member").await.expect(403);
    says(&refused, &["protector:protection_groups:action:failover"]);
    assert_eq!(group(&house).await["status"], "error");
}

/// What a failed adoption has built, the next one finds: it has the marks of the move.
#[tokio::test]
async fn nothing_is_adopted_while_a_failed_adoption_of_it_is_cleaned_up() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    let id = engine::start(&house).await;
    fail(&house, &[DB]).await;
    let resting = [WEB, DB].map(|server| held(ResourceKind::Server, server, "SHUTOFF"));
    shows(&house, "site-a", resting.to_vec());
    let mut there = whole_copy(&id);
    for volume in volumes_of(&house, DB).await {
        there.push(copy(ResourceKind::Volume, &volume, "available", &id));
    }
    shows(&house, "site-b", there);
    let started = adopt(&house, &id, "member").await.expect(202).body;
    let adoption: OperationId = started["operation"]["id"].as_str().unwrap().into();
    fail(&house, &[]).await;
    engine::cleanup(&house, &adoption, "member")
        .await
        .expect(202);
    let refused = adopt(&house, &id, "member").await.expect(409);
    says(&refused, &["is being cleaned up by operation"]);
}

async fn volumes_of(house: &House, server: &str) -> Vec<String> {
    let stored = house.database.group_show(&PROJECT_A.into(), "web").await;
    let group = stored.unwrap().group.id;
    let members = house.database.member_list(&group).await.unwrap();
    let member = members
        .into_iter()
        .find(|member| member.server_id.as_str() == server);
    let volumes = member.unwrap().volumes;
    volumes.iter().map(|volume| volume.id.to_string()).collect()
}

/// What is left of the original goes with the adoption only where it has rested.
#[tokio::test]
async fn who_lets_the_copy_count_is_told_of_the_disks_of_the_original() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    for (status, command) in [
        ("ACTIVE", "server delete "),
        ("SOFT_DELETED", "server delete --force "),
    ] {
        shows(
            &house,
            "site-a",
            vec![held(ResourceKind::Server, WEB, status)],
        );
        let refused = adopt(&house, &id, "member").await.expect(409);
        let server = format!("openstack --os-cloud site-a {command}{WEB}'");
        let volumes = format!("openstack --os-cloud site-a volume delete {BOOT} {DATA}'");
        says(&refused, &[&server, &volumes, "save what the original has"]);
    }
}

#[tokio::test]
async fn what_is_no_failed_move_with_a_copy_is_not_adopted() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    let running = adopt(&house, &id, "member").await.expect(409);
    says(&running, &["it can be adopted once it has failed"]);
    engine::settle_as(&house, OperationState::Failed, |_| StepProgress {
        state: StepState::Undone,
        ..done()
    })
    .await;
    let nothing = adopt(&house, &id, "member").await.expect(409);
    says(&nothing, &["has left no copy of a VM", "operation cleanup"]);
}

#[tokio::test]
async fn without_the_other_site_nothing_is_adopted() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let path = "/v1/admin/sites/site-b/retire";
    let retired = house.send(Method::POST, path, "admin", json!({"retire": {}}));
    retired.await.expect(200);
    let refused = adopt(&house, &id, "member").await.expect(409);
    says(&refused, &["its other site site-b was retired"]);
}

/// A failback to site-a that has failed and left its copy running there; site-a runs it, and the group runs on site-b.
async fn failed_on_the_way_back() -> (House, OperationId) {
    let house = way_back::failed_over().await;
    let failback = json!({"failback": {"network_mapping": {NET_A: NET_A}}});
    let path = group_path("web", "/action");
    let started = house.send(Method::POST, &path, "member", failback).await;
    let id = started.expect(202).body["operation"]["id"].clone();
    fail(&house, &[]).await;
    (house, OperationId::new(id.as_str().unwrap()))
}

/// Neither site-b's protector answers any more, nor its cloud.
fn site_b_is_lost(house: &House) {
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let mut away = house.outside.clouds.away.lock().unwrap();
    away.insert("site-b".to_owned());
}

async fn adopt_without_source(house: &House, id: &OperationId) -> Answer {
    let path = format!("/v1/{PROJECT_A}/operations/{id}/adopt");
    let lost = json!({"adopt": {"source_is_lost": true}});
    house.send(Method::POST, &path, "member", lost).await
}

/// The server of the group's only member, on the site where it runs.
async fn member_now(house: &House) -> String {
    let path = group_path("web", "/members");
    let shown = house.get(&path, "member").await.expect(200).body;
    shown["members"][0]["server_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn copy_runs_here(house: &House, server: &str, id: &OperationId) {
    shows(
        house,
        "site-a",
        vec![copy(ResourceKind::Server, server, "ACTIVE", id)],
    );
}

#[tokio::test]
async fn copies_in_use_become_the_group_when_the_site_of_their_originals_is_lost() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    site_b_is_lost(&house);
    // Without a word it says all that it means.
    let refused = adopt(&house, &id, "member").await.expect(503);
    let command = format!("'openstack dr operation adopt {id} --source-is-lost'");
    says(
        &refused,
        &[
            &command,
            "whether an original runs there",
            "'openstack dr fence web'",
        ],
    );
    assert_eq!(group(&house).await["status"], "error");

    let started = adopt_without_source(&house, &id).await.expect(202).body;
    let operation = &started["operation"];
    assert_eq!(operation["operation_type"], "failback");
    assert_eq!(operation["target_site"], "site-a");
    assert_eq!(group(&house).await["status"], "failing_back");
    let adoption: OperationId = operation["id"].as_str().unwrap().into();
    let record = house.database.operation_show_by_id(&adoption).await;
    let record = record.unwrap();
    assert_eq!(record.operation.plan.interrupted, std::slice::from_ref(&id));
    let left = |step: &StepRecord| matches!(step.action, Step::LeaveSourceServer { .. });
    assert!(record.steps.iter().any(left), "the originals stay");
    let cleanup = engine::cleanup(&house, &id, "member").await.expect(409);
    says(&cleanup, &[adoption.as_str(), "adopts"]);
}

#[tokio::test]
async fn nobody_is_believed_that_a_site_is_lost_which_answers() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    let answers = adopt_without_source(&house, &id).await.expect(409);
    says(
        &answers,
        &["site-b answers, so it is not lost", "operation adopt"],
    );
    // Its protector is away, and its VMs may run.
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let cloud = adopt_without_source(&house, &id).await.expect(409);
    says(&cloud, &["but its cloud does", "its VMs may run"]);
    assert_eq!(group(&house).await["status"], "error");
}

#[tokio::test]
async fn nobody_is_believed_that_a_site_is_lost_which_was_not_asked() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    let peer = &house.outside.peer;
    peer.cannot_be_asked.store(true, Ordering::SeqCst);
    let unknown = adopt_without_source(&house, &id).await.expect(503);
    says(&unknown, &["the database is busy"]);
    // Its protector is lost for certain, and of its cloud nobody knows.
    peer.cannot_be_asked.store(false, Ordering::SeqCst);
    peer.away.store(true, Ordering::SeqCst);
    let of_cloud = || house.outside.clouds.cannot_be_asked.lock().unwrap();
    of_cloud().insert("site-b".to_owned());
    let unknown = adopt_without_source(&house, &id).await.expect(503);
    says(&unknown, &["nobody knows what site-b says"]);
    assert_eq!(group(&house).await["status"], "error");
    of_cloud().clear();
    site_b_is_lost(&house);
    adopt_without_source(&house, &id).await.expect(202);
}

#[tokio::test]
async fn without_the_source_nothing_is_adopted_that_is_not_there() {
    let (house, id) = failed_on_the_way_back().await;
    site_b_is_lost(&house);
    let nothing = adopt_without_source(&house, &id).await.expect(409);
    says(&nothing, &["has left no copy", "--type unplanned"]);
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &OperationId::new("op-other"));
    adopt_without_source(&house, &id).await.expect(409);
    assert_eq!(group(&house).await["status"], "error");
}

/// It stands in the way of an unplanned failover, which says both ways on before anything is started.
#[tokio::test]
async fn an_unplanned_failover_names_the_copies_that_are_in_its_way() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    site_b_is_lost(&house);
    let path = group_path("web", "/action");
    for dry_run in [true, false] {
        let lost = json!({"failover": {"type": "unplanned", "dry_run": dry_run,
            "network_mapping": {NET_A: NET_A}}});
        let refused = house.send(Method::POST, &path, "member", lost).await;
        let name = name_of(&house, &server).await;
        says(
            &refused.expect(409),
            &[
                &format!("operation adopt {id} --source-is-lost"),
                &format!("operation cleanup {id} --delete-running {name}"),
            ],
        );
    }
    assert_eq!(group(&house).await["status"], "error");
}

/// Only the protector of the lost site could clean up after the move that made it.
#[tokio::test]
async fn a_copy_that_the_lost_site_has_made_is_taken_out_of_the_way_without_that() {
    let house = way_back::left_as(GroupStatus::FailedOver).await;
    let web = group(&house).await["id"].as_str().unwrap().to_owned();
    let id = OperationId::new("op-there");
    let copy = copied(&web, "op-there", "failed");
    house.database.peer_operation_apply(&copy).await.unwrap();
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    site_b_is_lost(&house);
    let path = group_path("web", "/action");
    let lost = json!({"failover": {"type": "unplanned", "network_mapping": {NET_A: NET_A}}});
    let refused = house.send(Method::POST, &path, "member", lost).await;
    let refused = refused.expect(409);
    says(
        &refused,
        &[
            "operation adopt op-there --source-is-lost",
            &format!("'openstack --os-cloud site-a server delete copy-of-{server}'"),
            "only the protector of site-b can clean up",
        ],
    );
    assert!(!refused.message().contains("operation cleanup op-there"));
}

/// One that was tried all the same, by a protector of an earlier release say, has made nothing.
#[tokio::test]
async fn an_unplanned_failover_that_failed_because_of_the_copies_does_not_hide_them() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    site_b_is_lost(&house);
    let path = group_path("web", "/action");
    let lost = json!({"failover": {"type": "unplanned", "network_mapping": {NET_A: NET_A}}});
    let started = house.send(Method::POST, &path, "member", lost).await;
    started.expect(202);
    let claim = claim(&house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let error = Effect::GroupStatus {
        group_id: record.operation.group_id,
        status: GroupStatus::Error,
    };
    for (change, effects) in [
        (OperationChange::Started { at: now }, vec![error]),
        (
            OperationChange::Settled {
                state: OperationState::Failed,
                at: now,
            },
            vec![],
        ),
    ] {
        let entry = Entry {
            operation: Some(change),
            effects,
            ..Entry::default()
        };
        house.database.record(&claim, now, entry).await.unwrap();
    }
    copy_runs_here(&house, &server, &id);
    adopt_without_source(&house, &id).await.expect(202);
}

/// The lost site ran the move: all that is left of its record is the copy.
fn copied(house_group: &str, id: &str, status: &str) -> OperationCopy {
    OperationCopy {
        id: id.into(),
        home_site: "site-b".into(),
        project_id: PROJECT_A.into(),
        group_id: house_group.into(),
        group_name: "web".to_owned(),
        kind: "failback".to_owned(),
        state: status.to_owned(),
        parent_id: None,
        leftovers: 1,
        created_at: FixedClock.now() + TimeDelta::minutes(1),
        revision: 1,
        since: 0,
        is_last: true,
        record: json!({
            "id": id, "status": status, "home_site": "site-b", "protection_group_id": house_group,
            "source_site": "site-b", "target_site": "site-a",
        }),
        lines: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_move_of_the_lost_site_has_left_here_is_adopted_by_its_copied_record() {
    let house = way_back::left_as(GroupStatus::Error).await;
    let web = group(&house).await["id"].as_str().unwrap().to_owned();
    let id = OperationId::new("op-there");
    let copy = copied(&web, "op-there", "failed");
    house.database.peer_operation_apply(&copy).await.unwrap();
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    let there = adopt(&house, &id, "member").await.expect(409);
    says(
        &there,
        &["is run by site-b", "--os-cloud site-b dr operation adopt"],
    );
    site_b_is_lost(&house);
    let means = adopt(&house, &id, "member").await.expect(409);
    says(
        &means,
        &["--source-is-lost", "whether an original runs there"],
    );
    let unmapped = adopt_without_source(&house, &id).await.expect(400);
    says(&unmapped, &["--network-mapping"]);
    let path = format!("/v1/{PROJECT_A}/operations/{id}/adopt");
    let mapped = json!({"source_is_lost": true, "network_mapping": {NET_A: NET_A}});
    let body = json!({"adopt": mapped});
    let started = house.send(Method::POST, &path, "member", body).await;
    let started = started.expect(202).body;
    assert_eq!(started["operation"]["home_site"], "site-a");
}

/// What it has made the group, the failed move has not left any more; and what it has left on the lost site is watched, and
/// fenced when that is back.
#[tokio::test]
async fn after_an_adoption_without_the_source_its_originals_are_watched_and_fenced() {
    let (house, id) = failed_on_the_way_back().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &id);
    site_b_is_lost(&house);
    adopt_without_source(&house, &id).await.expect(202);
    bring_to(&house, "site-a").await;
    let home = group(&house).await;
    assert_eq!(home["status"], "active", "{home}");
    assert_eq!(home["current_primary_site"], "site-a");
    let cleanup = engine::cleanup(&house, &id, "member").await.expect(200);
    assert_eq!(cleanup.body["cleanup"]["steps"], json!([]));

    let group_id = home["id"].as_str().unwrap().into();
    let left = house.database.leftover_servers_of(&group_id).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].site.as_str(), "site-b");
    let watched: Vec<&str> = left[0].servers.iter().map(|id| id.as_str()).collect();
    assert_eq!(watched, [server.as_str()]);
    let split = house.database.group_split(&group_id, FixedClock.now());
    split.await.unwrap();
    let path = group_path("web", "/action");
    let fence = house.send(Method::POST, &path, "member", json!({"fence": null}));
    fence.await.expect(202);
}

/// The copies may bear the marks of either, and a cleanup of either would take them back.
#[tokio::test]
async fn no_cleanup_takes_back_what_an_adoption_without_the_source_goes_on_from() {
    let (house, [interrupted, failed]) = way_back::taken_over_in_vain().await;
    let server = member_now(&house).await;
    copy_runs_here(&house, &server, &interrupted);
    site_b_is_lost(&house);
    let path = format!("/v1/{PROJECT_A}/operations/{failed}/adopt");
    let body = json!({"adopt": {"source_is_lost": true, "network_mapping": {NET_A: NET_A}}});
    let started = house.send(Method::POST, &path, "member", body).await;
    let started = started.expect(202).body;
    for id in [&failed, &interrupted] {
        let holder = house.database.lock_holder(&Lock::cleanup_of(id)).await;
        let holder = holder.unwrap().map(|holder| holder.to_string());
        assert_eq!(
            holder.as_deref(),
            started["operation"]["id"].as_str(),
            "{id}"
        );
    }
}

/// The worst that the check says of what earlier operations have left.
async fn left_over(house: &House) -> Value {
    let shown = house.get(&group_path("web", "/check"), "member").await;
    let shown = shown.expect(200).body;
    let mut findings = shown["check"]["findings"].as_array().unwrap().iter();
    let found = findings.find(|finding| finding["check"] == "leftovers");
    found.unwrap().clone()
}

/// The group was put at rest beside the stopped copy, and somebody has started that.
#[tokio::test]
async fn a_copy_that_a_failed_failover_has_left_is_watched_and_fenced() {
    let (house, _) = failed().await;
    let shown = group(&house).await;
    let (id, version) = (shown["id"].as_str().unwrap().into(), &shown["version"]);
    let now = FixedClock.now();
    let version = version.as_u64().unwrap();
    let at_rest = house.database.group_put_at_rest(&id, version, now).await;
    assert!(at_rest.unwrap());
    let left = house.database.leftover_servers_of(&id).await.unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].site.as_str(), "site-b");
    let watched: Vec<&str> = left[0].servers.iter().map(|id| id.as_str()).collect();
    assert_eq!(watched, ["copy-1"]);

    let shown = vec![held(ResourceKind::Server, "copy-1", "SHUTOFF")];
    shows(&house, "site-b", shown);
    assert_eq!(left_over(&house).await["status"], "warning");
    let shown = vec![held(ResourceKind::Server, "copy-1", "ACTIVE")];
    shows(&house, "site-b", shown);
    let runs = left_over(&house).await;
    assert_eq!(runs["status"], "error", "{runs}");
    for word in ["copy-1", "ACTIVE on site-b", "openstack dr fence web"] {
        assert!(runs["message"].to_string().contains(word), "{runs}");
    }

    house.database.group_split(&id, now).await.unwrap();
    let path = group_path("web", "/action");
    let fence = house.send(Method::POST, &path, "member", json!({"fence": null}));
    let fence = fence.await.expect(202).body;
    assert_eq!(fence["operation"]["source_site"], "site-b");
    let path = format!(
        "/v1/{PROJECT_A}/operations/{}?detail=true",
        fence["operation"]["id"].as_str().unwrap()
    );
    let shown = house.get(&path, "member").await.expect(200).body;
    let steps = shown["operation"]["steps"].as_array().unwrap().iter();
    let keys: Vec<&str> = steps.map(|step| step["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["fence_source_vm:copy-1", "confirm_fenced"]);
}

/// Ends the operation under way as an engine does: the copy is the group, and its original is left where it is.
async fn bring_to(house: &House, site: &str) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let progress = |step: &Step| match step {
        Step::LeaveSourceServer { .. }
        | Step::LeaveSourceVolume { .. }
        | Step::DeleteSourceServer { .. }
        | Step::DeleteSourceVolume { .. } => engine::failed_line(),
        _ => done(),
    };
    let group_id = record.operation.group_id.clone();
    let members = house.database.member_list(&group_id).await.unwrap();
    let mapped = Effect::Mapped {
        kind: MapKind::Server,
        source: members[0].server_id.to_string(),
        target: "copy-1".to_owned(),
    };
    let switched = Effect::GroupSwitched {
        group_id,
        current_primary_site: site.into(),
        members: members
            .into_iter()
            .map(|member| Member {
                server_id: "copy-1".into(),
                ..member
            })
            .collect(),
    };
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps: record
            .steps
            .iter()
            .map(|step| (step.position, progress(&step.action)))
            .collect(),
        effects: vec![mapped, switched],
        ..Entry::default()
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: now,
        }),
        ..Entry::default()
    };
    for entry in [started, ended] {
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

/// Another one goes on from its copies; what it mapped for itself alone counts again.
#[tokio::test]
async fn a_failed_unplanned_failover_is_adopted_by_another_one() {
    for source_answers in [true, false] {
        let house = way_back::failed_over().await;
        let path = group_path("web", "/action");
        let lost = json!({"failover": {"type": "unplanned", "network_mapping": {NET_A: NET_A}}});
        let started = house.send(Method::POST, &path, "member", lost).await;
        let id = started.expect(202).body["operation"]["id"].clone();
        let id = OperationId::new(id.as_str().unwrap());
        fail(&house, &[]).await;
        let server = member_now(&house).await;
        copy_runs_here(&house, &server, &id);
        let original = |status| vec![held(ResourceKind::Server, &server, status)];
        shows(&house, "site-b", original("ACTIVE"));
        let beside = adopt(&house, &id, "member").await.expect(409);
        let stop = format!("'openstack --os-cloud site-b server stop {server}'");
        says(&beside, &["is back as", &stop]);
        match source_answers {
            true => shows(&house, "site-b", original("SHUTOFF")),
            false => site_b_is_lost(&house),
        }
        let started = adopt(&house, &id, "member").await.expect(202).body;
        let adoption = started["operation"]["id"].as_str().unwrap().into();
        let record = house.database.operation_show_by_id(&adoption).await;
        let operation = record.unwrap().operation;
        assert_eq!(operation.planning, Planning::Unplanned);
        let plan = operation.plan;
        assert_eq!(plan.interrupted, [id]);
        assert_eq!(
            plan.mappings.networks.get(NET_A).map(String::as_str),
            Some(NET_A)
        );
    }
}

/// Of an operation that the other site runs this one knows what is to be told of it.
#[tokio::test]
async fn an_adoption_says_whose_copies_it_adopts() {
    let (house, id) = failed().await;
    all_is_well(&house, &id);
    let started = adopt(&house, &id, "member").await.expect(202).body;
    assert_eq!(started["operation"]["adopts_operation_id"], id.as_str());
}

/// What a failed failback of the other site has made here, as its copied record tells.
fn failed_there(house_group: &str, server: &str) -> OperationCopy {
    let line = |phase: &str, resource: &str, state: &str| {
        json!({"key": format!("{phase}:web-server-1"), "phase": phase, "state": state,
            "site": "site-a", "resource_type": "server", "resource_id": resource})
    };
    OperationCopy {
        lines: vec![
            (0, line("recreate_vms", "copy-of-b", "undo_failed")),
            (1, line("delete_source_vm", server, "pending")),
        ],
        ..copied(house_group, "op-there", "failed")
    }
}

/// This site's failover could not delete the original, and the other site's failback could not take back its copy: the group
/// runs once when neither does, whichever of the two sites is asked.
#[tokio::test]
async fn a_fence_stops_what_the_moves_of_both_sites_have_left() {
    let house = House::with_member(WEB).await;
    engine::start(&house).await;
    bring_to(&house, "site-b").await;
    let web = group(&house).await["id"].as_str().unwrap().to_owned();
    let server = member_now(&house).await;
    let copy = failed_there(&web, &server);
    house.database.peer_operation_apply(&copy).await.unwrap();
    let web = web.as_str().into();
    house
        .database
        .group_split(&web, FixedClock.now())
        .await
        .unwrap();
    let path = group_path("web", "/action");
    let fence = house.send(Method::POST, &path, "member", json!({"fence": null}));
    let fence = fence.await.expect(202).body;
    let path = format!(
        "/v1/{PROJECT_A}/operations/{}?detail=true",
        fence["operation"]["id"].as_str().unwrap()
    );
    let shown = house.get(&path, "member").await.expect(200).body;
    let steps = shown["operation"]["steps"].as_array().unwrap().iter();
    let lines: Vec<(&str, &str)> = steps
        .filter_map(|step| Some((step["resource_id"].as_str()?, step["site"].as_str()?)))
        .collect();
    assert_eq!(
        lines,
        [(WEB, "site-a"), ("copy-of-b", "site-a")],
        "{shown:#}"
    );
}
