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
    schedule::{
        Next, {self},
    },
};
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    action::{Actions, Scribe},
    flight::{Direction, Flight, Landed, delta},
    limits::Limits,
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
    pub scribe: Arc<Scribe>,
    pub actions: Arc<dyn Actions>,
    pub limits: Arc<Limits>,
    pub options: Arc<EngineOptions>,
    pub stop: CancellationToken,
}

/// The operation as this walk knows it; always what the journal holds, but for waiting times.
struct Desk {
    record: OperationRecord,
    operation: Arc<Operation>,
    map: Arc<RwLock<ResourceMap>>,
    in_flight: BTreeSet<u32>,
    /// Lines that have begun and not ended, forward or backward.
    under_way: BTreeSet<u32>,
    /// Lines whose last looks failed. How many did is forgotten with the walk: the first pause is short again.
    stumbling: BTreeMap<u32, Stumbling>,
    /// The right to begin lines.
    slot: Slot,
    /// When it was last asked whether the operation is to be given up.
    asked_at: Option<DateTime<Utc>>,
}

/// Why an operation that only waits has servers that stand still.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    /// It has none.
    None,
    /// A person has planned a pause, and lets it go on.
    ByChoice,
    /// Something fails.
    ByFailure,
}

/// A line whose last looks have failed.
#[derive(Clone, Copy)]
struct Stumbling {
    /// How many in a row.
    looks: u32,
    /// Since the first of them.
    since: DateTime<Utc>,
}

/// After this long it is asked again whether the operation is to be given up.
const HEARS_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(1);

/// Looks under way. Dropping it ends them.
type Flights = JoinSet<Result<Landed, JournalError>>;

/// A look that panicked is a defect; the walk ends, and what the journal holds stays true.
fn arrived(
    landed: Result<Result<Landed, JournalError>, JoinError>,
) -> Result<Landed, JournalError> {
    landed.map_err(|error| JournalError::Unreadable(format!("a step broke off: {error}")))?
}

