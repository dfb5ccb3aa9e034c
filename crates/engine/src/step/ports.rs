//! The ports of a member's copy: made as the original's are before the copy is built, taken back, and deleted with the server
//! that a group has left.
//!
//! Neutron has no metadata: the mark stands in the description, which is known from the plan alone, so that a port is found again
//! whatever became of the request for it.

use std::{collections::BTreeSet, net::IpAddr};

use chrono::TimeDelta;
use protector_core::{
    fault::{Code, Fault},
    group::Fidelity,
    id::{NetworkId, ServerId},
    journal::Effect,
    mark::{is_port_made_by, is_port_of, own_description, port_description},
    member::{AddressPair, Member, Nic, PortSpec},
    operation::{MapKind, OperationKind},
    runbook::Verb,
    security_group::{NoSecurityGroup, SecurityGroupSeen, resolve},
};
use protector_openstack::{
    cloud::Cloud,
    error::CloudError,
    id::{PortId, SecurityGroupId},
    network::{FixedIp, NewPort, Port, PortFilter, Subnet},
};

use super::{
    CloudActions, mark, reading,
    recovered_server::{CARRIED_OUT_WITHIN, mapped_network, member},
    target_check::security_groups_there,
};
use crate::{
    action::{Cx, Progress, Stop},
    clouds::{found, stop},
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
    Port(PortId),
    /// Its addresses cannot be had: it is made with new ones when all others have theirs.
    Left,
    /// Not yet.
    NotYet(Progress),
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

/// What is asked for beside the addresses; each is less than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rung {
    Everything,
    WithoutMac,
    WithoutSecurity,
}

/// The port of the copy of `server` for its network card `index`, if one was made.
pub(super) fn made_for(cx: &Cx<'_>, server: &ServerId, index: usize) -> Option<PortId> {
    cx.mapped(MapKind::Port, &place(server, index))
        .map(PortId::new)
}

fn place(server: &ServerId, index: usize) -> String {
    format!("{server}/{index}")
}

/// A card without an address is left to Nova.
fn cards(member: &Member) -> impl Iterator<Item = (usize, &Nic)> {
    let all = member.server.nics.iter().enumerate();
    all.filter(|(_, nic)| !nic.fixed_ips.is_empty())
}

impl CloudActions {
    pub(super) async fn reserve_ports(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
        self.make_ports(cx, source_id, Addresses::Kept).await
    }

    pub(super) async fn complete_ports(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
        self.make_ports(cx, source_id, Addresses::New).await
    }

    async fn make_ports(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
        addresses: Addresses,
    ) -> Result<Progress, Stop> {
        let member = member(cx, source_id)?.clone();
        let is_open =
            |index| addresses == Addresses::Kept || made_for(cx, source_id, index).is_none();
        let open: Vec<(usize, &Nic)> = cards(&member)
            .filter(|(index, _)| is_open(*index))
            .collect();
        if open.is_empty() || self.has_a_copy(cx, source_id).await? {
            return Ok(Progress::done());
        }
        let target = self.target(cx).await?;
        let groups = match member.security_groups().is_empty() {
            true => Vec::new(),
            false => security_groups_there(&target, cx.plan()).await?,
        };
        let mut effects = Vec::new();
        for (index, nic) in open {
            let card = Card {
                groups: &groups,
                member: &member,
                nic,
                network: mapped_network(cx, nic)?,
                description: description(cx, &member, nic, index),
            };
            match self.port_for(&target, cx, &card, addresses).await? {
                Made::Port(port) => effects.push(Effect::Mapped {
                    kind: MapKind::Port,
                    source: place(source_id, index),
                    target: port.to_string(),
                }),
                Made::Left => {}
                Made::NotYet(progress) => return Ok(progress),
            }
        }
        Ok(Progress::Done(effects))
    }

    /// Whether a copy is there that an earlier try or an interrupted operation has built: it has its ports.
    async fn has_a_copy(&self, cx: &mut Cx<'_>, source_id: &ServerId) -> Result<bool, Stop> {
        if cx.operation.kind == OperationKind::Retry
            && !self.all_of_this_step(cx, source_id).await?.is_empty()
        {
            return Ok(true);
        }
        // What it remembers of a server is for the line that builds it.
        let memo = cx.memo.clone();
        let adopted = self.find_adopted_server(cx, source_id).await;
        cx.memo = memo;
        Ok(adopted?.is_some())
    }

