//! The arrays, as steps reach them: read by everybody, changed by who has written down that it will.

use std::sync::Arc;

use protector_core::{
    id::{OperationId, VolumeId},
    storage::{BackendObject, RecoveryPoint, Replication, StorageDriver, StorageError, Written},
};

use crate::intent::Intent;

/// The storage driver. What changes something needs an intent.
#[derive(Clone)]
pub(super) struct Arrays {
    driver: Arc<dyn StorageDriver>,
}

impl Arrays {
    pub fn new(driver: Arc<dyn StorageDriver>) -> Self {
        Self { driver }
    }

    /// As [`StorageDriver::check`].
    pub async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.driver.check(array).await
    }

    /// As [`StorageDriver::identity`].
    pub async fn identity(
        &self,
        array: &str,
        volume: &VolumeId,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.driver.identity(array, volume).await
    }

    /// As [`StorageDriver::recovery_points`].
    pub async fn recovery_points(
        &self,
        replication: &Replication,
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.driver.recovery_points(replication).await
    }

    /// As [`StorageDriver::written_since`].
    pub async fn written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.driver
            .written_since(replication, volume, operation)
            .await
    }

    /// As [`StorageDriver::original_written_since`].
    pub async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &VolumeId,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.driver
            .original_written_since(replication, volume, operation)
            .await
    }

    /// The whole driver, for who [carries out](Intent::carry_out) what `_intent` is about.
    pub fn open_for(&self, _intent: &Intent) -> &dyn StorageDriver {
        self.driver.as_ref()
    }
}
