//! Objects on arrays, and the Cinder volumes that they are behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::VolumeId;

/// A volume of a site's Cinder, by all that may lead to the object behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CinderVolume {
    pub id: VolumeId,
    /// The id in the object's name, where it is another one: after a migration within the cloud Cinder keeps the id that the
    /// tenant knows and the name that the array knows (`os-vol-mig-status-attr:name_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_id: Option<VolumeId>,
    /// Cinder's `host@backend#pool` (`os-vol-host-attr:host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What Cinder's own driver has written to the volume's metadata, as FlashArray's does with `array_volume_name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl CinderVolume {
    /// A volume of which only the id is known, and whose object therefore bears it.
    pub fn known_by_id(id: VolumeId) -> Self {
        Self {
            id,
            name_id: None,
            host: None,
            metadata: BTreeMap::new(),
        }
    }

    /// The id that Cinder's drivers build the object's name from.
    pub fn name_id(&self) -> &VolumeId {
        self.name_id.as_ref().unwrap_or(&self.id)
    }
}

/// One object on an array: what tells two volumes of two clouds apart, or shows that they are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendObject {
    /// The array on which it was found, as the policy names it.
    pub found_on: String,
    /// Within what `serial` is unique: the array's own identity, or that of all arrays that share an object.
    pub scope: String,
    /// The object's serial number or unique id. It stays when the object is renamed.
    pub serial: String,
}

/// What two objects are to each other: what becomes of one when the other is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// One object, seen from two sides: a volume of a stretched pod.
    Same,
    /// Two copies, of which the array takes one away with the other, or does not let one go alone: peers of a mirror.
    LinkedDeletion,
    /// Whatever becomes of one, the other stays.
    Distinct,
    /// The arrays do not tell. Nothing may be deleted on the strength of that.
    Unknown { why: String },
}
