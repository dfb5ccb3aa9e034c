//! What a move left behind is fenced by what is seen, not by what was seen once.

use protector_core::{
    id::ServerId,
    operation::{MapKind, OperationRecord, OperationState, ResourceMap},
    runbook::Step,
};
use protector_simcloud::{
    cloud::{CallEffect, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::fixture::Fixture;

/// What an earlier fence has written of the server.
fn fenced_once(fixture: &Fixture) -> ResourceMap {
    let mut map = ResourceMap::default();
    map.insert(MapKind::Fenced, &fixture.server, "SHUTOFF");
    map
}

async fn start_server(fixture: &Fixture) {
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture
        .user("demo", "POST", &url, json!({"os-start": null}))
        .await;
}

fn refuse_reads(fixture: &Fixture, what: &str) {
    let reads = Match {
        method: Some("GET".to_owned()),
        path: Some(format!("*/{what}/*")),
        ..Match::default()
    };
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    fixture.refuse(what, reads, 404, not_found);
}

fn confirmation(record: &OperationRecord) -> String {
    let confirm = record
        .steps
        .iter()
        .find(|step| step.action == Step::ConfirmFenced);
    confirm.unwrap().progress.error.clone().unwrap_or_default()
}

/// An answer that comes 20 s late says nothing of now: somebody may have started the server since.
#[tokio::test(start_paused = true)]
async fn a_fence_does_not_end_by_answers_that_come_late() {
    let mut fixture = Fixture::switched().await;
    let known = fenced_once(&fixture);
    super::source_at_rest::fault(
        &fixture.source,
        "GET",
        "*/servers*",
        CallEffect::Delay { seconds: 20.0 },
    );
    let fence = fixture.fence(known.clone()).await;
    assert_eq!(fence.operation.state, OperationState::Failed);
    let why = confirmation(&fence);
    assert!(why.starts_with("Nova timeout after 300s"), "{why}");
    lock(&fixture.source).clear_faults();
    let fence = fixture.fence(known).await;
    assert_eq!(fence.operation.state, OperationState::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_fence_proves_nothing_of_a_server_that_runs() {
    let mut fixture = Fixture::switched().await;
    start_server(&fixture).await;
    let stops = Match {
        method: Some("POST".to_owned()),
        path: Some("*/servers/*/action".to_owned()),
        ..Match::default()
    };
    let forbidden = json!({"forbidden": {"code": 403, "message": "Policy doesn't allow it."}});
    fixture.refuse("stops", stops, 403, forbidden);
    let known = fenced_once(&fixture);
    let fence = fixture.fence(known).await;
    assert_eq!(fence.operation.state, OperationState::Failed);
    let why = confirmation(&fence);
    assert_eq!(
        why,
        "not certainly stopped on site-a: vm-001 (it is ACTIVE); fence again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_stopped_is_fenced() {
    let mut fixture = Fixture::switched().await;
    start_server(&fixture).await;
    let fence = fixture.fence(ResourceMap::default()).await;
    assert_eq!(fence.operation.error, None);
    assert_eq!(fence.operation.state, OperationState::Completed);
    let status = fixture.server_facts(&fixture.server).unwrap().status;
    assert_eq!(status, "SHUTOFF");
    assert_eq!(fixture.why_not_at_rest().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nova_has_forgotten_with_its_host_down_is_not_fenced() {
    let mut fixture = Fixture::switched().await;
    let known = fixture.failover().map;
    fixture.compute_host(true).await;
    let url = format!("compute /servers/{}", fixture.server);
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    assert!(!fixture.has_server(), "Nova deletes locally");
    let fence = fixture.fence(known).await;
    assert_eq!(fence.operation.state, OperationState::Failed);
    let why = confirmation(&fence);
    assert!(
        why.contains("the compute host site-a-compute-1 that it was on"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_split_brain_is_not_ended_by_a_404_of_another_region() {
    let fixture = Fixture::switched().await;
    refuse_reads(&fixture, "servers");
    assert_eq!(
        fixture.why_not_at_rest().await,
        None,
        "the network is known"
    );
    refuse_reads(&fixture, "networks");
    let why = fixture.why_not_at_rest().await.unwrap();
    assert!(
        why.contains("the catalogue may lead to another region"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_split_brain_is_not_ended_by_the_word_of_a_host_that_is_down() {
    let fixture = Fixture::switched().await;
    fixture.compute_host(true).await;
    let why = fixture.why_not_at_rest().await.unwrap();
    assert!(
        why.contains("its compute host site-a-compute-1 does not answer"),
        "{why}"
    );
}

/// Nova says SHUTOFF, and that its hypervisor runs the guest.
#[tokio::test(start_paused = true)]
async fn a_split_brain_is_not_ended_while_a_guest_runs_behind_its_status() {
    let mut fixture = Fixture::switched().await;
    assert_eq!(fixture.why_not_at_rest().await, None);
    lock(&fixture.source).start_guest_beside_nova(&fixture.server);
    let why = fixture.why_not_at_rest().await.unwrap();
    assert!(why.contains("SHUTOFF and its guest runs"), "{why}");
    let record = fixture.fence(ResourceMap::default()).await;
    assert_eq!(record.operation.state, OperationState::Failed);
}

/// A life of the machine that a move of long ago has left where the group runs by now.
fn left_on_target(fixture: &Fixture) -> ServerId {
    let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "vm-001-of-old",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&fixture.target).network_id("demo-net").unwrap()}],
        "block_device_mapping_v2": [{
            "source_type": "blank", "destination_type": "volume",
            "volume_size": 1, "boot_index": 0,
        }],
    }});
    let made = fixture.on_target("demo", "POST", "compute /servers", &server);
    ServerId::new(made["server"]["id"].as_str().unwrap())
}

fn status_on_target(fixture: &Fixture, id: &ServerId) -> String {
    let servers = lock(&fixture.target).servers();
    let server = servers.into_iter().find(|server| server.id == id.as_str());
    server.unwrap().status
}

#[tokio::test(start_paused = true)]
async fn what_is_left_where_the_group_runs_is_fenced_and_the_group_is_not() {
    let mut fixture = Fixture::switched().await;
    let (_, members) = fixture.group_and_members();
    let left = left_on_target(&fixture);
    fixture.a_while().await;
    assert_eq!(status_on_target(&fixture, &left), "ACTIVE");
    let fence = fixture
        .fence_beside(ResourceMap::default(), vec![left.clone()])
        .await;
    assert_eq!(fence.operation.error, None);
    assert_eq!(fence.operation.state, OperationState::Completed);
    assert_eq!(status_on_target(&fixture, &left), "SHUTOFF");
    assert_eq!(status_on_target(&fixture, &members[0].server_id), "ACTIVE");
}

/// It was left when the fence was asked for, and a group has taken it up since.
#[tokio::test(start_paused = true)]
async fn a_member_is_not_fenced_whatever_the_plan_says() {
    let mut fixture = Fixture::switched().await;
    let (group, members) = fixture.group_and_members();
    let member = members[0].server_id.clone();
    let fence = fixture
        .fence_beside(ResourceMap::default(), vec![member.clone()])
        .await;
    assert_eq!(fence.operation.state, OperationState::Failed);
    assert_eq!(status_on_target(&fixture, &member), "ACTIVE");
    let line = fence
        .steps
        .iter()
        .find(|step| matches!(step.action, Step::FenceServerOnTarget { .. }));
    let why = line.unwrap().progress.error.clone().unwrap();
    let expected = format!("protection group {} protects it now", group.name);
    assert!(why.contains(&expected), "{why}");
}

/// An original that one move has left on the source, and a copy that another has left on the target: one of the two rests, and
/// nobody says of the other one that it does.
#[tokio::test(start_paused = true)]
async fn a_fence_ends_when_what_is_left_on_both_sites_rests() {
    let mut fixture = Fixture::switched().await;
    start_server(&fixture).await;
    let left = left_on_target(&fixture);
    fixture.a_while().await;
    let stops = Match {
        method: Some("POST".to_owned()),
        path: Some("*/servers/*/action".to_owned()),
        ..Match::default()
    };
    let forbidden = json!({"forbidden": {"code": 403, "message": "Policy doesn't allow it."}});
    fixture.refuse("stops", stops, 403, forbidden);
    let fence = async |fixture: &mut Fixture| {
        let known = ResourceMap::default();
        fixture.fence_beside(known, vec![left.clone()]).await
    };
    let first = fence(&mut fixture).await;
    assert_eq!(first.operation.state, OperationState::Failed);
    assert_eq!(
        status_on_target(&fixture, &left),
        "SHUTOFF",
        "each is tried"
    );
    assert_eq!(
        confirmation(&first),
        "not certainly stopped on site-a: vm-001 (it is ACTIVE); fence again"
    );
    lock(&fixture.source).clear_faults();
    lock(&fixture.target).start_guest_beside_nova(left.as_str());
    let second = fence(&mut fixture).await;
    assert_eq!(second.operation.state, OperationState::Failed);
    let why = confirmation(&second);
    let expected = format!("not certainly stopped on site-b: {left} (");
    assert!(why.starts_with(&expected), "{why}");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
}
