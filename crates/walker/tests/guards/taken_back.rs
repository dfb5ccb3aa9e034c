//! A failover that failed and could not take its copy back: what a cleanup does about it later.

use std::{collections::BTreeMap, time::Duration};

use protector_core::{
    group::GroupStatus,
    operation::{MapKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::{Step, unplanned_failover::unplanned_failover},
};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, JobEffect, Match, ServerFacts, SimulatedService},
    in_process::lock,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    fixture::{Fixture, unplanned},
    source_at_rest::has_begun,
};

const COPY: &str = "undo:recreate_vms:vm-001";
const START: &str = "undo:stop_source_vms:vm-001";

impl Fixture {
    pub fn copy(&self) -> String {
        let servers = lock(&self.target).servers();
        assert_eq!(servers.len(), 1);
        servers[0].id.clone()
    }

    pub fn target_answers(&self, path: &str, status: u16, body: Value) {
        lock(&self.target).add_fault(FaultRule {
            id: path.to_owned(),
            matches: Match {
                method: Some("GET".to_owned()),
                path: Some(path.to_owned()),
                ..Match::default()
            },
            times: None,
            effect: FaultEffect::Call(CallEffect::Status {
                status,
                body: Some(body),
                headers: BTreeMap::new(),
            }),
            seen: 0,
        });
    }

    async fn cleanup_takes_everything_back(&mut self) {
        let ended = self.cleanup().await;
        assert_eq!(ended.failed(), vec![]);
        assert_eq!(lock(&self.target).servers().len(), 0);
        assert_eq!(lock(&self.target).volumes().len(), 0);
        let server = self.server_facts(&self.server).unwrap();
        assert_eq!(server.status, "ACTIVE");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    let mut fixture = Fixture::stuck().await;
    let copy = fixture.copy();
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    fixture.target_answers(&format!("*/servers/{copy}"), 404, not_found.clone());
    fixture.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    fixture.target_answers("*/networks/*", 404, not_found);
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.starts_with("kept: its cloud says 404, but also to network "),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(
        why.starts_with("not started: its copy may still run on site-b"),
        "{why}"
    );
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );

    lock(&fixture.target).clear_faults();
    fixture.cleanup_takes_everything_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_a_group_has_taken_up_stays() {
    let mut fixture = Fixture::stuck().await;
    let copy = fixture.copy();
    let mut member = fixture.failover().operation.plan.members[0].clone();
    member.id = "another-member".into();
    member.server_id = copy.as_str().into();
    fixture.protects("second-life", "site-b", Some(member));
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.starts_with("kept: protection group second-life protects it now"),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(fixture.copy(), copy);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );

    fixture.protects("second-life", "site-b", None);
    fixture.cleanup_takes_everything_back().await;
}

/// The failover could not take its copy back, somebody works on it, and its original is from before.
#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_is_taken_back_only_when_it_is_named() {
    let mut fixture = Fixture::stuck().await;
    let copy = fixture.copy();
    let url = format!("compute /servers/{copy}/action");
    let runs = json!({"os-resetState": {"state": "active"}});
    fixture.on_target("admin", "POST", &url, &runs);
    let ended = fixture.cleanup().await;
    let why = ended.failure(COPY);
    let (original, failover) = (fixture.server.clone(), fixture.failover().operation.id);
    for said in [
        "kept: it is ACTIVE, made at 2040-01-01T00:00:0".to_owned(),
        format!("its original {original} on site-a is SHUTOFF and has nothing of that"),
        format!("openstack dr operation cleanup {failover} --delete-running {copy}"),
    ] {
        assert!(why.contains(&said), "{said} is not in {why}");
    }
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(fixture.copy(), copy);
    assert_eq!(lock(&fixture.target).volumes().len(), 2);
    assert_eq!(fixture.server_facts(&original).unwrap().status, "SHUTOFF");

    fixture.delete_running.push(original);
    fixture.cleanup_takes_everything_back().await;
}

