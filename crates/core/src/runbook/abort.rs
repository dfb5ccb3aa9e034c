//! The runbook that gives a move up whose other site is lost: what it stopped is started again, where it is.

use std::collections::BTreeSet;

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    shared_steps::{each_server, promoted_in_place, whole_group},
};
use crate::{
    id::ServerId,
    member::{Member, ProtectedVolume},
    plan::Plan,
};

/// Starts those servers of `plan` that a move has `stopped` on its source, each as soon as its own volumes may be written to. Each
/// is tried, whatever becomes of the others; the operation fails, and can be repeated, when one is not started. Volumes are set
/// free of all members: those of one that was off already were fenced as well.
pub fn abort(plan: &Plan, stopped: &BTreeSet<ServerId>) -> Runbook {
    Runbook::default()
        .phase(
            "unfence_volumes",
            Verb::Notice,
            Reported::ByLine,
            promoted_in_place(plan, unfence_volume),
        )
        .phase(
            "start_source_vms",
            Verb::Notice,
            Reported::ByLine,
            servers_to_start(plan, stopped),
        )
        .phase(
            "confirm_started",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::ConfirmStarted)],
        )
}

fn servers_to_start(plan: &Plan, stopped: &BTreeSet<ServerId>) -> impl Iterator<Item = NewStep> {
    let unfenced_of = |member: &Member| match plan.promotion.is_copy() {
        true => Vec::new(),
        false => member.volumes.iter().map(unfence_volume).collect(),
    };
    each_server(plan, start_source_server)
        .zip(&plan.members)
        .filter(|(_, member)| stopped.contains(&member.server_id))
        .map(move |(line, member)| NewStep {
            after: unfenced_of(member),
            ..line
        })
}

fn unfence_volume(volume: &ProtectedVolume) -> Step {
    Step::UnfenceVolume {
        volume: volume.id.clone(),
    }
}

fn start_source_server(member: &Member) -> Step {
    Step::StartSourceServer {
        server: member.server_id.clone(),
    }
}
