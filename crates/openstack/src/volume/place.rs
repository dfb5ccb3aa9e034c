//! Where volumes live: types and pools.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::id::VolumeTypeId;

/// A volume type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeType {
    pub id: VolumeTypeId,
    pub name: String,
    /// Extra specs, as far as the caller may see them.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
    /// Whether all projects may use it.
    #[serde(default)]
    pub is_public: Option<bool>,
}

/// A pool of a backend.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Pool {
    /// `host@backend#pool`: the host string that a manage names.
    pub name: String,
    /// What the pool says of itself, by name.
    #[serde(default)]
    pub capabilities: Map<String, Value>,
}

/// How much room a pool has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// So many GiB.
    Gib(f64),
    /// The backend sets no bound.
    Infinite,
    /// The backend does not say.
    Unknown,
}

impl Pool {
    /// The backend that volume types name as `volume_backend_name`.
    pub fn backend_name(&self) -> Option<&str> {
        self.capabilities.get("volume_backend_name")?.as_str()
    }

    /// The room that is free.
    pub fn free(&self) -> Capacity {
        self.capacity("free_capacity_gb")
    }

    /// All of its room.
    pub fn total(&self) -> Capacity {
        self.capacity("total_capacity_gb")
    }

    fn capacity(&self, name: &str) -> Capacity {
        let value = self.capabilities.get(name);
        value
            .and_then(|value| Capacity::deserialize(value).ok())
            .unwrap_or(Capacity::Unknown)
    }
}

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::String(word) if word == "infinite" => Self::Infinite,
            Value::Number(number) => number.as_f64().map_or(Self::Unknown, Self::Gib),
            _ => Self::Unknown,
        })
    }
}
