//! The end of an operation that is given up, on the wire.

use protector_core::{
    operation::{OperationKind, OperationRecord},
    runbook::waited::{CopyThere, copies_there},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{operation::OperationView, text::Timestamp};

/// Body of `POST …/operations/{operation}/abort`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortRequest {
    /// How it is given up; an empty object where both sites answer.
    pub abort: AbortOptions,
}

/// Options of an abort.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortOptions {
    /// Said of a site that does not answer, by somebody who knows: it is lost, and nothing goes on there. The VMs that a move
    /// to it has stopped are started again; a copy that ran there all the same would run beside its original.
    #[serde(default)]
    pub target_is_lost: bool,
}

/// Answer of an abort.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AbortAnswer {
    /// The operation that is given up, or the one that starts the VMs again that it stopped.
    pub operation: OperationView,
    /// The copies of VMs that it had made by then, and what becomes of them and of what they have written.
    pub copies: Vec<AbortedCopyView>,
}

/// A copy of a VM of an operation that is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AbortedCopyView {
    /// The member's name.
    pub member: String,
    /// The copy's id.
    pub server_id: String,
    /// The site that has it.
    pub site: String,
    /// Since when it is up; null where that was not seen.
    pub up_since: Option<Timestamp>,
    /// `discarded`, with all that it has written; `kept`, since an earlier operation has made it; `discarded_if_it_answers`,
    /// where its site was said to be lost.
    #[schema(value_type = String)]
    pub fate: &'static str,
}

impl AbortedCopyView {
    /// The copies of `record`, which is given up.
    pub fn all_of(record: &OperationRecord) -> Vec<Self> {
        let operation = &record.operation;
        if operation.kind == OperationKind::Abort {
            // It starts what another one has stopped, and takes nothing back.
            return Vec::new();
        }
        let copies = copies_there(record).into_iter();
        copies
            .map(|copy| Self {
                member: copy.member.name.clone(),
                server_id: copy.server.to_owned(),
                site: operation.plan.target.site.to_string(),
                up_since: copy.up_since.map(Timestamp),
                fate: fate(record, &copy),
            })
            .collect()
    }
}

fn fate(record: &OperationRecord, copy: &CopyThere<'_>) -> &'static str {
    let is_lost = record.map.target_is_lost(&record.operation.id);
    match (copy.taken_over, is_lost) {
        (true, _) => "kept",
        (false, true) => "discarded_if_it_answers",
        (false, false) => "discarded",
    }
}
