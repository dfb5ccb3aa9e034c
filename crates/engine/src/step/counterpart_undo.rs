//! The copy of a member's server taken back: by the operation that made it, or by a cleanup or a retry of that.

use std::time::Duration;

use chrono::TimeDelta;
use protector_core::{
    fault::{Code, StepFailure},
    guard::{
        Asked, CounterpartServer, Cure, ForgottenCounterpart, HostState, MadeCounterpart, Verdict,
        its_guest_may_run_on, verdict_counterpart_server,
    },
    id::ServerId,
    journal::Effect,
    operation::{MapKind, OperationKind},
    runbook::Step,
};
use protector_openstack::{cloud::Cloud, compute::Server, status::ServerStatus};

use super::{
    counterparts::Counterparts,
    counterparts::{CARRIED_OUT_WITHIN, know, member},
    mark,
    marked_counterparts::was_never_launched,
    reading,
    scope::{Absent, Eyes, believe_absence, believe_gone_for_all, target_networks},
    source_host::remember_host,
    source_server::{not_for_this, who_asked},
    written_since::WrittenSince,
};
use crate::{
    action::{Progress, StepContext},
    clouds::{found, stop},
    intent::Intent,
    step_error::StepError,
};

/// How often a build that got no answer is looked for until it cannot come any more.
const LATE_BUILD_POLL: Duration = Duration::from_secs(5);

