//! The attachments API (3.27 and later).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, text, uuid_of},
    identity::Caller,
    reply::{Answer, fault, ok},
    volume::{Volume, need_member, record::Attachment},
};

impl SimCloud {
    pub(crate) fn attachments(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        rest: &[&str],
    ) -> Answer {
        if call.minor < 27 {
            return Err(fault(404, "The resource could not be found."));
        }
        match (call.method.as_str(), rest) {
            ("GET", []) => self.attachment_list(call, caller, false),
            ("GET", ["detail"]) => self.attachment_list(call, caller, true),
            ("GET", [id]) => {
                let (volume, tie) = self.attachment_by_id(caller, id)?;
                ok(json!({"attachment": self.attachment_view(volume, tie)}))
            }
            ("DELETE", [id]) => self.attachment_delete(caller, id),
            ("POST", []) => self.attachment_create(call, caller),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn attachment_by_id(&self, caller: &Caller, id: &str) -> Answer<(&Volume, &Attachment)> {
        let wanted = uuid_of(id);
        self.volumes
            .volumes
            .iter()
            .filter(|volume| caller.sees(volume.project))
            .find_map(|volume| {
                let tie = volume
                    .attachments
                    .iter()
                    .find(|tie| Some(tie.id) == wanted)?;
                Some((volume, tie))
            })
            .ok_or_else(|| {
                fault(
                    404,
                    format!(
                        "Volume attachment could not be found with filter: attachment_id = {id}."
                    ),
                )
            })
    }

    fn attachment_list(&self, call: &Call<'_>, caller: &Caller, detail: bool) -> Answer {
        let all = call.all_projects(caller);
        let matches =
            |key: &str, id: Uuid| call.query(key).is_none_or(|text| text == id.to_string());
        let rows: Vec<Value> = self
            .volumes
            .volumes
            .iter()
            .filter(|volume| all || volume.project == caller.project)
            .filter(|volume| matches("volume_id", volume.id))
            .flat_map(|volume| volume.attachments.iter().map(move |tie| (volume, tie)))
            .filter(|(_, tie)| matches("instance_id", tie.server))
            .map(|(volume, tie)| {
                if detail {
                    self.attachment_view(volume, tie)
                } else {
                    attachment_summary(volume, tie)
                }
            })
            .collect();
        ok(json!({"attachments": rows}))
    }

    fn attachment_view(&self, volume: &Volume, tie: &Attachment) -> Value {
        json!({
            "id": tie.id.to_string(),
            "volume_id": volume.id.to_string(),
            "instance": tie.server.to_string(),
            "status": tie.status.as_str(),
            "attach_mode": "rw",
            "attached_at": tie.attached.map_or(String::new(), |time| self.stamp_micro(time)),
            "detached_at": "",
            "connection_info": {},
        })
    }

    fn attachment_create(&mut self, call: &Call<'_>, caller: &Caller) -> Answer {
        let given = call.object("attachment")?;
        let volume = self
            .volume_of(caller, text(&given, "volume_uuid").unwrap_or_default())?
            .id;
        need_member(caller, "volume:attachment_create")?;
        let server = text(&given, "instance_uuid")
            .and_then(uuid_of)
            .unwrap_or_default();
        let tie = self
            .reserve(volume, server)
            .map_err(|text| fault(400, text))?;
        let (volume, tie) = self.attachment_by_id(caller, &tie.to_string())?;
        ok(json!({"attachment": self.attachment_view(volume, tie)}))
    }

    fn attachment_delete(&mut self, caller: &Caller, id: &str) -> Answer {
        let (volume, tie) = self.attachment_by_id(caller, id)?;
        let (volume, server) = (volume.id, tie.server);
        need_member(caller, "volume:attachment_delete")?;
        if self.server_uses(server, volume) {
            return Err(fault(
                409,
                format!("Detach volume from instance {server} using the Compute API"),
            ));
        }
        let mut left = Vec::new();
        if let Some(volume) = self.volume_mut(volume) {
            volume.attachments.retain(|tie| tie.id.to_string() != id);
            volume.settle();
            left = volume
                .attachments
                .iter()
                .map(|tie| attachment_summary(volume, tie))
                .collect();
        }
        ok(json!({"attachments": left}))
    }

    /// Reserves a volume for a server; Cinder's refusal as text when it is not free.
    pub(crate) fn reserve(&mut self, volume: Uuid, server: Uuid) -> Result<Uuid, String> {
        use crate::cloud::volume::{AttachStatus, VolumeStatus};
        let id = self.ids.next();
        let Some(row) = self.volume_mut(volume) else {
            return Err(format!("Volume {volume} could not be found."));
        };
        let shared = row.multiattach && row.status == VolumeStatus::InUse;
        if !shared
            && !matches!(
                row.status,
                VolumeStatus::Available | VolumeStatus::Downloading
            )
        {
            return Err(format!(
                "Invalid input received: Invalid volume: Volume {volume} status must be available or \
                 downloading to reserve, but the current status is {}.",
                row.status.as_str()
            ));
        }
        row.attachments.push(Attachment {
            id,
            server,
            status: AttachStatus::Reserved,
            device: None,
            host: None,
            attached: None,
        });
        if !shared {
            row.status = VolumeStatus::Reserved;
        }
        Ok(id)
    }

    /// The compute host connected a reserved volume.
    pub(crate) fn connect(&mut self, volume: Uuid, server: Uuid, device: &str) {
        use crate::cloud::volume::{AttachStatus, VolumeStatus};
        let (now, host) = (self.now, self.options.compute_host.clone());
        let Some(row) = self.volume_mut(volume) else {
            return;
        };
        if let Some(tie) = row.attachment_of(server) {
            tie.status = AttachStatus::Attached;
            tie.device = Some(device.to_owned());
            tie.host = Some(host);
            tie.attached = Some(now);
        }
        row.status = VolumeStatus::InUse;
    }
}

fn attachment_summary(volume: &Volume, tie: &Attachment) -> Value {
    json!({
        "id": tie.id.to_string(),
        "volume_id": volume.id.to_string(),
        "instance": tie.server.to_string(),
        "status": tie.status.as_str(),
    })
}
