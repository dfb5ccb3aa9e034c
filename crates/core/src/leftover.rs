//! What an ended operation left behind, line by line: why it is still there, and the plain command that removes it by
//! hand on the day on which nothing else works.

use chrono::{DateTime, Utc};

use crate::{
    fault::Code,
    id::{ServerId, VolumeId},
    operation::{MapKind, Operation, OperationRecord, StepInProgress, StepRecord, StepState},
    runbook::{
        Step,
        cleanup::{UNDO, is_left, is_undo, left_in_order, may_be_cleaned_up},
        resource::ResourceKind,
        table::{About, Undo},
    },
    site::SiteScope,
};

/// Why something is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftReason {
    /// The configuration, or whoever asked for the operation, wanted it kept.
    Retained,
    /// Its deletion failed, or it was kept because deleting it was not safe.
    Failed,
    /// A failed operation made or changed it and could not take that back.
    NotTakenBack,
}

impl LeftReason {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Failed => "failed",
            Self::NotTakenBack => "not_taken_back",
        }
    }
}

/// What a cleanup would do about a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    Delete,
    /// Let Cinder forget the volume; its bytes stay on the array.
    Unmanage,
    /// Start the server again. Nothing is removed.
    Start,
    /// Discard a promoted copy on the array. No cloud knows it.
    DiscardPromoted,
    /// Let the source write to its volume again, on the array. Nothing is removed.
    Unfence,
    /// Make what the returned site has of a volume a replica again, on the array: what was written there and never came over
    /// is thrown away.
    Resync,
    /// Nothing that could be done by hand.
    Nothing,
}

impl Remedy {
    fn of(undo: Undo<'_>) -> Self {
        match undo {
            Undo::Nothing => Self::Nothing,
            Undo::StartOriginal(_) => Self::Start,
            Undo::Unfence(_) => Self::Unfence,
            Undo::DiscardPromoted(_) | Undo::DiscardClone(_) => Self::DiscardPromoted,
            Undo::Unmanage(_) => Self::Unmanage,
            Undo::DeletePorts(_) | Undo::DeleteCopy(_) => Self::Delete,
        }
    }
}

/// One thing that an ended operation left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The place of its line in the operation.
    pub position: u32,
    /// The key of its line, as a cleanup has it.
    pub step: String,
    /// What it is; `None` for a line about the whole group.
    pub kind: Option<ResourceKind>,
    /// Its id on its cloud; `None` where it was never learnt.
    pub resource_id: Option<String>,
    /// Its name, or the key's last part.
    pub name: String,
    /// The cloud and the project that have it.
    pub scope: SiteScope,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// Why it is still there.
    pub reason: LeftReason,
    /// The same in words, with the cloud's own.
    pub error: Option<String>,
    /// The kind of the failure.
    pub error_code: Option<Code>,
    /// Since when nothing was tried any more.
    pub since: Option<DateTime<Utc>>,
    /// What a cleanup does about it.
    pub remedy: Remedy,
    /// The command for the hand, on the cloud of [`Self::scope`]; a comment where there is none.
    pub command: String,
}

/// What `parent` left behind, in the order in which a cleanup takes it up. Empty while the operation runs, and for a
/// cleanup, whose lines are those of the operation that it cleans up.
pub fn leftovers(parent: &OperationRecord) -> Vec<Leftover> {
    if !may_be_cleaned_up(&parent.operation) {
        return Vec::new();
    }
    left_in_order(parent)
        .into_iter()
        .map(|step| leftover(parent, step))
        .collect()
}

/// How many leftovers [`leftovers`] gives.
pub fn leftover_count(parent: &OperationRecord) -> usize {
    left_among(&parent.operation, &parent.steps)
}

/// The same of an operation of which no more is known than how far its lines are.
pub fn left_among<P>(operation: &Operation<P>, lines: &[impl StepInProgress]) -> usize {
    if !may_be_cleaned_up(operation) {
        return 0;
    }
    lines.iter().filter(|line| is_left(*line)).count()
}

