//! Volumes as the API prints them, by minor version and role.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::cloud::{
    SimCloud,
    call::{Call, SimulatedService},
    identity::{Caller, hex},
    volume::{Volume, record::Attachment},
};

impl SimCloud {
    fn volume_links(&self, caller: &Caller, id: &str) -> Value {
        let url = self.service_url(SimulatedService::Volume);
        let project = hex(caller.project);
        json!([
            {"rel": "self", "href": format!("{url}/v3/{project}/volumes/{id}")},
            {"rel": "bookmark", "href": format!("{url}/{project}/volumes/{id}")},
        ])
    }

    pub(crate) fn volume_summary(&self, caller: &Caller, volume: &Volume) -> Value {
        let id = volume.id.to_string();
        json!({"id": id, "name": volume.name, "links": self.volume_links(caller, &id)})
    }

    pub(crate) fn volume_view(&self, call: &Call<'_>, caller: &Caller, volume: &Volume) -> Value {
        let id = volume.id.to_string();
        let kind = volume.kind.and_then(|kind| self.volumes.kinds.get(kind));
        let replicated = kind.is_some_and(|kind| kind.is("replication_enabled"));
        let ready = !matches!(volume.status.as_str(), "creating" | "downloading");
        let attachments: Vec<Value> = volume
            .attachments
            .iter()
            .filter(|tie| tie.attached.is_some())
            .map(|tie| self.volume_attachment(caller, volume, tie))
            .collect();
        let mut view = json!({
            "id": id,
            "status": volume.status.as_str(),
            "size": volume.gib,
            "availability_zone": "nova",
            "created_at": self.stamp_micro(volume.created),
            "updated_at": self.stamp_micro(volume.updated),
            "name": volume.name,
            "description": volume.description,
            "volume_type": kind.map(|kind| kind.name.as_str()),
            "snapshot_id": volume.snapshot.map(|id| id.to_string()),
            "source_volid": volume.source.map(|id| id.to_string()),
            "metadata": volume.metadata,
            "links": self.volume_links(caller, &id),
            "user_id": hex(volume.user),
            "bootable": if volume.bootable { "true" } else { "false" },
            "encrypted": volume.encrypted,
            "replication_status": match (ready, replicated) {
                (false, _) => Value::Null,
                (true, true) => json!("enabled"),
                (true, false) => json!("disabled"),
            },
            "consistencygroup_id": null,
            "multiattach": volume.multiattach,
            "attachments": attachments,
            "migration_status": null,
            "os-vol-tenant-attr:tenant_id": hex(volume.project),
        });
        let Some(fields) = view.as_object_mut() else {
            return view;
        };
        let mut put = |key: &str, value: Value| {
            fields.insert(key.to_owned(), value);
        };
        if !volume.image_properties.is_empty() {
            put("volume_image_metadata", json!(volume.image_properties));
        }
        if caller.is_admin() {
            put("os-vol-host-attr:host", json!(volume.host));
            put("os-vol-mig-status-attr:migstat", Value::Null);
            put("os-vol-mig-status-attr:name_id", Value::Null);
        }
        let from = |minor: u32| call.minor >= minor;
        if from(7) && caller.is_admin() {
            put("cluster_name", Value::Null);
        }
        if from(13) {
            put("group_id", json!(volume.group.map(|id| id.to_string())));
        }
        if from(21) && caller.is_admin() {
            put("provider_id", Value::Null);
        }
        if from(48) {
            let service = (!volume.managed && ready).then_some(self.volumes.service_uuid);
            put("service_uuid", json!(service.map(|id| id.to_string())));
            put("shared_targets", json!(volume.managed));
        }
        if from(61) && caller.is_admin() {
            put("cluster_name", Value::Null);
        }
        if from(63) {
            put(
                "volume_type_id",
                json!(volume.kind.map(|id| id.to_string())),
            );
        }
        if from(65) {
            put("consumes_quota", json!(true));
        }
        view
    }

    /// What Cinder notes of an image on a volume that is made from it; it stays when the image goes.
    pub(crate) fn properties_of_image(&self, image: Option<Uuid>) -> BTreeMap<String, String> {
        let Some(image) = image.and_then(|image| self.images.get(image)) else {
            return BTreeMap::new();
        };
        let noted = [
            ("image_id", image.id.to_string()),
            ("image_name", image.name.clone()),
            ("container_format", "bare".to_owned()),
            ("disk_format", image.disk_format.clone()),
            ("min_disk", "0".to_owned()),
            ("min_ram", "0".to_owned()),
            ("size", image.content.len().to_string()),
        ];
        let noted = noted
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        noted.chain(image.properties.clone()).collect()
    }

    fn volume_attachment(&self, caller: &Caller, volume: &Volume, tie: &Attachment) -> Value {
        json!({
            "id": volume.id.to_string(),
            "attachment_id": tie.id.to_string(),
            "volume_id": volume.id.to_string(),
            "server_id": tie.server.to_string(),
            "host_name": if caller.is_admin() { json!(tie.host) } else { Value::Null },
            "device": tie.device,
            "attached_at": tie.attached.map(|time| self.stamp_micro(time)),
        })
    }
}
