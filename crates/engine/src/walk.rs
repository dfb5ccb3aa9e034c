//! Walks one operation from where its record stands to its end.
//!
//! The walk is a loop around a pure function: what is next (`core::schedule`), do it, write it down. All it knows is in
//! the journal, so it can be dropped at any point and begun again by another engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    journal::{Effect, Entry, JournalError, OperationChange},
    operation::{
        MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap,
        StepProgress, StepRecord, StepState,
    },
    runbook::{Step, Verb, cleanup::UNDO, stands_on, waited::served_while_it_waited},
    schedule::{self, Next},
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    action::{Actions, JournalWriter},
    intent::Direction,
    limits::ConcurrencyLimits,
    look::{Look, LookResult, delta},
    options::EngineOptions,
    slots::Slot,
};

/// How often it is seen to that the group is held still.
const KEPT_UP_EVERY: Duration = Duration::from_secs(5);

/// A line that has failed every look for this long waits: what passes by itself has passed by then.
const WAITS_AFTER: TimeDelta = TimeDelta::seconds(30);

/// How often one that waits for a slot hears whether it is to be given up.
const WITHOUT_A_SLOT: Duration = Duration::from_secs(1);

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// The operation has ended.
    Settled(OperationState),
    /// The engine was told to stop; another one goes on.
    Released,
}

pub(crate) struct Walk {
    pub writer: Arc<JournalWriter>,
    pub actions: Arc<dyn Actions>,
    pub limits: Arc<ConcurrencyLimits>,
    pub options: Arc<EngineOptions>,
    pub stop: CancellationToken,
}

/// The operation as this walk knows it; always what the journal holds, but for waiting times.
struct WalkState {
    record: OperationRecord,
    operation: Arc<Operation>,
    map: Arc<RwLock<ResourceMap>>,
    being_looked_at: BTreeSet<u32>,
    /// Lines that have begun and not ended, forward or backward.
    under_way: BTreeSet<u32>,
    /// Lines whose last looks failed. How many did is forgotten with the walk: the first pause is short again.
    failing_looks: BTreeMap<u32, FailedLooks>,
    /// The right to begin lines.
    slot: Slot,
    /// When it was last asked whether the operation is to be given up.
    asked_at: Option<DateTime<Utc>>,
}

/// Why an operation that only waits has servers that stand still.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    None,
    /// A person has planned a pause, and lets it go on.
    ByChoice,
    ByFailure,
}

/// A line whose last looks have failed.
#[derive(Clone, Copy)]
struct FailedLooks {
    /// How many in a row.
    looks: u32,
    /// Since the first of them.
    since: DateTime<Utc>,
}

/// After this long it is asked again whether the operation is to be given up.
const HEARS_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(1);

/// Looks under way. Dropping it ends them.
type Looks = JoinSet<Result<LookResult, JournalError>>;

/// A look that panicked is a defect; the walk ends, and what the journal holds stays true.
fn arrived(
    result: Result<Result<LookResult, JournalError>, JoinError>,
) -> Result<LookResult, JournalError> {
    result.map_err(|error| JournalError::Unreadable(format!("a step broke off: {error}")))?
}

