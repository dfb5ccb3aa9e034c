//! The other site's protector, which does not answer, or has moved the group itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use protector_core::{
    fault::Code,
    operation::{OperationRecord, OperationState, ResourceMap, StepRecord, StepState},
    peer_site::ReservationError,
    runbook::Step,
};
use protector_simcloud::in_process::lock;
use serde_json::json;
use tokio::time::Instant;

use super::fixture::{Answer, Fixture};

const START: &str = "undo:stop_source_vms:vm-001";

fn silent() -> Result<(), ReservationError> {
    Err(ReservationError::Silent("connection refused".to_owned()))
}

fn moved_on() -> Result<(), ReservationError> {
    Err(ReservationError::MovedOn("site-b has moved it".to_owned()))
}

fn always(answer: fn() -> Result<(), ReservationError>) -> Answer {
    Box::new(move |_| answer())
}

fn is_running(record: &OperationRecord, of_kind: fn(&Step) -> bool) -> bool {
    record
        .steps
        .iter()
        .any(|step| of_kind(&step.action) && step.progress.state == StepState::Running)
}

#[tokio::test(start_paused = true)]
async fn a_failover_waits_at_its_switch_for_hours_rather_than_take_running_copies_back() {
    const SILENCE: Duration = Duration::from_secs(4 * 3600);
    let begin = Instant::now();
    let (fixture, record) = Fixture::moved_while(Box::new(move |record| {
        let switches = is_running(record, |step| matches!(step, Step::SwitchPrimary));
        if switches && begin.elapsed() < SILENCE {
            return silent();
        }
        Ok(())
    }))
    .await;
    assert!(begin.elapsed() > SILENCE);
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    // Each answer about a server takes 10 s here, and a deletion rests on several: too long ago for a deletion to rest on.
    let deletion = &record
        .steps
        .iter()
        .find(|step| matches!(step.action, Step::DeleteSourceServer { .. }))
        .unwrap()
        .progress;
    let why = deletion.error.clone().unwrap_or_default();
    let says = "what it rests on was read too long ago: that took ";
    assert!(why.contains(says), "{why}");
    assert!(fixture.has_server());
}

/// The other site holds still for a minute each time that it is asked.
#[tokio::test(start_paused = true)]
async fn the_other_site_holds_still_for_as_long_as_an_array_replicates() {
    const HOLD: Duration = Duration::from_secs(60);
    let asked = Arc::new(Mutex::new(vec![Instant::now()]));
    let noted = Arc::clone(&asked);
    let (_, record) = Fixture::replicated_for(
        Duration::from_secs(3000),
        Box::new(move |_| {
            noted.lock().unwrap().push(Instant::now());
            Ok(())
        }),
    )
    .await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let asked = asked.lock().unwrap();
    let gaps = asked.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().unwrap();
    assert!(longest < HOLD, "nothing held it still for {longest:?}");
    assert!(asked.last().unwrap().duration_since(asked[0]) > Duration::from_secs(3000));
}

/// It is away when its hold ends, and has moved the group when it is back.
#[tokio::test(start_paused = true)]
async fn a_move_that_lost_its_hold_while_an_array_replicated_does_not_go_on() {
    let begin = Instant::now();
    let (fixture, record) = Fixture::replicated_for(
        Duration::from_secs(600),
        Box::new(move |_| match begin.elapsed().as_secs() {
            0..=100 => Ok(()),
            101..=500 => silent(),
            _ => moved_on(),
        }),
    )
    .await;
    assert_eq!(record.operation.error_code, Some(Code::Superseded));
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
    assert_eq!(lock(&fixture.target).volumes().len(), 0);
}

