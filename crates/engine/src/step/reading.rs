//! Fresh readings of servers and volumes, in the guards' words.

use protector_core::{
    guard::{SeenServer, SeenVolume},
    id::{ServerId, VolumeId},
};
use protector_openstack::{cloud::Cloud, compute::Server, volume::Volume};

use crate::{action::Stop, clouds::found};

/// What a guard wants to know of a server.
pub(super) fn seen_server(server: &Server) -> SeenServer {
    SeenServer {
        status: server.status.as_str().to_owned(),
        task_state: server.task_state.clone(),
        project_id: Some(server.project_id.to_string()),
        locked: server.locked,
        locked_reason: server.locked_reason.clone(),
    }
}

/// What a guard wants to know of a volume.
pub(super) fn seen_volume(volume: &Volume) -> SeenVolume {
    SeenVolume {
        status: volume.status.as_str().to_owned(),
        project_id: Some(volume.project_id.to_string()),
        attached_to: volume
            .attachments
            .iter()
            .map(|attachment| attachment.server_id.to_string())
            .collect(),
        group_id: volume.group_id.as_ref().map(ToString::to_string),
        migration_status: volume.migration_status.clone(),
    }
}

/// Why Nova says that the server is in error.
pub(super) fn fault_text(server: &Server) -> &str {
    server
        .fault
        .as_ref()
        .map_or("Nova gives no reason", |fault| fault.message.as_str())
}

/// The server, or `None` if its cloud says 404.
pub(super) async fn server(cloud: &Cloud, id: &ServerId) -> Result<Option<Server>, Stop> {
    found(cloud.compute().server(id).await)
}

/// The volume, or `None` if its cloud says 404.
pub(super) async fn volume(cloud: &Cloud, id: &VolumeId) -> Result<Option<Volume>, Stop> {
    found(cloud.volume().volume(id).await)
}
