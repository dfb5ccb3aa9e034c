//! For how long an operation has kept servers down: what it costs, whether or not it was worth it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    id::ServerId,
    operation::{StepRecord, StepState},
    runbook::Step,
};

/// The time in which at least one server was down since an operation had stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the first server was asked to stop.
    pub from: DateTime<Utc>,
    /// When the last one ran again, as it was or as its copy; `None` while one is down.
    pub until: Option<DateTime<Utc>>,
}

impl Outage {
    /// How long it was; `None` while it lasts.
    pub fn length(&self) -> Option<TimeDelta> {
        self.until.map(|until| until - self.from)
    }
}

/// The word for a server that ran before it was stopped.
const RAN: &str = "ACTIVE";

/// The outage that an operation with the lines `steps` has caused; `None` where it has stopped nothing that ran.
pub fn outage_of(steps: &[StepRecord]) -> Option<Outage> {
    let downs = steps.iter().filter_map(|step| down(steps, step));
    downs.reduce(|one, other| Outage {
        from: one.from.min(other.from),
        until: one
            .until
            .zip(other.until)
            .map(|(one, other)| one.max(other)),
    })
}

/// For how long the server that `stop` has stopped was down.
fn down(steps: &[StepRecord], stop: &StepRecord) -> Option<Outage> {
    let Step::StopServer { server } = &stop.action else {
        return None;
    };
    let memo = &stop.progress.memo;
    if memo.intents == 0 || memo.seen.before.as_deref() != Some(RAN) {
        return None;
    }
    let until = match stop.progress.state {
        StepState::Undone => stop.progress.finished_at,
        _ => copy_ran_at(steps, server),
    };
    Some(Outage {
        from: stop.progress.started_at?,
        until,
    })
}

/// When the copy of a server was seen running, if it was not taken back since.
fn copy_ran_at(steps: &[StepRecord], server: &ServerId) -> Option<DateTime<Utc>> {
    let built = steps.iter().find(|step| {
        matches!(&step.action, Step::RecreateServer { server: of } if of == server)
            && step.progress.state == StepState::Done
    });
    built?.progress.finished_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operation::{Memo, SeenByStep, StepProgress},
        runbook::{Reported, Verb},
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn line(action: Step, state: StepState, begun: i64, ended: Option<i64>) -> StepRecord {
        StepRecord {
            position: 0,
            phase: 0,
            phase_name: "phase".into(),
            verb: Verb::Undoable,
            reported: Reported::Never,
            key: "phase:line".into(),
            action,
            resource_id: None,
            after: Vec::new(),
            progress: StepProgress {
                state,
                started_at: Some(at(begun)),
                finished_at: ended.map(at),
                memo: Memo {
                    intents: 1,
                    seen: SeenByStep {
                        before: Some(RAN.into()),
                        ..SeenByStep::default()
                    },
                    ..Memo::default()
                },
                ..StepProgress::default()
            },
        }
    }

    fn stop(server: &str, state: StepState, begun: i64, ended: i64) -> StepRecord {
        let server = server.into();
        line(Step::StopServer { server }, state, begun, Some(ended))
    }

    fn build(server: &str, ended: Option<i64>) -> StepRecord {
        let server = server.into();
        let state = match ended {
            Some(_) => StepState::Done,
            None => StepState::Running,
        };
        line(Step::RecreateServer { server }, state, 50, ended)
    }

    fn outage(steps: Vec<StepRecord>) -> Option<(i64, Option<i64>)> {
        let outage = outage_of(&steps)?;
        let length = outage.length().map(|length| length.num_seconds());
        Some((outage.from.timestamp(), length))
    }

    #[test]
    fn a_move_costs_the_time_from_its_first_stop_to_its_last_copy() {
        let stops = || {
            [
                stop("a", StepState::Done, 10, 20),
                stop("b", StepState::Done, 12, 22),
            ]
        };
        let moved = [build("a", Some(60)), build("b", Some(90))];
        assert_eq!(outage([stops(), moved].concat()), Some((10, Some(80))));
        let under_way = [build("a", Some(60)), build("b", None)];
        assert_eq!(outage([stops(), under_way].concat()), Some((10, None)));
    }

    #[test]
    fn a_move_that_was_taken_back_costs_the_time_until_the_original_ran_again() {
        let taken_back = vec![stop("a", StepState::Undone, 10, 45), build("a", None)];
        assert_eq!(outage(taken_back), Some((10, Some(35))));
        let left_stopped = vec![stop("a", StepState::UndoFailed, 10, 45)];
        assert_eq!(outage(left_stopped), Some((10, None)));
    }

    #[test]
    fn what_did_not_run_or_was_not_stopped_costs_nothing() {
        let mut was_off = stop("a", StepState::Done, 10, 20);
        was_off.progress.memo.seen.before = Some("SHUTOFF".into());
        let mut not_asked = stop("b", StepState::Failed, 10, 20);
        not_asked.progress.memo.intents = 0;
        assert_eq!(outage(vec![was_off, not_asked]), None);
    }
}
