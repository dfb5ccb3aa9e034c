//! A member of a protection group: one Nova server, its volumes, and all that is needed to build it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    confidential::{Confidential, Field, HoldsConfidential},
    id::{FlavorId, FloatingIpId, GroupId, MemberId, NetworkId, ServerId, SiteName, VolumeId},
    qos_policy::QosPolicy,
    server_group::ServerGroup,
    storage::CinderVolume,
};

/// Whether a member can be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// Known with all its volumes, and replicated.
    Protected,
    /// Could not be recreated by the last operation.
    Error,
}

impl MemberStatus {
    /// The word used in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Error => "error",
        }
    }
}

/// A member of a protection group, as it is on the site where the group runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's id, the same on both sites and over all failovers.
    pub id: MemberId,
    pub group_id: GroupId,
    /// The server's name when it was added.
    pub name: String,
    /// The server on the site where the group runs now.
    pub server_id: ServerId,
    /// Whether it can be recovered.
    pub status: MemberStatus,
    /// How to build it again.
    pub server: ServerSpec,
    /// Its volumes, in the order of their devices, the boot volume first.
    pub volumes: Vec<ProtectedVolume>,
    /// How it was before it was changed, oldest first, as far back as the latest recovery point is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EarlierMember>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A member as its group knew it until it was seen to be otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierMember {
    /// When the change was seen.
    pub until: DateTime<Utc>,
    pub name: String,
    /// How to build it as it was.
    pub server: ServerSpec,
    /// The volumes that it had.
    pub volumes: Vec<ProtectedVolume>,
}

/// How many changes of a member are remembered between two recovery points. Beyond them the oldest stay: a copy is built
/// from one of these. They travel with the group and with each plan.
const EARLIER_AT_MOST: usize = 4;

impl Member {
    /// The member as `now` has it, which remembers how it was until `until`. What was so before `point`, the group's latest
    /// recovery point, no copy will be built from; without a point, none will be built from anything.
    #[must_use]
    pub fn changed_to(self, now: Self, until: DateTime<Utc>, point: Option<DateTime<Utc>>) -> Self {
        let Self {
            mut earlier,
            name,
            server,
            volumes,
            ..
        } = self;
        let is_needed = |until: DateTime<Utc>| point.is_some_and(|point| until > point);
        earlier.retain(|earlier| is_needed(earlier.until));
        let known = with_ids_known_now(&server, &now.server);
        let is_changed = (&name, &known, &volumes) != (&now.name, &now.server, &now.volumes);
        if !is_changed {
            // Members of before these were kept learn them: nothing was changed.
            for earlier in &mut earlier {
                earlier.server = with_ids_known_now(&earlier.server, &now.server);
            }
        }
        if is_needed(until) && is_changed && earlier.len() < EARLIER_AT_MOST {
            earlier.push(EarlierMember {
                until,
                name,
                server,
                volumes,
            });
        }
        Self { earlier, ..now }
    }

    /// How the member was at `time`, if it is not known to have been as it is now.
    pub fn known_at(&self, time: DateTime<Utc>) -> Option<&EarlierMember> {
        self.earlier.iter().find(|earlier| earlier.until > time)
    }

    /// The member as `earlier` has it in what its disks know of it: its name, host name and addresses, its metadata, tags and
    /// user data, its volumes' names, sizes and devices. What the other cloud has to have for it (networks, security groups, the
    /// flavor, a server group, a key pair, a zone) is today's: that is what somebody has made there and mapped.
    ///
    /// Its volumes are those that it has now; of those that it had not then, the settings are today's.
    #[must_use]
    pub fn as_it_was(&self, earlier: &EarlierMember) -> Self {
        let volumes = self.volumes.iter().map(|volume| {
            let was = earlier.volumes.iter().find(|was| was.id == volume.id);
            was.map_or_else(
                || volume.clone(),
                |was| ProtectedVolume {
                    volume_type: volume.volume_type.clone(),
                    name_id: volume.name_id.clone(),
                    host: volume.host.clone(),
                    ..was.clone()
                },
            )
        });
        let (today, was) = (&self.server, &earlier.server);
        Self {
            name: earlier.name.clone(),
            server: ServerSpec {
                nics: cards_with_addresses(&today.nics, &was.nics),
                metadata: was.metadata.clone(),
                user_data: was.user_data.clone(),
                config_drive: was.config_drive,
                description: was.description.clone(),
                tags: was.tags.clone(),
                hostname: was.hostname.clone(),
                ..today.clone()
            },
            volumes: volumes.collect(),
            earlier: Vec::new(),
            ..self.clone()
        }
    }

