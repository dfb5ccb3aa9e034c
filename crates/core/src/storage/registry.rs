//! The arrays that a site is configured with, each with its driver.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;

use super::{
    ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, GroupFailover,
    GroupReplication, PromotedVolume, PromotionMode, RecoveryPoint, Relation, Replication,
    StorageDriver, StorageError, TestClones, Written,
};
use crate::id::{OperationId, RecoveryPointId, VolumeId};

/// Arrays by the name that policies use. Itself a driver: each call goes to the driver of the arrays that it names.
pub struct ArrayRegistry {
    arrays: BTreeMap<String, Arc<dyn StorageDriver>>,
}

impl ArrayRegistry {
    /// `arrays` by name; one driver may have several.
    pub fn new(arrays: BTreeMap<String, Arc<dyn StorageDriver>>) -> Self {
        Self { arrays }
    }

    fn of(&self, array: &str) -> Result<&Arc<dyn StorageDriver>, StorageError> {
        self.arrays.get(array).ok_or_else(|| {
            let known: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "none".to_owned(),
                false => known.join(", "),
            };
            StorageError::misconfigured(
                array,
                format!("it is not among the arrays that this site's administrator has enabled ({known})"),
            )
        })
    }

    /// The driver that has both arrays.
    fn of_both(&self, replication: &Replication) -> Result<&Arc<dyn StorageDriver>, StorageError> {
        let source = self.of(&replication.source_array)?;
        let target = self.of(&replication.target_array)?;
        if Arc::ptr_eq(source, target) {
            return Ok(source);
        }
        Err(StorageError::misconfigured(
            &replication.target_array,
            format!(
                "it is not of the same kind as {}: arrays of two kinds do not replicate to each other",
                replication.source_array
            ),
        ))
    }
}

#[async_trait]
impl ArrayObjects for ArrayRegistry {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.of(array)?.check(array).await
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.of(array)?.locate(array, volume).await
    }

    /// Arrays of two kinds never have one object, nor a mirror between them.
    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        let driver = self.of(&one.found_on)?;
        match Arc::ptr_eq(driver, self.of(&other.found_on)?) {
            true => driver.relation(one, other).await,
            false => Ok(Relation::Distinct),
        }
    }
}

#[async_trait]
impl GroupReplication for ArrayRegistry {
    fn capabilities(&self, replication: &Replication) -> Result<Capabilities, StorageError> {
        self.of(&replication.target_array)?
            .capabilities(replication)
    }

    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError> {
        self.of_both(replication)?.findings(replication).await
    }

    async fn protect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of_both(replication)?;
        driver.protect(replication, volumes).await
    }

    async fn unprotect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of_both(replication)?;
        driver.unprotect(replication, volumes).await
    }

    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        let driver = self.of_both(replication)?;
        driver.replicate(replication, volumes, operation).await
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver.recovery_points(replication, volumes).await
    }

    async fn first_copies(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of_both(replication)?;
        driver.first_copies(replication, volumes).await
    }

    async fn forget(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver.forget(replication, volumes, operation).await
    }
}

#[async_trait]
impl GroupFailover for ArrayRegistry {
    async fn fence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of(&replication.source_array)?;
        driver.fence(replication, volumes, operation).await
    }

    async fn unfence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        // Needs the source alone: the target may be lost, and this site may never have had it.
        let driver = self.of(&replication.source_array)?;
        driver.unfence(replication, volumes, operation).await
    }

    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver
            .promote(replication, point, volumes, mode, operation)
            .await
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver
            .discard_promoted(replication, volume, operation, managed_as)
            .await
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver.written_since(replication, volume, operation).await
    }

    async fn is_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<bool, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver.is_promoted(replication, volume, operation).await
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        let driver = self.of(&replication.source_array)?;
        driver
            .original_written_since(replication, volume, operation)
            .await
    }

    async fn resync(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of_both(replication)?;
        driver.resync(replication, volumes, operation).await
    }
}

#[async_trait]
impl TestClones for ArrayRegistry {
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver
            .clone_point(replication, point, volume, operation)
            .await
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let driver = self.of(&replication.target_array)?;
        driver
            .discard_clone(replication, volume, operation, managed_as)
            .await
    }
}