    async fn port_for(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        card: &Card<'_>,
        addresses: Addresses,
    ) -> Result<Made, Stop> {
        if let Some(made) = self.made_before(target, cx, card).await? {
            return Ok(made);
        }
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
        let mut port = wanted(cx, card, wish.fixed_ips)?;
        let mut rung = Rung::Everything;
        loop {
            let before = cx.memo.unanswered_at;
            cx.memo.unanswered_at = Some(cx.scribe.now());
            let intent = cx.intend().await?;
            if let Some(made) = self.made_before(target, cx, card).await? {
                cx.memo.unanswered_at = before;
                return Ok(made);
            }
            let answer = intent.on(target).network().create_port(&port).await;
            if answer
                .as_ref()
                .err()
                .is_none_or(CloudError::certainly_not_done)
            {
                cx.memo.unanswered_at = before;
            }
            match answer {
                Ok(made) => {
                    cx.memo.made = Some(made.id.to_string());
                    let tags = card
                        .spec()
                        .map(|spec| spec.tags.as_slice())
                        .unwrap_or_default();
                    if !tags.is_empty()
                        && let Err(error) =
                            intent.on(target).network().tag_port(&made.id, tags).await
                    {
                        cx.fact(format!("port {} has no tags: {error}", made.id));
                    }
                    return Ok(Made::Port(made.id));
                }
                Err(error) if error.is_quota() => return Err(stop(error)),
                Err(error) => match next_rung(cx, &mut port, rung, &error) {
                    Some(next) => rung = next,
                    None if is_about_addresses(cx, &error, &port) => {
                        ask_for_new_ones(cx, &mut port, &error);
                        if addresses == Addresses::Kept {
                            return Ok(Made::Left);
                        }
                    }
                    None => return Err(stop(error)),
                },
            }
        }
    }

    /// The port that this operation has made for a card.
    async fn made_before(
        &self,
        target: &Cloud,
        cx: &mut Cx<'_>,
        card: &Card<'_>,
    ) -> Result<Option<Made>, Stop> {
        let ports = marked(target, cx, &card.description).await?;
        let Some(port) = ports.iter().find(|port| is_free(port)).or(ports.first()) else {
            return Ok(None);
        };
        cx.memo.made = Some(port.id.to_string());
        if is_free(port) {
            return Ok(Some(Made::Port(port.id.clone())));
        }
        let on = format!(
            "port {} to be let go of by server {}",
            port.id, port.device_id
        );
        Ok(Some(Made::NotYet(self.look_again(on))))
    }

    /// The addresses that a card asks for: its own where the mapped network has them free.
    async fn wish(&self, target: &Cloud, cx: &mut Cx<'_>, card: &Card<'_>) -> Result<Asked, Stop> {
        let network = target.network();
        let subnets = network.subnets(&card.network).await.map_err(stop)?;
        let mut wish = Wish::default();
        for address in &card.nic.fixed_ips {
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
                            Ok(Asked::Settled(Made::Port(port.id)))
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
        cx: &mut Cx<'_>,
        card: &Card<'_>,
        port: &Port,
    ) -> Result<Option<Progress>, Stop> {
        if !is_port_of(&port.description, &card.member.id) {
            return Ok(None);
        }
        let intent = cx.intend().await?;
        let now = target.network().port(&port.id).await.map_err(stop)?;
        if now != *port {
            return Ok(Some(self.changed_meanwhile(cx)));
        }
        let open = intent.on(target);
        let network = open.network();
        let marked = network.describe_port(&port.id, &card.description);
        marked.await.map_err(stop)?;
        cx.memo.made = Some(port.id.to_string());
        Ok(None)
    }

    /// Who holds an address of a card already.
    async fn holder(
        &self,
        target: &Cloud,
        cx: &Cx<'_>,
        card: &Card<'_>,
        address: IpAddr,
    ) -> Result<Holder, Stop> {
        let project = &cx.plan().target.project_id;
        let holders = PortFilter {
            network_id: Some(card.network.clone()),
            ip_address: Some(address.to_string()),
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
                return Ok(Holder::Leaving(self.look_again(on)));
            }
        }
        Ok(Holder::Another)
    }

