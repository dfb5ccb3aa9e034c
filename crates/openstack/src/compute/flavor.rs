//! Flavors.

use std::collections::BTreeMap;

use protector_core::{
    id::FlavorId,
    member::{Flavor as KnownFlavor, FlavorDisks},
};
use serde::Deserialize;

use crate::field;

/// A flavor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NovaFlavor {
    /// Its id, often not a UUID.
    pub id: FlavorId,
    pub name: String,
    pub vcpus: u64,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB.
    pub disk: u64,
    /// Ephemeral disk in GiB.
    #[serde(rename = "OS-FLV-EXT-DATA:ephemeral", default)]
    pub ephemeral: u64,
    /// Swap in MiB.
    #[serde(default, deserialize_with = "field::number_or_empty")]
    pub swap: u64,
    /// True when an administrator has disabled it.
    #[serde(rename = "OS-FLV-DISABLED:disabled", default)]
    pub disabled: bool,
    /// Extra specs (2.61), where policy shows them.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
}

impl NovaFlavor {
    /// It in the words in which it is compared with another cloud's.
    pub fn known(&self) -> KnownFlavor {
        KnownFlavor {
            id: self.id.clone(),
            name: self.name.clone(),
            vcpus: u32::try_from(self.vcpus).unwrap_or(u32::MAX),
            ram_mib: self.ram,
            disks: Some(FlavorDisks {
                root_gib: self.disk,
                ephemeral_gib: self.ephemeral,
                swap_mib: self.swap,
            }),
        }
    }
}
