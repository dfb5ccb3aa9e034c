//! A driver that is asked until it has done what it was asked for.

use std::{future::Future, time::Duration};

use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayProgress, BackendObject, CinderVolume, PromotedVolume, PromotionMode, RecoveryPoint,
        Relation, Replication, StorageDriver, StorageError, Written,
    },
};

/// More than any array of a test takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A driver as an engine uses it, of volumes that are known by their ids.
#[derive(Clone, Copy)]
pub struct Patient<'a>(pub &'a dyn StorageDriver);

impl Patient<'_> {
    /// As [`ArrayObjects::check`](protector_core::storage::ArrayObjects::check).
    pub async fn check(self, array: &str) -> Result<(), StorageError> {
        self.0.check(array).await
    }

    /// What the driver locates for `volume`.
    pub async fn identity(
        self,
        array: &str,
        volume: &VolumeId,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.0.locate(array, &known(volume)).await
    }

    /// What two located objects are to each other.
    pub async fn relation(
        self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        self.0.relation(one, other).await
    }

    /// Protects `volumes`, then replicates them; returns when the target has them.
    pub async fn replicate(
        self,
        replication: &Replication,
        volumes: &[VolumeId],
        operation: &OperationId,
    ) -> Result<RecoveryPoint, StorageError> {
        let volumes: Vec<CinderVolume> = volumes.iter().map(known).collect();
        done(|| self.0.protect(replication, &volumes)).await?;
        done(|| self.0.replicate(replication, &volumes, operation)).await
    }

    /// The points that the target has of `volumes`.
    pub async fn recovery_points(
        self,
        replication: &Replication,
        volumes: &[VolumeId],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        let volumes: Vec<CinderVolume> = volumes.iter().map(known).collect();
        self.0.recovery_points(replication, &volumes).await
    }

    /// Promotes one volume as a planned move does; panics if the answer names another one.
    pub async fn promote(
        self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        let (volumes, mode) = ([known(volume)], PromotionMode::Planned);
        let promoting = done(|| {
            self.0
                .promote(replication, point, &volumes, mode, operation)
        });
        let promoted = promoting.await?;
        assert_eq!(promoted.len(), 1, "one volume was asked for: {promoted:?}");
        assert_eq!(promoted[0].volume, *volume);
        Ok(promoted[0].clone())
    }

    /// Takes a promotion back; returns when that is through.
    pub async fn discard_promoted(
        self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        let volume = known(volume);
        done(|| {
            self.0
                .discard_promoted(replication, &volume, operation, managed_as)
        })
        .await
    }

    /// What was written to the promoted object since its point.
    pub async fn written_since(
        self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let volume = known(volume);
        self.0.written_since(replication, &volume, operation).await
    }

    /// What was written to the source's object since its point.
    pub async fn original_written_since(
        self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let volume = known(volume);
        self.0
            .original_written_since(replication, &volume, operation)
            .await
    }

    /// Clones one volume of a point; returns when the clone is there.
    pub async fn clone_point(
        self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        let volume = known(volume);
        done(|| self.0.clone_point(replication, point, &volume, operation)).await
    }

    /// Removes a clone; returns when it is gone.
    pub async fn discard_clone(
        self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        let volume = known(volume);
        done(|| {
            self.0
                .discard_clone(replication, &volume, operation, managed_as)
        })
        .await
    }

    /// Lets go of what is kept for `operation` alone.
    pub async fn forget(
        self,
        replication: &Replication,
        volumes: &[VolumeId],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let volumes: Vec<CinderVolume> = volumes.iter().map(known).collect();
        self.0.forget(replication, &volumes, operation).await
    }
}

fn known(volume: &VolumeId) -> CinderVolume {
    CinderVolume::known_by_id(volume.clone())
}

/// Asks until it is done, at the pace that the array asks for.
pub(super) async fn done<T, F>(mut call: impl FnMut() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<ArrayProgress<T>, StorageError>>,
{
    let asking = async {
        loop {
            match call().await? {
                ArrayProgress::Done(answer) => return Ok(answer),
                ArrayProgress::Pending(pending) => tokio::time::sleep(pending.look_again).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it should be done by now")
}
