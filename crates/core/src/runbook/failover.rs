//! The runbook of a planned move: a failover, and the failback, which is the same in the other direction.

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    in_order::{recreate_in_order, tell_after, tell_before},
    shared_steps::{
        complete_copies, each_server, each_volume, fence_volume, make_ports, manage_volume,
        promote_volume, promoted_in_place, whole_group,
    },
};
use crate::{
    member::{Member, ProtectedVolume},
    plan::Plan,
};

/// Moves a group to its other site while both sites answer, then removes what it left behind.
///
/// Everything before `switch_primary` is taken back if it fails; the switch is the point of no return; cleanup after it
/// can fail without touching the result (contract: "does not roll back the failover").
pub fn planned_move(plan: &Plan) -> Runbook {
    let book = Runbook::default()
        .phase(
            "check_source",
            Verb::Undoable,
            Reported::Never,
            each_server(plan, check_server),
        )
        .phase(
            "check_target",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::CheckTarget)],
        )
        .phase(
            "protect_volumes",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ProtectGroup)],
        );
    let book = tell_before(book, plan)
        .phase(
            "stop_source_vms",
            Verb::Undoable,
            Reported::Never,
            each_server(plan, stop_server),
        )
        .phase(
            "final_replication",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ReplicateGroup)],
        )
        .phase(
            "fence_volumes",
            Verb::Undoable,
            Reported::Never,
            promoted_in_place(plan, fence_volume),
        )
        .phase(
            "promote_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            each_volume(plan, promote_volume),
        )
        .phase(
            "manage_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            each_volume(plan, manage_volume),
        );
    let book = make_ports(book, plan, Verb::Undoable);
    let book = recreate_in_order(book, plan, Verb::Undoable)
        .phase(
            "restore_power_state",
            Verb::Undoable,
            Reported::Never,
            each_server(plan, restore_power_state),
        )
        .phase(
            "switch_primary",
            Verb::Switch,
            Reported::Never,
            [whole_group(Step::SwitchPrimary)],
        );
    let book = complete_copies(book, plan);
    remove_source(tell_after(book, plan), plan)
}

/// What becomes of a planned move's source once its group runs on the target.
pub(super) fn remove_source(book: Runbook, plan: &Plan) -> Runbook {
    book.phase(
        "delete_source_vm",
        Verb::Attempt,
        Reported::ByLine,
        each_server(plan, delete_source_server),
    )
    .phase(
        "delete_source_volume",
        Verb::Attempt,
        Reported::ByLine,
        source_volumes_to_delete(plan),
    )
    .phase(
        "release_replicas",
        Verb::Attempt,
        Reported::Never,
        [release_replicas(plan)],
    )
}

/// The recovery point tells what was written to the source's volumes since, so it goes after them.
fn release_replicas(plan: &Plan) -> NewStep {
    NewStep {
        after: plan
            .volumes()
            .map(|(_, volume)| delete_source_volume(volume))
            .collect(),
        ..whole_group(Step::ReleaseReplicas)
    }
}

/// A volume's line begins when its own server's line has ended, not when all have.
fn source_volumes_to_delete(plan: &Plan) -> impl Iterator<Item = NewStep> {
    plan.volumes().map(|(member, volume)| NewStep {
        action: delete_source_volume(volume),
        name: volume.name.clone(),
        resource_id: Some(volume.id.to_string()),
        after: vec![delete_source_server(member)],
    })
}

fn check_server(member: &Member) -> Step {
    Step::CheckServer {
        server: member.server_id.clone(),
    }
}

fn stop_server(member: &Member) -> Step {
    Step::StopServer {
        server: member.server_id.clone(),
    }
}

fn restore_power_state(member: &Member) -> Step {
    Step::RestorePowerState {
        server: member.server_id.clone(),
    }
}

fn delete_source_volume(volume: &ProtectedVolume) -> Step {
    Step::DeleteSourceVolume {
        volume: volume.id.clone(),
    }
}

fn delete_source_server(member: &Member) -> Step {
    Step::DeleteSourceServer {
        server: member.server_id.clone(),
    }
}
