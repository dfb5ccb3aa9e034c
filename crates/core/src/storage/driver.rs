//! The traits of a storage driver.

use async_trait::async_trait;

use super::{
    ArrayProgress, BackendObject, Capabilities, CinderVolume, PromotedVolume, PromotionMode,
    RecoveryPoint, Relation, Replication, StorageError, Written,
};
use crate::id::{OperationId, RecoveryPointId, VolumeId};

/// A storage driver, whole.
pub trait StorageDriver: ArrayObjects + GroupReplication + GroupFailover + TestClones {}

impl<T: ArrayObjects + GroupReplication + GroupFailover + TestClones + ?Sized> StorageDriver for T {}

/// What is on an array. Nothing here changes anything.
#[async_trait]
pub trait ArrayObjects: Send + Sync {
    /// Sees that `array` is known, answers, and lets the driver in.
    async fn check(&self, array: &str) -> Result<(), StorageError>;

    /// The object behind `volume` of the site's Cinder on `array`, seen there; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `Ambiguous` if more than one might be it.
    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError>;

    /// What becomes of `other` if `one` is deleted through its Cinder, at this moment.
    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError>;
}

/// The replication of a group, from day to day.
#[async_trait]
pub trait GroupReplication: Send + Sync {
    /// What this replication can do. Known without a call.
    ///
    /// # Errors
    ///
    /// `Misconfigured` for a target that the site does not have. It need not have the source: that may be lost.
    fn capabilities(&self, replication: &Replication) -> Result<Capabilities, StorageError>;

    /// What is not right with the two arrays for this replication, a sentence each with its cure; asked before a group has
    /// anything on them.
    ///
    /// # Errors
    ///
    /// That an array does not answer.
    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError>;

    /// Sees that `volumes` of the group are replicated, as the array does that. Those that are not named stay as they are: a member
    /// that an unplanned failover has not recovered is not where the group runs, and its replica is all that there is of it
    /// there. Done when each has its first full copy on the target.
    async fn protect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError>;

    /// Ends the replication of `volumes`; each side keeps what it has as an object of its own, and the source's bears the name
    /// by which its Cinder knows it.
    async fn unprotect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError>;

    /// Brings `volumes`, as one consistent whole as far as the array can, to the target. Done when the target has them.
    ///
    /// Asked again for the same operation, it returns the same recovery point.
    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError>;

    /// The recovery points that the target could be brought to with all of `volumes`, newest first. Asks the target alone.
    async fn recovery_points(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError>;

    /// How far the first full copies of `volumes` on the target are, for who asks before a move is begun; done when each has one.
    /// Changes nothing, and begins none: that is [`protect`](Self::protect), which waits for them. A driver that cannot tell
    /// without that has nothing to say here.
    async fn first_copies(
        &self,
        _replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        Ok(ArrayProgress::Done(()))
    }

    /// Lets go of what is kept for `operation` alone: the recovery point that it made, unless another operation uses
    /// that, and the notes of what it promoted or cloned. Those objects stay: they are Cinder's volumes now.
    ///
    /// To be called when nothing of the operation will be taken back any more: a later discard finds nothing of it and
    /// removes nothing. Nothing there: fine.
    async fn forget(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError>;
}

/// A group's way to the other array.
#[async_trait]
pub trait GroupFailover: Send + Sync {
    /// Keeps everybody from writing to the source's objects, after their servers have stopped. Only where
    /// [`Capabilities::fences_source`]. What the objects have stays, also where the target was promoted without them; what takes
    /// no writes already: fine. Needs the source alone.
    async fn fence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError>;

    /// Lets the source's Cinder and servers write again, under the names by which they know their objects. Called when nothing
    /// of `operation` is promoted any more; with nothing fenced: fine.
    ///
    /// Needs the source alone: the target may be lost. If it answers, what is promoted there is refused. What an array lets be
    /// written to only after the target's word, while that says nothing, is `Refused` at once with what people can do.
    async fn unfence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError>;

    /// Makes `volumes` as of `point` writable on the target. All of them, or it is not done; the answer names each once. What is
    /// promoted in place has all that `point` has at least, and what came after it too.
    ///
    /// A copy gets a name that depends on `operation` and the volume only, and another operation gets a copy of its own. Asked
    /// again, it finds what it made, also after Cinder renamed it, and answers the name under which that is now: an import
    /// that failed after the rename is repeated from there.
    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError>;

    /// Takes back what `promote` made of `volume` for `operation`, whether under its first name or under the one that Cinder
    /// gave it when it was managed as `managed_as` and unmanaged since: a copy is removed, what was promoted in place becomes a
    /// replica again, also of a source that was let write meanwhile. Never touches the source's own bytes. Nothing there: fine.
    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError>;

    /// What was written to the object that `promote` made for `operation`, whatever it is called now, since its recovery
    /// point. What is discarded with it is nowhere else.
    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError>;

    /// Whether `promote` has made an object of `volume` for `operation` that was not taken back, as far as
    /// [`written_since`](Self::written_since) knows of one. A driver that would have to count for that answers without.
    async fn is_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<bool, StorageError> {
        let written = self.written_since(replication, volume, operation).await?;
        Ok(written != Written::NoObject)
    }

    /// What was written to the source's own object of `volume` since the recovery point that `replicate` made for
    /// `operation`: the target does not have it. `Unknown` once that point is let go of. Needs the source alone.
    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError>;

    /// After a forced promotion: makes what the lost source has, now that it is back, a replica of what was promoted. All that
    /// was written there and never came over is thrown away; `operation` may be asked for only when that was agreed to.
    ///
    /// `replication` is that of the group now: from the site where it runs to the one that came back. Refused unless its source
    /// may be written to at this moment.
    async fn resync(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError>;
}

/// Trying a failover beside a replication that goes on.
#[async_trait]
pub trait TestClones: Send + Sync {
    /// Makes a clone of `volume` as of `point` on the target: an object of its own, writable, for a test. Neither the
    /// replication nor the source notices.
    ///
    /// The name depends on `operation` and `volume` only. Asked again, it finds what it made and answers the name under
    /// which that is now, as `promote` does.
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError>;

    /// Removes what `clone_point` made for `operation`, under its first name or under the one that Cinder gave it when it was
    /// managed as `managed_as`. Never touches the source or a recovery point. Nothing there: fine.
    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError>;
}
