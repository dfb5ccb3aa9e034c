//! A request without an answer: what it was for is looked at, and it is asked for again only where that is still to be done.

use protector_core::operation::{OperationRecord, OperationState};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, JobEffect, Match},
    in_process::{SharedCloud, lock},
};

use super::{
    fixture::Fixture,
    source_at_rest::{has_begun, once},
};

/// A request that was made while everything is taken back.
struct Request {
    of: fn(&Fixture) -> &SharedCloud,
    method: &'static str,
    path: &'static str,
    action: Option<&'static str>,
}

const START: Request = Request {
    of: |fixture| &fixture.source,
    method: "POST",
    path: "*/servers/*/action",
    action: Some("os-start"),
};

const UNMANAGE: Request = Request {
    of: |fixture| &fixture.target,
    method: "POST",
    path: "*/volumes/*/action",
    action: Some("os-unmanage"),
};

const DELETE_COPY: Request = Request {
    of: |fixture| &fixture.target,
    method: "DELETE",
    path: "*/servers/*",
    action: None,
};

/// A move whose copy cannot be built and whose first such request meets `effect`; how often it was made then.
async fn taken_back(request: &Request, effect: CallEffect) -> (Fixture, OperationRecord, usize) {
    // From there on nothing else is asked for in this way.
    let mut go_wrong = once(
        |record| has_begun(record, "recreate_vms"),
        |fixture| {
            lock((request.of)(fixture)).add_fault(FaultRule {
                id: String::new(),
                matches: Match {
                    method: Some(request.method.to_owned()),
                    path: Some(request.path.to_owned()),
                    ..Match::default()
                },
                times: Some(1),
                effect: FaultEffect::Call(effect.clone()),
                seen: 0,
            });
        },
    );
    let (fixture, record) = Fixture::moved_among(
        |fixture| {
            let no_host = JobEffect::ServerBuildError {
                message: "No valid host was found.".to_owned(),
            };
            lock(&fixture.target).add_fault(FaultRule {
                id: String::new(),
                matches: Match {
                    resource: Some("vm-001".to_owned()),
                    ..Match::default()
                },
                times: None,
                effect: FaultEffect::Job(no_host),
                seen: 0,
            });
        },
        &mut go_wrong,
    )
    .await;
    let times = lock((request.of)(&fixture))
        .call_log()
        .iter()
        .filter(|call| call.method == request.method && call.action.as_deref() == request.action)
        .filter(|call| request.action.is_some() || call.path.contains("/servers/"))
        .count();
    (fixture, record, times)
}

fn assert_all_is_back(fixture: &Fixture, record: &OperationRecord) {
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(lock(&fixture.target).servers().len(), 0);
    assert_eq!(lock(&fixture.target).volumes().len(), 0);
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
}

/// Each of them as often as there is something to be done by it, and once more.
async fn is_asked_for_again_when_lost(request: Request, things: usize) {
    let (fixture, record, times) = taken_back(&request, CallEffect::Drop).await;
    assert_all_is_back(&fixture, &record);
    assert_eq!(times, things + 1);
}

/// It was carried out, which a look shows.
async fn is_not_asked_for_again_when_its_answer_is_lost(request: Request, things: usize) {
    let (fixture, record, times) = taken_back(&request, CallEffect::LoseReply).await;
    assert_all_is_back(&fixture, &record);
    assert_eq!(times, things);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_was_lost_is_asked_for_again() {
    is_asked_for_again_when_lost(START, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_was_lost_is_not_asked_for_again() {
    is_not_asked_for_again_when_its_answer_is_lost(START, 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_unmanage_that_was_lost_is_asked_for_again() {
    is_asked_for_again_when_lost(UNMANAGE, 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_unmanage_whose_answer_was_lost_is_not_asked_for_again() {
    is_not_asked_for_again_when_its_answer_is_lost(UNMANAGE, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_a_copy_that_was_lost_is_asked_for_again() {
    is_asked_for_again_when_lost(DELETE_COPY, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_of_a_copy_whose_answer_was_lost_is_not_asked_for_again() {
    is_not_asked_for_again_when_its_answer_is_lost(DELETE_COPY, 1).await;
}
