//! A volume that the group left behind on the source: deleted once nothing needs it any more.

use protector_core::{
    fault::Code,
    guard::{
        Counterpart, Cure, HostState, OwnServer, SideInUse, SourceVolume, Verdict,
        must_not_be_resynced, verdict_source_volume,
    },
    id::{ServerId, VolumeId},
    operation::OperationKind,
    storage::{BackendObject, CinderVolume, Relation},
};
use protector_openstack::{
    cloud::Cloud,
    id::{AttachmentId, VolumeGroupId},
    status::VolumeStatus,
    volume::Volume,
};

use super::{
    arrays::{Arrays, done_or_not_yet, promoters, volume_of},
    counterpart_now::copy_is_meant,
    fence::may_run,
    mark, reading,
    scope::Absent,
    site_clouds::SiteClouds,
    source_server::{accepted_in_this_try, not_for_this, refused},
    written_since::WrittenSince,
};
use crate::{
    action::{Progress, StepContext},
    clouds::found,
    step_error::{StepError, not_in_plan, storage_stop},
};

/// What the record says of a volume that stays because the configuration says so.
pub const RETAINED: &str = "retained by configuration";

/// Whether the operation leaves the source's volumes there on purpose.
pub(super) fn is_retained(cx: &StepContext<'_>) -> bool {
    cx.plan().retain_source_volumes && cx.operation.kind != OperationKind::Cleanup
}

/// Steps about the volumes that a group leaves.
pub(super) struct SourceVolumes<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
}

