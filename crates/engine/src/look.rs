//! One look at one step: take a place, write down that it begins, act, and turn the answer into the step's progress.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use protector_core::{
    fault::{Code, StepFailure},
    journal::{Effect, Entry, JournalError},
    operation::{Memo, Operation, ResourceMap, StepProgress, StepRecord, StepState},
    runbook::Verb,
};
use tokio::time::Instant;
use tracing::error;

use crate::{
    action::{Actions, JournalWriter, Progress, StepContext, StepLimits},
    intent::{Direction, READINGS_HOLD_FOR},
    limits::ConcurrencyLimits,
    options::EngineOptions,
    step_error::StepError,
};

/// The pause before the second look at a resource that is changing.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// After this long a cloud that answers, and does not let the service user in, has refused what it was asked for: a role that
/// was taken away does not come back by itself, and a Keystone that is restarted answers 503.
const LOCKED_OUT_AFTER: TimeDelta = TimeDelta::seconds(60);

/// The longest `Retry-After` that is obeyed; a cloud that asks for more is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What is noted of a step whose end came too late.
const NOT_WRITTEN_IN_TIME: &str =
    "what it rests on to be read again: the database took too long to write its end down";

/// The looks of one operation are on average at least this far apart: hundreds of resources that are stuck must not keep
/// the clouds, and the places for calls to them, from those that get on (invariant I8).
const LOOK_SPACING: Duration = Duration::from_millis(10);

/// A step that is about to be looked at.
pub(crate) struct Look {
    pub operation: Arc<Operation>,
    pub step: StepRecord,
    pub direction: Direction,
    pub blocked_by: Option<String>,
    pub map: Arc<RwLock<ResourceMap>>,
    pub writer: Arc<JournalWriter>,
    pub actions: Arc<dyn Actions>,
    pub limits: Arc<ConcurrencyLimits>,
    pub options: Arc<EngineOptions>,
    /// How many looks in a row have failed so far.
    pub failed_looks: u32,
    /// How many lines of the operation are under way, this one included.
    pub steps_under_way: u32,
}

/// Where a step stands after a look, and whether that has to be written down.
#[derive(Clone)]
pub(crate) struct LookResult {
    pub position: u32,
    pub progress: StepProgress,
    pub effects: Vec<Effect>,
    pub worth_writing: bool,
    /// How many looks in a row have failed, this one included.
    pub failed_looks: u32,
    /// What its end rests on, where that is out of date soon.
    pub rests_on: Option<Readings>,
}

/// What the end of a step rests on.
#[derive(Clone)]
pub(crate) struct Readings {
    /// When the oldest of it was asked for.
    asked_at: Instant,
    /// Where the step stands if its end cannot be written down in time.
    otherwise: StepProgress,
}

impl LookResult {
    /// For how long its end may still be written down; `None`: for ever.
    pub fn lasts(&self) -> Option<Duration> {
        let readings = self.rests_on.as_ref()?;
        Some(READINGS_HOLD_FOR.saturating_sub(readings.asked_at.elapsed()))
    }

    /// The step as it stands if its end was not written down in time: to be looked at again.
    pub fn looked_at_again(self) -> Self {
        match self.rests_on {
            None => self,
            Some(readings) => Self {
                position: self.position,
                progress: readings.otherwise,
                effects: Vec::new(),
                worth_writing: true,
                failed_looks: 0,
                rests_on: None,
            },
        }
    }
}

/// How a look ended, in the words that decide what comes next.
enum LookAnswer {
    /// The step got on.
    Went(Progress),
    /// It has ended badly.
    Ended(Code, String),
    /// Something failed that may pass.
    FailedLook(FailedLook),
}

/// A failure that may pass.
struct FailedLook {
    /// The sentence for the record.
    why: String,
    /// The pause that the other side asked for, if it did.
    after: Option<Duration>,
    what: Failing,
}

/// What failed in a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// Looking at the world; nothing was asked of it, or it was turned away.
    Reading,
    /// A call that changes something: it may have been carried out all the same.
    Changing,
    /// A change that had been accepted: it certainly was not carried out.
    CameBack,
    /// Signing in: the cloud answers, and does not let the service user in.
    SigningIn,
}

