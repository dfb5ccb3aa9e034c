//! Flavors, key pairs, services, quotas, limits, and the parts of a server that only are read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, integer, paginate, pairs, text, uuid_of},
    compute::{
        need_admin, need_member,
        record::{Flavor, Keypair},
    },
    identity::{Caller, hex},
    options::SimulatedQuotas,
    reply::{Answer, Reply, empty, fault, ok, policy},
};

impl SimCloud {
    pub(crate) fn compute_extras(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        parts: &[&str],
    ) -> Answer {
        match (call.method.as_str(), parts) {
            (_, ["flavors", rest @ ..]) => self.flavors(call, caller, rest),
            (_, ["os-keypairs", rest @ ..]) => self.keypairs(call, caller, rest),
            ("GET", ["os-services"]) => {
                let allowed = caller.is_admin()
                    || (self.options.member_lists_compute_services && caller.is_member());
                if !allowed {
                    return Err(policy("os_compute_api:os-services:list"));
                }
                ok(json!({"services": self.compute_services(call)}))
            }
            ("GET", ["os-hypervisors", ..]) => {
                need_admin(caller, "os-hypervisors:list")?;
                ok(json!({"hypervisors": [{
                    "id": self.ids.fixed("hypervisor", "1").to_string(),
                    "hypervisor_hostname": self.options.compute_host,
                    "state": if self.compute_seen_down() { "down" } else { "up" },
                    "status": "enabled",
                }]}))
            }
            ("GET", ["os-availability-zone", ..]) => ok(json!({"availabilityZoneInfo": [
                {"zoneName": "nova", "zoneState": {"available": true}, "hosts": null},
            ]})),
            ("GET", ["limits"]) => {
                let quotas = self.server_quotas(caller.project);
                let (servers, cores, ram) = self.server_usage(caller.project);
                ok(json!({"limits": {"rate": [], "absolute": {
                    "maxTotalInstances": quotas.instances,
                    "maxTotalCores": quotas.cores,
                    "maxTotalRAMSize": quotas.ram,
                    "maxTotalKeypairs": 100,
                    "maxServerMeta": 128,
                    "maxServerGroups": quotas.server_groups,
                    "maxServerGroupMembers": quotas.server_group_members,
                    "totalInstancesUsed": servers,
                    "totalCoresUsed": cores,
                    "totalRAMUsed": ram,
                    "totalServerGroupsUsed": 0,
                }}}))
            }
            ("GET", ["os-quota-sets", project, ..]) => {
                let id = uuid_of(project).unwrap_or_default();
                if id != caller.project && !caller.is_admin() {
                    return Err(policy("os_compute_api:os-quota-sets:show"));
                }
                let detail = parts.last() == Some(&"detail") || call.flag("usage");
                ok(json!({"quota_set": self.server_quota_view(id, detail)}))
            }
            ("PUT", ["os-quota-sets", project]) => {
                need_admin(caller, "os-quota-sets:update")?;
                let id = uuid_of(project).unwrap_or_default();
                let given = call.object("quota_set")?;
                let mut quotas = self.server_quotas(id);
                quotas.instances = integer(&given, "instances").unwrap_or(quotas.instances);
                quotas.cores = integer(&given, "cores").unwrap_or(quotas.cores);
                quotas.ram = integer(&given, "ram").unwrap_or(quotas.ram);
                quotas.server_groups =
                    integer(&given, "server_groups").unwrap_or(quotas.server_groups);
                quotas.server_group_members =
                    integer(&given, "server_group_members").unwrap_or(quotas.server_group_members);
                self.compute.quotas.insert(id, quotas);
                ok(json!({"quota_set": self.server_quota_view(id, false)}))
            }
            ("GET", ["extensions"]) => ok(json!({"extensions": []})),
            (_, ["os-server-groups", rest @ ..]) => self.server_groups(call, caller, rest),
            ("GET", ["os-aggregates"]) => {
                need_admin(caller, "os-aggregates:index")?;
                ok(json!({"aggregates": []}))
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn flavors(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", [] | ["detail"]) => {
                let rows: Vec<&Flavor> = self.compute.flavors.iter().collect();
                let page = paginate(call, rows, 1000, |row| row.id.clone())?;
                let list: Vec<Value> = page
                    .rows
                    .iter()
                    .map(|row| self.flavor_view(call, row, !rest.is_empty()))
                    .collect();
                ok(json!({"flavors": list}))
            }
            ("POST", []) => {
                need_admin(caller, "os-flavor-manage:create")?;
                let given = call.object("flavor")?;
                let name = text(&given, "name").unwrap_or_default();
                if self
                    .compute
                    .flavors
                    .iter()
                    .any(|flavor| flavor.name == name)
                {
                    let text = format!("Flavor with name {name} already exists.");
                    return Err(fault(409, text));
                }
                let number = |key: &str| {
                    integer(&given, key)
                        .and_then(|value| u64::try_from(value).ok())
                        .unwrap_or(0)
                };
                let flavor = Flavor {
                    id: text(&given, "id")
                        .filter(|id| *id != "auto")
                        .map_or_else(|| self.ids.next().to_string(), str::to_owned),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    vcpus: u32::try_from(number("vcpus")).unwrap_or(1),
                    ram: number("ram"),
                    disk: number("disk"),
                    ephemeral: number("OS-FLV-EXT-DATA:ephemeral"),
                    swap: number("swap"),
                    extra_specs: Default::default(),
                };
                let view = self.flavor_view(call, &flavor, true);
                self.compute.flavors.push(flavor);
                ok(json!({"flavor": view}))
            }
            (method, [id, rest @ ..]) => {
                let flavor = self
                    .compute
                    .flavor(id)
                    .ok_or_else(|| fault(404, format!("Flavor {id} could not be found.")))?;
                match (method, rest) {
                    ("GET", []) => ok(json!({"flavor": self.flavor_view(call, flavor, true)})),
                    ("GET", ["os-extra_specs"]) => ok(json!({"extra_specs": flavor.extra_specs})),
                    ("POST", ["os-extra_specs"]) => {
                        need_admin(caller, "os-flavor-extra-specs:create")?;
                        let (id, specs) = (flavor.id.clone(), pairs(&call.json()?, "extra_specs"));
                        check_extra_specs(&specs)?;
                        let all = self.compute.flavors.iter_mut();
                        for flavor in all.filter(|flavor| flavor.id == id) {
                            flavor.extra_specs.extend(specs.clone());
                        }
                        ok(json!({"extra_specs": specs}))
                    }
                    ("DELETE", []) => {
                        need_admin(caller, "os-flavor-manage:delete")?;
                        let id = flavor.id.clone();
                        self.compute.flavors.retain(|flavor| flavor.id != id);
                        empty(202)
                    }
                    _ => Err(fault(404, "The resource could not be found.")),
                }
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn flavor_view(&self, call: &Call<'_>, flavor: &Flavor, detail: bool) -> Value {
        let mut view = json!({
            "id": flavor.id,
            "name": flavor.name,
            "links": self.compute_links("flavors", &flavor.id),
        });
        if call.minor >= 55 {
            view["description"] = Value::Null;
        }
        if !detail {
            return view;
        }
        for (key, value) in [
            ("ram", json!(flavor.ram)),
            ("disk", json!(flavor.disk)),
            ("vcpus", json!(flavor.vcpus)),
            (
                "swap",
                if call.minor >= 75 || flavor.swap > 0 {
                    json!(flavor.swap)
                } else {
                    json!("")
                },
            ),
            ("rxtx_factor", json!(1.0)),
            ("OS-FLV-EXT-DATA:ephemeral", json!(flavor.ephemeral)),
            ("OS-FLV-DISABLED:disabled", json!(false)),
            ("os-flavor-access:is_public", json!(true)),
        ] {
            view[key] = value;
        }
        if call.minor >= 61 {
            view["extra_specs"] = json!(flavor.extra_specs);
        }
        view
    }

    fn keypairs(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        let user = match call.query("user_id").and_then(uuid_of) {
            Some(user) if caller.is_admin() && call.minor >= 10 => user,
            _ => caller.user,
        };
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows: Vec<Value> = self
                    .compute
                    .keypairs
                    .iter()
                    .filter(|key| key.user == user)
                    .map(|key| json!({"keypair": keypair_view(key)}))
                    .collect();
                ok(json!({"keypairs": rows}))
            }
            ("POST", []) => {
                let given = call.object("keypair")?;
                let name = text(&given, "name").unwrap_or_default().to_owned();
                if self
                    .compute
                    .keypairs
                    .iter()
                    .any(|key| key.user == user && key.name == name)
                {
                    return Err(fault(409, format!("Key pair '{name}' already exists.")));
                }
                let public_key = text(&given, "public_key")
                    .unwrap_or("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAISIMULATED made-by-nova");
                let key = Keypair {
                    user,
                    name,
                    public_key: public_key.to_owned(),
                };
                let view = keypair_view(&key);
                self.compute.keypairs.push(key);
                let status = if call.minor >= 2 { 201 } else { 200 };
                Ok(Reply::json(status, &json!({"keypair": view})))
            }
            (method, [name]) => {
                let key = self
                    .compute
                    .keypairs
                    .iter()
                    .find(|key| key.user == user && key.name == *name);
                let Some(key) = key else {
                    let text = format!("Keypair {name} not found for user {}", hex(user));
                    return Err(fault(404, text));
                };
                if method == "DELETE" {
                    self.compute
                        .keypairs
                        .retain(|key| key.user != user || key.name != *name);
                    return empty(204);
                }
                ok(json!({"keypair": keypair_view(key)}))
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn compute_services(&self, call: &Call<'_>) -> Vec<Value> {
        let mut rows = Vec::new();
        for (place, binary) in ["nova-scheduler", "nova-conductor", "nova-compute"]
            .into_iter()
            .enumerate()
        {
            let up = binary != "nova-compute" || !self.compute_seen_down();
            let wanted = call.query("binary").is_none_or(|name| name == binary)
                && call
                    .query("host")
                    .is_none_or(|host| host == self.options.compute_host);
            if !wanted {
                continue;
            }
            let id = if call.minor >= 53 {
                json!(self.ids.fixed("compute-service", binary).to_string())
            } else {
                json!(place + 1)
            };
            rows.push(json!({
                "id": id,
                "binary": binary,
                "host": self.options.compute_host,
                "zone": if binary == "nova-compute" { "nova" } else { "internal" },
                "status": "enabled",
                "state": if up { "up" } else { "down" },
                "updated_at": self.stamp_micro(self.now),
                "disabled_reason": null,
                "forced_down": false,
            }));
        }
        rows
    }

    pub(crate) fn server_quotas(&self, project: Uuid) -> SimulatedQuotas {
        self.compute
            .quotas
            .get(&project)
            .copied()
            .unwrap_or(self.options.quotas)
    }

    /// Servers, cores and memory in use.
    pub(crate) fn server_usage(&self, project: Uuid) -> (i64, i64, i64) {
        self.compute
            .servers
            .iter()
            .filter(|row| row.project == project)
            .fold((0, 0, 0), |(servers, cores, ram), row| {
                let memory = i64::try_from(row.flavor.ram).unwrap_or(i64::MAX);
                (
                    servers + 1,
                    cores + i64::from(row.flavor.vcpus),
                    ram + memory,
                )
            })
    }

    fn server_quota_view(&self, project: Uuid, detail: bool) -> Value {
        let quotas = self.server_quotas(project);
        let (servers, cores, ram) = self.server_usage(project);
        let row = |limit: i64, used: i64| {
            if detail {
                json!({"limit": limit, "in_use": used, "reserved": 0})
            } else {
                json!(limit)
            }
        };
        json!({
            "id": hex(project),
            "instances": row(quotas.instances, servers),
            "cores": row(quotas.cores, cores),
            "ram": row(quotas.ram, ram),
            "key_pairs": row(100, 0),
            "metadata_items": row(128, 0),
            "server_groups": row(quotas.server_groups, self.server_groups_in(project)),
            "server_group_members": row(quotas.server_group_members, 0),
        })
    }

    /// `os-interface`, `ips`, `os-security-groups`, `diagnostics`, `os-instance-actions`.
    pub(crate) fn server_part(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        let server = match self.server_of(caller, id) {
            Ok(server) => server,
            Err(missing) => {
                let kept = (rest == ["os-instance-actions"])
                    .then(|| self.actions_of_deleted(caller, id))
                    .flatten();
                return kept.map_or(Err(missing), ok);
            }
        };
        match rest {
            ["os-interface"] => {
                let rows: Vec<Value> = server
                    .nics
                    .iter()
                    .filter_map(|nic| Some((nic, self.network.ports.get(nic.port)?)))
                    .map(|(nic, port)| {
                        let ips: Vec<Value> = port
                            .fixed_ips
                            .iter()
                            .map(|(subnet, address)| {
                                json!({"subnet_id": subnet.to_string(), "ip_address": address.to_string()})
                            })
                            .collect();
                        let mut view = json!({
                            "port_id": port.id.to_string(),
                            "net_id": port.network.to_string(),
                            "mac_addr": port.mac,
                            "port_state": "ACTIVE",
                            "fixed_ips": ips,
                        });
                        if call.minor >= 70 {
                            view["tag"] = json!(nic.tag);
                        }
                        view
                    })
                    .collect();
                ok(json!({"interfaceAttachments": rows}))
            }
            ["os-security-groups"] => {
                let rows: Vec<Value> = server
                    .security_groups
                    .iter()
                    .filter_map(|name| self.network.group(server.project, name))
                    .map(|group| {
                        json!({
                            "id": group.id.to_string(),
                            "name": group.name,
                            "tenant_id": hex(group.project),
                            "description": group.description,
                            "rules": [],
                        })
                    })
                    .collect();
                ok(json!({"security_groups": rows}))
            }
            ["os-instance-actions"] => ok(self.instance_actions(server.id, &server.actions)),
            ["migrations"] => ok(json!({"migrations": []})),
            _ => {
                need_member(caller, "servers:show")?;
                Err(fault(404, "The resource could not be found."))
            }
        }
    }
}

/// Of the extra specs that Nova knows the values of, only that of a virtual TPM is looked at.
fn check_extra_specs(specs: &BTreeMap<String, String>) -> Answer<()> {
    match specs.get("hw:tpm_version").map(String::as_str) {
        None | Some("1.2" | "2.0") => Ok(()),
        Some(other) => {
            let text = format!("Validation failed; '{other}' is not one of: 1.2, 2.0.");
            Err(fault(400, text))
        }
    }
}

fn keypair_view(key: &Keypair) -> Value {
    json!({
        "name": key.name,
        "public_key": key.public_key,
        "fingerprint": "00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
        "type": "ssh",
        "user_id": hex(key.user),
    })
}
