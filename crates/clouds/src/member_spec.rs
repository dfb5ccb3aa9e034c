//! What a group keeps of a server as its cloud shows it.

use std::collections::BTreeMap;

use protector_core::confidential::Confidential;
use protector_core::id::VolumeId;
use protector_core::member::KeyPair;
use protector_core::member::ProtectedVolume;
use protector_core::member::ServerSpec;

use crate::clouds::FoundAttachment;
use crate::clouds::FoundServer;
use crate::clouds::FoundVolume;

/// The server's volumes as the group keeps them: the boot volume first, then by device.
pub fn protected_volumes(
    server: &FoundServer,
    found: &BTreeMap<VolumeId, FoundVolume>,
) -> Vec<ProtectedVolume> {
    let mut places = in_order(server);
    let boot = boot_volume(server, &places);
    places.sort_by_key(|place| Some(&place.volume_id) != boot.as_ref());
    places
        .into_iter()
        .filter_map(|place| {
            let volume = found.get(&place.volume_id)?;
            Some(ProtectedVolume {
                id: volume.id.clone(),
                name: volume.name.clone(),
                size_gib: volume.size_gib,
                device: place.device.clone(),
                boot: Some(&place.volume_id) == boot.as_ref(),
                delete_on_termination: place.delete_on_termination,
                delete_on_termination_at: None,
                metadata: volume.metadata.clone(),
                image_properties: volume.image_properties.clone(),
                description: volume.description.clone(),
                bootable: volume.bootable,
                volume_type: volume.volume_type_id.clone(),
                tag: place.tag.clone(),
                name_id: volume.name_id.clone(),
                host: volume.host.clone(),
            })
        })
        .collect()
}

/// Its volumes' places by device.
pub fn in_order(server: &FoundServer) -> Vec<&FoundAttachment> {
    let mut places: Vec<&FoundAttachment> = server.attachments.iter().collect();
    places.sort_by_key(|place| device_order(&place.device));
    places
}

/// The volume on the root device; the first one where the cloud does not name a root device.
pub fn boot_volume(server: &FoundServer, in_order: &[&FoundAttachment]) -> Option<VolumeId> {
    let root = server.root_device.as_deref();
    in_order
        .iter()
        .find(|place| Some(place.device.as_str()) == root)
        .or_else(|| in_order.first())
        .map(|place| place.volume_id.clone())
}

/// `/dev/vdb` comes before `/dev/vdaa`.
fn device_order(device: &str) -> (usize, String) {
    (device.len(), device.to_owned())
}

/// All of the server that its copy must have too.
pub fn server_spec(
    server: &FoundServer,
    key_pair: Option<KeyPair>,
    user_data: Option<String>,
) -> ServerSpec {
    ServerSpec {
        flavor: server.flavor.clone(),
        nics: server.nics.clone(),
        security_groups: server.security_groups.clone(),
        key_pair: key_pair.or_else(|| server.key_name.as_deref().map(name_without_key)),
        metadata: server.metadata.clone(),
        user_data: server
            .user_data
            .clone()
            .or(user_data.map(Confidential::new)),
        availability_zone: server.availability_zone.clone(),
        config_drive: server.config_drive,
        description: server.description.clone(),
        tags: server.tags.clone(),
        hostname: server.hostname.clone(),
        server_group: server.server_group.clone(),
    }
}

fn name_without_key(name: &str) -> KeyPair {
    KeyPair {
        name: name.to_owned(),
        public_key: None,
        kind: "ssh".to_owned(),
    }
}
