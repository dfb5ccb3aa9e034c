//! The ports of a member's copy: made as the original's are before the copy is built, taken back, and deleted with the server
//! that a group has left.
//!
//! Neutron has no metadata: the mark stands in the description, which is known from the plan alone, so that a port is found again
//! whatever became of the request for it.

use std::{collections::BTreeSet, net::IpAddr};

use chrono::TimeDelta;
use protector_core::{
    fault::StepFailure,
    id::{MemberId, NetworkId, OperationId, ProjectId, ServerId},
    journal::Effect,
    mark::{is_port_made_by, is_port_of, own_description, port_description, port_description_of},
    member::{Member, Nic, PortSpec},
    operation::{MapKind, Mapped, OperationKind},
    plan::Plan,
    resource_map::port_key,
    security_group::{GroupOwner, SecurityGroupSeen, resolve},
};
use protector_openstack::{
    cloud::Cloud,
    error::{CallError, ErrorClass},
    id::PortId,
    network::{FixedIp, Port, PortFilter, Subnet},
};

use super::{
    counterparts::{CARRIED_OUT_WITHIN, mapped_network, member},
    mark,
    port_request::{Less, PortRequest},
    reading,
    site_clouds::SiteClouds,
    target_check::security_groups_there,
};
use crate::{
    action::{Progress, StepContext},
    clouds::{found, stop},
    step_error::StepError,
};

/// Which addresses a port is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    /// All that the original has, or it is not made.
    Kept,
    /// Those of the original that can be had, and new ones for the others.
    New,
}

/// What became of the making of one port.
enum Made {
    /// It is there, and free for the copy.
    Port(Box<Port>),
    /// Its addresses cannot be had: it is made with new ones when all others have theirs.
    Left,
    NotYet(Progress),
}

/// What became of one request for a port.
enum Answered {
    Made(Box<Port>),
    /// An earlier request has had an end meanwhile.
    Found(Made),
    /// It is not there, and why.
    Refused(CallError),
}

/// What a card asks for, or what settles it.
enum Asked {
    For(Wish),
    Settled(Made),
}

/// The addresses that are asked for, and what is told of those that are not.
#[derive(Default)]
struct Wish {
    fixed_ips: Vec<FixedIp>,
    /// One at least is not the original's.
    has_new_ones: bool,
    told: Vec<String>,
}

impl Wish {
    fn new_one_for(&mut self, why: String, subnet: &Subnet) {
        self.has_new_ones = true;
        self.told.push(format!("{why}: a new one is used"));
        self.fixed_ips.push(FixedIp {
            subnet_id: Some(subnet.id.clone()),
            ip_address: None,
        });
    }

    fn outside(&mut self, address: IpAddr, subnets: &[Subnet]) {
        let why = format!("address {address} is outside the mapped network");
        let is_alike = |subnet: &&Subnet| (subnet.ip_version == 4) == address.is_ipv4();
        match subnets.iter().find(is_alike) {
            Some(subnet) if subnet.is_automatic() => self
                .told
                .push(format!("{why}: one made of the MAC address is used")),
            Some(subnet) => self.new_one_for(why, subnet),
            None => self.told.push(format!(
                "{why}, which has no subnet of its kind: the copy has none in its place"
            )),
        }
    }
}

/// Who holds an address.
enum Holder {
    Nobody,
    /// A port that may be used as it is.
    Ours(Box<Port>),
    /// A server of this member that is being deleted.
    Leaving(Progress),
    Another,
}

/// The port of the copy of `server` for its network card `index`, if one was made.
pub(super) fn made_for(cx: &StepContext<'_>, server: &ServerId, index: usize) -> Option<PortId> {
    cx.known(|map| map.port(server, index)).map(PortId::new)
}

/// A server's network cards, by their numbers.
pub(super) fn cards(member: &Member) -> impl Iterator<Item = (usize, &Nic)> {
    member.server.nics.iter().enumerate()
}

/// The addresses that the port of a card is to have. A test asks for one: all it has to show is that the copy is reached.
fn asked_addresses(cx: &StepContext<'_>, nic: &Nic) -> Vec<IpAddr> {
    let all = &nic.fixed_ips;
    match cx.operation.kind {
        OperationKind::TestFailover => {
            let first = all.iter().find(|ip| ip.is_ipv4()).or(all.first());
            first.copied().into_iter().collect()
        }
        _ => all.clone(),
    }
}

