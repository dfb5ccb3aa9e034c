//! Trunks: a port of a server that carries others, its subports.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, integer, text, uuid_of},
    identity::{Caller, hex},
    network::{NetworkService, Port, missing, need_member, ports::body, unknown_path},
    reply::{Answer, Reply, empty, neutron_error, ok},
};

#[derive(Clone, Debug)]
pub(crate) struct Trunk {
    id: Uuid,
    name: String,
    description: String,
    project: Uuid,
    parent: Uuid,
    subports: Vec<Subport>,
    created: SimTime,
}

/// A port in a trunk.
#[derive(Clone, Debug)]
struct Subport {
    port: Uuid,
    segmentation: i64,
}

impl Subport {
    fn view(&self) -> Value {
        json!({
            "port_id": self.port.to_string(),
            "segmentation_type": "vlan",
            "segmentation_id": self.segmentation,
        })
    }
}

impl NetworkService {
    fn trunk_of_parent(&self, port: Uuid) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.parent == port)
    }

    fn trunk_of_subport(&self, port: Uuid) -> Option<&Trunk> {
        let carries = |trunk: &&Trunk| trunk.subports.iter().any(|sub| sub.port == port);
        self.trunks.iter().find(carries)
    }

    /// What a trunk's parent port shows of it.
    pub(crate) fn trunk_details(&self, port: Uuid) -> Option<Value> {
        let trunk = self.trunk_of_parent(port)?;
        let with_mac = |sub: &Subport| {
            let mut view = sub.view();
            view["mac_address"] = json!(self.ports.get(sub.port).map(|port| &port.mac));
            view
        };
        let subports: Vec<Value> = trunk.subports.iter().map(with_mac).collect();
        Some(json!({"trunk_id": trunk.id.to_string(), "sub_ports": subports}))
    }

    /// Neutron deletes no port that is in a trunk.
    pub(crate) fn check_in_no_trunk(&self, port: Uuid) -> Answer<()> {
        if let Some(trunk) = self.trunk_of_subport(port) {
            let text = format!("Port {port} is currently a subport for trunk {}.", trunk.id);
            return Err(neutron_error(409, "PortInUseAsSubPort", text));
        }
        if let Some(trunk) = self.trunk_of_parent(port) {
            let text = format!(
                "Port {port} is currently a parent port for trunk {}.",
                trunk.id
            );
            return Err(neutron_error(409, "PortInUseAsTrunkParent", text));
        }
        Ok(())
    }

    /// A port can be in one trunk only; of a port in a server none is made.
    fn check_parent(&self, port: &Port) -> Answer<()> {
        self.check_no_subport(port.id)?;
        if self.trunk_of_parent(port.id).is_some() || !port.device_id.is_empty() {
            return Err(parent_in_use(port.id));
        }
        Ok(())
    }

    fn check_no_subport(&self, port: Uuid) -> Answer<()> {
        match self.trunk_of_subport(port) {
            Some(_) => {
                let text = format!("Port {port} is in use by another trunk.");
                Err(neutron_error(409, "TrunkPortInUse", text))
            }
            None => Ok(()),
        }
    }

    fn check_subport(&self, parent: Uuid, port: &Port) -> Answer<()> {
        self.check_no_subport(port.id)?;
        if port.id == parent || self.trunk_of_parent(port.id).is_some() {
            return Err(parent_in_use(port.id));
        }
        if port.device_id.is_empty() {
            return Ok(());
        }
        let text = format!(
            "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
            port.id, port.network, port.device_id
        );
        Err(neutron_error(409, "PortInUse", text))
    }
}

fn parent_in_use(port: Uuid) -> Box<Reply> {
    let text =
        format!("Port {port} is currently in use and is not eligible for use as a parent port.");
    neutron_error(409, "ParentPortInUse", text)
}

