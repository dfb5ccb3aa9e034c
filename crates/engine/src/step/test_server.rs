//! A test failover's copy of a server: deleted by the test cleanup.

use protector_core::{
    fault::Code,
    guard::{TestCopy, Verdict, verdict_test_server},
    id::{OperationId, ServerId},
    operation::OperationKind,
};
use protector_openstack::{cloud::Cloud, compute::Server, status::ServerStatus};

use super::{
    mark, reading,
    scope::{Absent, Eyes, believe_absence, believe_gone_for_all, target_networks},
    site_clouds::SiteClouds,
    source_server::{accepted_in_this_try, not_for_this},
};
use crate::{
    action::{Progress, StepContext},
    clouds::found,
    step_error::StepError,
};

/// Steps that remove what a test failover built.
pub(super) struct TestCounterparts<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl TestCounterparts<'_> {
    /// Deletes the copy that `test` made of `original`: found by its recorded id, confirmed by its marks.
    pub(super) async fn delete_test_server(
        &self,
        cx: &mut StepContext<'_>,
        test: &OperationId,
        original: &ServerId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let Some(id) = cx.known(|map| map.server(original)) else {
            return Err(not_recorded(test, "server", original.as_str()));
        };
        let Some(server) = reading::server(&target, &id).await? else {
            self.believe_that_it_is_gone(cx, &target, Absent::Server, id.as_str())
                .await?;
            let copy = (original, id.as_str());
            let ports = self.clouds.delete_ports_of_test(cx, &target, test, copy);
            return match ports.await? {
                Some(not_yet) => Ok(not_yet),
                None => gone(cx, Absent::Server),
            };
        };
        if reading::is_being_deleted(&server) {
            return Ok(self.clouds.look_again("Nova to delete it"));
        }
        if accepted_in_this_try(cx) && server.status != ServerStatus::SoftDeleted {
            return Err(StepError::came_back(format!(
                "Nova accepted the deletion and the server is still {}: {}",
                server.status.as_str(),
                reading::fault_text(&server)
            )));
        }
        cx.memo.seen.observed = Some(server.status.as_str().to_owned());
        judge(cx, test, original, &server).await?;
        let with_it = reading::seen_server(&server).volumes_that_go_with_it;
        let intent = cx.intend_to_delete(id.as_str()).await?;
        let Some(server) = reading::server(&target, &server.id).await? else {
            return Ok(self.clouds.changed_meanwhile(cx));
        };
        judge(cx, test, original, &server).await?;
        if reading::seen_server(&server).volumes_that_go_with_it != with_it {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        if !with_it.is_empty() {
            return self
                .clouds
                .keep_volumes_of(cx, &target, &intent, &server.id, with_it)
                .await;
        }
        let nova = intent.on(&target).compute();
        let answer = match server.status {
            ServerStatus::SoftDeleted => nova.force_delete_server(&server.id).await,
            _ => nova.delete_server(&server.id).await,
        };
        found(answer)?;
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.clouds.look_again("Nova to delete it"))
    }
}

async fn judge(
    cx: &mut StepContext<'_>,
    test: &OperationId,
    original: &ServerId,
    server: &Server,
) -> Result<(), StepError> {
    let protected_by = cx.protected_by(server.id.as_str()).await?;
    let copy = TestCopy {
        test,
        plan: cx.plan(),
        original: original.as_str(),
        id: server.id.as_str(),
        protected_by: protected_by.as_deref(),
    };
    let marks = mark::seen(&server.metadata);
    match verdict_test_server(&copy, &marks, &reading::seen_server(server)) {
        Verdict::Delete => {
            cx.fact(format!(
                "its marks said right before the deletion that {test} made it as the copy of {original}"
            ));
            Ok(())
        }
        Verdict::Wait { on } => Err(StepError::passing(on)),
        Verdict::Keep { why } => Err(StepError::last(Code::Kept, why)),
        other @ (Verdict::Unmanage { .. } | Verdict::First(_)) => {
            Err(not_for_this("test copy of a server", &other))
        }
    }
}

impl TestCounterparts<'_> {
    /// 404: success for what we asked to delete and in a manual cleanup; else a note that it was gone before. Where this
    /// try did not ask for it, the absence is believed only of a cloud that proved to be the right one.
    pub(super) async fn test_copy_is_gone(
        &self,
        cx: &StepContext<'_>,
        target: &Cloud,
        absent: Absent,
        id: &str,
    ) -> Result<Progress, StepError> {
        self.believe_that_it_is_gone(cx, target, absent, id).await?;
        gone(cx, absent)
    }

    async fn believe_that_it_is_gone(
        &self,
        cx: &StepContext<'_>,
        target: &Cloud,
        absent: Absent,
        id: &str,
    ) -> Result<(), StepError> {
        if !accepted_in_this_try(cx) {
            let plan = cx.plan();
            let networks = target_networks(plan);
            let project = &plan.target.project_id;
            believe_absence(target, absent, Eyes::Tenant, project, &networks).await?;
            let admin = self.clouds.target_admin(cx).await?;
            believe_gone_for_all(&admin, absent, id, project).await?;
        }
        Ok(())
    }
}

fn gone(cx: &StepContext<'_>, absent: Absent) -> Result<Progress, StepError> {
    if cx.memo.intents > 0 || cx.operation.kind == OperationKind::Cleanup {
        return Ok(Progress::done());
    }
    let what = match absent {
        Absent::Server => "Server",
        Absent::Volume => "Volume",
        Absent::FloatingIp => "Floating IP",
    };
    Err(StepError::last(
        Code::AlreadyGone,
        format!("{what} not found (404)"),
    ))
}

/// A test failover that reached its purpose has recorded every copy: without an id nothing is deleted.
pub(super) fn not_recorded(test: &OperationId, what: &str, original: &str) -> StepError {
    StepError::last(
        Code::Internal,
        format!("kept: operation {test} has no copy of {what} {original} on record"),
    )
}
