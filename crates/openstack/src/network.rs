//! Neutron: networks, subnets, ports, security groups and floating IPs.

use std::{collections::BTreeMap, net::IpAddr};

use protector_core::{
    carried::special_settings,
    id::{FloatingIpId, NetworkId, ProjectId},
    member::{AddressPair, AdminState, DhcpOption},
    not_carried::PortTraits,
    qos_policy::QosPolicy,
    security_group::{GroupOwner, SecurityGroupSeen},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::{
    ask::Ask,
    error::{CallError, ErrorClass},
    id::{PortId, SecurityGroupId, SubnetId},
    quota_set::{self, QuotaUsage},
    service::Service,
    session::Session,
};

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Net {
    pub id: NetworkId,
    pub name: String,
    /// `ACTIVE`, `DOWN` …
    pub status: String,
    pub project_id: ProjectId,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// Whether it leads outside.
    #[serde(rename = "router:external", default)]
    pub external: bool,
    #[serde(default)]
    pub subnets: Vec<SubnetId>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subnet {
    pub id: SubnetId,
    pub name: String,
    pub network_id: NetworkId,
    /// 4 or 6.
    pub ip_version: u8,
    /// Its range, `10.0.0.0/24`.
    pub cidr: String,
    #[serde(default)]
    pub gateway_ip: Option<String>,
    /// Whether it has DHCP.
    #[serde(default)]
    pub enable_dhcp: bool,
    /// The ranges that addresses are given from.
    #[serde(default)]
    pub allocation_pools: Vec<AllocationPool>,
    /// How its IPv6 addresses are made: `slaac`, `dhcpv6-stateless`, `dhcpv6-stateful`.
    #[serde(default)]
    pub ipv6_address_mode: Option<String>,
    /// How its router announces them, in the same words.
    #[serde(default)]
    pub ipv6_ra_mode: Option<String>,
}

impl Subnet {
    /// Whether Neutron gives each port of the network an address here, made of its MAC address, and refuses to be asked for
    /// one.
    pub fn is_automatic(&self) -> bool {
        let modes = [&self.ipv6_address_mode, &self.ipv6_ra_mode];
        let is_automatic = |mode: &str| matches!(mode, "slaac" | "dhcpv6-stateless");
        modes.into_iter().flatten().any(|mode| is_automatic(mode))
    }
}

impl Subnet {
    /// Whether an address lies in its range. A range that cannot be read holds nothing.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let Some((base, length)) = self.cidr.split_once('/') else {
            return false;
        };
        let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else {
            return false;
        };
        match (base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX
                    .checked_shl(32_u32.saturating_sub(length))
                    .unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX
                    .checked_shl(128_u32.saturating_sub(length))
                    .unwrap_or(0);
                base.to_bits() & mask == ip.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// A range of addresses, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AllocationPool {
    pub start: String,
    pub end: String,
}

/// An address of a port. When asking for one, either half may be left to Neutron.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedIp {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<SubnetId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Port {
    pub id: PortId,
    pub name: String,
    pub network_id: NetworkId,
    pub project_id: ProjectId,
    pub mac_address: String,
    pub fixed_ips: Vec<FixedIp>,
    /// What it belongs to: a server's id, or empty.
    pub device_id: String,
    /// What kind of thing that is, `compute:nova`, or empty.
    pub device_owner: String,
    /// `ACTIVE`, `DOWN`, `BUILD` …
    pub status: String,
    #[serde(default)]
    pub security_groups: Vec<SecurityGroupId>,
    /// Its description, which carries our mark.
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: Vec<String>,
    /// What kind of card it is, `normal`, `direct` …
    #[serde(rename = "binding:vnic_type", default)]
    pub vnic_type: String,
    /// Whether Neutron keeps it to its addresses and groups; `None` without that extension.
    #[serde(default)]
    pub port_security_enabled: Option<bool>,
    /// What else it may send from.
    #[serde(default)]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// Its DNS name; `None` without that extension.
    #[serde(default)]
    pub dns_name: Option<String>,
    /// Its trunk, if it is the parent of one.
    #[serde(default)]
    pub trunk_details: Option<TrunkDetails>,
    /// Whether it is to carry traffic.
    #[serde(default = "yes")]
    pub admin_state_up: bool,
    /// What DHCP tells its guest beside the usual.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub extra_dhcp_opts: Vec<DhcpOption>,
    /// Its DNS domain; `None` without that extension.
    #[serde(default)]
    pub dns_domain: Option<String>,
    /// Its own QoS policy.
    #[serde(default)]
    pub qos_policy_id: Option<String>,
    /// What no copy gets.
    #[serde(flatten)]
    pub special: SpecialSettings,
}

/// What is set on ports in special ways; each `None` without its extension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecialSettings {
    pub hints: Option<Value>,
    pub mac_learning_enabled: Option<Value>,
    pub numa_affinity_policy: Option<Value>,
    pub propagate_uplink_status: Option<Value>,
    pub trusted: Option<Value>,
}

