//! What a step is given, and what it gives back.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    fault::{Code, StepFailure},
    group::Group,
    guard::protected_since,
    id::SiteName,
    journal::{Claim, Effect, Entry, Journal, JournalError, Protection},
    operation::{
        MapKind, Memo, Operation, OperationKind, PortDeletions, ResourceMap, StepProgress,
        StepRecord, StepState,
    },
    plan::Plan,
    runbook::{Step, Verb},
    text,
};
use tokio::time::Instant;

use crate::{
    intent::{Direction, Intent},
    lease::{JournalTime, Lease, TwoClockTime},
    step::peer_reservation::PeerReservations,
    step_error::StepError,
};

/// How one look at a step ended, if nothing went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The world is as the step wants it. The effects are written with the step's end.
    Done(Vec<Effect>),
    /// Left out on purpose.
    Skipped { why: String },
    Waiting {
        /// For what, in words.
        on: String,
        /// When to look again.
        again: Duration,
    },
}

impl Progress {
    /// Done, with nothing else to write.
    pub fn done() -> Self {
        Self::Done(Vec::new())
    }
}

/// How long a step may take and how often it may try to change the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// From the step's begin to its end, all tries and waits included; [`Duration::MAX`]: it waits as long as it must.
    pub limit: Duration,
    /// How many further tries follow a change that failed in a way that may pass; `None`: as many as fit into `limit`.
    /// A look that could not even see the resource is no try: it is taken again until `limit` has passed.
    pub retries: Option<u32>,
    /// What is recorded when `limit` has passed while the step waited.
    pub timeout_error: String,
    /// Whether what it waited for is recorded with that.
    pub says_what_for: bool,
}

/// Which of an operation's limits a step draws on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConcurrencyLimit {
    Compute(SiteName),
    Volume(SiteName),
    /// The arrays of one site.
    Storage(SiteName),
    Nothing,
}

/// What a step sees of its operation, and where it writes down what it is about to do.
pub struct StepContext<'a> {
    pub operation: &'a Operation,
    /// The step, as recorded when this look began.
    pub step: &'a StepRecord,
    /// What became what so far.
    pub map: &'a RwLock<ResourceMap>,
    /// Why a line that this one waited for failed, if it did.
    pub blocked_by: Option<&'a str>,
    /// What the step remembers; written down with its end, and by `intend`.
    pub memo: Memo,
    /// How the last allowed try failed: nothing more may be changed, only looked at.
    pub(crate) last_try: Option<StepFailure>,
    /// The other site, which may move the group too; set by the actions that ask it.
    pub(crate) reservations: Option<PeerReservations>,
    /// What this look has written down that it is about to do.
    pub(crate) intents: Vec<(Direction, Intent)>,
    /// Since when what the step's end rests on has been asked for, where it must not be older than
    /// [`READINGS_HOLD_FOR`] when that is written down.
    pub(crate) rests_on_what_was_asked_at: Option<Instant>,
    /// The memo as the journal has it.
    pub(crate) written: Memo,
    pub(crate) writer: &'a JournalWriter,
}

