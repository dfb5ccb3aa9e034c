//! The engine's journal with those who follow what is written to it: the counters and the audit trail. What they tell is what
//! was written down, and the engine itself does not know of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{EngineId, GroupId, OperationId, UserId},
    journal::{Claim, Entry, Journal, JournalError, OperationChange, Protection},
    operation::{MapKind, OperationKind, OperationRecord, StepProgress, StepRecord, StepState},
    queue::Room,
    runbook::cleanup::UNDO,
};

use crate::{
    metrics::{Actions, EngineMetrics, Operations, Steps},
    removal_audit::RemovalAudit,
};

/// What is known of an operation that this engine walks.
struct Walked {
    kind: OperationKind,
    lines: BTreeMap<u32, (String, StepState)>,
}

impl Walked {
    fn of(record: &OperationRecord) -> Self {
        let lines = record.steps.iter();
        Self {
            kind: record.operation.kind,
            lines: lines
                .map(|line| (line.position, (action(line), line.progress.state)))
                .collect(),
        }
    }
}

/// The word of a line's action: its key without the name of the resource.
fn action(line: &StepRecord) -> String {
    let key = line.key.strip_prefix(UNDO).unwrap_or(&line.key);
    key.split(':').next().unwrap_or(key).to_owned()
}

/// How a line ended by its state; `None` while it goes on.
fn outcome(state: StepState) -> Option<&'static str> {
    match state {
        StepState::Pending | StepState::Running | StepState::Undoing => None,
        StepState::Done
        | StepState::Failed
        | StepState::Skipped
        | StepState::Undone
        | StepState::UndoFailed => Some(state.as_str()),
    }
}

/// When a line that has ended was begun, in the direction in which it went last.
fn took(progress: &StepProgress) -> Option<Duration> {
    let began = progress.undo_started_at.or(progress.started_at)?;
    (progress.finished_at? - began).to_std().ok()
}

/// A journal of which what is written to it is counted and, where an audit trail is kept, told.
pub struct WatchedJournal {
    journal: Arc<dyn Journal>,
    metrics: Arc<EngineMetrics>,
    removals: Option<RemovalAudit>,
    walked: Mutex<HashMap<OperationId, Walked>>,
}

impl WatchedJournal {
    /// Counts what is written to `journal` into `metrics`, and tells `removals` of it.
    pub fn new(
        journal: Arc<dyn Journal>,
        metrics: Arc<EngineMetrics>,
        removals: Option<RemovalAudit>,
    ) -> Self {
        Self {
            journal,
            metrics,
            removals,
            walked: Mutex::default(),
        }
    }

    fn walked(&self) -> MutexGuard<'_, HashMap<OperationId, Walked>> {
        self.walked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an operation that this engine does not walk any more; whether it did.
    fn end(&self, id: &OperationId) -> bool {
        if let Some(removals) = &self.removals {
            removals.end(id);
        }
        self.walked().remove(id).is_some()
    }

    fn count(&self, id: &OperationId, steps: &[(u32, StepProgress)], end: Option<&'static str>) {
        let mut walked = self.walked();
        let Some(operation) = walked.get_mut(id) else {
            return;
        };
        for (position, progress) in steps {
            if let Some((action, state)) = operation.lines.get_mut(position) {
                if *state != progress.state {
                    self.count_step(action, progress);
                }
                *state = progress.state;
            }
        }
        if let Some(outcome) = end {
            let kind = operation.kind.as_str();
            let labels = Operations { kind, outcome };
            self.metrics.operations.get_or_create(&labels).inc();
        }
    }

    fn count_step(&self, action: &str, progress: &StepProgress) {
        let Some(outcome) = outcome(progress.state) else {
            return;
        };
        let action = action.to_owned();
        if let Some(took) = took(progress) {
            let labels = Actions {
                action: action.clone(),
            };
            let histogram = self.metrics.durations.get_or_create(&labels);
            histogram.observe(took.as_secs_f64());
        }
        let labels = Steps { action, outcome };
        self.metrics.steps.get_or_create(&labels).inc();
    }