    /// Those of its volumes that Nova deleted with its server on `site`, before a move took it away from there.
    pub fn went_with_it_on(&self, site: &SiteName) -> impl Iterator<Item = &ProtectedVolume> {
        let went =
            |volume: &&ProtectedVolume| volume.delete_on_termination_at.as_ref() == Some(site);
        self.volumes.iter().filter(went)
    }

    /// The floating IPs of all its ports, in the order of its network cards, each with its card's number.
    pub fn floating_ips(&self) -> impl Iterator<Item = (usize, &FloatingAddress)> {
        let cards = self.server.nics.iter().enumerate();
        cards.flat_map(|(index, nic)| {
            let of_port = nic.port.iter().flat_map(|port| &port.floating_ips);
            of_port.map(move |floating| (index, floating))
        })
    }

    /// Its floating IP with this address.
    pub fn floating_ip(&self, address: IpAddr) -> Option<&FloatingAddress> {
        let mut all = self.floating_ips().map(|(_, floating)| floating);
        all.find(|floating| floating.address == address)
    }

    /// All security groups of the server and of its ports, by what they are known as.
    pub fn security_groups(&self) -> BTreeSet<&str> {
        self.groups_of_ports().map(|(_, name)| name).collect()
    }

    /// Its security groups, each with the port that has it. Nova names all those of a server's ports and not which of two groups
    /// of one name is meant: of its list only that counts which is not known of a port.
    pub fn groups_of_ports(&self) -> impl Iterator<Item = (Option<&PortSpec>, &str)> {
        let cards = &self.server.nics;
        let ports = || cards.iter().filter_map(|nic| nic.port.as_ref());
        let all_are_known = !cards.is_empty() && ports().count() == cards.len();
        let is_of_a_port =
            move |name: &String| ports().any(|port| port.security_groups.contains(name));
        let of_server = self.server.security_groups.iter();
        let of_server = of_server.filter(move |name| !all_are_known && !is_of_a_port(name));
        let of_ports = ports().flat_map(|port| {
            let names = port.security_groups.iter();
            names.map(move |name| (Some(port), name.as_str()))
        });
        of_ports.chain(of_server.map(|name| (None, name.as_str())))
    }

    /// The command that takes it out of its group. One that was not recovered is given up by that, and the command says so.
    pub fn removal(&self, group: &str) -> String {
        let given_up = match self.status {
            MemberStatus::Protected => "",
            MemberStatus::Error => " --give-up",
        };
        format!("openstack dr member remove {group} {}{given_up}", self.name)
    }
}

/// `was` with the ids that a port of the same MAC address has in `now`, as far as they are of its own groups and floating IPs.
fn with_ids_known_now(was: &ServerSpec, now: &ServerSpec) -> ServerSpec {
    let mut spec = was.clone();
    let known = |port: &&mut PortSpec| !port.mac_address.is_empty();
    let ports = spec.nics.iter_mut().filter_map(|nic| nic.port.as_mut());
    for port in ports.filter(known) {
        let mut ports = now.nics.iter().filter_map(|nic| nic.port.as_ref());
        let Some(now) = ports.find(|now| now.mac_address == port.mac_address) else {
            continue;
        };
        let (names, told) = (&port.security_groups, now.security_group_ids.iter());
        let own = told.filter(|(name, _)| names.contains(name));
        port.security_group_ids = own.map(|(name, id)| (name.clone(), id.clone())).collect();
        for floating in &mut port.floating_ips {
            let mut told = now.floating_ips.iter();
            let same = told.find(|told| told.address == floating.address);
            let learnt = same.and_then(|same| same.id.clone());
            floating.id = floating.id.take().or(learnt);
        }
    }
    spec
}

