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
    bed::{Bed, unplanned},
    source_at_rest::has_begun,
};

const COPY: &str = "undo:recreate_vms:vm-001";
const START: &str = "undo:stop_source_vms:vm-001";

impl Bed {
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
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    bed.target_answers(&format!("*/servers/{copy}"), 404, not_found.clone());
    bed.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    bed.target_answers("*/networks/*", 404, not_found);
    let ended = bed.cleanup().await;
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
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");

    lock(&bed.target).clear_faults();
    bed.cleanup_takes_everything_back().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_a_group_has_taken_up_stays() {
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let mut member = bed.failover().operation.plan.members[0].clone();
    member.id = "another-member".into();
    member.server_id = copy.as_str().into();
    bed.protects("second-life", "site-b", Some(member));
    let ended = bed.cleanup().await;
    let why = ended.failure(COPY);
    assert!(
        why.starts_with("kept: protection group second-life protects it now"),
        "{why}"
    );
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(bed.copy(), copy);
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");

    bed.protects("second-life", "site-b", None);
    bed.cleanup_takes_everything_back().await;
}

/// The failover could not take its copy back, somebody works on it, and its original is from before.
#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_is_taken_back_only_when_it_is_named() {
    let mut bed = Bed::stuck().await;
    let copy = bed.copy();
    let url = format!("compute /servers/{copy}/action");
    let runs = json!({"os-resetState": {"state": "active"}});
    bed.on_target("admin", "POST", &url, &runs);
    let ended = bed.cleanup().await;
    let why = ended.failure(COPY);
    let (original, failover) = (bed.server.clone(), bed.failover().operation.id);
    for said in [
        "kept: it is ACTIVE, made at 2040-01-01T00:00:0".to_owned(),
        format!("its original {original} on site-a is SHUTOFF and has nothing of that"),
        format!("openstack dr operation cleanup {failover} --delete-running {copy}"),
    ] {
        assert!(why.contains(&said), "{said} is not in {why}");
    }
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    assert_eq!(bed.copy(), copy);
    assert_eq!(lock(&bed.target).volumes().len(), 2);
    assert_eq!(bed.server_facts(&original).unwrap().status, "SHUTOFF");

    bed.delete_running.push(original);
    bed.cleanup_takes_everything_back().await;
}

/// A stopped server that somebody has deleted by hand is nothing that a person still has to start.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_that_was_deleted_by_hand_ends_the_groups_error() {
    let mut bed = Bed::stuck().await;
    assert_eq!(bed.group().status, GroupStatus::Error);
    let url = format!("compute /servers/{}", bed.server);
    bed.user("demo", "DELETE", &url, Value::Null).await;
    assert!(!bed.has_server());
    let ended = bed.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    let facts = &ended.step(START).progress.memo.facts;
    let fact = format!(
        "server {} is gone from site-a: nothing is left to start",
        bed.server
    );
    assert!(facts.contains(&fact), "{facts:?}");
    assert_eq!(bed.group().status, GroupStatus::Active);
}