impl StepContext<'_> {
    pub fn plan(&self) -> &Plan {
        &self.operation.plan
    }

    /// What the operation's map has by now: `cx.known(|map| map.server(id))`.
    pub fn known<T>(&self, read: impl FnOnce(&ResourceMap) -> T) -> T {
        read(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What `source` became, if it is known yet, by kind. What the map has a name for is read with [`known`](Self::known).
    pub fn mapped(&self, kind: MapKind, source: &str) -> Option<String> {
        self.known(|map| map.target(kind, source).map(str::to_owned))
    }

    /// What stands in the operation's map now: what somebody else than the engine may have written since it was read.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn recorded_since(
        &self,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, StepError> {
        let JournalWriter { journal, claim, .. } = self.writer;
        Ok(journal.mapped(claim, kind, source).await?)
    }

    /// What the first line of a member has failed by, with the line.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn first_member_that_failed(&self) -> Result<Option<String>, StepError> {
        let record = self.writer.journal.load(&self.writer.claim).await?;
        let failed = record
            .steps
            .iter()
            .find(|step| step.verb == Verb::Member && step.progress.state == StepState::Failed);
        Ok(failed.and_then(|step| {
            let error = step.progress.error.as_ref()?;
            Some(format!("{}: {error}", step.key))
        }))
    }

    /// The lines of the operation that `is_meant` names and that have failed, each with why.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn lines_that_failed(
        &self,
        is_meant: impl Fn(&Step) -> bool,
    ) -> Result<Vec<String>, StepError> {
        let record = self.writer.journal.load(&self.writer.claim).await?;
        let failed = record
            .steps
            .iter()
            .filter(|step| is_meant(&step.action) && step.progress.state == StepState::Failed);
        let told = failed.map(|step| {
            let why = step.progress.error.as_deref().unwrap_or("no reason given");
            format!("{} ({why})", step.key)
        });
        Ok(told.collect())
    }

    /// Whether the operation has asked for what its line `action`, or taking that back, does with `resource`.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn has_asked_for(&self, action: &Step, resource: &str) -> Result<bool, StepError> {
        let JournalWriter { journal, claim, .. } = self.writer;
        let lines = journal.steps_about(claim, resource).await?;
        Ok(lines.iter().any(|step| {
            let line = match &step.action {
                Step::TakeBack { line } => line,
                line => line,
            };
            line == action && step.progress.memo.has_made_something()
        }))
    }

    /// What the operation's lines about `resource` have told so far.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn facts_about(&self, resource: &str) -> Result<Vec<String>, StepError> {
        let JournalWriter { journal, claim, .. } = self.writer;
        let lines = journal.steps_about(claim, resource).await?.into_iter();
        Ok(lines.flat_map(|line| line.progress.memo.facts).collect())
    }

    /// Writes down that the step is about to change the world, and gives the right to do so. To be called right before each
    /// such call, so that after a crash everybody knows that it may have happened (invariant I5). What a deletion or a
    /// start rests on is read again after it (I17).
    ///
    /// # Errors
    ///
    /// How the last try failed, once all tries are used up: a failed call may have been carried out all the same, so the
    /// step looks once more after the last of them, but asks for nothing again. And that the other site does not hold the
    /// group still (any more).
    pub async fn intend(&mut self) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still().await?;
        self.memo.intents += 1;
        self.written_down(Direction::Forward, None).await
    }

    /// The same, before the call that deletes the server or volume `id`: written down only if no protection group
    /// protects it at that moment. From then on none takes it in before the operation has ended.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend`], that somebody protects it, and that the site that it is on has retired this one.
    pub async fn intend_to_delete(&mut self, id: &str) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still().await?;
        self.still_paired().await?;
        self.memo.intents += 1;
        self.written_down(Direction::Forward, Some(id)).await
    }

    /// The same, before the call that deletes the port `id` of a server that is gone. It is remembered by itself: that the
    /// server's deletion was asked for is another thing.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend_to_delete`].
    pub async fn intend_to_delete_port(&mut self, id: &str) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still().await?;
        self.still_paired().await?;
        self.will_delete_port(id);
        let intent = self.writer.intent();
        let written = self.put_down(Some(id)).await;
        written.inspect_err(|_| self.has_not_deleted_port(id))?;
        Ok(intent.asking_from_now())
    }

    /// As [`StepContext::intend_undo_of`], of a port.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend_to_delete`].
    pub async fn intend_undo_of_port(&mut self, id: &str) -> Result<Intent, StepError> {
        self.will_delete_port(id);
        let intent = self.intend_undo_of(id).await;
        intent.inspect_err(|_| self.has_not_deleted_port(id))
    }

    /// Remembers that the port `id` is deleted; written down with the intent that follows.
    fn will_delete_port(&mut self, id: &str) {
        let PortDeletions {
            deleted,
            unanswered,
        } = &mut self.memo.ports;
        for ports in [deleted, unanswered] {
            if !ports.iter().any(|known| known == id) {
                ports.push(id.to_owned());
            }
        }
    }

    /// The port `id` is gone: Neutron has said so.
    pub(crate) fn has_deleted_port(&mut self, id: &str) {
        self.memo.ports.unanswered.retain(|known| known != id);
    }

    /// The port `id` is there still.
    pub(crate) fn has_not_deleted_port(&mut self, id: &str) {
        self.memo.ports.deleted.retain(|known| known != id);
        self.memo.ports.unanswered.retain(|known| known != id);
    }

    /// The same, before the call that stops the server `id`, which the group has left.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend`], and that somebody protects it.
    pub async fn intend_to_fence(&mut self, id: &str) -> Result<Intent, StepError> {
        self.may_try()?;
        self.still_fences().await?;
        self.memo.intents += 1;
        self.written_down(Direction::Forward, Some(id)).await
    }

    /// As [`StepContext::intend`], before a call that takes the step back.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend`].
    pub async fn intend_undo(&mut self) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still_to_undo().await?;
        self.still_needs_its_server().await?;
        self.memo.undo_intents += 1;
        self.written_down(Direction::Back, None).await
    }

    /// The same, before the call that takes back the making of the server or volume `id`.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend_to_delete`].
    pub async fn intend_undo_of(&mut self, id: &str) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still_to_undo().await?;
        self.still_needs_its_server().await?;
        if self.operation.kind == OperationKind::Cleanup {
            self.still_paired().await?;
        }
        self.memo.undo_intents += 1;
        self.written_down(Direction::Back, Some(id)).await
    }

    /// The protection group that protects the server or volume `id` now, by its name.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn protected_by(&self, id: &str) -> Result<Option<String>, StepError> {
        let found = self.protection_of(&[id.to_owned()]).await?;
        Ok(found.map(|protection| protection.group_name))
    }

    /// Who protects one of these servers and volumes now.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, StepError> {
        Ok(self.writer.journal.protection_of(resources).await?)
    }

    /// The group as it stands now, not as the plan has it; `None` where it is not on record any more.
    ///
    /// # Errors
    ///
    /// What the journal says.
    pub async fn group_now(&self) -> Result<Option<Group>, StepError> {
        Ok(self.writer.journal.group_now(&self.plan().group_id).await?)
    }

    /// The right to change what the step only needs on its way and would find again: a key pair, a property. Nothing is
    /// written down but that the engine still owns the operation.
    ///
    /// # Errors
    ///
    /// As [`StepContext::intend`].
    pub async fn intend_beside(&self) -> Result<Intent, StepError> {
        self.may_try()?;
        self.hold_still().await?;
        self.writer.renew().await?;
        Ok(self.writer.intent())
    }

    async fn written_down(
        &mut self,
        direction: Direction,
        unprotected: Option<&str>,
    ) -> Result<Intent, StepError> {
        let intent = self.writer.intent();
        self.intents.push((direction, intent.clone()));
        self.put_down(unprotected).await?;
        Ok(match unprotected {
            Some(_) if !self.takes_its_own_back(direction) => intent.asking_from_now(),
            _ => intent,
        })
    }

    async fn put_down(&mut self, unprotected: Option<&str>) -> Result<(), StepError> {
        match self.write_memo(unprotected).await {
            Err(JournalError::Protected(protection)) => Err(StepError::last(
                Code::Kept,
                protected_since(&protection.group_name),
            )),
            written => {
                written?;
                self.written = self.memo.clone();
                Ok(())
            }
        }
    }

    /// Whether the operation takes back what it has itself just made, which nobody has worked on: that originals start again
    /// must not wait for a cloud that answers slowly. Not what an earlier one has made, as a cleanup or a retry does.
    fn takes_its_own_back(&self, direction: Direction) -> bool {
        let is_its_own = self.operation.parent_id.is_none();
        direction == Direction::Back && is_its_own && !self.memo.outlived
    }

    /// Takes out of the memo again what was intended and certainly not sent: a 404 must not pass for its doing.
    pub(crate) fn withdraw_unsent(&mut self) {
        for (direction, _) in self
            .intents
            .drain(..)
            .filter(|(_, intent)| !intent.is_used())
        {
            let count = match direction {
                Direction::Forward => &mut self.memo.intents,
                Direction::Back => &mut self.memo.undo_intents,
            };
            *count = count.saturating_sub(1);
        }
    }

    fn may_try(&self) -> Result<(), StepError> {
        self.last_try
            .as_ref()
            .map_or(Ok(()), |fault| Err(StepError::Fault(fault.clone())))
    }

    /// Has the step's end written down only while what was asked for at `at`, and since, may be believed: else the step is
    /// looked at again.
    pub(crate) fn ends_by_what_was_asked_at(&mut self, at: Instant) {
        self.rests_on_what_was_asked_at = Some(at);
    }

    /// Notes a fact for the record.
    pub fn fact(&mut self, fact: impl Into<String>) {
        let fact = text::cut(fact);
        if !self.memo.facts.contains(&fact) {
            self.memo.facts.push(fact);
        }
    }

    /// Forgets what this look has noted: what it noted it for will not be done.
    pub(crate) fn forget_new_facts(&mut self) {
        let before = self.step.progress.memo.facts.len();
        self.memo.facts.truncate(before);
    }

    async fn write_memo(&self, unprotected: Option<&str>) -> Result<(), JournalError> {
        let progress = StepProgress {
            memo: self.memo.clone(),
            ..self.step.progress.clone()
        };
        self.writer
            .write(Entry {
                steps: vec![(self.step.position, progress)],
                unprotected: unprotected.map(str::to_owned).into_iter().collect(),
                ..Entry::default()
            })
            .await
    }
}