/// Whether a server's group on the target is another project's. Nova looks for the groups of ports that it makes among its
/// project's own only, by name and by id alike, and has one list for all of them: no port is left to it then.
fn has_shared_groups(plan: &Plan, member: &Member, there: &[SecurityGroupSeen]) -> bool {
    let wanted = plan.recovery.security_groups_on_target(member).into_iter();
    let mut found = wanted.filter_map(|(_, wanted)| resolve(wanted, there).ok());
    found.any(|group| group.owner == GroupOwner::Shared)
}

/// Steps about the ports of those servers.
pub(super) struct Ports<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl Ports<'_> {
    pub(super) async fn reserve_ports(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        self.make_ports(cx, source_id, Addresses::Kept).await
    }

    pub(super) async fn complete_ports(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        match self.make_ports(cx, source_id, Addresses::New).await? {
            Progress::Done(effects) => match self.take_over_ports(cx, source_id).await? {
                None => Ok(Progress::Done(effects)),
                Some(not_yet) => Ok(not_yet),
            },
            not_yet => Ok(not_yet),
        }
    }

    /// Gives each port that an interrupted operation has made for the member our mark: it is deleted with the copy that has it,
    /// or taken back by this operation, and is nothing of the interrupted one any more. One that no copy has, and no card of
    /// ours uses, is deleted.
    async fn take_over_ports(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        if cx.plan().interrupted.is_empty() {
            return Ok(None);
        }
        let target = self.clouds.target(cx).await?;
        let member = member(cx, source_id)?.clone();
        let made = made_on_target(&target, cx, &member).await?;
        // A server that Nova is building may not have its ports yet.
        let has_a_copy = !made.is_empty() && self.has_a_copy(cx, source_id).await?;
        for port in made {
            if is_free(&port) && !has_a_copy {
                let deleted = self.delete_unused(&target, cx, source_id, &port);
                if let Some(not_yet) = deleted.await? {
                    return Ok(Some(not_yet));
                }
                continue;
            }
            let maker = mark::maker(cx.operation);
            let Some(ours) = port_description_of(&port.description, maker) else {
                continue;
            };
            if let Some(not_yet) = self.describe(&target, cx, &port, &ours).await? {
                return Ok(Some(not_yet));
            }
            cx.fact(format!(
                "port {} was made by an operation that was interrupted; it has our mark now",
                port.id
            ));
        }
        Ok(None)
    }

    /// Deletes a free port of an interrupted operation, unless that has a copy by now, which may be about to get it.
    async fn delete_unused(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        port: &Port,
    ) -> Result<Option<Progress>, StepError> {
        let member = member(cx, source_id)?.clone();
        let intent = cx.intend_to_delete_port(port.id.as_str()).await?;
        let has_a_copy = self.has_a_copy(cx, source_id).await?;
        if has_a_copy || !made_on_target(target, cx, &member).await?.contains(port) {
            cx.has_not_deleted_port(port.id.as_str());
            return Ok(Some(self.clouds.changed_meanwhile(cx)));
        }
        let cloud = intent.on(target);
        delete(&cloud, cx, port, |why| {
            format!(
                "port {} ({}), which an interrupted operation has made and nothing uses, could not be deleted: {why}",
                port.id,
                addresses_of(port)
            )
        })
        .await?;
        cx.fact(format!(
            "port {} ({}), which an interrupted operation has made and nothing used, was deleted",
            port.id,
            addresses_of(port)
        ));
        Ok(None)
    }

    /// The free port that an interrupted operation has made for a card, which is ours from now on.
    async fn of_interrupted(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
    ) -> Result<Option<Made>, StepError> {
        for maker in cx.plan().interrupted.clone() {
            let description = port_description(
                own_description(&card.description),
                &card.member.id,
                &maker,
                card.index,
            );
            let ports = marked(target, cx, &description).await?;
            let Some(port) = ports.into_iter().find(is_free) else {
                continue;
            };
            if let Some(not_yet) = self.takes(target, cx, card, &port).await? {
                return Ok(Some(Made::NotYet(not_yet)));
            }
            cx.fact(format!(
                "port {} was made by operation {maker}, which was interrupted; it is used",
                port.id
            ));
            return Ok(Some(Made::Port(Box::new(port))));
        }
        Ok(None)
    }

    async fn make_ports(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
        addresses: Addresses,
    ) -> Result<Progress, StepError> {
        let member = member(cx, source_id)?.clone();
        let is_open =
            |index| addresses == Addresses::Kept || made_for(cx, source_id, index).is_none();
        let open: Vec<(usize, &Nic)> = cards(&member)
            .filter(|(index, _)| is_open(*index))
            .collect();
        if open.is_empty() || self.has_a_copy(cx, source_id).await? {
            return Ok(Progress::done());
        }
        let target = self.clouds.target(cx).await?;
        let groups = groups_for(&target, cx.plan(), &member).await?;
        let makes_all = has_shared_groups(cx.plan(), &member, &groups);
        let mut effects = Vec::new();
        for (index, nic) in open {
            // A card without an address is left to Nova.
            if nic.fixed_ips.is_empty() && !makes_all {
                continue;
            }
            let card = Card {
                groups: &groups,
                member: &member,
                nic,
                index,
                network: mapped_network(cx, nic)?,
                description: description(cx, &member, nic, index),
            };
            match self.port_for(&target, cx, &card, addresses).await? {
                Made::Port(port) => effects.push(
                    Mapped::Port {
                        server: source_id.clone(),
                        card: index,
                        port: port.id.to_string(),
                    }
                    .into(),
                ),
                Made::Left => {}
                Made::NotYet(progress) => return Ok(progress),
            }
        }
        Ok(Progress::Done(effects))
    }

    /// Whether a copy is there that an earlier try or an interrupted operation has built: it has its ports.
    async fn has_a_copy(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<bool, StepError> {
        if cx.operation.kind == OperationKind::Retry
            && !self
                .clouds
                .all_of_this_step(cx, source_id)
                .await?
                .is_empty()
        {
            return Ok(true);
        }
        // What it remembers of a server is for the line that builds it.
        let memo = cx.memo.clone();
        let adopted = self.clouds.find_adopted_server(cx, source_id).await;
        cx.memo = memo;
        Ok(adopted?.is_some())
    }

    async fn port_for(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
        addresses: Addresses,
    ) -> Result<Made, StepError> {
        let there = match (self.made_before(target, cx, card).await?, addresses) {
            (None, Addresses::New) => self.of_interrupted(target, cx, card).await?,
            (made, _) => made,
        };
        let made = match there {
            Some(made) => made,
            None => self.asked_for(target, cx, card, addresses).await?,
        };
        if let Made::Port(port) = &made {
            tag(target, cx, card, port).await?;
        }
        Ok(made)
    }

    /// Asks for the port of a card, for less each time that Neutron refuses it.
    async fn asked_for(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
        addresses: Addresses,
    ) -> Result<Made, StepError> {
        let wish = match self.wish(target, cx, card).await? {
            Asked::For(wish) => wish,
            Asked::Settled(made) => return Ok(made),
        };
        if addresses == Addresses::Kept {
            for told in &wish.told {
                cx.fact(told.clone());
            }
            if wish.has_new_ones {
                return Ok(Made::Left);
            }
        }
        let mut request = PortRequest::of(target, cx, card, wish.fixed_ips).await?;
        loop {
            match self.asked_once(target, cx, card, &request).await? {
                Answered::Found(made) => return Ok(made),
                Answered::Made(port) => {
                    request.tell_what_was_given_up(cx);
                    cx.memo.made = Some(port.id.to_string());
                    return Ok(Made::Port(port));
                }
                Answered::Refused(error) => match request.less(cx, &error) {
                    Less::Asked => {}
                    Less::OtherAddresses if addresses == Addresses::Kept => {
                        return Ok(Made::Left);
                    }
                    Less::OtherAddresses => {}
                    Less::Nothing => return Err(stop(error)),
                },
            }
        }
    }

    /// Asks for a port once, unless an earlier request has made it meanwhile.
    async fn asked_once(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
        request: &PortRequest,
    ) -> Result<Answered, StepError> {
        let before = cx.memo.unanswered_at;
        cx.memo.unanswered_at = Some(cx.writer.now());
        let intent = cx.intend().await?;
        if let Some(made) = self.made_before(target, cx, card).await? {
            cx.memo.unanswered_at = before;
            return Ok(Answered::Found(made));
        }
        let open = intent.on(target);
        let answer = open.network().create_port(&request.port()).await;
        let is_settled = |error: &CallError| error.certainly_not_done();
        if answer.as_ref().err().is_none_or(is_settled) {
            cx.memo.unanswered_at = before;
        }
        match answer {
            Ok(port) => Ok(Answered::Made(Box::new(port))),
            Err(error) if error.is_quota() => Err(stop(error)),
            Err(error) => Ok(Answered::Refused(error)),
        }
    }

    /// The port that this operation has made for a card.
    async fn made_before(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
    ) -> Result<Option<Made>, StepError> {
        let ports = marked(target, cx, &card.description).await?;
        let Some(port) = ports.iter().find(|port| is_free(port)).or(ports.first()) else {
            return Ok(None);
        };
        cx.memo.made = Some(port.id.to_string());
        if is_free(port) {
            return Ok(Some(Made::Port(Box::new(port.clone()))));
        }
        let on = format!(
            "port {} to be let go of by server {}",
            port.id, port.device_id
        );
        Ok(Some(Made::NotYet(self.clouds.look_again(on))))
    }

    /// The addresses that a card asks for: its own where the mapped network has them free.
    async fn wish(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
    ) -> Result<Asked, StepError> {
        let network = target.network();
        let subnets = network.subnets(&card.network).await.map_err(stop)?;
        let mut wish = Wish::default();
        for address in &asked_addresses(cx, card.nic) {
            let address = cx.plan().address_on_target(card.member, *address);
            let Some(subnet) = subnets.iter().find(|subnet| subnet.contains(address)) else {
                wish.outside(address, &subnets);
                continue;
            };
            if subnet.is_automatic() {
                continue;
            }
            match self.holder(target, cx, card, address).await? {
                Holder::Nobody => wish.fixed_ips.push(FixedIp {
                    subnet_id: Some(subnet.id.clone()),
                    ip_address: Some(address.to_string()),
                }),
                Holder::Another => wish.new_one_for(
                    format!("address {address} is taken on the mapped network"),
                    subnet,
                ),
                Holder::Ours(port) => {
                    return match self.takes(target, cx, card, &port).await? {
                        None => {
                            let id = &port.id;
                            cx.fact(format!("port {id} holds address {address} and is used"));
                            Ok(Asked::Settled(Made::Port(port)))
                        }
                        Some(not_yet) => Ok(Asked::Settled(Made::NotYet(not_yet))),
                    };
                }
                Holder::Leaving(progress) => return Ok(Asked::Settled(Made::NotYet(progress))),
            }
        }
        // Neutron would choose: not before all that are wanted are reserved.
        wish.has_new_ones |= wish.fixed_ips.is_empty();
        Ok(Asked::For(wish))
    }

    /// Takes a free port for a card. One that another operation has made for this member gets our mark, so that nothing that
    /// the other one still takes back finds it. What there is to wait for, if it is not free any more.
    async fn takes(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
        port: &Port,
    ) -> Result<Option<Progress>, StepError> {
        if !is_port_of(&port.description, &card.member.id) {
            return Ok(None);
        }
        let described = self.describe(target, cx, port, &card.description).await?;
        if described.is_none() {
            cx.memo.made = Some(port.id.to_string());
        }
        Ok(described)
    }

    /// Gives a port another description. What there is to wait for, if it is not as it was seen any more.
    async fn describe(
        &self,
        target: &Cloud,
        cx: &mut StepContext<'_>,
        port: &Port,
        description: &str,
    ) -> Result<Option<Progress>, StepError> {
        let intent = cx.intend().await?;
        let now = target.network().port(&port.id).await.map_err(stop)?;
        if now != *port {
            return Ok(Some(self.clouds.changed_meanwhile(cx)));
        }
        let open = intent.on(target);
        let network = open.network();
        let described = network.describe_port(&port.id, description).await;
        described.map_err(stop)?;
        Ok(None)
    }

    /// Who holds an address of a card already.
    async fn holder(
        &self,
        target: &Cloud,
        cx: &StepContext<'_>,
        card: &Card<'_>,
        address: IpAddr,
    ) -> Result<Holder, StepError> {
        let project = &cx.plan().target.project_id;
        let holders = PortFilter {
            network_id: Some(card.network.clone()),
            ip_addresses: vec![address.to_string()],
            ..PortFilter::default()
        };
        let holders = target.network().ports(&holders).await.map_err(stop)?;
        let Some(holder) = holders.first() else {
            return Ok(Holder::Nobody);
        };
        let is_of_member = is_port_of(&holder.description, &card.member.id);
        let is_unmarked = own_description(&holder.description) == holder.description;
        if holder.is_kept_by(project) && (is_of_member || is_unmarked) {
            return Ok(Holder::Ours(Box::new(holder.clone())));
        }
        if is_of_member && holder.project_id == *project {
            let server = ServerId::new(holder.device_id.clone());
            let ends = reading::server(target, &server).await?;
            if ends.is_some_and(|server| reading::is_being_deleted(&server)) {
                let on = format!("server {server} to let go of address {address}");
                return Ok(Holder::Leaving(self.clouds.look_again(on)));
            }
        }
        Ok(Holder::Another)
    }

    /// Deletes the ports that this operation has made, but for those that a server is using: they are its own by now.
    pub(super) async fn take_ports_back(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let member = member(cx, source_id)?.clone();
        let gone = Progress::Done(
            cards(&member)
                .map(|(index, _)| Effect::Unmapped {
                    kind: MapKind::Port,
                    source: port_key(source_id, index),
                })
                .collect(),
        );
        if !cx.memo.has_made_something() {
            return Ok(gone);
        }
        let target = self.clouds.target(cx).await?;
        for (index, nic) in cards(&member) {
            let description = description(cx, &member, nic, index);
            for port in marked(&target, cx, &description).await.map_err(again)? {
                if !is_free(&port) {
                    // The record must not have it among what was deleted.
                    cx.memo.made.take_if(|made| made == port.id.as_str());
                    cx.has_not_deleted_port(port.id.as_str());
                    cx.fact(format!(
                        "port {} stays: it is in server {}",
                        port.id, port.device_id
                    ));
                    continue;
                }
                cx.memo.made = Some(port.id.to_string());
                let intent = cx.intend_undo_of_port(port.id.as_str()).await?;
                let still = marked(&target, cx, &description).await.map_err(again)?;
                if !still.contains(&port) {
                    cx.has_not_deleted_port(port.id.as_str());
                    return Ok(self.clouds.changed_meanwhile(cx));
                }
                let cloud = intent.on(&target);
                delete(&cloud, cx, &port, |why| {
                    format!("port {} could not be deleted: {why}", port.id)
                })
                .await?;
            }
        }
        if may_still_come(cx) {
            return Ok(self
                .clouds
                .look_again("the end of a request that Neutron did not answer"));
        }
        settle_unanswered(&target, cx).await?;
        Ok(gone)
    }
}

