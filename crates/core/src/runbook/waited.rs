//! Whether copies served before their operation takes them back: whoever waits for a person, or for long, has copies that serve
//! meanwhile, and what is brought up because its original is lost is in use as soon as it runs.

use chrono::{DateTime, TimeDelta, Utc};

use super::Step;
use crate::{
    id::ServerId,
    member::Member,
    operation::{MapKind, OperationKind, OperationRecord, StepRecord, StepState},
};

/// Copies that have been up for longer than this are taken to serve, whatever their operation was at.
const SERVES_AFTER: TimeDelta = TimeDelta::minutes(15);

/// Whether what `step` of `record` has made may have been used by people before it is taken back, `now` at the earliest: the
/// copy that it belongs to, or the import where no copy was built, was there when the operation came to a pause, had told
/// somebody with a hook, or for longer than a quarter of an hour. The copy of a server whose site is lost, as soon as it was asked
/// for.
///
/// A hook that has failed has told nobody to go on: it has asked that all be taken back.
///
/// Not in an operation that somebody gives up: he has been told what is discarded then. Nor in a test, whose copies are
/// nobody's work.
pub fn served_while_it_waited(
    record: &OperationRecord,
    step: &StepRecord,
    now: DateTime<Utc>,
) -> bool {
    let operation = &record.operation;
    if operation.kind == OperationKind::TestFailover || record.aborted_by().is_some() {
        return false;
    }
    let makes = matches!(
        step.action,
        Step::RecreateServer { .. } | Step::ManageVolume { .. } | Step::PromoteVolume { .. }
    );
    let Some(member) = step.action.member(&operation.plan).filter(|_| makes) else {
        return false;
    };
    let builds: Vec<&StepRecord> = builds_of(record, &member.server_id).collect();
    let is_built = builds
        .iter()
        .any(|build| build.progress.memo.has_made_something());
    if is_built && record.operation.is_unplanned() {
        return true;
    }
    let turned = turned_round(record).unwrap_or(now);
    let served =
        |made: &StepRecord| was_up_for_long(made, turned) || somebody_was_told(record, made);
    match (&step.action, is_built) {
        (Step::ManageVolume { .. } | Step::PromoteVolume { .. }, false) => {
            imports_of(record, &member.server_id).any(served)
        }
        _ => builds.into_iter().any(served),
    }
}

/// A copy of a member's server that an operation has made, or takes over, before it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyThere<'r> {
    pub member: &'r Member,
    /// The copy's id on the target.
    pub server: &'r str,
    /// Since when it is up; `None` where that has not been seen.
    pub up_since: Option<DateTime<Utc>>,
    /// Whether another operation has made it: then it is not taken back.
    pub taken_over: bool,
}

/// The copies that `record` knows of, and has not taken back: what is discarded, or kept, when it is given up.
pub fn copies_there(record: &OperationRecord) -> Vec<CopyThere<'_>> {
    let members = record.operation.plan.members.iter();
    let there = members.filter_map(|member| {
        let build = builds_of(record, &member.server_id)
            .find(|build| build.progress.state != StepState::Undone)?;
        let progress = &build.progress;
        let known = record
            .map
            .target(MapKind::Server, member.server_id.as_str());
        Some(CopyThere {
            member,
            server: known.or(progress.memo.made.as_deref())?,
            up_since: progress.finished_at.filter(|_| progress.error.is_none()),
            taken_over: progress.memo.adopted,
        })
    });
    there.collect()
}

fn builds_of<'r>(
    record: &'r OperationRecord,
    server: &'r ServerId,
) -> impl Iterator<Item = &'r StepRecord> {
    let is_its_build = move |line: &&StepRecord| matches!(&line.action, Step::RecreateServer { server: built } if built == server);
    record.steps.iter().filter(is_its_build)
}

fn imports_of<'r>(
    record: &'r OperationRecord,
    server: &'r ServerId,
) -> impl Iterator<Item = &'r StepRecord> {
    let plan = &record.operation.plan;
    let is_its_import = move |line: &&StepRecord| {
        matches!(line.action, Step::ManageVolume { .. })
            && line
                .action
                .member(plan)
                .is_some_and(|member| member.server_id == *server)
    };
    record.steps.iter().filter(is_its_import)
}

/// When the operation began to take back what it had made.
fn turned_round(record: &OperationRecord) -> Option<DateTime<Utc>> {
    let begun = record.steps.iter();
    begun.filter_map(|step| step.progress.undo_started_at).min()
}

fn was_up_for_long(made: &StepRecord, until: DateTime<Utc>) -> bool {
    let progress = &made.progress;
    let up_since = progress.finished_at.filter(|_| progress.error.is_none());
    up_since.is_some_and(|since| until - since > SERVES_AFTER)
}

/// Whether somebody was told, or asked, behind the phase of `made`. What is behind a phase has begun when all of that phase was
/// there.
fn somebody_was_told(record: &OperationRecord, made: &StepRecord) -> bool {
    let mut later = record.steps.iter().filter(|line| line.phase > made.phase);
    later.any(tells_somebody)
}

fn tells_somebody(line: &StepRecord) -> bool {
    let progress = &line.progress;
    let has_begun = progress.started_at.is_some();
    match line.action {
        Step::Pause { .. } => has_begun,
        Step::CallHook { .. } => has_begun && progress.error.is_none(),
        _ => false,
    }
}
