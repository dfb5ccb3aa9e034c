//! What kinds of operations there are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Moves a group to its other site.
    Failover,
    Failback,
    /// Starts copies on the other site, production untouched.
    TestFailover,
    /// Removes what a test failover made.
    TestCleanup,
    /// Deletes what an earlier operation left behind.
    Cleanup,
    /// Replicates a group's volumes now, as one consistent whole.
    Sync,
    /// Recovers the members that an unplanned failover could not.
    Retry,
    /// Stops what an unplanned failover left running on the site that was lost.
    Fence,
    /// Gives a move up whose other site is lost: starts the servers again that it stopped.
    Abort,
}

impl OperationKind {
    /// Whether it takes a group to its other site.
    pub fn is_a_move(self) -> bool {
        matches!(self, Self::Failover | Self::Failback)
    }

    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::TestFailover => "test_failover",
            Self::TestCleanup => "test_cleanup",
            Self::Cleanup => "cleanup",
            Self::Sync => "sync",
            Self::Retry => "retry",
            Self::Fence => "fence",
            Self::Abort => "abort",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the source takes part in an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planning {
    /// It does, as far as it is needed.
    #[default]
    Planned,
    /// A move whose source is lost: what was written there after the recovery point is lost with it.
    Unplanned,
}

impl Planning {
    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Unplanned => "unplanned",
        }
    }
}
