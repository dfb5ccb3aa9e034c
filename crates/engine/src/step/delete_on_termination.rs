//! Volumes that went with their server before a move took both away: once the group is back, they do so again.
//!
//! It comes after the switch. Until then the copy may be deleted again, and what it was built of is not to go with it.

use std::collections::BTreeSet;

use protector_core::id::{ServerId, VolumeId};
use protector_openstack::cloud::Cloud;

use super::{counterparts::Counterparts, counterparts::member, recovered_group::taken_in};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::StepError,
};

impl Counterparts<'_> {
    pub(super) async fn restore_delete_on_termination(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let Some(copy) = taken_in(cx, source_id) else {
            cx.fact("not done: it was not recovered");
            return Ok(Progress::done());
        };
        let target = self.clouds.target(cx).await?;
        if outliving(&target, cx, source_id, &copy).await?.is_empty() {
            return Ok(Progress::done());
        }
        // One at a time: each is read again after an intent of its own.
        let intent = cx.intend().await?;
        let Some(volume) = outliving(&target, cx, source_id, &copy)
            .await?
            .into_iter()
            .next()
        else {
            return Ok(Progress::done());
        };
        let asked = format!(
            "delete_on_termination of volume {volume} was turned on, as it was on {} before",
            cx.plan().target.site
        );
        if cx.memo.facts.contains(&asked) {
            return Err(StepError::passing(format!(
                "Nova accepted that volume {volume} goes with its server and still says that it does not"
            )));
        }
        let open = intent.on(&target);
        let compute = open.compute();
        let on = compute.set_delete_on_termination(&copy, &volume, true);
        on.await.map_err(stop)?;
        cx.fact(asked);
        Ok(self
            .clouds
            .look_again("Nova to delete the server's volumes with it"))
    }
}

/// The volumes that are to go with `copy`, are attached to it, and do not go with it yet.
async fn outliving(
    target: &Cloud,
    cx: &StepContext<'_>,
    source_id: &ServerId,
    copy: &ServerId,
) -> Result<Vec<VolumeId>, StepError> {
    let went = member(cx, source_id)?.went_with_it_on(&cx.plan().target.site);
    let wanted: BTreeSet<VolumeId> = went
        .filter_map(|volume| cx.known(|map| map.volume(&volume.id)))
        .collect();
    let attached = target.compute().volume_attachments(copy).await;
    let attached = attached.map_err(stop)?.into_iter();
    Ok(attached
        .filter(|place| !place.delete_on_termination)
        .map(|place| place.volume_id)
        .filter(|volume| wanted.contains(volume))
        .collect())
}
