//! A source server between its stop and the switch: looked at again before anything rests on its being stopped.
//!
//! People and clouds go on while copies are built. Nova's list of what was asked of a server tells also of a start that was
//! followed by another stop: its newest entry is noted when the server is found stopped, and whatever is above it later has
//! been asked for since. No clock is needed for that.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use protector_core::{
    adoption::ways_on,
    fault::Code,
    guard::{
        DeletedOriginal, GuestState, HostState, Power, Resized, SeenAction, SourceAtRest, Verdict,
        changed_before_it_stopped, deleted_original_had_run, source_must_rest,
    },
    id::{ServerId, VolumeId},
    journal::Effect,
    member::Member,
    operation::Mapped,
    runbook::Verb,
};
use protector_openstack::{
    cloud::Cloud,
    compute::{InstanceAction, Server},
    status::ServerStatus,
    volume::VolumeFilter,
};

use super::{
    at_one_moment::SeenThen,
    reading,
    scope::Absent,
    site_clouds::SiteClouds,
    source_check::refuse_changed_volumes,
    source_host::{ComputeHosts, host_of},
};
use crate::{
    action::{Progress, StepContext},
    clouds::{found, stop},
    step_error::{StepError, not_in_plan},
};

/// As the record names "nothing was ever asked of it".
const NOTHING_ASKED: &str = "";

/// How many servers are looked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// Volumes of the source and their sizes in GiB.
type Sizes = BTreeMap<VolumeId, u64>;

/// How an original was found.
enum Rest {
    Rests(SeenThen),
    /// Deleted by somebody, and its guest has ended.
    GoneForGood,
    /// Nobody can tell yet.
    NotYet(Progress),
}