impl SiteClouds<'_> {
    /// Deletes the ports that an earlier move has made for a server that the group has left, and that is gone. Nova leaves
    /// ports that it was given.
    pub(super) async fn delete_ports_left(
        &self,
        cx: &mut StepContext<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Option<Progress>, StepError> {
        let Some(member) = cx.plan().member_of_server(id.as_str()).cloned() else {
            return Ok(None);
        };
        let Some(maker) = member.server.metadata.get(protector_core::mark::OPERATION) else {
            return Ok(None);
        };
        let left = PortsOfGoneServer {
            cloud: source,
            project: cx.plan().source.project_id.clone(),
            networks: cards(&member)
                .map(|(_, nic)| nic.network_id.clone())
                .collect(),
            member: member.id.clone(),
            maker: maker.clone(),
        };
        self.delete_ports_of(cx, id.as_str(), &left).await
    }

    /// Deletes the ports that `test` has made for its copy of a server, which is gone.
    pub(super) async fn delete_ports_of_test(
        &self,
        cx: &mut StepContext<'_>,
        target: &Cloud,
        test: &OperationId,
        (original, copy): (&ServerId, &str),
    ) -> Result<Option<Progress>, StepError> {
        let member = member(cx, original)?.clone();
        let left = PortsOfGoneServer {
            cloud: target,
            project: cx.plan().target.project_id.clone(),
            networks: cards(&member)
                .map(|(_, nic)| mapped_network(cx, nic))
                .collect::<Result<_, _>>()?,
            member: member.id,
            maker: test.to_string(),
        };
        self.delete_ports_of(cx, copy, &left).await
    }

    async fn delete_ports_of(
        &self,
        cx: &mut StepContext<'_>,
        server: &str,
        left: &PortsOfGoneServer<'_>,
    ) -> Result<Option<Progress>, StepError> {
        for network in &left.networks {
            for port in left.on(network).await? {
                let intent = cx.intend_to_delete_port(port.id.as_str()).await?;
                if !left.on(network).await?.contains(&port) {
                    cx.has_not_deleted_port(port.id.as_str());
                    return Ok(Some(self.changed_meanwhile(cx)));
                }
                let cloud = intent.on(left.cloud);
                delete(&cloud, cx, &port, |why| {
                    format!(
                        "server {server} is deleted; its port {} ({}) could not be: {why}",
                        port.id,
                        addresses_of(&port)
                    )
                })
                .await?;
                cx.fact(format!(
                    "its port {} ({}) was deleted",
                    port.id,
                    addresses_of(&port)
                ));
            }
        }
        settle_unanswered(left.cloud, cx).await?;
        Ok(None)
    }
}