impl Look {
    /// Looks at the step once. An error means that the journal refused: the walk is over.
    pub async fn take(mut self) -> Result<LookResult, JournalError> {
        let step_limits = self.actions.step_limits(&self.operation, &self.step);
        let concurrency_limit = self.actions.concurrency_limit(&self.operation, &self.step);
        let _permit = self.limits.permit(concurrency_limit).await;
        self.begin().await?;
        let mut cx = StepContext {
            operation: &self.operation,
            step: &self.step,
            map: &self.map,
            blocked_by: self.blocked_by.as_deref(),
            memo: self.step.progress.memo.clone(),
            last_try: self.last_try(&step_limits),
            reservations: None,
            intents: Vec::new(),
            rests_on_what_was_asked_at: None,
            written: self.step.progress.memo.clone(),
            writer: &self.writer,
        };
        let intents_before = intents(&cx.memo);
        let left = self.time_left(&step_limits);
        let look = async {
            match self.direction {
                Direction::Forward => self.actions.run(&mut cx).await,
                Direction::Back => self.actions.undo(&mut cx).await,
            }
        };
        // What the step leaves behind when it panics is its memo, which is written whole or not at all.
        let look = AssertUnwindSafe(look).catch_unwind();
        let answer = tokio::time::timeout(left.max(Duration::from_secs(1)), look).await;
        cx.withdraw_unsent();
        let asked_at = cx.rests_on_what_was_asked_at;
        let (mut memo, written) = (cx.memo, cx.written);
        let changing = intents(&memo) > intents_before;
        let look = match answer {
            Ok(Ok(answer)) => judge(answer, changing)?,
            Ok(Err(panic)) => LookAnswer::Ended(Code::Internal, self.defect(panic.as_ref())),
            Err(_) => LookAnswer::Ended(Code::Timeout, self.out_of_time(&step_limits)),
        };
        memo.since.locked_out = self.locked_out_since(&look);
        let remembers_more = memo != written;
        self.step.progress.memo = memo;
        let otherwise = self.before_its_end();
        let result = self.result_of(look, &step_limits);
        Ok(LookResult {
            worth_writing: result.worth_writing || remembers_more,
            rests_on: asked_at.map(|asked_at| Readings {
                asked_at,
                otherwise,
            }),
            ..result
        })
    }

    /// Since when the looks have ended so without a break that a cloud does not let the service user in.
    fn locked_out_since(&self, look: &LookAnswer) -> Option<DateTime<Utc>> {
        match look {
            LookAnswer::FailedLook(failed) if failed.what == Failing::SigningIn => {
                let since = self.step.progress.memo.since.locked_out;
                since.or_else(|| Some(self.writer.now()))
            }
            _ => None,
        }
    }

    /// The step as it is to be looked at again where its end cannot be written down in time.
    fn before_its_end(&self) -> StepProgress {
        let again = self.writer.now() + delta(self.options.status_poll);
        StepProgress {
            note: Some(NOT_WRITTEN_IN_TIME.to_owned()),
            wake_at: Some(again),
            ..self.step.progress.clone()
        }
    }

    /// Why nothing may be tried any more: how the last allowed try failed, or that the time is up. What has no limit of
    /// tries is not limited by this either: its deadline ends it.
    fn last_try(&self, step_limits: &StepLimits) -> Option<StepFailure> {
        let progress = &self.step.progress;
        let retries = step_limits.retries?;
        if self.time_left(step_limits).is_zero() {
            return Some(StepFailure::last(
                Code::Timeout,
                self.out_of_time(step_limits),
            ));
        }
        (progress.failed_tries > retries).then(|| {
            StepFailure::last(
                progress.error_code.unwrap_or(Code::Unavailable),
                progress
                    .error
                    .as_deref()
                    .unwrap_or("the last try was not carried out"),
            )
        })
    }

    /// What is recorded of a look that the deadline cut off: the words of the one before, if that one failed.
    fn out_of_time(&self, step_limits: &StepLimits) -> String {
        let words = self.step.progress.error.as_deref();
        match words.filter(|_| self.failed_looks > 0) {
            Some(words) => format!("{}: {words}", step_limits.timeout_error),
            None => step_limits.timeout_error.clone(),
        }
    }

    fn defect(&self, panic: &(dyn Any + Send)) -> String {
        let words = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no reason given");
        error!(step = %self.step.key, words, "a step broke off: this is a defect of protector");
        format!(
            "a defect of protector: step {} broke off ({words}); the engine's log has the place",
            self.step.key
        )
    }

    /// Makes the begin durable before anything is done, the first time.
    async fn begin(&mut self) -> Result<(), JournalError> {
        let now = self.writer.now();
        let progress = &mut self.step.progress;
        let fresh = match self.direction {
            Direction::Forward => progress.state == StepState::Pending,
            Direction::Back => progress.state != StepState::Undoing,
        };
        if !fresh {
            return Ok(());
        }
        if progress.state == StepState::Running {
            // The line had not failed; what its last look said is over.
            progress.error = None;
            progress.error_code = None;
        }
        progress.failed_tries = 0;
        progress.wake_at = None;
        progress.note = None;
        match self.direction {
            Direction::Forward => {
                progress.state = StepState::Running;
                progress.started_at = Some(now);
            }
            Direction::Back => {
                progress.state = StepState::Undoing;
                progress.undo_started_at = Some(now);
            }
        }
        self.writer
            .write(Entry {
                steps: vec![(self.step.position, self.step.progress.clone())],
                ..Entry::default()
            })
            .await
    }