/// A stopped server that somebody has deleted by hand is nothing that a person still has to start.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_that_was_deleted_by_hand_ends_the_groups_error() {
    let mut fixture = Fixture::stuck().await;
    assert_eq!(fixture.group().status, GroupStatus::Error);
    let url = format!("compute /servers/{}", fixture.server);
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    assert!(!fixture.has_server());
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    let facts = &ended.step(START).progress.memo.facts;
    let fact = format!(
        "server {} is gone from site-a: nothing is left to start",
        fixture.server
    );
    assert!(facts.contains(&fact), "{facts:?}");
    assert_eq!(fixture.group().status, GroupStatus::Active);
}

/// A source that may be another cloud says nothing about the server.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    let mut fixture = Fixture::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    for path in [
        format!("*/servers/{}", fixture.server),
        "*/networks/*".to_owned(),
    ] {
        let matches = Match {
            method: Some("GET".to_owned()),
            path: Some(path.clone()),
            ..Match::default()
        };
        fixture.refuse(&path, matches, 404, not_found.clone());
    }
    let ended = fixture.cleanup().await;
    let why = ended.failure(START);
    assert!(
        why.contains("its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(fixture.group().status, GroupStatus::Error);
}

fn on_target(fixture: &Fixture, method: &str, effect: FaultEffect, times: Option<u64>) {
    lock(&fixture.target).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: matches!(effect, FaultEffect::Call(_)).then(|| method.to_owned()),
            path: matches!(effect, FaultEffect::Call(_)).then(|| "*/servers*".to_owned()),
            resource: matches!(effect, FaultEffect::Job(_)).then(|| "vm-001".to_owned()),
            ..Match::default()
        },
        times,
        effect,
        seen: 0,
    });
}

fn no_host(fixture: &Fixture) {
    let message = "No valid host was found.".to_owned();
    on_target(
        fixture,
        "",
        FaultEffect::Job(JobEffect::ServerBuildError { message }),
        None,
    );
}

fn line(record: &OperationRecord, wanted: fn(&Step) -> bool) -> &StepRecord {
    let mut steps = record.steps.iter();
    steps.find(|step| wanted(&step.action)).unwrap()
}

fn build(record: &OperationRecord) -> &StepRecord {
    line(record, |step| matches!(step, Step::RecreateServer { .. }))
}

/// Nova says 500 to the deletion, shows `deleting` for ever, and takes no other one.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_nova_lost_is_asked_for_again() {
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            no_host(fixture);
            on_target(
                fixture,
                "",
                FaultEffect::Job(JobEffect::ServerDeleteLost),
                Some(1),
            );
            let lost = CallEffect::StatusAfterEffect {
                status: 500,
                body: None,
            };
            on_target(fixture, "DELETE", FaultEffect::Call(lost), Some(1));
        },
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(lock(&fixture.target).servers().len(), 0);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    let stop = line(&record, |step| matches!(step, Step::StopServer { .. }));
    let facts = &stop.progress.memo.facts;
    assert!(
        facts
            .iter()
            .any(|fact| fact.starts_with("it was down for ")),
        "the outage is counted: {facts:?}"
    );
    let took = record.operation.finished_at.unwrap() - record.operation.started_at.unwrap();
    assert!(took.num_seconds() < 300, "{took}");
}

/// Its cloud answers whatever it is asked with 401.
fn lock_out_of_the_target(fixture: &Fixture) {
    let effect = CallEffect::Status {
        status: 401,
        body: None,
        headers: BTreeMap::new(),
    };
    lock(&fixture.target).add_fault(FaultRule {
        id: String::new(),
        matches: Match::default(),
        times: None,
        effect: FaultEffect::Call(effect),
        seen: 0,
    });
}

