//! Nova: servers and all that belongs to them.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

pub(crate) use crate::cloud::compute::record::Server;
use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService, uuid_of},
    compute::record::{Flavor, InstanceAction, Keypair},
    faults::Component,
    identity::{Caller, IdentityService},
    ids::IdSource,
    options::{CloudOptions, SimulatedQuotas},
    reply::{Answer, Reply, fault, ok, policy},
    table::Table,
};

/// Newest minor version that is offered.
const NEWEST: u32 = 104;

pub(crate) struct Compute {
    pub(crate) servers: Table<Server>,
    flavors: Vec<Flavor>,
    keypairs: Vec<Keypair>,
    server_groups: Vec<server_groups::ServerGroup>,
    quotas: BTreeMap<Uuid, SimulatedQuotas>,
    /// What was asked of servers that are gone, with their project.
    actions_of_deleted: BTreeMap<Uuid, (Uuid, Vec<InstanceAction>)>,
}

impl Compute {
    pub(crate) fn seed(options: &CloudOptions, ids: &IdSource, identity: &IdentityService) -> Self {
        let flavors = options
            .flavors
            .iter()
            .map(|seed| Flavor {
                id: ids.fixed("flavor", &seed.name).to_string(),
                name: seed.name.clone(),
                vcpus: seed.vcpus,
                ram: seed.ram,
                disk: seed.disk,
                ephemeral: seed.ephemeral,
                swap: seed.swap,
                extra_specs: seed.extra_specs.clone(),
            })
            .collect();
        let keypairs = options
            .keypairs
            .iter()
            .filter_map(|seed| {
                Some(Keypair {
                    user: identity.user_named(&seed.user)?.id,
                    name: seed.name.clone(),
                    public_key: seed.public_key.clone(),
                })
            })
            .collect();
        Self {
            servers: Table::default(),
            flavors,
            keypairs,
            server_groups: Vec::new(),
            quotas: BTreeMap::new(),
            actions_of_deleted: BTreeMap::new(),
        }
    }

    /// A flavor by id; by name for the seed.
    fn flavor(&self, wanted: &str) -> Option<&Flavor> {
        self.flavors.iter().find(|flavor| flavor.id == wanted)
    }
}

fn missing_server(id: &str) -> Box<Reply> {
    fault(404, format!("Instance {id} could not be found."))
}

/// Refuses callers below role member, with Nova's words.
fn need_member(caller: &Caller, rule: &str) -> Answer<()> {
    if caller.is_member() {
        Ok(())
    } else {
        Err(policy(&format!("os_compute_api:{rule}")))
    }
}

fn need_admin(caller: &Caller, rule: &str) -> Answer<()> {
    if caller.is_admin() {
        Ok(())
    } else {
        Err(policy(&format!("os_compute_api:{rule}")))
    }
}

/// What Nova says when a service that it needs cannot be reached.
fn unexpected(exception: &str) -> Box<Reply> {
    let text =
        format!("Unexpected API Error. Please contact the administrator\n<class '{exception}'>");
    fault(500, text)
}

impl SimCloud {
    pub(crate) fn compute(&mut self, call: &mut Call<'_>) -> Answer {
        if call.method == http::Method::GET && call.segments.is_empty() {
            return ok(json!({"versions": [self.compute_version()]}));
        }
        if call.segments.first().map(String::as_str) != Some("v2.1") {
            return Err(fault(404, "The resource could not be found."));
        }
        if call.method == http::Method::GET && call.segments.len() == 1 {
            return ok(json!({"version": self.compute_version()}));
        }
        Self::negotiate(call, "compute", 2, 1, NEWEST)?;
        let caller = self.caller(call)?;
        call.segments.remove(0);
        let call = &*call;
        let parts: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let answer = self.compute_route(call, &caller, &parts);
        if answer.is_ok() {
            self.remember_action(call, &caller, &parts);
        }
        answer
    }