/// The cards of `today`, each with the addresses that the one of its MAC address, else of its place, has in `was`, where that
/// was in the same network.
fn cards_with_addresses(today: &[Nic], was: &[Nic]) -> Vec<Nic> {
    let mac = |nic: &Nic| nic.port.as_ref().map(|port| port.mac_address.clone());
    let cards = today.iter().enumerate().map(|(place, nic)| {
        let of_its_mac = was
            .iter()
            .find(|was| mac(was).is_some() && mac(was) == mac(nic));
        let found = of_its_mac.or_else(|| was.get(place));
        let addresses = match found {
            Some(found) if found.network_id == nic.network_id => &found.fixed_ips,
            _ => &nic.fixed_ips,
        };
        Nic {
            fixed_ips: addresses.clone(),
            ..nic.clone()
        }
    });
    cards.collect()
}

impl HoldsConfidential for Member {
    fn confidential(&self) -> Vec<&Confidential> {
        let earlier = self.earlier.iter().map(|earlier| &earlier.server);
        let all = std::iter::once(&self.server).chain(earlier);
        all.filter_map(|server| server.user_data.as_ref()).collect()
    }

    fn each_confidential(&mut self, visit: &mut dyn FnMut(Field<'_>, &mut Confidential)) {
        let earlier = self.earlier.iter_mut().map(|earlier| &mut earlier.server);
        let all = std::iter::once(&mut self.server).chain(earlier);
        for user_data in all.filter_map(|server| server.user_data.as_mut()) {
            visit(Field::UserData { member: &self.id }, user_data);
        }
    }
}

/// All of a server that its copy must have too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSpec {
    /// The flavor on the site where the server runs.
    pub flavor: Flavor,
    /// The network cards, in order.
    pub nics: Vec<Nic>,
    /// Names of its security groups.
    pub security_groups: Vec<String>,
    /// Its key pair: the public half, since key pairs belong to users and the copy is built by another user.
    pub key_pair: Option<KeyPair>,
    pub metadata: BTreeMap<String, String>,
    /// Its user data, base64 as Nova keeps it. It often holds passwords.
    pub user_data: Option<Confidential>,
    pub availability_zone: Option<String>,
    /// Whether it has a config drive.
    pub config_drive: bool,
    /// Its description (Nova 2.19).
    pub description: Option<String>,
    /// Its tags (Nova 2.26).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Its host name inside (Nova 2.90), where its cloud shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its server group, if it is in one (Nova 2.71).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_group: Option<ServerGroup>,
}

/// A flavor, by id, with what makes it comparable on another cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flavor {
    /// Its id on the cloud where it was seen.
    pub id: FlavorId,
    pub name: String,
    pub vcpus: u32,
    /// Memory in MiB.
    pub ram_mib: u64,
    /// Its disks; `None` in what earlier releases have written down, which are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<FlavorDisks>,
}

/// The disks of a flavor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlavorDisks {
    /// The root disk in GiB.
    pub root_gib: u64,
    /// Ephemeral disks in GiB.
    pub ephemeral_gib: u64,
    /// Swap in MiB.
    pub swap_mib: u64,
}

/// Why a flavor has no counterpart on another cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCounterpart {
    /// The cloud does not have the one that it is mapped to.
    MappedIsGone(String),
    /// The cloud has one of the same id, or of the same name, and that is another size.
    OtherSize(Flavor),
    NotThere,
}

