//! Servers that a move left on the site that it came from: stopped, so that no two run with one name.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use protector_core::{
    fault::{Code, StepFailure},
    guard::{GuestState, HostState, Power, a_member_is_not_fenced, status_in_words},
    id::{NetworkId, ProjectId, ServerId},
    journal::Effect,
    operation::Mapped,
    runbook::{Step, table::Side},
    site::SiteScope,
};
use protector_openstack::{
    cloud::Cloud,
    compute::Server,
    error::{CallError, ErrorClass},
    status::ServerStatus,
};
use tokio::time::Instant;

use super::{
    at_one_moment::{FRESH, SeenThen},
    reading,
    scope::{Absent, Eyes, believe_absence, believe_gone_for_all, target_networks},
    site_clouds::SiteClouds,
    source_host::{compute_hosts, host_seen_by},
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::StepError,
};

/// How many servers are read side by side.
const SIDE_BY_SIDE: usize = 8;

/// That site, as the tenant and an administrator see it.
struct PlanSide {
    side: Side,
    scope: SiteScope,
    cloud: Cloud,
    admin: Cloud,
}

/// What was seen on one site: since when all of its servers rest, or those of which that is not certain, with the reason.
type Rest = Result<Instant, Vec<String>>;

/// Steps that stop what runs beside its group.
pub(super) struct Fence<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl Fence<'_> {
    async fn place(&self, cx: &StepContext<'_>, side: Side) -> Result<PlanSide, StepError> {
        let plan = cx.plan();
        let (scope, cloud, admin) = match side {
            Side::Source => (
                &plan.source,
                self.clouds.source(cx).await?,
                self.clouds.source_admin(cx).await?,
            ),
            Side::Target => (
                &plan.target,
                self.clouds.target(cx).await?,
                self.clouds.target_admin(cx).await?,
            ),
        };
        Ok(PlanSide {
            side,
            scope: scope.clone(),
            cloud,
            admin,
        })
    }

    /// Stops a server, or sees that it does not run. What cannot be told is not fenced, and what a group protects is not
    /// stopped.
    pub(super) async fn fence_server(
        &self,
        cx: &mut StepContext<'_>,
        side: Side,
        id: &ServerId,
    ) -> Result<Progress, StepError> {
        let place = self.place(cx, side).await?;
        let Some(server) = reading::server(&place.cloud, id).await? else {
            self.believe_gone(cx, &place, id).await?;
            return Ok(fenced(id, "gone", None));
        };
        cx.memo.seen.observed = Some(server.status.as_str().to_owned());
        let protected_by = cx.protected_by(id.as_str()).await?;
        if let Some(why) = a_member_is_not_fenced(protected_by.as_deref()) {
            return Err(StepError::last(Code::Kept, why));
        }
        if let Some(task) = &server.task_state {
            return Ok(self
                .clouds
                .look_again(format!("server status {} ({task})", server.status.as_str())));
        }
        let (on_host, host) = host_seen_by(&place.admin, id).await?;
        refuse_unknown_host(&server, &host)?;
        match &server.status {
            ServerStatus::Active => {
                let intent = cx.intend_to_fence(id.as_str()).await?;
                let again = reading::server(&place.cloud, id).await?;
                if again.is_none_or(|again| again.status != ServerStatus::Active) {
                    return Ok(self.clouds.changed_meanwhile(cx));
                }
                let open = intent.on(&place.cloud);
                open.compute().stop_server(id).await.map_err(stop)?;
                Ok(self.clouds.look_again("Nova to stop it"))
            }
            status if does_not_run(&server) => Ok(fenced(id, status.as_str(), on_host)),
            status => Err(StepError::last(
                Code::Blocked,
                format!(
                    "the server is {}, of which nobody knows whether its guest runs: stop or delete it by hand, then fence again",
                    in_words(&server, status)
                ),
            )),
        }
    }

    /// Ends the split brain when each server is certainly stopped, by what Nova says right now: what an earlier line, or an
    /// earlier fence, has seen proves nothing of a server that may be started at any time. Where volumes were to be closed, each
    /// is.
    pub(super) async fn confirm_fenced(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let plan = cx.plan();
        let on_source = plan.members.iter();
        let on_source: Vec<_> = on_source
            .map(|member| (member.name.as_str(), &member.server_id))
            .collect();
        let on_target = plan.left_on_target.iter();
        let on_target: Vec<_> = on_target.map(|id| (id.as_str(), id)).collect();
        let view = &*cx;
        let (source, target) = tokio::try_join!(
            self.all_rest(view, Side::Source, &on_source),
            self.all_rest(view, Side::Target, &on_target),
        )?;
        let (source, target) = match (source, target) {
            (Ok(source), Ok(target)) => (source, target),
            (Err(not_yet), _) | (_, Err(not_yet)) => return Ok(not_yet),
        };
        let group_id = plan.group_id.clone();
        let mut running = Vec::new();
        for (rest, scope) in [(&source, &plan.source), (&target, &plan.target)] {
            if let Err(names) = rest {
                running.push(format!("on {}: {}", scope.site, names.join(", ")));
            }
        }
        let is_of_a_volume = |step: &Step| matches!(step, Step::FenceVolume { .. });
        let open = cx.lines_that_failed(is_of_a_volume).await?;
        match (source, target) {
            (Ok(source), Ok(target)) if open.is_empty() => {
                note_unknown_volumes(cx);
                cx.ends_by_what_was_asked_at(source.min(target));
                Ok(Progress::Done(vec![Effect::GroupFenced { group_id }]))
            }
            _ => {
                let stopped = format!("not certainly stopped {}", running.join("; "));
                let may_write = format!(
                    "whoever starts a VM on {} may write: {}",
                    plan.source.site,
                    open.join(", ")
                );
                let why: Vec<String> = [(running, stopped), (open, may_write)]
                    .into_iter()
                    .filter_map(|(of, why)| (!of.is_empty()).then_some(why))
                    .collect();
                Err(StepError::last(
                    Code::Blocked,
                    format!("{}; fence again", why.join("; ")),
                ))
            }
        }
    }

    /// Since when each of the servers, with their names, certainly rests. The outer error may pass, the next one is what has to
    /// be waited for.
    async fn all_rest(
        &self,
        cx: &StepContext<'_>,
        side: Side,
        servers: &[(&str, &ServerId)],
    ) -> Result<Result<Rest, Progress>, StepError> {
        let asked_at = Instant::now();
        if servers.is_empty() {
            return Ok(Ok(Ok(asked_at)));
        }
        let place = &self.place(cx, side).await?;
        let mut looks = Vec::new();
        for (name, id) in servers {
            looks.push(async move {
                let seen = self.why_not_fenced(cx, place, id).await?;
                Ok::<_, StepError>(seen.map_err(|why| format!("{name} ({why})")))
            });
        }
        let seen: Vec<Result<Option<SeenThen>, String>> = stream::iter(looks)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        let mut resting = Vec::new();
        let mut running = Vec::new();
        for seen in seen {
            match seen {
                Ok(seen) => resting.extend(seen),
                Err(why) => running.push(why),
            }
        }
        if !running.is_empty() {
            return Ok(Ok(Err(running)));
        }
        if asked_at.elapsed() <= FRESH {
            return Ok(Ok(Ok(asked_at)));
        }
        let eyes = (&place.scope.site, &place.cloud, &place.admin);
        Ok(self
            .clouds
            .still_as_seen_on(cx, eyes, &resting)
            .await?
            .map(Ok))
    }

    /// Refuses while a server that a move has left on the source may run, by what its cloud says now.
    pub(super) async fn refuse_while_it_may_run(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<(), StepError> {
        let place = self.place(cx, Side::Source).await?;
        self.see_stopped(cx, &place, id).await.map(drop)
    }

    /// How a server was seen that certainly does not run, if it is still there; else, as the inner error, why that is not
    /// certain. What may pass is an error.
    async fn why_not_fenced(
        &self,
        cx: &StepContext<'_>,
        place: &PlanSide,
        id: &ServerId,
    ) -> Result<Result<Option<SeenThen>, String>, StepError> {
        match self.see_stopped(cx, place, id).await {
            Ok(seen) => Ok(Ok(seen)),
            Err(StepError::Fault(StepFailure::Final { why, .. })) => Ok(Err(why)),
            Err(other) => Err(other),
        }
    }

    async fn see_stopped(
        &self,
        cx: &StepContext<'_>,
        place: &PlanSide,
        id: &ServerId,
    ) -> Result<Option<SeenThen>, StepError> {
        let Some(server) = reading::server(&place.cloud, id).await? else {
            self.believe_gone(cx, place, id).await?;
            return Ok(None);
        };
        refuse_unstopped(&server)?;
        let (name, host) = host_seen_by(&place.admin, id).await?;
        refuse_unknown_host(&server, &host)?;
        Ok(Some(SeenThen::on(name, &server)))
    }

    /// Believes that a server is gone, and its guest with it: Nova forgets a server whose host is down while that may go on
    /// running it. A server that was never seen on a host is as gone as the cloud says.
    async fn believe_gone(
        &self,
        cx: &StepContext<'_>,
        place: &PlanSide,
        id: &ServerId,
    ) -> Result<(), StepError> {
        let absent = Absent::Server;
        match place.side {
            Side::Source => {
                self.clouds
                    .believe_that_source_lacks(cx, &place.cloud, absent, id.as_str())
                    .await?;
            }
            Side::Target => {
                let (project, networks) = (&place.scope.project_id, target_networks(cx.plan()));
                let tenant = Eyes::Tenant;
                believe_absence(&place.cloud, absent, tenant, project, &networks).await?;
                believe_gone_for_all(&place.admin, absent, id.as_str(), project).await?;
            }
        }
        let Some(last_host) = cx.known(|map| map.compute_host(id)) else {
            return Ok(());
        };
        let hosts = compute_hosts(&place.admin).await?;
        match hosts.state_of(Some(&last_host)) {
            HostState::Down { host } => Err(StepError::last(
                Code::Blocked,
                format!(
                    "Nova has forgotten the server, and the compute host {host} that it was on does not answer, so its guest may still run: power that host off or bring it back, then fence again"
                ),
            )),
            HostState::Up { .. } | HostState::None | HostState::Unknown { .. } => Ok(()),
        }
    }
}

