//! Volume types and group types.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, pairs, text, uuid_of},
    identity::Caller,
    reply::{Answer, accepted, empty, fault, ok, policy},
    volume::BlockStorage,
};

/// A volume type or group type.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedType {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) specs: BTreeMap<String, String>,
}

impl SimulatedType {
    /// Whether a spec says `<is> True`.
    pub(crate) fn is(&self, spec: &str) -> bool {
        self.specs
            .get(spec)
            .is_some_and(|value| value == "<is> True")
    }

    /// What the caller sees of the extra specs: all, or the ones that Cinder shows to everybody.
    fn visible(&self, caller: &Caller) -> BTreeMap<&str, &str> {
        const PUBLIC: [&str; 3] = [
            "multiattach",
            "replication_enabled",
            "RESKEY:availability_zones",
        ];
        self.specs
            .iter()
            .filter(|(key, _)| caller.is_admin() || PUBLIC.contains(&key.as_str()))
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    fn view(&self, caller: &Caller) -> Value {
        json!({
            "id": self.id.to_string(),
            "name": self.name,
            "description": null,
            "is_public": true,
            "os-volume-type-access:is_public": true,
            "qos_specs_id": null,
            "extra_specs": self.visible(caller),
        })
    }

    fn group_view(&self, caller: &Caller) -> Value {
        let mut view = json!({
            "id": self.id.to_string(),
            "name": self.name,
            "description": null,
            "is_public": true,
        });
        if caller.is_admin() {
            view["group_specs"] = json!(self.specs);
        }
        view
    }
}

impl BlockStorage {
    /// A volume type by id or name.
    pub(crate) fn kind(&self, wanted: &str) -> Option<&SimulatedType> {
        uuid_of(wanted)
            .and_then(|id| self.kinds.get(id))
            .or_else(|| self.kinds.iter().find(|kind| kind.name == wanted))
    }

    pub(crate) fn group_kind(&self, wanted: &str) -> Option<&SimulatedType> {
        uuid_of(wanted)
            .and_then(|id| self.group_kinds.get(id))
            .or_else(|| self.group_kinds.iter().find(|kind| kind.name == wanted))
    }
}

impl SimCloud {
    pub(crate) fn volume_types(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows: Vec<Value> = self
                    .volumes
                    .kinds
                    .iter()
                    .rev()
                    .map(|kind| kind.view(caller))
                    .collect();
                ok(json!({"volume_types": rows}))
            }
            ("POST", []) => {
                if !caller.is_admin() {
                    return Err(policy("volume_extension:type_create"));
                }
                let given = call.object("volume_type")?;
                let kind = SimulatedType {
                    id: self.ids.next(),
                    name: text(&given, "name").unwrap_or_default().to_owned(),
                    specs: pairs(&given, "extra_specs"),
                };
                let view = kind.view(caller);
                self.volumes.kinds.insert(kind.id, kind);
                ok(json!({"volume_type": view}))
            }
            ("GET", ["default"]) => {
                let kind = self.volumes.kinds.iter().next();
                let kind =
                    kind.ok_or_else(|| fault(404, "Default volume type can not be found."))?;
                ok(json!({"volume_type": kind.view(caller)}))
            }
            (method, [id, rest @ ..]) => {
                let kind = uuid_of(id)
                    .and_then(|id| self.volumes.kinds.get(id))
                    .ok_or_else(|| fault(404, format!("Volume type {id} could not be found.")))?;
                match (method, rest) {
                    ("GET", []) => ok(json!({"volume_type": kind.view(caller)})),
                    ("GET", ["extra_specs"]) => ok(json!({"extra_specs": kind.visible(caller)})),
                    ("POST", ["extra_specs"]) if caller.is_admin() => {
                        let (id, specs) = (kind.id, pairs(&call.json()?, "extra_specs"));
                        if let Some(kind) = self.volumes.kinds.get_mut(id) {
                            kind.specs.extend(specs.clone());
                        }
                        ok(json!({"extra_specs": specs}))
                    }
                    ("DELETE", []) if caller.is_admin() => {
                        let id = kind.id;
                        self.volumes.kinds.remove(id);
                        accepted(Value::Null).and_then(|_| empty(202))
                    }
                    (_, []) => Err(policy("volume_extension:type_update")),
                    _ => Err(policy("volume_extension:types_extra_specs:create")),
                }
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    pub(crate) fn group_types(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows: Vec<Value> = self
                    .volumes
                    .group_kinds
                    .iter()
                    .rev()
                    .map(|kind| kind.group_view(caller))
                    .collect();
                ok(json!({"group_types": rows}))
            }
            ("GET", [id]) => {
                let kind = self
                    .volumes
                    .group_kind(id)
                    .ok_or_else(|| fault(404, format!("Group type {id} could not be found.")))?;
                ok(json!({"group_type": kind.group_view(caller)}))
            }
            _ => Err(policy("group:group_types:create")),
        }
    }
}
