//! Networks, subnets, ports and security groups as Neutron keeps them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cloud::SimTime;

/// A network.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) project: Uuid,
    pub(crate) shared: bool,
    pub(crate) external: bool,
}

/// A subnet.
#[derive(Clone, Debug)]
pub(crate) struct Subnet {
    pub(crate) id: Uuid,
    pub(super) name: String,
    pub(crate) network: Uuid,
    pub(super) project: Uuid,
    pub(super) base: IpAddr,
    pub(super) bits: u32,
    /// `ipv6_address_mode`.
    pub(super) mode: Option<String>,
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

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let offset = match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                u32::from(address).checked_sub(base.into()).map(u128::from)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => u128::from(address).checked_sub(base.into()),
            _ => None,
        };
        offset.is_some_and(|offset| offset < self.span())
    }

    pub(super) fn gateway(&self) -> IpAddr {
        self.at(1)
    }

    /// Addresses that Neutron gives out by itself: all but network, gateway and broadcast.
    pub(super) fn pool(&self) -> impl DoubleEndedIterator<Item = IpAddr> {
        let end = self.span().saturating_sub(1).min(LARGEST_POOL);
        (2..end).map(|offset| self.at(offset))
    }

    /// Whether each port has an address here that is made of its MAC address, and none can be asked for.
    pub(super) fn is_automatic(&self) -> bool {
        matches!(self.mode.as_deref(), Some("slaac" | "dhcpv6-stateless"))
    }

    /// The address here of the card with this MAC address (RFC 4291, appendix A).
    pub(super) fn automatic(&self, mac: &str) -> Option<IpAddr> {
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

    pub(super) fn cidr(&self) -> String {
        format!("{}/{}", self.base, self.bits)
    }
}

/// `10.0.0.0/24` → its address and length.
pub(super) fn parse_cidr(cidr: &str) -> Option<(IpAddr, u32)> {
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

/// A port.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) id: Uuid,
    pub(super) name: String,
    pub(super) description: String,
    pub(crate) network: Uuid,
    pub(crate) project: Uuid,
    pub(crate) mac: String,
    /// Subnet and address.
    pub(crate) fixed_ips: Vec<(Uuid, IpAddr)>,
    pub(crate) device_id: String,
    pub(crate) device_owner: String,
    pub(super) groups: Vec<Uuid>,
    pub(super) tags: Vec<String>,
    pub(super) port_security: bool,
    /// Allowed address pairs, as they were given.
    pub(super) pairs: Vec<Value>,
    pub(super) dns_name: String,
    pub(super) admin_up: bool,
    /// `extra_dhcp_opts`, as they were given.
    pub(super) dhcp_opts: Vec<Value>,
    /// What extensions add to it, where somebody has said something.
    pub(super) extended: Map<String, Value>,
    pub(super) created: SimTime,
}

impl Port {
    pub(crate) fn is_marked(&self) -> bool {
        self.description.contains(protector_core::mark::PORT)
    }
}

/// A security group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) project: Uuid,
    /// The projects that it is shared with by RBAC.
    pub(crate) shared_with: BTreeSet<Uuid>,
}

/// A floating IP.
#[derive(Clone, Debug)]
pub(super) struct FloatingIp {
    pub(super) id: Uuid,
    pub(super) network: Uuid,
    pub(super) project: Uuid,
    pub(super) address: IpAddr,
    pub(super) port: Option<Uuid>,
    /// The port's address that it leads to; `None` for its first.
    pub(super) fixed: Option<String>,
    pub(super) description: String,
}