    fn compute_route(&mut self, call: &Call<'_>, caller: &Caller, parts: &[&str]) -> Answer {
        match (call.method.as_str(), parts) {
            ("GET", ["servers"]) => self.server_list(call, caller, false),
            ("GET", ["servers", "detail"]) => self.server_list(call, caller, true),
            ("POST", ["servers"]) => self.server_create(call, caller),
            ("GET", ["servers", id]) => {
                let server = self.server_of(caller, id)?;
                if self.faults.is_away(Component::Neutron) {
                    return Err(unexpected(
                        "keystoneauth1.exceptions.connection.ConnectFailure",
                    ));
                }
                ok(json!({"server": self.server_view(call, caller, server)}))
            }
            ("PUT", ["servers", id]) => self.server_update(call, caller, id),
            ("DELETE", ["servers", id]) => self.server_delete(caller, id),
            ("POST", ["servers", id, "action"]) => self.server_action(call, caller, id),
            (_, ["servers", id, "os-volume_attachments", rest @ ..]) => {
                self.server_volumes(call, caller, id, rest)
            }
            (_, ["servers", id, "metadata", rest @ ..]) => {
                self.server_metadata(call, caller, id, rest)
            }
            (_, ["servers", id, "tags", rest @ ..]) => self.server_tags(call, caller, id, rest),
            ("POST", ["servers", id, "os-interface"]) => self.attach_interface(call, caller, id),
            ("GET", ["servers", id, rest @ ..]) => self.server_part(call, caller, id, rest),
            _ => self.compute_extras(call, caller, parts),
        }
    }

    fn compute_version(&self) -> serde_json::Value {
        json!({
            "id": "v2.1",
            "status": "CURRENT",
            "version": format!("2.{NEWEST}"),
            "min_version": "2.1",
            "updated": "2013-07-23T11:33:21Z",
            "links": [
                {"rel": "self", "href": format!("{}/v2.1/", self.service_url(SimulatedService::Compute))},
                {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
            ],
            "media-types": [{
                "base": "application/json",
                "type": "application/vnd.openstack.compute+json;version=2.1",
            }],
        })
    }

    /// A server that the caller may see.
    fn server_of(&self, caller: &Caller, id: &str) -> Answer<&Server> {
        uuid_of(id)
            .and_then(|id| self.compute.servers.get(id))
            .filter(|server| caller.sees(server.project))
            .ok_or_else(|| missing_server(id))
    }

    /// Puts a server into a state without anybody asking for it; says whether there is one.
    pub fn set_state_of_server(&mut self, id: &str, state: &str) -> bool {
        let state = match state {
            "stopped" => record::VmState::Stopped,
            "error" => record::VmState::Error,
            "soft_deleted" => record::VmState::SoftDeleted,
            "shelved_offloaded" => record::VmState::ShelvedOffloaded,
            _ => return false,
        };
        let server = crate::cloud::call::uuid_of(id).and_then(|id| self.server_mut(id));
        let found = server.map(|server| {
            server.state = state;
            server.task = None;
            if state == record::VmState::ShelvedOffloaded {
                server.host = None;
            }
        });
        found.is_some()
    }

    /// Somebody starts the guest of a server that Nova has stopped, on its host: Nova goes on saying `SHUTOFF`.
    pub fn start_guest_beside_nova(&mut self, id: &str) {
        if let Some(server) = uuid_of(id).and_then(|id| self.server_mut(id)) {
            server.started_beside_nova = true;
        }
    }

    /// From now on a volume goes with the server that it is attached to.
    pub fn set_delete_on_termination(&mut self, volume: &str) {
        let Some(volume) = crate::cloud::call::uuid_of(volume) else {
            return;
        };
        let servers = self.compute.servers.iter_mut();
        for disk in servers.flat_map(|server| &mut server.disks) {
            disk.delete_on_termination |= disk.volume == volume;
        }
    }

    fn server_mut(&mut self, id: Uuid) -> Option<&mut Server> {
        let now = self.now;
        let server = self.compute.servers.get_mut(id)?;
        server.updated = now;
        Some(server)
    }

    /// Whether Nova knows that this server uses this volume.
    pub(crate) fn server_uses(&self, server: Uuid, volume: Uuid) -> bool {
        self.compute
            .servers
            .get(server)
            .is_some_and(|server| server.disks.iter().any(|disk| disk.volume == volume))
    }
}

pub mod actions;
pub mod attachments;
pub mod boot;
pub mod delete;
pub mod extras;
pub mod instance_actions;
pub mod interfaces;
pub mod record;
pub mod seed;
pub mod server_groups;
pub mod view;