impl Walk {
    /// Walks the claimed operation. An error means that the journal refused or is away: drop the walk.
    pub async fn walk(self, slot: Slot) -> Result<WalkEnd, JournalError> {
        let mut walk_state = self.open(slot).await?;
        // Tasks of their own: a look that waits for the database must go on while this loop waits for it too.
        let mut looks = JoinSet::new();
        let mut renewal = tokio::time::interval(self.writer.claim.lease / 3);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let held = watch::Sender::new(true);
        let mut keeper = JoinSet::new();
        keeper.spawn(
            self.keep_held(&walk_state, held.subscribe())
                .in_current_span(),
        );
        loop {
            held.send_replace(may_be_taken_back(&walk_state.record));
            if self.stop.is_cancelled() {
                return self.release(&mut walk_state, looks).await;
            }
            self.hear_of_an_abort(&mut walk_state).await?;
            let now = self.writer.now();
            let next = schedule::next(&walk_state.record, now);
            match (
                walk_state.gets_on(&next, now),
                walk_state.has_servers_down(),
            ) {
                (true, _) => walk_state.slot.want(),
                (false, Down::ByFailure) => walk_state.slot.leave_if_few_do(),
                (false, Down::None | Down::ByChoice) => walk_state.slot.leave(),
            }
            match next {
                Next::Run(lines) => {
                    self.begin_looks(&mut looks, &mut walk_state, &lines, Direction::Forward);
                }
                Next::Undo(lines) => {
                    self.begin_looks(&mut looks, &mut walk_state, &lines, Direction::Back);
                }
                Next::Unwind { error, code } if walk_state.being_looked_at.is_empty() => {
                    self.turn_round(&mut walk_state, error, code).await?;
                    continue;
                }
                Next::Settle(state) if walk_state.being_looked_at.is_empty() => {
                    self.settle(&walk_state.record, state).await?;
                    return Ok(WalkEnd::Settled(state));
                }
                Next::Unwind { .. } | Next::Settle(_) => {}
            }
            let pause = match walk_state.slot.is_wanted() {
                // There may be nothing else to wake it when somebody gives it up.
                true => self.pause(&walk_state, now).min(WITHOUT_A_SLOT),
                false => self.pause(&walk_state, now),
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                Some(result) = looks.join_next() => {
                    let mut all = vec![arrived(result)?];
                    while let Some(more) = looks.try_join_next() {
                        all.push(arrived(more)?);
                    }
                    self.write_down(&mut walk_state, all).await?;
                }
                _ = renewal.tick() => {
                    self.writer.renew().await?;
                }
                () = walk_state.slot.taken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Keeps the group held still for as long as the operation can be taken back, beside whatever its lines wait for.
    fn keep_held(
        &self,
        walk_state: &WalkState,
        held: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let actions = Arc::clone(&self.actions);
        let writer = Arc::clone(&self.writer);
        let operation = Arc::clone(&walk_state.operation);
        async move {
            let mut tick = tokio::time::interval(KEPT_UP_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if *held.borrow() {
                    actions.keep_held(&operation, writer.now()).await;
                }
            }
        }
    }

    async fn open(&self, slot: Slot) -> Result<WalkState, JournalError> {
        let mut record = self.writer.journal.load(&self.writer.claim).await?;
        if record.operation.state == OperationState::Queued {
            let at = self.writer.now();
            self.writer
                .write(Entry {
                    operation: Some(OperationChange::Started { at }),
                    ..Entry::default()
                })
                .await?;
            record.operation.state = OperationState::Running;
            record.operation.started_at = Some(at);
        }
        let aborted_by = record.aborted_by().map(str::to_owned);
        let map = std::mem::take(&mut record.map);
        if let Some(user) = aborted_by {
            note_abort(&mut record, &user);
        }
        Ok(WalkState {
            operation: Arc::new(record.operation.clone()),
            map: Arc::new(RwLock::new(map)),
            under_way: record
                .steps
                .iter()
                .filter(|step| is_under_way(step.progress.state))
                .map(|step| step.position)
                .collect(),
            failing_looks: failing(&record),
            record,
            being_looked_at: BTreeSet::new(),
            slot,
            asked_at: None,
        })
    }

    /// Learns whether somebody has asked that the operation be given up. Not at each turn: there are many in a second.
    async fn hear_of_an_abort(&self, walk_state: &mut WalkState) -> Result<(), JournalError> {
        let now = self.writer.now();
        let lately =
            |at: DateTime<Utc>| (TimeDelta::zero()..HEARS_AGAIN_AFTER).contains(&(now - at));
        if walk_state.record.aborted_by().is_some() || walk_state.asked_at.is_some_and(lately) {
            return Ok(());
        }
        walk_state.asked_at = Some(now);
        if let Some(user) = self.writer.journal.aborted_by(&self.writer.claim).await? {
            note_abort(&mut walk_state.record, user.as_str());
        }
        Ok(())
    }

    fn begin_looks(
        &self,
        looks: &mut Looks,
        walk_state: &mut WalkState,
        lines: &[u32],
        direction: Direction,
    ) {
        for line in lines {
            if !walk_state.may_begin(*line, direction) {
                continue;
            }
            let Some(step) = walk_state.record.steps.get(*line as usize) else {
                continue;
            };
            if !walk_state.being_looked_at.insert(*line) {
                continue;
            }
            walk_state.under_way.insert(*line);
            let mut step = step.clone();
            let now = self.writer.now();
            if direction == Direction::Back
                && served_while_it_waited(&walk_state.record, &step, now)
            {
                step.progress.memo.outlived = true;
            }
            let look = Look {
                operation: Arc::clone(&walk_state.operation),
                blocked_by: blocked_by(&walk_state.record, &step, direction),
                step,
                direction,
                map: Arc::clone(&walk_state.map),
                writer: Arc::clone(&self.writer),
                actions: Arc::clone(&self.actions),
                limits: Arc::clone(&self.limits),
                options: Arc::clone(&self.options),
                failed_looks: walk_state
                    .failing_looks
                    .get(line)
                    .map_or(0, |line| line.looks),
                steps_under_way: u32::try_from(walk_state.under_way.len()).unwrap_or(u32::MAX),
            };
            looks.spawn(look.take().in_current_span());
        }
    }

    /// Writes down where the looks have ended; an end whose readings are too old by then is none, and its line is looked at
    /// again.
    async fn write_down(
        &self,
        walk_state: &mut WalkState,
        result: Vec<LookResult>,
    ) -> Result<(), JournalError> {
        let in_time = |result: &LookResult| result.lasts().is_none_or(|left| !left.is_zero());
        let result: Vec<LookResult> = result
            .into_iter()
            .map(|result| match in_time(&result) {
                true => result,
                false => result.looked_at_again(),
            })
            .collect();
        match self.write_whole(walk_state, result.clone()).await {
            Err(JournalError::Outdated) => {
                let again = result.into_iter().map(LookResult::looked_at_again);
                self.write_whole(walk_state, again.collect()).await
            }
            written => written,
        }
    }

    async fn write_whole(
        &self,
        walk_state: &mut WalkState,
        result: Vec<LookResult>,
    ) -> Result<(), JournalError> {
        let left = result.iter().filter_map(LookResult::lasts).min();
        let mut entry = Entry {
            not_after: left.map(|left| self.writer.now() + delta(left)),
            ..Entry::default()
        };
        for result in result {
            walk_state.being_looked_at.remove(&result.position);
            match is_under_way(result.progress.state) {
                true => walk_state.under_way.insert(result.position),
                false => walk_state.under_way.remove(&result.position),
            };
            walk_state.note_failed_looks(result.position, result.failed_looks, self.writer.now());
            if result.worth_writing {
                entry.steps.push((result.position, result.progress.clone()));
            }
            remember(&walk_state.map, &result.effects);
            entry.effects.extend(result.effects);
            if let Some(step) = walk_state.record.steps.get_mut(result.position as usize) {
                step.progress = result.progress;
            }
        }
        if entry == Entry::default() {
            return Ok(());
        }
        self.writer.write(entry).await
    }

    async fn turn_round(
        &self,
        walk_state: &mut WalkState,
        error: String,
        code: protector_core::fault::Code,
    ) -> Result<(), JournalError> {
        self.writer
            .write(Entry {
                operation: Some(OperationChange::Unwinding {
                    error: error.clone(),
                    code,
                }),
                ..Entry::default()
            })
            .await?;
        walk_state.record.operation.state = OperationState::Unwinding;
        walk_state.record.operation.error = Some(error);
        walk_state.operation = Arc::new(walk_state.record.operation.clone());
        Ok(())
    }

    async fn settle(
        &self,
        record: &OperationRecord,
        state: OperationState,
    ) -> Result<(), JournalError> {
        let effects = schedule::effect_at_end(&record.operation, &record.steps, state)
            .into_iter()
            .collect();
        self.writer
            .write(Entry {
                operation: Some(OperationChange::Settled {
                    state,
                    at: self.writer.now(),
                }),
                steps: Vec::new(),
                effects,
                ..Entry::default()
            })
            .await
    }

    /// Lets the calls under way end, writes down what they say, and gives the operation back.
    async fn release(
        &self,
        walk_state: &mut WalkState,
        mut looks: Looks,
    ) -> Result<WalkEnd, JournalError> {
        let deadline = tokio::time::Instant::now() + self.options.graceful_stop;
        while let Ok(Some(result)) = tokio::time::timeout_at(deadline, looks.join_next()).await {
            self.write_down(walk_state, vec![arrived(result)?]).await?;
        }
        // What has not ended by now is cut off before another engine may take the same line up.
        looks.shutdown().await;
        self.writer.journal.release(&self.writer.claim).await?;
        Ok(WalkEnd::Released)
    }

    /// Until the first waiting line wants to be looked at.
    ///
    /// `now` is the time at which the schedule was asked: what was due then is looked at, and what falls due while this
    /// is worked out must not be taken for a line that has nothing to wait for.
    fn pause(&self, walk_state: &WalkState, now: DateTime<Utc>) -> Duration {
        let waiting = walk_state
            .under_way
            .difference(&walk_state.being_looked_at)
            .filter_map(|position| walk_state.record.steps.get(*position as usize))
            .filter(|step| step.progress.wake_at.is_some_and(|at| at > now));
        schedule::wake_at(waiting)
            .and_then(|at| (at - now).to_std().ok())
            .unwrap_or(self.writer.claim.lease)
            .max(Duration::from_millis(1))
    }
}

/// Lines of an operation that is taken up whose looks have failed before: they wait until one goes well, so that a hundred
/// operations that a dead site holds up are taken up again without a slot for each.
fn failing(record: &OperationRecord) -> BTreeMap<u32, FailedLooks> {
    let steps = record.steps.iter();
    steps
        .filter(|step| is_under_way(step.progress.state) && step.progress.error.is_some())
        .map(|step| {
            let since = step.progress.started_at.unwrap_or(DateTime::UNIX_EPOCH) - WAITS_AFTER;
            (step.position, FailedLooks { looks: 0, since })
        })
        .collect()
}

impl WalkState {
    /// Whether the operation gets on: a line is to begin, or one is under way that does not only wait.
    fn gets_on(&self, next: &Next, now: DateTime<Utc>) -> bool {
        let begins = match next {
            Next::Run(lines) | Next::Undo(lines) => {
                lines.iter().any(|line| !self.under_way.contains(line))
            }
            Next::Unwind { .. } | Next::Settle(_) => false,
        };
        begins || self.under_way.iter().any(|line| !self.waits(*line, now))
    }

    /// Whether a line that is under way waits for a person, or for something that has failed each look for a while.
    fn waits(&self, line: u32, now: DateTime<Utc>) -> bool {
        let failing = self.failing_looks.get(&line);
        self.is_paused(line) || failing.is_some_and(|failing| now - failing.since >= WAITS_AFTER)
    }

    fn is_paused(&self, line: u32) -> bool {
        let step = self.record.steps.get(line as usize);
        step.is_some_and(|step| {
            matches!(step.action, Step::Pause { .. }) && is_under_way(step.progress.state)
        })
    }

    /// Whether a line may be looked at. What has begun is, since its time runs; and nobody's servers stand still for want of
    /// a slot, be it that they are to be started again or to come up elsewhere.
    fn may_begin(&self, line: u32, direction: Direction) -> bool {
        self.slot.is_held()
            || direction == Direction::Back
            || self.under_way.contains(&line)
            || self.has_servers_down() != Down::None
    }

    /// Whether the operation has stopped servers whose copies do not run yet, and why they stand still if it only waits.
    fn has_servers_down(&self) -> Down {
        let steps = &self.record.steps;
        let has_ended = |step: &&StepRecord| step.progress.state == StepState::Done;
        let is_stopped = |step: &&StepRecord| {
            let untouched = [StepState::Pending, StepState::Skipped, StepState::Undone];
            matches!(step.action, Step::StopServer { .. })
                && !untouched.contains(&step.progress.state)
        };
        let is_switched = |step: &StepRecord| step.action == Step::SwitchPrimary;
        let switched = steps.iter().filter(has_ended).any(is_switched);
        if switched || !steps.iter().any(|step| is_stopped(&step)) {
            return Down::None;
        }
        match self.under_way.iter().any(|line| self.is_paused(*line)) {
            true => Down::ByChoice,
            false => Down::ByFailure,
        }
    }

    fn note_failed_looks(&mut self, line: u32, looks: u32, now: DateTime<Utc>) {
        if looks == 0 {
            self.failing_looks.remove(&line);
            return;
        }
        let failing = FailedLooks { looks, since: now };
        let noted = self.failing_looks.entry(line).or_insert(failing);
        noted.looks = looks;
    }
}

/// Of the map the record keeps this alone: the schedule rests on it.
fn note_abort(record: &mut OperationRecord, user: &str) {
    let id = record.operation.id.to_string();
    record.map.insert(MapKind::Aborted, id, user);
}

/// Whether the operation has not yet passed its point of no return, or is being taken back.
fn may_be_taken_back(record: &OperationRecord) -> bool {
    record.operation.state == OperationState::Unwinding
        || record.steps.iter().any(|step| {
            matches!(step.verb, Verb::Undoable | Verb::Switch | Verb::Forward)
                && !step.progress.state.has_ended()
        })
}

fn is_under_way(state: StepState) -> bool {
    matches!(state, StepState::Running | StepState::Undoing)
}

fn blocked_by(record: &OperationRecord, step: &StepRecord, direction: Direction) -> Option<String> {
    let steps = &record.steps;
    let in_the_way = match direction {
        Direction::Forward => step
            .after
            .iter()
            .filter_map(|position| steps.get(*position as usize))
            .find(|other| stands_in_the_way(other, step.verb)),
        Direction::Back => steps.iter().find(|other| {
            other.progress.state == StepState::UndoFailed && stands_on(other, step, record)
        }),
    };
    in_the_way.map(|other| {
        let why = other.progress.error.as_deref().unwrap_or("it failed");
        match other.progress.state {
            // It says itself what stood in its way.
            StepState::Skipped => why.to_owned(),
            _ => format!("{}: {why}", other.key),
        }
    })
}

/// Whether a line whose failure means `verb` cannot do without what `other` was to do.
fn stands_in_the_way(other: &StepRecord, verb: Verb) -> bool {
    match other.progress.state {
        StepState::Failed => true,
        StepState::Skipped => verb == Verb::Member,
        _ => false,
    }
}

fn remember(map: &RwLock<ResourceMap>, effects: &[Effect]) {
    let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
    for effect in effects {
        match effect {
            Effect::Mapped {
                kind,
                source,
                target,
            } => map.insert(*kind, source, target),
            Effect::Unmapped { kind, source } => map.remove(*kind, source),
            Effect::GroupStatus { .. }
            | Effect::GroupAtRest { .. }
            | Effect::GroupMended { .. }
            | Effect::GroupFenced { .. }
            | Effect::GroupSwitched { .. }
            | Effect::GroupReplicated { .. }
            | Effect::ParentStep { .. }
            | Effect::ParentCompleted { .. } => {}
        }
    }
}

/// A cleanup's line settles the line of the operation that left the resource behind. A floating IP that somebody wants released
/// was not left: no line of it stands for that.
pub(crate) fn parent_effect(
    operation: &Operation,
    (key, action): (&str, &Step),
    progress: &StepProgress,
) -> Option<Effect> {
    let is_asked_for = matches!(action, Step::ReleaseFloatingIp { .. });
    if operation.kind != OperationKind::Cleanup || is_asked_for {
        return None;
    }
    let (key, state) = match (key.strip_prefix(UNDO), progress.state) {
        (Some(line), StepState::Done) => (line, StepState::Undone),
        (Some(line), _) => (line, StepState::UndoFailed),
        (None, state) => (key, state),
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
