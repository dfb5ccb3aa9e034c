//! What is asked of Neutron for the port of a copy, and how much less where Neutron refuses it.
//!
//! What policy forbids is told by a status alone: Neutron names all that was asked for. So each thing is left out in turn, and
//! what a port was made without is told when it is made.

use std::collections::BTreeSet;

use protector_core::{
    fault::{Code, StepFailure},
    group::Fidelity,
    member::{AddressPair, AdminState, Member, PortSpec},
    operation::OperationKind,
    qos_policy::QosPolicy,
    runbook::Verb,
    security_group::{NoSecurityGroup, resolve},
};
use protector_openstack::{
    cloud::Cloud,
    error::CallError,
    id::SecurityGroupId,
    network::{FixedIp, NewPort},
};

use super::ports::Card;
use crate::{action::StepContext, clouds::stop, step_error::StepError};

/// What a port may be made without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Mac,
    PortSecurity,
    AddressPairs,
    QosPolicy,
    DnsDomain,
    DhcpOptions,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Mac,
        Self::PortSecurity,
        Self::AddressPairs,
        Self::QosPolicy,
        Self::DnsDomain,
        Self::DhcpOptions,
    ];

    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Mac => "MAC address",
            Self::PortSecurity => "switch for port security",
            Self::AddressPairs => "allowed address pairs",
            Self::QosPolicy => "QoS policy",
            Self::DnsDomain => "DNS domain",
            Self::DhcpOptions => "extra DHCP options",
        }
    }

    /// Neutron's name of it.
    fn attribute(self) -> &'static str {
        match self {
            Self::Mac => "mac_address",
            Self::PortSecurity => "port_security_enabled",
            Self::AddressPairs => "allowed_address_pairs",
            Self::QosPolicy => "qos_policy_id",
            Self::DnsDomain => "dns_domain",
            Self::DhcpOptions => "extra_dhcp_opts",
        }
    }

    fn is_in(self, port: &NewPort) -> bool {
        match self {
            Self::Mac => port.mac_address.is_some(),
            Self::PortSecurity => port.port_security_enabled.is_some(),
            Self::AddressPairs => !port.allowed_address_pairs.is_empty(),
            Self::QosPolicy => port.qos_policy_id.is_some(),
            Self::DnsDomain => port.dns_domain.is_some(),
            Self::DhcpOptions => !port.extra_dhcp_opts.is_empty(),
        }
    }

    fn leave_out_of(self, port: &mut NewPort) {
        match self {
            Self::Mac => port.mac_address = None,
            Self::PortSecurity => {
                if port.port_security_enabled.take() == Some(false) {
                    // With port security and without a group nothing would reach it.
                    port.security_groups.take_if(|groups| groups.is_empty());
                }
            }
            Self::AddressPairs => port.allowed_address_pairs.clear(),
            Self::QosPolicy => port.qos_policy_id = None,
            Self::DnsDomain => port.dns_domain = None,
            Self::DhcpOptions => port.extra_dhcp_opts.clear(),
        }
    }
}

/// How the fact begins that tells what the port of the card `index` was made without.
pub(super) fn made_without(index: usize, part: Part) -> String {
    format!(
        "the port of card {} is made without its {}",
        index + 1,
        part.in_words()
    )
}

/// What policy may forbid, left out in turn: first what nothing but a cloud's own policy forbids, alone; then what Neutron by
/// itself leaves to the owner of the network, each time with and without the former; at last all of it. A cloud may let its
/// tenants choose MAC addresses and not port security, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rung {
    Everything,
    WithoutQosPolicy,
    WithoutMac,
    WithoutMacAndQosPolicy,
    WithoutPortSecurity,
    WithoutPortSecurityAndQosPolicy,
    WithoutPortSecurityAndPairs,
    WithoutPortSecurityPairsAndQosPolicy,
    WithoutSecurity,
    WithoutSecurityAndQosPolicy,
    WithoutAny,
}

impl Rung {
    const ALL: [Self; 11] = [
        Self::Everything,
        Self::WithoutQosPolicy,
        Self::WithoutMac,
        Self::WithoutMacAndQosPolicy,
        Self::WithoutPortSecurity,
        Self::WithoutPortSecurityAndQosPolicy,
        Self::WithoutPortSecurityAndPairs,
        Self::WithoutPortSecurityPairsAndQosPolicy,
        Self::WithoutSecurity,
        Self::WithoutSecurityAndQosPolicy,
        Self::WithoutAny,
    ];

