//! The driver: each call of the port, handed to what it is about.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        BackendObject, PromotedVolume, RecoveryPoint, Replication, StorageDriver, StorageError,
        Written,
    },
};
use rustix::fs::{Access, access};

use crate::{
    address::Arrays,
    blocking,
    catalogue::{Catalogue, points::ReplicationScope},
    object::{identity_of, serial_on},
    promotion::Promotion,
    replication::Points,
};

/// Arrays simulated by directories: a policy names one as `mock://<name>`, and a Cinder volume `<id>` is the file
/// `volume-<id>` in it.
///
/// Several drivers, in one process or many, may share directories and catalogue. The files must be writable by the
/// user that runs this and by Cinder; copies keep mode and, if this runs as root, owner of the volume.
///
/// A recovery point is as consistent as its volumes are quiet: files cannot be frozen like an array's volumes, so
/// what a running server writes while they are copied may be in one copy and not in another.
pub struct MockStorageDriver {
    arrays: Arrays,
    catalogue: Catalogue,
}

impl MockStorageDriver {
    /// Opens the arrays, absolute directories by name, and the SQLite file `catalogue` in which the driver keeps what
    /// it made; makes that file and its directory if need be. The arrays themselves need not be there yet: see
    /// [`StorageDriver::check`].
    ///
    /// # Errors
    ///
    /// `Refused` for an array with an unusable name or a relative directory, `Unavailable` if the catalogue cannot be
    /// opened.
    pub async fn open(
        catalogue: &Path,
        arrays: BTreeMap<String, PathBuf>,
    ) -> Result<Self, StorageError> {
        let arrays = Arrays::new(arrays)?;
        let opened = Catalogue::open(catalogue).await;
        let catalogue = opened.map_err(|error| StorageError::Unavailable {
            array: "mock".to_owned(),
            message: format!(
                "the catalogue {} cannot be opened: {error}",
                catalogue.display()
            ),
        })?;
        Ok(Self { arrays, catalogue })
    }

    async fn promotion(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<(Promotion<'_>, ReplicationScope), StorageError> {
        let pair = self.arrays.pair(replication).await?;
        let group = pair.target.safe("group", replication.group_id.as_str())?;
        let scope = ReplicationScope {
            group: group.to_owned(),
            source: pair.source.name,
            target: pair.target.name.clone(),
        };
        let promotion = Promotion::new(&self.catalogue, pair.target, volume, operation)?;
        Ok((promotion, scope))
    }

    async fn points(&self, replication: &Replication) -> Result<Points<'_>, StorageError> {
        let pair = self.arrays.pair(replication).await?;
        Points::new(&self.catalogue, pair, replication)
    }
}

#[async_trait]
impl StorageDriver for MockStorageDriver {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        let array = self.arrays.find(array)?;
        let directory = array.directory.clone();
        let doing = format!("looking at its directory {}", array.directory.display());
        blocking::quick(&array, &doing, move || {
            std::fs::read_dir(&directory)?;
            Ok(access(&directory, Access::WRITE_OK | Access::EXEC_OK)?)
        })
        .await?;
        let answer = self.catalogue.ping().await;
        answer.map_err(|error| array.unavailable(format!("catalogue: {error}")))
    }

    async fn holds(&self, array: &str, volume: &VolumeId) -> Result<bool, StorageError> {
        Ok(self.serial(array, volume).await?.is_some())
    }

    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[VolumeId],
        operation: &OperationId,
    ) -> Result<RecoveryPoint, StorageError> {
        self.points(replication)
            .await?
            .make(replication, volumes, operation)
            .await
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.points(replication).await?.list().await
    }

    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        let (promotion, scope) = self.promotion(replication, volume, operation).await?;
        promotion.make(&scope, point).await
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let (promotion, scope) = self.promotion(replication, volume, operation).await?;
        promotion.written_since(&scope).await
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.points(replication)
            .await?
            .original_written_since(volume, operation)
            .await
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        let pair = self.arrays.pair(replication).await?;
        Promotion::new(&self.catalogue, pair.target, volume, operation)?
            .discard(managed_as)
            .await
    }

    /// A promotion copies the replica and leaves the replication as it is, so a clone is the same thing here.
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        self.promote(replication, point, volume, operation).await
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StorageError> {
        self.discard_promoted(replication, volume, operation, managed_as)
            .await
    }

    async fn release(
        &self,
        replication: &Replication,
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        self.points(replication)
            .await?
            .release(replication, operation)
            .await
    }

    async fn identity(
        &self,
        array: &str,
        volume: &VolumeId,
    ) -> Result<Option<BackendObject>, StorageError> {
        let Some(serial) = self.serial(array, volume).await? else {
            return Ok(None);
        };
        let array = self.arrays.find(array)?;
        let asked = array.clone();
        let doing = "reading the array's identity";
        let identity = blocking::quick(&array, doing, move || identity_of(&asked)).await?;
        Ok(Some(BackendObject {
            array: identity,
            serial,
        }))
    }
}

impl MockStorageDriver {
    async fn serial(&self, array: &str, volume: &VolumeId) -> Result<Option<String>, StorageError> {
        let array = self.arrays.find(array)?;
        let name = array.cinder_name(volume)?;
        let asked = array.clone();
        let doing = "looking for a volume";
        blocking::quick(&array, doing, move || serial_on(&asked, &name)).await
    }
}
