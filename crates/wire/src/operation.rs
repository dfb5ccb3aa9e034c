//! Operations and actions on the wire.

use std::collections::BTreeMap;

use chrono::DateTime;
use protector_core::{
    id::SiteName,
    operation::{
        FailedStep, MapKind, OperationRecord, OperationState, StepRecord, StepState, progress,
        steps_completed, steps_failed,
    },
    outage::outage_of,
    outline::{OperationOutline, StepOutline},
    runbook::{Step, cleanup::is_left, resource::ResourceKind},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    leftover::CleanupView,
    page::{Link, SortDir},
    text::Timestamp,
};

/// Body of `POST …/protection-groups/{group}/action`: exactly one key, the action's name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Move the group to its other site.
    Failover(Failover),
    /// Bring it back.
    Failback(Failback),
    /// Start copies on the other site; what runs on this one is not touched.
    #[serde(alias = "test-failover")]
    TestFailover(TestFailover),
    /// Remove what a test failover made.
    #[serde(alias = "test-cleanup")]
    TestCleanup(TestCleanup),
    /// Replicate the group's volumes now: an empty object or null.
    Sync(Option<NoOptions>),
    /// Recover the members that an unplanned failover could not.
    Retry(Retry),
    /// Stop what an unplanned failover left running on the site that was lost: an empty object or null.
    Fence(Option<NoOptions>),
}

/// A failover asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// Whether the source takes part.
    #[serde(rename = "type")]
    pub kind: FailoverKind,
    /// Network on the primary site → network on the secondary site, for this operation, over the stored mapping.
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary site → flavor on the secondary site, for this operation, over the stored mapping.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
    /// Leave the source volumes detached and intact. `[engine] retain_source_volumes_on_failover` when left out.
    pub retain_source_volumes: Option<bool>,
    /// The recovery point to go to, where the source takes no part, by its id (`GET …/recovery-points`); the latest when left out. Version 1.3.
    pub recovery_point: Option<String>,
    /// Start nothing and tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Another try at the members that an unplanned failover could not recover.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// That failover; the group's newest when left out.
    pub operation_id: Option<String>,
    /// Network on the primary site → network on the secondary site, over the failover's mapping.
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary site → flavor on the secondary site, over the failover's mapping.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
    /// Said of originals that are back on the site that was lost, and stopped: what they have written since the recovery point
    /// may be lost.
    #[serde(default)]
    pub lose_newer_writes: bool,
}

impl Failover {
    /// One that asks for nothing but its kind.
    pub fn of_kind(kind: FailoverKind) -> Self {
        Self {
            kind,
            network_mapping: BTreeMap::new(),
            flavor_mapping: BTreeMap::new(),
            retain_source_volumes: None,
            recovery_point: None,
            dry_run: false,
        }
    }
}

/// A failback asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failback {
    /// Whether the site that the group leaves takes part.
    #[serde(rename = "type", default)]
    pub kind: FailoverKind,
    /// Network on the primary site → network on the secondary site, for this operation, over the stored mapping; a
    /// failback reads both backwards.
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary site → flavor on the secondary site, likewise.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
    /// Leave the volumes on the site that the group leaves detached and intact.
    #[serde(default)]
    pub retain_source_volumes: bool,
    /// The recovery point to go to, where the source takes no part, by its id (`GET …/recovery-points`); the latest when left out. Version 1.3.
    pub recovery_point: Option<String>,
    /// Start nothing and tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// A test failover asked for.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestFailover {
    /// Network on the primary site → test network on the secondary site, for this operation, over the stored mapping.
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// Flavor on the primary site → flavor on the secondary site, for this operation, over the stored mapping.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
    /// The recovery point to go to, by its id (`GET …/recovery-points`); the latest when left out. Version 1.3.
    pub recovery_point: Option<String>,
}

/// The cleanup of a test failover asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCleanup {
    /// The operation of the test failover.
    pub test_operation_id: String,
}

/// An empty object.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// Whether the source of a move takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverKind {
    /// Both sites answer: nothing is lost.
    #[default]
    Planned,
    /// The source is lost, and is not asked: what was written there after the latest recovery point is lost too.
    Unplanned,
}

/// Query of the list of operations.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OperationQuery {
    /// Only operations of this protection group, by name or id.
    pub protection_group: Option<String>,
    /// Only operations in this status: `running`, `completed` or `failed`; or `pending` for those of the running ones
    /// that no engine has begun yet.
    pub status: Option<StatusWord>,
    /// Only operations of this type.
    pub operation_type: Option<TypeWord>,
    /// Only operations that left something behind which a cleanup can remove.
    #[serde(default)]
    pub leftovers: bool,
    /// The most entries to return, at most `[api] max_limit`.
    pub limit: Option<u32>,
    /// The id of the last operation of the page before.
    pub marker: Option<String>,
    /// `created_at` (default) or `operation_type`.
    #[serde(default)]
    pub sort_key: OperationSortKey,
    /// `desc` (default, newest first) or `asc`.
    #[serde(default)]
    pub sort_dir: SortDir,
}

