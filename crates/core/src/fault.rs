//! How a step ends when it does not succeed, and the stable codes under which operators find the explanation.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::text;

/// A stable code of a fault, shown beside its text and explained in `docs/errors.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A cloud refused a call for good.
    Refused,
    /// A cloud or an array did not answer, or asked to come back later, until the patience ran out.
    Unavailable,
    /// The work did not end within its time.
    Timeout,
    /// The resource was gone before we asked for its deletion. Informational.
    AlreadyGone,
    /// The resource is kept on purpose: deleting it now would not be safe.
    Kept,
    /// A needed thing does not exist or does not fit: a mapping, a flavor, an image, a replica.
    Missing,
    /// Something is not as it was when the operation was planned.
    Changed,
    /// The resource ended in an error state of its own.
    Broken,
    /// The operator's or tenant's action is needed before this can go on.
    Blocked,
    /// The other site has moved the group meanwhile: this operation has nothing to say about it any more.
    Superseded,
    /// Somebody has asked that the operation be given up, and it was taken back.
    Aborted,
    /// A defect of protector itself.
    Internal,
}

impl Code {
    /// The code as operators search for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "PRT-REFUSED",
            Self::Unavailable => "PRT-UNAVAILABLE",
            Self::Timeout => "PRT-TIMEOUT",
            Self::AlreadyGone => "PRT-ALREADY-GONE",
            Self::Kept => "PRT-KEPT",
            Self::Missing => "PRT-MISSING",
            Self::Changed => "PRT-CHANGED",
            Self::Broken => "PRT-BROKEN",
            Self::Blocked => "PRT-BLOCKED",
            Self::Superseded => "PRT-SUPERSEDED",
            Self::Aborted => "PRT-ABORTED",
            Self::Internal => "PRT-INTERNAL",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a step did not succeed, and whether repeating it can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepFailure {
    /// Worth trying again: a refused connection, a 5xx, a lost reply, a busy resource.
    #[error("{why}")]
    Passing {
        /// The sentence for the record, with the cloud's own words.
        why: String,
        /// The pause that the other side asked for, if it did.
        after: Option<Duration>,
    },
    /// Worth trying again too, and no silence: it is there and has no time or no trust, or this side could not ask. Nothing may
    /// be taken for lost because of it.
    #[error("{why}")]
    NotTold {
        /// The sentence for the record, with the cloud's own words.
        why: String,
        /// The pause that the other side asked for, if it did.
        after: Option<Duration>,
    },
    /// No repetition will help.
    #[error("{why}")]
    Final {
        /// Which kind of refusal.
        code: Code,
        /// The sentence for the record, with the cloud's own words.
        why: String,
    },
}

impl StepFailure {
    /// A fault that may pass. Of a long text the beginning is kept, as of everything that others say.
    pub fn passing(why: impl fmt::Display) -> Self {
        Self::Passing {
            why: text::cut(why.to_string()),
            after: None,
        }
    }

    /// A fault that will not pass. Of a long text the beginning is kept.
    pub fn last(code: Code, why: impl fmt::Display) -> Self {
        Self::Final {
            code,
            why: text::cut(why.to_string()),
        }
    }
}
