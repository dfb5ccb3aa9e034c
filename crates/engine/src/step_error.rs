//! Why a look at a step ends early.

use std::time::Duration;

use protector_core::{
    fault::{Code, StepFailure},
    journal::JournalError,
    storage::StorageError,
};

/// Why a look at a step ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StepError {
    /// Something went wrong out there.
    #[error(transparent)]
    Fault(#[from] StepFailure),
    /// The journal refused a write: the whole walk ends here.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A call that was to change something was certainly not carried out, and may be asked for again later.
    #[error("{why}")]
    TurnedAway {
        /// The sentence for the record, with the cloud's own words.
        why: String,
        /// The pause that the cloud asked for, if it did.
        after: Option<Duration>,
    },
    /// A cloud that answers does not let the service user in: nothing was carried out.
    #[error("{why}")]
    LockedOut {
        /// The sentence for the record, with the cloud's own words.
        why: String,
    },
    /// The cloud had accepted a change and did not carry it out: the resource is as it was. The try has failed.
    #[error("{why}")]
    CameBack {
        /// The sentence for the record, with what was seen.
        why: String,
    },
}

impl StepError {
    /// A fault that no repetition will cure.
    pub fn last(code: Code, why: impl std::fmt::Display) -> Self {
        Self::Fault(StepFailure::last(code, why))
    }

    /// A fault that may pass.
    pub fn passing(why: impl std::fmt::Display) -> Self {
        Self::Fault(StepFailure::passing(why))
    }

    /// A change that the cloud accepted and did not carry out.
    pub fn came_back(why: impl std::fmt::Display) -> Self {
        Self::CameBack {
            why: why.to_string(),
        }
    }
}

/// What an array's error means for a step.
pub(crate) fn storage_stop(error: StorageError) -> StepError {
    StepError::Fault(match error.kind.may_pass() {
        true => StepFailure::passing(&error),
        false => StepFailure::last(Code::Refused, &error),
    })
}

/// A line that names something the plan does not hold: a defect, never a reason to guess.
pub(crate) fn not_in_plan(what: &str, id: &str) -> StepError {
    StepError::last(
        Code::Internal,
        format!("{what} {id} is not in the operation's plan"),
    )
}
