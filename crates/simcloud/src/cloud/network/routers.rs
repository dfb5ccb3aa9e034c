//! Routers: what joins a tenant's subnets to an outer network, without which no floating IP leads anywhere.

use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, text, uuid_of},
    identity::{Caller, hex},
    network::{NetworkService, Port, Subnet, missing, need_member, ports::body, unknown_path},
    reply::{Answer, Reply, empty, neutron_error, ok},
};

#[derive(Clone, Debug)]
pub(crate) struct Router {
    pub(crate) id: Uuid,
    name: String,
    project: Uuid,
    /// The outer network of its gateway.
    outer: Option<Uuid>,
    /// Its subnets, each with the port that it has there; those that were there from the start have none.
    inner: Vec<(Uuid, Option<Uuid>)>,
    created: SimTime,
}

impl Router {
    /// A router that joins all these subnets from the start.
    pub(crate) fn of_tenant(id: Uuid, project: Uuid, outer: Uuid, subnets: Vec<Uuid>) -> Self {
        Self {
            id,
            name: "router".to_owned(),
            project,
            outer: Some(outer),
            inner: subnets.into_iter().map(|subnet| (subnet, None)).collect(),
            created: SimTime::ZERO,
        }
    }
}

impl NetworkService {
    /// The router over which a floating IP of `outer` reaches a subnet.
    pub(crate) fn router_between(&self, outer: Uuid, subnet: Uuid) -> Option<&Router> {
        self.routers.iter().find(|router| {
            router.outer == Some(outer) && router.inner.iter().any(|(inner, _)| *inner == subnet)
        })
    }

    /// The floating IPs that lead to a port of this subnet.
    fn floats_into(&self, subnet: Uuid) -> bool {
        self.floating.iter().any(|row| {
            let port = row.port.and_then(|port| self.ports.get(port));
            let address = row
                .fixed
                .as_deref()
                .and_then(|fixed| fixed.parse::<IpAddr>().ok());
            let leads = |(of, ip): &(Uuid, IpAddr)| {
                *of == subnet && address.is_none_or(|address| address == *ip)
            };
            port.is_some_and(|port| port.fixed_ips.iter().any(leads))
        })
    }
}

impl SimCloud {
    pub(crate) fn router_calls(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let all = self.network.routers.iter();
                let own = all.filter(|row| caller.sees(row.project));
                let rows = own.map(|row| self.router_view(row)).collect();
                self.network_list(call, "routers", rows)
            }
            ("POST", []) => self.router_create(call, caller),
            ("GET", [id]) => {
                let router = self.router_of(caller, id)?;
                ok(json!({"router": self.router_view(router)}))
            }
            ("PUT", [id, "add_router_interface"]) => self.router_interface_add(call, caller, id),
            ("PUT", [id, "remove_router_interface"]) => {
                self.router_interface_remove(call, caller, id)
            }
            ("DELETE", [id]) => {
                let router = self.router_of(caller, id)?.clone();
                need_member(caller, "delete_router")?;
                if !router.inner.is_empty() {
                    let ports = router.inner.iter().filter_map(|(_, port)| *port);
                    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
                    let text =
                        format!("Router {id} has ports still attached: {}", ports.join(", "));
                    return Err(neutron_error(409, "RouterInUse", text));
                }
                self.network.routers.remove(router.id);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    fn router_of(&self, caller: &Caller, id: &str) -> Answer<&Router> {
        uuid_of(id)
            .and_then(|id| self.network.routers.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| missing("Router", id))
    }

    fn router_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        need_member(caller, "create_router")?;
        let given = body(call)["router"].clone();
        let outer = text(&given["external_gateway_info"], "network_id");
        let outer = match outer {
            Some(outer) => Some(self.network_of(caller, outer)?.id),
            None => None,
        };
        let row = Router {
            id: self.ids.next(),
            name: text(&given, "name").unwrap_or_default().to_owned(),
            project: caller.project,
            outer,
            inner: Vec::new(),
            created: self.now,
        };
        let view = self.router_view(&row);
        self.network.routers.insert(row.id, row);
        Ok(Reply::json(201, &json!({"router": view})))
    }

    fn wanted_inner(&self, call: &Call<'_>, caller: &Caller) -> Answer<Subnet> {
        let given = body(call);
        let wanted = text(&given, "subnet_id").unwrap_or_default();
        uuid_of(wanted)
            .and_then(|id| self.network.subnets.get(id))
            .filter(|row| self.subnet_visible(caller, row))
            .cloned()
            .ok_or_else(|| missing("Subnet", wanted))
    }

    fn router_interface_add(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let router = self.router_of(caller, id)?.clone();
        need_member(caller, "add_router_interface")?;
        let subnet = self.wanted_inner(call, caller)?;
        if router.inner.iter().any(|(inner, _)| *inner == subnet.id) {
            let text = format!(
                "Bad router request: Router already has a port on subnet {}.",
                subnet.id
            );
            return Err(neutron_error(400, "BadRequest", text));
        }
        let port = self.ids.next();
        let row = Port::of_router(port, router.id, caller.project, &subnet, self.now);
        self.network.ports.insert(port, row);
        if let Some(router) = self.network.routers.get_mut(router.id) {
            router.inner.push((subnet.id, Some(port)));
        }
        ok(interface_view(&router, &subnet, Some(port)))
    }

    fn router_interface_remove(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let router = self.router_of(caller, id)?.clone();
        need_member(caller, "remove_router_interface")?;
        let subnet = self.wanted_inner(call, caller)?;
        let Some((_, port)) = router.inner.iter().find(|(inner, _)| *inner == subnet.id) else {
            let text = format!("Router {id} has no interface on subnet {}", subnet.id);
            return Err(neutron_error(404, "RouterInterfaceNotFoundForSubnet", text));
        };
        if self.network.floats_into(subnet.id) {
            let text = format!(
                "Router interface for subnet {} on router {id} cannot be deleted, as it is required by one or more \
                 floating IPs.",
                subnet.id
            );
            return Err(neutron_error(409, "RouterInterfaceInUseByFloatingIP", text));
        }
        if let Some(port) = port {
            self.network.remove_port(*port);
        }
        if let Some(router) = self.network.routers.get_mut(router.id) {
            router.inner.retain(|(inner, _)| *inner != subnet.id);
        }
        ok(interface_view(&router, &subnet, *port))
    }

    fn router_view(&self, row: &Router) -> Value {
        let gateway = row.outer.map(|outer| {
            json!({"network_id": outer.to_string(), "enable_snat": true, "external_fixed_ips": []})
        });
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": "",
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "admin_state_up": true,
            "status": "ACTIVE",
            "external_gateway_info": gateway,
            "routes": [],
            "tags": [],
            "revision_number": 1,
            "created_at": self.stamp(row.created),
            "updated_at": self.stamp(row.created),
        })
    }
}

fn interface_view(router: &Router, subnet: &Subnet, port: Option<Uuid>) -> Value {
    json!({
        "id": router.id.to_string(),
        "project_id": hex(router.project),
        "tenant_id": hex(router.project),
        "network_id": subnet.network.to_string(),
        "subnet_id": subnet.id.to_string(),
        "subnet_ids": [subnet.id.to_string()],
        "port_id": port.map(|id| id.to_string()),
    })
}
