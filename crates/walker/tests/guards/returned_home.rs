//! The home of a planned move comes back after the site of the originals has given the move up and started them again.

use protector_core::{
    group::GroupStatus,
    operation::{OperationRecord, OperationState, StepState},
    peer_site::ReservationError,
};
use protector_simcloud::in_process::lock;
use serde_json::json;

use super::fixture::{Answer, Fixture};

fn start(fixture: &Fixture) {
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture.at_once("demo", "POST", &url, &json!({"os-start": null}));
}

fn holds_still() -> Answer {
    Box::new(|_| Ok(()))
}

fn has_given_it_up() -> Answer {
    Box::new(|_| {
        let why = "site-a has moved or changed protection group web meanwhile (version 7)";
        Err(ReservationError::MovedOn(why.to_owned()))
    })
}

/// It has ended by itself: nothing was built or switched, and the original goes on.
fn assert_it_ends_by_itself(fixture: &Fixture, record: &OperationRecord, word: &str) {
    let operation = &record.operation;
    let why = operation.error.clone().unwrap_or_default();
    assert_eq!(operation.state, OperationState::Failed, "{why}");
    assert!(why.contains(word), "{why}");
    assert_eq!(fixture.group().status, GroupStatus::Active);
    assert_eq!(fixture.group().current_primary_site.as_str(), "site-a");
    assert_eq!(lock(&fixture.target).servers().len(), 0);
    assert_eq!(lock(&fixture.target).volumes().len(), 0);
    let undone =
        |step: &protector_core::operation::StepRecord| step.progress.state != StepState::UndoFailed;
    assert!(record.steps.iter().all(undone), "{why}");
}

/// Its engine had asked for the stop; somebody has started the server since, as Nova says.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_started_again_meanwhile_is_not_stopped_a_second_time() {
    let (fixture, record) = Fixture::returned_home(start, holds_still()).await;
    assert_it_ends_by_itself(&fixture, &record, "was started again");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// What was asked for on top of the start hides nothing.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_started_and_then_used_is_not_stopped_a_second_time() {
    let start_and_lock = |fixture: &Fixture| {
        start(fixture);
        let url = format!("compute /servers/{}/action", fixture.server);
        for word in ["lock", "unlock"] {
            fixture.at_once("demo", "POST", &url, &json!({word: null}));
        }
    };
    let (fixture, record) = Fixture::returned_home(start_and_lock, holds_still()).await;
    assert_it_ends_by_itself(&fixture, &record, "was started again");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// Nobody asked Nova for anything; the other site's protector says that it has gone on.
#[tokio::test(start_paused = true)]
async fn a_move_that_the_other_site_has_given_up_ends_without_it() {
    let runs = |fixture: &Fixture| {
        let url = format!("compute /servers/{}/action", fixture.server);
        let state = json!({"os-resetState": {"state": "active"}});
        fixture.at_once("admin", "POST", &url, &state);
    };
    let (fixture, record) = Fixture::returned_home(runs, has_given_it_up()).await;
    assert_it_ends_by_itself(&fixture, &record, "site-a has moved or changed");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// It rests as this operation left it, and the other site goes on without it: it is not this operation's to start any more.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_its_own_any_more_is_not_started() {
    let (fixture, record) = Fixture::returned_home(|_| {}, has_given_it_up()).await;
    assert_it_ends_by_itself(&fixture, &record, "");
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "SHUTOFF"
    );
}
