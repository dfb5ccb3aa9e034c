//! Cinder: volumes and what belongs to them.
//!
//! Two things are missing on purpose: deleting with `cascade` (a snapshot that somebody took is somebody's data)
//! and deleting by force or resetting a status (they edit a row and leave the truth behind).

mod attachment;
mod group;
mod place;
mod record;
mod snapshot;

use std::collections::BTreeMap;

pub use attachment::Attachment;
pub use group::{VolumeGroup, VolumeGroupType};
pub use place::{Capacity, Pool, VolumeType};
use protector_core::id::{ProjectId, VolumeId};
pub use record::{
    BackendReference, ManagedVolume, NewVolume, NewVolumeRecord, Volume, VolumeFilter,
    VolumeServer, VolumeUpdate,
};
use serde_json::{Value, json};
pub use snapshot::{Snapshot, Transfer};

use crate::{
    ask::Ask,
    error::{CallError, ErrorClass},
    id::{AttachmentId, VolumeGroupId, VolumeTypeId},
    quota_set::{self, QuotaUsage},
    service::Service,
    session::Session,
};

/// Cinder of one cloud in one project. Needs Cinder 3.62 (Victoria) or later.
#[derive(Clone, Debug)]
pub struct BlockStorage {
    session: Session,
}

const CINDER: Service = Service::Volume;

/// A host that no cloud has.
const NO_HOST: &str = "protector-site-validation@none#none";

impl BlockStorage {
    pub(crate) fn new(session: Session) -> Self {
        Self { session }
    }

    /// `GET /volumes/{id}` (3.48 for `service_uuid`). Role: reader of the project. `NotFound` may also mean another
    /// project's volume.
    ///
    /// # Errors
    /// As any call; `Unexpected` when a field that decisions rest on is missing.
    pub async fn volume(&self, id: &VolumeId) -> Result<Volume, CallError> {
        self.session
            .object(
                Ask::get(CINDER, &["volumes", id.as_str()]).needs(3, 48),
                "volume",
            )
            .await
    }

