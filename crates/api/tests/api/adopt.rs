//! Going forward with what a failed failover has made: when that starts, and who stands in the way.

use std::collections::BTreeMap;

use http::Method;
use protector_api::clouds::Holdings;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::OperationId,
    journal::{Effect, Entry, Journal, OperationChange},
    mark,
    operation::{MapKind, OperationState, StepProgress, StepState},
    orphan::Held,
    runbook::{Step, resource::ResourceKind},
};
use serde_json::{Value, json};

use crate::{
    engine::{self, claim, done, not_taken_back},
    fakes::{DB, FixedClock, PROJECT_A, WEB},
    house::{Answer, House, group_path},
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

fn held(kind: ResourceKind, id: &str, status: &str) -> Held {
    Held {
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

fn copy(kind: ResourceKind, source: &str, status: &str, maker: &OperationId) -> Held {
    let mut copy = held(kind, &format!("copy-of-{source}"), status);
    copy.metadata = BTreeMap::from([
        (mark::OPERATION.to_owned(), maker.to_string()),
        (mark::SOURCE.to_owned(), source.to_owned()),
    ]);
    copy
}

fn shows(house: &House, site: &str, held: Vec<Held>) {
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

fn whole_copy(id: &OperationId) -> Vec<Held> {
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
    let cases: [(&Vec<Held>, Vec<Held>, &str); 6] = [
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