/// The service user's role there is gone, and no build was asked for: nothing that the source has to wait for.
#[tokio::test(start_paused = true)]
async fn a_move_that_is_locked_out_of_its_target_is_taken_back_after_a_minute() {
    let mut locked_out: Option<Instant> = None;
    let mut back_after = None;
    let (_, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            if locked_out.is_none() && has_begun(record, "manage_volumes") {
                lock_out_of_the_target(fixture);
                locked_out = Some(Instant::now());
            }
            let runs = fixture.server_facts(&fixture.server).unwrap().status == "ACTIVE";
            if let (Some(since), true, None) = (locked_out, runs, back_after) {
                back_after = Some(since.elapsed());
                lock(&fixture.target).clear_faults();
            }
        },
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let why = record.operation.error.clone().unwrap();
    for words in [
        "401",
        "it has answered so for 60 s",
        "its role in the project",
    ] {
        assert!(why.contains(words), "{words} is not in: {why}");
    }
    let back_after = back_after.unwrap();
    assert!(back_after < Duration::from_secs(120), "{back_after:?}");
    assert!(!build(&record).progress.memo.has_made_something());
    let stop = line(&record, |step| matches!(step, Step::StopServer { .. }));
    let facts = &stop.progress.memo.facts;
    assert!(
        facts
            .iter()
            .any(|fact| fact.starts_with("it was down for "))
    );
}

/// A Keystone that is slow to learn of the service user again is waited for.
#[tokio::test(start_paused = true)]
async fn a_move_that_is_locked_out_for_half_a_minute_goes_on() {
    let mut locked_out: Option<Instant> = None;
    let (_, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            if locked_out.is_none() && has_begun(record, "manage_volumes") {
                lock_out_of_the_target(fixture);
                locked_out = Some(Instant::now());
            }
            if locked_out.is_some_and(|since| since.elapsed() > Duration::from_secs(30)) {
                lock(&fixture.target).clear_faults();
            }
        },
    )
    .await;
    assert_eq!(record.operation.error, None);
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_asks_again_for_a_deletion_that_nova_lost() {
    let mut fixture = Fixture::stuck().await;
    let url = format!("compute /servers/{}", fixture.copy());
    on_target(
        &fixture,
        "",
        FaultEffect::Job(JobEffect::ServerDeleteLost),
        Some(1),
    );
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    fixture.cleanup_takes_everything_back().await;
}

/// A person's server, its metadata copied from the one that the operation makes.
fn marked_server(fixture: &Fixture, operation: &str, more: Value) {
    let mut metadata = json!({
        "protector:operation": operation,
        "protector:source": fixture.server,
    });
    let marks = metadata.as_object_mut().unwrap();
    marks.extend(more.as_object().unwrap().clone());
    let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "somebodys",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&fixture.target).network_id("demo-net").unwrap()}],
        "metadata": metadata,
        "block_device_mapping_v2": [{
            "source_type": "blank", "destination_type": "volume",
            "volume_size": 1, "boot_index": 0,
        }],
    }});
    fixture.on_target("demo", "POST", "compute /servers", &server);
}

fn somebodys_server_is_there(fixture: &Fixture) -> bool {
    let servers = lock(&fixture.target).servers();
    servers.iter().any(|server| server.name == "somebodys")
}

