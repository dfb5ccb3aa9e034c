//! What a deletion or a start rests on changes after it was judged: while the cloud has turned the call away for a while,
//! and in the moment between the intent and the call.

use std::time::Duration;

use protector_core::{
    fault::Code,
    group::ReplicationType,
    operation::{MapKind, OperationState, StepState},
    plan::Plan,
    runbook::Step,
};
use protector_engine::peer_site::ReservationError;
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::lock,
};
use serde_json::Value;

use super::bed::{Bed, DATA, SERVER};

/// Somebody deletes the copy of the server, and then that of the data volume.
async fn the_copies_vanish(bed: &Bed) {
    let server = bed.copy_of(MapKind::Server, &bed.server);
    let volume = bed.copy_of(MapKind::Volume, &bed.data);
    bed.on_target(
        "demo",
        "DELETE",
        &format!("compute /servers/{server}"),
        &Value::Null,
    );
    bed.pass(Duration::from_secs(15)).await;
    bed.on_target(
        "demo",
        "DELETE",
        &format!("volumev3 /volumes/{volume}"),
        &Value::Null,
    );
}

#[tokio::test(start_paused = true)]
async fn a_volume_whose_deletion_was_turned_away_is_judged_anew() {
    for status in [503, 429] {
        let bed = Bed::switched().await;
        bed.turn_away("DELETE", &format!("*/volumes/{}", bed.data), status);
        let ended = bed
            .delete_while(async {
                bed.until_asked("DELETE", &bed.data).await;
                the_copies_vanish(&bed).await;
            })
            .await;
        let why = ended.failure(DATA);
        assert!(why.starts_with("kept: "), "{why}");
        assert!(bed.has_volume(&bed.data), "after {status}");
        assert_eq!(bed.deletions_of(&bed.data), 1, "after {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_deletion_was_turned_away_is_judged_anew() {
    let bed = Bed::switched().await;
    bed.turn_away("DELETE", &format!("*/servers/{}", bed.server), 503);
    let ended = bed
        .delete_while(async {
            bed.until_asked("DELETE", &bed.server).await;
            the_copies_vanish(&bed).await;
        })
        .await;
    let why = ended.failure(SERVER);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(bed.has_server() && bed.has_volume(&bed.data));
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_was_to_be_unmanaged_is_judged_anew() {
    let sync = |plan: &mut Plan| plan.replication_type = ReplicationType::Sync;
    let bed = Bed::switched_as(|_| {}, sync).await;
    bed.turn_away("POST", &format!("*/volumes/{}/action", bed.data), 503);
    let ended = bed
        .delete_while(async {
            bed.until_asked("POST", &format!("{}/action", bed.data))
                .await;
            the_copies_vanish(&bed).await;
        })
        .await;
    let why = ended.failure(DATA);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(bed.has_volume(&bed.data));
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_start_was_turned_away_stays_stopped_once_its_group_has_moved_on() {
    let mut bed = Bed::stuck().await;
    let start = format!("/servers/{}/action", bed.server);
    bed.turn_away("POST", &format!("*{start}"), 503);
    let source = bed.source.clone();
    *bed.other.answer.lock().unwrap() = Box::new(move |_| {
        let source = lock(&source);
        let starts = source.call_log().iter();
        // The first one stopped it.
        match starts.filter(|call| call.path.ends_with(&start)).count() {
            0 | 1 => Ok(()),
            _ => Err(ReservationError::MovedOn("site-b has moved it".to_owned())),
        }
    });
    let ended = bed.cleanup().await;
    let key = "undo:stop_source_vms:vm-001";
    assert_eq!(ended.failure(key), "kept stopped: site-b has moved it");
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "SHUTOFF");
}

#[tokio::test(start_paused = true)]
async fn a_build_that_was_turned_away_is_not_asked_for_once_the_group_has_moved_on() {
    let (bed, record) = Bed::built_while(Box::new(|record| {
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
    assert_eq!(lock(&bed.target).servers().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_turned_away_is_no_try_and_a_token_that_is_over_is_renewed() {
    let retain = |plan: &mut Plan| plan.retain_source_volumes = true;
    let mut bed = Bed::switched_as(|_| {}, retain).await;
    bed.delete().await;
    for status in [429, 401] {
        bed.turn_away("DELETE", &format!("*/volumes/{}", bed.data), status);
    }
    // By hand there are no retries.
    let ended = bed.cleanup_of_only(&[DATA]).await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(ended.step(DATA).progress.failed_tries, 0);
    assert!(!bed.has_volume(&bed.data));
    assert_eq!(bed.deletions_of(&bed.data), 3);
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_read_again_after_the_intent_to_delete_it() {
    let mut bed = Bed::switched().await;
    let (target, copy) = (bed.target.clone(), bed.copy_of(MapKind::Volume, &bed.data));
    bed.at_intent_of(DATA, move || {
        lock(&target).set_status_of_volume(&copy, "error");
    });
    let ended = bed.delete().await;
    let why = ended.only_failure(DATA);
    assert!(why.starts_with("kept: "), "{why}");
    assert_eq!(bed.deletions_of(&bed.data), 0);
    let memo = &ended.step(DATA).progress.memo;
    assert_eq!(memo.intents, 0, "nothing was sent with it");
    let facts = memo.facts.join("; ");
    assert!(!facts.contains("right before the deletion"), "{facts}");
}

#[tokio::test(start_paused = true)]
async fn a_server_is_read_again_after_the_intent_to_delete_it() {
    let mut bed = Bed::switched().await;
    let (target, copy) = (
        bed.target.clone(),
        bed.copy_of(MapKind::Server, &bed.server),
    );
    bed.at_intent_of(SERVER, move || {
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
    let ended = bed.delete().await;
    let why = ended.failure(SERVER);
    assert!(why.starts_with("kept: "), "{why}");
    assert!(bed.has_server());
    assert_eq!(ended.step(SERVER).progress.memo.intents, 0);
}
