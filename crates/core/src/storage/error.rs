//! Why an array call failed, and what is to be done about it.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// Why an array call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("array {array}: {message}{}", told(kind))]
pub struct StorageError {
    pub kind: StorageErrorKind,
    /// The array, as the policy or the configuration names it.
    pub array: String,
    /// What it says, in its own words, and what to do.
    pub message: String,
}

/// What an array's error means for who has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// It does not answer. The call may be made again.
    Unavailable,
    /// It has too much to do. The call may be made again, later.
    Busy,
    /// What is asked for cannot be yet: a first synchronisation has not ended. The call may be made again.
    NotYet,
    /// It refuses, or what was asked for does not exist.
    Refused,
    /// Both sides were written to. A person says which one is right.
    SplitBrain,
    /// It would throw away what was written since then; the array does not know since when if there is no time.
    WouldLoseData { since: Option<DateTime<Utc>> },
    /// More than one object might be meant.
    Ambiguous,
    /// The array does not let the driver in.
    Credentials,
    /// Something is not set up, on an array or in the configuration.
    Misconfigured,
    /// Arrays of this kind cannot do it.
    Unsupported,
}

impl StorageErrorKind {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::Busy | Self::NotYet)
    }
}

impl StorageError {
    pub fn new(
        kind: StorageErrorKind,
        array: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            array: array.into(),
            message: message.to_string(),
        }
    }

    /// The array does not answer.
    pub fn unavailable(array: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(StorageErrorKind::Unavailable, array, message)
    }

    /// The array refuses for good.
    pub fn refused(array: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(StorageErrorKind::Refused, array, message)
    }

    /// Arrays of this kind cannot do `what`.
    pub fn unsupported(array: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::new(StorageErrorKind::Unsupported, array, what)
    }

    /// The configuration or the array's is not right.
    pub fn misconfigured(array: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(StorageErrorKind::Misconfigured, array, message)
    }
}

/// What the kind adds to the message.
fn told(kind: &StorageErrorKind) -> String {
    match kind {
        StorageErrorKind::WouldLoseData { since: Some(since) } => format!(
            " (what was written since {} would be lost)",
            since.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
        _ => String::new(),
    }
}
