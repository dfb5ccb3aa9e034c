//! Networks, subnets, security groups.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, text, uuid_of},
    identity::{Caller, hex},
    network::{
        Group, Net, Subnet, forbidden, forbidden_attributes, missing, need_member, need_owner,
        parse_cidr, ports::body, unknown_path,
    },
    reply::{Answer, Reply, empty, neutron_error, ok},
};

impl SimCloud {
    pub(crate) fn networks(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows = self
                    .network
                    .networks
                    .iter()
                    .filter(|row| row.shared || row.external || caller.sees(row.project))
                    .map(|row| self.network_view(row))
                    .collect();
                self.network_list(call, "networks", rows)
            }
            ("POST", []) => {
                need_member(caller, "create_network")?;
                let given = body(call)["network"].clone();
                if boolean(&given, "shared") == Some(true) && !caller.is_admin() {
                    return Err(forbidden_attributes("create_network", &["shared"]));
                }
                let row = Net {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    project: caller.project,
                    shared: caller.is_admin() && boolean(&given, "shared").unwrap_or(false),
                    external: caller.is_admin()
                        && boolean(&given, "router:external").unwrap_or(false),
                };
                let view = self.network_view(&row);
                self.network.networks.insert(row.id, row);
                Ok(Reply::json(201, &json!({"network": view})))
            }
            ("GET", [id]) => {
                let row = self.network_of(caller, id)?;
                ok(json!({"network": self.network_view(row)}))
            }
            ("DELETE", [id]) => {
                let network = self.network_of(caller, id)?;
                need_owner(caller, network, "delete_network")?;
                let network = network.id;
                let ports: Vec<String> = self
                    .network
                    .ports
                    .iter()
                    .filter(|port| port.network == network)
                    .map(|port| port.id.to_string())
                    .collect();
                if !ports.is_empty() {
                    let text = format!(
                        "Unable to complete operation on network {id}. There are one or more ports still \
                         in use on the network, id for these ports is: {}.",
                        ports.join(",")
                    );
                    return Err(neutron_error(409, "NetworkInUse", text));
                }
                let subnets: Vec<Uuid> = self
                    .network
                    .subnets
                    .iter()
                    .filter(|row| row.network == network)
                    .map(|row| row.id)
                    .collect();
                for subnet in subnets {
                    self.network.subnets.remove(subnet);
                }
                self.network.networks.remove(network);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    fn network_view(&self, row: &Net) -> Value {
        let subnets: Vec<String> = self
            .network
            .subnets
            .iter()
            .filter(|subnet| subnet.network == row.id)
            .map(|subnet| subnet.id.to_string())
            .collect();
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": "",
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "shared": row.shared,
            "router:external": row.external,
            "admin_state_up": true,
            "status": "ACTIVE",
            "mtu": 1450,
            "subnets": subnets,
            "port_security_enabled": true,
            "availability_zones": [],
            "availability_zone_hints": [],
            "ipv4_address_scope": null,
            "ipv6_address_scope": null,
            "tags": [],
            "revision_number": 1,
            "created_at": self.stamp(Default::default()),
            "updated_at": self.stamp(Default::default()),
        })
    }

    pub(crate) fn subnets(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows = self
                    .network
                    .subnets
                    .iter()
                    .filter(|row| self.subnet_visible(caller, row))
                    .map(|row| self.subnet_view(row))
                    .collect();
                self.network_list(call, "subnets", rows)
            }
            ("POST", []) => {
                let given = body(call)["subnet"].clone();
                let network =
                    self.network_of(caller, text(&given, "network_id").unwrap_or_default())?;
                need_owner(caller, network, "create_subnet")?;
                let network = network.id;
                let cidr = text(&given, "cidr").unwrap_or_default();
                let (base, bits) = parse_cidr(cidr).ok_or_else(|| {
                    let text = format!(
                        "Invalid input for cidr. Reason: '{cidr}' is not a valid IP subnet."
                    );
                    neutron_error(400, "HTTPBadRequest", text)
                })?;
                let row = Subnet {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    network,
                    project: caller.project,
                    base,
                    bits,
                    mode: text(&given, "ipv6_address_mode").map(str::to_owned),
                };
                let view = self.subnet_view(&row);
                self.network.subnets.insert(row.id, row);
                Ok(Reply::json(201, &json!({"subnet": view})))
            }
            (method, [id]) => {
                let row = uuid_of(id)
                    .and_then(|id| self.network.subnets.get(id))
                    .filter(|row| self.subnet_visible(caller, row))
                    .ok_or_else(|| missing("Subnet", id))?;
                if method == "GET" {
                    return ok(json!({"subnet": self.subnet_view(row)}));
                }
                need_member(caller, "delete_subnet")?;
                let subnet = row.id;
                if !self.network.taken(subnet).is_empty() {
                    let text = format!(
                        "Unable to complete operation on subnet {id}: One or more ports have an IP \
                         allocation from this subnet."
                    );
                    return Err(neutron_error(409, "SubnetInUse", text));
                }
                self.network.subnets.remove(subnet);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    pub(crate) fn subnet_visible(&self, caller: &Caller, row: &Subnet) -> bool {
        caller.sees(row.project)
            || self
                .network
                .networks
                .get(row.network)
                .is_some_and(|network| network.shared)
    }

    fn subnet_view(&self, row: &Subnet) -> Value {
        let (first, last) = row.bounds();
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": "",
            "network_id": row.network.to_string(),
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "ip_version": if row.base.is_ipv4() { 4 } else { 6 },
            "cidr": row.cidr(),
            "gateway_ip": row.gateway().to_string(),
            "enable_dhcp": true,
            "allocation_pools": [{"start": first.to_string(), "end": last.to_string()}],
            "dns_nameservers": [],
            "host_routes": [],
            "ipv6_address_mode": row.mode,
            "ipv6_ra_mode": row.mode,
            "subnetpool_id": null,
            "tags": [],
            "revision_number": 0,
            "created_at": self.stamp(Default::default()),
            "updated_at": self.stamp(Default::default()),
        })
    }

    pub(crate) fn security_groups(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows = self
                    .network
                    .groups
                    .iter()
                    .filter(|row| {
                        caller.sees(row.project) || row.shared_with.contains(&caller.project)
                    })
                    .map(|row| self.group_row(row, caller))
                    .collect();
                self.network_list(call, "security_groups", rows)
            }
            ("POST", []) => {
                need_member(caller, "create_security_group")?;
                let given = body(call)["security_group"].clone();
                if text(&given, "name") == Some("default") {
                    let text = "Default security group already exists.";
                    return Err(neutron_error(
                        409,
                        "SecurityGroupDefaultAlreadyExists",
                        text,
                    ));
                }
                let row = Group {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    description: text(&given, "description").unwrap_or_default().to_owned(),
                    project: caller.project,
                    shared_with: BTreeSet::new(),
                };
                let view = self.group_row(&row, caller);
                self.network.groups.insert(row.id, row);
                Ok(Reply::json(201, &json!({"security_group": view})))
            }
            (method, [id]) => {
                let row = uuid_of(id)
                    .and_then(|id| self.network.groups.get(id))
                    .filter(|row| {
                        caller.sees(row.project) || row.shared_with.contains(&caller.project)
                    })
                    .ok_or_else(|| missing("SecurityGroup", id))?;
                if method == "GET" {
                    return ok(json!({"security_group": self.group_row(row, caller)}));
                }
                if !caller.sees(row.project) {
                    return Err(forbidden("delete_security_group"));
                }
                need_member(caller, "delete_security_group")?;
                let group = row.id;
                if self
                    .network
                    .ports
                    .iter()
                    .any(|port| port.groups.contains(&group))
                {
                    let text = format!("Security Group {id} in use.");
                    return Err(neutron_error(409, "SecurityGroupInUse", text));
                }
                self.network.groups.remove(group);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    fn group_row(&self, row: &Group, caller: &Caller) -> Value {
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": row.description,
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "stateful": true,
            "shared": row.shared_with.contains(&caller.project),
            "security_group_rules": [],
            "tags": [],
            "revision_number": 1,
            "created_at": self.stamp(Default::default()),
            "updated_at": self.stamp(Default::default()),
        })
    }
}
