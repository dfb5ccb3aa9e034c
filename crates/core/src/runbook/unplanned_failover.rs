//! The runbook of an unplanned failover: the site where the group runs is lost, and nothing of this asks it.

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    cleanup::is_left,
    in_order::{recreate_in_order, tell_after, tell_before},
    shared_steps::{
        complete_copies, each_server, each_volume, make_ports, manage_promoted, promote_volume,
        whole_group,
    },
};
use crate::{
    id::{ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    operation::OperationRecord,
    plan::Plan,
};

/// Brings a group up on its other site from the latest recovery point there. What was written after that is lost.
///
/// Each member stands for itself: one that cannot be recovered does not hold the others up, and what was made for it stays
/// for [`retry`](super::retry). If none can be, everything is taken back and the group is as before. The source is left as
/// it is; its lines fail at once, and a cleanup takes them up when the site is back.
pub fn unplanned_failover(plan: &Plan) -> Runbook {
    let book = Runbook::default()
        .phase(
            "check_target",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::CheckTargetAlone)],
        )
        .phase(
            "choose_recovery_point",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ChooseRecoveryPoint)],
        );
    let book = tell_before(book, plan)
        .phase(
            "promote_volumes",
            Verb::Member,
            Reported::ByPhase,
            each_volume(plan, promote_volume),
        )
        .phase(
            "manage_volumes",
            Verb::Member,
            Reported::ByPhase,
            manage_promoted(plan),
        );
    let book = make_ports(book, plan, Verb::Member);
    let book = recreate_in_order(book, plan, Verb::Member)
        .phase(
            "confirm_recovered",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ConfirmRecovered)],
        )
        .phase(
            "switch_primary",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::SwitchRecovered)],
        );
    let book = complete_copies(book, plan);
    tell_after(book, plan)
        .phase(
            "delete_source_vm",
            Verb::Attempt,
            Reported::ByLine,
            each_server(plan, leave_source_server),
        )
        .phase(
            "delete_source_volume",
            Verb::Attempt,
            Reported::ByLine,
            source_volumes_to_leave(plan),
        )
        .phase(
            "resync_volume",
            Verb::Attempt,
            Reported::ByLine,
            replicas_to_leave(plan),
        )
}

/// A mirror's other side waits until Cinder has let go of it.
fn replicas_to_leave(plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.volumes()
        .filter(|_| !plan.promotion.is_copy())
        .map(|(_, volume)| NewStep {
            action: Step::LeaveReplica {
                volume: volume.id.clone(),
            },
            name: volume.name.clone(),
            resource_id: Some(volume.id.to_string()),
            after: vec![leave_source_volume(volume)],
        })
}

/// A volume's line waits for its server's, so that a cleanup deletes them in this order.
fn source_volumes_to_leave(plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.volumes().map(|(member, volume)| NewStep {
        action: leave_source_volume(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: vec![leave_source_server(member)],
    })
}

fn leave_source_server(member: &Member) -> Step {
    Step::LeaveSourceServer {
        server: member.server_id.clone(),
    }
}

fn leave_source_volume(volume: &ProtectedVolume) -> Step {
    Step::LeaveSourceVolume {
        volume: volume.id.clone(),
    }
}

/// The servers that `failover` left on its source and that no cleanup has deleted since.
pub fn servers_left(failover: &OperationRecord) -> impl Iterator<Item = &ServerId> {
    failover
        .steps
        .iter()
        .filter(is_left)
        .filter_map(|step| match &step.action {
            Step::LeaveSourceServer { server } => Some(server),
            _ => None,
        })
}

/// The volumes of which `failover` left something on its source that no cleanup has made the replica of its copy since: until then
/// nothing of what the copies write comes there.
pub fn replicas_left(failover: &OperationRecord) -> impl Iterator<Item = &VolumeId> {
    failover
        .steps
        .iter()
        .filter(is_left)
        .filter_map(|step| match &step.action {
            Step::LeaveReplica { volume } => Some(volume),
            _ => None,
        })
}