fn yes() -> bool {
    true
}

fn null_as_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<DhcpOption>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// The trunk of a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TrunkDetails {
    #[serde(default)]
    pub sub_ports: Vec<Value>,
}

impl Port {
    /// Whether it is `project`'s own and belongs to nothing. A port that a tenant made outlives its server, so on the way back
    /// the member's own port waits for it.
    pub fn is_kept_by(&self, project: &ProjectId) -> bool {
        self.device_id.is_empty() && self.device_owner.is_empty() && self.project_id == *project
    }

    /// What tells that something of it is not carried to another cloud.
    pub fn traits(&self) -> PortTraits {
        PortTraits {
            id: self.id.to_string(),
            vnic_type: self.vnic_type.clone(),
            subports: self
                .trunk_details
                .as_ref()
                .map(|trunk| trunk.sub_ports.len()),
            settings: special_settings(&json!(self.special)),
        }
    }

    /// Whether it is to carry traffic.
    pub fn admin_state(&self) -> AdminState {
        match self.admin_state_up {
            true => AdminState::Up,
            false => AdminState::Down,
        }
    }
}

/// Which ports a list gives. All that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFilter {
    /// Those of this server.
    pub device_id: Option<String>,
    /// Those of this network.
    pub network_id: Option<NetworkId>,
    /// Those with one of these addresses; all, where there is none.
    pub ip_addresses: Vec<String>,
    /// Those with exactly this name.
    pub name: Option<String>,
    /// Those with exactly this description.
    pub description: Option<String>,
    /// Those of this project; an admin's list spans all of them.
    pub project_id: Option<ProjectId>,
}

impl PortFilter {
    fn fits(&self, port: &Port) -> bool {
        let is_wanted = |ip: &String| self.ip_addresses.contains(ip);
        let mut held = port.fixed_ips.iter();
        let has_address = self.ip_addresses.is_empty()
            || held.any(|fixed| fixed.ip_address.as_ref().is_some_and(is_wanted));
        self.device_id
            .as_ref()
            .is_none_or(|id| *id == port.device_id)
            && self
                .network_id
                .as_ref()
                .is_none_or(|id| *id == port.network_id)
            && has_address
            && self.name.as_ref().is_none_or(|name| *name == port.name)
            && self
                .description
                .as_ref()
                .is_none_or(|text| *text == port.description)
            && self
                .project_id
                .as_ref()
                .is_none_or(|id| *id == port.project_id)
    }
}

/// A port to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewPort {
    pub network_id: NetworkId,
    pub name: String,
    /// Its description, for our mark.
    pub description: String,
    /// Its addresses; none lets Neutron choose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixed_ips: Vec<FixedIp>,
    /// Its security groups; `None` for the project's default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// Its MAC address; `None` lets Neutron choose. Role for choosing: owner of the network or admin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Whether Neutron keeps it to its addresses and groups; `None` as its network has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
    /// What else it may send from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_address_pairs: Vec<AddressPair>,
    /// `Some(false)` for a port that is down; `None` for one that is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// What DHCP tells its guest beside the usual.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_dhcp_opts: Vec<DhcpOption>,
    /// Its DNS domain (extension `dns-domain-ports`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<String>,
    /// Its QoS policy (extension `qos`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos_policy_id: Option<String>,
}

impl NewPort {
    /// A port on a network, with all else left to Neutron.
    pub fn on(network_id: NetworkId, name: impl Into<String>) -> Self {
        Self {
            network_id,
            name: name.into(),
            description: String::new(),
            fixed_ips: Vec::new(),
            security_groups: None,
            mac_address: None,
            port_security_enabled: None,
            allowed_address_pairs: Vec::new(),
            admin_state_up: None,
            extra_dhcp_opts: Vec::new(),
            dns_domain: None,
            qos_policy_id: None,
        }
    }
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    /// Its name; not unique.
    pub name: String,
    pub project_id: ProjectId,
    #[serde(default)]
    pub description: String,
    /// Whether another project shares it with the session's, by Neutron's RBAC.
    #[serde(default)]
    pub shared: bool,
}

