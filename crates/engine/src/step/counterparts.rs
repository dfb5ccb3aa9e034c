//! The copy of a member's server on the target: built and confirmed.

use std::{net::IpAddr, time::Duration};

use protector_core::{
    confidential::Confidential,
    fault::{Code, StepFailure},
    guard::to_make_it_run,
    id::{NetworkId, ServerId, VolumeId},
    journal::Effect,
    member::{Member, Nic},
    operation::{Mapped, OperationKind},
    plan::Plan,
    recovery_plan::UserDataOnCopy,
    runbook::Verb,
};
use protector_openstack::{
    UserData,
    cloud::Cloud,
    compute::{BlockDevice, BlockSource, NewServer, Server, ServerNetwork},
    error::CallError,
    microversion::ServiceMicroversion,
    network::PortFilter,
    service::Service,
    status::{ServerStatus, VolumeStatus},
};

use super::{
    adopted,
    arrays::Arrays,
    fidelity,
    key_pair::key_pair_on_target,
    mark,
    marked_counterparts::{CounterpartState, listed_copies_of},
    port_fidelity, ports, reading,
    server_group::OneAtATime,
    server_group::{cure_of_no_host, its_server_group, not_in_its_group},
    site_clouds::SiteClouds,
    target_check::flavor_on_target,
};
use crate::{
    action::{Progress, StepContext},
    clouds::stop,
    step_error::{StepError, not_in_plan},
};

/// Within this time after it was written down a request that got no answer has been carried out or never will be: it is sent
/// once, and the rest is Nova's own time.
pub(super) const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(300);

/// Steps about the servers that stand for the originals on the target.
pub(super) struct Counterparts<'a> {
    pub(super) clouds: SiteClouds<'a>,
    pub(super) arrays: &'a Arrays,
    pub(super) server_groups: &'a OneAtATime,
}