/// Carries steps out. One implementation speaks to clouds and arrays.
#[async_trait]
pub trait Actions: Send + Sync {
    /// Brings the world to the state that the step names. Called again after a crash, a wait or a retry, so it looks
    /// before it acts.
    async fn run(&self, cx: &mut StepContext<'_>) -> Result<Progress, StepError>;

    /// Takes the step back. Called again likewise.
    async fn undo(&self, cx: &mut StepContext<'_>) -> Result<Progress, StepError>;

    /// Keeps others from what the operation still rests on. Called every few seconds while any of it can still be taken
    /// back, also while a line's call takes long. What comes of it shows at the next look.
    async fn keep_held(&self, _operation: &Operation, _now: DateTime<Utc>) {}

    /// How long the step may take.
    fn step_limits(&self, operation: &Operation, step: &StepRecord) -> StepLimits;

    /// Which limit it draws on.
    fn concurrency_limit(&self, operation: &Operation, step: &StepRecord) -> ConcurrencyLimit;
}

/// Writes entries under one claim, and knows how long that lasts.
pub struct JournalWriter {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) claim: Claim,
    pub(crate) lease: Arc<Lease>,
    pub(crate) time: Mutex<JournalTime>,
}

impl JournalWriter {
    pub(crate) async fn write(&self, entry: Entry) -> Result<(), JournalError> {
        let asked_at = TwoClockTime::now(self.clock.as_ref());
        self.journal.record(&self.claim, self.now(), entry).await?;
        self.lease.renewed(asked_at);
        Ok(())
    }

    pub(crate) async fn renew(&self) -> Result<(), JournalError> {
        let asked_at = TwoClockTime::now(self.clock.as_ref());
        let now = self.journal.now().await?;
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) =
            JournalTime::told(now, asked_at);
        self.journal.renew(&self.claim, now).await?;
        self.lease.renewed(asked_at);
        Ok(())
    }

    fn intent(&self) -> Intent {
        Intent::under(Arc::clone(&self.lease))
    }

    /// The time by the journal's clock: whoever goes on with the operation reads what is written by the same.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .now()
    }
}
