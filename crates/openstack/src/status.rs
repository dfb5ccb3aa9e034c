//! The status words of Nova and Cinder. A word that is not known here is kept as it is, never guessed at.

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! status_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
            /// A word that this client does not know, as the cloud wrote it. Decide nothing on it.
            Unknown(String),
        }

        impl $name {
            /// The word as the cloud writes it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)*
                    Self::Unknown(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($text => Self::$word,)*
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(word: &str) -> Result<Self, Infallible> {
                Ok(Self::from(word))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    };
}

status_words! {
    /// `status` of a server (Nova's API guide, "Server concepts").
    ServerStatus {
        Active = "ACTIVE",
        Build = "BUILD",
        /// Gone; seen by administrators only.
        Deleted = "DELETED",
        /// In error; `fault` says why.
        Error = "ERROR",
        /// A hard reboot is under way.
        HardReboot = "HARD_REBOOT",
        /// A live migration is under way.
        Migrating = "MIGRATING",
        /// A change of password is under way.
        Password = "PASSWORD",
        Paused = "PAUSED",
        /// A soft reboot is under way.
        Reboot = "REBOOT",
        /// A rebuild is under way.
        Rebuild = "REBUILD",
        Rescue = "RESCUE",
        /// A resize or cold migration is under way.
        Resize = "RESIZE",
        /// A resize is being taken back.
        RevertResize = "REVERT_RESIZE",
        /// Shelved: stopped, its disks kept.
        Shelved = "SHELVED",
        /// Shelved and taken off its host.
        ShelvedOffloaded = "SHELVED_OFFLOADED",
        Shutoff = "SHUTOFF",
        /// Deleted by its user, kept for `reclaim_instance_interval`; its volumes are still attached.
        SoftDeleted = "SOFT_DELETED",
        Suspended = "SUSPENDED",
        /// Nova itself does not know.
        NovaUnknown = "UNKNOWN",
        /// Resized, waiting for the user's confirmation.
        VerifyResize = "VERIFY_RESIZE",
    }
}

status_words! {
    /// `status` of a volume (Cinder's API reference, "Volumes").
    VolumeStatus {
        Attaching = "attaching",
        Available = "available",
        /// Offered to another project.
        AwaitingTransfer = "awaiting-transfer",
        BackingUp = "backing-up",
        /// Being created (also while a manage is under way).
        Creating = "creating",
        Deleting = "deleting",
        Detaching = "detaching",
        /// Being filled from an image.
        Downloading = "downloading",
        Error = "error",
        ErrorBackingUp = "error_backing-up",
        /// A deletion failed; the owner cannot repeat it.
        ErrorDeleting = "error_deleting",
        ErrorExtending = "error_extending",
        /// A manage failed. Never delete such a record: unmanage it.
        ErrorManaging = "error_managing",
        ErrorRestoring = "error_restoring",
        Extending = "extending",
        InUse = "in-use",
        /// In maintenance by the operator.
        Maintenance = "maintenance",
        /// A manage is under way.
        Managing = "managing",
        /// Set aside for a server that is about to attach it.
        Reserved = "reserved",
        /// Being restored from a backup.
        RestoringBackup = "restoring-backup",
        Retyping = "retyping",
        /// Being taken back to a snapshot.
        Reverting = "reverting",
        /// An unmanage is under way.
        Unmanaging = "unmanaging",
        /// Being copied into an image.
        Uploading = "uploading",
    }
}

status_words! {
    /// `attach_status` of a Cinder attachment.
    AttachmentStatus {
        Attached = "attached",
        Attaching = "attaching",
        Detached = "detached",
        Reserved = "reserved",
        ErrorAttaching = "error_attaching",
        ErrorDetaching = "error_detaching",
        Deleted = "deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_kept() {
        let status: VolumeStatus = serde_json::from_str("\"quantum-entangled\"").unwrap();
        assert_eq!(
            status,
            VolumeStatus::Unknown("quantum-entangled".to_owned())
        );
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            "\"quantum-entangled\""
        );
        assert_eq!(
            ServerStatus::from("SOFT_DELETED"),
            ServerStatus::SoftDeleted
        );
        assert_eq!(
            ServerStatus::from("active"),
            ServerStatus::Unknown("active".to_owned())
        );
        assert_eq!(VolumeStatus::from("in-use").to_string(), "in-use");
        assert!(serde_json::from_str::<VolumeStatus>("null").is_err());
    }
}
