//! What two mirroring arrays remember beside their objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
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
    /// Of which mirrors the side on an array was taken back, with what the other side never had: it is copied anew when that
    /// can be asked.
    pub parted: BTreeSet<(String, String)>,
    /// How many mirrors were made.
    pub made: u64,
    /// How long the first full copy of a volume takes.
    pub first_copy_takes: Duration,
    /// When that of each mirror began.
    pub begun: BTreeMap<String, DateTime<Utc>>,
}