/// A source that may be another cloud says nothing about the server.
#[tokio::test(start_paused = true)]
async fn a_stopped_server_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    let mut bed = Bed::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    for path in [
        format!("*/servers/{}", bed.server),
        "*/networks/*".to_owned(),
    ] {
        let matches = Match {
            method: Some("GET".to_owned()),
            path: Some(path.clone()),
            ..Match::default()
        };
        bed.refuse(&path, matches, 404, not_found.clone());
    }
    let ended = bed.cleanup().await;
    let why = ended.failure(START);
    assert!(
        why.contains("its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(bed.group().status, GroupStatus::Error);
}

fn on_target(bed: &Bed, method: &str, effect: FaultEffect, times: Option<u64>) {
    lock(&bed.target).add_fault(FaultRule {
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

fn no_host(bed: &Bed) {
    let message = "No valid host was found.".to_owned();
    on_target(
        bed,
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
    let (bed, record) = Bed::moved_among(
        |bed| {
            no_host(bed);
            on_target(
                bed,
                "",
                FaultEffect::Job(JobEffect::ServerDeleteLost),
                Some(1),
            );
            let lost = CallEffect::StatusAfterEffect {
                status: 500,
                body: None,
            };
            on_target(bed, "DELETE", FaultEffect::Call(lost), Some(1));
        },
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(lock(&bed.target).servers().len(), 0);
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
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
fn lock_out_of_the_target(bed: &Bed) {
    let effect = CallEffect::Status {
        status: 401,
        body: None,
        headers: BTreeMap::new(),
    };
    lock(&bed.target).add_fault(FaultRule {
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
    let (_, record) = Bed::moved_among(
        |_| {},
        |bed, record| {
            if locked_out.is_none() && has_begun(record, "manage_volumes") {
                lock_out_of_the_target(bed);
                locked_out = Some(Instant::now());
            }
            let runs = bed.server_facts(&bed.server).unwrap().status == "ACTIVE";
            if let (Some(since), true, None) = (locked_out, runs, back_after) {
                back_after = Some(since.elapsed());
                lock(&bed.target).clear_faults();
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
    let (_, record) = Bed::moved_among(
        |_| {},
        |bed, record| {
            if locked_out.is_none() && has_begun(record, "manage_volumes") {
                lock_out_of_the_target(bed);
                locked_out = Some(Instant::now());
            }
            if locked_out.is_some_and(|since| since.elapsed() > Duration::from_secs(30)) {
                lock(&bed.target).clear_faults();
            }
        },
    )
    .await;
    assert_eq!(record.operation.error, None);
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_asks_again_for_a_deletion_that_nova_lost() {
    let mut bed = Bed::stuck().await;
    let url = format!("compute /servers/{}", bed.copy());
    on_target(
        &bed,
        "",
        FaultEffect::Job(JobEffect::ServerDeleteLost),
        Some(1),
    );
    bed.on_target("demo", "DELETE", &url, &Value::Null);
    bed.cleanup_takes_everything_back().await;
}

/// A person's server, its metadata copied from the one that the operation makes.
fn marked_server(bed: &Bed, operation: &str, more: Value) {
    let mut metadata = json!({
        "protector:operation": operation,
        "protector:source": bed.server,
    });
    let marks = metadata.as_object_mut().unwrap();
    marks.extend(more.as_object().unwrap().clone());
    let flavors = bed.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "somebodys",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&bed.target).network_id("demo-net").unwrap()}],
        "metadata": metadata,
        "block_device_mapping_v2": [{
            "source_type": "blank", "destination_type": "volume",
            "volume_size": 1, "boot_index": 0,
        }],
    }});
    bed.on_target("demo", "POST", "compute /servers", &server);
}

fn somebodys_server_is_there(bed: &Bed) -> bool {
    let servers = lock(&bed.target).servers();
    servers.iter().any(|server| server.name == "somebodys")
}

/// The build was asked for twice, so that a second copy is looked for.
#[tokio::test(start_paused = true)]
async fn a_server_whose_metadata_somebody_copied_is_no_surplus_copy() {
    let mut made = false;
    let (bed, record) = Bed::moved_among(
        |bed| on_target(bed, "POST", FaultEffect::Call(CallEffect::Drop), Some(1)),
        |bed, record| {
            let memo = &build(record).progress.memo;
            if !made && memo.intents == 2 && memo.made.is_some() {
                marked_server(bed, record.operation.id.as_str(), json!({}));
                made = true;
            }
        },
    )
    .await;
    assert!(made, "{:?}", build(&record).progress);
    assert_eq!(record.operation.error, None);
    assert!(somebodys_server_is_there(&bed));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_built_beside_another_copy_of_the_same_server() {
    let (bed, record) =
        Bed::moved_among(|bed| marked_server(bed, "op-old", json!({})), |_, _| {}).await;
    let why = record.operation.error.clone().unwrap();
    assert!(
        why.contains("made by operation op-old: no other one is built beside it"),
        "{why}"
    );
    assert!(
        why.contains("openstack dr operation cleanup op-old"),
        "{why}"
    );
    assert_eq!(lock(&bed.target).servers().len(), 1);
    assert!(somebodys_server_is_there(&bed));
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
    assert!(
        !bed.was_acted_on(&bed.source, &bed.server),
        "it was stopped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_test_failover_is_in_nobodys_way() {
    let (bed, record) = Bed::moved_among(
        |bed| marked_server(bed, "op-test", json!({"protector:test": "op-test"})),
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.error, None);
    assert!(somebodys_server_is_there(&bed));
}

/// A volume that a region without it does not know may still be imported in the right one: its bytes are not discarded.
#[tokio::test(start_paused = true)]
async fn an_import_is_not_believed_gone_by_a_cloud_that_may_be_another() {
    const IMPORT: &str = "undo:manage_volumes:vm-001-boot";
    let mut bed = Bed::stuck().await;
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    bed.target_answers("*/volumes/detail*", 200, json!({"volumes": []}));
    bed.target_answers("*/volumes/*", 404, not_found.clone());
    bed.target_answers("*/networks/*", 404, not_found);
    let ended = bed.cleanup().await;
    let why = ended.failure(IMPORT);
    assert!(
        why.starts_with("kept: its cloud says 404, but also to network "),
        "{why}"
    );
    assert_eq!(lock(&bed.target).volumes().len(), 2);

    lock(&bed.target).clear_faults();
    bed.cleanup_takes_everything_back().await;
}

/// The copy as the failed member of an unplanned failover has left it, in the record that a retry begins with.
fn left_by_a_failed_member(bed: &Bed) -> OperationRecord {
    let mut last = bed.failover();
    let mut steps = unplanned_failover(&last.operation.plan)
        .into_steps()
        .unwrap();
    let is_build = |step: &&mut StepRecord| matches!(step.action, Step::RecreateServer { .. });
    let build = steps.iter_mut().find(is_build).unwrap();
    build.progress.state = StepState::Failed;
    build.progress.memo.intents = 1;
    build.progress.memo.made = Some(bed.copy());
    last.steps = steps;
    unplanned(last)
}

/// What another operation has made is deleted on what was read just now, or not at all.
#[tokio::test(start_paused = true)]
async fn a_retry_does_not_take_back_what_it_read_too_long_ago() {
    let bed = Bed::stuck().await;
    let last = left_by_a_failed_member(&bed);
    lock(&bed.target).add_fault(FaultRule {
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
    let retry = bed.walk(bed.retry_of(&last, &[&bed.server])).await;
    let back = line(&retry, |step| matches!(step, Step::TakeBack { .. }));
    let why = back.progress.error.clone().unwrap_or_default();
    assert!(why.contains("was read too long ago"), "{why}");
    assert_eq!(lock(&bed.target).servers().len(), 1);
}

/// Days later somebody has worked on it, and stopped or paused it: a retry is no word that this may be lost.
#[tokio::test(start_paused = true)]
async fn a_retry_keeps_a_copy_that_was_used_since_and_says_how_it_goes_on() {
    for (action, status) in [("os-stop", "SHUTOFF"), ("pause", "PAUSED")] {
        let bed = Bed::left_running().await;
        let last = left_by_a_failed_member(&bed);
        bed.the_copy_writes(&bed.data, "written since");
        let url = format!("compute /servers/{}/action", bed.copy());
        bed.on_target("demo", "POST", &url, &json!({ action: null }));
        bed.a_while().await;
        let retry = bed.walk(bed.retry_of(&last, &[&bed.server])).await;
        let back = line(&retry, |step| matches!(step, Step::TakeBack { .. }));
        let why = back.progress.error.clone().unwrap_or_default();
        assert!(why.starts_with("kept: "), "{status}: {why}");
        assert!(why.contains("'openstack dr retry "), "{status}: {why}");
        let copies = lock(&bed.target).servers();
        assert_eq!(copies.len(), 1, "{status}");
        assert_eq!(copies[0].status, status);
        let data = bed.copy_of(MapKind::Volume, &bed.data);
        let bytes = bed.on_the_target_array(&data).unwrap();
        assert_eq!(bytes, "written since".as_bytes());
    }
}

/// What an adoption that failed has built, or any other operation, is in that one's record only.
#[tokio::test(start_paused = true)]
async fn nothing_is_started_beside_a_copy_of_another_operation() {
    let mut bed = Bed::stuck().await;
    marked_server(&bed, "op-adoption", json!({}));
    marked_server(&bed, "op-test", json!({"protector:test": "op-test"}));
    bed.a_while().await;
    let ended = bed.cleanup().await;
    let why = ended.failure(START);
    assert!(why.starts_with("not started: its copy "), "{why}");
    let stopped = |bed: &Bed| bed.server_facts(&bed.server).unwrap().status == "SHUTOFF";
    assert!(stopped(&bed));
    assert_eq!(lock(&bed.target).servers().len(), 2);

    // That none is listed is not believed of what may be another cloud.
    let not_found = json!({"itemNotFound": {"code": 404, "message": "It could not be found."}});
    bed.target_answers("*/servers/detail*", 200, json!({"servers": []}));
    bed.target_answers("*/networks/*", 404, not_found);
    let ended = bed.cleanup().await;
    let why = ended.failure(START);
    assert!(why.contains("also to network "), "{why}");
    assert!(stopped(&bed));
    lock(&bed.target).clear_faults();

    let servers = lock(&bed.target).servers();
    let made_by = |server: &&ServerFacts| server.metadata["protector:operation"] == "op-adoption";
    let copy = servers.iter().find(made_by).unwrap();
    let url = format!("compute /servers/{}", copy.id);
    bed.on_target("demo", "DELETE", &url, &Value::Null);
    bed.a_while().await;
    let ended = bed.cleanup().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
    assert_eq!(
        lock(&bed.target).servers().len(),
        1,
        "the test's copy stays"
    );
}

/// Builds a server of somebody's own from what the failover has imported, once that is free.
pub fn rebuild_from_imports(bed: &Bed) -> Option<String> {
    let imports = lock(&bed.target).volumes();
    let imports: Vec<_> = imports
        .iter()
        .filter(|volume| volume.metadata.contains_key("protector:source"))
        .collect();
    let boot = imports
        .iter()
        .find(|volume| volume.metadata["protector:source"] == bed.boot)?;
    if imports.iter().any(|volume| volume.status != "available") {
        return None;
    }
    let flavors = bed.on_target("demo", "GET", "compute /flavors", &Value::Null);
    let server = json!({"server": {
        "name": "rebuilt",
        "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": lock(&bed.target).network_id("demo-net").unwrap()}],
        "block_device_mapping_v2": [{
            "source_type": "volume", "destination_type": "volume",
            "uuid": boot.id, "boot_index": 0,
        }],
    }});
    let made = bed.on_target("demo", "POST", "compute /servers", &server);
    Some(made["server"]["id"].as_str().unwrap().to_owned())
}

fn nova_is_slow_for_us(bed: &Bed) {
    lock(&bed.target).add_fault(FaultRule {
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
    let (bed, record) = Bed::moved_among(
        |_| {},
        |bed, record| {
            if build(record).progress.state != StepState::Done && !is_deleted {
                return;
            }
            if !is_deleted {
                let copy = build(record).progress.memo.made.clone().unwrap();
                let url = format!("compute /servers/{copy}");
                bed.on_target("demo", "DELETE", &url, &Value::Null);
                nova_is_slow_for_us(bed);
                is_deleted = true;
            }
            if rebuilt.is_none() {
                rebuilt = rebuild_from_imports(bed);
            }
        },
    )
    .await;
    let rebuilt = rebuilt.expect("it was never free");
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");
    let stop = record
        .steps
        .iter()
        .find(|step| matches!(step.action, Step::StopServer { .. }));
    let why = stop.unwrap().progress.error.clone().unwrap_or_default();
    let expected = format!("not started: server {rebuilt} (ACTIVE) on site-b holds ");
    assert!(why.starts_with(&expected), "{why}");
}