impl SiteClouds<'_> {
    /// What Nova has been asked for about a server, the newest first, as the administrator sees it.
    pub(super) async fn asked_of(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Vec<SeenAction>, StepError> {
        let admin = self.source_admin(cx).await?;
        let actions = admin.compute().instance_actions(id).await.map_err(stop)?;
        Ok(actions.into_iter().map(seen).collect())
    }

    /// Sees that a server is as it was checked and stopped, and notes from where on everything that is asked of it
    /// counts. `None` while it is not stopped.
    pub(super) async fn note_rest(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<Vec<Effect>>, StepError> {
        // Before the server: what is asked for in between is then above the note.
        let asked = self.asked_of(cx, id).await?;
        let admin = self.source_admin(cx).await?;
        let Some(server) = reading::server(&admin, id).await? else {
            return Ok(None);
        };
        let rests =
            server.status == ServerStatus::Shutoff && reading::life(&server) == GuestState::Rests;
        if !rests || server.task_state.is_some() {
            return Ok(None);
        }
        let member = member(cx, id)?;
        refuse_changed_volumes(member, &server)?;
        if let Some(checked) = cx.known(|map| map.last_action(id)) {
            let site = cx.plan().source.site.as_str();
            let since = above(&asked, &checked);
            if let Some(why) = changed_before_it_stopped(&member.name, site, since) {
                return Err(StepError::last(Code::Changed, why));
            }
        }
        let host = host_of(&server).map(|host| {
            Effect::from(Mapped::ComputeHost {
                server: id.clone(),
                host,
            })
        });
        let sizes = self.sizes_of(cx, member).await?;
        let sizes = sizes
            .into_iter()
            .map(|(volume, gib)| Effect::from(Mapped::VolumeSize { volume, gib }));
        let noted = [note(id, &asked)].into_iter().chain(host).chain(sizes);
        Ok(Some(noted.collect()))
    }

    /// Before the copy of `source_id` is built by a planned move: `None` if the original rests.
    pub(super) async fn original_may_write(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if !is_planned_move(cx) {
            return Ok(None);
        }
        let hosts = self.compute_hosts_of_source(cx).await?;
        self.one_may_write(cx, member(cx, source_id)?, &hosts).await
    }

    /// Before the copy of `member` is adopted: `None` if the original rests.
    pub(super) async fn member_may_write(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
    ) -> Result<Option<Progress>, StepError> {
        let hosts = self.compute_hosts_of_source(cx).await?;
        self.one_may_write(cx, member, &hosts).await
    }

    /// The same of all members at once: before they are replicated.
    pub(super) async fn any_may_write(
        &self,
        cx: &StepContext<'_>,
    ) -> Result<Option<Progress>, StepError> {
        if !cx.operation.kind.is_a_move() {
            return Ok(None);
        }
        Ok(self.see_all_at_rest(cx).await?.err())
    }

    /// Sees all members at rest, each as it was then; or what has to be waited for. Looking at many takes its time:
    /// [`SiteClouds::still_as_seen`] tells whether all of them rest at one moment.
    pub(super) async fn see_all_at_rest(
        &self,
        cx: &StepContext<'_>,
    ) -> Result<Result<Vec<SeenThen>, Progress>, StepError> {
        let hosts = self.compute_hosts_of_source(cx).await?;
        let sizes = self.sizes_of_all(cx).await?;
        let looks: Vec<_> = cx
            .plan()
            .members
            .iter()
            .map(|member| self.look_at_rest(cx, member, &hosts, &sizes).boxed())
            .collect();
        // All of them, also where one has to be waited for: another one may run.
        let seen: Vec<Rest> = stream::iter(looks)
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await?;
        let mut resting = Vec::new();
        for rest in seen {
            match rest {
                Rest::Rests(seen) => resting.push(seen),
                Rest::GoneForGood => {}
                Rest::NotYet(progress) => return Ok(Err(progress)),
            }
        }
        Ok(Ok(resting))
    }

    async fn one_may_write(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
        hosts: &ComputeHosts,
    ) -> Result<Option<Progress>, StepError> {
        let sizes = self.sizes_of(cx, member).await?;
        Ok(match self.look_at_rest(cx, member, hosts, &sizes).await? {
            Rest::Rests(_) | Rest::GoneForGood => None,
            Rest::NotYet(progress) => Some(progress),
        })
    }

    async fn look_at_rest(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
        hosts: &ComputeHosts,
        sizes: &Sizes,
    ) -> Result<Rest, StepError> {
        let (id, site) = (&member.server_id, cx.plan().source.site.as_str());
        let admin = self.source_admin(cx).await?;
        let Some(server) = reading::server(&admin, id).await? else {
            if cx.plan().adopts.is_some() {
                let not_yet = self.gone_for_good(cx, member).await?;
                return Ok(not_yet.map_or(Rest::GoneForGood, Rest::NotYet));
            }
            let why = format!("server {} ({id}) has disappeared from {site}", member.name);
            return Err(StepError::last(Code::Changed, why));
        };
        let asked = match cx.known(|map| map.last_action(id)) {
            Some(noted) => above(&self.asked_of(cx, id).await?, &noted).to_vec(),
            // An engine before this one has stopped it, which did not note that yet.
            None => Vec::new(),
        };
        let host = hosts.state_of(host_of(&server).as_deref());
        let source = SourceAtRest {
            name: &member.name,
            site,
            status: server.status.as_str(),
            power: Power::of_nova(server.power_state),
            task_state: server.task_state.as_deref(),
            host: &host,
            planned: planned(member),
            attached: attached(&server),
            resized: &resized(cx, member, sizes),
            asked_since: &asked,
        };
        match source_must_rest(&source) {
            None => Ok(Rest::Rests(SeenThen::of(&server))),
            Some(Verdict::Wait { on }) => Ok(Rest::NotYet(self.look_again(on))),
            Some(Verdict::Keep { why }) => Err(StepError::last(
                Code::Changed,
                format!(
                    "{why}; {}",
                    what_becomes_of_it(cx, member, Some(source.status))
                ),
            )),
            Some(other) => Err(super::source_server::not_for_this("server at rest", &other)),
        }
    }
}

impl SiteClouds<'_> {
    /// An original that somebody has deleted writes nothing any more, where its guest has certainly ended; what it has
    /// written before, its volumes still have.
    async fn gone_for_good(
        &self,
        cx: &StepContext<'_>,
        member: &Member,
    ) -> Result<Option<Progress>, StepError> {
        let id = &member.server_id;
        let source = self.source(cx).await?;
        self.believe_that_source_lacks(cx, &source, Absent::Server, id.as_str())
            .await?;
        let asked = self.asked_before_it_was_deleted(cx, id).await?;
        let volumes = self.volumes_left(cx, &source, member).await?;
        let original = DeletedOriginal {
            name: &member.name,
            site: cx.plan().source.site.as_str(),
            asked_since: asked.as_deref(),
            volumes: &volumes,
        };
        if let Some(why) = deleted_original_had_run(&original) {
            let then = what_becomes_of_it(cx, member, None);
            return Err(StepError::last(Code::Changed, format!("{why}; {then}")));
        }
        match self.state_of_last_host(cx, id).await? {
            HostState::Up { .. } | HostState::None => Ok(None),
            HostState::Down { host } => Ok(Some(self.look_again(format!(
                "compute host {host} to answer: server {id}, which was on it, is gone, and its guest may still run"
            )))),
            HostState::Unknown { why } => Err(StepError::last(
                Code::Blocked,
                format!("server {id} is gone, and nobody knows whether its guest has ended: {why}"),
            )),
        }
    }

    /// Those of a member's volumes that are still there. That one is gone is believed only of a cloud that proved itself.
    async fn volumes_left<'m>(
        &self,
        cx: &StepContext<'_>,
        source: &Cloud,
        member: &'m Member,
    ) -> Result<Vec<&'m str>, StepError> {
        let mut left = Vec::new();
        for volume in &member.volumes {
            let id = &volume.id;
            if reading::volume(source, id).await?.is_some() {
                left.push(id.as_str());
                continue;
            }
            self.believe_that_source_lacks(cx, source, Absent::Volume, id.as_str())
                .await?;
        }
        Ok(left)
    }

    /// What was asked of a server since it was found stopped, as Nova remembers it beyond its end (2.21). `None` where it
    /// does not, or where nobody has noted when it was found stopped.
    async fn asked_before_it_was_deleted(
        &self,
        cx: &StepContext<'_>,
        id: &ServerId,
    ) -> Result<Option<Vec<SeenAction>>, StepError> {
        let Some(noted) = cx.known(|map| map.last_action(id)) else {
            return Ok(None);
        };
        let admin = self.source_admin(cx).await?;
        let remembered = found(admin.compute().instance_actions(id).await)?;
        Ok(remembered.map(|actions| {
            let asked: Vec<SeenAction> = actions.into_iter().map(seen).collect();
            above(&asked, &noted).to_vec()
        }))
    }
}

