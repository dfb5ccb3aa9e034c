//! What a new server is to be.

use std::collections::BTreeMap;

use protector_core::id::{FlavorId, NetworkId, VolumeId};
use serde_json::{Map, Value, json};

use crate::{
    field::UserData,
    id::{ImageId, PortId},
};

/// A server to be made. `Debug` leaves the user data out.
#[derive(Clone, Debug, PartialEq)]
pub struct NewServer {
    pub name: String,
    pub flavor: FlavorId,
    /// Its image; `None` when it boots from a volume.
    pub image: Option<ImageId>,
    /// Its disks, the one with boot index 0 first.
    pub block_devices: Vec<BlockDevice>,
    /// Its networks in the order of its interfaces; none at all makes a server without network.
    pub networks: Vec<ServerNetwork>,
    /// Security groups by name, for ports that Nova makes; ports made before have their own.
    pub security_groups: Vec<String>,
    /// The key pair, one of the session's own user.
    pub key_name: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub user_data: Option<UserData>,
    pub availability_zone: Option<String>,
    /// Whether it has a config drive; `None` leaves it to the cloud.
    pub config_drive: Option<bool>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// Its host name inside; `None` for one that Nova makes of its name. Needs 2.90.
    pub hostname: Option<String>,
    /// The id of the server group that it is to be in.
    pub server_group: Option<String>,
}

/// A disk of a new server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    /// Where it comes from.
    pub source: BlockSource,
    /// 0 for the disk to boot from, -1 or `None` for the others.
    pub boot_index: Option<i32>,
    /// True to have Nova delete the volume with the server.
    pub delete_on_termination: bool,
    /// The device's name, a wish that hypervisors may ignore.
    pub device_name: Option<String>,
    /// The tag by which its guest finds it (2.42).
    pub tag: Option<String>,
}

/// Where a disk of a new server comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// A volume that exists.
    Volume(VolumeId),
}

/// A network of a new server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerNetwork {
    /// A port that exists. It stays when the server goes.
    Port {
        port: PortId,
        /// The card's device tag (2.42).
        tag: Option<String>,
    },
    /// A port that Nova makes. It goes with the server.
    Network {
        network: NetworkId,
        /// Its address; `None` for any.
        fixed_ip: Option<String>,
        /// The card's device tag (2.42).
        tag: Option<String>,
    },
}

impl ServerNetwork {
    /// The same with a device tag, if there is one.
    pub fn tagged(mut self, own: Option<String>) -> Self {
        let (Self::Port { tag, .. } | Self::Network { tag, .. }) = &mut self;
        *tag = own;
        self
    }

    fn body(&self) -> Value {
        let (mut body, tag) = match self {
            Self::Port { port, tag } => (json!({"port": port}), tag),
            Self::Network {
                network,
                fixed_ip,
                tag,
            } => {
                let mut body = json!({"uuid": network});
                if let Some(ip) = fixed_ip {
                    body["fixed_ip"] = json!(ip);
                }
                (body, tag)
            }
        };
        if let Some(tag) = tag {
            body["tag"] = json!(tag);
        }
        body
    }
}

impl NewServer {
    /// A server with a name and a flavor, and nothing else yet.
    pub fn new(name: impl Into<String>, flavor: FlavorId) -> Self {
        Self {
            name: name.into(),
            flavor,
            image: None,
            block_devices: Vec::new(),
            networks: Vec::new(),
            security_groups: Vec::new(),
            key_name: None,
            metadata: BTreeMap::new(),
            user_data: None,
            availability_zone: None,
            config_drive: None,
            description: None,
            tags: Vec::new(),
            hostname: None,
            server_group: None,
        }
    }

    /// The body of `POST /servers`.
    pub(super) fn body(&self) -> Value {
        let mut server = Map::new();
        server.insert("name".to_owned(), json!(self.name));
        server.insert("flavorRef".to_owned(), json!(self.flavor));
        server.insert("networks".to_owned(), networks(&self.networks));
        server.insert("metadata".to_owned(), json!(self.metadata));
        let disks: Vec<Value> = self.block_devices.iter().map(BlockDevice::body).collect();
        let groups: Vec<Value> = self
            .security_groups
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        let optional = [
            ("imageRef", self.image.as_ref().map(|image| json!(image))),
            (
                "block_device_mapping_v2",
                (!disks.is_empty()).then_some(Value::Array(disks)),
            ),
            (
                "security_groups",
                (!groups.is_empty()).then_some(Value::Array(groups)),
            ),
            ("key_name", self.key_name.as_ref().map(|name| json!(name))),
            (
                "user_data",
                self.user_data.as_ref().map(|data| json!(data.expose())),
            ),
            (
                "availability_zone",
                self.availability_zone.as_ref().map(|zone| json!(zone)),
            ),
            ("config_drive", self.config_drive.map(Value::Bool)),
            (
                "description",
                self.description.as_ref().map(|text| json!(text)),
            ),
            ("hostname", self.hostname.as_ref().map(|name| json!(name))),
            ("tags", (!self.tags.is_empty()).then(|| json!(self.tags))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                server.insert(name.to_owned(), value);
            }
        }
        let mut body = json!({"server": server});
        if let Some(group) = &self.server_group {
            body["os:scheduler_hints"] = json!({"group": group});
        }
        body
    }
}

/// Since 2.37 networks must be named, or refused in a word; left out, Nova would choose some.
fn networks(networks: &[ServerNetwork]) -> Value {
    if networks.is_empty() {
        return json!("none");
    }
    networks.iter().map(ServerNetwork::body).collect()
}

impl BlockDevice {
    /// A volume as a disk that stays when the server goes.
    pub fn volume(volume: VolumeId, boot_index: i32) -> Self {
        Self {
            source: BlockSource::Volume(volume),
            boot_index: Some(boot_index),
            delete_on_termination: false,
            device_name: None,
            tag: None,
        }
    }

    fn body(&self) -> Value {
        let BlockSource::Volume(volume) = &self.source;
        let mut device = json!({
            "uuid": volume,
            "source_type": "volume",
            "destination_type": "volume",
            "boot_index": self.boot_index.unwrap_or(-1),
            "delete_on_termination": self.delete_on_termination,
        });
        if let Some(name) = &self.device_name {
            device["device_name"] = json!(name);
        }
        if let Some(tag) = &self.tag {
            device["tag"] = json!(tag);
        }
        device
    }
}
