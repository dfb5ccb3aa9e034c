//! The runbook that ends a split brain: what an unplanned failover left on the site that was lost must not run.

use super::{
    Reported, Runbook, Step, Verb,
    lines::{each_server, whole_group},
};
use crate::{member::Member, plan::Plan};

/// Stops the servers that the failover of `plan` left on its source. Each is tried, whatever becomes of the others; the
/// operation fails when one is not certainly stopped.
pub fn fence(plan: &Plan) -> Runbook {
    Runbook::default()
        .phase(
            "fence_source_vm",
            Verb::Notice,
            Reported::ByLine,
            each_server(plan, fence_server),
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
