//! The runbook that ends a split brain: what moves have left must not run beside the group.

use super::{
    NewStep, Reported, Runbook, Step, Verb,
    shared_steps::{each_server, whole_group},
};
use crate::{id::ServerId, member::Member, plan::Plan};

/// Stops the servers that moves have left on the source of `plan`, and those beside the group on its target. Each is tried,
/// whatever becomes of the others; the operation fails when one is not certainly stopped.
pub fn fence(plan: &Plan) -> Runbook {
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
            "confirm_fenced",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::ConfirmFenced)],
        )
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