/// The security groups that are on the target, if the member has any.
pub(super) async fn groups_for(
    target: &Cloud,
    plan: &Plan,
    member: &Member,
) -> Result<Vec<SecurityGroupSeen>, StepError> {
    match member.security_groups().is_empty() {
        true => Ok(Vec::new()),
        false => security_groups_there(target, plan).await,
    }
}

/// A network card, and where its copy's port goes.
pub(super) struct Card<'a> {
    pub(super) member: &'a Member,
    pub(super) nic: &'a Nic,
    /// Its number among the server's.
    pub(super) index: usize,
    pub(super) network: NetworkId,
    pub(super) description: String,
    /// The security groups that are there.
    pub(super) groups: &'a [SecurityGroupSeen],
}

impl Card<'_> {
    pub(super) fn spec(&self) -> Option<&PortSpec> {
        self.nic.port.as_ref()
    }
}

fn description(cx: &mut StepContext<'_>, member: &Member, nic: &Nic, index: usize) -> String {
    let own = nic
        .port
        .as_ref()
        .map_or("", |spec| spec.description.as_str());
    let marked = port_description(own, &member.id, mark::maker(cx.operation), index);
    if !marked.starts_with(own) {
        cx.fact("the description of its port is too long beside our mark: its end is cut off");
    }
    marked
}

