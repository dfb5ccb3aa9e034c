//! The final replication, and the promotion of what it brought.

use protector_core::{
    fault::Code,
    id::{NetworkId, RecoveryPointId, VolumeId},
    journal::Effect,
    operation::MapKind,
    storage::Replication,
};

use super::{
    CloudActions, mark,
    scope::{Absent, Eyes, believe_absence},
    storage_stop,
};
use crate::action::{Cx, Progress, Stop};

impl CloudActions {
    pub(super) async fn replicate_group(&self, cx: &mut Cx<'_>) -> Result<Progress, Stop> {
        let plan = cx.plan();
        let volumes: Vec<VolumeId> = plan
            .volumes()
            .map(|(_, volume)| volume.id.clone())
            .collect();
        let group_id = plan.group_id.clone();
        let replication = Replication::of(plan);
        cx.intend().await?;
        let point = self
            .storage
            .replicate(&replication, &volumes, &cx.operation.id)
            .await
            .map_err(storage_stop)?;
        cx.fact(format!("recovery point {} of {}", point.id, point.taken_at));
        Ok(Progress::Done(vec![
            Effect::Mapped {
                kind: MapKind::RecoveryPoint,
                source: group_id.to_string(),
                target: point.id.to_string(),
            },
            Effect::GroupReplicated {
                group_id,
                at: point.taken_at,
            },
        ]))
    }

    pub(super) async fn promote_volume(
        &self,
        cx: &mut Cx<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, Stop> {
        let group = cx.plan().group_id.to_string();
        let point = cx
            .mapped(MapKind::RecoveryPoint, &group)
            .map(RecoveryPointId::new)
            .ok_or_else(|| Stop::last(Code::Internal, "no recovery point is recorded"))?;
        let replication = Replication::of(cx.plan());
        cx.intend().await?;
        let promoted = self
            .storage
            .promote(&replication, &point, volume, &cx.operation.id)
            .await
            .map_err(storage_stop)?;
        Ok(Progress::Done(vec![Effect::Mapped {
            kind: MapKind::Promoted,
            source: volume.to_string(),
            target: promoted.source_name,
        }]))
    }

    /// Takes a promotion back. The source volume is not touched: promotion made a copy of its own.
    pub(super) async fn discard_promoted(
        &self,
        cx: &mut Cx<'_>,
        volume: &VolumeId,
    ) -> Result<Progress, Stop> {
        if cx.memo.intents == 0 {
            return Ok(Progress::done());
        }
        if let Some(why) = cx.blocked_by {
            let why = format!("kept: its import into Cinder could not be taken back ({why})");
            return Err(Stop::last(Code::Kept, why));
        }
        let managed_as = cx
            .mapped(MapKind::Volume, volume.as_str())
            .map(VolumeId::new);
        self.refuse_while_imported(cx, managed_as.as_ref()).await?;
        cx.intend_undo().await?;
        self.storage
            .discard_promoted(
                &Replication::of(cx.plan()),
                volume,
                mark::maker(cx.operation),
                managed_as.as_ref(),
            )
            .await
            .map_err(storage_stop)?;
        Ok(Progress::Done(vec![Effect::Unmapped {
            kind: MapKind::Promoted,
            source: volume.to_string(),
        }]))
    }

    /// Bytes that the target's Cinder still knows as a volume are not pulled away from under it. Read as an administrator,
    /// so that a volume that changed hands is seen too, and a 404 is believed only of the right cloud.
    async fn refuse_while_imported(
        &self,
        cx: &Cx<'_>,
        managed_as: Option<&VolumeId>,
    ) -> Result<(), Stop> {
        let Some(id) = managed_as else {
            return Ok(());
        };
        let target = self.target_admin(cx).await?;
        match super::reading::volume(&target, id).await? {
            None => {
                let plan = cx.plan();
                let network = plan.mappings.networks.values().next().map(NetworkId::new);
                let project = &plan.target.project_id;
                believe_absence(
                    &target,
                    Absent::Volume,
                    Eyes::Admin,
                    project,
                    network.as_ref(),
                )
                .await
            }
            Some(volume) => Err(Stop::last(
                Code::Kept,
                format!(
                    "kept: the target's Cinder still has it as volume {id} (status {})",
                    volume.status.as_str()
                ),
            )),
        }
    }
}
