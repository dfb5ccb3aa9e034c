//! Whether the ports of a copy are as those of its original: as the plan maps them.

use std::collections::BTreeSet;

use protector_core::{
    id::ServerId,
    member::{AddressPair, AdminState, Member, PortSpec},
    member_settings::{Difference, all, one},
    qos_policy::QosPolicy,
    security_group::SecurityGroupSeen,
};
use protector_openstack::{
    cloud::Cloud,
    id::SecurityGroupId,
    network::{Port, PortFilter},
};

use super::{
    counterparts::mapped_network,
    port_request::{Part, made_without, pair_on_target, policies_there},
    ports::{Card, cards, lacking_tags, untagged},
    target_check::security_groups_there,
};
use crate::{action::StepContext, clouds::stop, step_error::StepError};

/// In what the ports of a copy are not as wanted.
#[derive(Default)]
pub(super) struct PortDifferences {
    /// What nobody has told yet.
    pub(super) new: Vec<Difference>,
    /// What was told when the port was made.
    pub(super) told: Vec<Difference>,
}

/// A difference, and how the fact begins that may have told it when the port was made.
struct Found {
    difference: Difference,
    told_as: Option<String>,
}

/// What the target knows of names.
struct There<'a> {
    groups: &'a [SecurityGroupSeen],
    qos_policy: Option<QosPolicy>,
}

/// Compares the ports that operations have made for `member` with those of its copy. One that its tenant has made is as the
/// tenant wants it, and of ports that Nova makes nothing more is wanted than their addresses.
pub(super) async fn of_copy(
    target: &Cloud,
    cx: &mut StepContext<'_>,
    member: &Member,
    copy: &ServerId,
) -> Result<PortDifferences, StepError> {
    let made: Vec<(usize, String)> = cards(member)
        .filter_map(|(index, _)| {
            let port = cx.known(|map| map.port(&member.server_id, index))?;
            Some((index, port))
        })
        .collect();
    if made.is_empty() {
        return Ok(PortDifferences::default());
    }
    let of_copy = PortFilter {
        device_id: Some(copy.to_string()),
        ..PortFilter::default()
    };
    let ports = target.network().ports(&of_copy).await.map_err(stop)?;
    let groups = security_groups_there(target, cx.plan()).await?;
    let mut found = Vec::new();
    for (index, id) in made {
        let Some(port) = ports.iter().find(|port| port.id.as_str() == id) else {
            found.push(not_in_it(index, &id));
            continue;
        };
        let Some(nic) = member.server.nics.get(index) else {
            continue;
        };
        if !protector_core::mark::is_port_of(&port.description, &member.id) {
            continue;
        }
        let card = Card {
            groups: &groups,
            member,
            nic,
            index,
            network: mapped_network(cx, nic)?,
            description: port.description.clone(),
        };
        let there = There {
            groups: &groups,
            qos_policy: wanted_policy(target, cx, &card).await?,
        };
        found.extend(differences(cx, &card, port, &there));
    }
    sorted(cx, member, found).await
}

/// Apart what was told when the ports were made.
async fn sorted(
    cx: &StepContext<'_>,
    member: &Member,
    found: Vec<Found>,
) -> Result<PortDifferences, StepError> {
    if found.is_empty() {
        return Ok(PortDifferences::default());
    }
    let facts = cx.facts_about(member.server_id.as_str()).await?;
    let was_told = |found: &Found| {
        let told_as = found.told_as.as_ref();
        told_as.is_some_and(|told| facts.iter().any(|fact| fact.starts_with(told)))
    };
    let (told, new): (Vec<Found>, Vec<Found>) = found.into_iter().partition(was_told);
    let each = |found: Vec<Found>| found.into_iter().map(|found| found.difference).collect();
    Ok(PortDifferences {
        new: each(new),
        told: each(told),
    })
}

fn not_in_it(index: usize, port: &str) -> Found {
    Found {
        difference: Difference {
            what: format!("network card {}", index + 1).into(),
            was: format!("port {port}"),
            is: one(None),
        },
        told_as: None,
    }
}

/// The policy that a port is to have; the original's where nothing stands for that.
async fn wanted_policy(
    target: &Cloud,
    cx: &StepContext<'_>,
    card: &Card<'_>,
) -> Result<Option<QosPolicy>, StepError> {
    let Some(known) = card.spec().and_then(|spec| spec.qos_policy.as_ref()) else {
        return Ok(None);
    };
    let there = policies_there(target).await?.unwrap_or_default();
    let found = known.counterpart(&cx.plan().mappings.qos_policies, &there);
    Ok(Some(found.unwrap_or(known).clone()))
}

