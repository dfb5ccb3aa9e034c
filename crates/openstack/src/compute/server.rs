//! A server as Nova shows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::{DateTime, Utc};
use protector_core::{
    id::{FlavorId, NetworkId, ProjectId, ServerId, UserId, VolumeId},
    member::{Flavor as KnownFlavor, FlavorDisks},
    member_settings::ServerSettings,
    not_carried::ServerTraits,
};
use serde::Deserialize;

use crate::{
    field::{self, UserData},
    id::{AttachmentId, ImageId, PortId, SubnetId},
    status::ServerStatus,
};

/// A server. A field without which nothing may be decided is never guessed: its absence makes reading fail.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Server {
    pub id: ServerId,
    /// Its name; several servers may share one.
    pub name: String,
    /// What users see of its state.
    pub status: ServerStatus,
    /// What Nova is doing with it, `deleting`; `None` for nothing.
    #[serde(rename = "OS-EXT-STS:task_state", deserialize_with = "field::nullable")]
    pub task_state: Option<String>,
    /// Nova's inner state, `active`, `stopped`, `error`.
    #[serde(rename = "OS-EXT-STS:vm_state")]
    pub vm_state: String,
    /// The hypervisor's view: 1 running, 4 shut down; others in Nova's API guide.
    #[serde(rename = "OS-EXT-STS:power_state", default)]
    pub power_state: Option<i64>,
    /// Why it is in `ERROR`.
    #[serde(default)]
    pub fault: Option<ServerFault>,
    /// Whether somebody locked it (2.9).
    pub locked: bool,
    /// Why, in the words of who locked it (2.73).
    #[serde(default)]
    pub locked_reason: Option<String>,
    /// The state of its host (2.16), where policy shows it: `UP`, `UNKNOWN`, `DOWN`, `MAINTENANCE`.
    #[serde(default)]
    pub host_status: Option<String>,
    /// The name of its host, where policy shows it.
    #[serde(rename = "OS-EXT-SRV-ATTR:host", default)]
    pub host: Option<String>,
    /// What stands for its host with users who may not see that; empty while it is on none.
    #[serde(rename = "hostId", default)]
    pub host_id: String,
    /// When its guest was first started, if it ever was.
    #[serde(
        rename = "OS-SRV-USG:launched_at",
        default,
        deserialize_with = "field::optional_time"
    )]
    pub launched_at: Option<DateTime<Utc>>,
    pub metadata: BTreeMap<String, String>,
    /// Its addresses by network name, in the order of its network cards.
    #[serde(default, deserialize_with = "field::in_order")]
    pub addresses: Vec<(String, Vec<Address>)>,
    /// Its flavor as it was when it was made (2.47).
    pub flavor: EmbeddedFlavor,
    /// The image that it was made from; `None` when it boots from a volume.
    #[serde(default, deserialize_with = "field::image_of_server")]
    pub image: Option<ImageId>,
    /// The name of its key pair.
    #[serde(default)]
    pub key_name: Option<String>,
    /// Its security groups; absent for a server without ports.
    #[serde(default)]
    pub security_groups: Vec<NamedGroup>,
    /// Its availability zone; empty while it has no host.
    #[serde(rename = "OS-EXT-AZ:availability_zone", default)]
    pub availability_zone: Option<String>,
    /// The zone that its user chose (2.96), if one was chosen; `None` of a Nova that does not tell.
    #[serde(default, deserialize_with = "field::told")]
    pub pinned_availability_zone: Option<Option<String>>,
    /// Whether it has a config drive.
    #[serde(default, deserialize_with = "field::flag")]
    pub config_drive: bool,
    /// Its description (2.19).
    #[serde(default)]
    pub description: Option<String>,
    /// Its tags (2.26).
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its volumes, each with whether it goes with the server (2.3).
    #[serde(rename = "os-extended-volumes:volumes_attached")]
    pub volumes_attached: Vec<ServerVolume>,
    /// Its user data (2.3), where policy shows it.
    #[serde(rename = "OS-EXT-SRV-ATTR:user_data", default)]
    pub user_data: Option<UserData>,
    /// Its root device (2.3), where policy shows it.
    #[serde(rename = "OS-EXT-SRV-ATTR:root_device_name", default)]
    pub root_device_name: Option<String>,
    /// Its host name inside (2.3; shown to all since 2.90).
    #[serde(rename = "OS-EXT-SRV-ATTR:hostname", default)]
    pub hostname: Option<String>,
    /// The server groups that it is in (2.71): one at most. Lists do not show it.
    #[serde(default)]
    pub server_groups: Vec<String>,
    /// The address that its user has noted of it for others (IPv4); empty for none.
    #[serde(rename = "accessIPv4", default)]
    pub access_ipv4: String,
    /// The same for IPv6.
    #[serde(rename = "accessIPv6", default)]
    pub access_ipv6: String,
    #[serde(rename = "tenant_id")]
    pub project_id: ProjectId,
    #[serde(default)]
    pub user_id: Option<UserId>,
    /// When it was made.
    #[serde(deserialize_with = "field::time")]
    pub created: DateTime<Utc>,
    /// When Nova last changed anything in its record of it, by Nova's clock, to the second.
    #[serde(default, deserialize_with = "field::optional_time")]
    pub updated: Option<DateTime<Utc>>,
}

