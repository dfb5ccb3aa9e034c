//! Servers as the API prints them, by minor version and role; lists.

use serde_json::{Map, Value, json};

use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService, next_query, paginate, uuid_of},
    compute::{
        Server,
        boot::hostname_of,
        record::{Flavor, VmState},
    },
    identity::{Caller, hex},
    reply::{Answer, ok},
};

impl SimCloud {
    pub(crate) fn compute_links(&self, kind: &str, id: &str) -> Value {
        let url = self.service_url(SimulatedService::Compute);
        json!([
            {"rel": "self", "href": format!("{url}/v2.1/{kind}/{id}")},
            {"rel": "bookmark", "href": format!("{url}/{kind}/{id}")},
        ])
    }

    pub(crate) fn server_list(&self, call: &Call<'_>, caller: &Caller, detail: bool) -> Answer {
        let all = call.all_projects(caller);
        let project = call
            .query("project_id")
            .or_else(|| call.query("tenant_id"))
            .and_then(uuid_of)
            .filter(|_| all);
        let rows: Vec<&Server> = self
            .compute
            .servers
            .iter()
            .rev()
            .filter(|row| match project {
                Some(project) => row.project == project,
                None => all || row.project == caller.project,
            })
            .filter(|row| {
                call.query("name")
                    .is_none_or(|name| name_matches(name, &row.name))
            })
            .filter(|row| {
                let wanted = call.query_all("status");
                wanted.is_empty()
                    || wanted
                        .iter()
                        .any(|status| status.eq_ignore_ascii_case(row.status()))
            })
            .filter(|row| call.query("uuid").is_none_or(|id| row.id.to_string() == id))
            .filter(|row| {
                call.query("tags")
                    .is_none_or(|tags| tags.split(',').all(|tag| row.tags.contains(tag)))
            })
            // Nova hides soft-deleted servers from lists unless they are asked for.
            .filter(|row| {
                let asked_for = all && call.flag("soft_deleted");
                row.state != VmState::SoftDeleted || asked_for || call.query("status").is_some()
            })
            .collect();
        let page = paginate(call, rows, 1000, |row| row.id.to_string())?;
        let list: Vec<Value> = page
            .rows
            .iter()
            .map(|row| {
                if detail {
                    self.server_view(call, caller, row)
                } else {
                    let id = row.id.to_string();
                    json!({"id": id, "name": row.name, "links": self.compute_links("servers", &id)})
                }
            })
            .collect();
        let mut body = json!({"servers": list});
        if let Some(marker) = page.next {
            let path = if detail { "servers/detail" } else { "servers" };
            let url = self.service_url(SimulatedService::Compute);
            let href = format!("{url}/v2.1/{path}?{}", next_query(call, &marker));
            body["servers_links"] = json!([{"rel": "next", "href": href}]);
        }
        ok(body)
    }

    /// Names of the security groups of a server's ports; those that were asked for while it has none.
    fn groups_of(&self, server: &Server) -> Vec<String> {
        match server.nics.is_empty() {
            true => server.security_groups.clone(),
            false => self
                .network
                .groups_of_ports(server.nics.iter().map(|nic| nic.port)),
        }
    }

    pub(crate) fn server_view(&self, call: &Call<'_>, caller: &Caller, server: &Server) -> Value {
        let id = server.id.to_string();
        let from = |minor: u32| call.minor >= minor;
        let volumes: Vec<Value> = server
            .disks
            .iter()
            .map(|disk| {
                let mut row = json!({"id": disk.volume.to_string()});
                if from(3) {
                    row["delete_on_termination"] = json!(disk.delete_on_termination);
                }
                row
            })
            .collect();
        let groups: Vec<Value> = self
            .groups_of(server)
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect();
        let mut view = json!({
            "id": id,
            "name": server.name,
            "status": server.status(),
            "tenant_id": hex(server.project),
            "user_id": hex(server.user),
            "metadata": server.metadata,
            "hostId": server.host.as_ref().map_or(String::new(), |host| self.host_id(host, server)),
            "image": match server.image {
                Some(image) => json!({
                    "id": image.to_string(),
                    "links": [self.compute_links("images", &image.to_string())[1]],
                }),
                None => json!(""),
            },
            "flavor": if from(47) {
                embedded_flavor(&server.flavor)
            } else {
                json!({
                    "id": server.flavor.id,
                    "links": [self.compute_links("flavors", &server.flavor.id)[1]],
                })
            },
            "created": self.stamp(server.created),
            "updated": self.stamp(server.updated),
            "addresses": self.server_addresses(server),
            "accessIPv4": "",
            "accessIPv6": "",
            "links": self.compute_links("servers", &id),
            "OS-DCF:diskConfig": "MANUAL",
            "OS-EXT-AZ:availability_zone": match &server.host {
                Some(_) => server.zone.as_str(),
                None => "",
            },
            "config_drive": if server.config_drive { "True" } else { "" },
            "key_name": server.key_name,
            "OS-SRV-USG:launched_at": server.launched.map(|time| self.stamp_micro(time)),
            "OS-SRV-USG:terminated_at": null,
            "OS-EXT-STS:task_state": server.task.map(|task| task.as_str()),
            "OS-EXT-STS:vm_state": server.state.as_str(),
            "OS-EXT-STS:power_state": server.power_state(),
            "os-extended-volumes:volumes_attached": volumes,
        });
        let Some(fields) = view.as_object_mut() else {
            return view;
        };
        if matches!(server.state, VmState::Active | VmState::Building) {
            fields.insert("progress".to_owned(), json!(0));
        }
        if !groups.is_empty() {
            fields.insert("security_groups".to_owned(), json!(groups));
        }
        if let Some(fault) = server
            .fault
            .as_ref()
            .filter(|_| server.state == VmState::Error)
        {
            let mut row = json!({
                "code": fault.code,
                "created": self.stamp(fault.created),
                "message": fault.message,
            });
            if caller.is_admin() && fault.code == 500 {
                row["details"] = json!(fault.message);
            }
            fields.insert("fault".to_owned(), row);
        }
        self.later_fields(call, caller, server, fields);
        view
    }

