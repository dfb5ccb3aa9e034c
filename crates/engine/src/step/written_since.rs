//! Before a copy is discarded that may have been in use: the array is asked what was written to it.

use protector_core::{
    fault::Code,
    guard::{Asked, WrittenCopy, its_newer_bytes_are_nowhere_else},
    id::{ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    storage::{Replication, Written},
};

use super::{CloudActions, adopted::is_imported_by, mark, source_server::who_asked, storage_stop};
use crate::action::{Cx, Stop};

impl CloudActions {
    /// Keeps the copy of a server for what was written to its volumes.
    pub(super) async fn refuse_to_discard_writes_of(
        &self,
        cx: &Cx<'_>,
        server: &ServerId,
    ) -> Result<(), Stop> {
        let Some(member) = cx.plan().member_of_server(server.as_str()) else {
            return Ok(());
        };
        for volume in &member.volumes {
            self.refuse_to_discard_writes(cx, member, volume).await?;
        }
        Ok(())
    }

    /// Keeps the copy of one volume for what was written to it.
    pub(super) async fn refuse_to_discard_writes_to(
        &self,
        cx: &Cx<'_>,
        volume: &VolumeId,
    ) -> Result<(), Stop> {
        match cx.plan().volume(volume.as_str()) {
            Some((member, volume)) => self.refuse_to_discard_writes(cx, member, volume).await,
            None => Ok(()),
        }
    }

    async fn refuse_to_discard_writes(
        &self,
        cx: &Cx<'_>,
        member: &Member,
        volume: &ProtectedVolume,
    ) -> Result<(), Stop> {
        let asked = who_asked(cx, &member.server_id);
        if asked == Asked::ByHandThoughItRuns || !cx.memo.outlived {
            // The array need not compare what may go in any case.
            return Ok(());
        }
        let replication = Replication::of(cx.plan());
        let maker = mark::maker(cx.operation);
        let asking = self.arrays.written_since(&replication, &volume.id, maker);
        let written = asking.await.map_err(storage_stop)?;
        let imported = match written {
            Written::NoObject => is_imported_by(&self.target(cx).await?, maker, &volume.id).await?,
            _ => true,
        };
        let copy = WrittenCopy {
            member: &member.name,
            volume: &volume.name,
            maker,
            site: cx.plan().target.site.as_str(),
            asked,
            outlived: cx.memo.outlived,
            imported,
            written: &written,
        };
        match its_newer_bytes_are_nowhere_else(&copy) {
            Some(why) => Err(Stop::last(Code::Kept, why)),
            None => Ok(()),
        }
    }
}