    fn leaves_out(self) -> &'static [Part] {
        match self {
            Self::Everything => &[],
            Self::WithoutQosPolicy => &[Part::QosPolicy],
            Self::WithoutMac => &[Part::Mac],
            Self::WithoutMacAndQosPolicy => &[Part::Mac, Part::QosPolicy],
            Self::WithoutPortSecurity => &[Part::PortSecurity],
            Self::WithoutPortSecurityAndQosPolicy => &[Part::PortSecurity, Part::QosPolicy],
            Self::WithoutPortSecurityAndPairs => &[Part::PortSecurity, Part::AddressPairs],
            Self::WithoutPortSecurityPairsAndQosPolicy => {
                &[Part::PortSecurity, Part::AddressPairs, Part::QosPolicy]
            }
            Self::WithoutSecurity => &[Part::Mac, Part::PortSecurity, Part::AddressPairs],
            Self::WithoutSecurityAndQosPolicy => &[
                Part::Mac,
                Part::PortSecurity,
                Part::AddressPairs,
                Part::QosPolicy,
            ],
            Self::WithoutAny => &Part::ALL,
        }
    }
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Less {
    /// Less is asked for, with the same addresses.
    Asked,
    /// Neutron is to choose other addresses.
    OtherAddresses,
    /// There is nothing less to ask for.
    Nothing,
}

/// A port that is asked for.
pub(super) struct PortRequest {
    index: usize,
    /// All that may be had, as far as is known.
    all: NewPort,
    rung: Rung,
    /// The answer to the rung before.
    refusal: String,
}

impl PortRequest {
    /// For all that the port of a card is to have.
    pub(super) async fn of(
        target: &Cloud,
        cx: &mut StepContext<'_>,
        card: &Card<'_>,
        fixed_ips: Vec<FixedIp>,
    ) -> Result<Self, StepError> {
        let mut all = NewPort::on(card.network.clone(), "");
        all.description.clone_from(&card.description);
        all.fixed_ips = fixed_ips;
        all.security_groups = Some(groups_on_target(cx, card)?);
        if let Some(spec) = card.spec() {
            set(&mut all, cx, card.member, spec);
            leave_to_the_original(&mut all, cx, card.index);
            all.qos_policy_id = policy_on_target(target, cx, card, spec).await?;
        }
        Ok(Self {
            index: card.index,
            all,
            rung: Rung::Everything,
            refusal: String::new(),
        })
    }

    /// What is asked for now.
    pub(super) fn port(&self) -> NewPort {
        self.without(self.rung)
    }

    fn without(&self, rung: Rung) -> NewPort {
        let mut port = self.all.clone();
        for part in rung.leaves_out() {
            part.leave_out_of(&mut port);
        }
        port
    }

    /// Asks for less after `error`, if that may be had.
    pub(super) fn less(&mut self, cx: &mut StepContext<'_>, error: &CallError) -> Less {
        if self.leaves_out_what_is_named(cx, error) {
            return Less::Asked;
        }
        if error.status() == Some(403) && !is_strict(cx) && self.climbs_down(error) {
            return Less::Asked;
        }
        if is_about_addresses(cx, error, &self.all) {
            ask_for_new_ones(cx, &mut self.all, error);
            // It may have been the addresses alone that policy forbids: all else is asked for again.
            self.rung = Rung::Everything;
            self.refusal.clear();
            return Less::OtherAddresses;
        }
        Less::Nothing
    }

    /// Tells what the port that was made lacks because policy forbids it.
    pub(super) fn tell_what_was_given_up(&self, cx: &mut StepContext<'_>) {
        for part in self.rung.leaves_out() {
            if part.is_in(&self.all) {
                let refusal = &self.refusal;
                cx.fact(format!("{}: {refusal}", made_without(self.index, *part)));
            }
        }
    }

    /// To the next rung that asks for something else than every one before.
    fn climbs_down(&mut self, error: &CallError) -> bool {
        let rungs = Rung::ALL.into_iter();
        let (tried, left): (Vec<Rung>, Vec<Rung>) = rungs.partition(|rung| *rung <= self.rung);
        let tried: Vec<NewPort> = tried.into_iter().map(|rung| self.without(rung)).collect();
        let mut left = left.into_iter();
        let Some(next) = left.find(|rung| !tried.contains(&self.without(*rung))) else {
            return false;
        };
        self.rung = next;
        self.refusal = error.to_string();
        true
    }

    /// Leaves out for good what `error` names: what Neutron there has no extension for, a MAC address that another port has, a
    /// QoS policy that is gone or that the network cannot keep.
    fn leaves_out_what_is_named(&mut self, cx: &mut StepContext<'_>, error: &CallError) -> bool {
        let words = error.message().unwrap_or_default().to_lowercase();
        let is_named = |part: Part| match (error.status(), part) {
            (Some(400), part) => {
                words.contains("unrecognized attribute") && words.contains(part.attribute())
            }
            (Some(409), Part::Mac) => words.contains("mac address"),
            (Some(404 | 409), Part::QosPolicy) => {
                words.contains("qos") || words.contains("is not supported by port")
            }
            _ => false,
        };
        let asked_for = self.port();
        let named = Part::ALL.into_iter();
        let named: Vec<Part> = named
            .filter(|part| part.is_in(&asked_for) && is_named(*part))
            .collect();
        for part in &named {
            part.leave_out_of(&mut self.all);
            cx.fact(format!("{}: {error}", made_without(self.index, *part)));
        }
        !named.is_empty()
    }
}

