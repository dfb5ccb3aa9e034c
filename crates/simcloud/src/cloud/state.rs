//! Looking at a cloud, and steering it, from outside its APIs: for tests and the administration URL.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    CallRecord, Component, FaultRule, Latency, SimCloud, SimTime, call::uuid_of, identity::hex,
    volume::AttachStatus,
};

/// A server, as seen by somebody who can look inside Nova.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerFacts {
    pub id: String,
    pub name: String,
    /// Project id, 32 digits.
    pub project: String,
    pub status: String,
    /// The API's `OS-EXT-STS:task_state`.
    pub task: Option<String>,
    /// Whether a guest runs on the host.
    pub running: bool,
    /// Ids of its volumes, the root first.
    pub volumes: Vec<String>,
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// A port, as seen by somebody who can look inside Neutron.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortFacts {
    pub id: String,
    pub description: String,
    /// The server that it is in; empty if it is in none.
    pub device: String,
}

/// A volume, as seen by somebody who can look inside Cinder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VolumeFacts {
    pub id: String,
    pub name: Option<String>,
    /// Project id, 32 digits.
    pub project: String,
    pub status: String,
    /// Size in GiB.
    pub gib: u64,
    /// Servers with a completed attachment.
    pub attached_to: Vec<String>,
    pub group: Option<String>,
    /// The name of its object in the backend.
    pub object: String,
    /// Whether that object exists.
    pub has_object: bool,
    pub metadata: std::collections::BTreeMap<String, String>,
}

/// A floating IP, as seen by somebody who can look inside Neutron.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FloatingFacts {
    pub id: String,
    pub address: String,
    /// The server whose port it leads to; `None` where it leads nowhere.
    pub server: Option<String>,
}

impl SimCloud {
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The URL under which its services are found.
    pub fn base_url(&self) -> &str {
        &self.options.base_url
    }

    /// All servers, oldest first.
    pub fn servers(&self) -> Vec<ServerFacts> {
        self.compute
            .servers
            .iter()
            .map(|server| ServerFacts {
                id: server.id.to_string(),
                name: server.name.clone(),
                project: hex(server.project),
                status: server.status().to_owned(),
                task: server.task.map(|task| task.as_str().to_owned()),
                running: matches!(server.status(), "ACTIVE" | "REBOOT" | "HARD_REBOOT"),
                volumes: server
                    .disks
                    .iter()
                    .map(|disk| disk.volume.to_string())
                    .collect(),
                metadata: server.metadata.clone(),
            })
            .collect()
    }

    /// All volumes, oldest first.
    pub fn volumes(&self) -> Vec<VolumeFacts> {
        self.volumes
            .volumes
            .iter()
            .map(|volume| VolumeFacts {
                id: volume.id.to_string(),
                name: volume.name.clone(),
                project: hex(volume.project),
                status: volume.status.as_str().to_owned(),
                gib: volume.gib,
                attached_to: volume
                    .attachments
                    .iter()
                    .filter(|tie| {
                        matches!(tie.status, AttachStatus::Attached | AttachStatus::Detaching)
                    })
                    .map(|tie| tie.server.to_string())
                    .collect(),
                group: volume.group.map(|id| id.to_string()),
                object: volume.object(),
                has_object: self.backend.exists(&volume.object()),
                metadata: volume.metadata.clone(),
            })
            .collect()
    }

    /// Shares a security group with a project, as an administrator does by an RBAC policy.
    pub fn share_security_group(&mut self, group: &str, project: &str) {
        if let (Some(group), Some(project)) = (uuid_of(group), uuid_of(project)) {
            self.network.share_group(group, project);
        }
    }

    /// The id of the network of that name.
    pub fn network_id(&self, name: &str) -> Option<String> {
        let mut networks = self.network.networks.iter();
        networks
            .find(|network| network.name == name)
            .map(|network| network.id.to_string())
    }

    /// The id of the user of that name, 32 digits.
    pub fn user_id(&self, name: &str) -> Option<String> {
        self.identity
            .user_named(name)
            .map(|user| user.id.simple().to_string())
    }

    /// The id of the volume type of that name.
    pub fn volume_type_id(&self, name: &str) -> Option<String> {
        self.volumes.kind_named(name).map(|id| id.to_string())
    }

