//! Network cards that a server gets after it was built.

use crate::cloud::{
    SimCloud,
    call::{Call, text, uuid_of},
    compute::{
        need_member,
        record::{Nic, VmState},
    },
    identity::Caller,
    network::PortOwner,
    reply::{Answer, fault, ok},
};

impl SimCloud {
    /// A new port in the network that the request names.
    pub(crate) fn attach_interface(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
    ) -> Answer {
        need_member(caller, "os-attach-interfaces:create")?;
        let server = self.server_of(caller, id)?.clone();
        server.check_lock(caller)?;
        let allowed = [VmState::Active, VmState::Paused, VmState::Stopped];
        server.check_state("attach_interface", &allowed)?;
        let given = call.object("interfaceAttachment")?;
        let network = text(&given, "net_id")
            .and_then(uuid_of)
            .ok_or_else(|| fault(400, "Only a network id is simulated"))?;
        let owner = PortOwner {
            device: server.id,
            zone: server.zone.clone(),
        };
        let groups = server.security_groups.clone();
        let port = self
            .nova_port(server.project, network, None, &groups, &owner)
            .map_err(|why| fault(400, why))?;
        let nic = Nic {
            port,
            made_by_nova: true,
            tag: text(&given, "tag").map(str::to_owned),
        };
        if let Some(server) = self.server_mut(server.id) {
            server.nics.push(nic);
        }
        ok(serde_json::json!({"interfaceAttachment": {
            "port_id": port.to_string(),
            "net_id": network.to_string(),
        }}))
    }
}
