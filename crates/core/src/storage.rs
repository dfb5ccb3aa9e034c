//! The storage arrays, as disaster recovery sees them: replicate a group, promote or clone its volumes on the other
//! side, take that back, and tell one backend object from another.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{GroupId, OperationId, RecoveryPointId, VolumeId};

/// A point in time to which a group's volumes can be brought on the target's array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    pub id: RecoveryPointId,
    /// The time whose data it holds.
    pub taken_at: DateTime<Utc>,
}

/// What a promotion made: a writable object on the target's array, made for Cinder to import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotedVolume {
    /// The name by which Cinder's `manage` finds it (`source-name`): the one that it has at this moment.
    pub source_name: String,
}

/// What was written to a promoted object since it was made.
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
    Unknown {
        why: String,
    },
}

/// One object on one array: what tells two volumes of two clouds apart, or shows that they are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendObject {
    /// The array's own identity.
    pub array: String,
    /// The object's serial number or unique id on it.
    pub serial: String,
}

/// The arrays and the group that a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    pub group_id: GroupId,
    /// The array on the source site, as the replication policy names it.
    pub source_array: String,
    /// The array on the target site.
    pub target_array: String,
}

/// Why an array call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The array does not answer or is busy; the call may be repeated.
    #[error("array {array}: {message}")]
    Unavailable { array: String, message: String },
    /// The array refuses for good, or what was asked for does not exist.
    #[error("array {array}: {message}")]
    Refused { array: String, message: String },
}

/// A storage array driver. Every call may be repeated after a crash and must then end in the same state.
#[async_trait]
pub trait StorageDriver: Send + Sync {
    /// Sees that `array` is known and answers. For policy creation and checks.
    async fn check(&self, array: &str) -> Result<(), StorageError>;

    /// Whether `volume` of the site's Cinder is an object on `array`. For eligibility: all volumes on one backend.
    async fn holds(&self, array: &str, volume: &VolumeId) -> Result<bool, StorageError>;

    /// Replicates `volumes` as one consistent whole and waits until the target has it.
    ///
    /// `operation` makes it idempotent: asked again for the same operation, it returns the same recovery point.
    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[VolumeId],
        operation: &OperationId,
    ) -> Result<RecoveryPoint, StorageError>;

    /// The recovery points of the group on its target, newest first.
    async fn recovery_points(
        &self,
        replication: &Replication,
    ) -> Result<Vec<RecoveryPoint>, StorageError>;

    /// Makes `volume` as of `point` writable on the target under a name that depends on `operation` and `volume` only.
    /// Verified by reading back. Another operation gets an object of its own.
    ///
    /// Asked again, it finds what it made, also after Cinder renamed it, and answers the name under which that is now: an
    /// import that failed after the rename is repeated from there. That may be a volume that Cinder has; whether it does
    /// is for the caller to look up, and Cinder refuses to import one twice.
    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError>;

    /// What was written to the object that `promote` made for `operation`, whatever it is called now, since its recovery
    /// point. What is discarded with it is nowhere else.
    async fn written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError>;

    /// What was written to the source's own object of `volume` since the recovery point that `replicate` made for
    /// `operation`: the target does not have it. `Unknown` once that point is let go of.
    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError>;

    /// Removes what `promote` made for `operation` on the target, under its first name or under the one that Cinder
    /// gave it when it was managed as `managed_as` and unmanaged since. Never touches the source. Nothing there: fine.
    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError>;

    /// Makes a clone of `volume` as of `point` on the target: an object of its own, writable, for a test. Neither the
    /// replication nor the source notices.
    ///
    /// The name depends on `operation` and `volume` only. Asked again, it finds what it made and answers the name under
    /// which that is now, as `promote` does.
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError>;

    /// Removes what `clone_point` made for `operation`, as `discard_promoted` removes a promoted volume. Never touches
    /// the source or a recovery point. Nothing there: fine.
    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError>;

    /// Lets go of what is kept for `operation` alone: the recovery point that it made, unless another operation uses
    /// that, and the notes of what it promoted or cloned. Those objects stay: they are Cinder's volumes now.
    ///
    /// To be called when nothing of the operation will be taken back any more: a later discard finds nothing of it and
    /// removes nothing. Nothing there: fine.
    async fn release(
        &self,
        replication: &Replication,
        operation: &OperationId,
    ) -> Result<(), StorageError>;

    /// The identity of the object behind a Cinder volume on `array`; `None` if there is none.
    async fn identity(
        &self,
        array: &str,
        volume: &VolumeId,
    ) -> Result<Option<BackendObject>, StorageError>;
}
