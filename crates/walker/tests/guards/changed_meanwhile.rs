//! What a deletion or a start rests on changes after it was judged: while the cloud has turned the call away for a while,
//! and in the moment between the intent and the call.

use std::time::Duration;

use protector_core::{
    fault::Code,
    group::ReplicationType,
    operation::{MapKind, OperationState, StepState},
    peer_site::ReservationError,
    plan::Plan,
    runbook::Step,
};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::lock,
};
use serde_json::Value;

use super::fixture::{DATA, Fixture, SERVER};

/// Somebody deletes the copy of the server, and then that of the data volume.
async fn the_copies_vanish(fixture: &Fixture) {
    let server = fixture.copy_of(MapKind::Server, &fixture.server);
    let volume = fixture.copy_of(MapKind::Volume, &fixture.data);
    fixture.on_target(
        "demo",
        "DELETE",
        &format!("compute /servers/{server}"),
        &Value::Null,
    );
    fixture.pass(Duration::from_secs(15)).await;
    fixture.on_target(
        "demo",
        "DELETE",
        &format!("volumev3 /volumes/{volume}"),
        &Value::Null,
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_whose_deletion_was_turned_away_is_judged_anew() {
    for status in [503, 429] {
        let fixture = Fixture::switched().await;
        fixture.turn_away("DELETE", &format!("*/volumes/{}", fixture.data), status);
        let ended = fixture
            .delete_while(async {
                fixture.until_asked("DELETE", &fixture.data).await;
                the_copies_vanish(&fixture).await;
            })
            .await;
        let why = ended.failure(DATA);
        assert!(why.starts_with("kept: "), "{why}");
        assert!(fixture.has_volume(&fixture.data), "after {status}");
        assert_eq!(fixture.deletions_of(&fixture.data), 1, "after {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_deletion_was_turned_away_is_judged_anew() {
    let fixture = Fixture::switched().await;
    fixture.turn_away("DELETE", &format!("*/servers/{}", fixture.server), 503);
    let ended = fixture
        .delete_while(async {
            fixture.until_asked("DELETE", &fixture.server).await;
            the_copies_vanish(&fixture).await;
        })
        .await;
    let why = ended.failure(SERVER);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(fixture.has_server() && fixture.has_volume(&fixture.data));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_was_to_be_unmanaged_is_judged_anew() {
    let sync = |plan: &mut Plan| plan.replication_type = ReplicationType::Sync;
    let fixture = Fixture::switched_as(|_| {}, sync).await;
    fixture.turn_away("POST", &format!("*/volumes/{}/action", fixture.data), 503);
    let ended = fixture
        .delete_while(async {
            fixture
                .until_asked("POST", &format!("{}/action", fixture.data))
                .await;
            the_copies_vanish(&fixture).await;
        })
        .await;
    let why = ended.failure(DATA);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(fixture.has_volume(&fixture.data));
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_start_was_turned_away_stays_stopped_once_its_group_has_moved_on() {
    let mut fixture = Fixture::stuck().await;
    let start = format!("/servers/{}/action", fixture.server);
    fixture.turn_away("POST", &format!("*{start}"), 503);
    let source = fixture.source.clone();
    *fixture.other.answer.lock().unwrap() = Box::new(move |_| {
        let source = lock(&source);
        let starts = source.call_log().iter();
        // The first one stopped it.
        match starts.filter(|call| call.path.ends_with(&start)).count() {
            0 | 1 => Ok(()),
            _ => Err(ReservationError::MovedOn("site-b has moved it".to_owned())),
        }
    });
    let ended = fixture.cleanup().await;
    let key = "undo:stop_source_vms:vm-001";
    assert_eq!(ended.failure(key), "kept stopped: site-b has moved it");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_turned_away_is_not_asked_for_once_the_group_has_moved_on() {
    let (fixture, record) = Fixture::built_while(Box::new(|record| {
        let mut steps = record.steps.iter();
        let build = steps.find(|step| matches!(step.action, Step::RecreateServer { .. }));
        match build.map(|step| &step.progress) {
            Some(build) if build.state == StepState::Running && build.note.is_some() => {
                Err(ReservationError::MovedOn("site-b has moved it".to_owned()))
            }
            _ => Ok(()),
        }
    }))
    .await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(record.operation.error_code, Some(Code::Superseded));
    assert_eq!(lock(&fixture.target).servers().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_turned_away_is_no_try_and_a_token_that_is_over_is_renewed() {
    let retain = |plan: &mut Plan| plan.retain_source_volumes = true;
    let mut fixture = Fixture::switched_as(|_| {}, retain).await;
    fixture.delete().await;
    for status in [429, 401] {
        fixture.turn_away("DELETE", &format!("*/volumes/{}", fixture.data), status);
    }
    // By hand there are no retries.
    let ended = fixture.cleanup_of_only(&[DATA]).await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.step(DATA).progress.failed_tries, 0);
    assert!(!fixture.has_volume(&fixture.data));
    assert_eq!(fixture.deletions_of(&fixture.data), 3);
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_read_again_after_the_intent_to_delete_it() {
    let mut fixture = Fixture::switched().await;
    let (target, copy) = (
        fixture.target.clone(),
        fixture.copy_of(MapKind::Volume, &fixture.data),
    );
    fixture.at_intent_of(DATA, move || {
        lock(&target).set_status_of_volume(&copy, "error");
    });
    let ended = fixture.delete().await;
    let why = ended.only_failure(DATA);
    assert!(why.starts_with("kept: "), "{why}");
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    let memo = &ended.step(DATA).progress.memo;
    assert_eq!(memo.intents, 0, "nothing was sent with it");
    let facts = memo.facts.join("; ");
    assert!(!facts.contains("right before the deletion"), "{facts}");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_read_again_after_the_intent_to_delete_it() {
    let mut fixture = Fixture::switched().await;
    let (target, copy) = (
        fixture.target.clone(),
        fixture.copy_of(MapKind::Server, &fixture.server),
    );
    fixture.at_intent_of(SERVER, move || {
        lock(&target).add_fault(FaultRule {
            id: String::new(),
            matches: Match {
                method: Some("GET".to_owned()),
                path: Some(format!("*/servers/{copy}")),
                ..Match::default()
            },
            times: None,
            effect: FaultEffect::Call(CallEffect::Status {
                status: 404,
                body: None,
                headers: Default::default(),
            }),
            seen: 0,
        });
    });
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(fixture.has_server());
    assert_eq!(ended.step(SERVER).progress.memo.intents, 0);
}
