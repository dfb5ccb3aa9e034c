//! Volumes of arrays that promote in place: who may write to the source's side, and who may not.

use protector_core::{
    fault::{Code, StepFailure},
    guard::{OtherSide, must_not_be_fenced, must_stay_fenced},
    id::{OperationId, ServerId, VolumeId},
    operation::OperationKind,
    site::SiteScope,
    storage::{ArrayProgress, StorageErrorKind},
};
use protector_openstack::volume::VolumeFilter;

use super::{
    arrays::{Arrays, done_or_not_yet, not_yet, promoters, volume_of},
    fence::Fence,
    lost_target::{in_time, note_silence},
    mark,
    scope::{Absent, Eyes, believe_absence, target_networks},
    site_clouds::SiteClouds,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan, storage_stop},
};

/// Steps that keep the source from writing to its volumes, or let it.
pub(super) struct FencedVolumes<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
}

/// What was read of the other side of a mirror; what did not answer is as if it had nothing.
struct ReadOtherSide {
    runs_on: Option<SiteScope>,
    promoted_by: Option<OperationId>,
    imported_as: Option<VolumeId>,
}

impl FencedVolumes<'_> {
    /// Keeps everybody from writing to the source's volume: in a move, since its replica takes its place; in a fence, since the
    /// array, which was lost, does not know that it has.
    pub(super) async fn fence_volume(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        match cx.operation.kind {
            OperationKind::Fence => self.fence_what_has_returned(cx, volume).await,
            _ => self.fence_for_a_move(cx, volume).await,
        }
    }

    async fn fence_for_a_move(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        let (replication, volumes) = (cx.plan().replication(), [volume_of(cx, volume)?]);
        let intent = cx.intend().await?;
        if let Some(not_yet) = self.clouds.any_may_write(cx).await? {
            return Ok(not_yet);
        }
        let array = self.arrays.open_for(&intent);
        let call = array.fence(&replication, &volumes, mark::maker(cx.operation));
        let answer = intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(done_or_not_yet(answer))
    }

    /// What the returned site alone has stays there, until a cleanup makes it a replica.
    async fn fence_what_has_returned(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        if let Some(why) = cx.blocked_by {
            let why = format!("not fenced: its server is not certainly stopped ({why})");
            return Err(StepError::last(Code::Kept, why));
        }
        self.refuse_to_fence(cx, volume).await?;
        let intent = cx.intend_to_fence(volume.as_str()).await?;
        self.refuse_to_fence(cx, volume).await?;
        let (replication, volumes) = (cx.plan().replication(), [volume_of(cx, volume)?]);
        let array = self.arrays.open_for(&intent);
        let call = array.fence(&replication, &volumes, mark::maker(cx.operation));
        match intent.carry_out(call).await?.map_err(storage_stop)? {
            ArrayProgress::Done(()) => {
                cx.fact("nobody can write to it any more; what was written there and never came over stays until a cleanup makes it a replica, and is thrown away then");
                Ok(Progress::done())
            }
            ArrayProgress::Pending(pending) => Ok(not_yet(pending)),
        }
    }

    async fn refuse_to_fence(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<(), StepError> {
        let server = server_of(cx, volume)?;
        let fence = Fence {
            clouds: self.clouds,
        };
        fence.refuse_while_it_may_run(cx, &server).await?;
        let group = cx.group_now().await?;
        let makers = promoters(cx.operation);
        let other = ReadOtherSide {
            runs_on: group.map(|group| group.current().clone()),
            promoted_by: self
                .promoted_by(cx, volume, &makers, Silence::Waits)
                .await?,
            imported_as: None,
        };
        let plan = cx.plan();
        other.refuse(must_not_be_fenced, &plan.source, &plan.target)
    }

    /// Lets the source write to its volume again, once nothing is promoted of it.
    pub(super) async fn unfence_volume(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        if cx.memo.intents == 0 {
            return Ok(Progress::done());
        }
        if let Some(why) = cx.blocked_by {
            let why = format!("kept from writing: its promotion was not taken back ({why})");
            return Err(StepError::last(Code::Kept, why));
        }
        let (replication, volumes) = (cx.plan().replication(), [volume_of(cx, volume)?]);
        let intent = cx.intend_undo().await?;
        let array = self.arrays.open_for(&intent);
        let call = array.unfence(&replication, &volumes, mark::maker(cx.operation));
        let answer = intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(done_or_not_yet(answer))
    }

    /// The same after a move whose target is lost, as who asked has said: what does not answer there counts as nothing, and what
    /// answers has a say.
    pub(super) async fn unfence_for_the_lost_target(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        self.refuse_to_unfence(cx, volume).await?;
        let (replication, volumes) = (cx.plan().replication(), [volume_of(cx, volume)?]);
        let intent = cx.intend().await?;
        self.refuse_to_unfence(cx, volume).await?;
        let makers = promoters(cx.operation);
        let maker = makers.first().unwrap_or(&cx.operation.id);
        let array = self.arrays.open_for(&intent);
        let call = array.unfence(&replication, &volumes, maker);
        let answer = intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(done_or_not_yet(answer))
    }

    async fn refuse_to_unfence(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<(), StepError> {
        let group = cx.group_now().await?;
        let makers = promoters(cx.operation);
        let other = ReadOtherSide {
            runs_on: group.map(|group| group.current().clone()),
            promoted_by: self
                .promoted_by(cx, volume, &makers, Silence::IsTheLoss)
                .await?,
            imported_as: self.imported_as(cx, volume, &makers).await?,
        };
        let plan = cx.plan();
        other.refuse(must_stay_fenced, &plan.source, &plan.target)
    }

    /// The first of `makers` that has promoted the volume on the target's array, as that says.
    async fn promoted_by(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
        makers: &[OperationId],
        silence: Silence,
    ) -> Result<Option<OperationId>, StepError> {
        let (replication, object) = (cx.plan().replication(), volume_of(cx, volume)?);
        if silence == Silence::IsTheLoss && !self.arrays.has_the_target(&replication) {
            let plan = cx.plan();
            let fact = format!(
                "{} is not among the arrays of {}, so it was not asked what is promoted there; that {} is lost was said by who asked",
                replication.target_array, plan.source.site, plan.target.site
            );
            cx.fact(fact);
            return Ok(None);
        }
        let asked = self.arrays.promoted_by(&replication, &object, makers);
        let answer = match silence {
            Silence::Waits => asked.await,
            Silence::IsTheLoss => match in_time(asked).await {
                Ok(answer) => answer,
                Err(too_long) => {
                    note_silence(cx, &too_long.to_string());
                    return Ok(None);
                }
            },
        };
        match answer {
            Err(error)
                if error.kind == StorageErrorKind::Unavailable && silence == Silence::IsTheLoss =>
            {
                note_silence(cx, &error.to_string());
                Ok(None)
            }
            answer => answer.map_err(storage_stop),
        }
    }

    /// What one of `makers` has imported of the volume into the target's Cinder, as that shows it now.
    async fn imported_as(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
        makers: &[OperationId],
    ) -> Result<Option<VolumeId>, StepError> {
        match in_time(self.import_told(cx, volume, makers)).await {
            Ok(answer) => answer,
            Err(too_long) => {
                note_silence(cx, &too_long.to_string());
                Ok(None)
            }
        }
    }

    async fn import_told(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
        makers: &[OperationId],
    ) -> Result<Option<VolumeId>, StepError> {
        let target = match self.clouds.target(cx).await {
            Err(StepError::Fault(StepFailure::Passing { why, .. })) => {
                note_silence(cx, &why);
                return Ok(None);
            }
            answer => answer?,
        };
        let copies = VolumeFilter::marked(mark::SOURCE, volume.as_str());
        let copies = match target.volume().volumes(&copies).await {
            Ok(copies) => copies,
            Err(error) if error.may_be_of_a_lost_cloud() => {
                note_silence(cx, &error.to_string());
                return Ok(None);
            }
            Err(error) => return Err(stop(error)),
        };
        let is_theirs = |maker: &OperationId| {
            let mut copies = copies.iter();
            copies
                .find(|copy| mark::is_ours(&copy.metadata, maker, volume.as_str()))
                .map(|copy| copy.id.clone())
        };
        if let Some(found) = makers.iter().find_map(is_theirs) {
            return Ok(Some(found));
        }
        // That none is listed counts as little as a 404: where it answers, it must be the right cloud.
        let plan = cx.plan();
        let (networks, project) = (target_networks(plan), &plan.target.project_id);
        believe_absence(&target, Absent::Volume, Eyes::Tenant, project, &networks).await?;
        Ok(None)
    }
}

/// What it means that the target's array does not answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// That it is lost, as who asked has said.
    IsTheLoss,
    /// Nothing: it is asked again.
    Waits,
}

fn server_of(cx: &StepContext<'_>, volume: &VolumeId) -> Result<ServerId, StepError> {
    let known = cx.plan().volume(volume.as_str());
    known
        .map(|(member, _)| member.server_id.clone())
        .ok_or_else(|| not_in_plan("volume", volume.as_str()))
}

impl ReadOtherSide {
    fn refuse(
        &self,
        guard: fn(&OtherSide<'_>) -> Option<String>,
        source: &SiteScope,
        target: &SiteScope,
    ) -> Result<(), StepError> {
        let other = OtherSide {
            source: &source.site,
            target: &target.site,
            runs_on: self.runs_on.as_ref().map(|scope| &scope.site),
            promoted_by: self.promoted_by.as_ref(),
            imported_as: self.imported_as.as_ref(),
        };
        match guard(&other) {
            Some(why) => Err(StepError::last(Code::Kept, why)),
            None => Ok(()),
        }
    }
}
