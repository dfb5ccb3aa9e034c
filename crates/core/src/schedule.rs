//! What comes next in an operation: a pure function of its record, so that a restarted engine decides as the first did.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::{
    fault::Code,
    group::GroupStatus,
    id::{ServerId, VolumeId},
    journal::Effect,
    operation::{Operation, OperationKind, OperationRecord, OperationState, StepRecord, StepState},
    runbook::{Step, Verb},
};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Carry these lines out, by position. Empty: wait for those that are under way or for `wake_at`.
    Run(Vec<u32>),
    /// Take these lines back.
    Undo(Vec<u32>),
    /// A line failed before the point of no return: turn round.
    Unwind {
        /// Why, naming the line.
        error: String,
        /// The kind of failure.
        code: Code,
    },
    /// Nothing is left to do.
    Settle(OperationState),
}

/// What comes next in `record` at `now`. Lines that wait for a later time are not listed.
pub fn next(record: &OperationRecord, now: DateTime<Utc>) -> Next {
    match record.operation.state {
        OperationState::Queued | OperationState::Running => {
            if let Some(turned) = abort_asked(record) {
                return turned;
            }
            settled_as(record.operation.kind, forward(&record.steps, now))
        }
        OperationState::Unwinding => backward(record, now),
        ended => Next::Settle(ended),
    }
}

/// An abort that somebody has asked for, while everything can still be taken back.
fn abort_asked(record: &OperationRecord) -> Option<Next> {
    let user = record.aborted_by()?;
    abortable(record).ok()?;
    Some(Next::Unwind {
        error: format!("aborted by user {user}"),
        code: Code::Aborted,
    })
}

/// Why an operation cannot be given up any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAbortable {
    Ended,
    /// The copies of its test failover are up; a test cleanup removes them.
    CopiesAreUp,
    /// The group has moved.
    PastThePointOfNoReturn,
    /// It has begun to delete what cannot be made again. Each of its lines has a limit of time, so it ends.
    Deletes,
}

/// Whether `record` can be given up, with everything that it has done taken back.
///
/// # Errors
///
/// Why not.
pub fn abortable(record: &OperationRecord) -> Result<(), NotAbortable> {
    match record.operation.state {
        OperationState::Completed | OperationState::Failed => return Err(NotAbortable::Ended),
        OperationState::AwaitingCleanup => return Err(NotAbortable::CopiesAreUp),
        OperationState::Unwinding => return Ok(()),
        OperationState::Queued | OperationState::Running => {}
    }
    let has = |verb, is_so: fn(StepState) -> bool| {
        record
            .steps
            .iter()
            .any(|step| step.verb == verb && is_so(step.progress.state))
    };
    if has(Verb::Switch, StepState::has_ended) || has(Verb::Forward, StepState::has_ended) {
        return Err(NotAbortable::PastThePointOfNoReturn);
    }
    if has(Verb::Attempt, has_begun) {
        return Err(NotAbortable::Deletes);
    }
    Ok(())
}

fn has_begun(state: StepState) -> bool {
    !matches!(state, StepState::Pending | StepState::Skipped)
}

/// A test failover that has reached its purpose is not over: its copies are up until a test cleanup completes it.
fn settled_as(kind: OperationKind, next: Next) -> Next {
    match (kind, next) {
        (OperationKind::TestFailover, Next::Settle(OperationState::Completed)) => {
            Next::Settle(OperationState::AwaitingCleanup)
        }
        (_, next) => next,
    }
}

/// The earliest time at which a waiting line wants to be looked at again.
pub fn wake_at<'a>(steps: impl Iterator<Item = &'a StepRecord>) -> Option<DateTime<Utc>> {
    steps
        .filter(|step| {
            matches!(
                step.progress.state,
                StepState::Running | StepState::Undoing | StepState::Pending
            )
        })
        .filter_map(|step| step.progress.wake_at)
        .min()
}

