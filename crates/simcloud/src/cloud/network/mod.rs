//! Neutron: networks, subnets, ports, security groups, floating IPs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use crate::cloud::network::record::{Group, PortOwner};
use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService, next_query, paginate, uuid_of},
    identity::{Caller, IdentityService, hex},
    ids::IdSource,
    network::{
        record::{FloatingIp, Net, Port, Subnet, parse_cidr},
        routers::Router,
        trunks::Trunk,
    },
    options::CloudOptions,
    reply::{Answer, Reply, neutron_error, ok},
    table::Table,
};

#[derive(Default)]
pub(crate) struct NetworkService {
    pub(crate) networks: Table<Net>,
    pub(crate) subnets: Table<Subnet>,
    pub(crate) ports: Table<Port>,
    pub(crate) groups: Table<Group>,
    floating: Table<FloatingIp>,
    policies: Table<extended::Policy>,
    routers: Table<Router>,
    trunks: Table<Trunk>,
    /// How many ports a project may have; any number where none is given.
    port_limits: BTreeMap<Uuid, i64>,
}

impl NetworkService {
    pub(crate) fn seed(options: &CloudOptions, ids: &IdSource, identity: &IdentityService) -> Self {
        let mut network = Self::default();
        for seed in &options.networks {
            let Some(project) = identity.project_named(&seed.project) else {
                continue;
            };
            let id = ids.fixed("network", &seed.name);
            network.networks.insert(
                id,
                Net {
                    id,
                    name: seed.name.clone(),
                    project: project.id,
                    shared: seed.shared,
                    external: seed.external,
                },
            );
            for cidr in &seed.cidrs {
                let Some((base, bits)) = parse_cidr(cidr) else {
                    continue;
                };
                let subnet = ids.fixed("subnet", &format!("{}/{cidr}", seed.name));
                let row = Subnet {
                    id: subnet,
                    name: format!("{}-subnet", seed.name),
                    network: id,
                    project: project.id,
                    base,
                    bits,
                    mode: None,
                };
                network.subnets.insert(subnet, row);
            }
        }
        network.seed_routers(ids);
        for project in identity.projects() {
            network.default_group(ids, project.id);
        }
        network
    }

    /// The networks that tenants have from the start are joined to the first outer one.
    fn seed_routers(&mut self, ids: &IdSource) {
        let Some(outer) = self
            .networks
            .iter()
            .find(|net| net.external)
            .map(|net| net.id)
        else {
            return;
        };
        let inner = self.networks.iter().filter(|net| !net.external);
        let routers: Vec<Router> = inner
            .map(|net| {
                let own = self
                    .subnets
                    .iter()
                    .filter(|subnet| subnet.network == net.id);
                let id = ids.fixed("router", &net.name);
                Router::of_tenant(
                    id,
                    net.project,
                    outer,
                    own.map(|subnet| subnet.id).collect(),
                )
            })
            .collect();
        for router in routers {
            self.routers.insert(router.id, router);
        }
    }

    /// Each project has a security group `default` from the start.
    pub(crate) fn default_group(&mut self, ids: &IdSource, project: Uuid) {
        let id = ids.fixed("security_group", &hex(project));
        let group = Group {
            id,
            name: "default".to_owned(),
            description: "Default security group".to_owned(),
            project,
            shared_with: BTreeSet::new(),
        };
        self.groups.insert(id, group);
    }

    /// A project's own security group by name or id.
    pub(crate) fn group(&self, project: Uuid, wanted: &str) -> Option<&Group> {
        self.groups
            .iter()
            .filter(|group| group.project == project)
            .find(|group| group.name == wanted || group.id.to_string() == wanted)
    }

    /// A security group that a port of a project may have: its own, or one that is shared with it.
    fn group_for_ports(&self, project: Uuid, wanted: &str) -> Option<&Group> {
        let mut shared = self.groups.iter();
        let shared = shared
            .find(|group| group.shared_with.contains(&project) && group.id.to_string() == wanted);
        self.group(project, wanted).or(shared)
    }

