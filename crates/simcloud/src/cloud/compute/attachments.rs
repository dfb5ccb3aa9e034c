//! A server's volumes: list, attach, detach, change.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, boolean, text, uuid_of},
    compute::{
        Server,
        boot::device_name,
        need_admin, need_member,
        record::{Disk, VmState},
        unexpected,
    },
    faults::{Component, JobEffect},
    identity::Caller,
    jobs::Job,
    reply::{Answer, Reply, empty, fault, ok},
    schema::{self, NOVA_FLAGS},
    volume::{AttachStatus, VolumeStatus},
};

const ATTACHABLE: [VmState; 4] = [
    VmState::Active,
    VmState::Paused,
    VmState::Stopped,
    VmState::SoftDeleted,
];

fn missing(id: &str) -> Box<Reply> {
    fault(404, format!("Volume {id} could not be found."))
}

impl SimCloud {
    pub(crate) fn server_volumes(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        id: &str,
        rest: &[&str],
    ) -> Answer {
        let server = self.server_of(caller, id)?.clone();
        match (call.method.as_str(), rest) {
            ("GET", []) => {
                let rows: Vec<Value> = server
                    .disks
                    .iter()
                    .map(|disk| disk_view(call, &server, disk))
                    .collect();
                ok(json!({"volumeAttachments": rows}))
            }
            ("GET", [volume]) => {
                let disk = disk_of(&server, volume).ok_or_else(|| missing_in(&server, volume))?;
                ok(json!({"volumeAttachment": disk_view(call, &server, disk)}))
            }
            ("POST", []) => self.attach(call, caller, &server),
            ("PUT", [volume]) => self.attachment_update(call, caller, &server, volume),
            ("DELETE", [volume]) => self.detach(caller, &server, volume),
            _ => Err(fault(404, "The resource could not be found.")),
        }
    }

    fn attach(&mut self, call: &Call<'_>, caller: &Caller, server: &Server) -> Answer {
        need_member(caller, "os-volumes-attachments:create")?;
        let given = call.object("volumeAttachment")?;
        schema::tag("tag", text(&given, "tag"))?;
        let wanted = text(&given, "volumeId").unwrap_or_default();
        server.check_lock(caller)?;
        server.check_state("attach_volume", &ATTACHABLE)?;
        if self.faults.is_away(Component::CinderApi) {
            return Err(unexpected("nova.exception.CinderConnectionFailed"));
        }
        let volume = uuid_of(wanted)
            .and_then(|id| self.volumes.volumes.get(id))
            .filter(|volume| caller.sees(volume.project))
            .ok_or_else(|| missing(wanted))?;
        let ties: Vec<String> = volume
            .attachments
            .iter()
            .map(|tie| tie.server.to_string())
            .collect();
        if !ties.is_empty() && !volume.multiattach {
            let text = format!(
                "Invalid volume: volume {wanted} is already attached to instances: {}",
                ties.join(", ")
            );
            return Err(fault(400, text));
        }
        let volume = volume.id;
        let attachment = match self.reserve(volume, server.id) {
            Ok(attachment) => attachment,
            Err(text) => return Err(self.cinder_refusal(&text)),
        };
        let device = text(&given, "device")
            .map(str::to_owned)
            .unwrap_or_else(|| free_device(server));
        let disk = Disk {
            volume,
            attachment,
            mapping: self.ids.next(),
            device,
            root: false,
            delete_on_termination: boolean(&given, "delete_on_termination").unwrap_or(false),
            tag: text(&given, "tag").map(str::to_owned),
            made_by_nova: false,
        };
        let view = disk_view(call, server, &disk);
        if let Some(server) = self.server_mut(server.id) {
            server.disks.push(disk);
        }
        self.later(
            self.options.latency.attach,
            Job::Attached(server.id, volume),
        );
        if call.minor >= 101 {
            empty(202)
        } else {
            ok(json!({"volumeAttachment": view}))
        }
    }

    /// An attach is over.
    pub(crate) fn volume_attached(&mut self, server: Uuid, volume: Uuid) {
        let device = self
            .compute
            .servers
            .get(server)
            .and_then(|server| server.disks.iter().find(|disk| disk.volume == volume))
            .map(|disk| disk.device.clone());
        if let Some(device) = device {
            self.connect(volume, server, &device);
        }
    }

