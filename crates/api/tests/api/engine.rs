//! What an engine writes down of an operation, written here by hand.

use http::Method;
use protector_core::{
    clock::Clock,
    fault::Code,
    group::GroupStatus,
    id::{EngineId, OperationId},
    journal::{Claim, Effect, Entry, Journal, OperationChange},
    operation::{Memo, Operation, OperationState, StepProgress, StepRecord, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, Step, cleanup::UNDO},
};
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, PROJECT_A},
    house::{Answer, House, failover_body, group_path},
};

pub async fn start(house: &House) -> OperationId {
    let path = group_path("web", "/action");
    let started = house
        .send(Method::POST, &path, "member", failover_body())
        .await
        .expect(202);
    started.body["operation"]["id"].as_str().unwrap().into()
}

pub async fn claim(house: &House) -> Claim {
    let lease = std::time::Duration::from_secs(60);
    let claims = house
        .database
        .claim(
            &EngineId::new("e"),
            FixedClock.now(),
            lease,
            BOOK_VERSION,
            &Room::for_any(1),
        )
        .await
        .unwrap();
    claims.into_iter().next().unwrap()
}

/// Ends the newest operation as an engine would: every line done, but those whose key begins with a word of `failed`.
pub async fn settle(house: &House, failed: &[&str]) {
    settle_as(house, OperationState::Completed, |step| {
        let bad = failed.iter().any(|word| step.key.starts_with(word));
        if bad { failed_line() } else { done() }
    })
    .await;
}

/// A line that was carried out.
pub fn done() -> StepProgress {
    ended(StepState::Done)
}

/// A line that ran out of time.
pub fn failed_line() -> StepProgress {
    StepProgress {
        error: Some("Cinder timeout after 300s".to_owned()),
        error_code: Some(Code::Timeout),
        ..ended(StepState::Failed)
    }
}

/// A line whose resource was retained.
pub fn retained() -> StepProgress {
    StepProgress {
        error: Some("retained by configuration".to_owned()),
        error_code: Some(Code::Kept),
        ..ended(StepState::Skipped)
    }
}

/// A line that could not be taken back, and what it had made.
pub fn not_taken_back(made: Option<&str>) -> StepProgress {
    StepProgress {
        error: Some("Nova timeout after 600s".to_owned()),
        error_code: Some(Code::Timeout),
        memo: Memo {
            intents: 1,
            undo_intents: 1,
            made: made.map(str::to_owned),
            ..Memo::default()
        },
        ..ended(StepState::UndoFailed)
    }
}

fn ended(state: StepState) -> StepProgress {
    StepProgress {
        state,
        started_at: Some(FixedClock.now()),
        finished_at: Some(FixedClock.now()),
        ..StepProgress::default()
    }
}

/// Ends the newest operation in `state`, with each line as `progress` says. A cleanup's lines settle its parent's; a
/// failed operation leaves the group as it was.
pub async fn settle_as(
    house: &House,
    state: OperationState,
    progress: impl Fn(&StepRecord) -> StepProgress,
) {
    let claim = claim(house).await;
    let now = FixedClock.now();
    let record = house.database.load(&claim).await.unwrap();
    let settled: Vec<(&StepRecord, StepProgress)> = record
        .steps
        .iter()
        .map(|step| (step, progress(step)))
        .collect();
    let mut effects = Vec::new();
    for (step, progress) in &settled {
        effects.extend(parent_step(&record.operation, step, progress));
    }
    if state == OperationState::Failed {
        effects.push(Effect::GroupStatus {
            group_id: record.operation.group_id.clone(),
            status: GroupStatus::Active,
        });
    }
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps: settled
            .into_iter()
            .map(|(step, progress)| (step.position, progress))
            .collect(),
        effects,
        ..Entry::default()
    };
    let ended = Entry {
        operation: Some(OperationChange::Settled { state, at: now }),
        ..Entry::default()
    };
    for entry in [started, ended] {
        house.database.record(&claim, now, entry).await.unwrap();
    }
}

fn parent_step(
    operation: &Operation,
    step: &StepRecord,
    progress: &StepProgress,
) -> Option<Effect> {
    // Nothing that the parent left: see the engine's own.
    if matches!(step.action, Step::ReleaseFloatingIp { .. }) {
        return None;
    }
    let (key, state) = match (step.key.strip_prefix(UNDO), progress.state) {
        (Some(line), StepState::Done) => (line, StepState::Undone),
        (Some(line), _) => (line, StepState::UndoFailed),
        (None, state) => (step.key.as_str(), state),
    };
    Some(Effect::ParentStep {
        operation_id: operation.parent_id.clone()?,
        key: key.to_owned(),
        progress: StepProgress {
            state,
            ..progress.clone()
        },
    })
}

pub async fn cleanup(house: &House, id: &OperationId, token: &str) -> Answer {
    cleanup_with(house, id, token, json!({})).await
}

pub async fn cleanup_with(house: &House, id: &OperationId, token: &str, options: Value) -> Answer {
    let path = format!("/v1/{PROJECT_A}/operations/{id}/cleanup");
    house
        .send(Method::POST, &path, token, json!({"cleanup": options}))
        .await
}