/// Whether a server's guest may run, as far as Nova tells.
pub(super) fn may_run(server: &Server) -> bool {
    reading::life(server) == GuestState::Runs
}

/// Whether Nova says for certain that it does not.
fn does_not_run(server: &Server) -> bool {
    reading::life(server) == GuestState::Rests
}

fn in_words(server: &Server, status: &ServerStatus) -> String {
    status_in_words(status.as_str(), Power::of_nova(server.power_state))
}

/// How the server was found, and the host that it is on, for the look at the end.
fn fenced(id: &ServerId, status: &str, host: Option<String>) -> Progress {
    let found = Mapped::Fenced {
        server: id.clone(),
        status: status.to_owned(),
    };
    let host = host.map(|host| Mapped::ComputeHost {
        server: id.clone(),
        host,
    });
    let noted = [found].into_iter().chain(host);
    Progress::Done(noted.map(Effect::from).collect())
}

/// What Nova says of a server is as good as its host's last word.
fn refuse_unknown_host(server: &Server, host: &HostState) -> Result<(), StepError> {
    let why = match host {
        HostState::Up { .. } | HostState::None => return Ok(()),
        HostState::Down { host } => format!("its compute host {host} does not answer"),
        HostState::Unknown { why } => format!("its compute host is not known ({why})"),
    };
    Err(StepError::last(
        Code::Blocked,
        format!(
            "{why}, so its guest may still run (Nova says {}): power that host off or bring it back, then fence again",
            server.status.as_str()
        ),
    ))
}