/// What would be known beyond an isolated network is not asked for by a test: the original has it, and goes on.
fn leave_to_the_original(port: &mut NewPort, cx: &mut StepContext<'_>, index: usize) {
    if cx.operation.kind != OperationKind::TestFailover {
        return;
    }
    for part in [Part::Mac, Part::DnsDomain] {
        if part.is_in(port) {
            part.leave_out_of(port);
            let without = made_without(index, part);
            cx.fact(format!("{without}: a test leaves that to the original"));
        }
    }
}

fn set(port: &mut NewPort, cx: &StepContext<'_>, member: &Member, spec: &PortSpec) {
    port.name.clone_from(&spec.name);
    port.mac_address = Some(spec.mac_address.clone()).filter(|mac| !mac.is_empty());
    port.port_security_enabled = spec.port_security_enabled;
    let pairs = spec.allowed_address_pairs.iter();
    port.allowed_address_pairs = pairs.map(|pair| pair_on_target(cx, member, pair)).collect();
    port.admin_state_up = (spec.admin_state == AdminState::Down).then_some(false);
    port.extra_dhcp_opts.clone_from(&spec.extra_dhcp_opts);
    port.dns_domain = Some(spec.dns_domain.clone()).filter(|domain| !domain.is_empty());
}

/// The QoS policies that the tenant sees on the target. A Neutron that does not tell them for good holds no copy up.
pub(super) async fn policies_there(
    target: &Cloud,
) -> Result<Result<Vec<QosPolicy>, String>, StepError> {
    match target.network().qos_policies().await.map_err(stop) {
        Ok(there) => Ok(Ok(there)),
        Err(StepError::Fault(StepFailure::Final { why, .. })) => Ok(Err(why)),
        Err(passing) => Err(passing),
    }
}

/// The QoS policy that stands for a card's on the target. A port without runs as its network lets it: that is told.
async fn policy_on_target(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    card: &Card<'_>,
    spec: &PortSpec,
) -> Result<Option<String>, StepError> {
    let Some(known) = &spec.qos_policy else {
        return Ok(None);
    };
    let there = match policies_there(target).await? {
        Ok(there) => there,
        Err(why) => {
            cx.fact(format!(
                "{}: {known}: {why}",
                made_without(card.index, Part::QosPolicy)
            ));
            return Ok(None);
        }
    };
    let found = known.counterpart(&cx.plan().mappings.qos_policies, &there);
    match found {
        Ok(found) => Ok(Some(found.id.clone())),
        Err(why) => {
            let why = why.in_words(cx.plan().target.site.as_str());
            let without = made_without(card.index, Part::QosPolicy);
            cx.fact(format!("{without}: {known} {why}"));
            Ok(None)
        }
    }
}

/// An address of the original's own stands for that which its copy has.
pub(super) fn pair_on_target(
    cx: &StepContext<'_>,
    member: &Member,
    pair: &AddressPair,
) -> AddressPair {
    let address = pair.ip_address.parse().ok();
    let there = address.map(|address| cx.plan().address_on_target(member, address));
    AddressPair {
        ip_address: there.map_or_else(|| pair.ip_address.clone(), |there| there.to_string()),
        mac_address: pair.mac_address.clone(),
    }
}

/// The ids of security groups on the target: Neutron takes no names.
fn groups_on_target(
    cx: &StepContext<'_>,
    card: &Card<'_>,
) -> Result<Vec<SecurityGroupId>, StepError> {
    let (plan, target) = (cx.plan(), &cx.plan().target);
    let names = match card.spec() {
        Some(port) => plan.groups_of_port_on_target(card.member, port),
        None => plan.security_groups_on_target(card.member),
    };
    let ids = names
        .into_iter()
        .map(|name| match resolve(&name, card.groups) {
            Ok(group) => Ok(SecurityGroupId::new(group.id.clone())),
            Err(why) => Err(StepError::last(
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

/// New addresses of the same subnets for those that `error` names, or for all; of any subnet, where none is asked for by now.
fn ask_for_new_ones(cx: &mut StepContext<'_>, port: &mut NewPort, error: &CallError) {
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
fn is_about_addresses(cx: &StepContext<'_>, error: &CallError, port: &NewPort) -> bool {
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
fn is_strict(cx: &StepContext<'_>) -> bool {
    cx.operation.kind.is_a_move()
        && cx.step.verb == Verb::Undoable
        && cx.plan().fidelity == Fidelity::Strict
}
