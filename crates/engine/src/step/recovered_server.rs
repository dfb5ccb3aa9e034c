//! The copy of a member's server on the target: built, confirmed, taken back.

use std::{net::IpAddr, time::Duration};

use chrono::TimeDelta;
use protector_core::{
    fault::{Code, Fault},
    guard::{Asked, HostState, RecoveredCopy, RecoveredServer, Verdict, verdict_recovered_server},
    id::{NetworkId, ProjectId, ServerId, VolumeId},
    journal::Effect,
    member::{Member, Nic},
    operation::{MapKind, OperationKind},
    runbook::Verb,
};
use protector_openstack::{
    UserData,
    cloud::Cloud,
    compute::{BlockDevice, BlockSource, NewServer, Server, ServerFilter, ServerNetwork},
    error::CloudError,
    network::{Port, PortFilter, Subnet},
    status::{ServerStatus, VolumeStatus},
};

use super::{
    CloudActions, adopted,
    key_pair::key_pair_on_target,
    mark, not_in_plan, reading,
    scope::{Absent, Eyes, believe_absence, believe_gone_for_all, known_network},
    source_server::{not_for_this, who_asked},
    target_check::flavor_on_target,
};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::{found, stop},
    intent::Intent,
};

/// Within this time after it was written down a request that got no answer has been carried out or never will be. The
/// client may send it for the last time after its deadline for a call (180 s); the rest is Nova's own time.
pub(super) const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(300);

/// How often it is looked for until then.
const LATE_BUILD_POLL: Duration = Duration::from_secs(5);

impl CloudActions {
    pub(super) async fn recreate_server(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
        let target = self.target(cx).await?;
        let own = find_recovered(&target, cx, source_id).await?;
        let found = match own {
            None => adopted::find_server(&target, cx, source_id).await?,
            own => own,
        };
        if let Some(server) = found {
            know(cx, &server);
            return self.judge_build(&target, cx, source_id, &server).await;
        }
        // One that was known and is gone must not hide the one that is made now.
        cx.memo.made = None;
        cx.memo.adopted = false;
        if let Some(not_yet) = self.another_life_may_run(&target, cx, source_id).await? {
            return Ok(not_yet);
        }
        let request = self.build_request(&target, cx, source_id).await?;
        let unanswered_before = cx.memo.unanswered_at;
        cx.memo.unanswered_at = Some(cx.scribe.now());
        let intent = cx.intend().await?;
        if let Some(refused) = self
            .another_life_may_run(&target, cx, source_id)
            .await
            .transpose()
        {
            cx.memo.unanswered_at = unanswered_before;
            return refused;
        }
        let answer = intent.on(&target).compute().create_server(&request).await;
        if says_what_became_of_it(&answer) {
            cx.memo.unanswered_at = unanswered_before;
        }
        match answer {
            Ok(created) => {
                cx.memo.made = Some(created.to_string());
                Ok(self.look_again("Nova to build it"))
            }
            Err(error) if error.was_turned_away() => Err(stop(error)),
            Err(error) => Err(refusal_of_build(cx, crate::clouds::fault(error))),
        }
    }

