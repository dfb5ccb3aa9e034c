//! Ports: the tenants' own, and those that Nova makes.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, text, uuid_of},
    identity::{Caller, hex},
    network::{
        Port, PortOwner, forbidden, missing, need_member,
        port_settings::{check_fixed_ips, check_mac, check_pairs, in_order, wanted_pairs},
        record::{Subnet, mac_of},
        unknown_path, vnic,
    },
    reply::{Answer, Reply, empty, neutron_error, ok},
};

impl SimCloud {
    pub(crate) fn port_calls(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows = self
                    .network
                    .ports
                    .iter()
                    .filter(|row| caller.sees(row.project))
                    .map(|row| self.port_view(row))
                    .collect();
                self.network_list(call, "ports", rows)
            }
            ("POST", []) => self.port_create(call, caller),
            ("GET", [id]) => {
                let port = self.port_of(caller, id)?;
                ok(json!({"port": self.port_view(port)}))
            }
            (_, [id, "tags", rest @ ..]) => self.port_tags(call, caller, id, rest),
            ("PUT", [id]) => self.port_update(call, caller, id),
            ("DELETE", [id]) => {
                let port = self.port_of(caller, id)?;
                let (id, in_server) = (port.id, port.device_owner.starts_with("compute:"));
                let owner = port.device_owner.clone();
                need_member(caller, "delete_port")?;
                if in_server && !caller.is_admin() {
                    return Err(forbidden("delete_port"));
                }
                self.network.check_in_no_trunk(id)?;
                if owner == "network:router_interface" {
                    let text = format!(
                        "Port {id} cannot be deleted directly via the port API: has device owner {owner}."
                    );
                    return Err(neutron_error(409, "ServicePortInUse", text));
                }
                self.network.remove_port(id);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    pub(crate) fn port_of(&self, caller: &Caller, id: &str) -> Answer<&Port> {
        uuid_of(id)
            .and_then(|id| self.network.ports.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| missing("Port", id))
    }

    fn port_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        let given = body(call)["port"].clone();
        let network = text(&given, "network_id").unwrap_or_default();
        let network = self.network_of(caller, network)?.id;
        check_mac(&given)?;
        check_fixed_ips(&given)?;
        let vnic_type = vnic::asked_for(&given)?.unwrap_or("normal").to_owned();
        let extended = self.extended(caller, &given)?;
        self.check_port_policy(caller, "create_port", network, &given)?;
        let port_security = boolean(&given, "port_security_enabled").unwrap_or(true);
        let pairs = wanted_pairs(&given)?.unwrap_or_default();
        check_pairs(port_security, &pairs)?;
        self.check_mac_is_free(network, &given)?;
        let groups = self.groups_of_new_port(caller, &given)?;
        if self.ports_left(caller.project).is_some_and(|left| left < 1) {
            let text = "Quota exceeded for resources: ['port'].";
            return Err(neutron_error(409, "OverQuota", text));
        }
        let id = self.ids.next();
        let mac = text(&given, "mac_address").map_or_else(|| mac_of(id), str::to_owned);
        let mut fixed_ips = match given.get("fixed_ips").and_then(Value::as_array) {
            Some(list) => self.wanted_addresses(network, list, &mac)?,
            None => self.network.free_addresses(network),
        };
        fixed_ips.extend(self.network.automatic_addresses(network, &mac));
        let fixed_ips = in_order(fixed_ips);
        let port = Port {
            id,
            name: text(&given, "name").unwrap_or_default().to_owned(),
            description: text(&given, "description").unwrap_or_default().to_owned(),
            network,
            project: caller.project,
            mac,
            vnic_type,
            fixed_ips,
            device_id: text(&given, "device_id").unwrap_or_default().to_owned(),
            device_owner: text(&given, "device_owner").unwrap_or_default().to_owned(),
            groups,
            tags: Vec::new(),
            port_security,
            pairs,
            dns_name: text(&given, "dns_name").unwrap_or_default().to_owned(),
            admin_up: boolean(&given, "admin_state_up").unwrap_or(true),
            dhcp_opts: list_of(&given, "extra_dhcp_opts"),
            extended,
            created: self.now,
        };
        let view = self.port_view(&port);
        self.network.ports.insert(id, port);
        Ok(Reply::json(201, &json!({"port": view})))
    }

