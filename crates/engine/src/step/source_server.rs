//! A member's server on the source: stopped, started again, and in the end deleted.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use protector_core::{
    fault::Code,
    guard::{
        Asked, Cure, HostState, Left, SeenAction, SeenCopy, SourceServer, Verdict, goes_on_again,
        must_stay_stopped, verdict_source_server,
    },
    id::{ServerId, VolumeId},
    journal::Effect,
    operation::{Mapped, OperationKind},
    runbook::Step,
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    error::{CallError, ErrorClass},
    status::ServerStatus,
};

use super::{
    counterpart_now::copy_is_meant,
    lost_target::in_time,
    mark, reading,
    scope::{
        Absent, Eyes, believe_absence, believe_gone_for_all, source_networks, target_networks,
    },
    site_clouds::SiteClouds,
    source_at_rest::above,
    started_again,
};
use crate::{
    action::{Progress, StepContext},
    clouds::{found, stop},
    intent::Intent,
    step_error::StepError,
};

/// Noted when a server was stopped hard, which is done once.
const STOPPED_HARD: &str =
    "did not stop gracefully in time: its task was reset and it was stopped hard";

fn was_stopped_hard(cx: &StepContext<'_>) -> bool {
    cx.memo.facts.iter().any(|fact| fact == STOPPED_HARD)
}