    /// Refuses to build beside another life of the server, or waits for it to rest: its original, one that is back on a lost
    /// site, one that its original was copied from, another copy. Asked before the build's intent and after it.
    async fn another_life_may_run(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, Stop> {
        if let Some(not_yet) = self.original_may_write(cx, source_id).await? {
            return Ok(Some(not_yet));
        }
        if let Some(not_yet) = self.refuse_beside_returned_original(cx, source_id).await? {
            return Ok(Some(not_yet));
        }
        self.refuse_beside_its_original(target, cx, source_id)
            .await?;
        refuse_beside_another_copy(target, cx, source_id).await?;
        Ok(None)
    }

    async fn judge_build(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<Progress, Stop> {
        if reading::is_being_deleted(server) {
            return Ok(self.look_again("Nova to delete it"));
        }
        match &server.status {
            ServerStatus::Active => {
                if cx.memo.adopted {
                    adopted::mark_server(target, cx, source_id, server).await?;
                } else {
                    if let Some(not_yet) =
                        self.delete_surplus(target, cx, source_id, server).await?
                    {
                        return Ok(not_yet);
                    }
                }
                Ok(Progress::Done(vec![Effect::Mapped {
                    kind: MapKind::Server,
                    source: source_id.to_string(),
                    target: server.id.to_string(),
                }]))
            }
            ServerStatus::Shutoff if cx.memo.adopted && server.task_state.is_none() => {
                let intent = cx.intend().await?;
                if reading::server(target, &server.id).await?.as_ref() != Some(server) {
                    return Ok(self.changed_meanwhile(cx));
                }
                cx.fact("it was shut off, and is started");
                intent
                    .on(target)
                    .compute()
                    .start_server(&server.id)
                    .await
                    .map_err(stop)?;
                Ok(self.look_again("Nova to start it"))
            }
            ServerStatus::Error if cx.memo.adopted => Err(Stop::last(
                Code::Broken,
                format!(
                    "server {id} on {site}, which the interrupted operation has made, is in ERROR: {fault}; if it cannot be mended, 'openstack server delete {id}' lets 'openstack dr retry {group}' build another one from its volumes",
                    id = server.id,
                    site = cx.plan().target.site,
                    fault = reading::fault_text(server),
                    group = cx.plan().group_name,
                ),
            )),
            ServerStatus::Error => Err(Stop::last(
                Code::Broken,
                format!(
                    "Nova on {} could not build server {}: {}",
                    cx.plan().target.site,
                    server.id,
                    reading::fault_text(server)
                ),
            )),
            status => Ok(self.look_again(format!("server status {}", status.as_str()))),
        }
    }

    async fn build_request(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<NewServer, Stop> {
        let member = member(cx, source_id)?.clone();
        let spec = &member.server;
        let flavor = flavor_on_target(target, cx.plan(), &spec.flavor).await?;
        let mut networks = Vec::new();
        for nic in &spec.nics {
            networks.push(network_on_target(target, cx, &member, nic).await?);
        }
        let key_name = match &spec.key_pair {
            Some(known) => key_pair_on_target(target, cx, known).await?,
            None => None,
        };
        let availability_zone =
            zone_on_target(target, cx, spec.availability_zone.as_deref()).await?;
        Ok(NewServer {
            name: member.name.clone(),
            flavor,
            image: None,
            block_devices: block_devices(cx, &member)?,
            networks,
            security_groups: cx.plan().security_groups_on_target(&member),
            key_name,
            metadata: mark::for_copy(&spec.metadata, cx.operation, source_id.as_str()),
            user_data: spec
                .user_data
                .as_ref()
                .map(|data| UserData::new(data.expose())),
            availability_zone,
            config_drive: Some(spec.config_drive),
            description: spec.description.clone(),
            tags: Vec::new(),
        })
    }

    pub(super) async fn confirm_server(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
        let target = self.target(cx).await?;
        let id = cx
            .mapped(MapKind::Server, source_id.as_str())
            .ok_or_else(|| not_in_plan("copy of server", source_id.as_str()))?;
        let Some(server) = reading::server(&target, &ServerId::new(id.clone())).await? else {
            let why = format!("server {id} has disappeared from {}", cx.plan().target.site);
            return Err(Stop::last(Code::Broken, why));
        };
        match &server.status {
            ServerStatus::Active => {}
            ServerStatus::Error => {
                let why = format!(
                    "server {id} went to ERROR: {}",
                    reading::fault_text(&server)
                );
                return Err(Stop::last(Code::Broken, why));
            }
            status => {
                cx.memo.healthy_since = None;
                return Ok(self.look_again(format!("server status {}", status.as_str())));
            }
        }
        for volume in copies_of_volumes(cx, source_id)? {
            let seen = reading::volume(&target, &volume).await?;
            let attached = seen.is_some_and(|volume| {
                volume.status == VolumeStatus::InUse
                    && volume
                        .attachments
                        .iter()
                        .any(|there| there.server_id.as_str() == id)
            });
            if !attached {
                cx.memo.healthy_since = None;
                return Ok(self.look_again(format!("volume {volume} to be attached to it")));
            }
        }
        let now = cx.scribe.now();
        let since = *cx.memo.healthy_since.get_or_insert(now);
        let healthy_for = (now - since).to_std().unwrap_or_default();
        match self.options.health_check.checked_sub(healthy_for) {
            Some(left) if !left.is_zero() => Ok(Progress::Waiting {
                on: "the server to stay healthy".to_owned(),
                again: left,
            }),
            _ => {
                cx.fact(format!(
                    "server {id} was ACTIVE with all its volumes attached for {} s",
                    healthy_for.as_secs()
                ));
                Ok(Progress::done())
            }
        }
    }

    /// Deletes the copy. Its volumes stay: copies are built so that Nova never deletes their volumes.
    ///
    /// That it is gone is believed only of a cloud that proved itself: its original is started again on that word.
    pub(super) async fn delete_recovered(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
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
        let target = self.target(cx).await?;
        let project = cx.plan().target.project_id.clone();
        let Some(server) = find_recovered(&target, cx, source_id).await? else {
            if may_still_be_carried_out(cx) {
                return Ok(Progress::Waiting {
                    on: "the end of a build that Nova did not answer".to_owned(),
                    again: self.options.status_poll.max(LATE_BUILD_POLL),
                });
            }
            let network = known_network(cx.plan());
            let network = network.as_ref();
            believe_absence(&target, Absent::Server, Eyes::Tenant, &project, network).await?;
            if let Some(made) = &cx.memo.made {
                let admin = self.target_admin(cx).await?;
                believe_gone_for_all(&admin, Absent::Server, made, &project).await?;
            }
            return Ok(gone);
        };
        know(cx, &server);
        let (host, host_state) = self.host_of_copy(cx, &server).await?;
        let being_deleted = reading::being_deleted(&server, host.as_deref());
        if server.status == ServerStatus::Deleted {
            return Ok(self.look_again(being_deleted));
        }
        let lost = reading::is_being_deleted(&server);
        if lost && !deletion_is_lost(cx) {
            return Ok(self.look_again(being_deleted));
        }
        if cx.memo.undo_intents == 0
            && cx.operation.kind == OperationKind::Retry
            && server.status == ServerStatus::Active
        {
            cx.fact(format!("server {} has come up since", server.id));
            return Ok(Progress::done());
        }
        self.refuse_to_delete_what_is_relied_on(cx, source_id, &server)
            .await?;
        match host_state {
            HostState::Up { .. } | HostState::None => {}
            HostState::Down { host } => {
                return Ok(self.look_again(format!(
                    "compute host {host} of server {} to answer: Nova would only forget the server, while its guest may run",
                    server.id
                )));
            }
            HostState::Unknown { why } => {
                let why = format!(
                    "kept: nobody knows whether the compute host of server {} is up, so nobody would know whether its guest has ended: {why}",
                    server.id
                );
                return Err(Stop::last(Code::Kept, why));
            }
        }
        let intent = cx.intend_undo_of(server.id.as_str()).await?;
        if !self.is_as_judged(&target, cx, source_id, &server).await? {
            return Ok(self.changed_meanwhile(cx));
        }
        cx.memo.undo_asked_at = Some(cx.scribe.now());
        let intent = match lost {
            true => {
                self.reset_lost_deletion(&target, cx, source_id, &server, &intent)
                    .await?
            }
            false => Some(intent),
        };
        let Some(intent) = intent else {
            return Ok(self.changed_meanwhile(cx));
        };
        let nova = intent.on(&target).compute();
        let answer = match server.status {
            ServerStatus::SoftDeleted => nova.force_delete_server(&server.id).await,
            _ => nova.delete_server(&server.id).await,
        };
        found(answer)?;
        Ok(self.look_again("Nova to delete it"))
    }
}

impl CloudActions {
    /// Frees a server whose deletion Nova has lost: it takes none of a server that it believes to be deleting. Gives the
    /// intent to delete it; `None` if it is not the server any more that was judged.
    async fn reset_lost_deletion(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
        server: &Server,
        intent: &Intent,
    ) -> Result<Option<Intent>, Stop> {
        let admin = self.target_admin(cx).await?;
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
        self.refuse_to_delete_what_is_relied_on(cx, source_id, &again)
            .await?;
        Ok(again.task_state.is_none().then_some(intent))
    }

    /// Whether a copy is still what was judged when it was written down that it goes.
    async fn is_as_judged(
        &self,
        target: &Cloud,
        cx: &Cx<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<bool, Stop> {
        match reading::server(target, &server.id).await? {
            Some(again) if again.status == server.status => {
                self.refuse_to_delete_what_is_relied_on(cx, source_id, &again)
                    .await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// A build that was asked for more than once may have been carried out more than once (a request that was on its way
    /// while its engine was frozen): only the one that runs stays.
    async fn delete_surplus(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
        keep: &Server,
    ) -> Result<Option<Progress>, Stop> {
        if cx.memo.intents < 2 {
            return Ok(None);
        }
        for server in all_of_this_step(target, cx, source_id).await? {
            if server.id == keep.id || reading::is_being_deleted(&server) {
                continue;
            }
            self.refuse_to_delete_what_is_relied_on(cx, source_id, &server)
                .await?;
            let intent = cx.intend_undo_of(server.id.as_str()).await?;
            let kept = reading::server(target, &keep.id).await?;
            let runs = kept.is_some_and(|kept| {
                kept.status == ServerStatus::Active && !reading::is_being_deleted(&kept)
            });
            if !runs || !self.is_as_judged(target, cx, source_id, &server).await? {
                return Ok(Some(self.changed_meanwhile(cx)));
            }
            cx.fact(format!("server {} was built twice; deleted", server.id));
            let open = intent.on(target);
            found(open.compute().delete_server(&server.id).await)?;
        }
        Ok(None)
    }

    /// Whether a copy may go, by its marks and what is known of it.
    async fn refuse_to_delete_what_is_relied_on(
        &self,
        cx: &Cx<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<(), Stop> {
        let protected_by = cx.protected_by(server.id.as_str()).await?;
        let (marks, seen) = (mark::seen(&server.metadata), reading::seen_server(server));
        let asked = who_asked(cx, source_id);
        let original = match asked {
            Asked::ByHand if seen.may_run() => self.original_in_words(cx, source_id).await,
            _ => String::new(),
        };
        let judged = RecoveredServer {
            copy: RecoveredCopy {
                maker: mark::maker(cx.operation),
                project_id: cx.plan().target.project_id.as_str(),
                protected_by: protected_by.as_deref(),
            },
            id: server.id.as_str(),
            asked,
            made_at: &at(server),
            original: &original,
        };
        match verdict_recovered_server(&judged, &marks, &seen) {
            Verdict::Delete => self.refuse_to_discard_copies_of(cx, source_id).await,
            Verdict::Keep { why } => Err(Stop::last(Code::Kept, why)),
            other => Err(not_for_this("copy of a server", &other)),
        }
    }

    /// What a person has to know of the original before its copy is discarded.
    async fn original_in_words(&self, cx: &Cx<'_>, id: &ServerId) -> String {
        let site = &cx.plan().source.site;
        let read = async { reading::server(&self.source(cx).await?, id).await };
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

/// After this long without an end a deletion was lost: Nova's own work on one takes seconds.
const DELETION_IS_LOST_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Whether the deletion that Nova shows under way has to be asked for again.
fn deletion_is_lost(cx: &mut Cx<'_>) -> bool {
    let now = cx.scribe.now();
    let asked = *cx.memo.undo_asked_at.get_or_insert(now);
    now - asked >= DELETION_IS_LOST_AFTER
}

/// Refuses to build beside another copy of the same server, whichever operation made it: it may be what everybody works on,
/// and two would write with one name (I16).
async fn refuse_beside_another_copy(
    target: &Cloud,
    cx: &Cx<'_>,
    source_id: &ServerId,
) -> Result<(), Stop> {
    if cx.operation.kind == OperationKind::TestFailover {
        return Ok(());
    }
    let copies = ServerFilter::marked(mark::SOURCE, source_id.as_str());
    let others = target.compute().servers(&copies).await.map_err(stop)?;
    let other = others.into_iter().find(|server| {
        !mark::is_of_a_test(&server.metadata)
            && !reading::is_being_deleted(server)
            && can_be_started(server)
    });
    let Some(other) = other else {
        return Ok(());
    };
    let site = &cx.plan().target.site;
    let by = mark::seen(&other.metadata).operation;
    let by = by.as_deref().unwrap_or("that it does not name");
    let id = &other.id;
    let (adopted, taken_back) = match cx.step.verb {
        // The site of the originals is lost, and that operation may be one that only its protector runs.
        Verb::Member => (
            format!("adopt {by} --source-is-lost"),
            format!(
                "'openstack --os-cloud {site} server delete {id}' deletes it, or where the protector that ran that operation answers 'openstack dr operation cleanup {by}'; then bring the group up again"
            ),
        ),
        _ => (
            format!("adopt {by}"),
            format!("'openstack dr operation cleanup {by}' takes it back"),
        ),
    };
    Err(Stop::last(
        Code::Blocked,
        format!(
            "server {id} on {site} is {status} and marked as a copy of {source_id}, made by operation {by}: no other one is built beside it; if it is what is in use, 'openstack dr operation {adopted}' goes forward with it; if it may go, {taken_back}; if it is no copy, 'openstack --os-cloud {site} server unset --property {mark} {id}' takes the mark off",
            status = other.status.as_str(),
            mark = mark::SOURCE,
        ),
    ))
}

/// Whether a copy runs, or anybody may start it: then two would run. One that has failed to be built does neither.
fn can_be_started(server: &Server) -> bool {
    server.status == ServerStatus::Shutoff || super::fence::may_run(server)
}

/// Remembers a copy that was found. Of the only request for it nothing more can come.
fn know(cx: &mut Cx<'_>, server: &Server) {
    cx.memo.made = Some(server.id.to_string());
    if cx.memo.intents == 1 && !cx.memo.adopted {
        cx.memo.unanswered_at = None;
    }
}

/// Whether Nova has built, is building, or certainly will not build what it was asked for.
fn says_what_became_of_it(answer: &Result<ServerId, CloudError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => error.certainly_not_done(),
    }
}

/// Whether a build that got no answer may not have come to its end: Nova shows no server before it has reserved each of the
/// volumes. Then no list proves that there is no copy.
fn may_still_be_carried_out(cx: &Cx<'_>) -> bool {
    let within = TimeDelta::from_std(CARRIED_OUT_WITHIN).unwrap_or(TimeDelta::MAX);
    let asked = cx.memo.unanswered_at;
    asked.is_some_and(|at| cx.scribe.now() < at + within)
}

fn member<'a>(cx: &'a Cx<'_>, source_id: &ServerId) -> Result<&'a Member, Stop> {
    cx.plan()
        .member_of_server(source_id.as_str())
        .ok_or_else(|| not_in_plan("server", source_id.as_str()))
}

fn copies_of_volumes(cx: &Cx<'_>, source_id: &ServerId) -> Result<Vec<VolumeId>, Stop> {
    member(cx, source_id)?
        .volumes
        .iter()
        .map(|volume| {
            cx.mapped(MapKind::Volume, volume.id.as_str())
                .map(VolumeId::new)
                .ok_or_else(|| not_in_plan("copy of volume", volume.id.as_str()))
        })
        .collect()
}

/// The copy that this step made, if it made one: by its id where that is known, else by its marks. The one that is known
/// may not be the only one: a build that was asked for once may have been carried out twice. A retry looks for one
/// whatever it remembers: the tries before it may have made one that nobody heard of.
async fn find_recovered(
    target: &Cloud,
    cx: &Cx<'_>,
    source_id: &ServerId,
) -> Result<Option<Server>, Stop> {
    if let Some(id) = &cx.memo.made
        && let Some(server) = reading::server(target, &ServerId::new(id.clone())).await?
    {
        return Ok(Some(server));
    }
    if cx.memo.intents == 0 && cx.operation.kind != OperationKind::Retry {
        return Ok(None);
    }
    Ok(all_of_this_step(target, cx, source_id)
        .await?
        .into_iter()
        .next())
}

/// Everything that this step made, the oldest first.
async fn all_of_this_step(
    target: &Cloud,
    cx: &Cx<'_>,
    source_id: &ServerId,
) -> Result<Vec<Server>, Stop> {
    let maker = mark::maker(cx.operation);
    let made_by = ServerFilter::marked(mark::OPERATION, maker.as_str());
    let mut servers = target.compute().servers(&made_by).await.map_err(stop)?;
    servers.retain(|server| mark::is_ours(&server.metadata, maker, source_id.as_str()));
    servers.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
    let mut ours = Vec::new();
    for server in servers {
        if mark::made_as_us(target, server.user_id.as_ref()).await? {
            ours.push(server);
        }
    }
    Ok(ours)
}

/// A refusal after an earlier, uncertain try may only mean that the earlier one holds the volumes: look once more.
fn refusal_of_build(cx: &Cx<'_>, fault: Fault) -> Stop {
    match fault {
        Fault::Final { why, .. } if cx.memo.intents > 1 && cx.step.progress.failed_tries < 3 => {
            Stop::passing(why)
        }
        other => Stop::Fault(other),
    }
}

/// All volumes, the boot volume first, then in the order of their devices.
fn block_devices(cx: &Cx<'_>, member: &Member) -> Result<Vec<BlockDevice>, Stop> {
    let copies = copies_of_volumes(cx, &member.server_id)?;
    Ok(member
        .volumes
        .iter()
        .zip(copies)
        .map(|(known, copy)| BlockDevice {
            source: BlockSource::Volume(copy),
            boot_index: if known.boot { Some(0) } else { None },
            device_name: Some(known.device.clone()).filter(|device| !device.is_empty()),
            delete_on_termination: false,
        })
        .collect())
}

/// The mapped network with the member's fixed address, or the port that the tenant keeps for it; a new address where that
/// one cannot be had.
async fn network_on_target(
    target: &Cloud,
    cx: &mut Cx<'_>,
    member: &Member,
    nic: &Nic,
) -> Result<ServerNetwork, Stop> {
    let network = cx
        .plan()
        .mappings
        .networks
        .get(nic.network_id.as_str())
        .map(|id| NetworkId::new(id.clone()))
        .ok_or_else(|| not_in_plan("mapping of network", nic.network_id.as_str()))?;
    let wanted = nic
        .fixed_ips
        .iter()
        .find(|ip| ip.is_ipv4())
        .or(nic.fixed_ips.first());
    match wanted {
        None => Ok(ServerNetwork::Network {
            network,
            fixed_ip: None,
        }),
        Some(ip) => {
            let address = cx.plan().address_on_target(member, *ip);
            keep_address(target, cx, network, address).await
        }
    }
}

async fn keep_address(
    target: &Cloud,
    cx: &mut Cx<'_>,
    network: NetworkId,
    ip: IpAddr,
) -> Result<ServerNetwork, Stop> {
    let subnets = target.network().subnets(&network).await.map_err(stop)?;
    if !subnets.iter().any(|subnet| contains(subnet, ip)) {
        cx.fact(format!(
            "address {ip} is outside the mapped network: a new one is used"
        ));
        return Ok(ServerNetwork::Network {
            network,
            fixed_ip: None,
        });
    }
    let taken = PortFilter {
        network_id: Some(network.clone()),
        ip_address: Some(ip.to_string()),
        ..PortFilter::default()
    };
    let ports = target.network().ports(&taken).await.map_err(stop)?;
    if ports.is_empty() {
        return Ok(ServerNetwork::Network {
            network,
            fixed_ip: Some(ip.to_string()),
        });
    }
    let project = cx.plan().target.project_id.clone();
    if let Some(port) = ports
        .into_iter()
        .find(|port| is_kept_for_us(port, &project))
    {
        cx.fact(format!("port {} holds address {ip} and is used", port.id));
        return Ok(ServerNetwork::Port(port.id));
    }
    cx.fact(format!(
        "address {ip} is taken on the mapped network: a new one is used"
    ));
    Ok(ServerNetwork::Network {
        network,
        fixed_ip: None,
    })
}

/// Whether a port is the tenant's own and belongs to nothing. A port that a tenant made outlives its server, so on the way
/// back the member's own port waits for it.
fn is_kept_for_us(port: &Port, project: &ProjectId) -> bool {
    port.device_id.is_empty() && port.device_owner.is_empty() && port.project_id == *project
}

/// Whether an address lies in a subnet's range. A range that cannot be read holds nothing.
fn contains(subnet: &Subnet, ip: IpAddr) -> bool {
    let Some((base, length)) = subnet.cidr.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else {
        return false;
    };
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(length))
                .unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(length))
                .unwrap_or(0);
            base.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

/// The member's availability zone, if the target has one of that name.
async fn zone_on_target(
    target: &Cloud,
    cx: &mut Cx<'_>,
    wanted: Option<&str>,
) -> Result<Option<String>, Stop> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let zones = target.compute().availability_zones().await.map_err(stop)?;
    if zones.iter().any(|zone| zone == wanted) {
        return Ok(Some(wanted.to_owned()));
    }
    cx.fact(format!(
        "availability zone {wanted} is not on the target: Nova chooses"
    ));
    Ok(None)
}
