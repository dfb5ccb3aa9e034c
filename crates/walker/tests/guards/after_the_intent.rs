//! What changes after it was written down that something will be done, and before that is sent: for the calls that are neither
//! the deletion of an original nor its start.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protector_core::{
    group::GroupStatus,
    journal::Effect as Written,
    operation::{MapKind, OperationRecord, OperationState, StepState},
    runbook::Step,
};
use protector_simcloud::{
    cloud::{CallEffect, CallRecord, FaultEffect, FaultRule, JobEffect, Match, ServerFacts},
    in_process::{SharedCloud, lock},
};
use serde_json::{Value, json};

use super::fixture::{DATA, Fixture, SERVER};

fn fault(cloud: &SharedCloud, matches: Match, times: Option<u64>, effect: FaultEffect) {
    lock(cloud).add_fault(FaultRule {
        id: String::new(),
        matches,
        times,
        effect,
        seen: 0,
    });
}

fn calls(method: &str, path: &str) -> Match {
    Match {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        ..Match::default()
    }
}

fn not_found() -> CallEffect {
    CallEffect::Status {
        status: 404,
        body: None,
        headers: BTreeMap::new(),
    }
}

/// What protector has changed on a cloud.
fn changes(cloud: &SharedCloud, of: impl Fn(&CallRecord) -> bool) -> usize {
    let cloud = lock(cloud);
    let by_us = cloud.call_log().iter().filter(|call| {
        call.method != "GET" && call.user.as_deref() == Some("protector") && of(call)
    });
    by_us.count()
}

fn build(record: &OperationRecord) -> Option<&protector_core::operation::StepRecord> {
    let mut steps = record.steps.iter();
    steps.find(|step| matches!(step.action, Step::RecreateServer { .. }))
}

#[tokio::test(start_paused = true)]
async fn volumes_are_not_kept_from_going_with_a_server_that_is_kept_by_then() {
    let mut fixture = Fixture::switched().await;
    let attachment = format!("/os-volume_attachments/{}", fixture.data);
    let url = format!("compute /servers/{}{attachment}", fixture.server);
    let body =
        json!({"volumeAttachment": {"volumeId": fixture.data, "delete_on_termination": true}});
    fixture.user("demo", "PUT", &url, body).await;
    let copy = fixture.copy_of(MapKind::Server, &fixture.server);
    let target = Arc::clone(&fixture.target);
    fixture.at_intent_of(SERVER, move || {
        let reads = calls("GET", &format!("*/servers/{copy}"));
        fault(&target, reads, None, FaultEffect::Call(not_found()));
    });
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(why.starts_with("kept: "), "{why}");
    assert_eq!(ended.step(SERVER).progress.memo.intents, 0);
    let sent = changes(&fixture.source, |call| call.path.ends_with(&attachment));
    assert_eq!(sent, 0);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_kept_by_then_stays_in_its_group() {
    let mut fixture = Fixture::switched().await;
    let group = fixture.put_into_group().await;
    let (target, copy) = (
        Arc::clone(&fixture.target),
        fixture.copy_of(MapKind::Volume, &fixture.data),
    );
    fixture.at_intent_of(DATA, move || {
        lock(&target).set_status_of_volume(&copy, "error");
    });
    let ended = fixture.delete().await;
    let why = ended.only_failure(DATA);
    assert!(why.starts_with("kept: "), "{why}");
    let of_group = fixture.volume_facts(&fixture.data).unwrap().group;
    assert_eq!(of_group, Some(group));
}

/// A stop that Nova has lost for so long that it is freed by force; by then it has been carried out.
#[tokio::test(start_paused = true)]
async fn a_server_that_has_stopped_by_then_is_not_stopped_by_force() {
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            fixture.job_fault("vm-001", JobEffect::StopLost, None);
            let (source, server) = (Arc::clone(&fixture.source), fixture.server.clone());
            fixture.at_write(
                |entry| entry.steps.iter().any(|(_, step)| step.memo.intents == 2),
                move || {
                    lock(&source).set_state_of_server(&server, "stopped");
                },
            );
        },
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.error, None);
    let forced = |call: &CallRecord| call.action.as_deref() == Some("os-resetState");
    assert_eq!(changes(&fixture.source, forced), 0);
}