impl Flavor {
    /// The flavor of `there`, another cloud's, that stands for this one: as mapped, else of the same id and size, else of the
    /// same name and size. An id alone means nothing on another cloud.
    ///
    /// # Errors
    ///
    /// Why there is none: a mapping has to be given, or mended.
    pub fn counterpart<'f>(
        &self,
        mapped: Option<&str>,
        there: &'f [Self],
    ) -> Result<&'f Self, NoCounterpart> {
        if let Some(mapped) = mapped {
            let found = there.iter().find(|flavor| flavor.id.as_str() == mapped);
            return found.ok_or_else(|| NoCounterpart::MappedIsGone(mapped.to_owned()));
        }
        let by_id = || there.iter().filter(|flavor| flavor.id == self.id);
        let by_name = || there.iter().filter(|flavor| flavor.name == self.name);
        by_id()
            .chain(by_name())
            .find(|flavor| self.same_size(flavor))
            .ok_or_else(|| match by_id().chain(by_name()).next() {
                Some(other) => NoCounterpart::OtherSize(other.clone()),
                None => NoCounterpart::NotThere,
            })
    }

    /// Whether a server of the one is like a server of the other, as far as both are known.
    fn same_size(&self, other: &Self) -> bool {
        let same_disks = match (&self.disks, &other.disks) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        (self.vcpus, self.ram_mib) == (other.vcpus, other.ram_mib) && same_disks
    }

    /// Its size in words.
    pub fn size(&self) -> String {
        let disks = self.disks.map(|disks| {
            let FlavorDisks {
                root_gib,
                ephemeral_gib,
                swap_mib,
            } = disks;
            format!(", {root_gib} GiB root, {ephemeral_gib} GiB ephemeral, {swap_mib} MiB swap")
        });
        format!(
            "{} vCPU(s), {} MiB{}",
            self.vcpus,
            self.ram_mib,
            disks.unwrap_or_default()
        )
    }
}

impl NoCounterpart {
    /// What is wrong with `flavor` on `site`: the rest of a sentence that begins with it.
    pub fn in_words(&self, flavor: &Flavor, site: &SiteName) -> String {
        match self {
            Self::MappedIsGone(mapped) => {
                format!("is mapped to {mapped}, which does not exist on {site}")
            }
            Self::OtherSize(other) => format!(
                "({}) has no counterpart on {site}: flavor {} ({}) there has {}",
                flavor.size(),
                other.name,
                other.id,
                other.size()
            ),
            Self::NotThere => format!("({}) has no counterpart on {site}", flavor.size()),
        }
    }
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// The network it is in.
    pub network_id: NetworkId,
    /// Its fixed addresses there.
    pub fixed_ips: Vec<IpAddr>,
    /// What else its port has; `None` in what earlier releases have written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortSpec>,
    /// Its device tag, which the guest finds in its metadata (Nova 2.70).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// All of a port, beside its addresses, that the port of a copy must have too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    pub mac_address: String,
    /// Names of its security groups, and the ids of those whose names tell nothing; none at all is a port without any.
    pub security_groups: Vec<String>,
    /// The ids of those that are known by name, by their names: a recovery plan may name a group by either.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub security_group_ids: BTreeMap<String, String>,
    /// Whether Neutron keeps it to its addresses and groups; `None` where its cloud does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
    /// What else it may send from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_address_pairs: Vec<AddressPair>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its description, without a mark of ours.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating_ips: Vec<FloatingAddress>,
    /// Whether Neutron carries its traffic.
    #[serde(default, skip_serializing_if = "AdminState::is_up")]
    pub admin_state: AdminState,
    /// What Neutron's DHCP tells its guest beside the usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_dhcp_opts: Vec<DhcpOption>,
    /// Its DNS domain; empty where it has none, or Neutron has no such thing of ports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dns_domain: String,
    /// Its own QoS policy; `None` where only that of its network counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_policy: Option<QosPolicy>,
}

impl PortSpec {
    /// Whether something else is set on a port than on this one, its floating IPs aside. Its security groups have no order, and a
    /// QoS policy goes by its id: lists do not name it.
    pub fn is_set_otherwise(&self, other: &Self) -> bool {
        let policy = |port: &Self| port.qos_policy.as_ref().map(|policy| policy.id.clone());
        let aside = |port: &Self| {
            let groups: BTreeSet<String> = port.security_groups.iter().cloned().collect();
            let aside = Self {
                security_groups: Vec::new(),
                floating_ips: Vec::new(),
                qos_policy: None,
                ..port.clone()
            };
            (groups, aside)
        };
        policy(self) != policy(other) || aside(self) != aside(other)
    }
}

/// Whether a port is to carry traffic (`admin_state_up`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminState {
    #[default]
    Up,
    /// Its owner has shut it.
    Down,
}

impl AdminState {
    /// The word that the clients have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands the field by reference"
    )]
    fn is_up(&self) -> bool {
        *self == Self::Up
    }
}