    /// Names of the groups that any of `ports` has, each once.
    pub(crate) fn groups_of_ports(&self, ports: impl Iterator<Item = Uuid>) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let groups = ports.filter_map(|port| self.ports.get(port));
        for group in groups.flat_map(|port| &port.groups) {
            if let Some(group) = self.groups.get(*group)
                && !names.contains(&group.name)
            {
                names.push(group.name.clone());
            }
        }
        names
    }

    /// Puts a port into a security group, or takes it out.
    pub(crate) fn put_in_group(&mut self, port: Uuid, group: Uuid, add: bool) {
        if let Some(port) = self.ports.get_mut(port) {
            port.groups.retain(|other| *other != group);
            if add {
                port.groups.push(group);
            }
        }
    }

    /// Shares a security group with a project, as an RBAC policy does.
    pub(crate) fn share_group(&mut self, group: Uuid, project: Uuid) {
        if let Some(group) = self.groups.get_mut(group) {
            group.shared_with.insert(project);
        }
    }

    /// The server or port that holds an address of a network.
    pub(crate) fn holder(&self, network: Uuid, address: IpAddr) -> Option<String> {
        self.ports
            .iter()
            .filter(|port| port.network == network)
            .find(|port| port.fixed_ips.iter().any(|(_, held)| *held == address))
            .map(|port| port.device_id.clone())
    }

    fn taken(&self, subnet: Uuid) -> BTreeSet<IpAddr> {
        self.ports
            .iter()
            .flat_map(|port| port.fixed_ips.iter())
            .filter(|(held, _)| *held == subnet)
            .map(|(_, address)| *address)
            .collect()
    }

    /// The lowest free address of a subnet.
    fn free_address(&self, subnet: &Subnet) -> Option<(Uuid, IpAddr)> {
        let taken = self.taken(subnet.id);
        subnet
            .pool()
            .find(|address| !taken.contains(address))
            .map(|address| (subnet.id, address))
    }

    /// What a port gets that asks for no address: one of the first subnet of each kind that has one.
    fn free_addresses(&self, network: Uuid) -> Vec<(Uuid, IpAddr)> {
        let of_kind = |is_ipv4: bool| {
            self.subnets
                .iter()
                .filter(|subnet| subnet.network == network && !subnet.is_automatic())
                .filter(|subnet| subnet.base.is_ipv4() == is_ipv4)
                .find_map(|subnet| self.free_address(subnet))
        };
        [of_kind(true), of_kind(false)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// What every port of a network has besides, by its MAC address.
    fn automatic_addresses(&self, network: Uuid, mac: &str) -> Vec<(Uuid, IpAddr)> {
        self.subnets
            .iter()
            .filter(|subnet| subnet.network == network && subnet.is_automatic())
            .filter_map(|subnet| Some((subnet.id, subnet.automatic(mac)?)))
            .collect()
    }

    /// The subnet of a network that an address belongs to.
    fn subnet_for(&self, network: Uuid, address: IpAddr) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.network == network && subnet.contains(address))
    }

    pub(crate) fn bind(&mut self, port: Uuid, owner: &PortOwner) {
        if let Some(port) = self.ports.get_mut(port) {
            port.device_id = owner.device.to_string();
            port.device_owner = format!("compute:{}", owner.zone);
        }
    }

    pub(crate) fn unbind(&mut self, port: Uuid) {
        if let Some(port) = self.ports.get_mut(port) {
            port.device_id.clear();
            port.device_owner.clear();
        }
    }

    /// Removes a port; a floating IP on it stays, without a port.
    pub(crate) fn remove_port(&mut self, port: Uuid) {
        self.ports.remove(port);
        for floating in self
            .floating
            .iter_mut()
            .filter(|row| row.port == Some(port))
        {
            floating.port = None;
        }
    }

    /// Floating addresses of a port.
    pub(crate) fn floating_of(&self, port: Uuid) -> Vec<String> {
        self.floating
            .iter()
            .filter(|row| row.port == Some(port))
            .map(|row| row.address.to_string())
            .collect()
    }
}

