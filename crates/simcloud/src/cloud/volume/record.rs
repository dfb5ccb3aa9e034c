//! A volume as Cinder keeps it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cloud::SimTime;

/// A volume's status, as the API prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VolumeStatus {
    Creating,
    Downloading,
    Available,
    Reserved,
    Attaching,
    InUse,
    Detaching,
    Deleting,
    Error,
    ErrorDeleting,
    /// Internal to manage: printed as `creating`.
    Managing,
    /// A manage that failed late: printed as `error`.
    ErrorManaging,
    AwaitingTransfer,
    Maintenance,
    Other(&'static str),
}

/// All that `os-reset_status` accepts, in the order in which its refusal lists them.
pub(crate) const SETTABLE: [&str; 22] = [
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "error_managing",
    "managing",
    "attaching",
    "in-use",
    "detaching",
    "maintenance",
    "restoring-backup",
    "error_restoring",
    "reserved",
    "awaiting-transfer",
    "backing-up",
    "error_backing-up",
    "error_extending",
    "downloading",
    "uploading",
    "retyping",
    "extending",
];

impl VolumeStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating | Self::Managing => "creating",
            Self::Downloading => "downloading",
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::Attaching => "attaching",
            Self::InUse => "in-use",
            Self::Detaching => "detaching",
            Self::Deleting => "deleting",
            Self::Error | Self::ErrorManaging => "error",
            Self::ErrorDeleting => "error_deleting",
            Self::AwaitingTransfer => "awaiting-transfer",
            Self::Maintenance => "maintenance",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "creating" => Self::Creating,
            "downloading" => Self::Downloading,
            "available" => Self::Available,
            "reserved" => Self::Reserved,
            "attaching" => Self::Attaching,
            "in-use" => Self::InUse,
            "detaching" => Self::Detaching,
            "deleting" => Self::Deleting,
            "error" => Self::Error,
            "error_deleting" => Self::ErrorDeleting,
            "managing" => Self::Managing,
            "error_managing" => Self::ErrorManaging,
            "awaiting-transfer" => Self::AwaitingTransfer,
            "maintenance" => Self::Maintenance,
            other => Self::Other(SETTABLE.into_iter().find(|known| *known == other)?),
        })
    }
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachStatus {
    Reserved,
    Attached,
    Detaching,
}

impl AttachStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
        }
    }
}

/// A volume's tie to a server.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) id: Uuid,
    pub(crate) server: Uuid,
    pub(crate) status: AttachStatus,
    pub(crate) device: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) attached: Option<SimTime>,
}

#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) gib: u64,
    pub(crate) status: VolumeStatus,
    pub(crate) project: Uuid,
    pub(crate) user: Uuid,
    pub(crate) kind: Option<Uuid>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bootable: bool,
    pub(crate) image: Option<Uuid>,
    /// What Cinder noted of its image, and what was set by `os-set_image_metadata`.
    pub(crate) image_properties: BTreeMap<String, String>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) group: Option<Uuid>,
    pub(crate) snapshot: Option<Uuid>,
    pub(crate) source: Option<Uuid>,
    pub(crate) multiattach: bool,
    /// Has a key in the key manager.
    pub(crate) encrypted: bool,
    /// Came in by manage: Cinder leaves `service_uuid` empty then.
    pub(crate) managed: bool,
    pub(crate) host: String,
    pub(crate) created: SimTime,
    pub(crate) updated: SimTime,
}

impl Volume {
    /// The name of its object in the backend.
    pub(crate) fn object(&self) -> String {
        format!("volume-{}", self.id)
    }

    /// A volume that just begins to exist.
    pub(crate) fn fresh(id: Uuid, project: Uuid, user: Uuid, gib: u64, now: SimTime) -> Self {
        Self {
            id,
            name: None,
            description: None,
            gib,
            status: VolumeStatus::Creating,
            project,
            user,
            kind: None,
            metadata: BTreeMap::new(),
            bootable: false,
            image: None,
            image_properties: BTreeMap::new(),
            attachments: Vec::new(),
            group: None,
            snapshot: None,
            source: None,
            multiattach: false,
            encrypted: false,
            managed: false,
            host: String::new(),
            created: now,
            updated: now,
        }
    }

    pub(crate) fn attachment_of(&mut self, server: Uuid) -> Option<&mut Attachment> {
        self.attachments.iter_mut().find(|tie| tie.server == server)
    }

    /// Takes the tie to `server` away; the volume is free when it was the last one.
    pub(crate) fn release(&mut self, server: Uuid) {
        self.attachments.retain(|tie| tie.server != server);
        self.settle();
    }

    /// The status that fits the ties that are left.
    pub(crate) fn settle(&mut self) {
        let tied = matches!(
            self.status,
            VolumeStatus::Reserved
                | VolumeStatus::Attaching
                | VolumeStatus::InUse
                | VolumeStatus::Detaching
        );
        if !tied {
            return;
        }
        self.status = if self
            .attachments
            .iter()
            .any(|tie| tie.status == AttachStatus::Attached)
        {
            VolumeStatus::InUse
        } else if self.attachments.is_empty() {
            VolumeStatus::Available
        } else {
            VolumeStatus::Reserved
        };
    }
}
