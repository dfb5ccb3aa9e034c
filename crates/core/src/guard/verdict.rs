//! What all guards share: what they say, and what is known of who asks.

/// Who asks for a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The operation itself, at its end.
    Automatically,
    /// A retry, of what an earlier try has made.
    ByRetry,
    /// A person, with `openstack dr operation cleanup`.
    ByHand,
    /// A person who named this very server with `--delete-running`: it goes though it runs.
    ByHandThoughItRuns,
}

/// How the operation left the server that its group moved away from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Stopped,
    /// As it was: an unplanned failover asks the site that was lost for nothing.
    Untouched,
}

/// What to do with a resource, decided right before the call that does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delete,
    /// Let its cloud forget it and leave its bytes where they are.
    Unmanage {
        /// Why the bytes must live on.
        why: String,
    },
    /// Do this first, then look again.
    First(Cure),
    /// Not yet: look again later.
    Wait {
        /// What has to happen first.
        on: String,
    },
    /// Leave it where it is.
    Keep {
        /// What was found, why that means keeping it, and the next safe thing to do.
        why: String,
    },
}

/// What stands in the way of a deletion and can be put right without a risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cure {
    /// Take the volume out of its generic group; the group and its other volumes stay.
    TakeOutOfGroup { group: String },
    /// Delete Cinder's record of an attachment whose server is certainly gone.
    DeleteStaleAttachments { attachments: Vec<String> },
    /// Turn `delete_on_termination` off, so that Nova does not delete these volumes with the server.
    KeepVolumesOfServer { volumes: Vec<String> },
}

pub(super) fn keep(why: impl Into<String>) -> Option<Verdict> {
    Some(Verdict::Keep { why: why.into() })
}

pub(super) fn wait(on: impl Into<String>) -> Option<Verdict> {
    Some(Verdict::Wait { on: on.into() })
}
