//! Servers that a move stopped whose other site is lost: started again, where they are and as they are.

use protector_core::{
    fault::{Code, StepFailure},
    guard::{SeenCopy, must_stay_stopped},
    id::ServerId,
    journal::Effect,
    operation::Mapped,
    runbook::Step,
};
use protector_openstack::{cloud::Cloud, status::ServerStatus};

use super::{
    lost_target::{in_time, note_silence},
    marked_counterparts::{ServerCopy, copies_of},
    reading,
    scope::{Absent, Eyes, believe_absence, target_networks},
    source_server::SourceServers,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::StepError,
};

impl SourceServers<'_> {
    /// Starts a server, unless a copy of it is seen on the other site, or a server that holds what was imported of it. Where
    /// that site does not answer, it counts as lost: who asked has said so.
    pub(super) async fn start_source_server(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let source = self.clouds.source(cx).await?;
        let Some(server) = reading::server(&source, id).await? else {
            self.clouds
                .believe_that_source_lacks(cx, &source, Absent::Server, id.as_str())
                .await?;
            return Ok(started(id, "gone"));
        };
        cx.memo.seen.observed = Some(server.status.as_str().to_owned());
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Active, None) => Ok(started(id, server.status.as_str())),
            (ServerStatus::Shutoff, None) => self.start_where_it_is(cx, &source, id).await,
            (ServerStatus::Active | ServerStatus::Shutoff, Some(task)) => {
                Ok(self.clouds.look_again(format!("server task {task}")))
            }
            (status, _) => Err(StepError::last(
                Code::Broken,
                format!(
                    "the server is {} and cannot be started: mend or delete it, then abort again",
                    status.as_str()
                ),
            )),
        }
    }

    async fn start_where_it_is(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        refuse_on_fenced_volumes(cx)?;
        self.refuse_beside_a_copy(cx, id).await?;
        let intent = cx.intend().await?;
        self.refuse_beside_a_copy(cx, id).await?;
        let open = intent.on(source);
        open.compute().start_server(id).await.map_err(stop)?;
        Ok(self.clouds.look_again("Nova to start it"))
    }

    pub(super) async fn refuse_beside_a_copy(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        let copy = self.copy_seen(cx, id).await?;
        let target = cx.plan().target.site.as_str();
        match must_stay_stopped(target, copy.as_ref(), None) {
            Some(why) => Err(StepError::last(Code::Kept, why)),
            None => {
                self.clouds
                    .refuse_beside_a_holder_that_is_seen(cx, id)
                    .await
            }
        }
    }

    /// A copy of the server that any operation has made on the other site, as its cloud shows it now.
    async fn copy_seen(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<SeenCopy>, StepError> {
        match in_time(self.copy_told(cx, id)).await {
            Ok(answer) => answer,
            Err(silence) => Ok(silent(cx, &silence.to_string())),
        }
    }

    async fn copy_told(
        &self,
        cx: &mut StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<SeenCopy>, StepError> {
        let target = match self.clouds.target(cx).await {
            Err(StepError::Fault(StepFailure::Passing { why, .. })) => return Ok(silent(cx, &why)),
            answer => answer?,
        };
        let admin = match self.clouds.target_admin(cx).await {
            Err(StepError::Fault(StepFailure::Passing { why, .. })) => return Ok(silent(cx, &why)),
            answer => answer?,
        };
        let project = cx.plan().target.project_id.clone();
        let copies = match copies_of(&target, &admin, &project, id).await {
            Ok(copies) => copies,
            Err(error) if error.may_be_of_a_lost_cloud() => {
                return Ok(silent(cx, &error.to_string()));
            }
            Err(error) => return Err(stop(error)),
        };
        if let Some(copy) = first_of_the_groups(&copies) {
            return Ok(Some(SeenCopy::Marked(copy)));
        }
        // That none is listed counts as little as a 404: where it answers, it must be the right cloud.
        let networks = target_networks(cx.plan());
        believe_absence(&target, Absent::Server, Eyes::Tenant, &project, &networks).await?;
        Ok(None)
    }

    /// Ends the move when each server is started again and runs, by what Nova says now, and each volume may be written to: whoever
    /// starts one that was off before the move needs that too.
    pub(super) async fn confirm_started(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let plan = cx.plan();
        let source = self.clouds.source(cx).await?;
        let mut stopped: Vec<String> = Vec::new();
        for member in &plan.members {
            if let Some(why) = self.why_not_started(cx, &source, &member.server_id).await? {
                stopped.push(format!("{}{why}", member.name));
            }
        }
        let is_unfence = |step: &Step| matches!(step, Step::UnfenceVolume { .. });
        let fenced = cx.lines_that_failed(is_unfence).await?;
        if stopped.is_empty() && fenced.is_empty() {
            return Ok(Progress::Done(vec![Effect::GroupMended {
                group_id: plan.group_id.clone(),
                // Itself: it leaves nothing stopped, and what the lost move stopped is in no record of this site.
                failed: cx.operation.id.clone(),
            }]));
        }
        let site = &plan.source.site;
        let mut left = Vec::new();
        if !stopped.is_empty() {
            left.push(format!(
                "not started again on {site}: {}",
                stopped.join(", ")
            ));
        }
        if !fenced.is_empty() {
            left.push(format!("takes no writes on {site}: {}", fenced.join(", ")));
        }
        Err(StepError::last(Code::Blocked, left.join("; ")))
    }
}

/// A guest that is started on a disk that takes no writes fails.
fn refuse_on_fenced_volumes(cx: &StepContext<'_>) -> Result<(), StepError> {
    cx.blocked_by.map_or(Ok(()), |why| {
        let why = format!("not started: its volumes may take no writes yet ({why})");
        Err(StepError::last(Code::Kept, why))
    })
}

impl SourceServers<'_> {
    /// Why a server does not count as started again, for behind its name; `None` if it does.
    async fn why_not_started(
        &self,
        cx: &StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Option<String>, StepError> {
        if cx.known(|map| map.started_again(id).is_none()) {
            // One that was off before the move was not to be started.
            let was_off = cx.known(|map| map.power_state(id).is_some());
            return Ok((!was_off).then(String::new));
        }
        let Some(server) = reading::server(source, id).await? else {
            self.clouds
                .believe_that_source_lacks(cx, source, Absent::Server, id.as_str())
                .await?;
            return Ok(None);
        };
        Ok(match &server.status {
            ServerStatus::Active => None,
            status => Some(format!(" (it is {} again)", status.as_str())),
        })
    }
}

/// The id of the first of `copies` that is no test's, whatever it is at: also one that Nova is deleting may run on.
pub(super) fn first_of_the_groups(copies: &[ServerCopy]) -> Option<String> {
    let mut copies = copies.iter().filter(|copy| !copy.is_of_a_test());
    copies.next().map(|copy| copy.server.id.to_string())
}

fn silent(cx: &mut StepContext<'_>, why: &str) -> Option<SeenCopy> {
    note_silence(cx, why);
    None
}

fn started(id: &ServerId, status: &str) -> Progress {
    Progress::Done(vec![
        Mapped::StartedAgain {
            server: id.clone(),
            status: status.to_owned(),
        }
        .into(),
    ])
}
