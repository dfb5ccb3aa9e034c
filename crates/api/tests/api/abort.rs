//! Giving an operation up: who may, until when, and what it answers.

use http::Method;
use protector_core::{
    clock::Clock,
    id::OperationId,
    journal::{Entry, Journal, OperationChange},
    operation::{OperationState, StepProgress, StepRecord, StepState},
    runbook::{Step, Verb},
};
use serde_json::json;

use crate::{
    engine,
    fakes::{FixedClock, OTHER_PROJECT, PROJECT_A, WEB},
    house::{Answer, House, group_path},
};

fn path(id: &OperationId, rest: &str) -> String {
    format!("/v1/{PROJECT_A}/operations/{id}{rest}")
}

async fn abort(house: &House, id: &OperationId, token: &str) -> Answer {
    let body = json!({"abort": {}});
    house
        .send(Method::POST, &path(id, "/abort"), token, body)
        .await
}

/// Writes what an engine has done: every line before that of `key` is done, that one is under way.
async fn walk_to(house: &House, key: &str) {
    let claim = engine::claim(house).await;
    let record = house.database.load(&claim).await.unwrap();
    let here = record.steps.iter().position(|step| step.key == key);
    let here = here.unwrap_or_else(|| panic!("no line {key}"));
    let mut steps: Vec<(u32, StepProgress)> = record.steps[..here]
        .iter()
        .map(|step| (step.position, engine::done()))
        .collect();
    let under_way = StepProgress {
        state: StepState::Running,
        ..StepProgress::default()
    };
    steps.push((record.steps[here].position, under_way));
    let now = FixedClock.now();
    let entry = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps,
        ..Entry::default()
    };
    house.database.record(&claim, now, entry).await.unwrap();
    house.database.release(&claim).await.unwrap();
}

#[tokio::test]
async fn a_move_is_given_up_once_and_says_who_asked() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    walk_to(&house, "switch_primary").await;
    abort(&house, &id, "reader").await.expect(403);
    let elsewhere = format!("/v1/{OTHER_PROJECT}/operations/{id}/abort");
    let body = json!({"abort": {}});
    house
        .send(Method::POST, &elsewhere, "other", body)
        .await
        .expect(404);
    let asked = abort(&house, &id, "member").await.expect(202);
    assert_eq!(asked.body["operation"]["phase"], "rolling_back");
    assert_eq!(asked.body["operation"]["status"], "running");
    let again = abort(&house, &id, "member").await.expect(202);
    assert_eq!(again.body, asked.body);
    let record = house
        .database
        .load(&engine::claim(&house).await)
        .await
        .unwrap();
    assert!(record.aborted_by().is_some());
}

/// Whoever gives a move up is told what goes with it.
#[tokio::test]
async fn the_answer_names_the_copies_that_are_discarded() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    walk_to(&house, "switch_primary").await;
    let claim = engine::claim(&house).await;
    let record = house.database.load(&claim).await.unwrap();
    let is_build = |step: &&StepRecord| matches!(step.action, Step::RecreateServer { .. });
    let build = record.steps.iter().find(is_build).unwrap();
    let mut progress = engine::done();
    progress.memo.made = Some("copy-1".to_owned());
    let entry = Entry {
        steps: vec![(build.position, progress)],
        ..Entry::default()
    };
    let now = FixedClock.now();
    house.database.record(&claim, now, entry).await.unwrap();
    house.database.release(&claim).await.unwrap();
    let asked = abort(&house, &id, "member").await.expect(202);
    let copies = asked.body["copies"].as_array().unwrap();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(copies[0]["server_id"], "copy-1");
    assert_eq!(copies[0]["fate"], "discarded");
    assert_eq!(copies[0]["site"], "site-b");
    assert!(copies[0]["up_since"].is_string(), "{copies:?}");
}

#[tokio::test]
async fn one_that_was_given_up_and_has_ended_is_answered_as_it_is() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    abort(&house, &id, "member").await.expect(202);
    let claim = engine::claim(&house).await;
    let now = FixedClock.now();
    let unwound = OperationChange::Unwinding {
        error: "aborted by user user-1".to_owned(),
        code: protector_core::fault::Code::Aborted,
    };
    let ended = OperationChange::Settled {
        state: OperationState::Failed,
        at: now,
    };
    for change in [unwound, ended] {
        let entry = Entry {
            operation: Some(change),
            ..Entry::default()
        };
        house.database.record(&claim, now, entry).await.unwrap();
    }
    let answer = abort(&house, &id, "member").await.expect(202);
    assert_eq!(answer.body["operation"]["status"], "failed");
    assert_eq!(answer.body["operation"]["error_code"], "PRT-ABORTED");
}

#[tokio::test]
async fn what_cannot_be_given_up_any_more_says_what_leads_on() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    let first_deletion = {
        let record = house.database.operation_show_by_id(&id).await.unwrap();
        let deletes = |step: &&protector_core::operation::StepRecord| step.verb == Verb::Attempt;
        record.steps.iter().find(deletes).unwrap().key.clone()
    };
    walk_to(&house, &first_deletion).await;
    let refused = abort(&house, &id, "member").await.expect(409);
    for words in [
        "has moved protection group web to site-b",
        "--action failback",
    ] {
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    engine::settle(&house, &["delete_source_volume"]).await;
    let refused = abort(&house, &id, "member").await.expect(409);
    let cleanup = format!("openstack dr operation cleanup {id}");
    assert!(
        refused.message().contains(&cleanup),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn a_test_failover_whose_copies_are_up_is_ended_by_its_cleanup() {
    let house = House::with_member(WEB).await;
    let action = group_path("web", "/action");
    let body = json!({"test_failover": {}});
    let started = house
        .send(Method::POST, &action, "member", body)
        .await
        .expect(202);
    let id: OperationId = started.body["operation"]["id"].as_str().unwrap().into();
    engine::settle_as(&house, OperationState::AwaitingCleanup, |_| engine::done()).await;
    let refused = abort(&house, &id, "member").await.expect(409);
    let way = format!("--action test-cleanup --test-operation-id {id}");
    assert!(refused.message().contains(&way), "{}", refused.message());
}

#[tokio::test]
async fn a_cleanup_is_given_up_only_before_it_deletes() {
    let house = House::with_member(WEB).await;
    let id = engine::start(&house).await;
    engine::settle(&house, &["delete_source"]).await;
    let started = engine::cleanup(&house, &id, "member").await.expect(202);
    let cleanup: OperationId = started.body["operation"]["id"].as_str().unwrap().into();
    let record = house.database.operation_show_by_id(&cleanup).await.unwrap();
    walk_to(&house, &record.steps[0].key).await;
    let refused = abort(&house, &cleanup, "member").await.expect(409);
    assert!(
        refused.message().contains("it ends by itself"),
        "{}",
        refused.message()
    );
}