/// The look begins while the other site holds still; when the call is to be made it does not any more.
#[tokio::test(start_paused = true)]
async fn nothing_is_made_once_the_other_site_has_moved_the_group() {
    // Longer than the other site is not asked anew.
    let (fixture, record) = Fixture::moved_at(
        25.0,
        Box::new(|record| {
            if is_running(record, |step| matches!(step, Step::StopServer { .. })) {
                return moved_on();
            }
            Ok(())
        }),
    )
    .await;
    assert_eq!(record.operation.error_code, Some(Code::Superseded));
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_eq!(lock(&fixture.target).servers().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_starts_no_server_whose_group_has_moved_on() {
    let mut fixture = Fixture::stuck().await;
    *fixture.other.answer.lock().unwrap() = always(moved_on);
    let ended = fixture.cleanup().await;
    assert_eq!(ended.failure(START), "kept stopped: site-b has moved it");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );

    *fixture.other.answer.lock().unwrap() = always(silent);
    let ended = fixture.cleanup().await;
    let why = ended.failure(START);
    assert!(why.contains("connection refused"), "{why}");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );

    *fixture.other.answer.lock().unwrap() = always(|| Ok(()));
    assert_eq!(fixture.cleanup().await.failed(), vec![]);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// One server in two groups would be moved by both.
#[tokio::test(start_paused = true)]
async fn a_copy_that_another_group_has_taken_in_is_not_switched_to() {
    const TAKEN: Duration = Duration::from_secs(3600);
    let begin = Instant::now();
    let (fixture, record) = Fixture::moved_while_another_group_has_the_copy(TAKEN).await;
    assert!(begin.elapsed() > TAKEN);
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(lock(&fixture.target).servers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_that_an_unplanned_failover_has_built() {
    const TAKEN: Duration = Duration::from_secs(3600);
    let begin = Instant::now();
    let (fixture, record, noted) = Fixture::recovered_while_another_group_has_the_copy(TAKEN).await;
    assert!(begin.elapsed() > TAKEN);
    let says = "protection group second-life to let go of ";
    assert!(noted.iter().any(|note| note.contains(says)), "{noted:?}");
    assert_eq!(record.operation.state, OperationState::Completed);
    let (_, members) = fixture.journal.group(&record.operation.group_id).unwrap();
    assert_eq!(
        members[0].server_id.as_str(),
        lock(&fixture.target).servers()[0].id
    );
}

/// The site that the group went to was lost, and retired by the one that it had left; now it is back.
#[tokio::test(start_paused = true)]
async fn a_site_that_was_retired_deletes_nothing_on_the_one_that_goes_on_without_it() {
    let mut fixture = Fixture::switched_by_the_target().await;
    *fixture.other.paired.lock().unwrap() = || {
        Err(ReservationError::MovedOn(
            "it has retired this site".to_owned(),
        ))
    };
    let ended = fixture.delete().await;
    assert_eq!(ended.failed().len(), 3);
    for (key, why) in ended.failed() {
        assert!(why.contains("has retired this site"), "{key}: {why}");
    }
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    *fixture.other.paired.lock().unwrap() = || Ok(());
    fixture.cleanup_leaves_nothing().await;
}

/// A protector that turns this one away is there, and may have protected anew what is left: only one that is silent may be lost.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_on_a_site_whose_protector_answers_and_does_not_tell() {
    let mut fixture = Fixture::switched_by_the_target().await;
    *fixture.other.paired.lock().unwrap() = || {
        Err(ReservationError::TurnedAway(
            "403: User u is not the other site's protector".to_owned(),
        ))
    };
    let ended = fixture.delete().await;
    assert_eq!(ended.failed().len(), 3);
    for (key, why) in ended.failed() {
        for words in ["kept: 403", "peer_user_ids"] {
            assert!(why.contains(words), "{key}: {why}");
        }
    }
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    *fixture.other.paired.lock().unwrap() = || silent();
    fixture.cleanup_leaves_nothing().await;
}

/// Who cannot ask knows no more than who is not told: a database that is busy here makes no site silent.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_while_the_other_sites_protector_cannot_be_asked() {
    let mut fixture = Fixture::switched_by_the_target().await;
    *fixture.other.paired.lock().unwrap() =
        || Err(ReservationError::NotTold("the database is busy".to_owned()));
    let ended = fixture.delete().await;
    assert_eq!(ended.failed().len(), 3);
    for (key, why) in ended.failed() {
        assert!(why.contains("kept: the database is busy"), "{key}: {why}");
    }
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    *fixture.other.paired.lock().unwrap() = || silent();
    fixture.cleanup_leaves_nothing().await;
}

/// What is left here by what is known here may be the group by what is known there.
#[tokio::test(start_paused = true)]
async fn nothing_is_fenced_that_the_other_site_has_moved_or_will_not_tell_of() {
    let turned_away = || Err(ReservationError::TurnedAway("403: who are you?".to_owned()));
    for (answer, word) in [
        (moved_on as fn() -> _, "site-b has moved it"),
        (turned_away, "403: who are you?"),
    ] {
        let mut fixture = Fixture::switched().await;
        let url = format!("compute /servers/{}/action", fixture.server);
        fixture
            .user("demo", "POST", &url, json!({"os-start": null}))
            .await;
        *fixture.other.answer.lock().unwrap() = always(answer);
        let fence = fixture.fence(ResourceMap::default()).await;
        let line = |step: &&StepRecord| matches!(step.action, Step::FenceServer { .. });
        let line = fence.steps.iter().find(line).unwrap();
        let why = line.progress.error.clone().unwrap_or_default();
        assert!(
            why.starts_with("not stopped: ") && why.contains(word),
            "{why}"
        );
        assert_eq!(
            fixture.server_facts(&fixture.server).unwrap().status,
            "ACTIVE"
        );
        *fixture.other.answer.lock().unwrap() = always(silent);
        let fence = fixture.fence(ResourceMap::default()).await;
        assert_eq!(fence.operation.state, OperationState::Completed);
        assert_eq!(
            fixture.server_facts(&fixture.server).unwrap().status,
            "SHUTOFF"
        );
    }
}