/// What a line removed, or was to remove and could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What it is; `None` for a promoted copy on an array, which no cloud knows.
    pub kind: Option<ResourceKind>,
    pub resource_id: String,
    /// The cloud and the project that have it, or had it.
    pub scope: SiteScope,
    /// How it is removed.
    pub remedy: Remedy,
    /// Whether it is gone.
    pub end: RemovalEnd,
}

/// How a removal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalEnd {
    Gone,
    /// It could not be removed, or not by the line, which says why.
    Failed,
    /// It was asked for, and nobody knows whether it was done.
    Unknown,
}

/// What `step`, which has just ended, removed or failed to remove; nothing for any other end. `record`'s map is as it was
/// before. A server goes with the ports that an earlier move has made for it.
pub fn removals(record: &OperationRecord, step: &StepRecord) -> Vec<Removal> {
    let memo = &step.progress.memo;
    let end_of = |port: &String| match memo.ports.unanswered.contains(port) {
        true => RemovalEnd::Unknown,
        false => RemovalEnd::Gone,
    };
    let ports = memo.ports.deleted.iter();
    let ports: Vec<Removal> = match step.progress.state {
        StepState::Done | StepState::Failed | StepState::Undone | StepState::UndoFailed => ports
            .map(|port| Removal {
                kind: Some(ResourceKind::Port),
                resource_id: port.clone(),
                scope: inner(&step.action).0.scope(&record.operation.plan).clone(),
                remedy: Remedy::Delete,
                end: end_of(port),
            })
            .collect(),
        _ => Vec::new(),
    };
    let of_line = removal(record, step);
    // A port of a line about ports is told by itself already.
    let of_line = of_line.filter(|of_line| {
        let is_told = |port: &Removal| port.resource_id == of_line.resource_id;
        !ports.iter().any(is_told)
    });
    of_line.into_iter().chain(ports).collect()
}

fn removal(record: &OperationRecord, step: &StepRecord) -> Option<Removal> {
    let (action, by_cleanup) = inner(&step.action);
    let remedy = match (step.progress.state, action) {
        // Nothing is asked of a source that is lost.
        (_, Step::LeaveSourceServer { .. } | Step::LeaveSourceVolume { .. }) => return None,
        (StepState::Done | StepState::Failed, _) => remedy_of(action, by_cleanup),
        (StepState::Undone | StepState::UndoFailed, _) => remedy_of(action, true),
        _ => return None,
    };
    let kind = match remedy {
        Remedy::DiscardPromoted => None,
        Remedy::Delete | Remedy::Unmanage => action.resource_kind(),
        Remedy::Start | Remedy::Unfence | Remedy::Resync | Remedy::Nothing => return None,
    };
    Some(Removal {
        kind,
        resource_id: resource_id(record, step)?,
        scope: action.scope(&record.operation.plan).clone(),
        remedy,
        end: match step.progress.state {
            StepState::Failed | StepState::UndoFailed => RemovalEnd::Failed,
            _ => RemovalEnd::Gone,
        },
    })
}

fn leftover(parent: &OperationRecord, step: &StepRecord) -> Leftover {
    let plan = &parent.operation.plan;
    let progress = &step.progress;
    let scope = step.action.scope(plan).clone();
    let resource_id = resource_id(parent, step);
    let remedy = remedy(step);
    let (name, size_gib) = name_and_size(parent, step);
    Leftover {
        position: step.position,
        step: if is_undo(step) {
            format!("{UNDO}{}", step.key)
        } else {
            step.key.clone()
        },
        kind: step.action.resource_kind(),
        command: safe_command(
            step,
            command(parent, step, remedy, &scope, resource_id.as_deref()),
        ),
        resource_id,
        name,
        scope,
        size_gib,
        reason: match progress.state {
            StepState::UndoFailed => LeftReason::NotTakenBack,
            StepState::Skipped => LeftReason::Retained,
            _ => LeftReason::Failed,
        },
        error: progress.error.clone(),
        error_code: progress.error_code,
        since: progress.finished_at.or(parent.operation.finished_at),
        remedy,
    }
}

