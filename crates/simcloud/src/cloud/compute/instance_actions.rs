//! What was asked of a server, and by whom: Nova remembers it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, uuid_of},
    compute::{Server, record::InstanceAction},
    identity::{Caller, hex},
};

impl SimCloud {
    /// Remembers a request that Nova has accepted. A refused one leaves nothing.
    pub(crate) fn remember_action(&mut self, call: &Call<'_>, caller: &Caller, parts: &[&str]) {
        let Some((server, action)) = asked(call, parts) else {
            return;
        };
        let remembered = InstanceAction {
            action,
            request: call.request_id.clone(),
            user: caller.user,
            project: caller.project,
            at: self.now,
        };
        if let Some(server) = uuid_of(server).and_then(|id| self.compute.servers.get_mut(id)) {
            server.actions.push(remembered);
        }
    }

    /// Remembers that a volume of the server was extended.
    pub(crate) fn remember_extension(&mut self, call: &Call<'_>, caller: &Caller, server: Uuid) {
        let remembered = InstanceAction {
            action: "extend_volume",
            request: call.request_id.clone(),
            user: caller.user,
            project: caller.project,
            at: self.now,
        };
        if let Some(server) = self.compute.servers.get_mut(server) {
            server.actions.push(remembered);
        }
    }

    /// Keeps what was asked of a server that is deleted: Nova's list outlives it (2.21).
    pub(crate) fn keep_actions_of_deleted(&mut self, server: &Server) {
        let kept = (server.project, server.actions.clone());
        self.compute.actions_of_deleted.insert(server.id, kept);
    }

    /// `os-instance-actions` of a deleted server, where the caller sees its project.
    pub(crate) fn actions_of_deleted(&self, caller: &Caller, id: &str) -> Option<Value> {
        let id = uuid_of(id)?;
        let (project, actions) = self.compute.actions_of_deleted.get(&id)?;
        caller
            .sees(*project)
            .then(|| self.instance_actions(id, actions))
    }

    pub(crate) fn instance_actions(&self, server: Uuid, actions: &[InstanceAction]) -> Value {
        let rows: Vec<Value> = actions
            .iter()
            .rev()
            .map(|row| {
                json!({
                    "action": row.action,
                    "instance_uuid": server.to_string(),
                    "request_id": row.request,
                    "user_id": hex(row.user),
                    "project_id": hex(row.project),
                    "start_time": self.stamp_micro(row.at),
                    "updated_at": self.stamp_micro(row.at),
                    "message": null,
                })
            })
            .collect();
        json!({"instanceActions": rows})
    }
}

/// The server that a request is about, and Nova's word for what it asks of it.
fn asked<'p>(call: &Call<'_>, parts: &[&'p str]) -> Option<(&'p str, &'static str)> {
    match (call.method.as_str(), parts) {
        ("DELETE", ["servers", id]) => Some((id, "delete")),
        ("POST", ["servers", id, "os-volume_attachments"]) => Some((id, "attach_volume")),
        ("DELETE", ["servers", id, "os-volume_attachments", _]) => Some((id, "detach_volume")),
        ("POST", ["servers", id, "os-interface"]) => Some((id, "attach_interface")),
        ("DELETE", ["servers", id, "os-interface", _]) => Some((id, "detach_interface")),
        ("POST", ["servers", id, "action"]) => Some((id, word_for(call)?)),
        _ => None,
    }
}

fn word_for(call: &Call<'_>) -> Option<&'static str> {
    let body = call.json().ok()?;
    let key = body.as_object()?.keys().next()?.clone();
    Some(match key.as_str() {
        "os-start" => "start",
        "os-stop" => "stop",
        "reboot" => "reboot",
        "resize" => "resize",
        "lock" => "lock",
        "unlock" => "unlock",
        "pause" => "pause",
        "unpause" => "unpause",
        "suspend" => "suspend",
        "resume" => "resume",
        "restore" => "restore",
        "forceDelete" => "delete",
        _ => return None,
    })
}