    /// The ports that an operation has marked, oldest first.
    pub fn marked_ports(&self) -> Vec<PortFacts> {
        let ports = self.network.ports.iter();
        ports
            .filter(|port| port.is_marked())
            .map(|port| PortFacts {
                id: port.id.to_string(),
                description: port.description.clone(),
                device: port.device_id.clone(),
            })
            .collect()
    }

    /// Ids of all ports, oldest first.
    pub fn ports(&self) -> Vec<String> {
        self.network
            .ports
            .iter()
            .map(|port| port.id.to_string())
            .collect()
    }

    /// Names of all objects in the volume backend, sorted.
    pub fn backend_objects(&self) -> Vec<String> {
        self.backend.names()
    }

    /// The calls since the last reset, oldest first.
    pub fn call_log(&self) -> &[CallRecord] {
        self.log.records()
    }

    /// Forgets the calls so far; numbers go on.
    pub fn reset_call_log(&mut self) {
        self.log.reset();
    }

    /// Adds a fault rule, replacing one of the same id; gives its id.
    pub fn add_fault(&mut self, rule: FaultRule) -> String {
        self.faults.add(rule)
    }

    /// Removes a fault rule; says whether there was one.
    pub fn remove_fault(&mut self, id: &str) -> bool {
        self.faults.remove(id)
    }

    /// Whether there is such a fault rule.
    pub fn has_fault(&self, id: &str) -> bool {
        self.faults.rules().iter().any(|rule| rule.id == id)
    }

    /// Removes all fault rules and brings all services back.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// The fault rules, with how often each matched.
    pub fn faults(&self) -> &[FaultRule] {
        self.faults.rules()
    }

    /// Takes a service away, or brings it back.
    pub fn set_away(&mut self, component: Component, away: bool) {
        let since = away.then_some(self.now);
        self.faults.set_away(component, since);
    }

    /// The services that are away.
    pub fn away(&self) -> Vec<Component> {
        self.faults.away()
    }

    /// Takes a service away as if since `since`, so that the others have noticed already.
    pub fn set_away_since(&mut self, component: Component, since: SimTime) {
        self.faults.set_away(component, Some(since));
    }

    /// The latency model in force.
    pub fn latency(&self) -> Latency {
        self.options.latency
    }

    /// Replaces the latency model; accepted work keeps its due time.
    pub fn set_latency(&mut self, latency: Latency) {
        self.options.latency = latency;
    }

    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Everything in one JSON object, for people.
    pub fn dump(&self) -> Value {
        json!({
            "name": self.options.name,
            "now": self.now.as_secs_f64(),
            "servers": self.servers(),
            "volumes": self.volumes(),
            "ports": self.ports(),
            "backend_objects": self.backend_objects(),
            "faults": self.faults(),
            "away": self.away(),
            "latency": self.latency(),
        })
    }

    /// The name of a server, volume or port.
    pub(crate) fn name_of(&self, id: Uuid) -> Option<String> {
        if let Some(server) = self.compute.servers.get(id) {
            return Some(server.name.clone());
        }
        self.volumes
            .volumes
            .get(id)
            .and_then(|volume| volume.name.clone())
    }

    /// Gives a volume another size, of which Nova is not told: the event of an `os-extend` that got lost.
    pub fn extend_unnoticed(&mut self, id: &str, gib: u64) -> bool {
        let volume = uuid_of(id).and_then(|id| self.volume_mut(id));
        volume.map(|volume| volume.gib = gib).is_some()
    }

    /// Gives a volume a key in the key manager: as if its type had been an encrypted one from the start.
    pub fn encrypt_volume(&mut self, id: &str) -> bool {
        let volume = uuid_of(id).and_then(|id| self.volume_mut(id));
        volume.map(|volume| volume.encrypted = true).is_some()
    }

    /// Sets a volume's status by hand, as `os-reset_status` does; says whether it could.
    pub fn set_status_of_volume(&mut self, id: &str, status: &str) -> bool {
        let Some(status) = crate::cloud::volume::VolumeStatus::parse(status) else {
            return false;
        };
        let volume = uuid_of(id).and_then(|id| self.volume_mut(id));
        volume.map(|volume| volume.status = status).is_some()
    }
}
