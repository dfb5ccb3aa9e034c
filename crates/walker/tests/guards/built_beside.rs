//! Nothing is built beside a copy that a failed operation has left, nor beside an original that is back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protector_core::{
    operation::{Memo, OperationKind, OperationRecord, OperationState, ResourceMap, steps_failed},
    runbook::{Step, unplanned_failover::unplanned_failover},
};
use protector_simcloud::{
    cloud::{CallEffect, Match, SimulatedService},
    in_process::lock,
};
use serde_json::json;

use super::fixture::{Fixture, operation, unplanned};

fn why_not_built(record: &OperationRecord) -> String {
    let failed = steps_failed(&record.steps);
    let build = failed
        .iter()
        .find(|step| step.step == "recreate_vms:vm-001");
    build.unwrap_or_else(|| panic!("{failed:?}")).error.clone()
}

fn unplanned_after(fixture: &Fixture, id: &str) -> OperationRecord {
    let failed = fixture.failover().operation;
    let (plan, kind) = (failed.plan, OperationKind::Failover);
    unplanned(OperationRecord {
        steps: unplanned_failover(&plan).into_steps().unwrap(),
        operation: operation(id, kind, plan, None, failed.created_at),
        map: ResourceMap::default(),
    })
}

/// What the unplanned failover of the failed one's group fails by, and a retry after that.
async fn beside_what_was_left(fixture: &Fixture) -> [String; 2] {
    let copies = lock(&fixture.target).servers();
    assert_eq!(copies.len(), 1);
    let unplanned = fixture.walk(unplanned_after(fixture, "op-unplanned")).await;
    assert_eq!(unplanned.operation.state, OperationState::Failed);
    let retry = fixture.retry_of(&unplanned, &[&fixture.server]);
    let retry = fixture.walk(retry).await;
    let now = lock(&fixture.target).servers();
    assert_eq!(now.len(), 1, "nothing was built beside it");
    assert_eq!(now[0].id, copies[0].id);
    assert_eq!(now[0].status, copies[0].status);
    [unplanned, retry].map(|record| build_error(&record))
}