impl SecurityGroup {
    /// As one of the groups that `project` may use.
    pub fn seen_by(&self, project: &ProjectId) -> SecurityGroupSeen {
        SecurityGroupSeen {
            owner: match self.project_id == *project {
                true => GroupOwner::Own,
                false => GroupOwner::Shared,
            },
            ..SecurityGroupSeen::own(self.id.as_str(), &self.name)
        }
    }
}

/// A floating IP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FloatingIp {
    pub id: FloatingIpId,
    pub floating_ip_address: String,
    /// The inner address that it leads to.
    #[serde(default)]
    pub fixed_ip_address: Option<String>,
    /// The port that it leads to.
    #[serde(default)]
    pub port_id: Option<PortId>,
    pub floating_network_id: NetworkId,
    pub project_id: ProjectId,
    #[serde(default)]
    pub description: String,
    /// Where single ports of it lead, while it leads to no port as a whole (extension `expose-port-forwarding-in-fip`).
    #[serde(default)]
    pub port_forwardings: Vec<PortForwarding>,
}

/// One TCP or UDP port of a floating IP, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PortForwarding {
    /// The inner address that it leads to.
    #[serde(default)]
    pub internal_ip_address: Option<String>,
}

/// Which floating IPs a list is asked for; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct FloatingIpFilter {
    /// The one with this outer address.
    pub address: Option<IpAddr>,
    /// Those with exactly this description.
    pub description: Option<String>,
    /// Those of this project.
    pub project_id: Option<ProjectId>,
}

impl FloatingIpFilter {
    fn fits(&self, ip: &FloatingIp) -> bool {
        let has_address = |address: &IpAddr| ip.floating_ip_address == address.to_string();
        self.address.as_ref().is_none_or(has_address)
            && self
                .description
                .as_ref()
                .is_none_or(|text| *text == ip.description)
            && self
                .project_id
                .as_ref()
                .is_none_or(|id| *id == ip.project_id)
    }
}

/// A floating IP to make, which leads to a port from its first moment.
#[derive(Clone, Debug, Serialize)]
pub struct NewFloatingIp {
    /// The outer network that it is taken from.
    pub floating_network_id: NetworkId,
    /// The port that it leads to.
    pub port_id: PortId,
    /// The port's address that it leads to.
    pub fixed_ip_address: String,
    /// Its description, for our mark.
    pub description: String,
}

/// Neutron of one cloud in one project.
#[derive(Clone, Debug)]
pub struct NeutronNetwork {
    session: Session,
}

const NEUTRON: Service = Service::Network;