/// Whether a server that a move left behind may run, as far as its cloud tells. That it is not found proves nothing: see
/// [`why_not_at_rest`].
///
/// # Errors
///
/// What the cloud says, or that it says nothing.
pub async fn may_run_there(cloud: &Cloud, id: &ServerId) -> Result<bool, CallError> {
    match cloud.compute().server(id).await {
        Ok(server) => Ok(may_run(&server)),
        Err(error) if error.class() == ErrorClass::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why it is not certain that a server does not run; `None` if it is. `known` are networks of the group on that site:
/// without one that the cloud knows, its 404 proves nothing. `admin` is the same cloud with the administrator's eyes, for
/// the server's host.
///
/// # Errors
///
/// What the cloud says that may pass.
pub async fn why_not_at_rest(
    cloud: &Cloud,
    admin: &Cloud,
    project: &ProjectId,
    known: &[NetworkId],
    id: &ServerId,
) -> Result<Option<String>, StepFailure> {
    match see_at_rest(cloud, admin, project, known, id).await {
        Ok(()) => Ok(None),
        Err(StepError::Fault(StepFailure::Final { why, .. })) => Ok(Some(why)),
        Err(StepError::Fault(passing)) => Err(passing),
        Err(other) => Err(StepFailure::passing(other)),
    }
}

async fn see_at_rest(
    cloud: &Cloud,
    admin: &Cloud,
    project: &ProjectId,
    known: &[NetworkId],
    id: &ServerId,
) -> Result<(), StepError> {
    let Some(server) = reading::server(cloud, id).await? else {
        if known.is_empty() {
            return Err(StepError::last(
                Code::Kept,
                "its cloud says 404, and no network of the group is mapped by which to know that it is the right one",
            ));
        }
        return believe_absence(cloud, Absent::Server, Eyes::Tenant, project, known).await;
    };
    refuse_unstopped(&server)?;
    let (_, host) = host_seen_by(admin, id).await?;
    refuse_unknown_host(&server, &host)
}

/// Where arrays promote in place, what a record of the other site tells of its servers tells nothing of their volumes.
fn note_unknown_volumes(cx: &mut StepContext<'_>) {
    let plan = cx.plan();
    let are_known = plan.promotion.is_copy() || cx.operation.parent_id.is_some();
    if are_known || plan.members.is_empty() {
        return;
    }
    let fact = format!(
        "no volume of these servers was closed, since the records of this site do not name them: whoever starts one on {} may write, unless the move has fenced them; 'openstack dr fence' on the site that has the move's record closes them",
        plan.source.site
    );
    cx.fact(fact);
}

/// Nova says for certain that the guest does not run, and is not about to change that.
fn refuse_unstopped(server: &Server) -> Result<(), StepError> {
    let status = in_words(server, &server.status);
    match &server.task_state {
        Some(task) => Err(StepError::last(
            Code::Blocked,
            format!("it is {status}, {task}"),
        )),
        None if does_not_run(server) => Ok(()),
        None => Err(StepError::last(Code::Blocked, format!("it is {status}"))),
    }
}
