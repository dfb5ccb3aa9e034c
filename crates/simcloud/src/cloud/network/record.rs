//! Networks, subnets, ports and security groups as Neutron keeps them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cloud::SimTime;

#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) project: Uuid,
    pub(crate) shared: bool,
    pub(crate) external: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Subnet {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) network: Uuid,
    pub(crate) project: Uuid,
    pub(crate) base: IpAddr,
    pub(crate) bits: u32,
    /// `ipv6_address_mode`.
    pub(crate) mode: Option<String>,
}

/// How many addresses of a subnet are given out at most.
const LARGEST_POOL: u128 = 1 << 24;

impl Subnet {
    fn span(&self) -> u128 {
        let all = if self.base.is_ipv4() { 32 } else { 128 };
        1_u128.checked_shl(all - self.bits).unwrap_or(u128::MAX)
    }

    fn at(&self, offset: u128) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                IpAddr::V4(u32::from(base).saturating_add(offset).into())
            }
            IpAddr::V6(base) => IpAddr::V6(u128::from(base).saturating_add(offset).into()),
        }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let offset = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                u32::from(address).checked_sub(base.into()).map(u128::from)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => u128::from(address).checked_sub(base.into()),
            _ => None,
        };
        offset.is_some_and(|offset| offset < self.span())
    }

    /// The first address, which of IPv6 is the prefix itself (RFC 4291, section 2.6.1).
    pub(crate) fn gateway(&self) -> IpAddr {
        self.at(u128::from(self.base.is_ipv4()))
    }

    /// The first and the last address that Neutron gives out by itself: all but network, gateway and broadcast.
    pub(crate) fn bounds(&self) -> (IpAddr, IpAddr) {
        let last = self.span() - 1;
        match self.base {
            IpAddr::V4(_) => (self.at(2), self.at(last - 1)),
            IpAddr::V6(_) => (self.at(1), self.at(last)),
        }
    }

    /// Those addresses, from both ends.
    pub(crate) fn pool(&self) -> impl DoubleEndedIterator<Item = IpAddr> {
        let first = if self.base.is_ipv4() { 2 } else { 1 };
        let end = self.span().saturating_sub(1).min(LARGEST_POOL);
        (first..end).map(|offset| self.at(offset))
    }

    /// Whether each port has an address here that is made of its MAC address, and none can be asked for.
    pub(crate) fn is_automatic(&self) -> bool {
        matches!(self.mode.as_deref(), Some("slaac" | "dhcpv6-stateless"))
    }

    /// The address here of the card with this MAC address (RFC 4291, appendix A).
    pub(crate) fn automatic(&self, mac: &str) -> Option<IpAddr> {
        let bytes: Vec<u8> = mac
            .split(':')
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        let (IpAddr::V6(base), &[a, b, c, d, e, f]) = (self.base, bytes.as_slice()) else {
            return None;
        };
        let interface = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        Some(IpAddr::V6(Ipv6Addr::from(
            u128::from(base) | u128::from(interface),
        )))
    }

    pub(crate) fn cidr(&self) -> String {
        format!("{}/{}", self.base, self.bits)
    }
}

/// `10.0.0.0/24` → its address and length.
pub(crate) fn parse_cidr(cidr: &str) -> Option<(IpAddr, u32)> {
    let (base, bits) = cidr.split_once('/')?;
    let base: IpAddr = base.parse().ok()?;
    let lengths = if base.is_ipv4() { 8..=30 } else { 48..=126 };
    let bits: u32 = bits.parse().ok().filter(|bits| lengths.contains(bits))?;
    Some((base, bits))
}

/// Who binds a port.
pub(crate) struct PortOwner {
    pub(crate) device: Uuid,
    pub(crate) zone: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) network: Uuid,
    pub(crate) project: Uuid,
    pub(crate) mac: String,
    /// `binding:vnic_type`.
    pub(crate) vnic_type: String,
    pub(crate) fixed_ips: Vec<(Uuid, IpAddr)>,
    pub(crate) device_id: String,
    pub(crate) device_owner: String,
    pub(crate) groups: Vec<Uuid>,
    pub(crate) tags: Vec<String>,
    pub(crate) port_security: bool,
    /// Allowed address pairs, as they were given.
    pub(crate) pairs: Vec<Value>,
    pub(crate) dns_name: String,
    pub(crate) admin_up: bool,
    /// `extra_dhcp_opts`, as they were given.
    pub(crate) dhcp_opts: Vec<Value>,
    /// What extensions add to it, where somebody has said something.
    pub(crate) extended: Map<String, Value>,
    pub(crate) created: SimTime,
}

impl Port {
    pub(crate) fn is_marked(&self) -> bool {
        self.description.contains(protector_core::mark::PORT)
    }

    /// The port of a router in a subnet, with the subnet's gateway address.
    pub fn of_router(id: Uuid, router: Uuid, project: Uuid, subnet: &Subnet, now: SimTime) -> Self {
        Self {
            id,
            name: String::new(),
            description: String::new(),
            network: subnet.network,
            project,
            mac: mac_of(id),
            vnic_type: "normal".to_owned(),
            fixed_ips: vec![(subnet.id, subnet.gateway())],
            device_id: router.to_string(),
            device_owner: "network:router_interface".to_owned(),
            groups: Vec::new(),
            tags: Vec::new(),
            port_security: false,
            pairs: Vec::new(),
            dns_name: String::new(),
            admin_up: true,
            dhcp_opts: Vec::new(),
            extended: Map::new(),
            created: now,
        }
    }
}

/// The MAC address that a port gets of itself.
pub(crate) fn mac_of(id: Uuid) -> String {
    let bytes = id.as_bytes();
    format!(
        "fa:16:3e:{:02x}:{:02x}:{:02x}",
        bytes[0], bytes[1], bytes[2]
    )
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) project: Uuid,
    /// The projects that it is shared with by RBAC.
    pub(crate) shared_with: BTreeSet<Uuid>,
}

#[derive(Clone, Debug)]
pub(crate) struct FloatingIp {
    pub(crate) id: Uuid,
    pub(crate) network: Uuid,
    pub(crate) project: Uuid,
    pub(crate) address: IpAddr,
    pub(crate) port: Option<Uuid>,
    /// The port's address that it leads to; `None` for its first.
    pub(crate) fixed: Option<String>,
    pub(crate) description: String,
}