impl Counterparts<'_> {
    /// Deletes the copy. Its volumes stay: copies are built so that Nova never deletes their volumes.
    ///
    /// That it is gone is believed only of a cloud that proved itself: its original is started again on that word.
    pub(super) async fn delete_recovered(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let gone = Progress::Done(vec![Effect::Unmapped {
            kind: MapKind::Server,
            source: source_id.to_string(),
        }]);
        if cx.memo.adopted {
            return Ok(Progress::done());
        }
        if !cx.memo.has_made_something() {
            return Ok(gone);
        }
        let target = self.clouds.target(cx).await?;
        let Some(server) = self.find_recovered(&target, cx, source_id).await? else {
            if may_still_be_carried_out(cx) {
                return Ok(Progress::Waiting {
                    on: "the end of a build that Nova did not answer".to_owned(),
                    again: self.clouds.options.status_poll.max(LATE_BUILD_POLL),
                });
            }
            return Ok(match self.copy_may_run_unseen(cx, source_id).await? {
                Some(on) => self.clouds.look_again(on),
                None => gone,
            });
        };
        know(cx, &server);
        self.take_copy_back(&target, cx, source_id, &server).await
    }

    async fn take_copy_back(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<Progress, StepError> {
        let (host, host_state) = self.clouds.host_of_copy(cx, server).await?;
        remember_host(cx, host.as_deref(), &host_state);
        let being_deleted = reading::being_deleted(server, host.as_deref());
        if server.status == ServerStatus::Deleted {
            return Ok(self.clouds.look_again(being_deleted));
        }
        let lost = reading::is_being_deleted(server);
        if lost && !deletion_is_lost(cx) {
            return Ok(self.clouds.look_again(being_deleted));
        }
        if cx.memo.undo_intents == 0
            && cx.operation.kind == OperationKind::Retry
            && server.status == ServerStatus::Active
        {
            cx.fact(format!("server {} has come up since", server.id));
            return Ok(Progress::done());
        }
        let with_it = match self.judge_recovered(cx, source_id, server).await {
            Err(kept @ StepError::Fault(StepFailure::Final { .. })) if served_before(cx) => {
                return self
                    .keep_beside_its_original(target, cx, source_id, server, kept)
                    .await;
            }
            judged => judged?,
        };
        if let Some(not_yet) = self.refuse_on_a_silent_host(server, host_state)? {
            return Ok(not_yet);
        }
        self.delete_as_judged(target, cx, source_id, server, with_it)
            .await
    }

    /// Nova would only forget a copy on a host that does not answer.
    fn refuse_on_a_silent_host(
        &self,
        server: &Server,
        host: HostState,
    ) -> Result<Option<Progress>, StepError> {
        match host {
            HostState::Up { .. } | HostState::None => Ok(None),
            HostState::Down { host } => Ok(Some(self.clouds.look_again(format!(
                "compute host {host} of server {} to answer: Nova would only forget the server, while its guest may run",
                server.id
            )))),
            HostState::Unknown { why } => Err(StepError::last(
                Code::Kept,
                format!(
                    "kept: nobody knows whether the compute host of server {} is up, so nobody would know whether its guest has ended: {why}",
                    server.id
                ),
            )),
        }
    }

    /// Writes down that the copy goes, looks once more, and deletes it, or keeps from going what would go with it.
    async fn delete_as_judged(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
        with_it: Vec<String>,
    ) -> Result<Progress, StepError> {
        let intent = cx.intend_undo_of(server.id.as_str()).await?;
        if !self
            .is_as_judged(target, cx, source_id, server, &with_it)
            .await?
        {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        if !with_it.is_empty() {
            return self
                .clouds
                .keep_volumes_of(cx, target, &intent, &server.id, with_it)
                .await;
        }
        cx.memo.undo_asked_at = Some(cx.writer.now());
        let intent = match reading::is_being_deleted(server) {
            true => {
                self.reset_lost_deletion(target, cx, source_id, server, &intent)
                    .await?
            }
            false => Some(intent),
        };
        let Some(intent) = intent else {
            return Ok(self.clouds.changed_meanwhile(cx));
        };
        let nova = intent.on(target).compute();
        let answer = match server.status {
            ServerStatus::SoftDeleted => nova.force_delete_server(&server.id).await,
            _ => nova.delete_server(&server.id).await,
        };
        found(answer)?;
        Ok(self.clouds.look_again("Nova to delete it"))
    }
}

impl Counterparts<'_> {
    /// Keeps a copy that served while its operation waited, for what it has written. Beside an original that somebody has
    /// started it is stopped first: two would write with one name (I16).
    async fn keep_beside_its_original(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
        kept: StepError,
    ) -> Result<Progress, StepError> {
        // Whatever else keeps it is somebody's word about it.
        self.judge_by_its_marks(cx, source_id, server).await?;
        match (&server.status, server.task_state.as_deref()) {
            (ServerStatus::Active, None) => {}
            (ServerStatus::Active, Some(_)) => {
                return Ok(self.clouds.look_again("Nova to stop it"));
            }
            _ => return Err(kept),
        }
        let original = reading::server(&self.clouds.source(cx).await?, source_id).await?;
        if !original.is_some_and(|original| super::fence::may_run(&original)) {
            return Err(kept);
        }
        let intent = cx.intend_undo_of(server.id.as_str()).await?;
        if reading::server(target, &server.id).await?.as_ref() != Some(server) {
            return Ok(self.clouds.changed_meanwhile(cx));
        }
        cx.fact("it was stopped, since its original runs, and kept for what it has written");
        let open = intent.on(target);
        open.compute().stop_server(&server.id).await.map_err(stop)?;
        Ok(self.clouds.look_again("Nova to stop it"))
    }

    /// Why a copy that its cloud does not show may run all the same: what is waited for. An error where waiting does not help.
    async fn copy_may_run_unseen(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<String>, StepError> {
        let target = self.clouds.target(cx).await?;
        let project = &cx.plan().target.project_id;
        let networks = target_networks(cx.plan());
        believe_absence(&target, Absent::Server, Eyes::Tenant, project, &networks).await?;
        let Some(made) = &cx.memo.made else {
            return Ok(None);
        };
        let admin = self.clouds.target_admin(cx).await?;
        believe_gone_for_all(&admin, Absent::Server, made, project).await?;
        let host = self.clouds.last_host_of_copy(cx).await?;
        let copy = ForgottenCounterpart {
            id: made,
            member: &member(cx, source_id)?.name,
            maker: mark::maker(cx.operation),
            asked: who_asked(cx, source_id),
            host: &host,
        };
        match its_guest_may_run_on(&copy) {
            None => Ok(None),
            Some(Verdict::Wait { on }) => Ok(Some(on)),
            Some(Verdict::Keep { why }) => Err(StepError::last(Code::Kept, why)),
            Some(other) => Err(not_for_this("copy of a server", &other)),
        }
    }

    /// Frees a server whose deletion Nova has lost: it takes none of a server that it believes to be deleting. Gives the
    /// intent to delete it; `None` if it is not the server any more that was judged.
    async fn reset_lost_deletion(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
        intent: &Intent,
    ) -> Result<Option<Intent>, StepError> {
        let admin = self.clouds.target_admin(cx).await?;
        let nova = intent.on(&admin).compute();
        found(nova.reset_state_to_active(&server.id).await)?;
        cx.fact("Nova had lost its deletion: its task was reset and it was deleted again");
        let intent = cx.intend_undo_of(server.id.as_str()).await?;
        let Some(again) = reading::server(target, &server.id).await? else {
            return Ok(None);
        };
        // The reset makes it look as if it ran: what it was says more of its guest.
        let again = Server {
            status: server.status.clone(),
            power_state: server.power_state,
            ..again
        };
        let with_it = self.judge_recovered(cx, source_id, &again).await?;
        let may_go = again.task_state.is_none() && with_it.is_empty();
        Ok(may_go.then_some(intent))
    }

    /// Whether a copy is still what was judged when it was written down that it goes, and would take the same volumes along.
    async fn is_as_judged(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
        with_it: &[String],
    ) -> Result<bool, StepError> {
        match reading::server(target, &server.id).await? {
            Some(again) if again.status == server.status => {
                Ok(self.judge_recovered(cx, source_id, &again).await? == with_it)
            }
            _ => Ok(false),
        }
    }

    /// A build that was asked for more than once may have been carried out more than once (a request that was on its way
    /// while its engine was frozen): only the one that runs stays.
    pub(super) async fn delete_surplus(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        keep: &Server,
    ) -> Result<Option<Progress>, StepError> {
        if cx.memo.intents < 2 {
            return Ok(None);
        }
        for server in self.clouds.all_of_this_step(cx, source_id).await? {
            if server.id == keep.id || reading::is_being_deleted(&server) {
                continue;
            }
            let with_it = self.judge_recovered(cx, source_id, &server).await?;
            let intent = cx.intend_undo_of(server.id.as_str()).await?;
            let kept = reading::server(target, &keep.id).await?;
            let runs = kept.is_some_and(|kept| {
                kept.status == ServerStatus::Active && !reading::is_being_deleted(&kept)
            });
            let as_judged = self
                .is_as_judged(target, cx, source_id, &server, &with_it)
                .await?;
            if !runs || !as_judged {
                return Ok(Some(self.clouds.changed_meanwhile(cx)));
            }
            if !with_it.is_empty() {
                let kept = self
                    .clouds
                    .keep_volumes_of(cx, target, &intent, &server.id, with_it);
                return kept.await.map(Some);
            }
            cx.fact(format!("server {} was built twice; deleted", server.id));
            let open = intent.on(target);
            found(open.compute().delete_server(&server.id).await)?;
        }
        Ok(None)
    }

    /// Judges whether a copy may go: an error if not. Gives the volumes that Nova would delete with it, which have to be kept
    /// from that first.
    async fn judge_recovered(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<Vec<String>, StepError> {
        let with_it = self.judge_by_its_marks(cx, source_id, server).await?;
        if !was_never_launched(server) {
            WrittenSince::with(self.clouds, self.arrays)
                .refuse_to_discard_copies_of(cx, source_id)
                .await?;
        }
        Ok(with_it)
    }

    /// The same by its marks and what is known of it, whatever it has written.
    async fn judge_by_its_marks(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<Vec<String>, StepError> {
        let protected_by = cx.protected_by(server.id.as_str()).await?;
        let (marks, seen) = (mark::seen(&server.metadata), reading::seen_server(server));
        let asked = who_asked(cx, source_id);
        let original = match asked {
            Asked::ByHand if seen.may_run() => self.original_in_words(cx, source_id).await,
            _ => String::new(),
        };
        let judged = CounterpartServer {
            copy: MadeCounterpart {
                maker: mark::maker(cx.operation),
                project_id: cx.plan().target.project_id.as_str(),
                protected_by: protected_by.as_deref(),
            },
            id: server.id.as_str(),
            asked,
            made_at: &at(server),
            original: &original,
            lost_site: lost_site(cx),
            site: &cx.plan().target.site,
            group: &cx.plan().group_name,
        };
        match verdict_counterpart_server(&judged, &marks, &seen) {
            Verdict::Delete => Ok(Vec::new()),
            Verdict::First(Cure::KeepVolumesOfServer { volumes }) => Ok(volumes),
            Verdict::Keep { why } => Err(StepError::last(Code::Kept, why)),
            other => Err(not_for_this("copy of a server", &other)),
        }
    }

    /// What a person has to know of the original before its copy is discarded.
    async fn original_in_words(&self, cx: &StepContext<'_>, id: &ServerId) -> String {
        let site = &cx.plan().source.site;
        let read = async { reading::server(&self.clouds.source(cx).await?, id).await };
        match read.await {
            Ok(Some(server)) => format!(
                "its original {id} on {site} is {} and has nothing of that",
                server.status.as_str()
            ),
            Ok(None) => format!("its original {id} is not on {site} any more"),
            Err(why) => format!("{site} does not say what has become of its original {id} ({why})"),
        }
    }
}

/// When Nova made the server.
fn at(server: &Server) -> String {
    server
        .created
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The site that an unplanned failover has brought a copy up for, where nobody has given that up.
fn lost_site<'a>(cx: &'a StepContext<'_>) -> Option<&'a str> {
    let group = &cx.plan().group_id;
    let is_unplanned = cx.known(|map| map.recovery_point_time(group).is_some());
    let source = cx.plan().source.site.as_str();
    (is_unplanned && cx.memo.outlived).then_some(source)
}

/// Whether the operation takes back a copy of its own that served while it waited.
fn served_before(cx: &StepContext<'_>) -> bool {
    cx.memo.outlived && !matches!(cx.step.action, Step::TakeBack { .. })
}

/// After this long without an end a deletion was lost: Nova's own work on one takes seconds.
const DELETION_IS_LOST_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Whether the deletion that Nova shows under way has to be asked for again.
fn deletion_is_lost(cx: &mut StepContext<'_>) -> bool {
    let now = cx.writer.now();
    let asked = *cx.memo.undo_asked_at.get_or_insert(now);
    now - asked >= DELETION_IS_LOST_AFTER
}

/// Whether a build that got no answer may not have come to its end: Nova shows no server before it has reserved each of the
/// volumes. Then no list proves that there is no copy.
fn may_still_be_carried_out(cx: &StepContext<'_>) -> bool {
    let within = TimeDelta::from_std(CARRIED_OUT_WITHIN).unwrap_or(TimeDelta::MAX);
    let asked = cx.memo.unanswered_at;
    asked.is_some_and(|at| cx.writer.now() < at + within)
}