/// What operations are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationSortKey {
    /// When they were asked for.
    #[default]
    CreatedAt,
    /// Their types.
    OperationType,
}

/// An operation's status in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusWord {
    /// Accepted, and not begun by an engine yet: shown as `running` in phase `queued`.
    Pending,
    /// Accepted and not ended.
    Running,
    /// Ended, its purpose reached.
    Completed,
    /// Ended, its purpose not reached.
    Failed,
}

impl StatusWord {
    /// The word that operations show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// An operation's type in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeWord {
    /// Moves a group to its other site.
    Failover,
    /// Brings it back.
    Failback,
    /// Starts copies on the other site.
    #[serde(alias = "test-failover")]
    TestFailover,
    /// Removes what a test failover made.
    #[serde(alias = "test-cleanup")]
    TestCleanup,
    /// Deletes what an earlier operation left.
    Cleanup,
    /// Replicates a group's volumes.
    Sync,
    /// Recovers the members that an unplanned failover could not.
    Retry,
    /// Stops what an unplanned failover left running.
    Fence,
    /// Starts the VMs again that a move to a lost site has stopped.
    Abort,
}

impl TypeWord {
    /// The word that operations show.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::TestFailover => "test_failover",
            Self::TestCleanup => "test_cleanup",
            Self::Cleanup => "cleanup",
            Self::Sync => "sync",
            Self::Retry => "retry",
            Self::Fence => "fence",
            Self::Abort => "abort",
        }
    }
}

/// Query of one operation.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DetailQuery {
    /// Show each step.
    #[serde(default)]
    pub detail: bool,
}

/// Answer with one operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperationAnswer {
    /// The operation.
    pub operation: OperationView,
}

/// An operation of either site: this one's own, or the copy of one that the other site runs, as that one shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ShownOperation {
    /// This site's own.
    Here(Box<OperationView>),
    /// The other site's.
    Elsewhere(Value),
}

/// Answer with one operation of either site.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownOperationAnswer {
    /// The operation.
    #[schema(value_type = OperationView)]
    pub operation: ShownOperation,
}

/// Answer with a page of operations.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperationsAnswer {
    /// The operations of both sites; `home_site` says which one runs each.
    #[schema(value_type = Vec<OperationView>)]
    pub operations: Vec<ShownOperation>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations_links: Option<Vec<Link>>,
}

/// One run of a runbook for a group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// `op-` and a UUID.
    pub id: String,
    /// `failover`, `failback`, `test_failover`, `test_cleanup`, `cleanup`, `sync`, `retry`, `fence` or `abort`.
    #[schema(value_type = String)]
    pub operation_type: &'static str,
    /// Of a failover or a failback: `planned`, or `unplanned` where its source is lost.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planning: Option<&'static str>,
    /// `running`, `completed` or `failed`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Percent.
    pub progress: u8,
    /// The site that the group leaves.
    pub source_site: String,
    /// The site that the group goes to.
    pub target_site: String,
    /// When an engine began with it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What is done, in order.
    pub steps_completed: Vec<String>,
    /// What failed.
    pub steps_failed: Vec<FailedStepView>,
    /// How many lines a cleanup would take up: what failed, could not be taken back, or was retained. 0 while the
    /// operation runs, and for a cleanup, whose lines are its parent's.
    pub leftovers: usize,
    /// The site whose protector runs the operation. Another than the one that answers: this is a copy, to be read.
    pub home_site: String,
    /// The recovery point that was brought up, where the operation chose one: not in a planned failover, which makes one.
    pub recovery_point: Option<RecoveryPointView>,
    /// An unplanned failover: the seconds before it whose changes are lost.
    pub data_loss_seconds: Option<i64>,
    /// When the first server that the operation has stopped was asked to stop; absent where it has stopped none that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_started_at: Option<Timestamp>,
    /// For how many seconds from then on at least one of them was down: until the last one ran again, as it was or as its
    /// copy. Absent while one is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_seconds: Option<i64>,
    /// Why the operation failed.
    pub error: Option<String>,
    /// The kind of that failure, `PRT-…`.
    #[schema(value_type = Option<String>)]
    pub error_code: Option<&'static str>,
    /// The group.
    pub protection_group_id: String,
    /// The group's name when the operation was asked for.
    pub protection_group: String,
    /// The operation whose leftovers this one removes.
    pub parent_operation_id: Option<String>,
    /// The failed operation whose copies this one makes the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopts_operation_id: Option<String>,
    /// The phase under way; `queued` before an engine begins, `paused` while it waits for a person, `rolling_back` while
    /// everything is taken back, `awaiting_cleanup` while the copies of a test failover are up.
    pub phase: Option<String>,
    /// Where it waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<PausedAt>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The request that made it.
    pub request_id: String,
    /// Each line, with `detail=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<StepView>>,
    /// What a cleanup set out to do, in the answer that starts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<CleanupView>,
}