    fn begun_at(&self) -> Option<DateTime<Utc>> {
        match self.direction {
            Direction::Forward => self.step.progress.started_at,
            Direction::Back => self.step.progress.undo_started_at,
        }
    }

    fn time_left(&self, step_limits: &StepLimits) -> Duration {
        let now = self.writer.now();
        let spent = now - self.begun_at().unwrap_or(now);
        step_limits
            .limit
            .saturating_sub(spent.to_std().unwrap_or_default())
    }

    fn result_of(self, look: LookAnswer, step_limits: &StepLimits) -> LookResult {
        match look {
            LookAnswer::Went(Progress::Done(effects)) => {
                let success = self.success();
                self.ended(success, None, effects)
            }
            LookAnswer::Went(Progress::Skipped { why }) => {
                self.ended(StepState::Skipped, Some((Code::Kept, why)), Vec::new())
            }
            LookAnswer::Went(Progress::Waiting { on, again }) => {
                self.waiting(on, again, step_limits)
            }
            LookAnswer::Ended(code, why) => self.failed(code, why),
            LookAnswer::FailedLook(failed) => self.failed_look(failed, step_limits),
        }
    }

    fn success(&self) -> StepState {
        match self.direction {
            Direction::Forward => StepState::Done,
            Direction::Back => StepState::Undone,
        }
    }

    fn failed(self, code: Code, why: String) -> LookResult {
        let state = match self.direction {
            Direction::Forward => StepState::Failed,
            Direction::Back => StepState::UndoFailed,
        };
        self.ended(state, Some((code, why)), Vec::new())
    }

    fn waiting(mut self, on: String, again: Duration, step_limits: &StepLimits) -> LookResult {
        let left = self.time_left(step_limits);
        if left.is_zero() {
            let mut why = step_limits.timeout_error.clone();
            match step_limits.says_what_for {
                true => why = format!("{why}: {on}"),
                false => {
                    let facts = &mut self.step.progress.memo.facts;
                    facts.push(format!("when its time was over, it waited for {on}"));
                }
            }
            return self.failed(Code::Timeout, why);
        }
        let now = self.writer.now();
        let spent = now - self.begun_at().unwrap_or(now);
        // A step that asks for a longer pause than a look's knows when it wants to be looked at.
        let again = if again > self.options.status_poll {
            again
        } else {
            until_next_look(spent.to_std().unwrap_or_default(), again)
        };
        let again = again.max(LOOK_SPACING.saturating_mul(self.steps_under_way));
        let progress = &mut self.step.progress;
        let news = progress.note.as_deref() != Some(on.as_str());
        progress.note = Some(on);
        progress.wake_at = Some(now + delta(again.min(left)));
        LookResult {
            position: self.step.position,
            worth_writing: news,
            progress: self.step.progress,
            effects: Vec::new(),
            failed_looks: 0,
            rests_on: None,
        }
    }

    /// Looks again later, unless the time is used up, or the tries are and it is certain that the last one failed.
    ///
    /// After a call that failed nobody knows whether it was carried out, so the last try is followed by one more look, in
    /// which [`StepContext::intend`] refuses.
    fn failed_look(mut self, failed: FailedLook, step_limits: &StepLimits) -> LookResult {
        let FailedLook { why, after, what } = failed;
        let failed_looks = self.failed_looks.saturating_add(1);
        let left = self.time_left(step_limits);
        let progress = &mut self.step.progress;
        if matches!(what, Failing::Changing | Failing::CameBack) {
            progress.failed_tries += 1;
        }
        let tries = progress.failed_tries;
        let used_up = step_limits.retries.is_some_and(|retries| tries > retries);
        if what == Failing::CameBack && used_up {
            return self.failed(Code::Unavailable, why);
        }
        if what == Failing::SigningIn && self.is_locked_out() {
            let why = format!(
                "{why}; it has answered so for {} s, so it will not pass by itself: see to the service user's password and to its role in the project",
                LOCKED_OUT_AFTER.num_seconds()
            );
            return self.failed(Code::Refused, why);
        }
        if left.is_zero() {
            let why = format!("{}: {why}", step_limits.timeout_error);
            return self.failed(Code::Unavailable, why);
        }
        let rounds = match what {
            Failing::Reading | Failing::SigningIn => failed_looks,
            Failing::Changing | Failing::CameBack => failed_looks.max(tries),
        };
        let backoff = backoff(&self.options, rounds);
        let pause = after.map_or(backoff, |asked| asked.min(LONGEST_RETRY_AFTER).max(backoff));
        let pause = pause.min(left);
        let now = self.writer.now();
        let progress = &mut self.step.progress;
        progress.note = Some(match used_up {
            true => format!("the last try failed, one more look: {why}"),
            false => format!("will be tried again: {why}"),
        });
        if self.direction == Direction::Forward {
            progress.error = Some(why);
            progress.error_code = Some(Code::Unavailable);
        }
        progress.wake_at = Some(now + delta(pause));
        LookResult {
            position: self.step.position,
            progress: self.step.progress,
            effects: Vec::new(),
            worth_writing: true,
            failed_looks,
            rests_on: None,
        }
    }