/// The ports with exactly this description, which carries the mark.
async fn marked(
    target: &Cloud,
    cx: &StepContext<'_>,
    description: &str,
) -> Result<Vec<Port>, StepError> {
    let filter = PortFilter {
        project_id: Some(cx.plan().target.project_id.clone()),
        description: Some(description.to_owned()),
        ..PortFilter::default()
    };
    target.network().ports(&filter).await.map_err(stop)
}

/// The ports on the target that an interrupted operation has made for `member`, free or not.
async fn made_on_target(
    target: &Cloud,
    cx: &StepContext<'_>,
    member: &Member,
) -> Result<Vec<Port>, StepError> {
    let networks: BTreeSet<NetworkId> = cards(member)
        .map(|(_, nic)| mapped_network(cx, nic))
        .collect::<Result<_, _>>()?;
    let mut made = Vec::new();
    for network in networks {
        let filter = PortFilter {
            project_id: Some(cx.plan().target.project_id.clone()),
            network_id: Some(network),
            ..PortFilter::default()
        };
        let ports = target.network().ports(&filter).await.map_err(stop)?;
        made.extend(ports.into_iter().filter(|port| {
            let by = |maker: &OperationId| {
                is_port_made_by(&port.description, &member.id, maker.as_str())
            };
            cx.plan().interrupted.iter().any(by)
        }));
    }
    Ok(made)
}

