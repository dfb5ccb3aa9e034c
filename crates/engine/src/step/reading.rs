//! Fresh readings of servers and volumes, in the guards' words.

use protector_core::{
    guard::{GuestState, Power, SeenAttachment, SeenReservation, SeenServer, SeenVolume},
    id::{ServerId, VolumeId},
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    status::{ServerStatus, VolumeStatus},
    volume::Volume,
};

use crate::{
    clouds::{found, stop},
    step_error::StepError,
};

/// What a guard wants to know of a server.
pub(super) fn seen_server(server: &Server) -> SeenServer {
    SeenServer {
        status: server.status.as_str().to_owned(),
        task_state: server.task_state.clone(),
        project_id: Some(server.project_id.to_string()),
        locked: server.locked,
        locked_reason: server.locked_reason.clone(),
        metadata: server.metadata.clone(),
        volumes_that_go_with_it: server
            .volumes_attached
            .iter()
            .filter(|volume| volume.delete_on_termination)
            .map(|volume| volume.id.to_string())
            .collect(),
        power: Power::of_nova(server.power_state),
    }
}

/// Whether its guest runs, as far as its cloud tells.
pub(super) fn life(server: &Server) -> GuestState {
    GuestState::of(server.status.as_str(), Power::of_nova(server.power_state))
}

/// What a guard wants to know of a volume, as far as the volume itself shows it: neither snapshots nor transfers,
/// nor attachments that are not complete.
pub(super) fn seen_volume(volume: &Volume) -> SeenVolume {
    SeenVolume {
        status: volume.status.as_str().to_owned(),
        project_id: Some(volume.project_id.to_string()),
        attachments: volume
            .attachments
            .iter()
            .map(|attachment| SeenAttachment {
                id: attachment.attachment_id.to_string(),
                server_id: attachment.server_id.to_string(),
            })
            .collect(),
        reservations: Vec::new(),
        group_id: volume.group_id.as_ref().map(ToString::to_string),
        migration_status: volume.migration_status.clone(),
        snapshots: Vec::new(),
        transfer: None,
        encrypted: volume.encrypted,
    }
}

/// The same, with what else stands in the way of its deletion. Snapshots and offers that are being deleted count too:
/// Cinder refuses until they are gone.
pub(super) async fn seen_volume_with_its_ties(
    cloud: &Cloud,
    admin: &Cloud,
    volume: &Volume,
) -> Result<SeenVolume, StepError> {
    let migration_status = migration_status(admin, volume).await?;
    let cinder = cloud.volume();
    let snapshots = cinder.snapshots(&volume.id).await.map_err(stop)?;
    let transfer = match volume.status {
        VolumeStatus::AwaitingTransfer => cinder
            .transfers()
            .await
            .map_err(stop)?
            .into_iter()
            .find(|transfer| transfer.volume_id == volume.id),
        _ => None,
    };
    Ok(SeenVolume {
        reservations: reservations(cloud, volume).await?,
        snapshots: snapshots
            .iter()
            .map(|snapshot| snapshot.id.to_string())
            .collect(),
        transfer: transfer.map(|transfer| transfer.id.to_string()),
        migration_status,
        ..seen_volume(volume)
    })
}

/// What holds a volume that nothing is attached to yet.
async fn reservations(cloud: &Cloud, volume: &Volume) -> Result<Vec<SeenReservation>, StepError> {
    if !matches!(
        volume.status,
        VolumeStatus::Reserved | VolumeStatus::Attaching
    ) {
        return Ok(Vec::new());
    }
    let attachments = cloud.volume().attachments(&volume.id).await.map_err(stop)?;
    let held = attachments.into_iter().map(|attachment| SeenReservation {
        id: attachment.id.to_string(),
        server_id: attachment.instance.map(|server| server.to_string()),
    });
    Ok(held.collect())
}

/// Cinder shows migrations to administrators only.
async fn migration_status(admin: &Cloud, seen: &Volume) -> Result<Option<String>, StepError> {
    match volume(admin, &seen.id).await? {
        Some(shown) => Ok(shown.migration_status),
        None => Err(StepError::passing(format!(
            "Cinder does not show volume {} to the administrator, who alone sees whether it is being migrated",
            seen.id
        ))),
    }
}

/// Whether Nova is deleting the server. Between the end of that work and the 404 it shows `DELETED` without a task (seen
/// on Nova 2026.2).
pub(super) fn is_being_deleted(server: &Server) -> bool {
    server.status == ServerStatus::Deleted || server.task_state.as_deref() == Some("deleting")
}

/// What is waited for while Nova deletes a server: with what Nova is doing, and where, for who has to look after it.
pub(super) fn being_deleted(server: &Server, host: Option<&str>) -> String {
    format!(
        "Nova to delete it (status {}, task {}, host {})",
        server.status.as_str(),
        server.task_state.as_deref().unwrap_or("none"),
        server.host.as_deref().or(host).unwrap_or("unknown"),
    )
}

/// Why Nova says that the server is in error.
pub(super) fn fault_text(server: &Server) -> &str {
    server
        .fault
        .as_ref()
        .map_or("Nova gives no reason", |fault| fault.message.as_str())
}

/// The server, or `None` if its cloud says 404.
pub(super) async fn server(cloud: &Cloud, id: &ServerId) -> Result<Option<Server>, StepError> {
    found(cloud.compute().server(id).await)
}

/// The volume, or `None` if its cloud says 404.
pub(super) async fn volume(cloud: &Cloud, id: &VolumeId) -> Result<Option<Volume>, StepError> {
    found(cloud.volume().volume(id).await)
}