fn missing(kind: &str, id: &str) -> Box<Reply> {
    let text = match kind {
        "SecurityGroup" => format!("Security group {id} does not exist"),
        "QosPolicy" => format!("QoS policy {id} could not be found."),
        "FloatingIP" => format!("Floating IP {id} could not be found"),
        "Router" => format!("Router {id} could not be found"),
        _ => format!("{kind} {id} could not be found."),
    };
    neutron_error(404, &format!("{kind}NotFound"), text)
}

fn forbidden(rule: &str) -> Box<Reply> {
    neutron_error(
        403,
        "PolicyNotAuthorized",
        format!("rule:{rule} is disallowed by policy"),
    )
}

/// The same of a call that asks for attributes with rules of their own: Neutron names them all, in its own order.
fn forbidden_attributes(rule: &str, attributes: &[&str]) -> Box<Reply> {
    let mut all = format!("rule:{rule}");
    for attribute in attributes {
        // Who says which parts of an attribute there are says so in brackets: `fixed_ips(ip_address)`.
        let (name, parts) = attribute.split_once('(').unwrap_or((attribute, ""));
        let parts = parts.trim_end_matches(')').split(',');
        let parts: Vec<String> = parts
            .filter(|part| !part.is_empty())
            .map(|part| format!("rule:{rule}:{name}:{part}"))
            .collect();
        let own = match parts.as_slice() {
            [] => format!("rule:{rule}:{name}"),
            parts => format!("(rule:{rule}:{name} and ({}))", parts.join(" and ")),
        };
        all = format!("({all} and {own})");
    }
    let text = format!("{all} is disallowed by policy");
    neutron_error(403, "PolicyNotAuthorized", text)
}

/// Only who owns a network changes it.
fn need_owner(caller: &Caller, network: &Net, rule: &str) -> Answer<()> {
    if caller.is_admin() || (caller.is_member() && caller.project == network.project) {
        Ok(())
    } else {
        Err(forbidden(rule))
    }
}

fn need_member(caller: &Caller, rule: &str) -> Answer<()> {
    if caller.is_member() {
        Ok(())
    } else {
        Err(forbidden(rule))
    }
}

fn unknown_path() -> Box<Reply> {
    neutron_error(404, "HTTPNotFound", "The resource could not be found.")
}

impl SimCloud {
    pub(crate) fn network(&mut self, call: &Call<'_>) -> Answer {
        let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let url = self.service_url(SimulatedService::Network);
        if call.method == http::Method::GET && parts.is_empty() {
            return ok(json!({"versions": [{
                "id": "v2.0",
                "status": "CURRENT",
                "links": [{"rel": "self", "href": format!("{url}/v2.0/")}],
            }]}));
        }
        let ["v2.0", rest @ ..] = parts.as_slice() else {
            return Err(unknown_path());
        };
        let caller = self.caller(call)?;
        match rest {
            [] => ok(json!({"resources": []})),
            ["networks", rest @ ..] => self.networks(call, &caller, rest),
            ["subnets", rest @ ..] => self.subnets(call, &caller, rest),
            ["ports", rest @ ..] => self.port_calls(call, &caller, rest),
            ["security-groups", rest @ ..] => self.security_groups(call, &caller, rest),
            ["floatingips", rest @ ..] => self.floating_ips(call, &caller, rest),
            ["routers", rest @ ..] => self.router_calls(call, &caller, rest),
            ["trunks", rest @ ..] => self.trunk_calls(call, &caller, rest),
            ["extensions", rest @ ..] => extensions(rest),
            ["qos", "policies", rest @ ..] => self.qos_policies(call, &caller, rest),
            ["quotas", rest @ ..] => self.quotas(call, &caller, rest),
            ["security-group-rules" | "agents" | "availability_zones" | "subnetpools"] => {
                let kind = rest.first().copied().unwrap_or_default().replace('-', "_");
                ok(json!({kind: []}))
            }
            _ => Err(unknown_path()),
        }
    }