impl Counterparts<'_> {
    pub(super) async fn recreate_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let own = self.find_recovered(&target, cx, source_id).await?;
        let found = match own {
            None => self.clouds.find_adopted_server(cx, source_id).await?,
            own => own,
        };
        if let Some(server) = found {
            know(cx, &server);
            return self.judge_build(&target, cx, source_id, &server).await;
        }
        // One that was known and is gone must not hide the one that is made now.
        cx.memo.made = None;
        cx.memo.seen.host = None;
        cx.memo.adopted = false;
        if let Some(not_yet) = self.another_life_may_run(&target, cx, source_id).await? {
            return Ok(not_yet);
        }
        let request = self.build_request(&target, cx, source_id).await?;
        let unanswered_before = cx.memo.unanswered_at;
        cx.memo.unanswered_at = Some(cx.writer.now());
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
        // Whatever came of it, another one is not built on the word of the same silence.
        cx.memo.since.silent = None;
        if says_what_became_of_it(&answer) {
            cx.memo.unanswered_at = unanswered_before;
        }
        match answer {
            Ok(created) => {
                cx.memo.made = Some(created.to_string());
                Ok(self.clouds.look_again("Nova to build it"))
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
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if let Some(not_yet) = self.clouds.original_may_write(cx, source_id).await? {
            return Ok(Some(not_yet));
        }
        if let Some(not_yet) = self
            .clouds
            .refuse_beside_returned_original(cx, source_id)
            .await?
        {
            return Ok(Some(not_yet));
        }
        if let Some(not_yet) = self
            .clouds
            .its_original_may_run(target, cx, source_id)
            .await?
        {
            return Ok(Some(not_yet));
        }
        self.clouds.another_copy_may_run(cx, source_id).await
    }

    async fn judge_build(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        server: &Server,
    ) -> Result<Progress, StepError> {
        if reading::is_being_deleted(server) {
            return Ok(self.clouds.look_again("Nova to delete it"));
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
                    self.clouds.note_host_of_copy(cx, server).await?;
                }
                let group = its_server_group(target, member(cx, source_id)?, server).await?;
                let built = Effect::from(Mapped::Server {
                    source: source_id.clone(),
                    target: server.id.clone(),
                });
                Ok(Progress::Done(
                    std::iter::once(built).chain(group).collect(),
                ))
            }
            ServerStatus::Shutoff if cx.memo.adopted && server.task_state.is_none() => {
                let intent = cx.intend().await?;
                if reading::server(target, &server.id).await?.as_ref() != Some(server) {
                    return Ok(self.clouds.changed_meanwhile(cx));
                }
                cx.fact("it was shut off, and is started");
                intent
                    .on(target)
                    .compute()
                    .start_server(&server.id)
                    .await
                    .map_err(stop)?;
                Ok(self.clouds.look_again("Nova to start it"))
            }
            ServerStatus::Error if cx.memo.adopted => Err(StepError::last(
                Code::Broken,
                format!(
                    "server {id} on {site}, which the interrupted operation has made, is in ERROR: {fault}; if it cannot be mended, 'openstack server delete {id}' lets 'openstack dr retry {group}' build another one from its volumes",
                    id = server.id,
                    site = cx.plan().target.site,
                    fault = reading::fault_text(server),
                    group = cx.plan().group_name,
                ),
            )),
            ServerStatus::Shelved | ServerStatus::ShelvedOffloaded | ServerStatus::SoftDeleted
                if cx.memo.adopted =>
            {
                let (site, status) = (&cx.plan().target.site, server.status.as_str());
                Err(StepError::last(
                    Code::Broken,
                    format!(
                        "server {id} on {site}, which the interrupted operation has made, is {status}: {first}, then 'openstack dr retry {group}'",
                        id = server.id,
                        first = to_make_it_run(status, site, server.id.as_str()),
                        group = cx.plan().group_name,
                    ),
                ))
            }
            ServerStatus::Error => {
                let fault = reading::fault_text(server);
                let cure = cure_of_no_host(cx.plan(), member(cx, source_id)?, fault);
                Err(StepError::last(
                    Code::Broken,
                    format!(
                        "Nova on {} could not build server {}: {fault}{}",
                        cx.plan().target.site,
                        server.id,
                        cure.unwrap_or_default()
                    ),
                ))
            }
            status => Ok(self
                .clouds
                .look_again(format!("server status {}", status.as_str()))),
        }
    }

    async fn build_request(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<NewServer, StepError> {
        let member = member(cx, source_id)?.clone();
        let spec = &member.server;
        let flavor = flavor_on_target(target, cx.plan(), &spec.flavor).await?.id;
        let mut networks = Vec::new();
        for (index, nic) in spec.nics.iter().enumerate() {
            // Operations of older books, tests and NICs without an address have none.
            networks.push(match ports::made_for(cx, source_id, index) {
                Some(port) => ServerNetwork::Port {
                    port,
                    tag: nic.tag.clone(),
                },
                None => network_on_target(target, cx, &member, nic).await?,
            });
        }
        let key_name = match &spec.key_pair {
            Some(known) => key_pair_on_target(target, cx, known).await?,
            None => None,
        };
        let availability_zone =
            zone_on_target(target, cx, spec.availability_zone.as_deref()).await?;
        let hostname = hostname_on_target(target, cx, spec.hostname.as_deref()).await?;
        let server_group = match &spec.server_group {
            Some(known) => self.server_group_on_target(target, cx, known).await?,
            None => None,
        };
        let user_data = user_data_of(cx.plan(), &member)
            .map_err(|why| StepError::last(Code::Missing, why))?
            .map(UserData::new);
        if user_data.is_none() && spec.user_data.is_some() {
            cx.fact("built without its user data, as the recovery plan says");
        }
        let has_all_ports = networks
            .iter()
            .all(|network| matches!(network, ServerNetwork::Port { .. }));
        // Ports made before have theirs, and Nova would refuse those that another project shares.
        let security_groups = match has_all_ports {
            true => Vec::new(),
            false => cx.plan().security_groups_on_target(&member),
        };
        Ok(NewServer {
            name: member.name.clone(),
            flavor,
            image: None,
            block_devices: block_devices(cx, &member)?,
            networks,
            security_groups,
            key_name,
            metadata: mark::for_copy(&spec.metadata, cx.operation, source_id.as_str()),
            user_data,
            availability_zone,
            config_drive: Some(spec.config_drive),
            description: spec.description.clone(),
            tags: spec.tags.clone(),
            hostname,
            server_group,
        })
    }

    pub(super) async fn confirm_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let id = cx
            .known(|map| map.server(source_id))
            .ok_or_else(|| not_in_plan("copy of server", source_id.as_str()))?;
        let Some(server) = reading::server(&target, &id).await? else {
            let why = format!("server {id} has disappeared from {}", cx.plan().target.site);
            return Err(StepError::last(Code::Broken, why));
        };
        match &server.status {
            ServerStatus::Active => {}
            ServerStatus::Error => {
                let why = format!(
                    "server {id} went to ERROR: {}",
                    reading::fault_text(&server)
                );
                return Err(StepError::last(Code::Broken, why));
            }
            status => {
                cx.memo.since.healthy = None;
                return Ok(self
                    .clouds
                    .look_again(format!("server status {}", status.as_str())));
            }
        }
        for volume in copies_of_volumes(cx, source_id)? {
            let seen = reading::volume(&target, &volume).await?;
            let attached = seen.is_some_and(|volume| {
                volume.status == VolumeStatus::InUse
                    && volume.attachments.iter().any(|there| there.server_id == id)
            });
            if !attached {
                cx.memo.since.healthy = None;
                return Ok(self
                    .clouds
                    .look_again(format!("volume {volume} to be attached to it")));
            }
        }
        let now = cx.writer.now();
        let since = *cx.memo.since.healthy.get_or_insert(now);
        let healthy_for = (now - since).to_std().unwrap_or_default();
        match self.clouds.options.health_check.checked_sub(healthy_for) {
            Some(left) if !left.is_zero() => Ok(Progress::Waiting {
                on: "the server to stay healthy".to_owned(),
                again: left,
            }),
            _ => {
                cx.fact(format!(
                    "server {id} was ACTIVE with all its volumes attached for {} s",
                    healthy_for.as_secs()
                ));
                if let Some(member) = cx.plan().member_of_server(source_id.as_str()) {
                    let member = member.clone();
                    fidelity::outliving(&member).for_each(|fact| cx.fact(fact));
                    let differences = fidelity::differences(cx.plan(), &member, &server);
                    let mut differences =
                        fidelity::with_groups_by_name(&target, cx.plan(), &member, differences)
                            .await?;
                    differences.extend(not_in_its_group(cx, &member, &server));
                    let ports = port_fidelity::of_copy(&target, cx, &member, &server.id).await?;
                    differences.extend(ports.new);
                    fidelity::judge(cx, &member.name, differences, ports.told)?;
                }
                Ok(Progress::done())
            }
        }
    }
}

