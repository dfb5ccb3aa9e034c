//! A test failover's copy of a volume: deleted by the test cleanup. Cinder's deletion takes the clone on the array with
//! it; the replication goes on untouched.

use protector_core::{
    fault::Code,
    guard::{TestCopy, Verdict, verdict_test_volume},
    id::{OperationId, ServerId, VolumeId},
};
use protector_openstack::{cloud::Cloud, status::VolumeStatus, volume::Volume};

use super::{
    mark, reading,
    scope::Absent,
    source_server::{accepted_in_this_try, not_for_this},
    source_volume::came_back,
    test_server::TestCounterparts,
    test_server::not_recorded,
};
use crate::{
    action::{Progress, StepContext},
    clouds::found,
    step_error::{StepError, not_in_plan},
};

impl TestCounterparts<'_> {
    /// Deletes the copy that `test` made of `original`: found by its recorded id, confirmed by its marks.
    pub(super) async fn delete_test_volume(
        &self,
        cx: &mut StepContext<'_>,
        test: &OperationId,
        original: &VolumeId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let Some(id) = cx.known(|map| map.volume(original)) else {
            return Err(not_recorded(test, "volume", original.as_str()));
        };
        let Some(volume) = reading::volume(&target, &id).await? else {
            return self
                .test_copy_is_gone(cx, &target, Absent::Volume, id.as_str())
                .await;
        };
        if volume.status == VolumeStatus::Deleting {
            return Ok(self.clouds.look_again("volume status deleting"));
        }
        if accepted_in_this_try(cx) {
            return Err(came_back(&volume));
        }
        cx.memo.seen.observed = Some(volume.status.as_str().to_owned());
        let admin = self.clouds.target_admin(cx).await?;
        let places = Places {
            target: &target,
            admin: &admin,
        };
        match judge(cx, &places, test, original, &volume).await? {
            Verdict::Delete => {}
            Verdict::Wait { on } => {
                let server = server_of_copy(cx, original)?;
                return self
                    .clouds
                    .wait_for_detach(cx, &target, server.as_ref(), on)
                    .await;
            }
            Verdict::Keep { why } => return Err(StepError::last(Code::Kept, why)),
            other @ (Verdict::Unmanage { .. } | Verdict::First(_)) => {
                return Err(not_for_this("test copy of a volume", &other));
            }
        }
        let intent = cx.intend_to_delete(id.as_str()).await?;
        let verdict = match reading::volume(&target, &volume.id).await? {
            Some(volume) => judge(cx, &places, test, original, &volume).await?,
            None => return Ok(self.clouds.changed_meanwhile(cx)),
        };
        if verdict != Verdict::Delete {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        cx.fact(format!(
            "its marks said right before the deletion that {test} made it as the copy of {original}"
        ));
        let open = intent.on(&target);
        found(open.volume().delete_volume(&volume.id).await)?;
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.clouds.look_again("Cinder to delete it"))
    }
}

/// The target as the tenant sees it, and as the administrator does.
struct Places<'a> {
    target: &'a Cloud,
    admin: &'a Cloud,
}

async fn judge(
    cx: &StepContext<'_>,
    places: &Places<'_>,
    test: &OperationId,
    original: &VolumeId,
    volume: &Volume,
) -> Result<Verdict, StepError> {
    let plan = cx.plan();
    let server = server_of_copy(cx, original)?;
    let seen = reading::seen_volume_with_its_ties(places.target, places.admin, volume).await?;
    let protected_by = cx.protected_by(volume.id.as_str()).await?;
    let copy = TestCopy {
        test,
        plan,
        original: original.as_str(),
        id: volume.id.as_str(),
        protected_by: protected_by.as_deref(),
    };
    Ok(verdict_test_volume(
        &copy,
        &mark::seen(&volume.metadata),
        &seen,
        server.as_ref().map(ServerId::as_str),
    ))
}

/// The copy of the server that `original` belongs to, where that is recorded.
fn server_of_copy(
    cx: &StepContext<'_>,
    original: &VolumeId,
) -> Result<Option<ServerId>, StepError> {
    let (member, _) = cx
        .plan()
        .volume(original.as_str())
        .ok_or_else(|| not_in_plan("volume", original.as_str()))?;
    Ok(cx.known(|map| map.server(&member.server_id)))
}