    /// Filters a list by the query, as Neutron does by any attribute, and cuts it into pages.
    fn network_list(&self, call: &Call<'_>, kind: &str, rows: Vec<Value>) -> Answer {
        const CONTROL: [&str; 7] = [
            "limit",
            "marker",
            "page_reverse",
            "sort_key",
            "sort_dir",
            "fields",
            "fixed_ips",
        ];
        let rows: Vec<Value> = rows
            .into_iter()
            .filter(|row| {
                call.query.iter().all(|(key, _)| {
                    if CONTROL.contains(&key.as_str()) {
                        return key != "fixed_ips" || fixed_ips_match(call, row);
                    }
                    if key == "tags" {
                        return tags_match(call, row);
                    }
                    row.get(key).is_none_or(|held| {
                        call.query_all(key)
                            .iter()
                            .any(|wanted| plain(held).eq_ignore_ascii_case(wanted))
                    })
                })
            })
            .collect();
        let page = paginate(call, rows, usize::MAX, |row| {
            row["id"].as_str().unwrap_or_default().to_owned()
        })?;
        let fields = call.query_all("fields");
        let list: Vec<Value> = page
            .rows
            .into_iter()
            .map(|mut row| {
                if let (false, Some(object)) = (fields.is_empty(), row.as_object_mut()) {
                    object.retain(|key, _| fields.contains(&key.as_str()));
                }
                row
            })
            .collect();
        let mut body = json!({kind: list});
        if let Some(marker) = page.next {
            let path = kind.replace('_', "-");
            let href = format!(
                "{}/v2.0/{path}?{}",
                self.service_url(SimulatedService::Network),
                next_query(call, &marker)
            );
            body[format!("{kind}_links")] = json!([{"rel": "next", "href": href}]);
        }
        ok(body)
    }

    fn network_of(&self, caller: &Caller, id: &str) -> Answer<&Net> {
        uuid_of(id)
            .and_then(|id| self.network.networks.get(id))
            .filter(|row| row.shared || row.external || caller.sees(row.project))
            .ok_or_else(|| missing("Network", id))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `tags=red,blue`: all of them.
fn tags_match(call: &Call<'_>, row: &Value) -> bool {
    let wanted = call.query_all("tags");
    let mut wanted = wanted.iter().flat_map(|list| list.split(','));
    let held = row["tags"].as_array();
    wanted.all(|tag| held.is_some_and(|held| held.iter().any(|held| held == tag)))
}

/// `fixed_ips=ip_address=10.0.0.1` and `fixed_ips=subnet_id=…`: of several addresses a port has one, as of several subnets.
fn fixed_ips_match(call: &Call<'_>, row: &Value) -> bool {
    let wanted = call.query_all("fixed_ips");
    let wanted: Vec<(&str, &str)> = wanted
        .iter()
        .filter_map(|one| one.split_once('='))
        .collect();
    let held = || row["fixed_ips"].as_array().into_iter().flatten();
    wanted.iter().all(|(key, _)| {
        let mut of_key = wanted.iter().filter(|(other, _)| other == key);
        of_key.any(|(_, value)| held().any(|ip| ip[*key].as_str() == Some(*value)))
    })
}

fn extensions(rest: &[&str]) -> Answer {
    const ALIASES: [&str; 15] = [
        "security-group",
        "port-security",
        "router",
        "external-net",
        "quotas",
        "provider",
        "allowed-address-pairs",
        "standard-attr-tag",
        "standard-attr-description",
        "pagination",
        "sorting",
        "project-id",
        "binding",
        "trunk",
        "trunk-details",
    ];
    let view = |alias: &str| {
        json!({
            "alias": alias,
            "name": alias,
            "description": "",
            "updated": "2017-01-01T00:00:00-00:00",
            "links": [],
        })
    };
    match rest {
        [] => ok(json!({"extensions": ALIASES.map(view)})),
        [alias] if ALIASES.contains(alias) => ok(json!({"extension": view(alias)})),
        _ => Err(unknown_path()),
    }
}

pub mod extended;
pub mod floating;
pub mod port_policy;
pub mod port_settings;
pub mod port_tags;
pub mod ports;
pub mod quota;
pub mod record;
pub mod resources;
pub mod routers;
pub mod trunks;
pub mod vnic;