impl SimCloud {
    pub(crate) fn trunk_calls(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let all = self.network.trunks.iter();
                let own = all.filter(|row| caller.sees(row.project));
                let rows = own.map(|row| self.trunk_view(row)).collect();
                self.network_list(call, "trunks", rows)
            }
            ("POST", []) => self.trunk_create(call, caller),
            ("GET", [id]) => {
                let trunk = self.trunk_of(caller, id)?;
                ok(json!({"trunk": self.trunk_view(trunk)}))
            }
            ("DELETE", [id]) => self.trunk_delete(caller, id),
            _ => Err(unknown_path()),
        }
    }

    fn trunk_of(&self, caller: &Caller, id: &str) -> Answer<&Trunk> {
        uuid_of(id)
            .and_then(|id| self.network.trunks.get(id))
            .filter(|row| caller.sees(row.project))
            .ok_or_else(|| missing("Trunk", id))
    }

    fn trunk_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        let given = body(call)["trunk"].clone();
        need_member(caller, "create_trunk")?;
        let Some(parent) = text(&given, "port_id") else {
            let text = "Failed to parse request. Required attribute 'port_id' not specified";
            return Err(neutron_error(400, "HTTPBadRequest", text));
        };
        let parent = self.port_of(caller, parent)?;
        self.network.check_parent(parent)?;
        let parent = parent.id;
        let wanted = given.get("sub_ports").and_then(Value::as_array);
        let mut subports: Vec<Subport> = Vec::new();
        for item in wanted.into_iter().flatten() {
            let subport = self.wanted_subport(caller, parent, item)?;
            if subports
                .iter()
                .any(|other| other.segmentation == subport.segmentation)
            {
                let text = format!(
                    "Invalid input for sub_ports. Reason: Segmentation ID '{}' for '{}' is not unique.",
                    subport.segmentation, subport.port
                );
                return Err(neutron_error(400, "HTTPBadRequest", text));
            }
            subports.push(subport);
        }
        let trunk = Trunk {
            id: self.ids.next(),
            name: text(&given, "name").unwrap_or_default().to_owned(),
            description: text(&given, "description").unwrap_or_default().to_owned(),
            project: caller.project,
            parent,
            subports,
            created: self.now,
        };
        let view = self.trunk_view(&trunk);
        self.network.trunks.insert(trunk.id, trunk);
        Ok(Reply::json(201, &json!({"trunk": view})))
    }

    fn wanted_subport(&self, caller: &Caller, parent: Uuid, item: &Value) -> Answer<Subport> {
        let port = self.port_of(caller, text(item, "port_id").unwrap_or_default())?;
        let kind = text(item, "segmentation_type").unwrap_or_default();
        if kind != "vlan" {
            return Err(invalid(format!("Unknown segmentation_type '{kind}'")));
        }
        let segmentation = integer(item, "segmentation_id").unwrap_or_default();
        if !(1..=4094).contains(&segmentation) {
            return Err(invalid(format!(
                "Segmentation ID '{segmentation}' is not in range"
            )));
        }
        self.network.check_subport(parent, port)?;
        Ok(Subport {
            port: port.id,
            segmentation,
        })
    }

    fn trunk_delete(&mut self, caller: &Caller, id: &str) -> Answer {
        let trunk = self.trunk_of(caller, id)?;
        need_member(caller, "delete_trunk")?;
        let (id, parent) = (trunk.id, self.network.ports.get(trunk.parent));
        if parent.is_some_and(|port| !port.device_id.is_empty()) {
            let text = format!("Trunk {id} is currently in use.");
            return Err(neutron_error(409, "TrunkInUse", text));
        }
        self.network.trunks.remove(id);
        empty(204)
    }

    fn trunk_view(&self, row: &Trunk) -> Value {
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "description": row.description,
            "project_id": hex(row.project),
            "tenant_id": hex(row.project),
            "port_id": row.parent.to_string(),
            "sub_ports": row.subports.iter().map(Subport::view).collect::<Vec<_>>(),
            "admin_state_up": true,
            "status": "DOWN",
            "tags": [],
            "revision_number": 0,
            "created_at": self.stamp(row.created),
            "updated_at": self.stamp(row.created),
        })
    }
}

fn invalid(why: String) -> Box<Reply> {
    let text = format!("Invalid input for operation: {why}.");
    neutron_error(400, "InvalidInput", text)
}