/// The ports that `maker` has made for `member`, of a server that is gone.
struct PortsOfGoneServer<'a> {
    cloud: &'a Cloud,
    project: ProjectId,
    networks: BTreeSet<NetworkId>,
    member: MemberId,
    maker: String,
}

impl PortsOfGoneServer<'_> {
    /// Those of `network` that nothing uses any more. What another operation has reserved meanwhile is its own.
    async fn on(&self, network: &NetworkId) -> Result<Vec<Port>, StepError> {
        let filter = PortFilter {
            project_id: Some(self.project.clone()),
            network_id: Some(network.clone()),
            ..PortFilter::default()
        };
        let mut ports = self.cloud.network().ports(&filter).await.map_err(stop)?;
        let is_ours = |port: &Port| is_port_made_by(&port.description, &self.member, &self.maker);
        ports.retain(|port| is_ours(port) && is_free(port));
        Ok(ports)
    }
}

/// Looks what has become of the ports whose deletion got no answer: one that is still there was taken by somebody meanwhile.
/// It is for the audit trail alone: where the look is refused it stays unanswered there, and what was deleted is deleted.
async fn settle_unanswered(cloud: &Cloud, cx: &mut StepContext<'_>) -> Result<(), StepError> {
    for id in cx.memo.ports.unanswered.clone() {
        let port = cloud.network().port(&PortId::new(id.clone())).await;
        match found(port) {
            Ok(None) => cx.has_deleted_port(&id),
            Ok(Some(_)) => cx.has_not_deleted_port(&id),
            Err(StepError::Fault(StepFailure::Final { .. })) => {}
            Err(passing) => return Err(passing),
        }
    }
    Ok(())
}

