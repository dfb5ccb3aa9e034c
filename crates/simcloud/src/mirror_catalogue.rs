//! What two mirroring arrays remember beside their objects.

use std::collections::BTreeMap;

use bytes::Bytes;
use protector_core::{
    id::{OperationId, VolumeId},
    storage::PromotionMode,
};

/// What was promoted in place, by the mirror's id and the array.
#[derive(Clone, Debug)]
pub(crate) struct InPlace {
    pub operation: OperationId,
    pub mode: PromotionMode,
    /// What it had then.
    pub bytes: Bytes,
}

/// What the mirroring arrays remember beside their objects.
#[derive(Default)]
pub(crate) struct Mirrors {
    /// Each volume that was ever known as one side of a mirror, by the mirror's id.
    pub volumes: BTreeMap<VolumeId, String>,
    /// What was promoted, by array and mirror.
    pub promoted: BTreeMap<(String, String), InPlace>,
    /// How many mirrors were made.
    pub made: u64,
}
