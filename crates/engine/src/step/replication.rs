//! Replication, the promotion or cloning of what it brought, and the way back.

use chrono::{DateTime, SecondsFormat, Utc};
use protector_core::{
    fault::Code,
    id::{OperationId, RecoveryPointId, VolumeId},
    journal::Effect,
    operation::{MapKind, Mapped, Operation, OperationKind},
    plan::Plan,
    storage::{
        ArrayProgress, CinderVolume, PromotedVolume, PromotionMode, Replication, StorageError,
        StorageErrorKind,
    },
};

use super::{
    adopted,
    arrays::{Arrays, done_or_not_yet, not_yet, volume_of},
    mark,
    scope::{Absent, Eyes, believe_absence, target_networks},
    site_clouds::SiteClouds,
    source_volume::{RETAINED, is_retained},
    written_since::WrittenSince,
};
use crate::{
    action::{Progress, StepContext},
    intent::Intent,
    step_error::{StepError, storage_stop},
};

/// Steps about what the arrays keep for a group.
pub(super) struct ReplicatedVolumes<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
}

impl ReplicatedVolumes<'_> {
    /// Nothing is taken back of it: what the arrays replicate they go on replicating.
    pub(super) async fn protect_group(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let (replication, volumes) = (cx.plan().replication(), cx.plan().volumes_in_cinder());
        let intent = cx.intend().await?;
        let array = self.arrays.open_for(&intent);
        let call = array.protect(&replication, &volumes);
        let answer = intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(done_or_not_yet(answer))
    }

    pub(super) async fn replicate_group(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        if let Some(not_yet) = self.clouds.any_may_write(cx).await? {
            return Ok(not_yet);
        }
        let plan = cx.plan();
        let volumes = plan.volumes_in_cinder();
        let group_id = plan.group_id.clone();
        let replication = plan.replication();
        let intent = cx.intend().await?;
        let array = self.arrays.open_for(&intent);
        let protected = intent
            .carry_out(array.protect(&replication, &volumes))
            .await?
            .map_err(storage_stop)?;
        if let ArrayProgress::Pending(pending) = protected {
            return Ok(not_yet(pending));
        }
        let call = array.replicate(&replication, &volumes, &cx.operation.id);
        let point = match intent.carry_out(call).await?.map_err(storage_stop)? {
            ArrayProgress::Done(point) => point,
            ArrayProgress::Pending(pending) => return Ok(not_yet(pending)),
        };
        cx.fact(format!("recovery point {} of {}", point.id, point.taken_at));
        Ok(Progress::Done(vec![
            Mapped::RecoveryPoint {
                group: group_id.clone(),
                point: point.id.clone(),
            }
            .into(),
            Effect::GroupReplicated {
                group_id,
                at: point.taken_at,
            },
        ]))
    }

    pub(super) async fn promote_volume(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        if !cx.plan().interrupted.is_empty() {
            let target = self.clouds.target(cx).await?;
            if self.clouds.is_imported(&target, cx, volume).await? {
                cx.fact("the interrupted operation has promoted and imported it");
                return Ok(Progress::done());
            }
        }
        let group = cx.plan().group_id.to_string();
        let point = cx
            .mapped(MapKind::RecoveryPoint, &group)
            .map(RecoveryPointId::new)
            .ok_or_else(|| StepError::last(Code::Internal, "no recovery point is recorded"))?;
        let replication = cx.plan().replication();
        let volumes = [volume_of(cx, volume)?];
        let mode = mode(cx.operation);
        let intent = cx.intend().await?;
        let array = self.arrays.open_for(&intent);
        let maker = mark::maker(cx.operation);
        let call = array.promote(&replication, &point, &volumes, mode, maker);
        let answer = intent.carry_out(call).await?;
        let promoted = match answer.map_err(|error| promotion_stop(cx, volume, &error))? {
            ArrayProgress::Done(promoted) => the_one(promoted, volume)?,
            ArrayProgress::Pending(pending) => return Ok(not_yet(pending)),
        };
        self.discard_unused(cx, &intent, &replication, &volumes[0])
            .await?;
        Ok(Progress::Done(vec![
            Mapped::Promoted {
                volume: volume.clone(),
                object: promoted.source_name,
            }
            .into(),
        ]))
    }

    /// Removes what an interrupted operation has promoted of a volume and not imported: nobody knows of it but its record,
    /// and nobody would ever remove it. Where that fails, the record says so; the volume is recovered all the same.
    async fn discard_unused(
        &self,
        cx: &mut StepContext<'_>,
        intent: &Intent,
        replication: &Replication,
        volume: &CinderVolume,
    ) -> Result<(), StepError> {
        let array = self.arrays.open_for(intent);
        for interrupted in cx.plan().interrupted.clone() {
            if let Err(stop) = self
                .refuse_while_imported_by(cx, &interrupted, &volume.id)
                .await
            {
                cx.fact(format!(
                    "what operation {interrupted} has promoted of it was left on the array: {stop}"
                ));
                continue;
            }
            let call = array.discard_promoted(replication, volume, &interrupted, None);
            let left = match intent.carry_out(call).await? {
                Ok(ArrayProgress::Done(())) => continue,
                Ok(ArrayProgress::Pending(pending)) => pending.to_string(),
                Err(error) => error.to_string(),
            };
            cx.fact(format!(
                "what operation {interrupted} has promoted of it may still be on the array: {left}"
            ));
        }
        Ok(())
    }

    /// What the interrupted operation has promoted is somebody's volume by now if its engine, which may live, has imported
    /// it since this line has looked. That no volume is listed counts only in a cloud that proved to be the right one.
    async fn refuse_while_imported_by(
        &self,
        cx: &StepContext<'_>,
        interrupted: &OperationId,
        volume: &VolumeId,
    ) -> Result<(), StepError> {
        let target = self.clouds.target(cx).await?;
        if adopted::is_imported_by(&target, interrupted, volume).await? {
            let why = "the target's Cinder has it as a volume by now";
            return Err(StepError::last(Code::Kept, why));
        }
        let (networks, project) = (target_networks(cx.plan()), &cx.plan().target.project_id);
        believe_absence(&target, Absent::Volume, Eyes::Tenant, project, &networks).await
    }

    /// Takes a promotion back. The source volume is not touched: promotion made a copy of its own.
    pub(super) async fn discard_promoted(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        if cx.memo.intents == 0 {
            return Ok(Progress::done());
        }
        self.let_go_by_cinder(cx, volume).await?;
        WrittenSince::with(self.clouds, self.arrays)
            .refuse_to_discard_copy_of(cx, volume)
            .await?;
        let intent = cx.intend_undo().await?;
        let managed_as = self.let_go_by_cinder(cx, volume).await?;
        WrittenSince::with(self.clouds, self.arrays)
            .refuse_to_discard_copy_of(cx, volume)
            .await?;
        let replication = cx.plan().replication();
        let maker = mark::maker(cx.operation);
        let array = self.arrays.open_for(&intent);
        let object = volume_of(cx, volume)?;
        let call = array.discard_promoted(&replication, &object, maker, managed_as.as_ref());
        match intent.carry_out(call).await?.map_err(storage_stop)? {
            ArrayProgress::Done(()) => Ok(forget_object(volume)),
            ArrayProgress::Pending(pending) => Ok(not_yet(pending)),
        }
    }

    /// The recovery point that was asked for, or the latest, which holds the group's data on the target's array. A test failover takes
    /// none itself:
    /// it shows what a real one would find there if the source were gone.
    pub(super) async fn choose_recovery_point(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let plan = cx.plan();
        let points = self
            .arrays
            .recovery_points(&plan.replication(), &plan.volumes_in_cinder())
            .await
            .map_err(storage_stop)?;
        let Some(chosen) = plan.chosen_of(points) else {
            let (group, array) = (&plan.group_name, &plan.target_array);
            let what_now = match cx.operation.is_unplanned() {
                true => format!(
                    "without {} nothing of it can be brought up on {}; when that is back, {}",
                    plan.source.site,
                    plan.target.site,
                    take_one(group)
                ),
                false => take_one(group),
            };
            let why = match &plan.recovery_point {
                Some(wanted) => format!(
                    "recovery point {wanted} of protection group {group} is not on {array} any more: 'openstack dr recovery-point list {group}' shows those that are"
                ),
                None => format!(
                    "no recovery point of protection group {group} is on {array} yet: {what_now}"
                ),
            };
            return Err(StepError::last(Code::Missing, why));
        };
        let group = plan.group_id.clone();
        cx.fact(format!(
            "recovery point {} of {}",
            chosen.id, chosen.taken_at
        ));
        for fact in settings_told(cx.plan(), chosen.taken_at) {
            cx.fact(fact);
        }
        Ok(Progress::Done(vec![
            Mapped::RecoveryPoint {
                group: group.clone(),
                point: chosen.id.clone(),
            }
            .into(),
            Mapped::RecoveryPointTime {
                group,
                time: chosen.taken_at,
            }
            .into(),
        ]))
    }

    pub(super) async fn clone_volume(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        let group = cx.plan().group_id.to_string();
        let point = cx
            .mapped(MapKind::RecoveryPoint, &group)
            .map(RecoveryPointId::new)
            .ok_or_else(|| StepError::last(Code::Internal, "no recovery point is recorded"))?;
        let replication = cx.plan().replication();
        let intent = cx.intend().await?;
        let array = self.arrays.open_for(&intent);
        let object = volume_of(cx, volume)?;
        let call = array.clone_point(&replication, &point, &object, &cx.operation.id);
        let cloned = match intent
            .carry_out(call)
            .await?
            .map_err(|error| clone_stop(error, &cx.plan().group_name))?
        {
            ArrayProgress::Done(cloned) => cloned,
            ArrayProgress::Pending(pending) => return Ok(not_yet(pending)),
        };
        Ok(Progress::Done(vec![
            Mapped::Promoted {
                volume: volume.clone(),
                object: cloned.source_name,
            }
            .into(),
        ]))
    }

    /// Takes a clone back. Neither the source nor the recovery point is touched.
    pub(super) async fn discard_clone(
        &self,
        cx: &mut StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, StepError> {
        if cx.memo.intents == 0 {
            return Ok(Progress::done());
        }
        self.let_go_by_cinder(cx, volume).await?;
        let intent = cx.intend_undo().await?;
        let managed_as = self.let_go_by_cinder(cx, volume).await?;
        let replication = cx.plan().replication();
        let maker = mark::maker(cx.operation);
        let array = self.arrays.open_for(&intent);
        let object = volume_of(cx, volume)?;
        let call = array.discard_clone(&replication, &object, maker, managed_as.as_ref());
        match intent.carry_out(call).await?.map_err(storage_stop)? {
            ArrayProgress::Done(()) => Ok(forget_object(volume)),
            ArrayProgress::Pending(pending) => Ok(not_yet(pending)),
        }
    }

    /// Nothing will be taken back any more: the arrays need not keep what only this operation needed.
    /// While volumes are left on the source, the point stays: a cleanup asks what was written to them since.
    pub(super) async fn release_replicas(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let retained = is_retained(cx).then_some(RETAINED);
        if let Some(why) = cx.blocked_by.or(retained) {
            cx.fact(format!(
                "the recovery point stays, since it tells what is written to the source volumes that are left ({why})"
            ));
            return Ok(Progress::done());
        }
        let intent = cx.intend().await?;
        let replication = cx.plan().replication();
        let array = self.arrays.open_for(&intent);
        let volumes = cx.plan().volumes_in_cinder();
        let call = array.forget(&replication, &volumes, mark::maker(cx.operation));
        intent.carry_out(call).await?.map_err(storage_stop)?;
        Ok(Progress::done())
    }

    /// The id under which the target's Cinder had the object, once it has certainly let go of it.
    async fn let_go_by_cinder(
        &self,
        cx: &StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<Option<VolumeId>, StepError> {
        if let Some(why) = cx.blocked_by {
            let why = format!("kept: its import into Cinder could not be taken back ({why})");
            return Err(StepError::last(Code::Kept, why));
        }
        let managed_as = cx
            .mapped(MapKind::Volume, volume.as_str())
            .map(VolumeId::new);
        self.refuse_while_imported(cx, managed_as.as_ref()).await?;
        Ok(managed_as)
    }

    /// Bytes that the target's Cinder still knows as a volume are not pulled away from under it. Read as an administrator,
    /// so that a volume that changed hands is seen too, and a 404 is believed only of the right cloud.
    async fn refuse_while_imported(
        &self,
        cx: &StepContext<'_>,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), StepError> {
        let Some(id) = managed_as else {
            return Ok(());
        };
        let target = self.clouds.target_admin(cx).await?;
        match super::reading::volume(&target, id).await? {
            None => {
                let plan = cx.plan();
                let networks = target_networks(plan);
                let project = &plan.target.project_id;
                believe_absence(&target, Absent::Volume, Eyes::Admin, project, &networks).await
            }
            Some(volume) => Err(StepError::last(
                Code::Kept,
                format!(
                    "kept: the target's Cinder still has it as volume {id} (status {})",
                    volume.status.as_str()
                ),
            )),
        }
    }
}

/// Whether the source is asked: a lost one is not, nor by who tries again what that failover could not recover.
fn mode(operation: &Operation) -> PromotionMode {
    match operation.is_unplanned() || operation.kind == OperationKind::Retry {
        true => PromotionMode::Forced,
        false => PromotionMode::Planned,
    }
}

/// What was promoted of `volume`.
fn the_one(promoted: Vec<PromotedVolume>, volume: &VolumeId) -> Result<PromotedVolume, StepError> {
    let found = promoted.into_iter().find(|made| made.volume == *volume);
    let missing = || format!("the array says nothing of volume {volume}, which it has promoted");
    found.ok_or_else(|| StepError::last(Code::Internal, missing()))
}

fn forget_object(volume: &VolumeId) -> Progress {
    Progress::Done(vec![Effect::Unmapped {
        kind: MapKind::Promoted,
        source: volume.to_string(),
    }])
}

/// Of which time the settings are with which members are built on what was written until `taken_at`, where the two differ.
fn settings_told(plan: &Plan, taken_at: DateTime<Utc>) -> Vec<String> {
    let stamp = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let before = plan.built_as_before().map(|(member, until)| {
        let (name, until) = (&member.name, stamp(until));
        match plan.built_as_until.get(&member.id) > Some(&taken_at) {
            true => format!("{name} is built as it was until {until}, when it was changed"),
            false => format!(
                "{name} is built as it was until {until}, though the recovery point is newer: it was made since this was asked for"
            ),
        }
    });
    let now = plan.members.iter().filter_map(|member| {
        let earlier = member.known_at(taken_at)?;
        Some(format!(
            "{} is built as it is now: it was changed at {}, after the recovery point",
            member.name,
            stamp(earlier.until)
        ))
    });
    before.chain(now).collect()
}

/// How a person makes a recovery point.
fn take_one(group: &str) -> String {
    format!("run 'openstack dr protection-group action {group} --action sync' first")
}

/// As [`storage_stop`], where no other try at the same point can end otherwise: a member of which the chosen point has nothing is
/// refused by each retry alike, and the record says what leads out.
fn promotion_stop(cx: &StepContext<'_>, volume: &VolumeId, error: &StorageError) -> StepError {
    let is_by_member = cx.operation.is_unplanned() || cx.operation.kind == OperationKind::Retry;
    let plan = cx.plan();
    match plan.volume(volume.as_str()) {
        Some((member, _)) if is_by_member && !error.kind.may_pass() => StepError::last(
            Code::Refused,
            format!(
                "{error}; a retry goes to the same recovery point: where that has nothing of {member}, a failback goes to its original on {}, and 'openstack dr member remove {} {member} --give-up' takes it out of the group",
                plan.source.site,
                plan.group_name,
                member = member.name
            ),
        ),
        _ => storage_stop(error.clone()),
    }
}

/// A point that lacks a volume is older than the volume's protection.
fn clone_stop(error: StorageError, group: &str) -> StepError {
    if error.kind != StorageErrorKind::Refused {
        return storage_stop(error);
    }
    StepError::last(
        Code::Refused,
        format!(
            "{error}; if the volume was protected after that point, {}",
            take_one(group)
        ),
    )
}
