//! What extensions of Neutron add to ports, and QoS policies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, text, uuid_of},
    identity::{Caller, hex},
    network::{Port, missing, need_member, ports::body, unknown_path},
    reply::{Answer, Reply, empty, neutron_error, ok},
};

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    id: Uuid,
    name: String,
    project: Uuid,
    shared: bool,
}

/// The attributes, with what Neutron has where nobody says anything.
fn attributes() -> [(&'static str, Value); 7] {
    [
        ("dns_domain", json!("")),
        ("hints", Value::Null),
        ("mac_learning_enabled", json!(false)),
        ("numa_affinity_policy", Value::Null),
        ("propagate_uplink_status", json!(true)),
        ("qos_policy_id", Value::Null),
        ("trusted", Value::Null),
    ]
}

impl SimCloud {
    /// Has Neutron load the extensions of ports that it runs without from the start: `qos`, `dns-domain-ports` and those whose
    /// attributes no copy gets.
    pub fn load_port_extensions(&mut self) {
        self.options.port_extensions = true;
    }

    /// What `given` has of these attributes, in a cloud that has them.
    pub(crate) fn extended(&self, caller: &Caller, given: &Value) -> Answer<Map<String, Value>> {
        let set: Map<String, Value> = attributes()
            .into_iter()
            .filter_map(|(name, _)| Some((name.to_owned(), given.get(name)?.clone())))
            .collect();
        if !self.options.port_extensions && !set.is_empty() {
            let names: Vec<&str> = set.keys().map(String::as_str).collect();
            let text = format!("Unrecognized attribute(s) '{}'", names.join(", "));
            return Err(neutron_error(400, "HTTPBadRequest", text));
        }
        if let Some(policy) = text(given, "qos_policy_id") {
            self.policy_of(caller, policy)?;
        }
        Ok(set)
    }

    /// These attributes of a port as they are shown.
    pub(crate) fn show_extended(&self, port: &Port, view: &mut Value) {
        if !self.options.port_extensions {
            return;
        }
        for (name, usual) in attributes() {
            view[name] = port.extended.get(name).cloned().unwrap_or(usual);
        }
        view["qos_network_policy_id"] = Value::Null;
    }

    pub(crate) fn qos_policies(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        if !self.options.port_extensions {
            return Err(unknown_path());
        }
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let seen = self.network.policies.iter();
                let seen = seen.filter(|row| row.shared || caller.sees(row.project));
                let rows = seen.map(policy_view).collect();
                self.network_list(call, "policies", rows)
            }
            ("POST", []) => {
                need_member(caller, "create_policy")?;
                let given = body(call)["policy"].clone();
                let row = Policy {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    project: caller.project,
                    shared: boolean(&given, "shared").unwrap_or(false),
                };
                let view = policy_view(&row);
                self.network.policies.insert(row.id, row);
                Ok(Reply::json(201, &json!({"policy": view})))
            }
            ("GET", [id]) => ok(json!({"policy": policy_view(self.policy_of(caller, id)?)})),
            ("DELETE", [id]) => {
                let id = self.policy_of(caller, id)?.id;
                self.network.policies.remove(id);
                empty(204)
            }
            _ => Err(unknown_path()),
        }
    }

    fn policy_of(&self, caller: &Caller, id: &str) -> Answer<&Policy> {
        uuid_of(id)
            .and_then(|id| self.network.policies.get(id))
            .filter(|row| row.shared || caller.sees(row.project))
            .ok_or_else(|| missing("QosPolicy", id))
    }
}

fn policy_view(row: &Policy) -> Value {
    json!({
        "id": row.id.to_string(),
        "name": row.name,
        "description": "",
        "shared": row.shared,
        "is_default": false,
        "project_id": hex(row.project),
        "tenant_id": hex(row.project),
        "rules": [],
        "tags": [],
    })
}
