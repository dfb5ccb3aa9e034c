//! What a promotion makes.

use serde::{Deserialize, Serialize};

use super::{BackendObject, PromotionKind};
use crate::id::VolumeId;

/// With or without the source's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotionMode {
    /// The source has stopped, is fenced where the array can do that, and its last byte is on the target before the call ends.
    Planned,
    /// The source is lost: with what the target has, and without a call to the source.
    Forced,
}

/// A volume of a group that is writable on the target's array, for Cinder to take in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotedVolume {
    /// The volume on the source of which it is the copy.
    pub volume: VolumeId,
    pub object: BackendObject,
    /// The name by which Cinder's `manage` finds it (`source-name`): the one that it has at this moment.
    pub source_name: String,
    /// The volume as which the target's Cinder has it already, if the name says so. Not every Cinder driver refuses to take in
    /// one object twice.
    pub managed_as: Option<VolumeId>,
    pub kind: PromotionKind,
}