/// A state of a group's volumes on the target's array.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RecoveryPointView {
    /// Its id on the array.
    pub id: String,
    /// The time whose data it holds.
    pub taken_at: Timestamp,
}

/// A pause of the recovery plan that an operation has come to. `POST …/operations/{operation}/resume` ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PausedAt {
    /// The pause's step.
    pub step: String,
    /// What the person is to do.
    pub message: String,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailedStepView {
    /// Its key.
    pub step: String,
    /// Why, with the cloud's own words.
    pub error: String,
    /// The resource's id on its cloud.
    pub resource_id: Option<String>,
}

impl From<FailedStep> for FailedStepView {
    fn from(failed: FailedStep) -> Self {
        Self {
            step: failed.step,
            error: failed.error,
            resource_id: failed.resource_id,
        }
    }
}

/// One line of an operation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepView {
    /// Its key, unique in the operation.
    pub key: String,
    /// Its phase.
    pub phase: String,
    /// `pending`, `running`, `done`, `failed`, `skipped`, `undoing`, `undone` or `undo_failed`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// The site on which it acts.
    pub site: String,
    /// `server`, `volume`, or null for a line about the whole group.
    #[schema(value_type = Option<String>)]
    pub resource_type: Option<&'static str>,
    /// The resource's id on that site; for a copy that is not made yet, its source's.
    pub resource_id: Option<String>,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How often the intent of a call that changes something was written down, right before the call.
    pub tries: u32,
    /// How many tries have failed in a way that may pass.
    pub failed_tries: u32,
    /// Whether its resource was retained by configuration.
    pub retained: bool,
    /// What it waits for.
    pub note: Option<String>,
    /// The last status word that the cloud reported for the resource.
    pub observed: Option<String>,
    /// Facts that made the step safe, or that explain its end.
    pub facts: Vec<String>,
    /// Request ids of the clouds' answers to the calls that changed something.
    pub request_ids: Vec<String>,
    /// Why it failed or was left out.
    pub error: Option<String>,
    /// The kind of that failure.
    #[schema(value_type = Option<String>)]
    pub error_code: Option<&'static str>,
}

/// How much of an operation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationDetail {
    /// The record.
    Record,
    /// The record and each of its lines.
    Steps,
}

impl OperationView {
    /// Shows `record`, which is kept on the site `home`.
    pub fn of(home: &SiteName, record: &OperationRecord, detail: OperationDetail) -> Self {
        let steps = record.steps.iter().map(|step| step_view(record, step));
        Self {
            steps: (detail == OperationDetail::Steps).then(|| steps.collect()),
            ..Self::outlined(home, &OperationOutline::from(record))
        }
    }

    /// Shows an operation, which is kept on the site `home`, without its lines.
    pub fn outlined(home: &SiteName, outline: &OperationOutline) -> Self {
        let operation = &outline.operation;
        let lines = &outline.lines;
        let paused_at = pause_reached(outline);
        let recovery_point = recovery_point(outline);
        let outage = outage_of(&outline.telling);
        Self {
            id: operation.id.to_string(),
            operation_type: operation.kind.as_str(),
            planning: operation
                .kind
                .is_a_move()
                .then(|| operation.planning.as_str()),
            status: operation.state.status(),
            progress: progress(operation.state, lines),
            source_site: operation.source_site.to_string(),
            target_site: operation.target_site.to_string(),
            started_at: operation.started_at.map(Timestamp),
            completed_at: operation.finished_at.map(Timestamp),
            steps_completed: steps_completed(lines),
            steps_failed: steps_failed(&outline.telling)
                .into_iter()
                .map(Into::into)
                .collect(),
            leftovers: outline.leftover_count(),
            home_site: home.to_string(),
            data_loss_seconds: recovery_point
                .as_ref()
                .filter(|_| operation.is_unplanned())
                .map(|point| {
                    (operation.created_at - point.taken_at.0)
                        .num_seconds()
                        .max(0)
                }),
            recovery_point,
            outage_started_at: outage.map(|outage| Timestamp(outage.from)),
            outage_seconds: outage
                .and_then(|outage| outage.length())
                .map(|length| length.num_seconds()),
            error: operation.error.clone(),
            error_code: operation.error_code.map(|code| code.as_str()),
            protection_group_id: operation.group_id.to_string(),
            protection_group: operation.plan.group_name.clone(),
            parent_operation_id: operation.parent_id.as_ref().map(ToString::to_string),
            adopts_operation_id: operation.plan.adopts.as_ref().map(ToString::to_string),
            phase: match paused_at {
                Some(_) => Some("paused".to_owned()),
                None if is_to_be_taken_back(outline) => Some("rolling_back".to_owned()),
                None => phase(operation.state, lines),
            },
            paused_at,
            created_at: operation.created_at.into(),
            request_id: operation.request_id.clone(),
            steps: None,
            cleanup: None,
        }
    }
}