impl NeutronNetwork {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET /v2.0/networks`, by exact name where given, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn networks(&self, name: Option<&str>) -> Result<Vec<Net>, CallError> {
        let found: Vec<Net> = self
            .session
            .pages(
                Ask::get(NEUTRON, &["networks"]).query_if("name", name),
                "networks",
            )
            .await?;
        Ok(found
            .into_iter()
            .filter(|net| name.is_none_or(|name| net.name == name))
            .collect())
    }

    /// `GET /v2.0/networks/{id}`. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn network(&self, id: &NetworkId) -> Result<Net, CallError> {
        self.session
            .object(Ask::get(NEUTRON, &["networks", id.as_str()]), "network")
            .await
    }

    /// `GET /v2.0/subnets` of one network, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn subnets(&self, network: &NetworkId) -> Result<Vec<Subnet>, CallError> {
        let ask = Ask::get(NEUTRON, &["subnets"]).query("network_id", network.as_str());
        let found: Vec<Subnet> = self.session.pages(ask, "subnets").await?;
        Ok(found
            .into_iter()
            .filter(|subnet| subnet.network_id == *network)
            .collect())
    }

    /// `GET /v2.0/ports`, what `filter` lets through, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn ports(&self, filter: &PortFilter) -> Result<Vec<Port>, CallError> {
        let mut ask = Ask::get(NEUTRON, &["ports"]);
        for ip in &filter.ip_addresses {
            ask = ask.query("fixed_ips", format!("ip_address={ip}"));
        }
        let ask = ask
            .query_if("device_id", filter.device_id.as_deref())
            .query_if(
                "network_id",
                filter.network_id.as_ref().map(NetworkId::as_str),
            )
            .query_if("name", filter.name.as_deref())
            .query_if("description", filter.description.as_deref())
            .query_if(
                "project_id",
                filter.project_id.as_ref().map(ProjectId::as_str),
            );
        let fits = |port: &Port| filter.fits(port);
        self.session.pages_where(ask, "ports", fits).await
    }

    /// `GET /v2.0/ports` of one server, whole: every attribute that Neutron shows. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn ports_as_shown(&self, server: &str) -> Result<Vec<Value>, CallError> {
        let ask = Ask::get(NEUTRON, &["ports"]).query("device_id", server);
        let is_of_it = |port: &Value| port["device_id"] == server;
        self.session.pages_where(ask, "ports", is_of_it).await
    }

    /// `GET /v2.0/ports/{id}`. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn port(&self, id: &PortId) -> Result<Port, CallError> {
        self.session
            .object(Ask::get(NEUTRON, &["ports", id.as_str()]), "port")
            .await
    }

    /// `POST /v2.0/ports`. Role: member of the project; a fixed address or MAC on another's network needs more.
    ///
    /// # Errors
    /// As any call; `Conflict` (`IpAddressAlreadyAllocated`) when the address is taken.
    pub async fn create_port(&self, port: &NewPort) -> Result<Port, CallError> {
        self.session
            .object(
                Ask::post(NEUTRON, &["ports"], json!({"port": port})),
                "port",
            )
            .await
    }

    /// `PUT /v2.0/ports/{id}`: its description alone. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn describe_port(&self, id: &PortId, description: &str) -> Result<(), CallError> {
        let body = json!({"port": {"description": description}});
        self.session
            .done(Ask::put(NEUTRON, &["ports", id.as_str()], body))
            .await
    }

    /// `PUT /v2.0/ports/{id}/tags`: these and no others. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn tag_port(&self, id: &PortId, tags: &[String]) -> Result<(), CallError> {
        let body = json!({"tags": tags});
        self.session
            .done(Ask::put(NEUTRON, &["ports", id.as_str(), "tags"], body))
            .await
    }

    /// `DELETE /v2.0/ports/{id}`. Role: member of the project; a port of a server is `Forbidden` to members.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete_port(&self, id: &PortId) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(NEUTRON, &["ports", id.as_str()]))
            .await
    }

    /// `GET /v2.0/security-groups`, to the last page: the project's own, then those that others share with it. Role: reader of
    /// the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn security_groups(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<SecurityGroup>, CallError> {
        let ask = Ask::get(NEUTRON, &["security-groups"]).query("project_id", project.as_str());
        let found: Vec<SecurityGroup> = self.session.pages(ask, "security_groups").await?;
        let own = found.into_iter();
        let own = own.filter(|group| group.project_id == *project);
        let shared = self.shared_security_groups(project).await?;
        Ok(own.chain(shared).collect())
    }

    /// Neutron filters by `shared` since `security-groups-shared-filtering` (Yoga). One without shows no `shared` in its rows, or
    /// refuses the filter: it is taken for one that shares nothing.
    async fn shared_security_groups(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<SecurityGroup>, CallError> {
        let ask = Ask::get(NEUTRON, &["security-groups"]).query("shared", "true");
        let found: Vec<SecurityGroup> = match self.session.pages(ask, "security_groups").await {
            Err(error) if error.status() == Some(400) => Vec::new(),
            answer => answer?,
        };
        let of_others = |group: &SecurityGroup| group.shared && group.project_id != *project;
        Ok(found.into_iter().filter(of_others).collect())
    }

    /// `GET /v2.0/security-groups/{id}`. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn security_group(&self, id: &SecurityGroupId) -> Result<SecurityGroup, CallError> {
        self.session
            .object(
                Ask::get(NEUTRON, &["security-groups", id.as_str()]),
                "security_group",
            )
            .await
    }

    /// `GET /v2.0/qos/policies`: those that the project sees, to the last page. None where Neutron lacks the extension `qos`.
    /// Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn qos_policies(&self) -> Result<Vec<QosPolicy>, CallError> {
        let ask = Ask::get(NEUTRON, &["qos", "policies"]);
        match self.session.pages(ask, "policies").await {
            Err(error) if error.class() == ErrorClass::NotFound => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// `GET /v2.0/qos/policies/{id}`. Role: reader of the project that has it, or of any if it is shared.
    ///
    /// # Errors
    /// As any call.
    pub async fn qos_policy(&self, id: &str) -> Result<QosPolicy, CallError> {
        let ask = Ask::get(NEUTRON, &["qos", "policies", id]);
        self.session.object(ask, "policy").await
    }

    /// `GET /v2.0/quotas/{project}/details`: limit, use and reservation by resource (extension `quota_details`). Role: any
    /// in the project.
    ///
    /// # Errors
    /// As any call; 404 where Neutron lacks the extension.
    pub async fn quota(
        &self,
        project: &ProjectId,
    ) -> Result<BTreeMap<String, QuotaUsage>, CallError> {
        let ask = Ask::get(NEUTRON, &["quotas", project.as_str(), "details"]);
        self.session
            .object(ask, "quota")
            .await
            .map(quota_set::usages)
    }

    /// `GET /v2.0/floatingips`, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn floating_ips(
        &self,
        filter: &FloatingIpFilter,
    ) -> Result<Vec<FloatingIp>, CallError> {
        let address = filter.address.map(|address| address.to_string());
        let ask = Ask::get(NEUTRON, &["floatingips"])
            .query_if("floating_ip_address", address.as_deref())
            .query_if("description", filter.description.as_deref())
            .query_if(
                "project_id",
                filter.project_id.as_ref().map(ProjectId::as_str),
            );
        let fits = |ip: &FloatingIp| filter.fits(ip);
        self.session.pages_where(ask, "floatingips", fits).await
    }

    /// `GET /v2.0/floatingips/{id}`. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn floating_ip(&self, id: &FloatingIpId) -> Result<FloatingIp, CallError> {
        self.session
            .object(
                Ask::get(NEUTRON, &["floatingips", id.as_str()]),
                "floatingip",
            )
            .await
    }

    /// `DELETE /v2.0/floatingips/{id}`: gives the address back to its outer network, where any project may get it. Role: member
    /// of the project.
    ///
    /// # Errors
    /// As any call; 409 (`FipInUseByPortForwarding`) while single ports of it lead somewhere.
    pub async fn delete_floating_ip(&self, id: &FloatingIpId) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(NEUTRON, &["floatingips", id.as_str()]))
            .await
    }

    /// `PUT /v2.0/floatingips/{id}`: leads to an address of a port, and no longer to where it has led. Role: member of the
    /// project.
    ///
    /// # Errors
    /// As any call; 404 (`ExternalGatewayForFloatingIPNotFound`) where no router joins the two networks, `Conflict` where the
    /// address has another floating IP of that network.
    pub async fn associate_floating_ip(
        &self,
        id: &FloatingIpId,
        port: &PortId,
        fixed_ip: &str,
    ) -> Result<(), CallError> {
        let body = json!({"floatingip": {"port_id": port, "fixed_ip_address": fixed_ip}});
        self.session
            .done(Ask::put(NEUTRON, &["floatingips", id.as_str()], body))
            .await
    }

    /// `POST /v2.0/floatingips`. Role: member of the project.
    ///
    /// # Errors
    /// As any call; as [`Network::associate_floating_ip`].
    pub async fn create_floating_ip(&self, new: &NewFloatingIp) -> Result<FloatingIp, CallError> {
        let body = json!({"floatingip": new});
        self.session
            .object(Ask::post(NEUTRON, &["floatingips"], body), "floatingip")
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_cloud::{answer, ok, scripted};

    #[tokio::test(start_paused = true)]
    async fn ports_are_filtered_exactly() {
        let port = |id: &str, ip: &str| {
            json!({"id": id, "name": "", "network_id": "n1", "project_id": "p1", "mac_address": "m",
                "fixed_ips": [{"subnet_id": "x", "ip_address": ip}], "device_id": "s1",
                "device_owner": "compute:nova", "status": "ACTIVE"})
        };
        let (cloud, script) = scripted([
            ok(json!({"ports": [port("a", "10.0.0.5"), port("b", "10.0.0.6")]})),
            ok(json!({"ports": []})),
        ]);
        let filter = PortFilter {
            ip_addresses: vec!["10.0.0.5".to_owned(), "10.0.0.7".to_owned()],
            ..PortFilter::default()
        };
        let found = cloud.network().ports(&filter).await.unwrap();
        assert_eq!((found.len(), found[0].id.as_str()), (1, "a"));
        assert_eq!(
            script.lines()[0],
            "GET /v2.0/ports?fixed_ips=ip_address%3D10.0.0.5&fixed_ips=ip_address%3D10.0.0.7&limit=2"
        );
    }

    #[test]
    fn what_is_set_on_a_port_is_read_and_what_is_special_is_told() {
        let shown = json!({"id": "a", "name": "", "network_id": "n1", "project_id": "p1", "mac_address": "m",
            "fixed_ips": [], "device_id": "s1", "device_owner": "compute:nova", "status": "DOWN",
            "admin_state_up": false, "dns_domain": "example.org.", "qos_policy_id": "q1",
            "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}],
            "trusted": true, "numa_affinity_policy": null, "propagate_uplink_status": true});
        let port: Port = serde_json::from_value(shown).unwrap();
        assert_eq!(port.admin_state(), AdminState::Down);
        assert_eq!(port.extra_dhcp_opts[0].opt_name, "mtu");
        assert_eq!(port.qos_policy_id.as_deref(), Some("q1"));
        assert_eq!(port.traits().settings, ["trusted=true"]);
        let bare = json!({"id": "a", "name": "", "network_id": "n1", "project_id": "p1", "mac_address": "m",
            "fixed_ips": [], "device_id": "", "device_owner": "", "status": "DOWN", "extra_dhcp_opts": null});
        let port: Port = serde_json::from_value(bare).unwrap();
        assert_eq!(port.admin_state(), AdminState::Up);
        assert_eq!(port.traits().settings, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_neutron_without_qos_has_no_policies() {
        let none = r#"{"message": "The resource could not be found.", "code": "404 Not Found", "title": "Not Found"}"#;
        let (cloud, script) = scripted([
            answer(404, none),
            ok(json!({"policies": [{"id": "q1", "name": "gold", "rules": []}]})),
            ok(json!({"policies": []})),
        ]);
        assert_eq!(cloud.network().qos_policies().await.unwrap(), []);
        let policies = cloud.network().qos_policies().await.unwrap();
        assert_eq!(policies[0].to_string(), "gold");
        assert!(script.lines()[1].starts_with("GET /v2.0/qos/policies"));
    }

    #[tokio::test(start_paused = true)]
    async fn groups_that_others_share_come_after_the_projects_own() {
        let group = |id: &str, project: &str, shared: bool| json!({"id": id, "name": "web", "project_id": project, "shared": shared});
        let shown = [
            group("1", "p1", true),
            group("2", "p2", true),
            group("3", "p3", false),
        ];
        let (cloud, script) = scripted([
            ok(json!({"security_groups": [shown[0]]})),
            ok(json!({"security_groups": shown})),
            ok(json!({"security_groups": []})),
        ]);
        let found = cloud.network().security_groups(&"p1".into()).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|group| group.id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        let lines = script.lines();
        for (line, filter) in lines.iter().zip(["project_id=p1", "shared=true"]) {
            assert!(line.contains(filter), "{lines:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_neutron_that_knows_no_shared_groups_has_the_projects_own() {
        let own = json!({"id": "1", "name": "web", "project_id": "p1"});
        let refusal = r#"{"NeutronError": {"type": "HTTPBadRequest", "message": "['shared'] is invalid attribute for filtering", "detail": ""}}"#;
        let (cloud, _) = scripted([ok(json!({"security_groups": [own]})), answer(400, refusal)]);
        let found = cloud.network().security_groups(&"p1".into()).await.unwrap();
        assert_eq!(found.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_taken_address_is_a_conflict_in_neutrons_words() {
        let body = r#"{"NeutronError": {"type": "IpAddressAlreadyAllocated", "message": "IP address 10.8.0.9 already allocated in subnet x", "detail": ""}}"#;
        let (cloud, script) = scripted([answer(409, body)]);
        let mut port = NewPort::on(NetworkId::new("n1"), "p");
        port.fixed_ips.push(FixedIp {
            subnet_id: None,
            ip_address: Some("10.8.0.9".to_owned()),
        });
        let error = cloud.network().create_port(&port).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Conflict);
        assert_eq!(
            error.to_string(),
            "Neutron said 409 to POST /ports: IP address 10.8.0.9 already allocated in subnet x"
        );
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&script.calls()[0].body).unwrap(),
            json!({"port": {"network_id": "n1", "name": "p", "description": "", "fixed_ips": [{"ip_address": "10.8.0.9"}]}})
        );
    }
}
