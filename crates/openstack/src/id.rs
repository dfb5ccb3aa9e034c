//! Ids of cloud resources that the rest of protector does not need to know by type.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! resource_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as its service wrote it.
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

resource_id! {
    PortId;
    SubnetId;
    /// A Neutron security group.
    SecurityGroupId;
    ImageId;
    SnapshotId;
    /// A Cinder attachment (the record of Cinder 3.27, not Nova's).
    AttachmentId;
    /// A Cinder generic volume group.
    VolumeGroupId;
    /// A Cinder group type.
    VolumeGroupTypeId;
    /// A Cinder volume type.
    VolumeTypeId;
    /// A Cinder volume transfer.
    TransferId;
    RoleId;
}
