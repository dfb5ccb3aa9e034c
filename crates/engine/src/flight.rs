//! One look at one step: take a place, write down that it begins, act, and turn the answer into the step's progress.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    fault::{Code, Fault},
    journal::{Effect, Entry, JournalError},
    operation::{Operation, ResourceMap, StepProgress, StepRecord, StepState},
};

use crate::{
    action::{Actions, Cx, Patience, Progress, Scribe, Stop},
    limits::Limits,
    options::EngineOptions,
};

/// The pause before the second look at a resource that is changing.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Which way a step is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// A step that is about to be looked at.
pub(crate) struct Flight {
    pub operation: Arc<Operation>,
    pub step: StepRecord,
    pub direction: Direction,
    pub blocked_by: Option<String>,
    pub map: Arc<RwLock<ResourceMap>>,
    pub scribe: Arc<Scribe>,
    pub actions: Arc<dyn Actions>,
    pub limits: Arc<Limits>,
    pub options: Arc<EngineOptions>,
}

/// Where a step stands after a look, and whether that has to be written down.
pub(crate) struct Landed {
    pub position: u32,
    pub progress: StepProgress,
    pub effects: Vec<Effect>,
    pub worth_writing: bool,
}

impl Flight {
    /// Looks at the step once. An error means that the journal refused: the walk is over.
    pub async fn fly(mut self) -> Result<Landed, JournalError> {
        let patience = self.actions.patience(&self.operation, &self.step);
        let draws = self.actions.draws(&self.operation, &self.step);
        let _permit = self.limits.permit(draws).await;
        self.begin().await?;
        let mut cx = Cx {
            operation: &self.operation,
            step: &self.step,
            map: &self.map,
            blocked_by: self.blocked_by.as_deref(),
            memo: self.step.progress.memo.clone(),
            scribe: &self.scribe,
        };
        let left = self.time_left(&patience);
        let look = async {
            match self.direction {
                Direction::Forward => self.actions.run(&mut cx).await,
                Direction::Back => self.actions.undo(&mut cx).await,
            }
        };
        let answer = tokio::time::timeout(left.max(Duration::from_secs(1)), look).await;
        let memo = cx.memo;
        let answer = match answer {
            Ok(Err(Stop::Journal(error))) => return Err(error),
            Ok(Err(Stop::Fault(fault))) => Err(fault),
            Ok(Ok(progress)) => Ok(progress),
            Err(_) => Err(Fault::last(Code::Timeout, &patience.timeout_error)),
        };
        self.step.progress.memo = memo;
        Ok(self.land(answer, &patience))
    }

    /// Makes the begin durable before anything is done, the first time.
    async fn begin(&mut self) -> Result<(), JournalError> {
        let now = self.scribe.now();
        let progress = &mut self.step.progress;
        let fresh = match self.direction {
            Direction::Forward => progress.state == StepState::Pending,
            Direction::Back => progress.state != StepState::Undoing,
        };
        if !fresh {
            return Ok(());
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
        self.scribe
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

    fn time_left(&self, patience: &Patience) -> Duration {
        let now = self.scribe.now();
        let spent = now - self.begun_at().unwrap_or(now);
        patience
            .limit
            .saturating_sub(spent.to_std().unwrap_or_default())
    }

    fn land(self, answer: Result<Progress, Fault>, patience: &Patience) -> Landed {
        match answer {
            Ok(Progress::Done(effects)) => {
                let success = self.success();
                self.ended(success, None, effects)
            }
            Ok(Progress::Skipped { why }) => {
                self.ended(StepState::Skipped, Some((Code::Kept, why)), Vec::new())
            }
            Ok(Progress::Waiting { on, again }) => self.waiting(on, again, patience),
            Err(Fault::Final { code, why }) => self.failed(code, why),
            Err(Fault::Passing { why, after }) => self.failed_for_now(why, after, patience),
        }
    }

    fn success(&self) -> StepState {
        match self.direction {
            Direction::Forward => StepState::Done,
            Direction::Back => StepState::Undone,
        }
    }

    fn failed(self, code: Code, why: String) -> Landed {
        let state = match self.direction {
            Direction::Forward => StepState::Failed,
            Direction::Back => StepState::UndoFailed,
        };
        self.ended(state, Some((code, why)), Vec::new())
    }

    fn waiting(mut self, on: String, again: Duration, patience: &Patience) -> Landed {
        let left = self.time_left(patience);
        if left.is_zero() {
            let why = patience.timeout_error.clone();
            return self.failed(Code::Timeout, why);
        }
        let before = self.step.progress.clone();
        let now = self.scribe.now();
        let spent = now - self.begun_at().unwrap_or(now);
        // A step that asks for a longer pause than a look's knows when it wants to be looked at.
        let again = if again > self.options.status_poll {
            again
        } else {
            until_next_look(spent.to_std().unwrap_or_default(), again)
        };
        let progress = &mut self.step.progress;
        let news = progress.note.as_deref() != Some(on.as_str());
        progress.note = Some(on);
        progress.wake_at = Some(now + delta(again.min(left)));
        Landed {
            position: self.step.position,
            worth_writing: news || progress.memo != before.memo,
            progress: self.step.progress,
            effects: Vec::new(),
        }
    }

    /// Tries again later, unless the tries or the time are used up; then the last error is the one recorded.
    fn failed_for_now(
        mut self,
        why: String,
        after: Option<Duration>,
        patience: &Patience,
    ) -> Landed {
        let left = self.time_left(patience);
        let tries = self.step.progress.failed_tries + 1;
        let used_up = patience.retries.is_some_and(|retries| tries > retries);
        if used_up || left.is_zero() {
            self.step.progress.failed_tries = tries;
            return self.failed(Code::Unavailable, why);
        }
        let pause = after
            .unwrap_or_else(|| backoff(&self.options, tries))
            .min(left);
        let now = self.scribe.now();
        let progress = &mut self.step.progress;
        progress.failed_tries = tries;
        progress.note = Some(format!("will be tried again: {why}"));
        progress.wake_at = Some(now + delta(pause));
        Landed {
            position: self.step.position,
            progress: self.step.progress,
            effects: Vec::new(),
            worth_writing: true,
        }
    }

    fn ended(
        mut self,
        state: StepState,
        why: Option<(Code, String)>,
        mut effects: Vec<Effect>,
    ) -> Landed {
        let now = self.scribe.now();
        let progress = &mut self.step.progress;
        progress.state = state;
        progress.wake_at = None;
        progress.note = None;
        progress.finished_at = Some(now);
        if let Some((code, why)) = why {
            progress.error = Some(why);
            progress.error_code = Some(code);
        }
        effects.extend(crate::walk::parent_effect(
            &self.operation,
            &self.step.key,
            progress,
        ));
        Landed {
            position: self.step.position,
            progress: self.step.progress,
            effects,
            worth_writing: true,
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
