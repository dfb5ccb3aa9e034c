//! A planned move while people do things on its source, between the check of the servers and the switch.

use std::{collections::BTreeMap, time::Duration};

use protector_core::operation::{OperationRecord, OperationState, StepState};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::{SharedCloud, lock},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fixture::Fixture;

/// The states of the lines of a phase.
fn states<'a>(record: &'a OperationRecord, phase: &'a str) -> impl Iterator<Item = StepState> + 'a {
    let lines = record
        .steps
        .iter()
        .filter(move |step| step.phase_name == phase);
    lines.map(|step| step.progress.state)
}

fn is_done(record: &OperationRecord, phase: &str) -> bool {
    states(record, phase).all(|state| state == StepState::Done)
}

pub fn has_begun(record: &OperationRecord, phase: &str) -> bool {
    states(record, phase).any(|state| state != StepState::Pending)
}

fn act(fixture: &Fixture, body: &Value) {
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture.at_once("demo", "POST", &url, body);
}

pub fn start(fixture: &Fixture) {
    act(fixture, &json!({"os-start": null}));
}

/// What a tenant does once, when the record says that it is time.
pub fn once(
    when: fn(&OperationRecord) -> bool,
    mut what: impl FnMut(&Fixture),
) -> impl FnMut(&Fixture, &OperationRecord) {
    let mut done = false;
    move |fixture, record| {
        if !done && when(record) {
            what(fixture);
            done = true;
        }
    }
}

pub fn fault(cloud: &SharedCloud, method: &str, path: &str, effect: CallEffect) {
    lock(cloud).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Match::default()
        },
        times: None,
        effect: FaultEffect::Call(effect),
        seen: 0,
    });
}

/// Carried out at once, answered later.
fn slow(cloud: &SharedCloud, method: &str, path: &str) {
    fault(cloud, method, path, CallEffect::Delay { seconds: 25.0 });
}

/// Everything was taken back, and the record says why.
pub fn assert_taken_back(fixture: &Fixture, record: &OperationRecord, words: &[&str]) {
    let why = record.operation.error.clone().unwrap_or_default();
    assert_eq!(record.operation.state, OperationState::Failed, "{why}");
    for word in words {
        assert!(why.contains(word), "{word} is not in: {why}");
    }
    assert_eq!(lock(&fixture.target).servers().len(), 0);
    assert_eq!(lock(&fixture.target).volumes().len(), 0);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    fixture.assert_bystander_is_untouched();
}

#[tokio::test(start_paused = true)]
async fn a_server_started_before_its_copy_is_built_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        once(|record| has_begun(record, "promote_volumes"), start),
    )
    .await;
    assert_taken_back(
        &fixture,
        &record,
        &[
            "recreate_vms:vm-001",
            "vm-001 has not rested on site-a",
            "start by user",
        ],
    );
}

/// On its host, or with it: Nova says SHUTOFF, and that its hypervisor runs the guest.
#[tokio::test(start_paused = true)]
async fn a_guest_that_runs_behind_its_status_takes_the_move_back() {
    let moments: [fn(&OperationRecord) -> bool; 2] = [
        |record| has_begun(record, "promote_volumes"),
        |record| has_begun(record, "confirm_vms"),
    ];
    for when in moments {
        let (fixture, record) = Fixture::moved_among(
            |_| {},
            once(when, |fixture| {
                lock(&fixture.source).start_guest_beside_nova(&fixture.server);
            }),
        )
        .await;
        let why = ["vm-001 is SHUTOFF and its guest runs on site-a"];
        assert_taken_back(&fixture, &record, &why);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_started_while_its_copy_is_confirmed_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        once(|record| has_begun(record, "confirm_vms"), start),
    )
    .await;
    assert_taken_back(
        &fixture,
        &record,
        &[
            "switch_primary",
            "vm-001 has not rested on site-a",
            "start by user",
        ],
    );
}

