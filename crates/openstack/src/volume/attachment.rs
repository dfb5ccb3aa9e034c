//! Cinder's own records of attachments.

use protector_core::id::{ServerId, VolumeId};
use serde::Deserialize;

use crate::{field, id::AttachmentId, status::AttachmentStatus};

/// An attachment (3.27). What a host needs to connect is left out: it can hold passwords.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attachment {
    pub id: AttachmentId,
    pub volume_id: VolumeId,
    /// The server; `None` when something else holds the volume.
    #[serde(deserialize_with = "field::nullable")]
    pub instance: Option<ServerId>,
    pub status: AttachmentStatus,
    /// `rw` or `ro`.
    #[serde(default)]
    pub attach_mode: Option<String>,
}