fn differences(
    cx: &StepContext<'_>,
    card: &Card<'_>,
    port: &Port,
    there: &There<'_>,
) -> Vec<Found> {
    let mut of_port = OfPort {
        card,
        port,
        found: Vec::new(),
    };
    let network = (card.network.to_string(), port.network_id.to_string());
    of_port.compare("network", None, network);
    if let Some(spec) = card.spec() {
        of_port.security(cx, spec, there);
        of_port.rest(spec, there);
    }
    of_port.found
}

struct OfPort<'a> {
    card: &'a Card<'a>,
    port: &'a Port,
    found: Vec<Found>,
}

impl OfPort<'_> {
    fn compare(&mut self, what: &str, told_as: Option<String>, (was, is): (String, String)) {
        if was == is {
            return;
        }
        let (port, card) = (&self.port.id, self.card.index + 1);
        self.found.push(Found {
            difference: Difference {
                what: format!("{what} of port {port} (card {card})").into(),
                was,
                is,
            },
            told_as,
        });
    }

    fn part(&mut self, part: Part, both: (String, String)) {
        let told_as = made_without(self.card.index, part);
        self.compare(part.in_words(), Some(told_as), both);
    }

    fn security(&mut self, cx: &StepContext<'_>, spec: &PortSpec, there: &There<'_>) {
        let (member, port) = (self.card.member, self.port);
        let wanted: BTreeSet<String> = cx
            .plan()
            .groups_of_port_on_target(member, spec)
            .into_iter()
            .collect();
        // The recovery plan may name one by its id.
        let name_of = |id: &SecurityGroupId| {
            let found = there.groups.iter().find(|group| group.id == id.as_str());
            match found {
                Some(group) if !wanted.contains(id.as_str()) => group.name.clone(),
                _ => id.to_string(),
            }
        };
        let has: BTreeSet<String> = port.security_groups.iter().map(name_of).collect();
        // A port that must have port security, for all that was asked, has the default group with it.
        let goes_with = wanted.is_empty().then_some(Part::PortSecurity);
        let told_as = goes_with.map(|part| made_without(self.card.index, part));
        self.compare("security groups", told_as, (all(&wanted), all(&has)));
        if let (Some(was), Some(is)) = (spec.port_security_enabled, port.port_security_enabled) {
            let word = |is_on| if is_on { "on" } else { "off" }.to_owned();
            self.part(Part::PortSecurity, (word(was), word(is)));
        }
        let pairs = spec.allowed_address_pairs.iter();
        let wanted: Vec<AddressPair> = pairs.map(|pair| pair_on_target(cx, member, pair)).collect();
        let both = (self.pairs(&wanted), self.pairs(&port.allowed_address_pairs));
        self.part(Part::AddressPairs, both);
    }

    /// Neutron shows the port's own MAC address where none was given.
    fn pairs(&self, pairs: &[AddressPair]) -> String {
        let in_words = |pair: &AddressPair| {
            let mac = pair.mac_address.as_ref();
            match mac.filter(|mac| **mac != self.port.mac_address) {
                Some(mac) => format!("{} ({mac})", pair.ip_address),
                None => pair.ip_address.clone(),
            }
        };
        all(&pairs.iter().map(in_words).collect())
    }

    fn rest(&mut self, spec: &PortSpec, there: &There<'_>) {
        let port = self.port;
        if !spec.mac_address.is_empty() {
            let lower = |mac: &str| mac.to_ascii_lowercase();
            let both = (lower(&spec.mac_address), lower(&port.mac_address));
            self.part(Part::Mac, both);
        }
        let wanted = there.qos_policy.as_ref();
        if wanted.map(|policy| policy.id.as_str()) != port.qos_policy_id.as_deref() {
            let was = one(wanted.map(QosPolicy::to_string).as_deref());
            self.part(Part::QosPolicy, (was, one(port.qos_policy_id.as_deref())));
        }
        let domains = [Some(spec.dns_domain.as_str()), port.dns_domain.as_deref()];
        let [was, is] = domains.map(|domain| one(domain.filter(|domain| !domain.is_empty())));
        self.part(Part::DnsDomain, (was, is));
        let options = [&spec.extra_dhcp_opts, &port.extra_dhcp_opts];
        let [was, is] = options.map(|options| {
            let in_words = options.iter().map(|option| {
                let value = option.opt_value.as_deref().unwrap_or_default();
                format!("{}={value}", option.opt_name)
            });
            all(&in_words.collect())
        });
        self.part(Part::DhcpOptions, (was, is));
        let word = |state: AdminState| state.as_str().to_owned();
        let states = (word(spec.admin_state), word(port.admin_state()));
        self.compare("admin state", None, states);
        if !lacking_tags(self.card, port).is_empty() {
            let tags = |tags: &[String]| all(&tags.iter().collect());
            let told_as = Some(untagged(&port.id));
            self.compare("tags", told_as, (tags(&spec.tags), tags(&port.tags)));
        }
    }
}
