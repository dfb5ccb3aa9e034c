//! The services of a cloud, as the catalogue names them and as people do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A service that this client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    Identity,
    Compute,
    Volume,
    Network,
    Image,
    /// A peer's protector API.
    DisasterRecovery,
}

impl Service {
    pub(crate) const ALL: [Self; 6] = [
        Self::Identity,
        Self::Compute,
        Self::Volume,
        Self::Network,
        Self::Image,
        Self::DisasterRecovery,
    ];

    /// The name that operators use and that errors start with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "Keystone",
            Self::Compute => "Nova",
            Self::Volume => "Cinder",
            Self::Network => "Neutron",
            Self::Image => "Glance",
            Self::DisasterRecovery => "protector",
        }
    }

    /// The service types under which a catalogue may list it, the preferred one first.
    /// They are the official type and its aliases from the OpenStack service-types authority.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity"],
            Self::Compute => &["compute"],
            Self::Volume => &["volumev3", "block-storage", "block-store", "volume"],
            Self::Network => &["network"],
            Self::Image => &["image"],
            Self::DisasterRecovery => &["protector", "disaster-recovery"],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
