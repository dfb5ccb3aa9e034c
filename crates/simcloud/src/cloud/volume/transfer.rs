//! Transfers: a volume changes hands.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud, SimTime,
    call::{Call, text, uuid_of},
    identity::Caller,
    reply::{Answer, accepted, empty, fault, ok},
    volume::{VolumeStatus, need_member},
};

/// An offer of a volume to whoever knows the key.
#[derive(Clone)]
pub(crate) struct Transfer {
    id: Uuid,
    name: Option<String>,
    volume: Uuid,
    project: Uuid,
    key: String,
    created: SimTime,
}

impl SimCloud {
    pub(crate) fn transfers(&mut self, call: &Call<'_>, caller: &Caller, rest: &[&str]) -> Answer {
        match (call.method.as_str(), rest) {
            ("GET", [] | ["detail"]) => {
                let rows: Vec<Value> = self
                    .volumes
                    .transfers
                    .iter()
                    .filter(|row| call.all_projects(caller) || row.project == caller.project)
                    .map(|row| self.transfer_view(row))
                    .collect();
                ok(json!({"transfers": rows}))
            }
            ("POST", []) => self.transfer_create(call, caller),
            ("GET", [id]) => {
                let row = self.transfer_of(id)?;
                ok(json!({"transfer": self.transfer_view(row)}))
            }
            ("POST", [id, "accept"]) => self.transfer_accept(call, caller, id),
            ("DELETE", [id]) => {
                let row = self.transfer_of(id)?;
                let (id, volume) = (row.id, row.volume);
                need_member(caller, "volume:delete_transfer")?;
                self.set_volume_status(volume, VolumeStatus::Available);
                self.volumes.transfers.remove(id);
                empty(202)
            }
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn transfer_of(&self, id: &str) -> Answer<&Transfer> {
        uuid_of(id)
            .and_then(|id| self.volumes.transfers.get(id))
            .ok_or_else(|| fault(404, format!("Transfer {id} could not be found.")))
    }

    fn transfer_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        let given = call.object("transfer")?;
        let volume = self.volume_of(caller, text(&given, "volume_id").unwrap_or_default())?;
        need_member(caller, "volume:create_transfer")?;
        if volume.status != VolumeStatus::Available {
            return Err(fault(400, "Invalid volume: status must be available"));
        }
        let volume = volume.id;
        let id = self.ids.next();
        let key = self.ids.next().simple().to_string();
        let row = Transfer {
            id,
            name: text(&given, "name").map(str::to_owned),
            volume,
            project: caller.project,
            key: key.clone(),
            created: self.now,
        };
        let mut view = self.transfer_view(&row);
        view["auth_key"] = json!(key);
        self.set_volume_status(volume, VolumeStatus::AwaitingTransfer);
        self.volumes.transfers.insert(id, row);
        accepted(json!({"transfer": view}))
    }

    fn transfer_accept(&mut self, call: &Call<'_>, caller: &Caller, id: &str) -> Answer {
        let given = call.object("accept")?;
        let row = self.transfer_of(id)?.clone();
        need_member(caller, "volume:accept_transfer")?;
        if text(&given, "auth_key") != Some(row.key.as_str()) {
            let text = format!("Invalid auth key: Attempt to transfer {id} with invalid auth key.");
            return Err(fault(403, text));
        }
        self.volumes.transfers.remove(row.id);
        let (project, user) = (caller.project, caller.user);
        if let Some(volume) = self.volume_mut(row.volume) {
            volume.project = project;
            volume.user = user;
            volume.status = VolumeStatus::Available;
        }
        accepted(json!({"transfer": self.transfer_view(&row)}))
    }

    fn transfer_view(&self, row: &Transfer) -> Value {
        json!({
            "id": row.id.to_string(),
            "name": row.name,
            "volume_id": row.volume.to_string(),
            "created_at": self.stamp_micro(row.created),
            "no_snapshots": false,
            "links": [],
        })
    }
}
