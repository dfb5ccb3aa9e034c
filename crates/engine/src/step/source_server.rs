//! A member's server on the source: stopped, started again, and in the end deleted.

use chrono::TimeDelta;
use protector_core::{
    fault::Code,
    guard::{Asked, Verdict, must_stay_stopped, verdict_source_server},
    id::ServerId,
    operation::{MapKind, OperationKind},
};
use protector_openstack::{cloud::Cloud, compute::Server, status::ServerStatus};

use super::{CloudActions, reading};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::{found, stop},
};

impl CloudActions {
    /// Nova's stop is graceful first and cuts the power after its own `shutdown_timeout`. A stop that Nova lost (its
    /// compute service was restarting) hangs in `powering-off`: then, as an administrator, free the server and ask again.
    pub(super) async fn stop_server(
        &self,
        cx: &mut Cx<'_>,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        let source = self.source(cx).await?;
        let server = existing(&source, cx, id).await?;
        if cx.memo.before.is_none() {
            cx.memo.before = Some(server.status.as_str().to_owned());
        }
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Shutoff, None) => Ok(Progress::done()),
            (ServerStatus::Active, None) if cx.memo.intents < 2 => {
                self.ask_to_stop(cx, &source, id).await
            }
            (ServerStatus::Active, Some("powering-off"))
                if self.graceful_time_is_over(cx) && cx.memo.intents < 2 =>
            {
                self.stop_hard(cx, &source, id).await
            }
            (ServerStatus::Active | ServerStatus::Shutoff, task) => Ok(self.look_again(format!(
                "server status {} ({})",
                server.status.as_str(),
                task.unwrap_or("no task")
            ))),
            (status, _) => Err(Stop::last(
                Code::Broken,
                format!(
                    "the server went to {} while it was stopped",
                    status.as_str()
                ),
            )),
        }
    }

    async fn ask_to_stop(
        &self,
        cx: &mut Cx<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        cx.intend().await?;
        source.compute().stop_server(id).await.map_err(stop)?;
        Ok(self.look_again("Nova to stop it"))
    }

    async fn stop_hard(
        &self,
        cx: &mut Cx<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        let admin = self.source_admin(cx).await?;
        cx.intend().await?;
        cx.fact("did not stop gracefully in time: its task was reset and it was stopped hard");
        admin
            .compute()
            .reset_state_to_active(id)
            .await
            .map_err(stop)?;
        source.compute().stop_server(id).await.map_err(stop)?;
        Ok(self.look_again("Nova to stop it hard"))
    }

    fn graceful_time_is_over(&self, cx: &Cx<'_>) -> bool {
        let timeout = TimeDelta::from_std(self.options.stop_timeout).unwrap_or(TimeDelta::MAX);
        cx.step
            .progress
            .started_at
            .is_some_and(|begun| cx.scribe.now() - begun >= timeout)
    }

    /// Takes the stop back: starts what ran before, once its copy is certainly gone.
    pub(super) async fn start_again(
        &self,
        cx: &mut Cx<'_>,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        let ran_before = cx.memo.before.as_deref() == Some(ServerStatus::Active.as_str());
        if cx.memo.intents == 0 || !ran_before {
            return Ok(Progress::done());
        }
        let copy = self.copy_that_is_there(cx, id).await?;
        let target = cx.plan().target.site.as_str();
        if let Some(why) = must_stay_stopped(target, copy.as_deref(), cx.blocked_by) {
            return Err(Stop::last(Code::Kept, why));
        }
        let source = self.source(cx).await?;
        let server = existing(&source, cx, id).await?;
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Active, None) => Ok(Progress::done()),
            (ServerStatus::Shutoff, None) => {
                cx.intend_undo().await?;
                source.compute().start_server(id).await.map_err(stop)?;
                Ok(self.look_again("Nova to start it"))
            }
            (ServerStatus::Active | ServerStatus::Shutoff, Some(task)) => {
                Ok(self.look_again(format!("server task {task}")))
            }
            (status, _) => Err(Stop::last(
                Code::Broken,
                format!("the server is {} and cannot be started", status.as_str()),
            )),
        }
    }

    /// The recorded copy of a server, if the target still has it. What the record says alone is not enough: a cleanup
    /// that took the copy back leaves it in the record of the operation that made it.
    async fn copy_that_is_there(&self, cx: &Cx<'_>, id: &ServerId) -> Result<Option<String>, Stop> {
        let Some(copy) = cx.mapped(MapKind::Server, id.as_str()) else {
            return Ok(None);
        };
        let target = self.target(cx).await?;
        let there = reading::server(&target, &ServerId::new(copy.clone())).await?;
        Ok(there.map(|_| copy))
    }

    pub(super) async fn delete_source_server(
        &self,
        cx: &mut Cx<'_>,
        id: &ServerId,
    ) -> Result<Progress, Stop> {
        let source = self.source(cx).await?;
        let Some(server) = reading::server(&source, id).await? else {
            return gone(cx);
        };
        if server.task_state.as_deref() == Some("deleting") {
            return Ok(self.look_again("Nova to delete it"));
        }
        if accepted_in_this_try(cx) && server.status != ServerStatus::SoftDeleted {
            return Err(Stop::came_back(format!(
                "Nova accepted the deletion and the server is still {}: {}",
                server.status.as_str(),
                reading::fault_text(&server)
            )));
        }
        cx.memo.observed = Some(server.status.as_str().to_owned());
        self.judge_source_server(cx, id, &server).await?;
        self.keep_its_volumes(cx, &source, &server).await?;
        cx.intend().await?;
        let answer = match server.status {
            ServerStatus::SoftDeleted => source.compute().force_delete_server(id).await,
            _ => source.compute().delete_server(id).await,
        };
        found(answer)?;
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.look_again("Nova to delete it"))
    }

    async fn judge_source_server(
        &self,
        cx: &mut Cx<'_>,
        id: &ServerId,
        server: &Server,
    ) -> Result<(), Stop> {
        let target = self.target(cx).await?;
        let copy = match cx.mapped(MapKind::Server, id.as_str()) {
            Some(copy) => reading::server(&target, &ServerId::new(copy)).await?,
            None => None,
        };
        let project = cx.plan().source.project_id.as_str();
        let copy_seen = copy.as_ref().map(reading::seen_server);
        let asked = match cx.operation.kind {
            OperationKind::Cleanup => Asked::ByHand,
            _ => Asked::Automatically,
        };
        let seen = reading::seen_server(server);
        match verdict_source_server(project, &seen, copy_seen.as_ref(), asked) {
            Verdict::Delete => {
                let copy = copy.map(|copy| copy.id.to_string()).unwrap_or_default();
                cx.fact(format!(
                    "its copy {copy} was ACTIVE right before the deletion"
                ));
                Ok(())
            }
            Verdict::Wait { on } => Err(Stop::passing(on)),
            Verdict::Keep { why } => Err(Stop::last(Code::Kept, why)),
        }
    }

    /// Nova must not delete the volumes itself: what happens to them is a decision of its own, with its own guards.
    pub(super) async fn keep_its_volumes(
        &self,
        cx: &mut Cx<'_>,
        source: &Cloud,
        server: &Server,
    ) -> Result<(), Stop> {
        for volume in server
            .volumes_attached
            .iter()
            .filter(|volume| volume.delete_on_termination)
        {
            source
                .compute()
                .set_delete_on_termination(&server.id, &volume.id, false)
                .await
                .map_err(stop)?;
            cx.fact(format!(
                "delete_on_termination of volume {} was turned off",
                volume.id
            ));
        }
        Ok(())
    }
}

async fn existing(source: &Cloud, cx: &Cx<'_>, id: &ServerId) -> Result<Server, Stop> {
    reading::server(source, id).await?.ok_or_else(|| {
        let why = format!("server {id} has disappeared from {}", cx.plan().source.site);
        Stop::last(Code::Changed, why)
    })
}

/// Whether the cloud has accepted the deletion since the last failed try, so that this look judges its outcome.
pub(super) fn accepted_in_this_try(cx: &Cx<'_>) -> bool {
    cx.memo.accepted_in_try == Some(cx.step.progress.failed_tries)
}

/// 404: success for what we asked to delete and in a manual cleanup; else a note that it was gone before.
pub(super) fn gone(cx: &Cx<'_>) -> Result<Progress, Stop> {
    if cx.memo.intents > 0 || cx.operation.kind == OperationKind::Cleanup {
        return Ok(Progress::done());
    }
    Err(Stop::last(Code::AlreadyGone, "Server not found (404)"))
}