/// Something that DHCP tells the guest of one port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DhcpOption {
    /// The option's name or number, as dnsmasq has it.
    pub opt_name: String,
    /// Its value; some options may be told as empty.
    #[serde(default)]
    pub opt_value: Option<String>,
    /// 4 or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<u8>,
}

/// An outer address that leads to a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatingAddress {
    /// The floating IP's id; `None` in what earlier releases have written down. Of an address that was given back and taken
    /// anew the id is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<FloatingIpId>,
    pub address: IpAddr,
    /// The port's fixed address that it leads to.
    pub fixed_ip: IpAddr,
}

/// An address that a port may send from beside its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPair {
    /// The address, or a range.
    pub ip_address: String,
    /// With this MAC address; `None` for the port's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
}

/// The public half of a key pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    pub name: String,
    /// The public key; `None` where nobody with a right to read it was there when the member was added.
    pub public_key: Option<String>,
    /// `ssh` or `x509`.
    pub kind: String,
}

impl KeyPair {
    /// The name that it gets where another key has its own.
    pub fn name_beside_another(&self, group: &GroupId) -> String {
        format!("{}-{group}", self.name)
    }

    /// Whether two public keys are one. Type and key are compared; the comment behind them is not part of the key.
    pub fn is_one_key(one: &str, other: &str) -> bool {
        let key = |text: &str| {
            text.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        key(one) == key(other)
    }
}

/// One volume of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectedVolume {
    /// The volume on the site where the group runs now.
    pub id: VolumeId,
    /// Its name; empty where it has none.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u64,
    /// Its device in the server, `/dev/vda`.
    pub device: String,
    /// Whether the server boots from it.
    pub boot: bool,
    /// Whether Nova deletes it with the server.
    pub delete_on_termination: bool,
    /// The site where Nova deleted it with the server, before a move to where it is now turned that off: a move back turns it
    /// on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_on_termination_at: Option<SiteName>,
    pub metadata: BTreeMap<String, String>,
    /// What its image asks of the machine that boots it: firmware, buses, guest agent. Nova reads it off the boot
    /// volume, and an import into Cinder does not bring it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub image_properties: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether Cinder lets a server boot from it; `None` in what earlier releases have written down: as it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootable: Option<bool>,
    /// The id of its volume type; `None` in what earlier releases have written down: the group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
    /// The tag by which its guest finds it in the metadata service (Nova 2.70).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The id in its object's name, where that is another one (`os-vol-mig-status-attr:name_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_id: Option<VolumeId>,
    /// Cinder's `host@backend#pool`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl ProtectedVolume {
    /// All that leads its array to the object behind it.
    pub fn in_cinder(&self) -> CinderVolume {
        CinderVolume {
            id: self.id.clone(),
            name_id: self.name_id.clone(),
            host: self.host.clone(),
            metadata: self.metadata.clone(),
        }
    }

    /// Whether a server can boot from its copy.
    pub fn copy_is_bootable(&self) -> bool {
        self.boot || self.bootable.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn flavor(id: &str, name: &str, vcpus: u32, ram_mib: u64) -> Flavor {
        Flavor {
            id: id.into(),
            name: name.to_owned(),
            vcpus,
            ram_mib,
            disks: Some(FlavorDisks {
                root_gib: 0,
                ephemeral_gib: 0,
                swap_mib: 0,
            }),
        }
    }

    #[test]
    fn the_id_of_a_flavor_counts_only_with_its_size() {
        let here = flavor("3", "m1.medium", 2, 4096);
        let other = flavor("3", "tiny", 1, 256);
        let refused = here.counterpart(None, std::slice::from_ref(&other));
        let why = refused.unwrap_err();
        assert_eq!(why, NoCounterpart::OtherSize(other.clone()));
        let words = why.in_words(&here, &"site-b".into());
        assert!(words.contains("2 vCPU(s), 4096 MiB"), "{words}");
        assert!(
            words.contains("flavor tiny (3) there has 1 vCPU(s), 256 MiB"),
            "{words}"
        );
        let there = [other, flavor("9", "m1.medium", 2, 4096)];
        let found = here.counterpart(None, &there).unwrap();
        assert_eq!(found.id.as_str(), "9", "by name and size");
    }

    #[test]
    fn a_mapping_counts_whatever_the_size() {
        let here = flavor("3", "m1.medium", 2, 4096);
        let there = [flavor("big", "big", 8, 8192)];
        assert_eq!(here.counterpart(Some("big"), &there), Ok(&there[0]));
        let gone = here.counterpart(Some("bigger"), &there);
        assert_eq!(gone, Err(NoCounterpart::MappedIsGone("bigger".to_owned())));
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute)
    }