/// What it has written in between is newer than the replica.
#[tokio::test(start_paused = true)]
async fn a_server_that_ran_for_a_while_after_the_last_replication_takes_the_move_back() {
    let mut begin = once(|record| is_done(record, "final_replication"), start);
    let mut begun = false;
    let mut stopped = false;
    let (fixture, record) = Fixture::moved_among(
        |fixture| slow(&fixture.target, "GET", "*/volumes/*"),
        |fixture, record| {
            begin(fixture, record);
            begun |= is_done(record, "final_replication");
            let url = format!("compute /servers/{}", fixture.server);
            let seen = fixture.at_once("demo", "GET", &url, &Value::Null);
            if begun && !stopped && seen["server"]["status"] == "ACTIVE" {
                act(fixture, &json!({"os-stop": null}));
                stopped = true;
            }
        },
    )
    .await;
    assert_taken_back(&fixture, &record, &["start by user", "stop by user"]);
}

/// Nova starts guests with their host without being asked.
#[tokio::test(start_paused = true)]
async fn a_server_that_runs_though_nobody_asked_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        once(
            |record| has_begun(record, "manage_volumes"),
            |fixture| {
                let url = format!("compute /servers/{}/action", fixture.server);
                let state = json!({"os-resetState": {"state": "active"}});
                fixture.at_once("admin", "POST", &url, &state);
            },
        ),
    )
    .await;
    assert_taken_back(
        &fixture,
        &record,
        &["is ACTIVE on site-a, where this operation had found it stopped"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_switch_waits_for_a_source_that_does_not_answer() {
    const SILENCE: Duration = Duration::from_secs(3600);
    let begin = Instant::now();
    let mut hush = once(
        |record| has_begun(record, "confirm_vms"),
        |fixture| {
            lock(&fixture.source).add_fault(FaultRule {
                id: "silence".to_owned(),
                matches: Match::default(),
                times: None,
                effect: FaultEffect::Call(CallEffect::Drop),
                seen: 0,
            });
        },
    );
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            hush(fixture, record);
            if begin.elapsed() > SILENCE {
                lock(&fixture.source).clear_faults();
            } else {
                assert!(!is_done(record, "switch_primary"));
            }
        },
    )
    .await;
    assert!(begin.elapsed() > SILENCE);
    assert_eq!(record.operation.error, None);
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    assert!(!fixture.has_server());
}

#[tokio::test(start_paused = true)]
async fn a_switch_waits_while_the_compute_host_of_a_source_server_is_down() {
    const DOWN: Duration = Duration::from_secs(600);
    let begin = Instant::now();
    let mut fail = once(
        |record| has_begun(record, "confirm_vms"),
        |fixture| {
            let services = fixture.at_once("admin", "GET", "compute /os-services", &Value::Null);
            let mut rows = services["services"].as_array().unwrap().clone();
            for row in &mut rows {
                row["state"] = json!("down");
            }
            let effect = CallEffect::Status {
                status: 200,
                body: Some(json!({"services": rows})),
                headers: BTreeMap::new(),
            };
            fault(&fixture.source, "GET", "*/os-services*", effect);
        },
    );
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            fail(fixture, record);
            if begin.elapsed() > DOWN {
                lock(&fixture.source).clear_faults();
            }
        },
    )
    .await;
    assert!(begin.elapsed() > DOWN);
    assert_eq!(record.operation.error, None);
    assert!(!fixture.has_server());
}

fn attach_another_disk(fixture: &Fixture) -> String {
    let volume = json!({"volume": {"size": 1, "name": "late"}});
    let made = fixture.at_once("demo", "POST", "volume /volumes", &volume);
    let id = made["volume"]["id"].as_str().unwrap().to_owned();
    let known = lock(&fixture.source).volumes();
    assert!(known.iter().any(|volume| volume.id == id));
    id
}