impl SourceVolumes<'_> {
    pub(super) async fn delete_source_volume(
        &self,
        cx: &mut StepContext<'_>,
        id: &VolumeId,
    ) -> Result<Progress, StepError> {
        if is_retained(cx) {
            return Ok(Progress::Skipped {
                why: RETAINED.to_owned(),
            });
        }
        let source = self.clouds.source(cx).await?;
        let Some(volume) = reading::volume(&source, id).await? else {
            return self.source_volume_is_gone(cx, &source, id).await;
        };
        if matches!(
            volume.status,
            VolumeStatus::Deleting | VolumeStatus::Unmanaging
        ) {
            return Ok(self
                .clouds
                .look_again(format!("volume status {}", volume.status.as_str())));
        }
        if accepted_in_this_try(cx) {
            return Err(came_back(&volume));
        }
        cx.memo.seen.observed = Some(volume.status.as_str().to_owned());
        match self.judge_source_volume(cx, &source, &volume).await? {
            verdict @ (Verdict::Delete | Verdict::Unmanage { .. }) => {
                let intent = cx.intend_to_delete(id.as_str()).await?;
                if self.judge_anew(cx, &source, id).await?.as_ref() != Some(&verdict) {
                    return Ok(self.clouds.changed_meanwhile(cx));
                }
                let open = intent.on(&source);
                match &verdict {
                    Verdict::Unmanage { why } => unmanage_source(cx, &open, id, why).await?,
                    _ => {
                        found(open.volume().delete_volume(id).await)?;
                    }
                }
            }
            Verdict::First(Cure::TakeOutOfGroup { group }) => {
                return self.take_out_of_group(cx, &source, id, group).await;
            }
            Verdict::First(Cure::DeleteStaleAttachments { attachments }) => {
                return self
                    .delete_stale_attachments(cx, &source, id, attachments)
                    .await;
            }
            Verdict::Wait { on } => {
                let server = server_of(cx, id)?;
                return self
                    .clouds
                    .wait_for_detach(cx, &source, Some(&server), on)
                    .await;
            }
            Verdict::Keep { why } => return Err(StepError::last(Code::Kept, why)),
            other @ Verdict::First(_) => return Err(not_for_this("volume", &other)),
        }
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.clouds.look_again("Cinder to delete it"))
    }

    /// Makes what the source, which was lost, has of a mirrored volume the replica of its copy.
    pub(super) async fn resync_volume(
        &self,
        cx: &mut StepContext<'_>,
        id: &VolumeId,
    ) -> Result<Progress, StepError> {
        if let Some(why) = cx.blocked_by {
            let why = format!("kept: its Cinder has not let go of it ({why})");
            return Err(StepError::last(Code::Kept, why));
        }
        let server = server_of(cx, id)?;
        if cx.known(|map| map.returned_server(&server).is_some()) {
            cx.fact("not done: its member has come back, and is what would be overwritten");
            return Ok(Progress::done());
        }
        self.refuse_to_resync(cx, id).await?;
        let intent = cx.intend_to_delete(id.as_str()).await?;
        self.refuse_to_resync(cx, id).await?;
        let (replication, volumes) = (cx.plan().replication().back(), [volume_of(cx, id)?]);
        let array = self.arrays.open_for(&intent);
        let call = array.resync(&replication, &volumes, mark::maker(cx.operation));
        let answer = intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(done_or_not_yet(answer))
    }

    async fn refuse_to_resync(&self, cx: &StepContext<'_>, id: &VolumeId) -> Result<(), StepError> {
        let source = self.clouds.source(cx).await?;
        let server = server_of(cx, id)?;
        let (there, twin) = tokio::join!(reading::volume(&source, id), self.twin(cx, id, &server));
        let (there, twin) = (there?, twin?);
        if there.is_none() {
            self.clouds
                .believe_that_source_lacks(cx, &source, Absent::Volume, id.as_str())
                .await?;
        }
        let seen = there.as_ref().map(reading::seen_volume);
        let group = cx.group_now().await?;
        let (replication, object) = (cx.plan().replication(), volume_of(cx, id)?);
        let makers = promoters(cx.operation);
        let promoted = self.arrays.promoted_by(&replication, &object, &makers);
        let promoted_by = promoted.await.map_err(storage_stop)?;
        let side = SideInUse {
            target: &cx.plan().target.site,
            runs_on: group.as_ref().map(|group| &group.current_primary_site),
            promoted_by: promoted_by.as_ref(),
        };
        match must_not_be_resynced(seen.as_ref(), &twin, &side) {
            Some(Verdict::Keep { why }) => Err(StepError::last(Code::Kept, why)),
            Some(other) => Err(not_for_this("volume", &other)),
            None => Ok(()),
        }
    }

    /// Reads everything that the guards want to know.
    async fn judge_source_volume(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        volume: &Volume,
    ) -> Result<Verdict, StepError> {
        let plan = cx.plan();
        let id = &volume.id;
        let in_cinder = cinder_volume(volume);
        let server_id = server_of(cx, id)?;
        let admin = self.clouds.source_admin(cx).await?;
        // Side by side: on a cloud that answers slowly one after the other would take longer than they are good for.
        let view = &*cx;
        let (seen, server, object, twin) = tokio::join!(
            reading::seen_volume_with_its_ties(source, &admin, volume),
            self.own_server(view, source, &server_id, id),
            self.locate(&plan.source_array, &in_cinder),
            self.twin(view, id, &server_id),
        );
        let (seen, server, object, twin) = (seen?, server?, object?, twin?);
        let relation = self.relation(object.as_ref(), twin.object.as_ref()).await?;
        let protected_by = cx.protected_by(id.as_str()).await?;
        let known = SourceVolume {
            id: id.as_str(),
            project_id: plan.source.project_id.as_str(),
            server_id: server_id.as_str(),
            server: &server,
            object: object.as_ref(),
            relation: &relation,
            replication_type: plan.replication_type,
            protected_by: protected_by.as_deref(),
        };
        let verdict = match verdict_source_volume(&known, &seen, &twin) {
            Verdict::Delete => {
                WrittenSince::with(self.clouds, self.arrays)
                    .unless_written_since(cx, &server_id, id)
                    .await?
            }
            other => other,
        };
        if matches!(verdict, Verdict::Delete | Verdict::Unmanage { .. }) {
            let apart = object.as_ref().filter(|_| relation == Relation::Distinct);
            note_what_made_it_safe(cx, volume, &server, apart, &twin);
        }
        Ok(verdict)
    }

    /// The same of the volume as it is now; `None` if it is gone.
    async fn judge_anew(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &VolumeId,
    ) -> Result<Option<Verdict>, StepError> {
        match reading::volume(source, id).await? {
            Some(volume) => Ok(Some(self.judge_source_volume(cx, source, &volume).await?)),
            None => Ok(None),
        }
    }

    /// The server that the volume belonged to. That it is gone is believed only of a cloud that proved itself.
    async fn own_server(
        &self,
        cx: &StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
        volume: &VolumeId,
    ) -> Result<OwnServer, StepError> {
        if let Some(server) = reading::server(source, id).await? {
            let uses_it = server
                .volumes_attached
                .iter()
                .any(|used| used.id == *volume);
            let runs = may_run(&server) && !reading::is_being_deleted(&server);
            return Ok(OwnServer::There { uses_it, runs });
        }
        let (gone, host) = tokio::join!(
            self.clouds
                .believe_that_source_lacks(cx, source, Absent::Server, id.as_str()),
            self.clouds.state_of_last_host(cx, id),
        );
        gone?;
        Ok(OwnServer::Gone { host: host? })
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StepError> {
        self.arrays
            .locate(array, volume)
            .await
            .map_err(storage_stop)
    }

    /// What the source's object and the copy's are to each other, right now.
    async fn relation(
        &self,
        source: Option<&BackendObject>,
        copy: Option<&BackendObject>,
    ) -> Result<Relation, StepError> {
        let (Some(source), Some(copy)) = (source, copy) else {
            return Ok(Relation::Unknown {
                why: "one of the two objects is not known".to_owned(),
            });
        };
        let asking = self.arrays.relation(source, copy);
        asking.await.map_err(storage_stop)
    }

    async fn twin(
        &self,
        cx: &StepContext<'_>,
        id: &VolumeId,
        server: &ServerId,
    ) -> Result<Counterpart, StepError> {
        let now = self.clouds.counterparts_now(cx, server).await?;
        let copy = now.volume_of(cx, id);
        let copy_server = now.server_of(cx, server);
        let volume = async {
            let Some(copy) = &copy else {
                return Ok((None, None));
            };
            let volume = reading::volume(&now.cloud, copy).await?;
            // What Cinder has forgotten may be on the array still.
            let sought = volume
                .as_ref()
                .map_or_else(|| CinderVolume::known_by_id(copy.clone()), cinder_volume);
            let object = self.locate(&now.array, &sought).await?;
            Ok::<_, StepError>((volume, object))
        };
        let seen_server = async {
            match &copy_server {
                Some(server) => reading::server(&now.cloud, server).await,
                None => Ok(None),
            }
        };
        let (copys, seen_server) = tokio::join!(volume, seen_server);
        let ((volume, object), seen_server) = (copys?, seen_server?);
        Ok(Counterpart {
            id: copy.map(|id| id.to_string()).unwrap_or_default(),
            meant: copy_is_meant(cx, server),
            volume: volume.as_ref().map(reading::seen_volume),
            server: seen_server.as_ref().map(reading::seen_server),
            server_id: copy_server.map(|id| id.to_string()).unwrap_or_default(),
            object,
        })
    }

    /// Takes the volume out of its group; the next look reads back that it is out.
    async fn take_out_of_group(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &VolumeId,
        group: String,
    ) -> Result<Progress, StepError> {
        let asked = format!("it was taken out of volume group {group}");
        if !cx.memo.facts.contains(&asked) {
            let intent = cx.intend_to_delete(id.as_str()).await?;
            let verdict = Verdict::First(Cure::TakeOutOfGroup {
                group: group.clone(),
            });
            if self.judge_anew(cx, source, id).await?.as_ref() != Some(&verdict) {
                return Ok(self.clouds.changed_meanwhile(cx));
            }
            let volume = [id.clone()];
            intent
                .on(source)
                .volume()
                .remove_from_group(&VolumeGroupId::new(group.clone()), &volume)
                .await
                .map_err(|error| refused(error, |error| format!(
                    "kept: it is in volume group {group} and could not be taken out ({error}); take it out with 'cinder group-update {group} --remove-volumes {id}', then run cleanup again"
                )))?;
            cx.fact(asked);
        }
        Ok(self
            .clouds
            .look_again(format!("Cinder to take it out of volume group {group}")))
    }

    /// Deletes Cinder's records of attachments whose server is gone; the next look reads back that the volume is free.
    /// Cinder refuses (409) while Nova still knows the attachment.
    async fn delete_stale_attachments(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &VolumeId,
        attachments: Vec<String>,
    ) -> Result<Progress, StepError> {
        let intent = cx.intend_to_delete(id.as_str()).await?;
        let verdict = Verdict::First(Cure::DeleteStaleAttachments {
            attachments: attachments.clone(),
        });
        if self.judge_anew(cx, source, id).await?.as_ref() != Some(&verdict) {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        for attachment in attachments {
            let answer = intent
                .on(source)
                .volume()
                .delete_attachment(&AttachmentId::new(attachment.clone()))
                .await;
            found(answer)?;
            cx.fact(format!(
                "attachment {attachment} was deleted: its server is gone"
            ));
        }
        Ok(self.clouds.look_again("Cinder to free it"))
    }

    /// 404: success for what we asked to delete and in a manual cleanup; else a note that it was gone before. Where this
    /// try did not ask for it, the absence is believed only of a cloud that proved to be the right one.
    async fn source_volume_is_gone(
        &self,
        cx: &StepContext<'_>,
        source: &Cloud,
        id: &VolumeId,
    ) -> Result<Progress, StepError> {
        if !accepted_in_this_try(cx) {
            self.clouds
                .believe_that_source_lacks(cx, source, Absent::Volume, id.as_str())
                .await?;
        }
        if cx.memo.intents > 0 || cx.operation.kind == OperationKind::Cleanup {
            return Ok(Progress::done());
        }
        Err(StepError::last(Code::AlreadyGone, "Volume not found (404)"))
    }
}

impl SiteClouds<'_> {
    /// A volume whose server could not be deleted, or is not going to be, will not become free by waiting.
    pub(super) async fn wait_for_detach(
        &self,
        cx: &StepContext<'_>,
        cloud: &Cloud,
        server: Option<&ServerId>,
        on: String,
    ) -> Result<Progress, StepError> {
        let stays = match (cx.blocked_by, server) {
            (Some(why), _) => Some(why.to_owned()),
            // The line of its server comes before this one in every operation that deletes the server.
            (None, Some(server)) if cx.step.after.is_empty() => {
                let there = reading::server(cloud, server).await?;
                there.filter(|server| !reading::is_being_deleted(server)).map(|server| {
                    format!(
                        "server {} is still there and nothing here deletes it; clean it up too, in one cleanup with the volume or before it",
                        server.id
                    )
                })
            }
            _ => None,
        };
        match stays {
            None => Ok(self.look_again(on)),
            Some(why) => Err(StepError::last(
                Code::Kept,
                format!("kept: its server was not deleted ({why})"),
            )),
        }
    }
}