/// The action that a line performs or, in a cleanup's line, that it takes back.
fn inner(action: &Step) -> (&Step, bool) {
    match action {
        Step::TakeBack { line } => (line, true),
        action => (action, false),
    }
}

fn remedy(step: &StepRecord) -> Remedy {
    let (action, taken_back) = inner(&step.action);
    remedy_of(action, taken_back || is_undo(step))
}

fn remedy_of(action: &Step, taken_back: bool) -> Remedy {
    if matches!(
        action,
        Step::LeaveReplica { .. } | Step::ResyncVolume { .. }
    ) {
        return Remedy::Resync;
    }
    match (action.deletes(), taken_back) {
        (true, _) => Remedy::Delete,
        (false, true) => Remedy::of(action.row().undo),
        (false, false) => Remedy::Nothing,
    }
}

/// The id of what is left: of the copy where one was made, of the line's own resource otherwise.
fn resource_id(parent: &OperationRecord, step: &StepRecord) -> Option<String> {
    let made = |kind, source: &str| {
        let known = step.progress.memo.made.as_deref();
        known
            .or_else(|| parent.map.target(kind, source))
            .map(str::to_owned)
    };
    match inner(&step.action).0 {
        Step::RecreateServer { server } => made(MapKind::Server, server.as_str()),
        Step::ManageVolume { volume } => made(MapKind::Volume, volume.as_str()),
        // Of several, those that stay are told by the error; the id is that of the last one seen.
        Step::ReservePorts { .. } | Step::CompletePorts { .. } => step.progress.memo.made.clone(),
        Step::PromoteVolume { volume } | Step::CloneVolume { volume } => {
            made(MapKind::Promoted, volume.as_str())
        }
        Step::CheckServer { .. }
        | Step::CheckTarget
        | Step::CheckTargetAlone
        | Step::CheckAtRest { .. }
        | Step::StopServer { .. }
        | Step::ProtectGroup
        | Step::ReplicateGroup
        | Step::FenceVolume { .. }
        | Step::ReleaseFloatingIp { .. }
        | Step::LeaveReplica { .. }
        | Step::ResyncVolume { .. }
        | Step::ChooseRecoveryPoint
        | Step::ReleaseReplicas
        | Step::ConfirmServer { .. }
        | Step::RestorePowerState { .. }
        | Step::ProbeServer { .. }
        | Step::CallHook { .. }
        | Step::Pause { .. }
        | Step::SwitchPrimary
        | Step::AssociateFloatingIps { .. }
        | Step::RestoreDeleteOnTermination { .. }
        | Step::DeleteSourceServer { .. }
        | Step::DeleteSourceVolume { .. }
        | Step::CountRecovered { .. }
        | Step::ConfirmRecovered
        | Step::SwitchRecovered
        | Step::AdmitRecovered
        | Step::LeaveSourceServer { .. }
        | Step::LeaveSourceVolume { .. }
        | Step::FenceServer { .. }
        | Step::FenceServerOnTarget { .. }
        | Step::ConfirmFenced
        | Step::DeleteTestServer { .. }
        | Step::DeleteTestVolume { .. }
        | Step::StartSourceServer { .. }
        | Step::UnfenceVolume { .. }
        | Step::ConfirmStarted
        | Step::AdoptVolume { .. }
        | Step::AdoptServer { .. }
        | Step::TakeBack { .. } => step.resource_id.clone(),
    }
}

