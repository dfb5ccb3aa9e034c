//! The arrays, as steps reach them: read by everybody, changed by who has written down that it will.

use std::sync::Arc;

use protector_core::{
    id::{OperationId, VolumeId},
    operation::Operation,
    storage::{
        ArrayProgress, BackendObject, CinderVolume, Pending, RecoveryPoint, Relation, Replication,
        StorageDriver, StorageError, StorageErrorKind, Written,
    },
};

use super::mark;
use crate::{
    action::{Progress, StepContext},
    intent::Intent,
    step_error::{StepError, not_in_plan},
};

/// The storage driver. What changes something needs an intent.
#[derive(Clone)]
pub(super) struct Arrays {
    driver: Arc<dyn StorageDriver>,
}

impl Arrays {
    pub fn new(driver: Arc<dyn StorageDriver>) -> Self {
        Self { driver }
    }

    /// As [`protector_core::storage::ArrayObjects::check`].
    pub async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.driver.check(array).await
    }

    /// As [`protector_core::storage::ArrayObjects::locate`].
    pub async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.driver.locate(array, volume).await
    }

    /// As [`protector_core::storage::ArrayObjects::relation`].
    pub async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        self.driver.relation(one, other).await
    }

    /// As [`protector_core::storage::GroupReplication::recovery_points`].
    pub async fn recovery_points(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.driver.recovery_points(replication, volumes).await
    }

    /// As [`protector_core::storage::GroupFailover::written_since`].
    pub async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.driver
            .written_since(replication, volume, operation)
            .await
    }

    /// Whether this site has the target's array, and could ask it.
    pub fn has_the_target(&self, replication: &Replication) -> bool {
        let known = self.driver.capabilities(replication);
        !known.is_err_and(|error| error.kind == StorageErrorKind::Misconfigured)
    }

    /// The first of `makers` that has promoted `volume` on the target's array and has not taken that back, as the array says now.
    pub async fn promoted_by(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        makers: &[OperationId],
    ) -> Result<Option<OperationId>, StorageError> {
        for maker in makers {
            let asked = self.driver.is_promoted(replication, volume, maker);
            if asked.await? {
                return Ok(Some(maker.clone()));
            }
        }
        Ok(None)
    }

    /// As [`protector_core::storage::GroupFailover::original_written_since`].
    pub async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
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

/// The operations that may have promoted what a line is about: that of its copies, and those that were interrupted before it.
pub(super) fn promoters(operation: &Operation) -> Vec<OperationId> {
    let maker = [mark::maker(operation).clone()];
    let mut all = operation.plan.interrupted.clone();
    all.extend(
        maker
            .into_iter()
            .filter(|maker| !operation.plan.interrupted.contains(maker)),
    );
    all
}

/// The plan's volume `id`, as its array finds it.
pub(super) fn volume_of(cx: &StepContext<'_>, id: &VolumeId) -> Result<CinderVolume, StepError> {
    let known = cx.plan().volume(id.as_str());
    known
        .map(|(_, volume)| volume.in_cinder())
        .ok_or_else(|| not_in_plan("volume", id.as_str()))
}

/// How far a line is whose array call gives back nothing.
pub(super) fn done_or_not_yet(answer: ArrayProgress<()>) -> Progress {
    match answer {
        ArrayProgress::Done(()) => Progress::done(),
        ArrayProgress::Pending(pending) => not_yet(pending),
    }
}

/// What an array is busy with is looked at again when it says so.
pub(super) fn not_yet(pending: Pending) -> Progress {
    Progress::Waiting {
        on: pending.to_string(),
        again: pending.look_again,
    }
}