    fn member(name: &str) -> Member {
        Member {
            id: "m".into(),
            group_id: "g".into(),
            server_id: "s".into(),
            server: ServerSpec {
                flavor: flavor("3", "m1.medium", 2, 4096),
                ..fixtures::server_spec()
            },
            created_at: at(0),
            updated_at: at(0),
            ..fixtures::member(name)
        }
    }

    #[test]
    fn a_member_is_known_as_it_was_at_the_time_of_a_recovery_point() {
        let now = member("first")
            .changed_to(member("second"), at(10), Some(at(0)))
            .changed_to(member("third"), at(20), Some(at(0)));
        let named = |minute| {
            let earlier = now.known_at(at(minute));
            earlier.map_or(now.name.as_str(), |earlier| earlier.name.as_str())
        };
        let names = [5, 10, 15, 20, 25].map(named);
        assert_eq!(names, ["first", "second", "second", "third", "third"]);
    }

    #[test]
    fn what_no_recovery_point_can_bring_back_is_forgotten() {
        let changed = member("first")
            .changed_to(member("second"), at(10), Some(at(5)))
            .changed_to(member("third"), at(20), Some(at(15)));
        let names: Vec<_> = changed
            .earlier
            .iter()
            .map(|was| was.name.as_str())
            .collect();
        assert_eq!(names, ["second"]);
        let same = member("one").changed_to(member("one"), at(10), Some(at(0)));
        assert_eq!(same.earlier, []);
        let pointless = member("one").changed_to(member("two"), at(10), None);
        assert_eq!(pointless.earlier, []);
        let often = (1..40).fold(member("0"), |is, number| {
            is.changed_to(member(&format!("{number}")), at(number), Some(at(0)))
        });
        assert_eq!(often.earlier.len(), EARLIER_AT_MOST);
        assert_eq!(often.known_at(at(0)).unwrap().name, "0");
    }

