//! Before a copy is discarded: its original is looked for, and by hand the array is asked what was written to the copy.
//! Before a volume of the source is deleted the array is asked what was written to that.

use std::sync::PoisonError;

use protector_core::{
    fault::{Code, StepFailure},
    guard::{
        Asked, CopyOfVolume, Left, Verdict, WrittenCopy, WrittenOriginal,
        its_newer_bytes_are_nowhere_else, original_is_gone, written_after_its_replication,
    },
    id::{ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    operation::{MapKind, OperationKind},
    storage::Written,
};
use protector_openstack::volume::Volume;

use super::{
    adopted::is_imported_by,
    arrays::{Arrays, volume_of},
    mark, reading,
    site_clouds::SiteClouds,
    source_server::{how_it_was_left, who_asked},
};
use crate::{
    action::StepContext,
    step_error::{StepError, storage_stop},
};

/// What was written to volumes since a move: read before their bytes are discarded.
pub(super) struct WrittenSince<'a> {
    clouds: SiteClouds<'a>,
    arrays: &'a Arrays,
}

impl<'a> WrittenSince<'a> {
    pub(super) fn with(clouds: SiteClouds<'a>, arrays: &'a Arrays) -> Self {
        Self { clouds, arrays }
    }
}

impl WrittenSince<'_> {
    /// Keeps the copy of a server for what only its volumes may have.
    pub(super) async fn refuse_to_discard_copies_of(
        &self,
        cx: &StepContext<'_>,
        server: &ServerId,
    ) -> Result<(), StepError> {
        let Some(member) = cx.plan().member_of_server(server.as_str()) else {
            return Ok(());
        };
        for volume in &member.volumes {
            // By hand, so that it can still be adopted; what an operation has just built, it does not leave running.
            if who_asked(cx, server) == Asked::ByHand {
                self.refuse_to_discard_the_last(cx, member, volume).await?;
            }
            self.refuse_to_discard_writes(cx, member, volume).await?;
        }
        Ok(())
    }

    /// Keeps the copy of one volume for what only that may have: its original is gone, or it was written to.
    pub(super) async fn refuse_to_discard_copy_of(
        &self,
        cx: &StepContext<'_>,
        volume: &VolumeId,
    ) -> Result<(), StepError> {
        let Some((member, volume)) = cx.plan().volume(volume.as_str()) else {
            return Ok(());
        };
        self.refuse_to_discard_the_last(cx, member, volume).await?;
        self.refuse_to_discard_writes(cx, member, volume).await
    }

    /// What an unplanned failover has promoted still is in the recovery point, which that has not taken and nobody gives up;
    /// and its source is lost. Of a member that was given up nobody vouches for the point any more.
    async fn refuse_to_discard_the_last(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
        volume: &ProtectedVolume,
    ) -> Result<(), StepError> {
        let group = cx.plan().group_id.as_str();
        let asked = who_asked(cx, &member.server_id);
        // What may go in any case does not wait for a source that is silent.
        if asked == Asked::ByHandThoughItRuns
            || (cx.mapped(MapKind::RecoveryPointTime, group).is_some()
                && !takes_what_is_given_up(cx))
        {
            return Ok(());
        }
        let original = self.original_of(cx, member, volume).await?;
        let copy = CopyOfVolume {
            member: &member.name,
            volume: &volume.name,
            original: &volume.id,
            site: cx.plan().source.site.as_str(),
            maker: mark::maker(cx.operation),
            asked,
            original_status: original.as_ref().map(|original| original.status.as_str()),
        };
        match original_is_gone(&copy) {
            Some(why) => Err(StepError::last(Code::Kept, why)),
            None => Ok(()),
        }
    }

    /// The verdict on a volume of the source that may be deleted but for what its array says.
    pub(super) async fn unless_written_since(
        &self,
        cx: &StepContext<'_>,
        server: &ServerId,
        volume: &VolumeId,
    ) -> Result<Verdict, StepError> {
        let left = how_it_was_left(cx);
        if left == Left::Untouched {
            return Ok(Verdict::Delete);
        }
        let replication = cx.plan().replication();
        let maker = mark::maker(cx.operation);
        let object = volume_of(cx, volume)?;
        let asking = self
            .arrays
            .original_written_since(&replication, &object, maker);
        let written = asking.await.map_err(storage_stop)?;
        let original = WrittenOriginal {
            id: volume.as_str(),
            site: cx.plan().source.site.as_str(),
            asked: who_asked(cx, server),
            left,
            written: &written,
        };
        Ok(written_after_its_replication(&original)
            .map_or(Verdict::Delete, |why| Verdict::Keep { why }))
    }

    /// The original as its tenant sees it. Of a source that is silent the record says what it is waited for.
    async fn original_of(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
        volume: &ProtectedVolume,
    ) -> Result<Option<Volume>, StepError> {
        let read = async { reading::volume(&self.clouds.source(cx).await?, &volume.id).await };
        let words = |why| {
            format!(
                "{site} does not say whether volume {id}, of which it is the copy, is still there, so this may be the last copy ({why}); if it may be lost, 'openstack dr operation cleanup {maker} --delete-running {member}' discards it",
                site = cx.plan().source.site,
                id = volume.id,
                maker = mark::maker(cx.operation),
                member = member.name,
            )
        };
        read.await.map_err(|stop| match stop {
            StepError::Fault(StepFailure::Passing { why, after }) => {
                StepError::Fault(StepFailure::Passing {
                    why: words(why),
                    after,
                })
            }
            StepError::Fault(StepFailure::NotTold { why, after }) => {
                StepError::Fault(StepFailure::NotTold {
                    why: words(why),
                    after,
                })
            }
            other => other,
        })
    }

    async fn refuse_to_discard_writes(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
        volume: &ProtectedVolume,
    ) -> Result<(), StepError> {
        let asked = who_asked(cx, &member.server_id);
        if asked == Asked::ByHandThoughItRuns || !cx.memo.outlived {
            // The array need not compare what may go in any case.
            return Ok(());
        }
        let replication = cx.plan().replication();
        let maker = mark::maker(cx.operation);
        let object = volume.in_cinder();
        let asking = self.arrays.written_since(&replication, &object, maker);
        let written = asking.await.map_err(storage_stop)?;
        let imported = match written {
            Written::NoObject => {
                is_imported_by(&self.clouds.target(cx).await?, maker, &volume.id).await?
            }
            _ => true,
        };
        let copy = WrittenCopy {
            member: &member.name,
            volume: &volume.name,
            maker,
            site: cx.plan().target.site.as_str(),
            group: &cx.plan().group_name,
            asked,
            outlived: cx.memo.outlived,
            imported,
            written: &written,
        };
        match its_newer_bytes_are_nowhere_else(&copy) {
            Some(why) => Err(StepError::last(Code::Kept, why)),
            None => Ok(()),
        }
    }
}

/// Whether a cleanup takes what an unplanned failover that recovered others has made for a member.
fn takes_what_is_given_up(cx: &StepContext<'_>) -> bool {
    let map = cx.map.read().unwrap_or_else(PoisonError::into_inner);
    cx.operation.kind == OperationKind::Cleanup
        && map.iter().any(|(kind, _, _)| kind == MapKind::Recovered)
}