/// A server with the marks of the copy that `operation` makes, of this user.
pub(super) fn marked_server(fixture: &Fixture, user: &str, operation: &str) {
    let metadata = json!({"protector:operation": operation, "protector:source": fixture.server});
    let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "second",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&fixture.target).network_id("demo-net").unwrap()}],
        "metadata": metadata,
        "block_device_mapping_v2": [{
            "source_type": "blank", "destination_type": "volume",
            "volume_size": 1, "boot_index": 0,
        }],
    }});
    fixture.on_target(user, "POST", "compute /servers", &server);
}

fn named<'a>(servers: &'a [ServerFacts], name: &str) -> Option<&'a ServerFacts> {
    servers.iter().find(|server| server.name == name)
}

/// Two copies were built, and the one that was to stay breaks as soon as it is written down that the other one goes.
#[tokio::test(start_paused = true)]
async fn a_surplus_copy_stays_when_the_other_one_does_not_run_by_then() {
    let mut made = false;
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            let lost = FaultEffect::Call(CallEffect::Drop);
            fault(&fixture.target, calls("POST", "*/servers"), Some(1), lost);
            let target = Arc::clone(&fixture.target);
            fixture.at_write(
                |entry| {
                    let mut steps = entry.steps.iter();
                    steps.any(|(_, step)| step.memo.intents == 2 && step.memo.undo_intents == 1)
                },
                move || {
                    let mut target = lock(&target);
                    let copy = named(&target.servers(), "vm-001").unwrap().id.clone();
                    target.set_state_of_server(&copy, "error");
                },
            );
        },
        |fixture, record| {
            let progress = build(record).map(|step| step.progress.clone());
            let memo = progress.unwrap().memo;
            if !made && memo.intents == 2 && memo.made.is_some() {
                marked_server(fixture, "protector", record.operation.id.as_str());
                made = true;
            }
        },
    )
    .await;
    assert!(made);
    assert_eq!(record.operation.state, OperationState::Failed);
    let facts = build(&record).unwrap().progress.memo.facts.join("; ");
    assert!(!facts.contains("built twice"), "it was deleted: {facts}");
    // Neither is left, and the original runs.
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(lock(&fixture.target).servers().len(), 0);
}

/// Nova has lost the deletion of a copy: its task is reset first. Somebody protects it in between.
#[tokio::test(start_paused = true)]
async fn a_copy_whose_lost_deletion_was_reset_is_judged_anew_before_it_is_deleted() {
    let mut fixture = Fixture::stuck().await;
    let copy = fixture.copy();
    let lost = FaultEffect::Job(JobEffect::ServerDeleteLost);
    let of_the_copy = Match {
        resource: Some("vm-001".to_owned()),
        ..Match::default()
    };
    fault(&fixture.target, of_the_copy, Some(1), lost);
    let url = format!("compute /servers/{copy}");
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    let mut member = fixture.failover().operation.plan.members[0].clone();
    member.id = "another-member".into();
    member.server_id = copy.as_str().into();
    let (journal, group) = (
        Arc::clone(&fixture.journal),
        fixture.another_group("second-life", "site-b"),
    );
    let target = Arc::clone(&fixture.target);
    let reset = move |_: &protector_core::journal::Entry| {
        let cloud = lock(&target);
        let mut log = cloud.call_log().iter();
        log.any(|call| call.action.as_deref() == Some("os-resetState"))
    };
    fixture.at_write(reset, move || journal.put_group(group, vec![member]));
    let ended = fixture.cleanup().await;
    let why = ended.failure("undo:recreate_vms:vm-001");
    assert!(why.contains("second-life protects it"), "{why}");
    assert_eq!(fixture.copy(), copy);
}