    #[test]
    fn ids_of_groups_that_are_learnt_are_no_change() {
        let with = |name: &str, ids: &[(&str, &str)]| {
            let mut member = member(name);
            member.server.nics = vec![card("net-1", "m1", "10.0.0.5", "web")];
            let port = member.server.nics[0].port.as_mut().unwrap();
            let ids = ids
                .iter()
                .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()));
            port.security_group_ids = ids.collect();
            member
        };
        let known = with("first", &[]).changed_to(with("second", &[]), at(10), Some(at(0)));
        let told = known.changed_to(with("second", &[("web", "1")]), at(20), Some(at(0)));
        let [first] = &told.earlier[..] else {
            panic!("{:?}", told.earlier);
        };
        let ids = |server: &ServerSpec| {
            let port = server.nics[0].port.as_ref().unwrap();
            port.security_group_ids.get("web").cloned()
        };
        assert_eq!(first.name, "first");
        assert_eq!(ids(&first.server).as_deref(), Some("1"));
        assert_eq!(ids(&told.server).as_deref(), Some("1"));
    }

    #[test]
    fn the_id_of_a_floating_ip_that_is_learnt_is_no_change() {
        let with = |id: Option<&str>| {
            let mut member = member("web");
            member.server.nics = vec![card("net-1", "m1", "10.0.0.5", "web")];
            let port = member.server.nics[0].port.as_mut().unwrap();
            port.floating_ips = vec![FloatingAddress {
                id: id.map(Into::into),
                address: "203.0.113.10".parse().unwrap(),
                fixed_ip: "10.0.0.5".parse().unwrap(),
            }];
            member
        };
        let told = with(None).changed_to(with(Some("fip")), at(10), Some(at(0)));
        assert_eq!(told.earlier, []);
        assert_eq!(told, with(Some("fip")));
        // Taken anew, it is another one.
        let anew = told.changed_to(with(Some("other")), at(20), Some(at(0)));
        assert_eq!(anew.earlier.len(), 1);
    }

    fn card(network: &str, mac: &str, address: &str, group: &str) -> Nic {
        Nic {
            network_id: network.into(),
            fixed_ips: vec![address.parse().unwrap()],
            tag: None,
            port: Some(PortSpec {
                mac_address: mac.to_owned(),
                security_groups: vec![group.to_owned()],
                ..PortSpec::default()
            }),
        }
    }

    #[test]
    fn what_the_other_cloud_has_to_have_is_todays_and_what_the_disk_knows_is_of_its_time() {
        let mut was = member("old");
        was.server.hostname = Some("old".to_owned());
        was.server.nics = vec![
            card("net-1", "m1", "10.0.0.5", "web"),
            card("net-gone", "m2", "10.9.0.5", "web"),
        ];
        let mut now = member("new");
        now.server.flavor = flavor("9", "large", 8, 8192);
        now.server.security_groups = vec!["web-v2".to_owned()];
        now.server.nics = vec![
            card("net-2", "m2", "10.2.0.5", "web-v2"),
            card("net-1", "m1", "10.0.0.6", "web-v2"),
        ];
        let now = was.changed_to(now, at(10), Some(at(0)));
        let built = now.as_it_was(now.known_at(at(5)).unwrap());
        assert_eq!(built.name, "old");
        assert_eq!(built.server.hostname.as_deref(), Some("old"));
        assert_eq!(built.server.flavor.name, "large");
        assert_eq!(built.server.security_groups, ["web-v2"]);
        let expected = [
            card("net-2", "m2", "10.2.0.5", "web-v2"),
            card("net-1", "m1", "10.0.0.5", "web-v2"),
        ];
        assert_eq!(built.server.nics, expected);
    }

    #[test]
    fn disks_count_as_far_as_both_are_known() {
        let here = flavor("3", "m1.medium", 2, 4096);
        let mut there = flavor("3", "m1.medium", 2, 4096);
        there.disks = here.disks.map(|disks| FlavorDisks {
            swap_mib: 512,
            ..disks
        });
        assert!(
            here.counterpart(None, std::slice::from_ref(&there))
                .is_err()
        );
        let of_an_earlier_release = Flavor {
            disks: None,
            ..here
        };
        assert!(of_an_earlier_release.counterpart(None, &[there]).is_ok());
    }

    #[test]
    fn a_port_of_an_earlier_release_is_up_and_has_nothing_more() {
        let old = r#"{"mac_address": "m", "security_groups": []}"#;
        let port: PortSpec = serde_json::from_str(old).unwrap();
        assert_eq!(port.admin_state, AdminState::Up);
        assert_eq!(port.qos_policy, None);
        let written = serde_json::to_string(&port).unwrap();
        assert_eq!(written, r#"{"mac_address":"m","security_groups":[]}"#);
    }

    #[test]
    fn a_port_is_set_otherwise_by_each_of_its_attributes() {
        let policy = |id: &str, name: &str| {
            Some(QosPolicy {
                id: id.to_owned(),
                name: name.to_owned(),
            })
        };
        let port = PortSpec {
            qos_policy: policy("q1", "gold"),
            ..PortSpec::default()
        };
        let as_listed = PortSpec {
            qos_policy: policy("q1", ""),
            ..PortSpec::default()
        };
        assert!(!port.is_set_otherwise(&as_listed));
        let otherwise: [fn(&mut PortSpec); 7] = [
            |port| port.security_groups = vec!["web".to_owned()],
            |port| port.security_group_ids = [("web".to_owned(), "1".to_owned())].into(),
            |port| port.admin_state = AdminState::Down,
            |port| port.dns_domain = "example.org.".to_owned(),
            |port| port.qos_policy = None,
            |port| port.mac_address = "m".to_owned(),
            |port| {
                port.extra_dhcp_opts.push(DhcpOption {
                    opt_name: "mtu".to_owned(),
                    opt_value: Some("1400".to_owned()),
                    ip_version: Some(4),
                });
            },
        ];
        for change in otherwise {
            let mut changed = port.clone();
            change(&mut changed);
            assert!(port.is_set_otherwise(&changed), "{changed:?}");
        }
    }
}