/// Cinder forgets the volume; its bytes live on. Members may where the contract's policy is in place.
async fn unmanage_source(
    cx: &mut StepContext<'_>,
    open: &Cloud,
    id: &VolumeId,
    why: &str,
) -> Result<(), StepError> {
    open.volume().unmanage(id).await.map_err(|error| {
        refused(error, |error| {
            format!(
                "kept: it must not be deleted, since {why}, and Cinder does not let go of it ({error}); an administrator can with 'openstack volume delete --remote {id}'"
            )
        })
    })?;
    cx.fact(format!("unmanaged instead of deleted: {why}"));
    Ok(())
}

/// The server that a source volume belongs to, by the plan.
fn server_of(cx: &StepContext<'_>, id: &VolumeId) -> Result<ServerId, StepError> {
    let (member, _) = cx
        .plan()
        .volume(id.as_str())
        .ok_or_else(|| not_in_plan("volume", id.as_str()))?;
    Ok(member.server_id.clone())
}

/// All that leads an array to the object behind a volume, as Cinder tells it now.
fn cinder_volume(volume: &Volume) -> CinderVolume {
    CinderVolume {
        id: volume.id.clone(),
        name_id: volume.name_id.clone(),
        host: volume.host.clone(),
        metadata: volume.metadata.clone(),
    }
}