fn forward(steps: &[StepRecord], now: DateTime<Utc>) -> Next {
    let front = Front::of(steps);
    if let Some(step) = superseded(steps).or(front.failed_undoable) {
        return Next::Unwind {
            error: explain(step),
            code: step.progress.error_code.unwrap_or(Code::Internal),
        };
    }
    if front.failed_forward {
        return Next::Settle(OperationState::Failed);
    }
    if front.open == u32::MAX {
        return Next::Settle(OperationState::Completed);
    }
    Next::Run(
        steps
            .iter()
            .filter(|step| may_run(steps, &front, step) && is_due(step, now))
            .map(|step| step.position)
            .collect(),
    )
}

/// The line that has found the group moved by the other site, if one has. The operation ends with it: what it made may be
/// in use there, and what it stopped must not run beside that.
fn superseded(steps: &[StepRecord]) -> Option<&StepRecord> {
    steps
        .iter()
        .find(|step| step.progress.error_code == Some(Code::Superseded))
        .filter(|step| step.progress.state.has_ended())
}

/// The last phase first, but for the servers of the source and what keeps them from starting.
fn backward(record: &OperationRecord, now: DateTime<Utc>) -> Next {
    let steps = &record.steps;
    if superseded(steps).is_some() {
        return Next::Settle(OperationState::Failed);
    }
    let Some(phase) = steps
        .iter()
        .filter(|step| must_be_undone(step) && !makes_ports(step))
        .map(|step| step.phase)
        .max()
        .or_else(|| {
            let ports = steps.iter().find(|step| must_be_undone(step));
            ports.map(|step| step.phase)
        })
    else {
        return Next::Settle(OperationState::Failed);
    };
    let open = OpenUndos::of(record);
    let in_the_way: BTreeSet<_> = may_still_have_a_copy(record)
        .into_iter()
        .chain(open.servers_on_fenced_volumes())
        .collect();
    let has_its_turn = |step: &StepRecord| match &step.action {
        Step::RecreateServer { .. } => true,
        Step::StopServer { server } => !in_the_way.contains(server),
        // Nothing waits for a port, and it waits only for the copy that it may be in.
        Step::ReservePorts { server } | Step::CompletePorts { server } => {
            !open.builds.contains(server)
        }
        // A volume waits for what was made of itself alone: another one that hangs keeps no server stopped but its own.
        Step::ManageVolume { volume } => !open.is_build_of_its_server_open(volume),
        Step::PromoteVolume { volume } | Step::CloneVolume { volume } => {
            !open.imports.contains(volume)
        }
        Step::FenceVolume { volume } => !open.promotions.contains(volume),
        _ => step.phase == phase,
    };
    Next::Undo(
        steps
            .iter()
            .filter(|step| must_be_undone(step) && is_due(step, now) && has_its_turn(step))
            .map(|step| step.position)
            .collect(),
    )
}

fn makes_ports(step: &StepRecord) -> bool {
    matches!(
        step.action,
        Step::ReservePorts { .. } | Step::CompletePorts { .. }
    )
}

/// What is still to be taken back, by what it was made of: [`stands_on`](crate::runbook::stands_on) in one pass over the lines,
/// of which an operation may have thousands.
struct OpenUndos<'a> {
    builds: BTreeSet<&'a ServerId>,
    imports: BTreeSet<&'a VolumeId>,
    promotions: BTreeSet<&'a VolumeId>,
    fences: BTreeSet<&'a VolumeId>,
    /// The server of each volume of the plan.
    servers: BTreeMap<&'a VolumeId, &'a ServerId>,
}

impl<'a> OpenUndos<'a> {
    fn of(record: &'a OperationRecord) -> Self {
        let volumes = record.operation.plan.volumes();
        let mut open = Self {
            builds: BTreeSet::new(),
            imports: BTreeSet::new(),
            promotions: BTreeSet::new(),
            fences: BTreeSet::new(),
            servers: volumes
                .map(|(member, volume)| (&volume.id, &member.server_id))
                .collect(),
        };
        for step in record.steps.iter().filter(|step| must_be_undone(step)) {
            match &step.action {
                Step::RecreateServer { server } => open.builds.insert(server),
                Step::ManageVolume { volume } => open.imports.insert(volume),
                Step::PromoteVolume { volume } | Step::CloneVolume { volume } => {
                    open.promotions.insert(volume)
                }
                Step::FenceVolume { volume } => open.fences.insert(volume),
                _ => continue,
            };
        }
        open
    }

