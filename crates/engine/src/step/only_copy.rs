//! Before a copy is taken back, what it was made of is looked for on the source: somebody may have deleted that meanwhile.

use protector_core::{
    fault::Code,
    guard::{CopyToTakeBack, Left, its_original_is_gone},
    member::{Member, ProtectedVolume},
};
use protector_openstack::{cloud::Cloud, status::VolumeStatus};

use super::{
    CloudActions, mark, reading,
    scope::Absent,
    source_server::{how_it_was_left, who_asked},
};
use crate::action::{Cx, Stop};

impl CloudActions {
    /// Keeps the copy of `member` while one of the volumes that it was made of is gone.
    pub(super) async fn refuse_to_lose_the_only_copy(
        &self,
        cx: &Cx<'_>,
        member: &Member,
    ) -> Result<(), Stop> {
        let left = how_it_was_left(cx);
        if left == Left::Untouched {
            return Ok(());
        }
        let source = self.source(cx).await?;
        let mut gone = Vec::new();
        for volume in &member.volumes {
            if !self.is_still_there(cx, &source, volume).await? {
                gone.push(volume.id.to_string());
            }
        }
        let copy = CopyToTakeBack {
            member: &member.name,
            maker: mark::maker(cx.operation),
            source: cx.plan().source.site.as_str(),
            asked: who_asked(cx, &member.server_id),
            left,
            gone: &gone,
        };
        match its_original_is_gone(&copy) {
            Some(why) => Err(Stop::last(Code::Kept, why)),
            None => Ok(()),
        }
    }

    async fn is_still_there(
        &self,
        cx: &Cx<'_>,
        source: &Cloud,
        volume: &ProtectedVolume,
    ) -> Result<bool, Stop> {
        let Some(seen) = reading::volume(source, &volume.id).await? else {
            self.believe_that_source_lacks(cx, source, Absent::Volume, volume.id.as_str())
                .await?;
            return Ok(false);
        };
        Ok(!matches!(
            seen.status,
            VolumeStatus::Deleting | VolumeStatus::ErrorDeleting
        ))
    }
}