fn recovery_point(outline: &OperationOutline) -> Option<RecoveryPointView> {
    let group = &outline.operation.group_id;
    let id = outline.map.recovery_point(group)?;
    let time = outline.map.recovery_point_time(group)?;
    let taken_at = DateTime::parse_from_rfc3339(&time).ok()?;
    Some(RecoveryPointView {
        id: id.to_string(),
        taken_at: taken_at.to_utc().into(),
    })
}

/// The pause at which an operation waits, until somebody lets it go on.
pub fn pause_reached(outline: &OperationOutline) -> Option<PausedAt> {
    let step = outline.telling.iter().find(|step| {
        step.progress.state == StepState::Running
            && matches!(step.action, Step::Pause { .. })
            && outline.map.resumed_by(&step.key).is_none()
    })?;
    let running =
        outline.operation.state == OperationState::Running && outline.aborted_by().is_none();
    let Step::Pause { number } = step.action else {
        return None;
    };
    let pause = outline.pauses.get(usize::try_from(number).ok()?)?;
    running.then(|| PausedAt {
        step: step.key.clone(),
        message: pause.message.clone(),
    })
}

/// Whether somebody has asked that it be given up, and its engine has not looked since.
fn is_to_be_taken_back(outline: &OperationOutline) -> bool {
    outline.aborted_by().is_some() && !outline.operation.state.is_terminal()
}

fn phase(state: OperationState, lines: &[StepOutline]) -> Option<String> {
    match state {
        OperationState::Queued => Some("queued".to_owned()),
        OperationState::Unwinding => Some("rolling_back".to_owned()),
        OperationState::AwaitingCleanup => Some("awaiting_cleanup".to_owned()),
        OperationState::Running => lines
            .iter()
            .find(|line| !line.state.has_ended())
            .map(|line| line.phase_name.clone()),
        OperationState::Completed | OperationState::Failed => None,
    }
}

/// The id that the step's resource has on the site where the step acts. Lines about a copy name what it is a copy of.
fn id_on_its_site(record: &OperationRecord, step: &StepRecord) -> Option<String> {
    let plan = &record.operation.plan;
    let named = step.resource_id.as_deref()?;
    let kind = match step.action.resource_kind() {
        Some(ResourceKind::Server) => MapKind::Server,
        Some(ResourceKind::Volume) => MapKind::Volume,
        // The line is named after the server, which may have several.
        Some(ResourceKind::Port) => return step.progress.memo.made.clone(),
        Some(ResourceKind::FloatingIp) | None => return Some(named.to_owned()),
    };
    let copy = (step.action.scope(plan) == &plan.target)
        .then(|| record.map.target(kind, named))
        .flatten();
    let made = step.progress.memo.made.as_deref();
    Some(made.or(copy).unwrap_or(named).to_owned())
}

/// Shows one line of `record`.
pub fn step_view(record: &OperationRecord, step: &StepRecord) -> StepView {
    let progress = &step.progress;
    StepView {
        key: step.key.clone(),
        phase: step.phase_name.clone(),
        state: progress.state.as_str(),
        site: step.action.scope(&record.operation.plan).site.to_string(),
        resource_type: step.action.resource_kind().map(ResourceKind::as_str),
        resource_id: id_on_its_site(record, step),
        started_at: progress.started_at.map(Timestamp),
        finished_at: progress.finished_at.map(Timestamp),
        tries: progress
            .memo
            .intents
            .saturating_add(progress.memo.undo_intents),
        failed_tries: progress.failed_tries,
        retained: progress.state == StepState::Skipped && is_left(step),
        note: progress.note.clone(),
        observed: progress.memo.seen.observed.clone(),
        facts: progress.memo.facts.clone(),
        request_ids: progress.memo.request_ids.clone(),
        error: progress.error.clone(),
        error_code: progress.error_code.map(|code| code.as_str()),
    }
}