impl SiteClouds<'_> {
    /// The sizes of a member's volumes, of those that are there. Cinder extends also a volume whose server is stopped.
    async fn sizes_of(&self, cx: &StepContext<'_>, member: &Member) -> Result<Sizes, StepError> {
        let source = self.source(cx).await?;
        let mut sizes = Sizes::new();
        for volume in &member.volumes {
            if let Some(seen) = reading::volume(&source, &volume.id).await? {
                sizes.insert(seen.id, seen.size);
            }
        }
        Ok(sizes)
    }

    /// The same of all members, in one answer.
    async fn sizes_of_all(&self, cx: &StepContext<'_>) -> Result<Sizes, StepError> {
        let source = self.source(cx).await?;
        let volumes = source.volume().volumes(&VolumeFilter::all()).await;
        let volumes = volumes.map_err(stop)?.into_iter();
        Ok(volumes.map(|volume| (volume.id, volume.size)).collect())
    }
}

/// Volumes whose size has changed since their server was found stopped; an engine before this one did not note that.
fn resized(cx: &StepContext<'_>, member: &Member, sizes: &Sizes) -> Vec<Resized> {
    let changed = member.volumes.iter().filter_map(|volume| {
        let from = cx.known(|map| map.volume_size(&volume.id))?;
        let to = *sizes.get(&volume.id)?;
        (from != to).then(|| Resized {
            volume: volume.id.to_string(),
            from,
            to,
        })
    });
    changed.collect()
}

/// What a person has to know when a source server does not rest.
fn what_becomes_of_it(cx: &StepContext<'_>, member: &Member, status: Option<&str>) -> String {
    match &cx.plan().adopts {
        Some(failed) => format!(
            "what it has written since is not in its copy, so that is not adopted, and nothing is changed: compare the two; {}",
            ways_on(cx.plan(), failed, member, status)
        ),
        None => format!(
            "what it has written since is in no copy, so everything is taken back: run the {} again when nobody needs it there",
            cx.operation.kind
        ),
    }
}

/// Whether the line's operation has stopped the servers that it builds copies of.
pub(super) fn is_planned_move(cx: &StepContext<'_>) -> bool {
    cx.step.verb == Verb::Undoable && cx.operation.kind.is_a_move()
}

/// Where the list of what was asked of a server stands.
pub(super) fn note(id: &ServerId, asked: &[SeenAction]) -> Effect {
    let newest = asked
        .first()
        .map_or(NOTHING_ASKED, |action| &action.request_id);
    Effect::from(Mapped::LastAction {
        server: id.clone(),
        request_id: newest.to_owned(),
    })
}

/// What was asked for after `noted`: all of it, where the list does not hold that any more.
pub(super) fn above<'a>(asked: &'a [SeenAction], noted: &str) -> &'a [SeenAction] {
    let end = asked
        .iter()
        .position(|action| action.request_id == noted)
        .unwrap_or(asked.len());
    asked.get(..end).unwrap_or_default()
}

fn seen(action: InstanceAction) -> SeenAction {
    SeenAction {
        action: action.action,
        request_id: action.request_id,
        user_id: action.user_id.map(|user| user.to_string()),
        at: action.start_time,
    }
}

fn planned(member: &Member) -> BTreeSet<&str> {
    member
        .volumes
        .iter()
        .map(|volume| volume.id.as_str())
        .collect()
}

fn attached(server: &Server) -> BTreeSet<&str> {
    server
        .volumes_attached
        .iter()
        .map(|volume| volume.id.as_str())
        .collect()
}

fn member<'a>(cx: &'a StepContext<'_>, id: &ServerId) -> Result<&'a Member, StepError> {
    cx.plan()
        .member_of_server(id.as_str())
        .ok_or_else(|| not_in_plan("server", id.as_str()))
}
