//! A volume that the group left behind on the source: deleted once nothing needs it any more.

use protector_core::{
    fault::Code,
    guard::{SourceVolume, Twin, Verdict, verdict_source_volume},
    id::{ServerId, VolumeId},
    operation::{MapKind, OperationKind},
};
use protector_openstack::{status::VolumeStatus, volume::Volume};

use super::{
    CloudActions, not_in_plan, reading, source_server::accepted_in_this_try, storage_stop,
};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::found,
};

/// What the record says of a volume that stays because the configuration says so.
pub const RETAINED: &str = "retained by configuration";

impl CloudActions {
    pub(super) async fn delete_source_volume(
        &self,
        cx: &mut Cx<'_>,
        id: &VolumeId,
    ) -> Result<Progress, Stop> {
        if cx.plan().retain_source_volumes && cx.operation.kind != OperationKind::Cleanup {
            return Ok(Progress::Skipped {
                why: RETAINED.to_owned(),
            });
        }
        let source = self.source(cx).await?;
        let Some(volume) = reading::volume(&source, id).await? else {
            return gone(cx);
        };
        if volume.status == VolumeStatus::Deleting {
            return Ok(self.look_again("volume status deleting"));
        }
        if accepted_in_this_try(cx) {
            return Err(came_back(&volume));
        }
        cx.memo.observed = Some(volume.status.as_str().to_owned());
        match self.judge_source_volume(cx, id, &volume).await? {
            Verdict::Delete => {}
            Verdict::Wait { on } => return self.wait_for_detach(cx, on),
            Verdict::Keep { why } => return Err(Stop::last(Code::Kept, why)),
        }
        cx.intend().await?;
        found(source.volume().delete_volume(id).await)?;
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.look_again("Cinder to delete it"))
    }

    async fn judge_source_volume(
        &self,
        cx: &mut Cx<'_>,
        id: &VolumeId,
        volume: &Volume,
    ) -> Result<Verdict, Stop> {
        let plan = cx.plan();
        let (member, _) = plan
            .volume(id.as_str())
            .ok_or_else(|| not_in_plan("volume", id.as_str()))?;
        let object = self
            .storage
            .identity(&plan.source_array, id)
            .await
            .map_err(storage_stop)?;
        let source = SourceVolume {
            project_id: plan.source.project_id.as_str(),
            server_id: member.server_id.as_str(),
            object: object.as_ref(),
        };
        let twin = self.twin(cx, id, &member.server_id).await?;
        let verdict = verdict_source_volume(&source, &reading::seen_volume(volume), &twin);
        if verdict == Verdict::Delete {
            cx.fact(format!(
                "its copy was in-use by server {}, which was ACTIVE, right before the deletion",
                twin.server_id
            ));
        }
        Ok(verdict)
    }

    async fn twin(&self, cx: &Cx<'_>, id: &VolumeId, server: &ServerId) -> Result<Twin, Stop> {
        let target = self.target(cx).await?;
        let copy = cx.mapped(MapKind::Volume, id.as_str()).map(VolumeId::new);
        let copy_server = cx
            .mapped(MapKind::Server, server.as_str())
            .map(ServerId::new);
        let volume = match &copy {
            Some(copy) => reading::volume(&target, copy).await?,
            None => None,
        };
        let seen_server = match &copy_server {
            Some(server) => reading::server(&target, server).await?,
            None => None,
        };
        let object = match &copy {
            Some(copy) => self
                .storage
                .identity(&cx.plan().target_array, copy)
                .await
                .map_err(storage_stop)?,
            None => None,
        };
        Ok(Twin {
            volume: volume.as_ref().map(reading::seen_volume),
            server: seen_server.as_ref().map(reading::seen_server),
            server_id: copy_server.map(|id| id.to_string()).unwrap_or_default(),
            object,
        })
    }

    /// A volume whose server could not be deleted will not become free by waiting.
    pub(super) fn wait_for_detach(&self, cx: &Cx<'_>, on: String) -> Result<Progress, Stop> {
        match cx.blocked_by {
            None => Ok(self.look_again(on)),
            Some(why) => Err(Stop::last(
                Code::Kept,
                format!("kept: its server was not deleted ({why})"),
            )),
        }
    }
}

/// Cinder took the deletion and the volume is here again: its backend was busy, or failed.
pub(super) fn came_back(volume: &Volume) -> Stop {
    match &volume.status {
        VolumeStatus::ErrorDeleting => Stop::last(
            Code::Broken,
            "Cinder failed to delete it (error_deleting): an administrator can see why and use 'openstack volume delete --force'",
        ),
        status => Stop::came_back(format!(
            "Cinder accepted the deletion and the volume is {} again",
            status.as_str()
        )),
    }
}

/// 404: success for what we asked to delete and in a manual cleanup; else a note that it was gone before.
pub(super) fn gone(cx: &Cx<'_>) -> Result<Progress, Stop> {
    if cx.memo.intents > 0 || cx.operation.kind == OperationKind::Cleanup {
        return Ok(Progress::done());
    }
    Err(Stop::last(Code::AlreadyGone, "Volume not found (404)"))
}
