//! The runbook of a replication that somebody asks for (`--action sync`).

use super::{Reported, Runbook, Step, Verb, shared_steps::whole_group};

/// Replicates the group's volumes as one consistent whole: the target's array then has a new recovery point.
pub fn replicate_now() -> Runbook {
    Runbook::default()
        .phase(
            "protect_volumes",
            Verb::Undoable,
            Reported::Never,
            [whole_group(Step::ProtectGroup)],
        )
        .phase(
            "replicate_volumes",
            Verb::Undoable,
            Reported::ByPhase,
            [whole_group(Step::ReplicateGroup)],
        )
}
