//! The runbook that goes forward with what a failed move has made and could not take back: its copies run, and may be what
//! everybody works on by now.

use std::collections::BTreeSet;

use super::{
    Reported, Runbook, Step, Verb,
    failover::remove_source,
    in_order::tell_after,
    shared_steps::{
        complete_copies, confirm_server, each_server, each_server_of, each_volume, recreate_server,
        whole_group,
    },
};
use crate::{
    id::{OperationId, ServerId},
    member::{Member, ProtectedVolume},
    operation::{OperationRecord, OperationState},
    plan::Plan,
};

/// Makes the copies of the failed move that `plan` adopts the group.
///
/// Nothing is stopped, replicated or promoted: the originals must be at rest, and have been since the failed move stopped
/// them, and each copy must run, alone. A server is built only for a member of `to_build`, from the volumes that the failed
/// move has imported for it. Until the switch nothing is changed but that, so that a failure leaves all as it was; after it
/// the source is cleaned up as by any planned move.
pub fn adopt(plan: &Plan, to_build: &BTreeSet<ServerId>) -> Runbook {
    let (built, there): (Vec<&Member>, Vec<&Member>) = plan
        .members
        .iter()
        .partition(|member| to_build.contains(&member.server_id));
    let all: Vec<&Member> = plan.members.iter().collect();
    let book = Runbook::default()
        .phase(
            "check_at_rest",
            Verb::Undoable,
            Reported::Never,
            each_server(plan, check_at_rest),
        )
        .phase(
            "adopt_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            each_volume(plan, adopt_volume),
        )
        .phase(
            "adopt_vms",
            Verb::Undoable,
            Reported::ByPhase,
            each_server_of(&there, adopt_server, |_| Vec::new()),
        )
        .phase(
            "recreate_vms",
            Verb::Undoable,
            Reported::ByPhase,
            each_server_of(&built, recreate_server, |_| Vec::new()),
        )
        .phase(
            "confirm_vms",
            Verb::Undoable,
            Reported::Never,
            each_server_of(&all, confirm_server, |_| Vec::new()),
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

fn check_at_rest(member: &Member) -> Step {
    Step::CheckAtRest {
        server: member.server_id.clone(),
    }
}

fn adopt_volume(volume: &ProtectedVolume) -> Step {
    Step::AdoptVolume {
        volume: volume.id.clone(),
    }
}

fn adopt_server(member: &Member) -> Step {
    Step::AdoptServer {
        server: member.server_id.clone(),
    }
}

/// The failed move whose copies `record` has made the group, if it is an adoption that came to its end.
pub fn has_adopted(record: &OperationRecord) -> Option<&OperationId> {
    let operation = &record.operation;
    operation
        .plan
        .adopts
        .as_ref()
        .filter(|_| operation.state == OperationState::Completed)
}
