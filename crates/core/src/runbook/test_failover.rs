//! The runbook of a test failover.

use super::{
    Reported, Runbook, Step, Verb,
    in_order::{recreate_in_order, tell_after, tell_before},
    shared_steps::{each_volume, make_ports, manage_volume, whole_group},
};
use crate::{member::ProtectedVolume, plan::Plan};

/// Starts copies of a group's servers on its other site, on clones of its latest recovery point and on the networks that
/// `plan` maps. No line of it changes anything on the source.
///
/// All of it is taken back if it fails. When it has succeeded the copies stay up until a test cleanup
/// ([`test_cleanup`](super::test_cleanup)) removes them.
pub fn test_failover(plan: &Plan) -> Runbook {
    let book = Runbook::default().phase(
        "check_target",
        Verb::Undoable,
        Reported::Never,
        [whole_group(Step::CheckTarget)],
    );
    let book = tell_before(book, plan)
        .phase(
            "choose_recovery_point",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ChooseRecoveryPoint)],
        )
        .phase(
            "clone_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            each_volume(plan, clone_volume),
        )
        .phase(
            "manage_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            each_volume(plan, manage_volume),
        );
    let book = make_ports(book, plan, Verb::Undoable);
    let book = recreate_in_order(book, plan, Verb::Undoable);
    tell_after(book, plan).phase(
        "release_replicas",
        Verb::Attempt,
        Reported::Never,
        [whole_group(Step::ReleaseReplicas)],
    )
}

fn clone_volume(volume: &ProtectedVolume) -> Step {
    Step::CloneVolume {
        volume: volume.id.clone(),
    }
}