/// The zone of hosts that nobody has put into one. Nova's manual warns against asking for it by name.
const DEFAULT_ZONE: &str = "nova";

impl Server {
    /// The availability zone that its user chose. Of a Nova before 2.96, which shows only where a server is: that zone, but for
    /// the one that stands for none.
    pub fn chosen_zone(&self) -> Option<&str> {
        let is_in = self.availability_zone.as_deref();
        match &self.pinned_availability_zone {
            Some(pinned) => pinned.as_deref(),
            None => is_in.filter(|zone| !matches!(*zone, "" | DEFAULT_ZONE)),
        }
    }

    /// `interfaces` in the order of the server's network cards. Nova lists ports in Neutron's order; only the server's addresses
    /// stand in that of the cards. One without an address comes last.
    pub fn in_order_of_cards(&self, mut interfaces: Vec<PortAttachment>) -> Vec<PortAttachment> {
        let shown = self.addresses.iter().flat_map(|(_, of_network)| of_network);
        let cards: Vec<&str> = shown.filter_map(|address| address.mac.as_deref()).collect();
        let place = |interface: &PortAttachment| {
            let mut cards = cards.iter();
            let found = cards.position(|mac| mac.eq_ignore_ascii_case(&interface.mac_addr));
            found.unwrap_or(usize::MAX)
        };
        interfaces.sort_by_key(place);
        interfaces
    }

    /// The floating IPs that lead to it, as far as Nova knows.
    pub fn floating_ips(&self) -> BTreeSet<IpAddr> {
        let all = self.addresses.iter().flat_map(|(_, of_network)| of_network);
        let floating = all.filter(|address| address.kind.as_deref() == Some("floating"));
        floating
            .filter_map(|shown| shown.addr.parse().ok())
            .collect()
    }

    /// What its tenant has set on it.
    pub fn settings(&self) -> ServerSettings {
        let is_fixed = |address: &&Address| address.kind.as_deref() != Some("floating");
        let addresses = self.addresses.iter().flat_map(|(_, of_network)| of_network);
        let addresses = addresses.filter(is_fixed);
        let groups = self.security_groups.iter();
        ServerSettings {
            name: self.name.clone(),
            description: self.description.clone(),
            metadata: self.metadata.clone(),
            tags: self.tags.iter().cloned().collect(),
            security_groups: groups.map(|group| group.name.clone()).collect(),
            key_pair: self.key_name.clone(),
            addresses: addresses
                .filter_map(|shown| shown.addr.parse().ok())
                .collect(),
        }
    }

    /// What tells that something of it is not carried to another cloud.
    pub fn traits(&self) -> ServerTraits {
        ServerTraits {
            boots_from_image: self.image.is_some(),
            ephemeral_gib: self.flavor.ephemeral,
            swap_mib: self.flavor.swap,
            extra_specs: self.flavor.extra_specs.clone(),
            noted_addresses: [&self.access_ipv4, &self.access_ipv6]
                .into_iter()
                .filter(|address| !address.is_empty())
                .cloned()
                .collect(),
        }
    }
}

/// Why a server is in error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerFault {
    /// An HTTP-like code, 500 for most.
    pub code: i64,
    pub message: String,
    #[serde(default, deserialize_with = "field::optional_time")]
    pub created: Option<DateTime<Utc>>,
}