    /// The same, whole: every attribute that Cinder shows. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn volume_as_shown(&self, id: &VolumeId) -> Result<Value, CallError> {
        let ask = Ask::get(CINDER, &["volumes", id.as_str()]).needs(3, 48);
        self.session.object(ask, "volume").await
    }

    /// `GET /volumes/detail` (3.48), to the last page, what `filter` lets through. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn volumes(&self, filter: &VolumeFilter) -> Result<Vec<Volume>, CallError> {
        let ask = Ask::get(CINDER, &["volumes", "detail"])
            .query_if("metadata", filter.metadata_to_send().as_deref())
            .needs(3, 48);
        let fits = |volume: &Volume| filter.fits(volume);
        self.session.pages_where(ask, "volumes", fits).await
    }

    /// `POST /volumes` (3.13): a new volume, `creating` until it is `available`. Role: member of the project.
    ///
    /// # Errors
    /// As any call; 413 is the quota.
    pub async fn create_volume(&self, volume: &NewVolume) -> Result<NewVolumeRecord, CallError> {
        self.session
            .object(
                Ask::post(CINDER, &["volumes"], volume.body()).needs(3, 13),
                "volume",
            )
            .await
    }

    /// `DELETE /volumes/{id}`, never with snapshots and never by force. 202 says only that Cinder took the order:
    /// read until `NotFound`, `error_deleting`, or back to `available`. Its 400 does not say why: read the volume.
    /// Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn delete_volume(&self, id: &VolumeId) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(CINDER, &["volumes", id.as_str()]))
            .await
    }

    /// `PUT /volumes/{id}`: a new name or description. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn update_volume(
        &self,
        id: &VolumeId,
        update: &VolumeUpdate,
    ) -> Result<(), CallError> {
        self.session
            .done(Ask::put(
                CINDER,
                &["volumes", id.as_str()],
                json!({"volume": update}),
            ))
            .await
    }

    /// `POST /volumes/{id}/metadata`: adds or replaces these keys and keeps the others. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn set_metadata(
        &self,
        id: &VolumeId,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        let path = ["volumes", id.as_str(), "metadata"];
        self.session
            .done(Ask::post(CINDER, &path, json!({"metadata": metadata})))
            .await
    }

    /// `os-set_bootable`. Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn set_bootable(&self, id: &VolumeId, bootable: bool) -> Result<(), CallError> {
        self.action(id, json!({"os-set_bootable": {"bootable": bootable}}))
            .await
    }

    /// `os-set_image_metadata`: adds or replaces these keys (`hw_firmware_type` …). Role: member of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn set_image_metadata(
        &self,
        id: &VolumeId,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        self.action(id, json!({"os-set_image_metadata": {"metadata": metadata}}))
            .await
    }

    /// `POST /manageable_volumes` (3.8): takes what a backend already holds into Cinder. It is checked late: 202,
    /// `creating`, then `available` or `error`. A record in error is taken back with [`BlockStorage::unmanage`],
    /// never with a deletion, which would destroy the data.
    /// Role: admin by default (`volume_extension:volume_manage`).
    ///
    /// # Errors
    /// As any call; 400 when it is managed already.
    pub async fn manage(&self, volume: &ManagedVolume) -> Result<NewVolumeRecord, CallError> {
        self.session
            .object(
                Ask::post(CINDER, &["manageable_volumes"], volume.body()).needs(3, 8),
                "volume",
            )
            .await
    }

    /// Whether the caller may [`BlockStorage::manage`] in its project, without doing so: asks for an object of a host
    /// that does not exist, which Cinder refuses with 403 when its policy does not let the caller, and after that because
    /// of the host, which it names. Any other refusal says nothing of the right: a 404 may be that of a wrong endpoint.
    ///
    /// # Errors
    /// As any call but these.
    pub async fn may_manage(&self) -> Result<bool, CallError> {
        let nothing = ManagedVolume {
            host: NO_HOST.to_owned(),
            reference: BackendReference::Name(NO_HOST.to_owned()),
            name: NO_HOST.to_owned(),
            description: None,
            volume_type: None,
            metadata: BTreeMap::new(),
            bootable: false,
            availability_zone: None,
        };
        match self.manage(&nothing).await {
            Ok(_) => Ok(true),
            Err(error) if error.class() == ErrorClass::Forbidden => Ok(false),
            Err(error) if error.message().is_some_and(|why| why.contains(NO_HOST)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// `os-unmanage`: Cinder forgets the volume and leaves the backend alone. 202, gone later. Not for encrypted
    /// volumes. Role: admin by default (`volume_extension:volume_unmanage`).
    ///
    /// # Errors
    /// As any call; the same 400 as a deletion.
    pub async fn unmanage(&self, id: &VolumeId) -> Result<(), CallError> {
        self.action(id, json!({"os-unmanage": {}})).await
    }

    async fn action(&self, id: &VolumeId, body: Value) -> Result<(), CallError> {
        self.session
            .done(Ask::post(CINDER, &["volumes", id.as_str(), "action"], body))
            .await
    }

    /// `GET /types`, to the last page. Role: any; members see `replication_enabled` of the extra specs only.
    ///
    /// # Errors
    /// As any call.
    pub async fn types(&self) -> Result<Vec<VolumeType>, CallError> {
        self.session
            .pages(Ask::get(CINDER, &["types"]), "volume_types")
            .await
    }

    /// `GET /types/{id}`. Role: any; extra specs as in [`BlockStorage::types`].
    ///
    /// # Errors
    /// As any call.
    pub async fn volume_type(&self, id: &VolumeTypeId) -> Result<VolumeType, CallError> {
        self.session
            .object(Ask::get(CINDER, &["types", id.as_str()]), "volume_type")
            .await
    }

    /// `GET /attachments/detail` (3.27) of one volume, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn attachments(&self, volume: &VolumeId) -> Result<Vec<Attachment>, CallError> {
        let ask = Ask::get(CINDER, &["attachments", "detail"])
            .query("volume_id", volume.as_str())
            .needs(3, 27);
        let fits = |attachment: &Attachment| attachment.volume_id == *volume;
        self.session.pages_where(ask, "attachments", fits).await
    }

    /// `GET /attachments/{id}` (3.27). Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn attachment(&self, id: &AttachmentId) -> Result<Attachment, CallError> {
        self.session
            .object(
                Ask::get(CINDER, &["attachments", id.as_str()]).needs(3, 27),
                "attachment",
            )
            .await
    }

    /// `DELETE /attachments/{id}` (3.27): frees a volume whose server is gone. Role: member of the project.
    ///
    /// # Errors
    /// As any call; `Conflict` (`ConflictNovaUsingAttachment`) while Nova still knows it.
    pub async fn delete_attachment(&self, id: &AttachmentId) -> Result<(), CallError> {
        self.session
            .done(Ask::delete(CINDER, &["attachments", id.as_str()]).needs(3, 27))
            .await
    }

    /// `GET /snapshots/detail` of one volume, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn snapshots(&self, volume: &VolumeId) -> Result<Vec<Snapshot>, CallError> {
        let ask = Ask::get(CINDER, &["snapshots", "detail"]).query("volume_id", volume.as_str());
        let fits = |snapshot: &Snapshot| snapshot.volume_id == *volume;
        self.session.pages_where(ask, "snapshots", fits).await
    }

    /// `GET /snapshots/detail` of the project, to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn all_snapshots(&self) -> Result<Vec<Snapshot>, CallError> {
        self.session
            .pages(Ask::get(CINDER, &["snapshots", "detail"]), "snapshots")
            .await
    }

    /// `GET /volume-transfers/detail` (3.55): offers that nobody has accepted yet. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn transfers(&self) -> Result<Vec<Transfer>, CallError> {
        self.session
            .pages(
                Ask::get(CINDER, &["volume-transfers", "detail"]).needs(3, 55),
                "transfers",
            )
            .await
    }

    /// `GET /groups/{id}` with its volumes (3.25). Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn group(&self, id: &VolumeGroupId) -> Result<VolumeGroup, CallError> {
        let ask = Ask::get(CINDER, &["groups", id.as_str()])
            .query("list_volume", "true")
            .needs(3, 25);
        self.session.object(ask, "group").await
    }

    /// `GET /groups/detail` with their volumes (3.25), to the last page. Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn groups(&self) -> Result<Vec<VolumeGroup>, CallError> {
        let ask = Ask::get(CINDER, &["groups", "detail"])
            .query("list_volume", "true")
            .needs(3, 25);
        self.session.pages(ask, "groups").await
    }

    /// `PUT /groups/{id}` (3.13): takes volumes out of a group; they stay. 202, done later. Role: member of the
    /// project.
    ///
    /// # Errors
    /// As any call; 400 when a volume is not in the group.
    pub async fn remove_from_group(
        &self,
        id: &VolumeGroupId,
        volumes: &[VolumeId],
    ) -> Result<(), CallError> {
        self.change_group(id, "remove_volumes", volumes).await
    }

    /// `PUT /groups/{id}` (3.13): puts volumes into a group. 202, done later. Role: member of the project.
    ///
    /// # Errors
    /// As any call; 400 when the group does not take the volume's type.
    pub async fn add_to_group(
        &self,
        id: &VolumeGroupId,
        volumes: &[VolumeId],
    ) -> Result<(), CallError> {
        self.change_group(id, "add_volumes", volumes).await
    }

    async fn change_group(
        &self,
        id: &VolumeGroupId,
        verb: &str,
        volumes: &[VolumeId],
    ) -> Result<(), CallError> {
        let list = volumes
            .iter()
            .map(VolumeId::as_str)
            .collect::<Vec<_>>()
            .join(",");
        let ask = Ask::put(
            CINDER,
            &["groups", id.as_str()],
            json!({"group": {verb: list}}),
        )
        .needs(3, 13);
        self.session.done(ask).await
    }

    /// `GET /group_types` (3.11), to the last page. Role: any; group specs are shown to admins only.
    ///
    /// # Errors
    /// As any call.
    pub async fn group_types(&self) -> Result<Vec<VolumeGroupType>, CallError> {
        self.session
            .pages(
                Ask::get(CINDER, &["group_types"]).needs(3, 11),
                "group_types",
            )
            .await
    }

    /// `GET /scheduler-stats/get_pools?detail=true`: the pools that volumes can be managed into. Role: admin.
    ///
    /// # Errors
    /// As any call.
    pub async fn pools(&self) -> Result<Vec<Pool>, CallError> {
        let ask = Ask::get(CINDER, &["scheduler-stats", "get_pools"]).query("detail", "true");
        self.session.list(ask, "pools").await
    }

    /// `GET /os-quota-sets/{project}?usage=true`: limit, use and reservation by resource (`volumes`, `gigabytes`,
    /// `volumes_<type>` …). Role: reader of the project.
    ///
    /// # Errors
    /// As any call.
    pub async fn quota(
        &self,
        project: &ProjectId,
    ) -> Result<BTreeMap<String, QuotaUsage>, CallError> {
        let ask = Ask::get(CINDER, &["os-quota-sets", project.as_str()]).query("usage", "true");
        self.session
            .object(ask, "quota_set")
            .await
            .map(quota_set::usages)
    }
}

#[cfg(test)]
mod tests;
