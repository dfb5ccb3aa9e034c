//! Identifiers as types, so that a server's id cannot be handed over where a volume's is wanted.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as the service that owns it wrote it.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }
    )*};
}

text_id! {
    /// A site in this protector's own records (a UUID; the same on both sites when registered by the client).
    SiteId;
    /// A site's name, `site-a`. Unique, the same on both sites, and what metadata carries across.
    SiteName;
    /// A protection group (a UUID, the same on both sites).
    GroupId;
    /// A member of a protection group (a UUID, the same on both sites).
    MemberId;
    /// The link between a tenant's projects on two clouds (a UUID).
    TenantMappingId;
    /// An operation, `op-` followed by a UUID.
    OperationId;
    /// A project in one cloud's Keystone.
    ProjectId;
    /// A user in one cloud's Keystone.
    UserId;
    /// A server in one cloud's Nova.
    ServerId;
    /// A volume in one cloud's Cinder.
    VolumeId;
    /// A network in one cloud's Neutron.
    NetworkId;
    /// A floating IP in one cloud's Neutron.
    FloatingIpId;
    /// A flavor in one cloud's Nova.
    FlavorId;
    /// One running engine process.
    EngineId;
    /// A point in time to which an array can bring a group's replicated volumes.
    RecoveryPointId;
}

impl OperationId {
    /// Makes the operation id that carries `uuid`: `op-7a3f2c11-0001-4b22-a918-000000000001`.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(format!("op-{uuid}"))
    }
}
