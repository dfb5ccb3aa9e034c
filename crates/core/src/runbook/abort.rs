//! The runbook that gives a move up whose other site is lost: what it stopped is started again, where it is.

use super::{
    Reported, Runbook, Step, Verb,
    shared_steps::{each_server, whole_group},
};
use crate::{member::Member, plan::Plan};

/// Starts the servers of `plan`, which a move has stopped on its source. Each is tried, whatever becomes of the others; the
/// operation fails, and can be repeated, when one is not started.
pub fn abort(plan: &Plan) -> Runbook {
    Runbook::default()
        .phase(
            "start_source_vms",
            Verb::Notice,
            Reported::ByLine,
            each_server(plan, start_source_server),
        )
        .phase(
            "confirm_started",
            Verb::Forward,
            Reported::Never,
            [whole_group(Step::ConfirmStarted)],
        )
}

fn start_source_server(member: &Member) -> Step {
    Step::StartSourceServer {
        server: member.server_id.clone(),
    }
}