/// The user data with which the copy is built. A copy without it would be another machine, unless its recovery plan says so.
/// Where it cannot be read, why.
pub(super) fn user_data_of<'m>(plan: &Plan, member: &'m Member) -> Result<Option<&'m str>, String> {
    let kept = match plan.user_data_on_target(member) {
        UserDataOnCopy::Keep => member.server.user_data.as_ref(),
        UserDataOnCopy::Omit => None,
    };
    kept.map(Confidential::expose)
        .transpose()
        .map_err(|why| format!("the user data of {} cannot be read: {why}", member.name))
}

impl SiteClouds<'_> {
    /// Refuses to build beside another copy of the same server, whichever operation made it: it may be what everybody works
    /// on, and two would write with one name (I16). One that is being deleted is waited for.
    pub(super) async fn another_copy_may_run(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if cx.operation.kind == OperationKind::TestFailover {
            return Ok(None);
        }
        let mut copies = self.copies_on_target(cx, source_id).await?;
        copies.retain(|copy| !copy.is_of_a_test());
        if let Some(other) = copies
            .iter()
            .find(|copy| copy.life == CounterpartState::Lasting)
        {
            return Err(not_beside(cx, source_id, &other.server));
        }
        let ending = copies
            .iter()
            .find(|copy| copy.life == CounterpartState::Ending);
        Ok(ending.map(|copy| {
            let id = &copy.server.id;
            let what = reading::being_deleted(&copy.server, None);
            self.look_again(format!("another copy, server {id}, to be gone: {what}"))
        }))
    }

    /// Everything that this step made, the oldest first.
    pub(super) async fn all_of_this_step(
        &self,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Vec<Server>, StepError> {
        let maker = mark::maker(cx.operation);
        let target = self.target(cx).await?;
        let copies = listed_copies_of(&target, source_id).await;
        Ok(copies
            .map_err(stop)?
            .into_iter()
            .filter(|copy| copy.is_ours && copy.is_of(maker))
            .map(|copy| copy.server)
            .collect())
    }
}