    /// Deletes the ports that this operation has made, but for those that a server is using: they are its own by now.
    pub(super) async fn take_ports_back(
        &self,
        cx: &mut Cx<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, Stop> {
        let member = member(cx, source_id)?.clone();
        let gone = Progress::Done(
            cards(&member)
                .map(|(index, _)| Effect::Unmapped {
                    kind: MapKind::Port,
                    source: place(source_id, index),
                })
                .collect(),
        );
        if !cx.memo.has_made_something() {
            return Ok(gone);
        }
        let target = self.target(cx).await?;
        for (index, nic) in cards(&member) {
            let description = description(cx, &member, nic, index);
            for port in marked(&target, cx, &description).await.map_err(again)? {
                if !is_free(&port) {
                    // The record must not have it among what was deleted.
                    cx.memo.made.take_if(|made| made == port.id.as_str());
                    cx.fact(format!(
                        "port {} stays: it is in server {}",
                        port.id, port.device_id
                    ));
                    continue;
                }
                cx.memo.made = Some(port.id.to_string());
                let intent = cx.intend_undo_of(port.id.as_str()).await?;
                let still = marked(&target, cx, &description).await.map_err(again)?;
                if !still.contains(&port) {
                    return Ok(self.changed_meanwhile(cx));
                }
                delete(&intent.on(&target), &port, |why| {
                    format!("port {} could not be deleted: {why}", port.id)
                })
                .await?;
            }
        }
        if may_still_come(cx) {
            return Ok(self.look_again("the end of a request that Neutron did not answer"));
        }
        Ok(gone)
    }

    /// Deletes the ports that an earlier move has made for a server that the group has left, and that is gone. Nova leaves
    /// ports that it was given.
    pub(super) async fn delete_ports_left(
        &self,
        cx: &mut Cx<'_>,
        source: &Cloud,
        id: &ServerId,
    ) -> Result<Option<Progress>, Stop> {
        let Some(member) = cx.plan().member_of_server(id.as_str()).cloned() else {
            return Ok(None);
        };
        let Some(maker) = member.server.metadata.get(protector_core::mark::OPERATION) else {
            return Ok(None);
        };
        let networks: BTreeSet<&NetworkId> =
            cards(&member).map(|(_, nic)| &nic.network_id).collect();
        for network in networks {
            for port in left_on(source, cx, &member, maker, network).await? {
                let intent = cx.intend_to_delete(port.id.as_str()).await?;
                let still = left_on(source, cx, &member, maker, network).await?;
                if !still.contains(&port) {
                    return Ok(Some(self.changed_meanwhile(cx)));
                }
                delete(&intent.on(source), &port, |why| {
                    format!(
                        "server {id} is deleted; its port {} ({}) could not be: {why}",
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
        Ok(None)
    }
}

/// A network card, and where its copy's port goes.
struct Card<'a> {
    member: &'a Member,
    nic: &'a Nic,
    network: NetworkId,
    /// With the mark.
    description: String,
    /// The security groups that are there.
    groups: &'a [SecurityGroupSeen],
}

impl Card<'_> {
    fn spec(&self) -> Option<&PortSpec> {
        self.nic.port.as_ref()
    }
}

fn description(cx: &mut Cx<'_>, member: &Member, nic: &Nic, index: usize) -> String {
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

/// All that the port of a card is to have.
fn wanted(cx: &Cx<'_>, card: &Card<'_>, fixed_ips: Vec<FixedIp>) -> Result<NewPort, Stop> {
    let mut port = NewPort::on(card.network.clone(), "");
    port.description.clone_from(&card.description);
    port.fixed_ips = fixed_ips;
    let of_server = &card.member.server.security_groups;
    let names = card.spec().map_or(of_server, |spec| &spec.security_groups);
    port.security_groups = Some(groups_on_target(cx, card, names)?);
    if let Some(spec) = card.spec() {
        port.name.clone_from(&spec.name);
        port.mac_address = Some(spec.mac_address.clone()).filter(|mac| !mac.is_empty());
        port.port_security_enabled = spec.port_security_enabled;
        let pairs = spec.allowed_address_pairs.iter();
        port.allowed_address_pairs = pairs
            .map(|pair| pair_on_target(cx, card.member, pair))
            .collect();
    }
    Ok(port)
}

/// An address of the original's own stands for that which its copy has.
pub(super) fn pair_on_target(cx: &Cx<'_>, member: &Member, pair: &AddressPair) -> AddressPair {
    let address = pair.ip_address.parse().ok();
    let there = address.map(|address| cx.plan().address_on_target(member, address));
    AddressPair {
        ip_address: there.map_or_else(|| pair.ip_address.clone(), |there| there.to_string()),
        mac_address: pair.mac_address.clone(),
    }
}

/// The ids of security groups on the target: Neutron takes no names.
fn groups_on_target(
    cx: &Cx<'_>,
    card: &Card<'_>,
    names: &[String],
) -> Result<Vec<SecurityGroupId>, Stop> {
    let target = &cx.plan().target;
    let names = cx.plan().groups_on_target(card.member, names).into_iter();
    let ids = names.map(|name| match resolve(&name, card.groups) {
        Ok(group) => Ok(SecurityGroupId::new(group.id.clone())),
        Err(why) => Err(Stop::last(
            match why {
                NoSecurityGroup::Absent => Code::Missing,
                NoSecurityGroup::Several(_) => Code::Refused,
            },
            format!(
                "server {}: {}",
                card.member.name,
                why.in_words(&name, target)
            ),
        )),
    });
    ids.collect()
}

/// Less than was asked for, if that may be had where `error` refused it.
fn next_rung(cx: &mut Cx<'_>, port: &mut NewPort, rung: Rung, error: &CloudError) -> Option<Rung> {
    let words = error.message().unwrap_or_default().to_lowercase();
    if error.status() == Some(400) && leave_out_unknown(cx, port, &words, error) {
        return Some(rung);
    }
    let mac_in_use = error.status() == Some(409) && words.contains("mac address");
    if !mac_in_use && (error.status() != Some(403) || is_strict(cx)) {
        return None;
    }
    if rung == Rung::Everything && port.mac_address.take().is_some() {
        cx.fact(format!("its port has another MAC address: {error}"));
        return Some(Rung::WithoutMac);
    }
    let asks_for_security =
        port.port_security_enabled.is_some() || !port.allowed_address_pairs.is_empty();
    if rung == Rung::WithoutSecurity || !asks_for_security {
        return None;
    }
    if port.port_security_enabled.take() == Some(false) {
        // With port security and without a group nothing would reach it.
        port.security_groups.take_if(|groups| groups.is_empty());
    }
    port.allowed_address_pairs.clear();
    cx.fact(format!(
        "its port has port security and allowed addresses as the mapped network has them: {error}"
    ));
    Some(Rung::WithoutSecurity)
}

/// Leaves out what Neutron there has no extension for, or does not take; whether there was any.
fn leave_out_unknown(cx: &mut Cx<'_>, port: &mut NewPort, words: &str, error: &CloudError) -> bool {
    let is_unknown = words.contains("unrecognized attribute");
    let names = |attribute: &str| is_unknown && words.contains(attribute);
    let mut left_out = Vec::new();
    if names("port_security_enabled") && port.port_security_enabled.take().is_some() {
        left_out.push("switch for port security");
    }
    if names("allowed_address_pairs") && !port.allowed_address_pairs.is_empty() {
        port.allowed_address_pairs.clear();
        left_out.push("allowed address pairs");
    }
    for what in &left_out {
        cx.fact(format!("its port has no {what} on the target: {error}"));
    }
    !left_out.is_empty()
}

/// New addresses of the same subnets for those that `error` names, or for all; of any subnet, where none is asked for by now.
fn ask_for_new_ones(cx: &mut Cx<'_>, port: &mut NewPort, error: &CloudError) {
    let words = error.message().unwrap_or_default();
    let asked: BTreeSet<String> = port
        .fixed_ips
        .iter()
        .filter_map(|ip| ip.ip_address.clone())
        .collect();
    if asked.is_empty() {
        cx.fact(format!(
            "Neutron chooses where the addresses come from ({error})"
        ));
        port.fixed_ips.clear();
        return;
    }
    let named: BTreeSet<String> = asked
        .iter()
        .filter(|ip| names(words, ip))
        .cloned()
        .collect();
    let refused = if named.is_empty() { asked } else { named };
    let all: Vec<&str> = refused.iter().map(String::as_str).collect();
    cx.fact(format!(
        "address {} cannot be had on the mapped network: a new one is used ({error})",
        all.join(", ")
    ));
    for fixed in &mut port.fixed_ips {
        fixed.ip_address.take_if(|ip| refused.contains(ip));
    }
}

/// Whether `words` have this address as a whole, not as a part of a longer one.
fn names(words: &str, address: &str) -> bool {
    let is_of_address = |letter: char| letter.is_ascii_hexdigit() || matches!(letter, '.' | ':');
    words
        .split(|letter: char| !is_of_address(letter))
        .any(|word| word.trim_end_matches(['.', ':']) == address)
}

/// Whether less of its addresses may be had where `error` refused a port: it names one, or policy forbids to choose them.
fn is_about_addresses(cx: &Cx<'_>, error: &CloudError, port: &NewPort) -> bool {
    let words = error.message().unwrap_or_default();
    let asked = port
        .fixed_ips
        .iter()
        .filter_map(|ip| ip.ip_address.as_ref());
    match error.status() {
        _ if port.fixed_ips.is_empty() => false,
        Some(403) => !is_strict(cx),
        Some(400 | 409) => {
            asked.into_iter().any(|ip| names(words, ip)) || words.contains("IP address")
        }
        _ => false,
    }
}

/// Whether what policy forbids takes the move back: a planned one of a group with `fidelity: strict`.
fn is_strict(cx: &Cx<'_>) -> bool {
    cx.step.verb == Verb::Undoable && cx.plan().fidelity == Fidelity::Strict
}

/// The ports with exactly this description, which carries the mark.
async fn marked(target: &Cloud, cx: &Cx<'_>, description: &str) -> Result<Vec<Port>, Stop> {
    let filter = PortFilter {
        project_id: Some(cx.plan().target.project_id.clone()),
        description: Some(description.to_owned()),
        ..PortFilter::default()
    };
    target.network().ports(&filter).await.map_err(stop)
}

/// The ports of `network` that `maker`, who has built the server, has made for `member`, and that nothing uses any more. Those
/// that another operation has reserved meanwhile are its own.
async fn left_on(
    source: &Cloud,
    cx: &Cx<'_>,
    member: &Member,
    maker: &str,
    network: &NetworkId,
) -> Result<Vec<Port>, Stop> {
    let filter = PortFilter {
        project_id: Some(cx.plan().source.project_id.clone()),
        network_id: Some(network.clone()),
        ..PortFilter::default()
    };
    let mut ports = source.network().ports(&filter).await.map_err(stop)?;
    ports.retain(|port| is_port_made_by(&port.description, &member.id, maker) && is_free(port));
    Ok(ports)
}

/// A deletion that is refused is asked for again: what forbids it may be a server that is being taken out of it.
async fn delete(
    cloud: &Cloud,
    port: &Port,
    words: impl FnOnce(&CloudError) -> String,
) -> Result<(), Stop> {
    match cloud.network().delete_port(&port.id).await {
        Err(error) if matches!(error.status(), Some(403 | 409)) => {
            Err(Stop::passing(words(&error)))
        }
        answer => found(answer).map(|_| ()),
    }
}

/// One refusal, of a reading too, must not leave a port for good: it is asked again until the line's limit.
fn again(refused: Stop) -> Stop {
    match refused {
        Stop::Fault(Fault::Final { why, .. }) => Stop::passing(why),
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

fn may_still_come(cx: &Cx<'_>) -> bool {
    let within = TimeDelta::from_std(CARRIED_OUT_WITHIN).unwrap_or(TimeDelta::MAX);
    cx.memo
        .unanswered_at
        .is_some_and(|asked| cx.scribe.now() - asked < within)
}