    /// What minor versions after 2.1 added.
    fn later_fields(
        &self,
        call: &Call<'_>,
        caller: &Caller,
        server: &Server,
        fields: &mut Map<String, Value>,
    ) {
        let mut put = |minor: u32, key: &str, value: Value| {
            if call.minor >= minor {
                fields.insert(key.to_owned(), value);
            }
        };
        put(9, "locked", json!(server.lock.is_some()));
        put(19, "description", json!(server.description));
        put(26, "tags", json!(server.tags));
        put(63, "trusted_image_certificates", Value::Null);
        // Of one server alone.
        if call.segments.last().is_none_or(|last| last != "detail") {
            put(71, "server_groups", self.server_groups_of(server));
        }
        put(
            73,
            "locked_reason",
            json!(server.lock.as_ref().and_then(|lock| lock.reason.clone())),
        );
        put(96, "pinned_availability_zone", json!(server.pinned_zone));
        let hints = server
            .group
            .map(|group| json!({"group": [group.to_string()]}));
        put(100, "scheduler_hints", hints.unwrap_or_else(|| json!({})));
        let hostname = server.hostname.clone();
        let hostname = hostname.unwrap_or_else(|| hostname_of(&server.name));
        put(90, "OS-EXT-SRV-ATTR:hostname", json!(hostname));
        if !caller.is_admin() {
            return;
        }
        put(1, "OS-EXT-SRV-ATTR:host", json!(server.host));
        put(1, "OS-EXT-SRV-ATTR:hypervisor_hostname", json!(server.host));
        let number = server.id.simple().to_string();
        let instance = format!("instance-{}", number.get(..8).unwrap_or_default());
        put(1, "OS-EXT-SRV-ATTR:instance_name", json!(instance));
        put(3, "OS-EXT-SRV-ATTR:hostname", json!(hostname));
        put(3, "OS-EXT-SRV-ATTR:reservation_id", json!("r-00000000"));
        put(3, "OS-EXT-SRV-ATTR:launch_index", json!(0));
        put(3, "OS-EXT-SRV-ATTR:kernel_id", json!(""));
        put(3, "OS-EXT-SRV-ATTR:ramdisk_id", json!(""));
        put(3, "OS-EXT-SRV-ATTR:root_device_name", json!("/dev/vda"));
        put(3, "OS-EXT-SRV-ATTR:user_data", json!(server.user_data));
        let status = match (&server.host, self.compute_seen_down()) {
            (None, _) => "",
            (Some(_), true) => "DOWN",
            (Some(_), false) => "UP",
        };
        put(16, "host_status", json!(status));
    }

    fn host_id(&self, host: &str, server: &Server) -> String {
        let id = self.ids.fixed(host, &hex(server.project));
        format!("{0}{0}", id.simple()).chars().take(56).collect()
    }

    fn server_addresses(&self, server: &Server) -> Value {
        let mut networks: Map<String, Value> = Map::new();
        for nic in &server.nics {
            let Some(port) = self.network.ports.get(nic.port) else {
                continue;
            };
            let Some(network) = self.network.networks.get(port.network) else {
                continue;
            };
            let rows = networks
                .entry(network.name.clone())
                .or_insert_with(|| json!([]));
            let Some(rows) = rows.as_array_mut() else {
                continue;
            };
            for (_, address) in &port.fixed_ips {
                rows.push(json!({
                    "version": if address.is_ipv4() { 4 } else { 6 },
                    "addr": address.to_string(),
                    "OS-EXT-IPS:type": "fixed",
                    "OS-EXT-IPS-MAC:mac_addr": port.mac,
                }));
            }
            for floating in self.network.floating_of(nic.port) {
                rows.push(json!({
                    "version": 4,
                    "addr": floating,
                    "OS-EXT-IPS:type": "floating",
                    "OS-EXT-IPS-MAC:mac_addr": port.mac,
                }));
            }
        }
        Value::Object(networks)
    }
}

pub(crate) fn embedded_flavor(flavor: &Flavor) -> Value {
    json!({
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "ephemeral": flavor.ephemeral,
        "swap": flavor.swap,
        "original_name": flavor.name,
        "extra_specs": flavor.extra_specs,
    })
}

/// Nova takes `name` for a regular expression; anchors and dots are all that clients use.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (start, rest) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (end, rest) = match rest.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let plain = rest.replace('\\', "");
    match (start, end) {
        (true, true) => name == plain,
        (true, false) => name.starts_with(&plain),
        (false, true) => name.ends_with(&plain),
        (false, false) => name.contains(&plain),
    }
}