fn name_and_size(parent: &OperationRecord, step: &StepRecord) -> (String, Option<u64>) {
    let by_key = || {
        let (_, name) = step.key.split_once(':').unwrap_or(("", &step.key));
        (name.to_owned(), None)
    };
    match inner(&step.action).0.row().about {
        About::Server(server) | About::Ports(server) => server_name(parent, server)
            .map(|name| (name, None))
            .unwrap_or_else(by_key),
        About::Volume(volume) => volume_name(parent, volume).unwrap_or_else(by_key),
        About::Group | About::FloatingIp(_) => by_key(),
    }
}

fn server_name(parent: &OperationRecord, server: &ServerId) -> Option<String> {
    let member = parent.operation.plan.member_of_server(server.as_str())?;
    Some(member.name.clone())
}

fn volume_name(parent: &OperationRecord, volume: &VolumeId) -> Option<(String, Option<u64>)> {
    let (_, volume) = parent.operation.plan.volume(volume.as_str())?;
    let name = if volume.name.is_empty() {
        volume.id.to_string()
    } else {
        volume.name.clone()
    };
    Some((name, Some(volume.size_gib)))
}

/// What was kept because deleting it was not safe is not for pasting: the command becomes a comment.
fn safe_command(step: &StepRecord, command: String) -> String {
    let kept = step.progress.error_code == Some(Code::Kept)
        && step.progress.state != StepState::Skipped
        && !command.starts_with('#');
    if kept {
        format!(
            "# kept because deleting it was not safe: do what the error says first, then: {command}"
        )
    } else {
        command
    }
}

/// The plain command: entries of `clouds.yaml` are named as the sites are.
fn command(
    parent: &OperationRecord,
    step: &StepRecord,
    remedy: Remedy,
    scope: &SiteScope,
    id: Option<&str>,
) -> String {
    let openstack = format!("openstack --os-cloud {}", scope.site);
    let operation = &parent.operation;
    match (remedy, step.action.resource_kind(), id) {
        (Remedy::Delete, Some(ResourceKind::Server), Some(id)) => {
            format!("{openstack} server delete {id}")
        }
        (Remedy::Delete, Some(ResourceKind::Volume), Some(id)) => {
            format!("{openstack} volume delete {id}")
        }
        (Remedy::Delete, Some(ResourceKind::Port), Some(id)) => {
            format!("{openstack} port delete {id}")
        }
        (Remedy::Delete, Some(ResourceKind::Port), None) => format!(
            "{openstack} port list --long  # look for '{}' and the operation {} in the descriptions",
            crate::mark::PORT,
            operation.id
        ),
        (Remedy::Start, _, Some(id)) => format!("{openstack} server start {id}"),
        // `--remote` is the client's word for os-unmanage (python-openstackclient 6.3 and later).
        (Remedy::Unmanage, _, Some(id)) => format!("{openstack} volume delete --remote {id}"),
        (Remedy::Unmanage | Remedy::Delete, Some(ResourceKind::Volume), None) => format!(
            "{openstack} volume list --long --property {}={}",
            crate::mark::OPERATION,
            operation.id
        ),
        (Remedy::Delete, _, None) => format!(
            "{openstack} server list --long  # look for the property {}='{}'",
            crate::mark::OPERATION,
            operation.id
        ),
        (Remedy::Resync, _, id) => format!(
            "# on the array of {site}, make what it has of volume {id} the replica of its copy; what was written there and never came over is lost",
            site = scope.site,
            id = id.unwrap_or("of this line"),
        ),
        (Remedy::Unfence, _, id) => format!(
            "# on the array of {site}, let volume {id} be written to again, once nothing of it is promoted on the other one",
            site = scope.site,
            id = id.unwrap_or("of this line"),
        ),
        (Remedy::DiscardPromoted, _, id) => format!(
            "# no openstack command: the promoted copy {} is on array {}; its administrator, or a cleanup, discards it",
            id.unwrap_or(&step.key),
            operation.plan.target_array
        ),
        (Remedy::Nothing | Remedy::Start | Remedy::Unmanage | Remedy::Delete, _, _) => {
            format!("# nothing to do by hand for {}", step.key)
        }
    }
}