/// The build was asked for twice, so that a second copy is looked for.
#[tokio::test(start_paused = true)]
async fn a_server_whose_metadata_somebody_copied_is_no_surplus_copy() {
    let mut made = false;
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            on_target(
                fixture,
                "POST",
                FaultEffect::Call(CallEffect::Drop),
                Some(1),
            )
        },
        |fixture, record| {
            let memo = &build(record).progress.memo;
            if !made && memo.intents == 2 && memo.made.is_some() {
                marked_server(fixture, record.operation.id.as_str(), json!({}));
                made = true;
            }
        },
    )
    .await;
    assert!(made, "{:?}", build(&record).progress);
    assert_eq!(record.operation.error, None);
    assert!(somebodys_server_is_there(&fixture));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_built_beside_another_copy_of_the_same_server() {
    let (fixture, record) = Fixture::moved_among(
        |fixture| marked_server(fixture, "op-old", json!({})),
        |_, _| {},
    )
    .await;
    let why = record.operation.error.clone().unwrap();
    assert!(
        why.contains("made by operation op-old: no other one is built beside it"),
        "{why}"
    );
    assert!(
        why.contains("openstack dr operation cleanup op-old"),
        "{why}"
    );
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    assert!(somebodys_server_is_there(&fixture));
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert!(
        !fixture.was_acted_on(&fixture.source, &fixture.server),
        "it was stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_test_failover_is_in_nobodys_way() {
    let (fixture, record) = Fixture::moved_among(
        |fixture| marked_server(fixture, "op-test", json!({"protector:test": "op-test"})),
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.error, None);
    assert!(somebodys_server_is_there(&fixture));
}

/// A volume that a region without it does not know may still be imported in the right one: its bytes are not discarded.
#[tokio::test(start_paused = true)]
async fn an_import_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    const IMPORT: &str = "undo:manage_volumes:vm-001-boot";
    let mut fixture = Fixture::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    fixture.target_answers("*/volumes/detail*", 200, json!({"volumes": []}));
    fixture.target_answers("*/volumes/*", 404, not_found.clone());
    fixture.target_answers("*/networks/*", 404, not_found);
    let ended = fixture.cleanup().await;
    let why = ended.failure(IMPORT);
    assert!(
        why.starts_with("kept: its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(lock(&fixture.target).volumes().len(), 2);

    lock(&fixture.target).clear_faults();
    fixture.cleanup_takes_everything_back().await;
}

/// The copy as the failed member of an unplanned failover has left it, in the record that a retry begins with.
fn left_by_a_failed_member(fixture: &Fixture) -> OperationRecord {
    let mut last = fixture.failover();
    let mut steps = unplanned_failover(&last.operation.plan)
        .into_steps()
        .unwrap();
    let is_build = |step: &&mut StepRecord| matches!(step.action, Step::RecreateServer { .. });
    let build = steps.iter_mut().find(is_build).unwrap();
    build.progress.state = StepState::Failed;
    build.progress.memo.intents = 1;
    build.progress.memo.made = Some(fixture.copy());
    last.steps = steps;
    unplanned(last)
}

/// What another operation has made is deleted on what was read just now, or not at all.
#[tokio::test(start_paused = true)]
async fn a_retry_does_not_take_back_what_it_read_too_long_ago() {
    let fixture = Fixture::stuck().await;
    let last = left_by_a_failed_member(&fixture);
    lock(&fixture.target).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: Some("GET".to_owned()),
            path: Some("*/servers/*".to_owned()),
            ..Match::default()
        },
        times: None,
        effect: FaultEffect::Call(CallEffect::Delay { seconds: 25.0 }),
        seen: 0,
    });
    let retry = fixture
        .walk(fixture.retry_of(&last, &[&fixture.server]))
        .await;
    let back = line(&retry, |step| matches!(step, Step::TakeBack { .. }));
    let why = back.progress.error.clone().unwrap_or_default();
    assert!(why.contains("was read too long ago"), "{why}");
    assert_eq!(lock(&fixture.target).servers().len(), 1);
}

/// Days later somebody has worked on it, and stopped or paused it: a retry is no word that this may be lost.
#[tokio::test(start_paused = true)]
async fn a_retry_keeps_a_copy_that_was_used_since_and_says_how_it_goes_on() {
    for (action, status) in [("os-stop", "SHUTOFF"), ("pause", "PAUSED")] {
        let fixture = Fixture::left_running().await;
        let last = left_by_a_failed_member(&fixture);
        fixture.the_copy_writes(&fixture.data, "written since");
        let url = format!("compute /servers/{}/action", fixture.copy());
        fixture.on_target("demo", "POST", &url, &json!({ action: null }));
        fixture.a_while().await;
        let retry = fixture
            .walk(fixture.retry_of(&last, &[&fixture.server]))
            .await;
        let back = line(&retry, |step| matches!(step, Step::TakeBack { .. }));
        let why = back.progress.error.clone().unwrap_or_default();
        assert!(why.starts_with("kept: "), "{status}: {why}");
        assert!(why.contains("'openstack dr retry "), "{status}: {why}");
        let copies = lock(&fixture.target).servers();
        assert_eq!(copies.len(), 1, "{status}");
        assert_eq!(copies[0].status, status);
        let data = fixture.copy_of(MapKind::Volume, &fixture.data);
        let bytes = fixture.on_the_target_array(&data).unwrap();
        assert_eq!(bytes, "written since".as_bytes());
    }
}