impl Counterparts<'_> {
    /// The copy that this step made, if it made one: by its id where that is known, else by its marks. The one that is known
    /// may not be the only one: a build that was asked for once may have been carried out twice. A retry looks for one
    /// whatever it remembers: the tries before it may have made one that nobody heard of.
    pub(super) async fn find_recovered(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Server>, StepError> {
        if let Some(id) = &cx.memo.made
            && let Some(server) = reading::server(target, &ServerId::new(id.clone())).await?
        {
            return Ok(Some(server));
        }
        if cx.memo.intents == 0 && cx.operation.kind != OperationKind::Retry {
            return Ok(None);
        }
        let all = self.clouds.all_of_this_step(cx, source_id).await?;
        Ok(all.into_iter().next())
    }
}

fn not_beside(cx: &StepContext<'_>, source_id: &ServerId, other: &Server) -> StepError {
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
    StepError::last(
        Code::Blocked,
        format!(
            "server {id} on {site} is {status} and marked as a copy of {source_id}, made by operation {by}: no other one is built beside it; if it is what is in use, 'openstack dr operation {adopted}' goes forward with it; if it may go, {taken_back}; {take_off}",
            status = other.status.as_str(),
            take_off = mark::take_off(site.as_str(), other.id.as_str()),
        ),
    )
}

/// Remembers a copy that was found. Of the only request for it nothing more can come.
pub(super) fn know(cx: &mut StepContext<'_>, server: &Server) {
    cx.memo.made = Some(server.id.to_string());
    if cx.memo.intents == 1 && !cx.memo.adopted {
        cx.memo.unanswered_at = None;
    }
}

/// Whether Nova has built, is building, or certainly will not build what it was asked for.
fn says_what_became_of_it(answer: &Result<ServerId, CallError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => error.certainly_not_done(),
    }
}

pub(super) fn member<'a>(
    cx: &'a StepContext<'_>,
    source_id: &ServerId,
) -> Result<&'a Member, StepError> {
    cx.plan()
        .member_of_server(source_id.as_str())
        .ok_or_else(|| not_in_plan("server", source_id.as_str()))
}

fn copies_of_volumes(
    cx: &StepContext<'_>,
    source_id: &ServerId,
) -> Result<Vec<VolumeId>, StepError> {
    member(cx, source_id)?
        .volumes
        .iter()
        .map(|volume| {
            cx.known(|map| map.volume(&volume.id))
                .ok_or_else(|| not_in_plan("copy of volume", volume.id.as_str()))
        })
        .collect()
}