/// By what the build's line has failed, also where everything was taken back; else the operation.
fn build_error(record: &OperationRecord) -> String {
    record
        .steps
        .iter()
        .find(|step| matches!(step.action, Step::RecreateServer { .. }))
        .and_then(|step| step.progress.error.clone())
        .unwrap_or_else(|| record.operation.error.clone().unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_left_is_not_built_beside_whether_or_not_it_runs() {
    for runs in [true, false] {
        let fixture = Fixture::left_running().await;
        if !runs {
            let copy = lock(&fixture.target).servers()[0].id.clone();
            let url = format!("compute /servers/{copy}/action");
            fixture.on_target("demo", "POST", &url, &json!({"os-stop": null}));
            fixture.a_while().await;
        }
        let failover = fixture.failover().operation.id;
        for why in beside_what_was_left(&fixture).await {
            assert!(why.contains("no other one is built beside it"), "{why}");
            let adopt = format!("openstack dr operation adopt {failover}");
            assert!(why.contains(&adopt), "{why}");
        }
    }
}

/// Whatever it is at, somebody can bring it to run again.
#[tokio::test(start_paused = true)]
async fn a_copy_in_error_that_has_run_is_not_built_beside() {
    let fixture = Fixture::left_running().await;
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}/action");
    fixture.on_target("demo", "POST", &url, &json!({"os-stop": null}));
    fixture.a_while().await;
    fixture.on_target(
        "admin",
        "POST",
        &url,
        &json!({"os-resetState": {"state": "error"}}),
    );
    for why in beside_what_was_left(&fixture).await {
        assert!(why.contains("no other one is built beside it"), "{why}");
    }
}

/// Anybody may unshelve the one and restore the other, which no list of a tenant's shows.
#[tokio::test(start_paused = true)]
async fn a_copy_that_was_shelved_or_deleted_softly_is_not_built_beside() {
    for state in ["shelved_offloaded", "soft_deleted"] {
        let fixture = Fixture::left_running().await;
        let copy = lock(&fixture.target).servers()[0].id.clone();
        assert!(lock(&fixture.target).set_state_of_server(&copy, state));
        for why in beside_what_was_left(&fixture).await {
            assert!(why.contains("no other one is built beside it"), "{why}");
            assert!(why.contains(&state.to_uppercase()), "{why}");
        }
    }
}

/// The operation that made the copy may be one of the lost site, whose cleanup nobody here can start.
#[tokio::test(start_paused = true)]
async fn what_an_unplanned_failover_says_of_a_stopped_copy_in_its_way_leads_on() {
    let fixture = Fixture::left_running().await;
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}");
    fixture.on_target(
        "demo",
        "POST",
        &format!("{url}/action"),
        &json!({"os-stop": null}),
    );
    fixture.a_while().await;
    let failed = fixture.walk(unplanned_after(&fixture, "op-in-vain")).await;
    let builds = |step: &&protector_core::operation::StepRecord| {
        matches!(step.action, Step::RecreateServer { .. })
    };
    let why = failed.steps.iter().find(builds).unwrap();
    let why = why.progress.error.clone().unwrap();
    let adopt = format!(
        "adopt {} --source-is-lost'",
        fixture.failover().operation.id
    );
    let delete = format!("'openstack --os-cloud site-b server delete {copy}'");
    assert!(why.contains(&adopt) && why.contains(&delete), "{why}");

    lock(&fixture.target).clear_faults();
    fixture.on_target("demo", "DELETE", &url, &json!(null));
    fixture.a_while().await;
    let done = fixture
        .walk(unplanned_after(&fixture, "op-unplanned"))
        .await;
    assert_eq!(done.operation.error, None);
    assert_eq!(done.operation.state, OperationState::Completed);
    assert_eq!(lock(&fixture.target).servers()[0].status, "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn a_retry_uses_no_older_point_while_the_original_is_back_unless_somebody_says_so() {
    let (fixture, last) = Fixture::unrecovered().await;
    lock(&fixture.source).clear_faults();
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture
        .user("demo", "POST", &url, json!({"os-stop": null}))
        .await;
    let refused = fixture.walk(fixture.retry_of(&last, &[])).await;
    let why = why_not_built(&refused);
    assert!(why.contains("is back on site-a (SHUTOFF)"), "{why}");
    assert!(why.contains("--lose-newer-writes"), "{why}");
    assert!(lock(&fixture.target).servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retry_recovers_beside_a_stopped_original_when_its_newer_writes_may_be_lost() {
    let (fixture, last) = Fixture::unrecovered().await;
    lock(&fixture.source).clear_faults();
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture
        .user("demo", "POST", &url, json!({"os-stop": null}))
        .await;
    let retry = fixture
        .walk(fixture.retry_of(&last, &[&fixture.server]))
        .await;
    assert_eq!(steps_failed(&retry.steps), vec![]);
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    let running = fixture.server_facts(&fixture.server).unwrap();
    assert_eq!(running.status, "SHUTOFF");
}

/// Between the look and the call.
#[tokio::test(start_paused = true)]
async fn an_original_that_comes_back_right_before_the_build_is_not_built_beside() {
    let (fixture, last) = Fixture::unrecovered().await;
    let mut retry = fixture.retry_of(&last, &[]);
    let mut steps = retry.steps.iter_mut();
    let build = steps
        .find(|step| matches!(step.action, Step::RecreateServer { .. }))
        .unwrap();
    // What the failover had intended is not what is waited for.
    build.progress.memo = Memo::default();
    let source = Arc::clone(&fixture.source);
    fixture.at_intent_at(build.position, move || lock(&source).clear_faults());
    let retry = fixture.walk(retry).await;
    let why = why_not_built(&retry);
    assert!(why.contains("is back on site-a (ACTIVE)"), "{why}");
    assert!(lock(&fixture.target).servers().is_empty());
}

fn answers(status: u16) -> CallEffect {
    CallEffect::Status {
        status,
        body: None,
        headers: BTreeMap::from([("Retry-After".to_owned(), "40".to_owned())]),
    }
}

fn of(service: SimulatedService, path: &str) -> Match {
    Match {
        service: Some(service),
        path: Some(path.to_owned()),
        ..Match::default()
    }
}

/// One whose source is back, and answers what `matches` names so, after which a retry was made.
async fn retried_while(
    matches: Match,
    answer: CallEffect,
    lost: bool,
) -> (Fixture, OperationRecord) {
    let (fixture, last) = Fixture::unrecovered().await;
    lock(&fixture.source).clear_faults();
    fixture.source_meets("trouble", matches, None, answer);
    let named = [fixture.server.as_str()];
    let retry = fixture.retry_of(&last, if lost { &named } else { &[] });
    let retry = fixture.walk(retry).await;
    (fixture, retry)
}

#[tokio::test(start_paused = true)]
async fn an_original_that_nova_calls_active_runs_whatever_else_is_not_answered() {
    let services = || of(SimulatedService::Compute, "*/os-services*");
    for answer in [answers(500), answers(503), CallEffect::Hang] {
        let (fixture, retry) = retried_while(services(), answer, false).await;
        let why = why_not_built(&retry);
        assert!(
            why.contains("is back on site-a (ACTIVE) and may run"),
            "{why}"
        );
        assert!(lock(&fixture.target).servers().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_original_that_a_slow_source_calls_active_runs() {
    let slow = CallEffect::Delay { seconds: 9.0 };
    let (fixture, retry) = retried_while(Match::default(), slow, false).await;
    let why = why_not_built(&retry);
    assert!(
        why.contains("is back on site-a (ACTIVE) and may run"),
        "{why}"
    );
    assert!(lock(&fixture.target).servers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answers_and_does_not_tell_is_not_taken_for_lost() {
    let tokens = || of(SimulatedService::Identity, "*/auth/tokens");
    let servers = || of(SimulatedService::Compute, "*/servers/*");
    for (matches, status) in [
        (Match::default(), 503),
        (tokens(), 401),
        (tokens(), 500),
        (servers(), 429),
        (servers(), 403),
    ] {
        let (fixture, retry) = retried_while(matches, answers(status), false).await;
        let why = why_not_built(&retry);
        let says = "site-a answers, and does not say whether server";
        assert!(why.contains(says), "{status}: {why}");
        assert!(why.contains(&status.to_string()), "{why}");
        assert!(why.contains("--lose-newer-writes"), "the way on: {why}");
        assert!(lock(&fixture.target).servers().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_answers_and_does_not_tell_is_lost_when_somebody_says_so() {
    let (fixture, retry) = retried_while(Match::default(), answers(503), true).await;
    assert_eq!(steps_failed(&retry.steps), vec![]);
    assert_eq!(lock(&fixture.target).servers().len(), 1);
    let mut steps = retry.steps.iter();
    let build = steps
        .find(|step| step.key == "recreate_vms:vm-001")
        .unwrap();
    let facts = &build.progress.memo.facts;
    assert!(
        facts
            .iter()
            .any(|fact| fact.contains("as user demo has said")),
        "{facts:?}"
    );
}

/// It was silent for long enough before, and is not any more.
#[tokio::test(start_paused = true)]
async fn a_silence_is_over_with_the_build_that_it_allowed() {
    let (fixture, last) = Fixture::unrecovered().await;
    fixture.turn_target_away("POST", "*/servers", 503);
    let back = async {
        fixture.until_target_asked_again("POST", "/servers").await;
        lock(&fixture.source).clear_faults();
        let reads = of(SimulatedService::Compute, "*/servers/*");
        // The look before the intent, and the one after it.
        fixture.source_meets("twice", reads, Some(2), CallEffect::Hang);
    };
    let (retry, ()) = tokio::join!(fixture.walk(fixture.retry_of(&last, &[])), back);
    let why = why_not_built(&retry);
    assert!(why.contains("is back on site-a (ACTIVE)"), "{why}");
    assert!(lock(&fixture.target).servers().is_empty());
}

/// Somebody has taken the copy that an interrupted move left into a group of its own.
#[tokio::test(start_paused = true)]
async fn a_copy_that_is_another_groups_member_is_not_taken_over() {
    let fixture = Fixture::left_running().await;
    let failed = fixture.failover().operation;
    let (_, members) = fixture.group_and_members();
    let mut member = members[0].clone();
    member.id = "another-member".into();
    member.server_id = lock(&fixture.target).servers()[0].id.as_str().into();
    member.volumes.clear();
    fixture.protects("second-life", "site-b", Some(member));
    let plan = failed.plan.clone().taking_over(vec![failed.id]);
    let kind = OperationKind::Failover;
    let unplanned = unplanned(OperationRecord {
        steps: unplanned_failover(&plan).into_steps().unwrap(),
        operation: operation("op-unplanned", kind, plan, None, failed.created_at),
        map: ResourceMap::default(),
    });
    let walk = tokio::time::timeout(Duration::from_secs(7200), fixture.walk(unplanned));
    let why = build_error(&walk.await.expect("it ends"));
    let says = "is a member of protection group second-life by now";
    assert!(why.contains(says), "{why}");
    assert_eq!(lock(&fixture.target).servers()[0].status, "ACTIVE");
}