/// The facts behind a deletion, each once in the record. `apart` is its object, where that and the copy's are distinct.
fn note_what_made_it_safe(
    cx: &mut StepContext<'_>,
    volume: &Volume,
    server: &OwnServer,
    apart: Option<&BackendObject>,
    twin: &Counterpart,
) {
    cx.fact(format!(
        "it was {} right before the deletion",
        volume.status.as_str()
    ));
    let copys_server = twin.server.as_ref();
    cx.fact(format!(
        "its copy {} was in-use by server {}, which was {}, right before the deletion",
        twin.id,
        twin.server_id,
        copys_server.map_or("gone", |server| &server.status)
    ));
    if let (Some(own), Some(other)) = (apart, twin.object.as_ref()) {
        cx.fact(format!(
            "its object {} on {} is not the copy's, {} on {}",
            own.serial, own.scope, other.serial, other.scope
        ));
    }
    if let OwnServer::Gone {
        host: HostState::Up { host },
    } = server
    {
        cx.fact(format!("compute host {host} of its server was up"));
    }
}

/// Cinder took the deletion and the volume is here again: its backend was busy, or failed.
pub(super) fn came_back(volume: &Volume) -> StepError {
    match &volume.status {
        VolumeStatus::ErrorDeleting => StepError::last(
            Code::Broken,
            "Cinder failed to delete it (error_deleting): an administrator can see why and use 'openstack volume delete --force'",
        ),
        status => StepError::came_back(format!(
            "Cinder accepted the deletion and the volume is {} again",
            status.as_str()
        )),
    }
}
