//! Networks, subnets, ports and security groups as Neutron keeps them.

use std::net::Ipv4Addr;

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

/// An IPv4 subnet.
#[derive(Clone, Debug)]
pub(crate) struct Subnet {
    pub(crate) id: Uuid,
    pub(super) name: String,
    pub(crate) network: Uuid,
    pub(super) project: Uuid,
    pub(super) base: Ipv4Addr,
    pub(super) bits: u32,
}

impl Subnet {
    fn span(&self) -> u32 {
        1_u32.checked_shl(32 - self.bits).unwrap_or(u32::MAX)
    }

    pub(super) fn contains(&self, address: Ipv4Addr) -> bool {
        let base = u32::from(self.base);
        let address = u32::from(address);
        address >= base && address - base < self.span()
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).saturating_add(1))
    }

    /// Addresses that Neutron gives out by itself: all but network, gateway and broadcast.
    pub(super) fn pool(&self) -> impl Iterator<Item = Ipv4Addr> {
        let base = u32::from(self.base);
        (2..self.span().saturating_sub(1)).map(move |offset| Ipv4Addr::from(base + offset))
    }

    pub(super) fn cidr(&self) -> String {
        format!("{}/{}", self.base, self.bits)
    }
}

/// `10.0.0.0/24` → its address and length.
pub(super) fn parse_cidr(cidr: &str) -> Option<(Ipv4Addr, u32)> {
    let (base, bits) = cidr.split_once('/')?;
    let bits: u32 = bits.parse().ok().filter(|bits| (8..=30).contains(bits))?;
    Some((base.parse().ok()?, bits))
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
    pub(crate) fixed_ips: Vec<(Uuid, Ipv4Addr)>,
    pub(crate) device_id: String,
    pub(crate) device_owner: String,
    pub(super) groups: Vec<Uuid>,
    pub(super) tags: Vec<String>,
    pub(super) created: SimTime,
}

/// A security group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) project: Uuid,
}

/// A floating IP.
#[derive(Clone, Debug)]
pub(super) struct FloatingIp {
    pub(super) id: Uuid,
    pub(super) network: Uuid,
    pub(super) project: Uuid,
    pub(super) address: Ipv4Addr,
    pub(super) port: Option<Uuid>,
}