/// One address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Address {
    pub addr: String,
    /// 4 or 6.
    pub version: u8,
    /// `fixed` or `floating`.
    #[serde(rename = "OS-EXT-IPS:type", default)]
    pub kind: Option<String>,
    /// The MAC address of its port.
    #[serde(rename = "OS-EXT-IPS-MAC:mac_addr", default)]
    pub mac: Option<String>,
}

/// A security group of a server, by name as Nova shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedGroup {
    pub name: String,
}

/// A flavor as stored in a server. It has no id: find the flavor by its original name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EmbeddedFlavor {
    /// The flavor's name when the server was made or resized.
    pub original_name: String,
    pub vcpus: u64,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB; 0 for one that boots from a volume.
    pub disk: u64,
    /// Ephemeral disk in GiB.
    #[serde(default)]
    pub ephemeral: u64,
    /// Swap in MiB.
    #[serde(default)]
    pub swap: u64,
    /// Extra specs, where policy shows them.
    #[serde(default)]
    pub extra_specs: BTreeMap<String, String>,
}

impl EmbeddedFlavor {
    /// The flavor of the server as other clouds' are compared with it: that of `flavors` with its name, if it still has its
    /// size. One that Nova does not list any more goes by its name and by the size that the server has.
    pub fn known(&self, flavors: &[super::NovaFlavor]) -> KnownFlavor {
        let listed = flavors.iter().find(|flavor| self.is(flavor));
        listed.map_or_else(|| self.unlisted(), super::NovaFlavor::known)
    }

    /// The root disk is left out: whether Nova shows the flavor's of a server that boots from a volume, releases differ.
    fn is(&self, flavor: &super::NovaFlavor) -> bool {
        let own = (self.vcpus, self.ram, self.ephemeral, self.swap);
        self.original_name == flavor.name
            && own == (flavor.vcpus, flavor.ram, flavor.ephemeral, flavor.swap)
    }

    fn unlisted(&self) -> KnownFlavor {
        KnownFlavor {
            id: FlavorId::new(self.original_name.clone()),
            name: self.original_name.clone(),
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

/// A volume of a server, as part of the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ServerVolume {
    pub id: VolumeId,
    /// True when Nova deletes the volume with the server.
    pub delete_on_termination: bool,
}

/// A volume's attachment as Nova lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VolumeAttachment {
    #[serde(rename = "serverId")]
    pub server_id: ServerId,
    #[serde(rename = "volumeId")]
    pub volume_id: VolumeId,
    /// The device inside, `/dev/vda`; `None` while attaching.
    #[serde(deserialize_with = "field::nullable")]
    pub device: Option<String>,
    /// True when Nova deletes the volume with the server (2.79).
    pub delete_on_termination: bool,
    /// Cinder's attachment record (2.89).
    #[serde(default)]
    pub attachment_id: Option<AttachmentId>,
    /// The tag by which its guest finds it (2.70).
    #[serde(default)]
    pub tag: Option<String>,
}

/// A server's port as Nova lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PortAttachment {
    pub port_id: PortId,
    pub net_id: NetworkId,
    pub mac_addr: String,
    pub fixed_ips: Vec<InterfaceIp>,
    /// `ACTIVE`, `DOWN` …
    #[serde(default)]
    pub port_state: Option<String>,
    /// Its device tag (2.70).
    #[serde(default)]
    pub tag: Option<String>,
}

/// An address of a server's port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct InterfaceIp {
    pub subnet_id: SubnetId,
    pub ip_address: String,
}

/// Which servers a list gives. All that is given must fit; the test is made here, exactly, after the last page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFilter {
    pub name: Option<String>,
    /// A metadata key and its value: the mark of what we made.
    pub metadata: Option<(String, String)>,
}

impl ServerFilter {
    /// All servers of the project.
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

    /// The name as a filter for Nova, which takes it for a regular expression: only one without special
    /// characters is sent, and it only makes the list shorter.
    pub(super) fn name_to_send(&self) -> Option<&str> {
        let plain = |name: &&str| {
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' '))
        };
        self.name.as_deref().filter(plain)
    }

    pub(super) fn fits(&self, server: &Server) -> bool {
        let name_fits = self.name.as_ref().is_none_or(|name| *name == server.name);
        let mark_fits = self
            .metadata
            .as_ref()
            .is_none_or(|(key, value)| server.metadata.get(key) == Some(value));
        name_fits && mark_fits
    }
}