/// A refusal after an earlier, uncertain try may only mean that the earlier one holds the volumes: look once more.
fn refusal_of_build(cx: &StepContext<'_>, fault: StepFailure) -> StepError {
    match fault {
        StepFailure::Final { why, .. }
            if cx.memo.intents > 1 && cx.step.progress.failed_tries < 3 =>
        {
            StepError::passing(why)
        }
        other => StepError::Fault(other),
    }
}

/// All volumes, the boot volume first, then in the order of their devices.
fn block_devices(cx: &StepContext<'_>, member: &Member) -> Result<Vec<BlockDevice>, StepError> {
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
            tag: known.tag.clone(),
        })
        .collect())
}

/// The mapped network with the member's fixed address, or the port that the tenant keeps for it; a new address where that
/// one cannot be had.
async fn network_on_target(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    member: &Member,
    nic: &Nic,
) -> Result<ServerNetwork, StepError> {
    let network = mapped_network(cx, nic)?;
    let wanted = nic
        .fixed_ips
        .iter()
        .find(|ip| ip.is_ipv4())
        .or(nic.fixed_ips.first());
    let found = match wanted {
        None => ServerNetwork::Network {
            network,
            fixed_ip: None,
            tag: None,
        },
        Some(ip) => {
            let address = cx.plan().address_on_target(member, *ip);
            keep_address(target, cx, network, address).await?
        }
    };
    Ok(found.tagged(nic.tag.clone()))
}

pub(super) fn mapped_network(cx: &StepContext<'_>, nic: &Nic) -> Result<NetworkId, StepError> {
    let networks = &cx.plan().mappings.networks;
    networks
        .get(nic.network_id.as_str())
        .map(|id| NetworkId::new(id.clone()))
        .ok_or_else(|| not_in_plan("mapping of network", nic.network_id.as_str()))
}

async fn keep_address(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    network: NetworkId,
    ip: IpAddr,
) -> Result<ServerNetwork, StepError> {
    let subnets = target.network().subnets(&network).await.map_err(stop)?;
    if !subnets.iter().any(|subnet| subnet.contains(ip)) {
        cx.fact(format!(
            "address {ip} is outside the mapped network: a new one is used"
        ));
        return Ok(ServerNetwork::Network {
            network,
            fixed_ip: None,
            tag: None,
        });
    }
    let taken = PortFilter {
        network_id: Some(network.clone()),
        ip_addresses: vec![ip.to_string()],
        ..PortFilter::default()
    };
    let ports = target.network().ports(&taken).await.map_err(stop)?;
    if ports.is_empty() {
        return Ok(ServerNetwork::Network {
            network,
            fixed_ip: Some(ip.to_string()),
            tag: None,
        });
    }
    let project = cx.plan().target.project_id.clone();
    if let Some(port) = ports.into_iter().find(|port| port.is_kept_by(&project)) {
        cx.fact(format!("port {} holds address {ip} and is used", port.id));
        return Ok(ServerNetwork::Port {
            port: port.id,
            tag: None,
        });
    }
    cx.fact(format!(
        "address {ip} is taken on the mapped network: a new one is used"
    ));
    Ok(ServerNetwork::Network {
        network,
        fixed_ip: None,
        tag: None,
    })
}

/// The member's availability zone, if the target has one of that name.
async fn zone_on_target(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    wanted: Option<&str>,
) -> Result<Option<String>, StepError> {
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

/// The member's host name, if Nova on the target lets one be given (2.90); a name with dots only since 2.94. Without, Nova
/// makes one of the server's name.
async fn hostname_on_target(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    wanted: Option<&str>,
) -> Result<Option<String>, StepError> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let session = target.session();
    let newest = session.newest_microversion(Service::Compute).await;
    let since = if wanted.contains('.') { 94 } else { 90 };
    if newest.map_err(stop)? >= ServiceMicroversion::new(2, since) {
        return Ok(Some(wanted.to_owned()));
    }
    cx.fact(format!(
        "host name {wanted} cannot be given to Nova on the target (needs 2.{since}): it makes one of the server's name"
    ));
    Ok(None)
}
