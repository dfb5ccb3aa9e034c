//! A volume as Cinder shows it, and what a new one is to be.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{
    id::{ProjectId, ServerId, UserId, VolumeId},
    not_carried::VolumeTraits,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    field,
    id::{AttachmentId, SnapshotId, VolumeGroupId},
    status::VolumeStatus,
};

/// A volume. A field without which nothing may be decided is never guessed: its absence makes reading fail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Volume {
    pub id: VolumeId,
    /// Its name; `None` or empty for one without.
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    pub status: VolumeStatus,
    /// Its size in GiB.
    pub size: u64,
    /// Whether a server can boot from it.
    #[serde(deserialize_with = "field::flag")]
    pub bootable: bool,
    /// The name of its type.
    #[serde(default)]
    pub volume_type: Option<String>,
    /// The id of its type (3.63).
    #[serde(default)]
    pub volume_type_id: Option<String>,
    /// The servers that it is attached to.
    pub attachments: Vec<VolumeServer>,
    pub metadata: BTreeMap<String, String>,
    /// Its backend, `host@backend#pool`, where policy shows it (admins by default).
    #[serde(rename = "os-vol-host-attr:host", default)]
    pub host: Option<String>,
    /// The group that it is in (3.13).
    #[serde(deserialize_with = "field::nullable")]
    pub group_id: Option<VolumeGroupId>,
    /// The id in the name of its object, which a migration within the cloud changes and the tenant's id does not; shown to
    /// admins only, and where it is another one.
    #[serde(rename = "os-vol-mig-status-attr:name_id", default)]
    pub name_id: Option<VolumeId>,
    /// The state of its migration, shown to admins only.
    #[serde(default)]
    pub migration_status: Option<String>,
    /// Whether several servers may attach it.
    pub multiattach: bool,
    /// The state of its replication, as its driver writes it.
    #[serde(default)]
    pub replication_status: Option<String>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    #[serde(rename = "os-vol-tenant-attr:tenant_id")]
    pub project_id: ProjectId,
    /// Who made or took it.
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// The service that it belongs to (3.48); `None` for one that was managed.
    #[serde(default)]
    pub service_uuid: Option<String>,
    /// Whether its target is shared, so that os-brick takes a lock (3.48; `None` since 3.69 for "by the host").
    #[serde(default)]
    pub shared_targets: Option<bool>,
    /// What its image said about it.
    #[serde(default)]
    pub volume_image_metadata: BTreeMap<String, String>,
    /// The snapshot that it was made from.
    #[serde(default)]
    pub snapshot_id: Option<SnapshotId>,
    #[serde(default)]
    pub availability_zone: Option<String>,
    /// When it was made.
    #[serde(deserialize_with = "field::time")]
    pub created_at: DateTime<Utc>,
}

impl Volume {
    /// What tells that something of it is not carried to another cloud.
    pub fn traits(&self) -> VolumeTraits {
        VolumeTraits {
            encrypted: self.encrypted,
            multiattach: self.multiattach,
            image: self.volume_image_metadata.clone(),
        }
    }
}

/// A server that a volume is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeServer {
    pub server_id: ServerId,
    /// Cinder's record of the attachment.
    pub attachment_id: AttachmentId,
    /// The device inside, `/dev/vda`.
    #[serde(default)]
    pub device: Option<String>,
    /// The host of the server, where policy shows it.
    #[serde(default)]
    pub host_name: Option<String>,
}

/// A volume that was just made or managed. Read it for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NewVolumeRecord {
    pub id: VolumeId,
    /// Its state, `creating` as a rule.
    pub status: VolumeStatus,
}

/// A volume to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewVolume {
    pub name: String,
    /// Its size in GiB.
    pub size: u64,
    /// The name or id of its type; `None` for the project's default.
    pub volume_type: Option<String>,
    pub description: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub availability_zone: Option<String>,
    /// The snapshot to make it from.
    pub snapshot_id: Option<SnapshotId>,
    /// The volume to copy.
    pub source_volid: Option<VolumeId>,
    /// The image to fill it from.
    pub image: Option<crate::id::ImageId>,
}

/// What a backend holds and Cinder is to take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedVolume {
    /// The backend, `host@backend#pool`.
    pub host: String,
    /// The backend's own name of the volume.
    pub reference: BackendReference,
    /// Its name in Cinder.
    pub name: String,
    pub description: Option<String>,
    /// The name of its type.
    pub volume_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Whether a server can boot from it.
    pub bootable: bool,
    pub availability_zone: Option<String>,
}

/// How a backend names a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum BackendReference {
    /// By name (most drivers).
    #[serde(rename = "source-name")]
    Name(String),
    #[serde(rename = "source-id")]
    Id(String),
}

/// What changes of a volume; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VolumeUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

fn with_present(
    required: Value,
    optional: impl IntoIterator<Item = (&'static str, Option<Value>)>,
) -> Value {
    let mut object = match required {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    json!({"volume": object})
}

impl NewVolume {
    /// The body of `POST /volumes`.
    pub(super) fn body(&self) -> Value {
        with_present(
            json!({"name": self.name, "size": self.size, "metadata": self.metadata}),
            [
                (
                    "volume_type",
                    self.volume_type.as_ref().map(|name| json!(name)),
                ),
                (
                    "description",
                    self.description.as_ref().map(|text| json!(text)),
                ),
                (
                    "availability_zone",
                    self.availability_zone.as_ref().map(|zone| json!(zone)),
                ),
                ("snapshot_id", self.snapshot_id.as_ref().map(|id| json!(id))),
                (
                    "source_volid",
                    self.source_volid.as_ref().map(|id| json!(id)),
                ),
                ("imageRef", self.image.as_ref().map(|id| json!(id))),
            ],
        )
    }
}

impl ManagedVolume {
    /// The body of `POST /manageable_volumes`.
    pub(super) fn body(&self) -> Value {
        with_present(
            json!({
                "host": self.host,
                "ref": self.reference,
                "name": self.name,
                "metadata": self.metadata,
                "bootable": self.bootable,
            }),
            [
                (
                    "description",
                    self.description.as_ref().map(|text| json!(text)),
                ),
                (
                    "volume_type",
                    self.volume_type.as_ref().map(|name| json!(name)),
                ),
                (
                    "availability_zone",
                    self.availability_zone.as_ref().map(|zone| json!(zone)),
                ),
            ],
        )
    }
}

/// Which volumes a list gives. All that is given must fit; the test is made here, exactly, after the last page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeFilter {
    pub name: Option<String>,
    /// A metadata key and its value: the mark of what we made.
    pub metadata: Option<(String, String)>,
}

impl VolumeFilter {
    /// All volumes of the project.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with exactly this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            metadata: None,
        }
    }

    /// Those whose metadata has this key with this value.
    pub fn marked(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: None,
            metadata: Some((key.into(), value.into())),
        }
    }

    /// The mark as a filter for Cinder, which reads it as a Python literal: sent only when both halves are plain,
    /// and it only makes the list shorter.
    pub(super) fn metadata_to_send(&self) -> Option<String> {
        let plain = |text: &str| {
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'))
        };
        let (key, value) = self
            .metadata
            .as_ref()
            .filter(|(key, value)| plain(key) && plain(value))?;
        Some(format!("{{'{key}': '{value}'}}"))
    }

    pub(super) fn fits(&self, volume: &Volume) -> bool {
        let name_fits = self.name.is_none() || self.name == volume.name;
        let mark_fits = self
            .metadata
            .as_ref()
            .is_none_or(|(key, value)| volume.metadata.get(key) == Some(value));
        name_fits && mark_fits
    }
}