    fn attachment_update(
        &mut self,
        call: &Call<'_>,
        caller: &Caller,
        server: &Server,
        volume: &str,
    ) -> Answer {
        let given = call.object("volumeAttachment")?;
        schema::flag(&given, "delete_on_termination", NOVA_FLAGS)?;
        let unknown = || format!("No volume Block Device Mapping with id {volume}.");
        let disk = disk_of(server, volume).ok_or_else(|| fault(404, unknown()))?;
        if text(&given, "volumeId").is_some_and(|other| other != volume) || call.minor < 85 {
            need_admin(caller, "os-volumes-attachments:swap")?;
            return Err(fault(400, "Swapping volumes is not simulated"));
        }
        need_member(caller, "os-volumes-attachments:update")?;
        let flag = boolean(&given, "delete_on_termination");
        let volume = disk.volume;
        if let (Some(flag), Some(server)) = (flag, self.server_mut(server.id)) {
            for disk in server.disks.iter_mut().filter(|disk| disk.volume == volume) {
                disk.delete_on_termination = flag;
            }
        }
        empty(202)
    }

    fn detach(&mut self, caller: &Caller, server: &Server, volume: &str) -> Answer {
        need_member(caller, "os-volumes-attachments:delete")?;
        if !uuid_of(volume).is_some_and(|id| self.volumes.volumes.contains(id)) {
            return Err(missing(volume));
        }
        let disk = disk_of(server, volume).ok_or_else(|| missing_in(server, volume))?;
        let stopped_root = disk.root && server.state != VmState::SoftDeleted;
        if stopped_root {
            return Err(fault(400, "Cannot detach a root device volume"));
        }
        server.check_lock(caller)?;
        server.check_state("detach_volume", &ATTACHABLE)?;
        let id = disk.volume;
        let status = self.volumes.volumes.get(id).map(|volume| volume.status);
        if status != Some(VolumeStatus::InUse) {
            let text = "Invalid volume: Invalid input received: Invalid volume: Unable to detach \
                volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.";
            return Err(fault(400, text));
        }
        if let Some(volume) = self.volume_mut(id) {
            volume.status = VolumeStatus::Detaching;
            if let Some(tie) = volume.attachment_of(server.id) {
                tie.status = AttachStatus::Detaching;
            }
        }
        self.later(self.options.latency.detach, Job::Detached(server.id, id));
        empty(202)
    }

    /// A detach is over.
    pub(crate) fn volume_detached(&mut self, server: Uuid, volume: Uuid) {
        let name = self.name_of(volume).unwrap_or_default();
        let ignored = self.faults.for_job(&volume.to_string(), &name, |effect| {
            matches!(effect, JobEffect::DetachIgnored).then_some(())
        });
        if ignored.is_some() {
            if let Some(volume) = self.volume_mut(volume) {
                volume.status = VolumeStatus::InUse;
                if let Some(tie) = volume.attachment_of(server) {
                    tie.status = AttachStatus::Attached;
                }
            }
            return;
        }
        if let Some(row) = self.server_mut(server) {
            row.disks.retain(|disk| disk.volume != volume);
        }
        if let Some(row) = self.volume_mut(volume) {
            row.release(server);
        }
    }
}

fn missing_in(server: &Server, volume: &str) -> Box<Reply> {
    fault(
        404,
        format!("Instance {} is not attached to volume {volume}", server.id),
    )
}

fn disk_of<'s>(server: &'s Server, volume: &str) -> Option<&'s Disk> {
    server
        .disks
        .iter()
        .find(|disk| disk.volume.to_string() == volume)
}

fn free_device(server: &Server) -> String {
    (0..26)
        .map(device_name)
        .find(|name| server.disks.iter().all(|disk| disk.device != *name))
        .unwrap_or_else(|| "/dev/vdz".to_owned())
}

fn disk_view(call: &Call<'_>, server: &Server, disk: &Disk) -> Value {
    let mut view = json!({
        "serverId": server.id.to_string(),
        "volumeId": disk.volume.to_string(),
        "device": disk.device,
    });
    if call.minor < 89 {
        view["id"] = json!(disk.volume.to_string());
    } else {
        view["attachment_id"] = json!(disk.attachment.to_string());
        view["bdm_uuid"] = json!(disk.mapping.to_string());
    }
    if call.minor >= 70 {
        view["tag"] = json!(disk.tag);
    }
    if call.minor >= 79 {
        view["delete_on_termination"] = json!(disk.delete_on_termination);
    }
    view
}
