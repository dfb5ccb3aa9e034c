//! The runbook that ends a split brain: what moves have left must not run beside the group.

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    shared_steps::{each_server, fence_volume, whole_group},
};
use crate::{id::ServerId, member::Member, operation::Planning, plan::Plan};

/// Stops the servers that moves have left on the source of `plan`, and those beside the group on its target. Each is tried,
/// whatever becomes of the others; the operation fails when one is not certainly stopped.
///
/// Where a replica was promoted in place without the source, that may be written to as well when it is back: its array then keeps
/// everybody from that, whoever starts a server there later. What was written there stays, until a cleanup makes it a replica.
/// A planned move has fenced them itself: `planning` is that of the move whose plan it is.
pub fn fence(plan: &Plan, planning: Planning) -> Runbook {
    Runbook::default()
        .phase(
            "fence_source_vm",
            Verb::Notice,
            Reported::ByLine,
            each_server(plan, fence_server),
        )
        .phase(
            "fence_target_vm",
            Verb::Notice,
            Reported::ByLine,
            plan.left_on_target.iter().map(fence_on_target),
        )
        .phase(
            "fence_source_volume",
            Verb::Notice,
            Reported::ByLine,
            volumes_to_fence(plan, planning),
        )
        .phase(
            "confirm_fenced",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::ConfirmFenced)],
        )
}

/// Each after its own server, which must not lose its disk while it runs.
fn volumes_to_fence(plan: &Plan, planning: Planning) -> impl Iterator<Item = NewStep> {
    let both_may_write = planning == Planning::Unplanned && !plan.promotion.is_copy();
    plan.volumes()
        .filter(move |_| both_may_write)
        .map(|(member, volume)| NewStep {
            action: fence_volume(volume),
            name: volume.name.clone(),
            resource_id: Some(volume.id.to_string()),
            after: vec![fence_server(member)],
        })
}

fn fence_server(member: &Member) -> Step {
    Step::FenceServer {
        server: member.server_id.clone(),
    }
}

fn fence_on_target(server: &ServerId) -> NewStep {
    NewStep {
        resource_id: Some(server.to_string()),
        ..whole_group(Step::FenceServerOnTarget {
            server: server.clone(),
        })
    }
}
