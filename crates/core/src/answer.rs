//! What a place that was asked said, or why it did not.

use std::fmt;

use crate::storage::{StorageError, StorageErrorKind};

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The place does not answer, or not in time.
    Unreachable(String),
    /// It answered with a refusal, in its own words.
    Refused(String),
    /// It could not be asked, or is there and did not tell: it is not known to be silent.
    NotTold(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Refused(why) | Self::NotTold(why) => f.write_str(why),
        }
    }
}

impl From<StorageError> for Silence {
    fn from(error: StorageError) -> Self {
        let why = error.to_string();
        match error.kind {
            StorageErrorKind::Unavailable => Self::Unreachable(why),
            StorageErrorKind::Busy | StorageErrorKind::NotYet => Self::NotTold(why),
            _ => Self::Refused(why),
        }
    }
}

/// An answer, or why there is none.
pub type Asked<T> = Result<T, Silence>;
