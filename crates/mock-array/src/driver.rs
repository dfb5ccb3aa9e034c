//! The driver: each call of the port, handed to what it is about.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use protector_core::{
    id::{OperationId, RecoveryPointId, VolumeId},
    storage::{
        ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, Consistency,
        GroupFailover, GroupReplication, PointsKept, PromotedVolume, PromotionKind, PromotionMode,
        RecoveryPoint, Relation, Replication, StorageError, TestClones, WayBack, Written,
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
    /// [`ArrayObjects::check`].
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
        let catalogue = opened.map_err(|error| {
            let what = format!(
                "the catalogue {} cannot be opened: {error}",
                catalogue.display()
            );
            StorageError::unavailable("mock", what)
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
impl ArrayObjects for MockStorageDriver {
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

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        let found_on = array.to_owned();
        let array = self.arrays.find(array)?;
        let name = array.cinder_name(volume.name_id())?;
        let asked = array.clone();
        let found = blocking::quick(&array, "looking for a volume", move || {
            serial_on(&asked, &name)?
                .map(|serial| Ok((identity_of(&asked)?, serial)))
                .transpose()
        });
        Ok(found.await?.map(|(scope, serial)| BackendObject {
            found_on,
            scope,
            serial,
        }))
    }

    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        match (&one.scope, &one.serial) == (&other.scope, &other.serial) {
            true => Ok(Relation::Same),
            false => Ok(Relation::Distinct),
        }
    }
}

#[async_trait]
impl GroupReplication for MockStorageDriver {
    fn capabilities(&self, replication: &Replication) -> Result<Capabilities, StorageError> {
        self.arrays.find(&replication.target_array)?;
        Ok(Capabilities {
            driver: "MockStorageDriver".to_owned(),
            promotion: PromotionKind::Copy,
            consistency: Consistency::GroupWhenQuiet,
            recovery_points: PointsKept::Several,
            way_back: WayBack::Full,
            fences_source: false,
            test_clone: true,
            linked_deletion: false,
            names_follow: false,
            notes: vec!["its arrays are directories of this host: for trying protector".to_owned()],
        })
    }

    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError> {
        self.check(&replication.source_array).await?;
        self.check(&replication.target_array).await?;
        self.arrays.pair(replication).await?;
        Ok(Vec::new())
    }

    /// Nothing is replicated but by [`GroupReplication::replicate`], which is told the volumes.
    async fn protect(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.arrays.pair(replication).await?;
        Ok(ArrayProgress::Done(()))
    }

    async fn unprotect(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.arrays.pair(replication).await?;
        Ok(ArrayProgress::Done(()))
    }

    /// Copies files for as long as that takes: its arrays hold what a demonstration needs.
    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        let points = self.points(replication).await?;
        let point = points.make(replication, volumes, operation).await?;
        Ok(ArrayProgress::Done(point))
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.points(replication).await?.list().await
    }

    async fn forget(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        self.points(replication)
            .await?
            .forget(replication, operation)
            .await
    }
}

#[async_trait]
impl GroupFailover for MockStorageDriver {
    async fn fence(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let what = "a directory cannot be kept from being written to";
        Err(StorageError::unsupported(&replication.source_array, what))
    }

    async fn unfence(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.arrays.find(&replication.source_array)?;
        Ok(ArrayProgress::Done(()))
    }

    /// The point holds whole copies, so it is the same with the source and without.
    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        _mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        let mut promoted = Vec::with_capacity(volumes.len());
        for volume in volumes {
            let made = self.promote_one(replication, point, volume, operation);
            promoted.push(made.await?);
        }
        Ok(ArrayProgress::Done(promoted))
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let pair = self.arrays.pair(replication).await?;
        Promotion::new(&self.catalogue, pair.target, &volume.id, operation)?
            .discard(managed_as)
            .await
            .map(ArrayProgress::Done)
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let (promotion, scope) = self.promotion(replication, &volume.id, operation).await?;
        promotion.written_since(&scope).await
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.points(replication)
            .await?
            .original_written_since(volume, operation)
            .await
    }

    /// What came back is a directory like any other: the next replication takes whole copies of the other one.
    async fn resync(
        &self,
        replication: &Replication,
        _volumes: &[CinderVolume],
        _operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.arrays.pair(replication).await?;
        Ok(ArrayProgress::Done(()))
    }
}

#[async_trait]
impl TestClones for MockStorageDriver {
    /// A promotion copies the replica and leaves the replication as it is, so a clone is the same thing here.
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        let made = self.promote_one(replication, point, volume, operation);
        made.await.map(ArrayProgress::Done)
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.discard_promoted(replication, volume, operation, managed_as)
            .await
    }
}

impl MockStorageDriver {
    async fn promote_one(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<PromotedVolume, StorageError> {
        let (promotion, scope) = self.promotion(replication, &volume.id, operation).await?;
        promotion.make(&scope, point).await
    }
}