    fn check_mac_is_free(&self, network: Uuid, given: &Value) -> Answer<()> {
        let wanted = text(given, "mac_address");
        let mut others = self
            .network
            .ports
            .iter()
            .filter(|port| port.network == network);
        match wanted {
            Some(mac) if others.any(|port| port.mac == mac) => {
                let text = format!(
                    "Unable to complete operation for network {network}. The mac address {mac} is in use."
                );
                Err(neutron_error(409, "MacAddressInUse", text))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn wanted_addresses(
        &self,
        network: Uuid,
        list: &[Value],
        mac: &str,
    ) -> Answer<Vec<(Uuid, IpAddr)>> {
        let mut out = Vec::new();
        for item in list {
            let Some(address) = text(item, "ip_address") else {
                let named = text(item, "subnet_id");
                let found = |id: &str| {
                    let subnet = uuid_of(id).and_then(|id| self.network.subnets.get(id));
                    subnet.ok_or_else(|| missing("Subnet", id))
                };
                match named.map(found).transpose()? {
                    Some(subnet) if subnet.is_automatic() => {
                        out.extend(subnet.automatic(mac).map(|ip| (subnet.id, ip)));
                    }
                    Some(subnet) => out.extend(self.network.free_address(subnet)),
                    None => out.extend(self.network.free_addresses(network)),
                }
                continue;
            };
            let subnet = address.parse::<IpAddr>().ok().and_then(|ip| {
                self.network
                    .subnet_for(network, ip)
                    .map(|subnet| (subnet.id, ip))
            });
            let named = text(item, "subnet_id").and_then(uuid_of);
            let Some((subnet, ip)) =
                subnet.filter(|(id, _)| named.is_none_or(|named| named == *id))
            else {
                let text = match named {
                    Some(_) => {
                        format!("IP address {address} is not a valid IP for the specified subnet.")
                    }
                    None => format!(
                        "IP address {address} is not a valid IP for any of the subnets on the specified \
                         network."
                    ),
                };
                let kind = if named.is_some() {
                    "InvalidIpForSubnet"
                } else {
                    "InvalidIpForNetwork"
                };
                return Err(neutron_error(400, kind, text));
            };
            let of = self.network.subnets.get(subnet);
            // The card's own address of such a subnet is taken by the card itself when it is asked for.
            let own = of.and_then(|of| of.automatic(mac)) == Some(ip);
            if of.is_some_and(Subnet::is_automatic) && !own {
                let text = format!(
                    "IPv6 address {address} cannot be directly assigned to a port on subnet {subnet} as the subnet is \
                     configured for automatic addresses"
                );
                return Err(neutron_error(400, "AllocationOnAutoAddressSubnet", text));
            }
            let taken_by_itself = own && of.is_some_and(Subnet::is_automatic);
            if taken_by_itself || self.network.holder(network, ip).is_some() {
                let text = format!("IP address {ip} already allocated in subnet {subnet}");
                return Err(neutron_error(409, "IpAddressAlreadyAllocated", text));
            }
            out.push((subnet, ip));
        }
        Ok(out)
    }

    /// A port that Nova makes for a server; the build's failure as text.
    pub(crate) fn nova_port(
        &mut self,
        project: Uuid,
        network: Uuid,
        address: Option<IpAddr>,
        groups: &[String],
        owner: &PortOwner,
    ) -> Result<Uuid, String> {
        let mut fixed = match address {
            Some(address) => {
                let subnet = self.network.subnet_for(network, address).ok_or_else(|| {
                    format!(
                        "Invalid input received: Fixed IP {address} is not a valid ip address for network \
                         {network}."
                    )
                })?;
                vec![(subnet.id, address)]
            }
            None => self.network.free_addresses(network),
        };
        let groups = groups
            .iter()
            .filter_map(|name| self.network.group(project, name))
            .map(|group| group.id)
            .collect();
        let id = self.ids.next();
        fixed.extend(self.network.automatic_addresses(network, &mac_of(id)));
        let fixed = in_order(fixed);
        let port = Port {
            id,
            name: String::new(),
            description: String::new(),
            network,
            project,
            mac: mac_of(id),
            vnic_type: "normal".to_owned(),
            fixed_ips: fixed,
            device_id: owner.device.to_string(),
            device_owner: format!("compute:{}", owner.zone),
            groups,
            tags: Vec::new(),
            port_security: true,
            pairs: Vec::new(),
            dns_name: String::new(),
            admin_up: true,
            dhcp_opts: Vec::new(),
            extended: Map::new(),
            created: self.now,
        };
        self.network.ports.insert(id, port);
        Ok(id)
    }

    fn port_update(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let (found, network) = self
            .port_of(caller, id)
            .map(|port| (port.id, port.network))?;
        let given = body(call)["port"].clone();
        self.check_port_policy(caller, "update_port", network, &given)?;
        let extended = self.extended(caller, &given)?;
        self.change_port_settings(caller, found, &given)?;
        let vnic_type = vnic::asked_for(&given)?;
        if let Some(port) = self.network.ports.get_mut(found) {
            if let Some(kind) = vnic_type {
                kind.clone_into(&mut port.vnic_type);
            }
            port.admin_up = boolean(&given, "admin_state_up").unwrap_or(port.admin_up);
            if given.get("extra_dhcp_opts").is_some() {
                port.dhcp_opts = list_of(&given, "extra_dhcp_opts");
            }
            port.extended.extend(extended);
            for (key, field) in [
                ("name", &mut port.name),
                ("description", &mut port.description),
                ("device_id", &mut port.device_id),
                ("device_owner", &mut port.device_owner),
            ] {
                if let Some(value) = text(&given, key) {
                    value.clone_into(field);
                }
            }
        }
        let port = self.port_of(caller, id)?;
        ok(json!({"port": self.port_view(port)}))
    }

    fn port_view(&self, row: &Port) -> Value {
        let fixed: Vec<Value> = row
            .fixed_ips
            .iter()
            .map(|(subnet, address)| {
                json!({"subnet_id": subnet.to_string(), "ip_address": address.to_string()})
            })
            .collect();
        let groups: Vec<String> = row.groups.iter().map(ToString::to_string).collect();
        let status = match row.device_id.is_empty() || !row.admin_up {
            true => "DOWN",
            false => "ACTIVE",
        };
        let mut view = json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": row.description,
            "network_id": row.network.to_string(),
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "mac_address": row.mac,
            "fixed_ips": fixed,
            "device_id": row.device_id,
            "device_owner": row.device_owner,
            "security_groups": groups,
            "admin_state_up": row.admin_up,
            "status": status,
            "binding:vnic_type": row.vnic_type,
            "port_security_enabled": row.port_security,
            "allowed_address_pairs": row.pairs.iter().map(|pair| with_mac(pair, &row.mac)).collect::<Vec<_>>(),
            "dns_name": row.dns_name,
            "extra_dhcp_opts": row.dhcp_opts.iter().map(with_version).collect::<Vec<_>>(),
            "tags": sorted(&row.tags),
            "revision_number": 1,
            "created_at": self.stamp(row.created),
            "updated_at": self.stamp(row.created),
        });
        self.show_extended(row, &mut view);
        if let Some(trunk) = self.network.trunk_details(row.id) {
            view["trunk_details"] = trunk;
        }
        view
    }
}

/// The request body; Neutron's own checks of it are not simulated.
pub(crate) fn body(call: &Call<'_>) -> Value {
    serde_json::from_slice(call.body).unwrap_or_default()
}

fn list_of(given: &Value, name: &str) -> Vec<Value> {
    let list = given.get(name).and_then(Value::as_array);
    list.cloned().unwrap_or_default()
}

/// A DHCP option as it is shown: of IPv4 where nothing was said.
fn with_version(option: &Value) -> Value {
    let mut shown = option.clone();
    if shown["ip_version"].is_null() {
        shown["ip_version"] = json!(4);
    }
    shown
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags
}

/// A pair as it is shown: without a MAC address it has its port's.
fn with_mac(pair: &Value, own: &str) -> Value {
    let mac = text(pair, "mac_address").unwrap_or(own);
    json!({"ip_address": pair["ip_address"], "mac_address": mac})
}