impl Walk {
    /// Walks the claimed operation. An error means that the journal refused or is away: drop the walk.
    pub async fn walk(self, slot: Slot) -> Result<WalkEnd, JournalError> {
        let mut desk = self.open(slot).await?;
        // Tasks of their own: a look that waits for the database must go on while this loop waits for it too.
        let mut flights = JoinSet::new();
        let mut renewal = tokio::time::interval(self.scribe.claim.lease / 3);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let held = watch::Sender::new(true);
        let mut keeper = JoinSet::new();
        keeper.spawn(self.keep_held(&desk, held.subscribe()).in_current_span());
        loop {
            held.send_replace(may_be_taken_back(&desk.record));
            if self.stop.is_cancelled() {
                return self.release(&mut desk, flights).await;
            }
            self.hear_of_an_abort(&mut desk).await?;
            let now = self.scribe.now();
            let next = schedule::next(&desk.record, now);
            match (desk.gets_on(&next, now), desk.has_servers_down()) {
                (true, _) => desk.slot.want(),
                (false, Down::ByFailure) => desk.slot.leave_if_few_do(),
                (false, Down::None | Down::ByChoice) => desk.slot.leave(),
            }
            match next {
                Next::Run(lines) => {
                    self.take_off(&mut flights, &mut desk, &lines, Direction::Forward);
                }
                Next::Undo(lines) => {
                    self.take_off(&mut flights, &mut desk, &lines, Direction::Back);
                }
                Next::Unwind { error, code } if desk.in_flight.is_empty() => {
                    self.turn_round(&mut desk, error, code).await?;
                    continue;
                }
                Next::Settle(state) if desk.in_flight.is_empty() => {
                    self.settle(&desk.record, state).await?;
                    return Ok(WalkEnd::Settled(state));
                }
                Next::Unwind { .. } | Next::Settle(_) => {}
            }
            let pause = match desk.slot.is_wanted() {
                // There may be nothing else to wake it when somebody gives it up.
                true => self.pause(&desk, now).min(WITHOUT_A_SLOT),
                false => self.pause(&desk, now),
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {}
                Some(landed) = flights.join_next() => {
                    let mut all = vec![arrived(landed)?];
                    while let Some(more) = flights.try_join_next() {
                        all.push(arrived(more)?);
                    }
                    self.write_down(&mut desk, all).await?;
                }
                _ = renewal.tick() => {
                    self.scribe.renew().await?;
                }
                () = desk.slot.taken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Keeps the group held still for as long as the operation can be taken back, beside whatever its lines wait for.
    fn keep_held(
        &self,
        desk: &Desk,
        held: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let actions = Arc::clone(&self.actions);
        let scribe = Arc::clone(&self.scribe);
        let operation = Arc::clone(&desk.operation);
        async move {
            let mut tick = tokio::time::interval(KEPT_UP_EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if *held.borrow() {
                    actions.keep_held(&operation, scribe.now()).await;
                }
            }
        }
    }

    async fn open(&self, slot: Slot) -> Result<Desk, JournalError> {
        let mut record = self.scribe.journal.load(&self.scribe.claim).await?;
        if record.operation.state == OperationState::Queued {
            let at = self.scribe.now();
            self.scribe
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
        Ok(Desk {
            operation: Arc::new(record.operation.clone()),
            map: Arc::new(RwLock::new(map)),
            under_way: record
                .steps
                .iter()
                .filter(|step| is_under_way(step.progress.state))
                .map(|step| step.position)
                .collect(),
            stumbling: failing(&record),
            record,
            in_flight: BTreeSet::new(),
            slot,
            asked_at: None,
        })
    }

    /// Learns whether somebody has asked that the operation be given up. Not at each turn: there are many in a second.
    async fn hear_of_an_abort(&self, desk: &mut Desk) -> Result<(), JournalError> {
        let now = self.scribe.now();
        let lately =
            |at: DateTime<Utc>| (TimeDelta::zero()..HEARS_AGAIN_AFTER).contains(&(now - at));
        if desk.record.aborted_by().is_some() || desk.asked_at.is_some_and(lately) {
            return Ok(());
        }
        desk.asked_at = Some(now);
        if let Some(user) = self.scribe.journal.aborted_by(&self.scribe.claim).await? {
            note_abort(&mut desk.record, user.as_str());
        }
        Ok(())
    }

    fn take_off(
        &self,
        flights: &mut Flights,
        desk: &mut Desk,
        lines: &[u32],
        direction: Direction,
    ) {
        for line in lines {
            if !desk.may_begin(*line, direction) {
                continue;
            }
            let Some(step) = desk.record.steps.get(*line as usize) else {
                continue;
            };
            if !desk.in_flight.insert(*line) {
                continue;
            }
            desk.under_way.insert(*line);
            let mut step = step.clone();
            let now = self.scribe.now();
            if direction == Direction::Back && served_while_it_waited(&desk.record, &step, now) {
                step.progress.memo.outlived = true;
            }
            let flight = Flight {
                operation: Arc::clone(&desk.operation),
                blocked_by: blocked_by(&desk.record, &step, direction),
                step,
                direction,
                map: Arc::clone(&desk.map),
                scribe: Arc::clone(&self.scribe),
                actions: Arc::clone(&self.actions),
                limits: Arc::clone(&self.limits),
                options: Arc::clone(&self.options),
                failed_looks: desk.stumbling.get(line).map_or(0, |line| line.looks),
                crowd: u32::try_from(desk.under_way.len()).unwrap_or(u32::MAX),
            };
            flights.spawn(flight.fly().in_current_span());
        }
    }

    /// Writes down where the looks have ended; an end whose readings are too old by then is none, and its line is looked at
    /// again.
    async fn write_down(&self, desk: &mut Desk, landed: Vec<Landed>) -> Result<(), JournalError> {
        let in_time = |landed: &Landed| landed.lasts().is_none_or(|left| !left.is_zero());
        let landed: Vec<Landed> = landed
            .into_iter()
            .map(|landed| match in_time(&landed) {
                true => landed,
                false => landed.looked_at_again(),
            })
            .collect();
        match self.write_whole(desk, landed.clone()).await {
            Err(JournalError::Outdated) => {
                let again = landed.into_iter().map(Landed::looked_at_again);
                self.write_whole(desk, again.collect()).await
            }
            written => written,
        }
    }

    async fn write_whole(&self, desk: &mut Desk, landed: Vec<Landed>) -> Result<(), JournalError> {
        let left = landed.iter().filter_map(Landed::lasts).min();
        let mut entry = Entry {
            not_after: left.map(|left| self.scribe.now() + delta(left)),
            ..Entry::default()
        };
        for landed in landed {
            desk.in_flight.remove(&landed.position);
            match is_under_way(landed.progress.state) {
                true => desk.under_way.insert(landed.position),
                false => desk.under_way.remove(&landed.position),
            };
            desk.note_failed_looks(landed.position, landed.failed_looks, self.scribe.now());
            if landed.worth_writing {
                entry.steps.push((landed.position, landed.progress.clone()));
            }
            remember(&desk.map, &landed.effects);
            entry.effects.extend(landed.effects);
            if let Some(step) = desk.record.steps.get_mut(landed.position as usize) {
                step.progress = landed.progress;
            }
        }
        if entry == Entry::default() {
            return Ok(());
        }
        self.scribe.write(entry).await
    }

    async fn turn_round(
        &self,
        desk: &mut Desk,
        error: String,
        code: protector_core::fault::Code,
    ) -> Result<(), JournalError> {
        self.scribe
            .write(Entry {
                operation: Some(OperationChange::Unwinding {
                    error: error.clone(),
                    code,
                }),
                ..Entry::default()
            })
            .await?;
        desk.record.operation.state = OperationState::Unwinding;
        desk.record.operation.error = Some(error);
        desk.operation = Arc::new(desk.record.operation.clone());
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
        self.scribe
            .write(Entry {
                operation: Some(OperationChange::Settled {
                    state,
                    at: self.scribe.now(),
                }),
                steps: Vec::new(),
                effects,
                ..Entry::default()
            })
            .await
    }

    /// Lets the calls in flight end, writes down what they say, and gives the operation back.
    async fn release(
        &self,
        desk: &mut Desk,
        mut flights: Flights,
    ) -> Result<WalkEnd, JournalError> {
        let deadline = tokio::time::Instant::now() + self.options.graceful_stop;
        while let Ok(Some(landed)) = tokio::time::timeout_at(deadline, flights.join_next()).await {
            self.write_down(desk, vec![arrived(landed)?]).await?;
        }
        // What has not ended by now is cut off before another engine may take the same line up.
        flights.shutdown().await;
        self.scribe.journal.release(&self.scribe.claim).await?;
        Ok(WalkEnd::Released)
    }

    /// Until the first waiting line wants to be looked at.
    ///
    /// `now` is the time at which the schedule was asked: what was due then is in flight, and what falls due while this
    /// is worked out must not be taken for a line that has nothing to wait for.
    fn pause(&self, desk: &Desk, now: DateTime<Utc>) -> Duration {
        let waiting = desk
            .under_way
            .difference(&desk.in_flight)
            .filter_map(|position| desk.record.steps.get(*position as usize))
            .filter(|step| step.progress.wake_at.is_some_and(|at| at > now));
        schedule::wake_at(waiting)
            .and_then(|at| (at - now).to_std().ok())
            .unwrap_or(self.scribe.claim.lease)
            .max(Duration::from_millis(1))
    }
}

/// Lines of an operation that is taken up whose looks have failed before: they wait until one goes well, so that a hundred
/// operations that a dead site holds up are taken up again without a slot for each.
fn failing(record: &OperationRecord) -> BTreeMap<u32, Stumbling> {
    let steps = record.steps.iter();
    steps
        .filter(|step| is_under_way(step.progress.state) && step.progress.error.is_some())
        .map(|step| {
            let since = step.progress.started_at.unwrap_or(DateTime::UNIX_EPOCH) - WAITS_AFTER;
            (step.position, Stumbling { looks: 0, since })
        })
        .collect()
}

impl Desk {
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
        let failing = self.stumbling.get(&line);
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
            self.stumbling.remove(&line);
            return;
        }
        let failing = Stumbling { looks, since: now };
        let noted = self.stumbling.entry(line).or_insert(failing);
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

/// A cleanup's line settles the line of the operation that left the resource behind.
pub(crate) fn parent_effect(
    operation: &Operation,
    key: &str,
    progress: &StepProgress,
) -> Option<Effect> {
    if operation.kind != OperationKind::Cleanup {
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