/// A tenant who makes a disk, and attaches it as soon as it is available and `when` says so.
pub fn attaching(when: fn(&OperationRecord) -> bool) -> impl FnMut(&Fixture, &OperationRecord) {
    let mut made: Option<String> = None;
    let mut attached = false;
    move |fixture, record| {
        let id = made
            .get_or_insert_with(|| attach_another_disk(fixture))
            .clone();
        let ready = fixture
            .volume_facts(&id)
            .is_some_and(|volume| volume.status == "available");
        if ready && !attached && when(record) {
            let url = format!("compute /servers/{}/os-volume_attachments", fixture.server);
            fixture.at_once(
                "demo",
                "POST",
                &url,
                &json!({"volumeAttachment": {"volumeId": id}}),
            );
            attached = true;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_attached_after_the_check_takes_the_move_back_by_its_name() {
    let (fixture, record) = Fixture::moved_among(
        |fixture| slow(&fixture.target, "GET", "*/networks/*"),
        attaching(|record| has_begun(record, "check_target")),
    )
    .await;
    let late = lock(&fixture.source)
        .volumes()
        .into_iter()
        .find(|volume| volume.name.as_deref() == Some("late"));
    let late = late.unwrap();
    assert_eq!(late.status, "in-use");
    assert_taken_back(
        &fixture,
        &record,
        &["stop_source_vms:vm-001", "attached since", &late.id],
    );
}

#[tokio::test(start_paused = true)]
async fn a_disk_attached_after_the_last_replication_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        attaching(|record| is_done(record, "final_replication")),
    )
    .await;
    assert_taken_back(&fixture, &record, &["attach_volume by user"]);
}

#[tokio::test(start_paused = true)]
async fn a_network_card_attached_after_the_check_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        once(
            |record| has_begun(record, "check_target"),
            |fixture| {
                let network = lock(&fixture.source).network_id("demo-net").unwrap();
                let url = format!("compute /servers/{}/os-interface", fixture.server);
                let card = json!({"interfaceAttachment": {"net_id": network}});
                fixture.at_once("demo", "POST", &url, &card);
            },
        ),
    )
    .await;
    assert_taken_back(
        &fixture,
        &record,
        &[
            "vm-001 on site-a has been changed since it was checked",
            "attach_interface by user",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_resized_after_the_check_takes_the_move_back() {
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        once(
            |record| has_begun(record, "check_target"),
            |fixture| {
                let flavors =
                    fixture.at_once("demo", "GET", "compute /flavors/detail", &Value::Null);
                let flavor = flavors["flavors"][1]["id"].as_str().unwrap().to_owned();
                act(fixture, &json!({"resize": {"flavorRef": flavor}}));
            },
        ),
    )
    .await;
    assert_taken_back(&fixture, &record, &["resize by user"]);
}

/// Who may not see the list of what was asked of a server is told so before anything is stopped.
#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_tell_what_was_asked_of_a_server_is_refused_before_anything_is_stopped()
 {
    let effect = CallEffect::Status {
        status: 403,
        body: Some(json!({"forbidden": {"code": 403, "message": "Policy doesn't allow it."}})),
        headers: BTreeMap::new(),
    };
    let (fixture, record) = Fixture::moved_among(
        |fixture| fault(&fixture.source, "GET", "*os-instance-actions*", effect),
        |_, _| {},
    )
    .await;
    assert_taken_back(&fixture, &record, &["check_source:vm-001"]);
    let stops = lock(&fixture.source)
        .call_log()
        .iter()
        .filter(|call| call.action.as_deref() == Some("os-stop"))
        .count();
    assert_eq!(stops, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stopped_for_a_disk_that_would_be_lost() {
    let encrypt = |fixture: &Fixture| assert!(lock(&fixture.source).encrypt_volume(&fixture.data));
    let (fixture, record) = Fixture::moved_among(encrypt, |_, _| {}).await;
    let words = [
        "server vm-001 has the encrypted volume vm-001-data-1",
        "copy what is on it to a volume of a type without encryption",
    ];
    assert_taken_back(&fixture, &record, &words);
    assert!(!has_begun(&record, "stop_source_vms"));
}