/// What an adoption that failed has built, or any other operation, is in that one's record only.
#[tokio::test(start_paused = true)]
async fn nothing_is_started_beside_a_copy_of_another_operation() {
    let mut fixture = Fixture::stuck().await;
    marked_server(&fixture, "op-adoption", json!({}));
    marked_server(&fixture, "op-test", json!({"protector:test": "op-test"}));
    fixture.a_while().await;
    let ended = fixture.cleanup().await;
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    let stopped =
        |fixture: &Fixture| fixture.server_facts(&fixture.server).unwrap().status == "SHUTOFF";
    assert!(stopped(&fixture));
    assert_eq!(lock(&fixture.target).servers().len(), 2);

    // That none is listed is not believed of what may be another cloud.
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    fixture.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    fixture.target_answers("*/networks/*", 404, not_found);
    let ended = fixture.cleanup().await;
    let why = ended.failure(START);
    assert!(why.contains("also to network "), "{why}");
    assert!(stopped(&fixture));
    lock(&fixture.target).clear_faults();

    let servers = lock(&fixture.target).servers();
    let made_by = |server: &&ServerFacts| server.metadata["protector:operation"] == "op-adoption";
    let copy = servers.iter().find(made_by).unwrap();
    let url = format!("compute /servers/{}", copy.id);
    fixture.on_target("demo", "DELETE", &url, &Value::Null);
    fixture.a_while().await;
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(
        lock(&fixture.target).servers().len(),
        1,
        "the test's copy stays"
    );
}

/// Builds a server of somebody's own from what the failover has imported, once that is free.
pub fn rebuild_from_imports(fixture: &Fixture) -> Option<String> {
    let imports = lock(&fixture.target).volumes();
    let imports: Vec<_> = imports
        .iter()
        .filter(|volume| volume.metadata.contains_key("protector:source"))
        .collect();
    let boot = imports
        .iter()
        .find(|volume| volume.metadata["protector:source"] == fixture.boot)?;
    if imports.iter().any(|volume| volume.status != "available") {
        return None;
    }
    let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "rebuilt",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&fixture.target).network_id("demo-net").unwrap()}],
        "block_device_mapping_v2": [{
            "source_type": "volume", "destination_type": "volume",
            "uuid": boot.id, "boot_index": 0,
        }],
    }});
    let made = fixture.on_target("demo", "POST", "compute /servers", &server);
    Some(made["server"]["id"].as_str().unwrap().to_owned())
}

fn nova_is_slow_for_us(fixture: &Fixture) {
    lock(&fixture.target).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            service: Some(SimulatedService::Compute),
            user: Some("protector".to_owned()),
            ..Match::default()
        },
        times: Some(3),
        effect: FaultEffect::Call(CallEffect::Delay { seconds: 8.0 }),
        seen: 0,
    });
}

/// The copy is deleted by somebody who has another use for its volumes.
#[tokio::test(start_paused = true)]
async fn an_original_is_not_started_beside_whoever_holds_its_imports() {
    let (mut is_deleted, mut rebuilt) = (false, None);
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            if build(record).progress.state != StepState::Done && !is_deleted {
                return;
            }
            if !is_deleted {
                let copy = build(record).progress.memo.made.clone().unwrap();
                let url = format!("compute /servers/{copy}");
                fixture.on_target("demo", "DELETE", &url, &Value::Null);
                nova_is_slow_for_us(fixture);
                is_deleted = true;
            }
            if rebuilt.is_none() {
                rebuilt = rebuild_from_imports(fixture);
            }
        },
    )
    .await;
    let rebuilt = rebuilt.expect("it was never free");
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    let stop = record
        .steps
        .iter()
        .find(|step| matches!(step.action, Step::StopServer { .. }));
    let why = stop.unwrap().progress.error.clone().unwrap_or_default();
    let expected = format!("not started: server {rebuilt} (ACTIVE) on site-b holds ");
    assert!(why.starts_with(&expected), "{why}");
}