/// A copy that somebody else's engine makes while this one puts its request together.
#[tokio::test(start_paused = true)]
async fn nothing_is_built_beside_a_copy_that_is_there_by_then() {
    let (mut before, mut made) = (0, false);
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            let slow = FaultEffect::Call(CallEffect::Delay { seconds: 20.0 });
            fault(
                &fixture.target,
                calls("GET", "*/flavors/detail*"),
                None,
                slow,
            );
        },
        |fixture, record| {
            let log = lock(&fixture.target).call_log().to_vec();
            let running =
                build(record).is_some_and(|step| step.progress.state == StepState::Running);
            if !running {
                before = log.len();
            }
            let asked = |call: &CallRecord| call.path.contains("/flavors/detail");
            if running && !made && log.iter().skip(before).any(asked) {
                marked_server(fixture, "demo", "op-other");
                made = true;
            }
        },
    )
    .await;
    assert!(made);
    let why = record.operation.error.clone().unwrap_or_default();
    assert!(
        why.contains("made by operation op-other: no other one is built beside it"),
        "{why}"
    );
    let servers = lock(&fixture.target).servers();
    assert!(named(&servers, "vm-001").is_none(), "{servers:?}");
    let built = changes(&fixture.target, |call| {
        call.method == "POST" && call.path.ends_with("/servers")
    });
    assert_eq!(built, 0);
}

const START: &str = "start_source_vms:vm-001";

/// An empty list from another region is no proof that there is no copy.
#[tokio::test(start_paused = true)]
async fn a_server_is_not_started_on_the_word_of_a_cloud_that_may_be_another() {
    let mut fixture = Fixture::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    fixture.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    fixture.target_answers("*/networks/*", 404, not_found);
    let ended = fixture.abort_for_the_lost_target().await;
    let why = ended.failure(START);
    assert!(
        why.contains("its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    assert_eq!(fixture.group().status, GroupStatus::Error);
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_count_a_server_as_started_that_is_stopped_by_then() {
    let mut fixture = Fixture::stuck().await;
    fixture.lose_the_target();
    let (source, server) = (Arc::clone(&fixture.source), fixture.server.clone());
    let started = |entry: &protector_core::journal::Entry| {
        let mut effects = entry.effects.iter();
        effects.any(|effect| {
            matches!(
                effect,
                Written::Mapped {
                    kind: MapKind::StartedAgain,
                    ..
                }
            )
        })
    };
    fixture.at_write(started, move || {
        lock(&source).set_state_of_server(&server, "stopped");
    });
    let ended = fixture.abort_for_the_lost_target().await;
    assert_eq!(
        ended.failure("confirm_started"),
        "not started again on site-a: vm-001 (it is SHUTOFF again)"
    );
    assert_eq!(fixture.group().status, GroupStatus::Error);
}

/// Somebody takes the copy into another group in the moment of the switch: that is not written, and waits for that group.
#[tokio::test(start_paused = true)]
async fn a_switch_waits_for_a_group_that_has_taken_its_copy_in_at_that_moment() {
    const TAKEN: Duration = Duration::from_secs(20);
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            let (journal, target) = (Arc::clone(&fixture.journal), Arc::clone(&fixture.target));
            let group = fixture.another_group("second-life", "site-b");
            let mut member = fixture.journal.groups()[0].1[0].clone();
            member.id = "another-member".into();
            let switch = |entry: &protector_core::journal::Entry| {
                let mut effects = entry.effects.iter();
                effects.any(|effect| matches!(effect, Written::GroupSwitched { .. }))
            };
            fixture.at_write(switch, move || {
                let copy = named(&lock(&target).servers(), "vm-001")
                    .unwrap()
                    .id
                    .clone();
                member.server_id = copy.as_str().into();
                journal.put_group(group.clone(), vec![member]);
                tokio::spawn(async move {
                    tokio::time::sleep(TAKEN).await;
                    journal.put_group(group, Vec::new());
                });
            });
        },
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.error, None);
    assert_eq!(record.operation.state, OperationState::Completed);
    let took = record.operation.finished_at.unwrap() - record.operation.started_at.unwrap();
    assert!(took > chrono::TimeDelta::from_std(TAKEN).unwrap(), "{took}");
    assert!(
        took.num_seconds() < 100,
        "it waited for its own lease: {took}"
    );
    assert_eq!(lock(&fixture.target).servers().len(), 1);
}