    /// A lost lease is heard of by several calls, and counted once.
    fn note<T>(&self, claim: &Claim, answer: Result<T, JournalError>) -> Result<T, JournalError> {
        if matches!(answer, Err(JournalError::LeaseLost)) && self.end(&claim.operation_id) {
            self.metrics.leases_lost.inc();
        }
        answer
    }
}

/// The outcome that an entry gives its operation, if it settles it.
fn settled(entry: &Entry) -> Option<&'static str> {
    match &entry.operation {
        Some(OperationChange::Settled { state, .. }) => Some(state.as_str()),
        _ => None,
    }
}

#[async_trait]
impl Journal for WatchedJournal {
    async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
        self.journal.now().await
    }

    async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, JournalError> {
        self.journal.protection_of(resources).await
    }

    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError> {
        let claims = self
            .journal
            .claim(engine, now, lease, book_version, room)
            .await?;
        self.metrics.looked_at.set(now.timestamp());
        let count = u64::try_from(claims.len()).unwrap_or(u64::MAX);
        self.metrics.claimed.inc_by(count);
        Ok(claims)
    }

    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError> {
        let record = self.journal.load(claim).await?;
        let id = claim.operation_id.clone();
        self.walked().insert(id, Walked::of(&record));
        if let Some(removals) = &self.removals {
            removals.begin(&record);
        }
        Ok(record)
    }

    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError> {
        self.journal.mapped(claim, kind, source).await
    }

    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        self.journal.steps_about(claim, resource).await
    }

    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError> {
        self.journal.group_now(id).await
    }

    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError> {
        self.journal.aborted_by(claim).await
    }

    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError> {
        let (steps, end) = (entry.steps.clone(), settled(&entry));
        let effects = entry.effects.clone();
        let answer = self.journal.record(claim, now, entry).await;
        self.note(claim, answer)?;
        self.count(&claim.operation_id, &steps, end);
        if let Some(removals) = &self.removals {
            removals.tell(&claim.operation_id, now, &steps, &effects);
        }
        if end.is_some() {
            self.end(&claim.operation_id);
        }
        Ok(())
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        let answer = self.journal.renew(claim, now).await;
        self.note(claim, answer)
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        self.journal.forget(engine).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        let answer = self.journal.release(claim).await;
        self.end(&claim.operation_id);
        answer
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone};
    use prometheus_client::encoding::text::encode;
    use protector_core::{
        fixtures,
        operation::{Operation, OperationState, ResourceMap},
        plan::Plan,
        queue::Lane,
        runbook::{BOOK_VERSION, Reported, Step, Verb},
    };

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, 11, 3, 14, 0, 0).unwrap() + TimeDelta::seconds(second)
    }

    fn record() -> OperationRecord {
        let plan = Plan {
            group_name: "web".to_owned(),
            recovery: protector_core::recovery_plan::RecoveryPlan::default(),
            ..fixtures::plan(Vec::new())
        };
        let step = StepRecord {
            position: 0,
            phase: 0,
            phase_name: "delete_source_vm".to_owned(),
            verb: Verb::Attempt,
            reported: Reported::ByLine,
            key: "delete_source_vm:web-1".to_owned(),
            action: Step::DeleteSourceServer {
                server: "server-1".into(),
            },
            resource_id: None,
            after: Vec::new(),
            progress: StepProgress::default(),
        };
        OperationRecord {
            operation: Operation {
                group_id: "group".into(),
                project_id: "project".into(),
                source_site: "site-a".into(),
                target_site: "site-b".into(),
                state: OperationState::Running,
                request_id: "req-1".to_owned(),
                created_at: at(0),
                ..fixtures::operation("op-1", OperationKind::Failover, plan)
            },
            steps: vec![step],
            map: ResourceMap::default(),
        }
    }

    /// A journal with one operation, which another engine has taken over if `lost`.
    struct OneOperation {
        lost: bool,
    }

    impl OneOperation {
        fn answer(&self) -> Result<(), JournalError> {
            if self.lost {
                Err(JournalError::LeaseLost)
            } else {
                Ok(())
            }
        }
    }

    #[async_trait]
    impl Journal for OneOperation {
        async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
            Ok(at(0))
        }

        async fn protection_of(
            &self,
            _resources: &[String],
        ) -> Result<Option<Protection>, JournalError> {
            Ok(None)
        }

        async fn claim(
            &self,
            _engine: &EngineId,
            _now: DateTime<Utc>,
            _lease: Duration,
            _book_version: u32,
            _room: &Room,
        ) -> Result<Vec<Claim>, JournalError> {
            self.answer()?;
            Ok(vec![claim()])
        }

        async fn load(&self, _claim: &Claim) -> Result<OperationRecord, JournalError> {
            Ok(record())
        }

        async fn mapped(
            &self,
            _claim: &Claim,
            _kind: MapKind,
            _source: &str,
        ) -> Result<Option<String>, JournalError> {
            Ok(None)
        }

        async fn steps_about(
            &self,
            _claim: &Claim,
            _resource: &str,
        ) -> Result<Vec<StepRecord>, JournalError> {
            Ok(record().steps)
        }

        async fn group_now(&self, _id: &GroupId) -> Result<Option<Group>, JournalError> {
            Ok(None)
        }

        async fn aborted_by(&self, _claim: &Claim) -> Result<Option<UserId>, JournalError> {
            Ok(None)
        }

        async fn record(
            &self,
            _claim: &Claim,
            _now: DateTime<Utc>,
            _entry: Entry,
        ) -> Result<(), JournalError> {
            self.answer()
        }

        async fn renew(&self, _claim: &Claim, _now: DateTime<Utc>) -> Result<(), JournalError> {
            self.answer()
        }

        async fn forget(&self, _engine: &EngineId) -> Result<(), JournalError> {
            Ok(())
        }

        async fn release(&self, _claim: &Claim) -> Result<(), JournalError> {
            self.answer()
        }
    }

    fn claim() -> Claim {
        Claim {
            operation_id: "op-1".into(),
            engine_id: "engine".into(),
            fence: 1,
            lane: Lane::Regular,
            project_id: "p".into(),
            lease: Duration::from_secs(60),
        }
    }

    fn ended() -> Entry {
        let progress = StepProgress {
            state: StepState::Failed,
            started_at: Some(at(0)),
            finished_at: Some(at(20)),
            ..StepProgress::default()
        };
        Entry {
            operation: Some(OperationChange::Settled {
                state: OperationState::Completed,
                at: at(20),
            }),
            steps: vec![(0, progress)],
            effects: Vec::new(),
            unprotected: Vec::new(),
            not_after: None,
        }
    }

    /// What is told after the operation was claimed and loaded, its end written and its lease renewed, twice each.
    async fn told(lost: bool) -> String {
        let metrics = Arc::new(EngineMetrics::default());
        let journal = Arc::new(OneOperation { lost });
        let journal = WatchedJournal::new(journal, metrics.clone(), None);
        let engine = EngineId::new("engine");
        let lease = Duration::from_secs(60);
        let claimed = journal
            .claim(&engine, at(7), lease, BOOK_VERSION, &Room::for_any(5))
            .await;
        assert_eq!(claimed.is_err(), lost);
        journal.load(&claim()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(
                journal.record(&claim(), at(20), ended()).await.is_err(),
                lost
            );
            assert_eq!(journal.renew(&claim(), at(20)).await.is_err(), lost);
        }
        let mut text = String::new();
        encode(&mut text, metrics.registry()).unwrap();
        text
    }

    #[tokio::test]
    async fn what_is_written_down_is_counted_once() {
        let text = told(false).await;
        for line in [
            "protector_operations_total{kind=\"failover\",outcome=\"completed\"} 1",
            "protector_steps_total{action=\"delete_source_vm\",outcome=\"failed\"} 1",
            "protector_step_duration_seconds_sum{action=\"delete_source_vm\"} 20.0",
            "protector_leases_lost_total 0",
            "protector_operations_claimed_total 1",
            "protector_poll_last_success_timestamp_seconds 1762178407",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        assert!(!text.contains("web-1"), "{text}");
    }

    #[tokio::test]
    async fn a_lost_lease_is_counted_once_and_nothing_that_was_not_written() {
        let text = told(true).await;
        assert!(text.contains("protector_leases_lost_total 1\n"), "{text}");
        assert!(!text.contains("outcome="), "{text}");
        for line in [
            "protector_operations_claimed_total 0",
            "protector_poll_last_success_timestamp_seconds 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
