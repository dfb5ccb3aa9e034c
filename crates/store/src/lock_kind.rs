//! What an operation can hold.

use std::fmt;

/// What a lock is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// A protection group, while an operation moves it.
    Group,
    /// What an ended operation left behind, while a cleanup removes it. The resource is the ended operation.
    CleanupOf,
}

impl LockKind {
    /// The word kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::CleanupOf => "cleanup_of",
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "protection group",
            Self::CleanupOf => "cleanup of operation",
        })
    }
}