    fn is_build_of_its_server_open(&self, volume: &VolumeId) -> bool {
        let server = self.servers.get(volume);
        server.is_some_and(|server| self.builds.contains(server))
    }

    /// The servers of which a volume takes no writes until its fence is undone: a guest that is started on it fails.
    fn servers_on_fenced_volumes(&self) -> impl Iterator<Item = &'a ServerId> {
        let fences = self.fences.iter();
        fences.filter_map(|volume| self.servers.get(volume).copied())
    }
}

/// The servers that have to wait for their start, as [`stands_on`](crate::runbook::stands_on) says. All others are started at
/// once: who was stopped is down until then, and what else there is to take back on a target that does not answer may take
/// an hour.
fn may_still_have_a_copy(record: &OperationRecord) -> BTreeSet<&ServerId> {
    let mut unanswered = BTreeSet::new();
    let mut in_the_way = BTreeSet::new();
    for step in &record.steps {
        let Step::RecreateServer { server } = &step.action else {
            continue;
        };
        if step.progress.memo.unanswered_at.is_some() {
            unanswered.insert(server);
        }
        if must_be_undone(step) {
            in_the_way.insert(server);
        }
    }
    let members = &record.operation.plan.members;
    for member in members
        .iter()
        .filter(|member| unanswered.contains(&member.server_id))
    {
        let is_open = record.steps.iter().any(|step| {
            must_be_undone(step)
                && matches!(&step.action, Step::ManageVolume { volume }
                    if member.volumes.iter().any(|known| known.id == *volume))
        });
        if is_open {
            in_the_way.insert(&member.server_id);
        }
    }
    in_the_way
}

fn explain(step: &StepRecord) -> String {
    let why = step.progress.error.as_deref().unwrap_or("no reason given");
    format!("{}: {why}", step.key)
}

fn is_due(step: &StepRecord, now: DateTime<Utc>) -> bool {
    step.progress.wake_at.is_none_or(|wake_at| wake_at <= now)
}

fn must_be_undone(step: &StepRecord) -> bool {
    matches!(step.verb, Verb::Undoable | Verb::Member)
        && matches!(
            step.progress.state,
            StepState::Running | StepState::Done | StepState::Failed | StepState::Undoing
        )
}

/// How far the phases are, and what has failed: all that one pass over the lines can tell. It is asked for after every
/// look, and an operation may have thousands of lines.
struct Front<'a> {
    /// The first phase with an open line; `u32::MAX` when all have ended.
    open: u32,
    /// The same without attempts.
    open_but_attempts: u32,
    /// The same without notices.
    open_but_notices: u32,
    /// The first line that failed before the point of no return was behind it.
    failed_undoable: Option<&'a StepRecord>,
    /// Whether one failed after it.
    failed_forward: bool,
}

impl<'a> Front<'a> {
    fn of(steps: &'a [StepRecord]) -> Self {
        let mut front = Self {
            open: u32::MAX,
            open_but_attempts: u32::MAX,
            open_but_notices: u32::MAX,
            failed_undoable: None,
            failed_forward: false,
        };
        for step in steps {
            front.see(step);
        }
        front
    }

    fn see(&mut self, step: &'a StepRecord) {
        if !step.progress.state.has_ended() {
            self.open = self.open.min(step.phase);
            if step.verb != Verb::Attempt {
                self.open_but_attempts = self.open_but_attempts.min(step.phase);
            }
            if step.verb != Verb::Notice {
                self.open_but_notices = self.open_but_notices.min(step.phase);
            }
        }
        if step.progress.state == StepState::Failed {
            match step.verb {
                Verb::Undoable | Verb::Switch => {
                    self.failed_undoable.get_or_insert(step);
                }
                Verb::Forward => self.failed_forward = true,
                Verb::Member | Verb::Attempt | Verb::Notice => {}
            }
        }
    }

