//! Floating IPs.

use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    FloatingFacts, SimCloud,
    call::{Call, text, uuid_of},
    identity::{Caller, hex},
    network::{FloatingIp, Port, missing, need_member, ports::body, unknown_path},
    reply::{Answer, Reply, empty, neutron_error, ok},
};

/// Where a floating IP leads.
struct Lead {
    port: Uuid,
    /// The port's address, if the request names it.
    fixed: Option<String>,
}

fn bad_request(why: String) -> Box<Reply> {
    let text = format!("Bad floatingip request: {why}");
    neutron_error(400, "BadRequest", text)
}

impl SimCloud {
    pub(crate) fn floating_ips(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let all = self.network.floating.iter();
                let own = all.filter(|row| caller.sees(row.project));
                let rows = own.map(|row| self.floating_view(row)).collect();
                self.network_list(call, "floatingips", rows)
            }
            ("POST", []) => self.floating_create(call, caller),
            ("GET", [id]) => {
                let row = self.floating_of(caller, id)?;
                ok(json!({"floatingip": self.floating_view(row)}))
            }
            ("PUT", [id]) => self.floating_update(call, caller, id),
            ("DELETE", [id]) => {
                let id = self.floating_of(caller, id)?.id;
                need_member(caller, "delete_floatingip")?;
                self.network.floating.remove(id);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    /// All floating IPs, oldest first.
    pub fn all_floating_ips(&self) -> Vec<FloatingFacts> {
        let all = self.network.floating.iter();
        all.map(|row| {
            let port = row.port.and_then(|port| self.network.ports.get(port));
            FloatingFacts {
                id: row.id.to_string(),
                address: row.address.to_string(),
                server: port.map(|port| port.device_id.clone()),
            }
        })
        .collect()
    }

    /// Gives the project of this server a floating IP that leads to the server's first port, or one that leads nowhere. Its
    /// address; nothing where there is no such server, or no outer network that has an address left.
    pub fn add_floating_ip(&mut self, server: &str, leads: bool) -> Option<String> {
        let mut ports = self.network.ports.iter();
        let port = ports.find(|port| port.device_id == server)?;
        let (port, project) = (port.id, port.project);
        let mut networks = self.network.networks.iter();
        let network = networks.find(|network| network.external)?.id;
        let address = self.free_outer_address(network)?;
        let id = self.ids.next();
        self.network.floating.insert(
            id,
            FloatingIp {
                id,
                network,
                project,
                address,
                port: leads.then_some(port),
                fixed: None,
                description: String::new(),
            },
        );
        Some(address.to_string())
    }

    fn floating_of(&self, caller: &Caller, id: &str) -> Answer<&FloatingIp> {
        uuid_of(id)
            .and_then(|id| self.network.floating.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| missing("FloatingIP", id))
    }

    fn floating_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "create_floatingip")?;
        let given = body(call)["floatingip"].clone();
        let wanted = text(&given, "floating_network_id").unwrap_or_default();
        let network = self.network_of(caller, wanted)?;
        if !network.external {
            let why = format!("Network {wanted} is not a valid external network.");
            return Err(bad_request(why));
        }
        let network = network.id;
        let Some(address) = self.free_outer_address(network) else {
            let text = format!("No more IP addresses available on network {network}.");
            return Err(neutron_error(409, "IpAddressGenerationFailure", text));
        };
        let mut row = FloatingIp {
            id: self.ids.next(),
            network,
            project: caller.project,
            address,
            port: None,
            fixed: None,
            description: text(&given, "description").unwrap_or_default().to_owned(),
        };
        self.point(caller, &mut row, &given)?;
        let view = self.floating_view(&row);
        self.network.floating.insert(row.id, row);
        Ok(Reply::json(201, &json!({"floatingip": view})))
    }

    /// The first address of an outer network that no floating IP has.
    pub(crate) fn free_outer_address(&self, network: Uuid) -> Option<IpAddr> {
        let all = self.network.floating.iter();
        let used: Vec<IpAddr> = all.map(|row| row.address).collect();
        let subnets = self.network.subnets.iter();
        subnets
            .filter(|row| row.network == network)
            .find_map(|row| row.pool().find(|address| !used.contains(address)))
    }

    fn floating_update(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let mut row = self.floating_of(caller, id)?.clone();
        need_member(caller, "update_floatingip")?;
        let given = body(call)["floatingip"].clone();
        if let Some(description) = text(&given, "description") {
            description.clone_into(&mut row.description);
        }
        self.point(caller, &mut row, &given)?;
        let view = self.floating_view(&row);
        if let Some(kept) = self.network.floating.get_mut(row.id) {
            *kept = row;
        }
        ok(json!({"floatingip": view}))
    }

    /// Lets a floating IP lead where the request says, if it says anything.
    fn point(&self, caller: &Caller, row: &mut FloatingIp, given: &Value) -> Answer<()> {
        let Some(wanted) = given.get("port_id") else {
            // Neutron looks at the port that it leads to as if it were asked for again.
            let port = row.port.and_then(|port| self.network.ports.get(port));
            return match port {
                Some(port) => inner_address(port, text(given, "fixed_ip_address")).map(|_| ()),
                None => Ok(()),
            };
        };
        let lead = match wanted.as_str() {
            Some(port) => Some(self.wanted_lead(caller, row, given, port)?),
            None => None,
        };
        row.port = lead.as_ref().map(|lead| lead.port);
        row.fixed = lead.and_then(|lead| lead.fixed);
        Ok(())
    }

    fn wanted_lead(
        &self,
        caller: &Caller,
        row: &FloatingIp,
        given: &Value,
        port: &str,
    ) -> Answer<Lead> {
        let port = self.port_of(caller, port)?;
        let (subnet, fixed) = inner_address(port, text(given, "fixed_ip_address"))?;
        if self.network.router_between(row.network, subnet).is_none() {
            let text = format!(
                "External network {} is not reachable from subnet {subnet}.  Therefore, cannot associate Port {} \
                 with a Floating IP.",
                row.network, port.id
            );
            return Err(neutron_error(
                404,
                "ExternalGatewayForFloatingIPNotFound",
                text,
            ));
        }
        let mut others = self.network.floating.iter().filter(|other| {
            other.id != row.id && other.port == Some(port.id) && other.network == row.network
        });
        if others.any(|other| self.leads_to(other).as_ref() == Some(&fixed)) {
            let text = format!(
                "Cannot associate floating IP {} ({}) with port {} using fixed IP {fixed}, as that fixed IP already \
                 has a floating IP on external network {}.",
                row.address, row.id, port.id, row.network
            );
            return Err(neutron_error(409, "FloatingIPPortAlreadyAssociated", text));
        }
        Ok(Lead {
            port: port.id,
            fixed: text(given, "fixed_ip_address").map(str::to_owned),
        })
    }

    /// The address that a floating IP leads to.
    fn leads_to(&self, row: &FloatingIp) -> Option<String> {
        let port = row.port.and_then(|port| self.network.ports.get(port))?;
        let first = port.fixed_ips.iter().find(|(_, ip)| ip.is_ipv4());
        let first = || first.map(|(_, ip)| ip.to_string());
        row.fixed.clone().or_else(first)
    }

    fn floating_view(&self, row: &FloatingIp) -> Value {
        let port = row.port.and_then(|port| self.network.ports.get(port));
        let leads_into = port.and_then(|port| {
            let fixed = self.leads_to(row)?;
            let mut all = port.fixed_ips.iter();
            all.find(|(_, ip)| ip.to_string() == fixed)
        });
        let router = leads_into
            .and_then(|(subnet, _)| self.network.router_between(row.network, *subnet))
            .map(|router| router.id.to_string());
        json!({
            "id": row.id.to_string(),
            "floating_ip_address": row.address.to_string(),
            "floating_network_id": row.network.to_string(),
            "fixed_ip_address": self.leads_to(row),
            "port_id": row.port.map(|id| id.to_string()),
            "router_id": router,
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "status": if row.port.is_some() { "ACTIVE" } else { "DOWN" },
            "description": row.description,
            "tags": [],
        })
    }
}

/// The address of a port that a floating IP would lead to, with its subnet.
fn inner_address(port: &Port, wanted: Option<&str>) -> Answer<(Uuid, String)> {
    let own: Vec<_> = port
        .fixed_ips
        .iter()
        .filter(|(_, ip)| ip.is_ipv4())
        .collect();
    if let Some(wanted) = wanted {
        let held = own.iter().find(|(_, ip)| ip.to_string() == wanted);
        let (subnet, ip) = held.ok_or_else(|| {
            bad_request(format!("Port {} does not have fixed ip {wanted}.", port.id))
        })?;
        return Ok((*subnet, ip.to_string()));
    }
    match own.as_slice() {
        [(subnet, ip)] => Ok((*subnet, ip.to_string())),
        [] => Err(bad_request(format!(
            "Cannot add floating IP to port {} that has no fixed IPv4 addresses.",
            port.id
        ))),
        _ => Err(bad_request(format!(
            "Port {} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a \
             floating IP.",
            port.id
        ))),
    }
}
