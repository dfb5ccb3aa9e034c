//! The replication of a group, the points in time that it brings to the target, and what was written since.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{GroupId, RecoveryPointId};

/// The arrays and the group that a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    pub group_id: GroupId,
    /// The array on the source site, as the replication policy names it.
    pub source_array: String,
    /// The array on the target site.
    pub target_array: String,
}

impl Replication {
    /// The same in the other direction.
    #[must_use]
    pub fn back(&self) -> Self {
        Self {
            group_id: self.group_id.clone(),
            source_array: self.target_array.clone(),
            target_array: self.source_array.clone(),
        }
    }
}

/// A point in time to which a group's volumes can be brought on the target's array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    pub id: RecoveryPointId,
    /// The time whose data it holds.
    pub taken_at: DateTime<Utc>,
}

/// What was written to an object since it was made, or since it was replicated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Written {
    /// Nothing: it has the bytes of its recovery point.
    Nothing,
    /// The array knows no such object. That says nothing of an import that Cinder still has: it may have been moved to
    /// another volume type or host, or the array's list may be lost.
    NoObject,
    Since {
        /// The time of its recovery point.
        point: DateTime<Utc>,
        /// How many bytes are in the blocks that differ, as the array counts them.
        bytes: u64,
    },
    /// Something may have been written, and taking the promotion back takes it along to the source: nothing is lost by it.
    GoesAlong,
    Unknown {
        why: String,
    },
}