    /// Whether every phase before the line's own has ended. Attempts do not hold each other up: a volume's deletion
    /// begins when its own server's has ended, not when all servers' have. Nor do notices that name what they wait for.
    fn has_reached(&self, step: &StepRecord) -> bool {
        match step.verb {
            Verb::Attempt => self.open_but_attempts >= step.phase,
            Verb::Notice if !step.after.is_empty() => self.open_but_notices >= step.phase,
            Verb::Undoable | Verb::Member | Verb::Switch | Verb::Forward | Verb::Notice => {
                self.open >= step.phase
            }
        }
    }
}

fn may_run(steps: &[StepRecord], front: &Front<'_>, step: &StepRecord) -> bool {
    !step.progress.state.has_ended()
        && front.has_reached(step)
        && step.after.iter().all(|position| {
            steps
                .get(*position as usize)
                .is_some_and(|other| other.progress.state.has_ended())
        })
}

/// What changes beside `operation` itself, its group or its parent, when it ends as `outcome`; `None` where nothing does.
///
/// A move that was taken back leaves the group at rest where it ran, unless a source server could not be started again, or
/// the switch to recovered members failed: then nobody knows where the group runs. An operation that was superseded says nothing about the
/// group: what the other site says of it comes from there. A cleanup that starts the last of those servers ends
/// the error. A test cleanup completes its test failover, whatever it had to leave.
pub fn effect_at_end(
    operation: &Operation,
    steps: &[StepRecord],
    outcome: OperationState,
) -> Option<Effect> {
    if superseded(steps).is_some() {
        return None;
    }
    let group_id = operation.group_id.clone();
    match (operation.kind, outcome) {
        (OperationKind::Failover | OperationKind::Failback, OperationState::Failed) => {
            Some(after_failed_move(operation, steps))
        }
        (OperationKind::Retry, OperationState::Failed) => Some(Effect::GroupAtRest { group_id }),
        (OperationKind::Cleanup, OperationState::Completed) if starts_something(steps) => operation
            .parent_id
            .clone()
            .map(|failed| Effect::GroupMended { group_id, failed }),
        (OperationKind::TestCleanup, OperationState::Completed) => operation
            .parent_id
            .clone()
            .map(|operation_id| Effect::ParentCompleted { operation_id }),
        _ => None,
    }
}

fn after_failed_move(operation: &Operation, steps: &[StepRecord]) -> Effect {
    let group_id = operation.group_id.clone();
    // What it was to go forward with is as it was.
    let adopted_nothing = operation.plan.adopts.is_some();
    let stays_stopped = steps.iter().any(|step| {
        step.progress.state == StepState::UndoFailed && step.action.takes_from_the_source()
    });
    let failed_forward = steps
        .iter()
        .any(|step| step.verb == Verb::Forward && step.progress.state == StepState::Failed);
    if adopted_nothing || stays_stopped || failed_forward {
        Effect::GroupStatus {
            group_id,
            status: GroupStatus::Error,
        }
    } else {
        Effect::GroupAtRest { group_id }
    }
}

/// Whether a cleanup had stopped servers to start, or fenced volumes to set free.
fn starts_something(steps: &[StepRecord]) -> bool {
    steps
        .iter()
        .any(|step| matches!(&step.action, Step::TakeBack { line } if line.takes_from_the_source()))
}

/// The servers that a failed operation has stopped, and that neither it nor a cleanup could start again.
pub fn left_stopped(steps: &[StepRecord]) -> impl Iterator<Item = &ServerId> {
    steps
        .iter()
        .filter(|step| step.progress.state == StepState::UndoFailed)
        .filter_map(|step| match &step.action {
            Step::StopServer { server } => Some(server),
            _ => None,
        })
}