/// Steps about the servers that a group leaves.
pub(super) struct SourceServers<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl SourceServers<'_> {
    /// Nova's stop is graceful first and cuts the power after its own `shutdown_timeout`. A stop that Nova lost (its
    /// compute service was restarting) hangs in `powering-off`: then, as an administrator, free the server and ask again.
    pub(super) async fn stop_server(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let source = self.clouds.source(cx).await?;
        let server = existing(&source, cx, id).await?;
        if cx.memo.seen.before.is_none() {
            cx.memo.seen.before = Some(server.status.as_str().to_owned());
        }
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Shutoff, None) => {
                // Once Nova has forgotten the server, nobody can tell any more where its guest ran.
                match self.clouds.note_rest(cx, id).await? {
                    Some(noted) => Ok(Progress::Done(noted)),
                    None => Ok(self.clouds.look_again(
                        "the server to be SHUTOFF, and its guest to be shut down by its hypervisor's word",
                    )),
                }
            }
            // Asked as often as it is found running: an earlier request may not have reached Nova.
            (ServerStatus::Active, None) => self.ask_to_stop(cx, &source, id).await,
            (ServerStatus::Active, Some("powering-off"))
                if self.graceful_time_is_over(cx) && !was_stopped_hard(cx) =>
            {
                self.stop_hard(cx, &source, id).await
            }
            (ServerStatus::Active | ServerStatus::Shutoff, task) => {
                Ok(self.clouds.look_again(format!(
                    "server status {} ({})",
                    server.status.as_str(),
                    task.unwrap_or("no task")
                )))
            }
            (status, _) => Err(StepError::last(
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
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        self.refuse_to_stop_what_goes_on(cx, id).await?;
        let intent = cx.intend().await?;
        let open = intent.on(source);
        open.compute().stop_server(id).await.map_err(stop)?;
        Ok(self.clouds.look_again("Nova to stop it"))
    }

    /// While this engine was away somebody may have taken the move for lost, and started the server again.
    async fn refuse_to_stop_what_goes_on(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        if let Some(why) = cx.given_up_there().await {
            return Err(StepError::last(
                Code::Changed,
                format!("{why}: this {} is taken back", cx.operation.kind),
            ));
        }
        if cx.memo.intents == 0 {
            return Ok(());
        }
        let asked = self.clouds.asked_of(cx, id).await?;
        match goes_on_again(since_our_stop(cx, id, &asked)) {
            None => Ok(()),
            Some(what) => Err(StepError::last(
                Code::Changed,
                format!(
                    "server {id} was started again after this operation had stopped it ({what}): it is taken back; run the {} again when nobody needs the server",
                    cx.operation.kind
                ),
            )),
        }
    }

    async fn stop_hard(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let admin = self.clouds.source_admin(cx).await?;
        let intent = cx.intend().await?;
        let again = reading::server(source, id).await?;
        let still_hangs = again.is_some_and(|server| {
            server.status == ServerStatus::Active
                && server.task_state.as_deref() == Some("powering-off")
        });
        if !still_hangs {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        cx.fact(STOPPED_HARD);
        let nova = intent.on(&admin).compute();
        nova.reset_state_to_active(id).await.map_err(stop)?;
        let open = intent.on(source);
        open.compute().stop_server(id).await.map_err(stop)?;
        Ok(self.clouds.look_again("Nova to stop it hard"))
    }

    fn graceful_time_is_over(&self, cx: &StepContext<'_>) -> bool {
        let timeout =
            TimeDelta::from_std(self.clouds.options.stop_timeout).unwrap_or(TimeDelta::MAX);
        cx.step
            .progress
            .started_at
            .is_some_and(|begun| cx.writer.now() - begun >= timeout)
    }

    /// Takes the stop back: starts what ran before, once its copy is certainly gone.
    pub(super) async fn start_again(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let ran_before = cx.memo.seen.before.as_deref() == Some(ServerStatus::Active.as_str());
        if cx.memo.intents == 0 || !ran_before {
            return Ok(Progress::done());
        }
        self.refuse_while_its_copy_may_run(cx, id).await?;
        let source = self.clouds.source(cx).await?;
        let Some(server) = reading::server(&source, id).await? else {
            self.clouds
                .believe_that_source_lacks(cx, &source, Absent::Server, id.as_str())
                .await?;
            let site = &cx.plan().source.site;
            cx.fact(format!(
                "server {id} is gone from {site}: nothing is left to start"
            ));
            return Ok(Progress::done());
        };
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Active, None) => {
                note_outage(cx);
                Ok(Progress::done())
            }
            (ServerStatus::Shutoff, None) => {
                if let Some(why) = cx.given_up_there().await {
                    cx.fact(format!("server {id} is left as it is: {why}"));
                    return Ok(Progress::done());
                }
                let intent = cx.intend_undo().await?;
                self.refuse_while_its_copy_may_run(cx, id).await?;
                let open = intent.on(&source);
                open.compute().start_server(id).await.map_err(stop)?;
                Ok(self.clouds.look_again("Nova to start it"))
            }
            (ServerStatus::Active | ServerStatus::Shutoff, Some(task)) => {
                Ok(self.clouds.look_again(format!("server task {task}")))
            }
            (status, _) => Err(StepError::last(
                Code::Broken,
                format!("the server is {} and cannot be started", status.as_str()),
            )),
        }
    }

    /// That the target does not answer keeps nothing stopped where it is lost, as somebody has said. A copy that is seen does.
    async fn refuse_while_its_copy_may_run(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        if let Some(why) = cx.blocked_by
            && !cx.plan().promotion.is_copy()
        {
            let why = format!(
                "not started: its volumes may take no writes yet ({why}); when they do, run cleanup"
            );
            return Err(StepError::last(Code::Kept, why));
        }
        let is_lost = cx.target_is_said_to_be_lost().await?;
        let asked = self.copy_that_may_run(cx, id);
        let copy = match is_lost {
            true => in_time(asked).await.flatten(),
            false => asked.await,
        };
        let nobody_knows = match &copy {
            Ok(copy) => copy.is_none() && cx.blocked_by.is_some(),
            Err(_) => true,
        };
        if nobody_knows && is_lost {
            return self.refuse_beside_a_copy(cx, id).await;
        }
        let target = cx.plan().target.site.as_str();
        match must_stay_stopped(target, copy?.as_ref(), cx.blocked_by) {
            Some(why) => Err(StepError::last(Code::Kept, why)),
            None => self.clouds.refuse_beside_a_holder(cx, id).await,
        }
    }

    async fn copy_that_may_run(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<SeenCopy>, StepError> {
        match self.copy_that_is_there(cx, id).await? {
            None if cx.operation.kind == OperationKind::Cleanup && cx.blocked_by.is_none() => {
                self.copy_of_any_operation(cx, id).await
            }
            recorded => Ok(recorded),
        }
    }

    /// The recorded copy of a server, if the target still has it. What the record says alone is not enough: a cleanup
    /// that took the copy back leaves it in the record of the operation that made it.
    async fn copy_that_is_there(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<SeenCopy>, StepError> {
        let Some(copy) = cx.known(|map| map.server(id)) else {
            return Ok(None);
        };
        let target = self.clouds.target(cx).await?;
        let there = reading::server(&target, &copy).await?;
        Ok(there.map(|_| SeenCopy::Recorded(copy.to_string())))
    }

    /// A copy that another operation has made since the one that is cleaned up ended: an adoption that failed, say. A target
    /// that does not answer is waited for. What takes itself back has seen the server run beside whatever there was.
    async fn copy_of_any_operation(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<SeenCopy>, StepError> {
        let target = self.clouds.target(cx).await?;
        let copies = self.clouds.copies_on_target(cx, id).await?;
        if let Some(copy) = started_again::first_of_the_groups(&copies) {
            return Ok(Some(SeenCopy::Marked(copy)));
        }
        let (networks, project) = (target_networks(cx.plan()), &cx.plan().target.project_id);
        let tenant = Eyes::Tenant;
        believe_absence(&target, Absent::Server, tenant, project, &networks).await?;
        Ok(None)
    }

    pub(super) async fn delete_source_server(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let source = self.clouds.source(cx).await?;
        let Some(server) = reading::server(&source, id).await? else {
            return self.source_server_is_gone(cx, &source, id).await;
        };
        if reading::is_being_deleted(&server) {
            return Ok(self.clouds.look_again(reading::being_deleted(
                &server,
                cx.known(|map| map.compute_host(id)).as_deref(),
            )));
        }
        if accepted_in_this_try(cx) && server.status != ServerStatus::SoftDeleted {
            return Err(StepError::came_back(format!(
                "Nova accepted the deletion and the server is still {}: {}",
                server.status.as_str(),
                reading::fault_text(&server)
            )));
        }
        cx.memo.seen.observed = Some(server.status.as_str().to_owned());
        match self.judge_source_server(cx, id, &server).await? {
            Verdict::Delete => {}
            verdict @ Verdict::First(Cure::KeepVolumesOfServer { .. }) => {
                return self.keep_source_volumes(cx, &source, id, verdict).await;
            }
            Verdict::Wait { on } => return Ok(self.clouds.look_again(on)),
            Verdict::Keep { why } => return Err(StepError::last(Code::Kept, why)),
            other @ (Verdict::Unmanage { .. } | Verdict::First(_)) => {
                return Err(not_for_this("server", &other));
            }
        }
        let intent = cx.intend_to_delete(id.as_str()).await?;
        let Some(server) = reading::server(&source, id).await? else {
            return Ok(self.clouds.changed_meanwhile(cx));
        };
        if self.judge_source_server(cx, id, &server).await? != Verdict::Delete {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        let nova = intent.on(&source).compute();
        let answer = match server.status {
            ServerStatus::SoftDeleted => nova.force_delete_server(id).await,
            _ => nova.delete_server(id).await,
        };
        found(answer)?;
        cx.memo.accepted_in_try = Some(cx.step.progress.failed_tries);
        Ok(self.clouds.look_again("Nova to delete it"))
    }

    /// Reads the copy last, so that its health is as fresh as can be.
    async fn judge_source_server(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
        server: &Server,
    ) -> Result<Verdict, StepError> {
        let (host_name, host) = self.clouds.host_and_its_state(cx, id).await?;
        cx.memo.seen.host = host_name.or_else(|| cx.memo.seen.host.take());
        let protected_by = cx.protected_by(id.as_str()).await?;
        let now = self.clouds.counterparts_now(cx, id).await?;
        let copy_id = now.server_of(cx, id);
        let copy = match &copy_id {
            Some(copy) => reading::server(&now.cloud, copy).await?,
            None => None,
        };
        let source = SourceServer {
            project_id: cx.plan().source.project_id.as_str(),
            id: id.as_str(),
            left_by: mark::cleaned_up(cx.operation),
            asked: who_asked(cx, id),
            left: how_it_was_left(cx),
            host: &host,
            copy_is_meant: copy_is_meant(cx, id),
            protected_by: protected_by.as_deref(),
        };
        let seen = reading::seen_server(server);
        let copy_seen = copy.as_ref().map(reading::seen_server);
        let verdict = verdict_source_server(&source, &seen, copy_seen.as_ref());
        if verdict == Verdict::Delete {
            cx.fact(format!("it was {} right before the deletion", seen.status));
            if let (Some(copy), Some(copy_seen)) = (copy_id, &copy_seen) {
                cx.fact(format!(
                    "its copy {copy} was {} right before the deletion",
                    copy_seen.status
                ));
            }
            if let HostState::Up { host } = host {
                cx.fact(format!("its compute host {host} was up"));
            }
        }
        Ok(verdict)
    }

    /// The first of `verdict`, which is given anew after its intent: it is somebody's server that is changed.
    async fn keep_source_volumes(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
        verdict: Verdict,
    ) -> Result<Progress, StepError> {
        let intent = cx.intend_to_delete(id.as_str()).await?;
        let Some(server) = reading::server(source, id).await? else {
            return Ok(self.clouds.changed_meanwhile(cx));
        };
        match self.judge_source_server(cx, id, &server).await? {
            Verdict::First(Cure::KeepVolumesOfServer { volumes })
                if verdict
                    == Verdict::First(Cure::KeepVolumesOfServer {
                        volumes: volumes.clone(),
                    }) =>
            {
                self.clouds
                    .keep_volumes_of(cx, source, &intent, id, volumes)
                    .await
            }
            _ => Ok(self.clouds.changed_meanwhile(cx)),
        }
    }

    /// 404: success for what we asked to delete and in a manual cleanup; else a note that it was gone before. Where this
    /// try did not ask for it, the absence is believed only of a cloud that proved to be the right one.
    async fn source_server_is_gone(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        if !accepted_in_this_try(cx) {
            self.clouds
                .believe_that_source_lacks(cx, source, Absent::Server, id.as_str())
                .await?;
        }
        if let Some(not_yet) = self.clouds.delete_ports_left(cx, source, id).await? {
            return Ok(not_yet);
        }
        if cx.memo.intents > 0 || cx.operation.kind == OperationKind::Cleanup {
            return Ok(Progress::Done(remembered_host(cx)));
        }
        Err(StepError::last(Code::AlreadyGone, "Server not found (404)"))
    }
}

impl SiteClouds<'_> {
    /// Turns `delete_on_termination` off; the next look reads back that it is. Nova below 2.85 cannot: then the server
    /// stays, or its volumes would go with it unguarded.
    pub(super) async fn keep_volumes_of(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        intent: &Intent,
        id: &ServerId,
        volumes: Vec<String>,
    ) -> Result<Progress, StepError> {
        for volume in volumes {
            let asked = format!("delete_on_termination of volume {volume} was turned off");
            if cx.memo.facts.contains(&asked) {
                return Err(StepError::passing(format!(
                    "Nova accepted that volume {volume} must not go with the server and still says that it would"
                )));
            }
            intent
                .on(source)
                .compute()
                .set_delete_on_termination(id, &VolumeId::new(volume.clone()), false)
                .await
                .map_err(|error| refused(error, |error| format!(
                    "kept: Nova would delete volume {volume} together with the server, and this cannot be turned off ({error}); turn delete_on_termination off or detach the volume by hand, then run cleanup again"
                )))?;
            cx.fact(asked);
        }
        Ok(self.look_again("Nova to keep the server's volumes"))
    }

    /// Believes a 404 of the source for `id` if its cloud proves that it is the one of the plan, and nobody else has it.
    pub(super) async fn believe_that_source_lacks(
        &self,
        cx: &StepContext<'_>,
        source: &Cloud,
        absent: Absent,
        id: &str,
    ) -> Result<(), StepError> {
        let plan = cx.plan();
        let (networks, project) = (source_networks(plan), &plan.source.project_id);
        believe_absence(source, absent, Eyes::Tenant, project, &networks).await?;
        let admin = self.source_admin(cx).await?;
        believe_gone_for_all(&admin, absent, id, project).await
    }
}

/// On whose word the server of a member, or its copy, is deleted.
pub(super) fn who_asked(cx: &StepContext<'_>, server: &ServerId) -> Asked {
    let named = cx.known(|map| map.delete_running(server).is_some());
    match cx.operation.kind {
        OperationKind::Cleanup if named => Asked::ByHandThoughItRuns,
        OperationKind::Cleanup => Asked::ByHand,
        OperationKind::Retry if matches!(cx.step.action, Step::TakeBack { .. }) => Asked::ByRetry,
        _ => Asked::Automatically,
    }
}

/// An operation that chose a recovery point on the target took none, and stopped nothing, on the source.
pub(super) fn how_it_was_left(cx: &StepContext<'_>) -> Left {
    let group = &cx.plan().group_id;
    match cx.known(|map| map.recovery_point_time(group)) {
        Some(_) => Left::Untouched,
        None => Left::Stopped,
    }
}

/// The host that this step saw the server on, for the guards of its volumes.
fn remembered_host(cx: &StepContext<'_>) -> Vec<Effect> {
    let (Step::DeleteSourceServer { server }, Some(host)) = (&cx.step.action, &cx.memo.seen.host)
    else {
        return Vec::new();
    };
    vec![
        Mapped::ComputeHost {
            server: server.clone(),
            host: host.clone(),
        }
        .into(),
    ]
}

/// A verdict that no guard of this resource gives: a defect, never a reason to guess.
pub(super) fn not_for_this(what: &str, verdict: &Verdict) -> StepError {
    StepError::last(
        Code::Internal,
        format!("a {what} cannot be treated so: {verdict:?}"),
    )
}

/// What a refusal of a cure means: the resource is kept, with the cloud's own words; what may pass is tried again.
pub(super) fn refused(error: CallError, kept: impl FnOnce(&CallError) -> String) -> StepError {
    match error.class() {
        ErrorClass::Final | ErrorClass::Forbidden | ErrorClass::NotFound => {
            StepError::last(Code::Kept, kept(&error))
        }
        _ => stop(error),
    }
}

/// Says in the record for how long the operation has kept a server down for nothing.
fn note_outage(cx: &mut StepContext<'_>) {
    let Some(stopped) = cx.step.progress.started_at else {
        return;
    };
    let now = cx.writer.now();
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    cx.fact(format!(
        "it was down for {} s, from {} to {}: this operation had stopped it",
        (now - stopped).num_seconds(),
        time(stopped),
        time(now)
    ));
}

/// What was asked of a server after this operation's own newest stop, the newest first: that is known by its request where Nova
/// answered it, else it is the newest since the check. Nothing where Nova has no stop: the request never came there.
fn since_our_stop<'a>(
    cx: &StepContext<'_>,
    id: &ServerId,
    asked: &'a [SeenAction],
) -> &'a [SeenAction] {
    let asked = match cx.known(|map| map.last_action(id)) {
        Some(checked) => above(asked, &checked),
        None => asked,
    };
    let ours = |action: &SeenAction| cx.memo.request_ids.contains(&action.request_id);
    let stop = asked.iter().position(ours);
    let stop = stop.or_else(|| asked.iter().position(|action| action.action == "stop"));
    stop.and_then(|end| asked.get(..end)).unwrap_or_default()
}

async fn existing(
    source: &Cloud,
    cx: &StepContext<'_>,
    id: &ServerId,
) -> Result<Server, StepError> {
    reading::server(source, id).await?.ok_or_else(|| {
        let why = format!("server {id} has disappeared from {}", cx.plan().source.site);
        StepError::last(Code::Changed, why)
    })
}

/// Whether the cloud has accepted the deletion since the last failed try, so that this look judges its outcome.
pub(super) fn accepted_in_this_try(cx: &StepContext<'_>) -> bool {
    cx.memo.accepted_in_try == Some(cx.step.progress.failed_tries)
}