    /// Whether a cloud has not let the service user in for so long that what can be taken back is taken back: servers may stand
    /// still for it.
    fn is_locked_out(&self) -> bool {
        let now = self.writer.now();
        let since = self.step.progress.memo.since.locked_out.unwrap_or(now);
        self.direction == Direction::Forward
            && self.step.verb == Verb::Undoable
            && now - since >= LOCKED_OUT_AFTER
    }

    fn ended(
        mut self,
        state: StepState,
        why: Option<(Code, String)>,
        mut effects: Vec<Effect>,
    ) -> LookResult {
        let now = self.writer.now();
        let progress = &mut self.step.progress;
        progress.state = state;
        progress.wake_at = None;
        progress.note = None;
        progress.finished_at = Some(now);
        match why {
            Some((code, why)) => {
                progress.error = Some(why);
                progress.error_code = Some(code);
            }
            // Taking a failed line back does not undo that it failed.
            None if state == StepState::Undone => {}
            None => {
                progress.error = None;
                progress.error_code = None;
            }
        }
        effects.extend(crate::walk::parent_effect(
            &self.operation,
            (&self.step.key, &self.step.action),
            progress,
        ));
        LookResult {
            position: self.step.position,
            progress: self.step.progress,
            effects,
            worth_writing: true,
            failed_looks: 0,
            rests_on: None,
        }
    }
}

fn intents(memo: &Memo) -> u32 {
    memo.intents + memo.undo_intents
}

/// What a look's answer means. Only what failed after an intent and was not turned away, or came back, was a try.
fn judge(answer: Result<Progress, StepError>, changing: bool) -> Result<LookAnswer, JournalError> {
    let failed_look =
        |why, after, what| Ok(LookAnswer::FailedLook(FailedLook { why, after, what }));
    match answer {
        Ok(progress) => Ok(LookAnswer::Went(progress)),
        Err(StepError::Journal(error)) => Err(error),
        Err(StepError::TurnedAway { why, after }) => failed_look(why, after, Failing::Reading),
        Err(StepError::LockedOut { why }) => failed_look(why, None, Failing::SigningIn),
        Err(StepError::CameBack { why }) => failed_look(why, None, Failing::CameBack),
        Err(StepError::Fault(StepFailure::Final { code, why })) => Ok(LookAnswer::Ended(code, why)),
        Err(StepError::Fault(
            StepFailure::Passing { why, after } | StepFailure::NotTold { why, after },
        )) => {
            let what = match changing {
                true => Failing::Changing,
                false => Failing::Reading,
            };
            failed_look(why, after, what)
        }
    }
}

/// A quarter of the time that the step has taken so far, at most `longest`: what takes two seconds is not noticed two
/// seconds late, and what takes minutes is not asked for twice a second.
fn until_next_look(spent: Duration, longest: Duration) -> Duration {
    (spent / 4).max(FIRST_PAUSE).min(longest)
}

/// Doubles from the first pause to the longest.
fn backoff(options: &EngineOptions, tries: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
    options
        .first_backoff
        .saturating_mul(doubled)
        .min(options.longest_backoff)
}

pub(crate) fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses_until(end: Duration, longest: Duration) -> Vec<u64> {
        let mut spent = Duration::ZERO;
        let mut pauses = Vec::new();
        while spent < end {
            let pause = until_next_look(spent, longest);
            pauses.push(u64::try_from(pause.as_millis()).unwrap());
            spent += pause;
        }
        pauses
    }

    #[test]
    fn looks_are_close_together_at_first_and_never_further_apart_than_configured() {
        let pauses = pauses_until(Duration::from_secs(12), Duration::from_secs(2));
        assert_eq!(pauses[..4], [500; 4]);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&2000));
    }

    #[test]
    fn a_shorter_configured_pause_holds_from_the_first_look_on() {
        let short = Duration::from_millis(200);
        assert_eq!(until_next_look(Duration::ZERO, short), short);
        assert_eq!(until_next_look(Duration::from_secs(60), short), short);
    }
}