/// A deletion that is refused is asked for again: what forbids it may be a server that is being taken out of it.
async fn delete(
    cloud: &Cloud,
    cx: &mut StepContext<'_>,
    port: &Port,
    words: impl FnOnce(&CallError) -> String,
) -> Result<(), StepError> {
    let answer = cloud.network().delete_port(&port.id).await;
    let id = port.id.as_str();
    match &answer {
        Ok(()) => cx.has_deleted_port(id),
        Err(error) if error.class() == ErrorClass::NotFound => cx.has_deleted_port(id),
        Err(error) if error.certainly_not_done() => cx.has_not_deleted_port(id),
        Err(_) => {}
    }
    match answer {
        Err(error) if matches!(error.status(), Some(403 | 409)) => {
            Err(StepError::passing(words(&error)))
        }
        answer => found(answer).map(|_| ()),
    }
}

/// Gives the port that this operation has made for a card the tags that it lacks, beside those that it has: also one that is
/// found by its mark after a request that got no answer. A copy whose port has no tags runs, so a refusal is told.
async fn tag(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    card: &Card<'_>,
    port: &Port,
) -> Result<(), StepError> {
    if port.description != card.description || lacking_tags(card, port).is_empty() {
        return Ok(());
    }
    let intent = cx.intend_beside().await?;
    let Some(now) = found(target.network().port(&port.id).await)? else {
        return Ok(());
    };
    let mut tags = lacking_tags(card, &now);
    if tags.is_empty() {
        return Ok(());
    }
    tags.extend(now.tags);
    let tagged = intent.on(target).network().tag_port(&port.id, &tags).await;
    if let Err(error) = tagged {
        cx.fact(format!("{} tags: {error}", untagged(&port.id)));
    }
    Ok(())
}

/// How the fact begins that tells of a port without its tags.
pub(super) fn untagged(port: &PortId) -> String {
    format!("port {port} has not all its")
}

pub(super) fn lacking_tags(card: &Card<'_>, port: &Port) -> Vec<String> {
    let wanted = card.spec().map(|spec| spec.tags.as_slice());
    let wanted = wanted.unwrap_or_default().iter();
    let lacks = |tag: &&String| !port.tags.contains(tag);
    wanted.filter(lacks).cloned().collect()
}

/// One refusal, of a reading too, must not leave a port for good: it is asked again until the line's limit.
fn again(refused: StepError) -> StepError {
    match refused {
        StepError::Fault(StepFailure::Final { why, .. }) => StepError::passing(why),
        other => other,
    }
}

fn is_free(port: &Port) -> bool {
    port.device_id.is_empty() && port.device_owner.is_empty()
}

fn addresses_of(port: &Port) -> String {
    let addresses = port.fixed_ips.iter();
    let addresses: Vec<&str> = addresses
        .filter_map(|ip| ip.ip_address.as_deref())
        .collect();
    addresses.join(", ")
}

fn may_still_come(cx: &StepContext<'_>) -> bool {
    let within = TimeDelta::from_std(CARRIED_OUT_WITHIN).unwrap_or(TimeDelta::MAX);
    cx.memo
        .unanswered_at
        .is_some_and(|asked| cx.writer.now() - asked < within)
}
