//! A member side by side: as its group has it on record, as its server is now, and as a copy on the other site would be.
//!
//! Pure judgement, of what both clouds were seen to have. What a copy gets is decided by the engine's steps; the rules are
//! theirs (`recreate_vms`), and for what no step carries, [`crate::carried`] is asked. Nothing confidential is shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde_json::Value;

use crate::{
    answer::{Asked, Silence},
    group::{Group, ResourceMappings},
    id::{NetworkId, VolumeId},
    mark,
    member::{Flavor, KeyPair, Member, Nic},
    member_settings::{all, one, pairs, words_of},
    not_carried::NotCarried,
    qos_policy::QosPolicy,
    recovery_plan::RecoveryPlan,
    security_group::{SecurityGroupSeen, resolve},
    site::SiteScope,
};

mod lacking;
mod volumes;

/// What becomes of an attribute. The worst counts where there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeOutcome {
    /// The copy has the same.
    Kept,
    /// The copy has something else in its place.
    Changed,
    /// The copy lacks it.
    Lost,
    /// The other site does not tell.
    Unknown,
    /// A move is refused while it is so.
    Refused,
}

impl AttributeOutcome {
    /// The word used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }
}

/// What the group's `fidelity: strict` makes of an attribute. It judges what a confirmed copy is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strictly {
    /// It is as it was, as a mapping or the recovery plan says, or nothing that a copy is judged by.
    Passes,
    /// The copy would not be as its original, and nobody has announced that.
    Fails,
    /// It may not be, on a network of another project: who runs that cloud can let its tenants choose, and say so.
    FailsOnForeignNetwork,
}

impl Strictly {
    /// Whether a planned move of a strict group does not start with it.
    pub fn fails(self) -> bool {
        self != Self::Passes
    }
}

/// One attribute on the three sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedAttribute {
    /// What it is about.
    pub field: String,
    /// What the member's record has; `None` of what is not recorded.
    pub recorded: Option<String>,
    /// What the server has now; `None` where its cloud does not show it.
    pub now: Option<String>,
    /// What the copy would have; `None` of what it lacks or of what is not known.
    pub copy: Option<String>,
    /// What becomes of it.
    pub outcome: AttributeOutcome,
    /// Why; `None` of what is simply kept.
    pub why: Option<String>,
    /// What a strict group makes of it.
    pub strictly: Strictly,
}

impl ComparedAttribute {
    /// What the member has: now, or else on record.
    pub fn is(&self) -> &str {
        let known = self.now.as_ref().or(self.recorded.as_ref());
        known.map_or("none", String::as_str)
    }

    /// What it is and would be, in a line.
    pub fn in_words(&self) -> String {
        let copy = self.copy.as_deref().unwrap_or(self.outcome.as_str());
        let why = self.why.as_ref().map(|why| format!(" ({why})"));
        let (field, is, why) = (&self.field, self.is(), why.unwrap_or_default());
        format!("{field}: {is} -> {copy}{why}")
    }
}

/// The answers of the cloud where the server is, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Nova's of the server.
    pub server: Value,
    /// Neutron's of its ports.
    pub ports: Vec<Value>,
    /// Cinder's of its volumes.
    pub volumes: Vec<Value>,
}

/// The server now.
#[derive(Clone, Debug)]
pub struct ServerNow {
    /// As it would be recorded, with all volumes that are attached.
    pub member: Member,
    /// The types of its volumes, by name.
    pub volume_types: BTreeMap<VolumeId, String>,
    /// What of it is refused, or told, when it is added.
    pub not_carried: Vec<NotCarried>,
    /// What its cloud shows.
    pub shown: Shown,
}

impl ServerNow {
    /// The server as its record has it: for judgements for which nobody asks its cloud.
    pub fn recorded(member: &Member) -> Self {
        Self {
            member: member.clone(),
            volume_types: BTreeMap::new(),
            not_carried: Vec::new(),
            shown: Shown::default(),
        }
    }
}

/// Whether a copy can have an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressThere {
    Free,
    /// The tenant keeps a port for it, with this id.
    Kept(String),
    /// Somebody else has it.
    InUse,
    /// No subnet of the network has it.
    Outside,
    /// Nobody is seen to have it, on a network of another project: Neutron's usual policy refuses a chosen address there
    /// (`create_port:fixed_ips:ip_address`), and shows no ports of others.
    Foreign,
}

/// Whose a network of the other site is, and so who chooses addresses and MAC addresses on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkThere {
    Own,
    /// Another project's: by Neutron's usual policy its owner alone chooses.
    Foreign,
    /// Another project's, where an operator says that tenants choose too.
    Open,
}

/// What the other site has for a copy.
#[derive(Clone, Debug)]
pub struct ThereSeen {
    /// The flavors, a mapped one among them.
    pub flavors: Asked<Vec<Flavor>>,
    /// The security groups that the project may use.
    pub security_groups: Asked<Vec<SecurityGroupSeen>>,
    pub zones: Asked<Vec<String>>,
    /// The newest minor microversion of Nova.
    pub compute_minor: Asked<u32>,
    /// The service user's key pairs.
    pub key_pairs: Asked<Vec<KeyPair>>,
    /// The networks that were asked for.
    pub networks: BTreeMap<NetworkId, Asked<NetworkThere>>,
    /// The addresses that were asked for.
    pub addresses: BTreeMap<(NetworkId, IpAddr), Asked<AddressThere>>,
    /// Names of volume types, by id.
    pub volume_types: Asked<BTreeMap<String, String>>,
    /// The QoS policies that the project sees.
    pub qos_policies: Asked<Vec<QosPolicy>>,
}

impl ThereSeen {
    /// All of it unknown for the same reason.
    pub fn silent(why: &Silence) -> Self {
        Self {
            flavors: Err(why.clone()),
            security_groups: Err(why.clone()),
            zones: Err(why.clone()),
            compute_minor: Err(why.clone()),
            key_pairs: Err(why.clone()),
            networks: BTreeMap::new(),
            addresses: BTreeMap::new(),
            volume_types: Err(why.clone()),
            qos_policies: Err(why.clone()),
        }
    }
}

/// All that is compared.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'c> {
    pub group: &'c Group,
    /// Its recovery plan, read from where it runs to the other site.
    pub recovery: &'c RecoveryPlan,
    /// Its mappings, read likewise.
    pub mappings: &'c ResourceMappings,
    /// The member on record.
    pub recorded: &'c Member,
    pub now: &'c ServerNow,
    /// What a planned move would build from: what it would read again, and what it would leave as it is known.
    pub built: &'c Member,
    pub there: &'c ThereSeen,
}

/// The networks of the other site that a copy of `member` would have cards in.
pub fn networks_there(
    member: &Member,
    mappings: &ResourceMappings,
) -> impl Iterator<Item = NetworkId> {
    let cards = member.server.nics.iter();
    let mapped = cards.filter_map(|nic| mappings.networks.get(nic.network_id.as_str()));
    mapped.map(|network| NetworkId::new(network.clone()))
}

/// The networks and addresses of the other site that a copy of `member` would ask for.
pub fn addresses_there(
    member: &Member,
    mappings: &ResourceMappings,
    recovery: &RecoveryPlan,
) -> Vec<(NetworkId, IpAddr)> {
    let mut asked = Vec::new();
    for nic in &member.server.nics {
        let Some(network) = mappings.networks.get(nic.network_id.as_str()) else {
            continue;
        };
        asked.extend(nic.fixed_ips.iter().map(|address| {
            let there = recovery.address_on_target(&member.id, *address);
            (NetworkId::new(network.clone()), there)
        }));
    }
    asked
}

/// A field, and what somebody has in it.
type Of<'f, T> = (&'static str, &'f dyn Fn(&T) -> String);

/// What becomes of one value.
struct Verdict {
    copy: Option<String>,
    outcome: AttributeOutcome,
    why: Option<String>,
    strictly: Strictly,
}

impl Verdict {
    fn kept(copy: impl Into<String>) -> Self {
        Self {
            copy: Some(copy.into()),
            outcome: AttributeOutcome::Kept,
            why: None,
            strictly: Strictly::Passes,
        }
    }

    fn changed(copy: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            copy: Some(copy.into()),
            outcome: AttributeOutcome::Changed,
            why: Some(why.into()),
            strictly: Strictly::Passes,
        }
    }

    fn without_copy(outcome: AttributeOutcome, why: impl Into<String>) -> Self {
        Self {
            copy: None,
            outcome,
            why: Some(why.into()),
            strictly: Strictly::Passes,
        }
    }

    fn unannounced(self) -> Self {
        Self {
            strictly: Strictly::Fails,
            ..self
        }
    }

    fn left_to_the_owner(self) -> Self {
        Self {
            strictly: Strictly::FailsOnForeignNetwork,
            ..self
        }
    }

    fn unknown(why: &Silence) -> Self {
        Self::without_copy(AttributeOutcome::Unknown, why.to_string())
    }

    /// Several values of one attribute: the worst counts, and each says why.
    fn of_all(verdicts: Vec<Self>) -> Self {
        let outcome = verdicts.iter().map(|verdict| verdict.outcome).max();
        let strictly = verdicts.iter().map(|verdict| verdict.strictly).max();
        let texts = |part: fn(&Self) -> Option<&String>, between: &str| {
            let mut seen = BTreeSet::new();
            let texts = verdicts.iter().filter_map(part);
            let texts: Vec<&str> = texts
                .filter(|text| seen.insert(*text))
                .map(String::as_str)
                .collect();
            (!texts.is_empty()).then(|| texts.join(between))
        };
        Self {
            copy: texts(|verdict| verdict.copy.as_ref(), ", "),
            outcome: outcome.unwrap_or(AttributeOutcome::Kept),
            why: texts(|verdict| verdict.why.as_ref(), "; "),
            strictly: strictly.unwrap_or(Strictly::Passes),
        }
    }
}

/// Compares a member's three sides, in the order in which people ask: the server, its cards, its volumes, what is lost.
pub fn compare(of: &Comparison<'_>) -> Vec<ComparedAttribute> {
    let mut lines = of.settings();
    lines.extend(of.hostname());
    lines.push(of.availability_zone());
    lines.push(of.config_drive());
    lines.push(of.key_pair());
    lines.push(of.user_data());
    lines.push(of.flavor());
    lines.push(of.security_groups());
    lines.extend(of.cards());
    lines.extend(of.volumes());
    lines.extend(of.refused());
    lines.extend(of.lacking());
    lines
}

impl Comparison<'_> {
    fn site(&self) -> &str {
        self.group.other().site.as_str()
    }

    /// Puts one attribute together. What has changed since it was read is said.
    fn line(
        &self,
        field: &str,
        recorded: String,
        now: Option<String>,
        verdict: Verdict,
    ) -> ComparedAttribute {
        let changed = now.as_ref().is_some_and(|now| *now != recorded);
        let since = changed.then(|| self.since(field)).map(str::to_owned);
        let whys: Vec<String> = verdict.why.into_iter().chain(since).collect();
        ComparedAttribute {
            field: field.to_owned(),
            recorded: Some(recorded),
            now,
            copy: verdict.copy,
            outcome: verdict.outcome,
            why: (!whys.is_empty()).then(|| whys.join("; ")),
            strictly: verdict.strictly,
        }
    }

    /// What it means that a server is not as it is on record.
    fn since(&self, field: &str) -> &'static str {
        let is_copy = self.recorded.server.metadata.contains_key(mark::SOURCE);
        let may_be_lost = field.starts_with("card ")
            || matches!(
                field,
                "key pair" | "availability zone" | "config drive" | "host name"
            );
        match is_copy && may_be_lost {
            true => "the record has it from the original, for the way back",
            false => {
                "changed since it was recorded: a planned move reads it again, an unplanned one builds what is recorded"
            }
        }
    }

    /// What is carried as it is.
    fn settings(&self) -> Vec<ComparedAttribute> {
        let (recorded, now, built) = (self.recorded, &self.now.member, self.built);
        let tags = |member: &Member| all(&member.server.tags.iter().collect());
        let description = |member: &Member| {
            let words = member.server.description.as_deref();
            one(words_of(words, &member.name)).to_owned()
        };
        let each: [Of<'_, Member>; 4] = [
            ("name", &|member| member.name.clone()),
            ("description", &description),
            ("metadata", &|member| pairs(&member.server.metadata)),
            ("tags", &tags),
        ];
        each.into_iter()
            .map(|(field, of)| {
                let verdict = Verdict::kept(of(built));
                self.line(field, of(recorded), Some(of(now)), verdict)
            })
            .collect()
    }

    fn hostname(&self) -> Option<ComparedAttribute> {
        let of = |member: &Member| one(member.server.hostname.as_deref());
        let known = [self.recorded, &self.now.member, self.built];
        if known.iter().all(|member| member.server.hostname.is_none()) {
            return None;
        }
        let wanted = self.built.server.hostname.as_deref();
        let since = if wanted.is_some_and(|name| name.contains('.')) {
            94
        } else {
            90
        };
        let verdict = match (&self.there.compute_minor, wanted) {
            (Err(why), _) => Verdict::unknown(why),
            (Ok(_), None) => Verdict::kept(one(None)),
            (Ok(minor), Some(name)) if *minor >= since => Verdict::kept(name),
            (Ok(minor), Some(_)) => {
                let why = format!("Nova on {} takes none (needs 2.{since})", self.site());
                let changed = Verdict::changed("one that Nova makes of the name", why);
                // Where Nova shows none, nobody can judge the copy by it.
                match *minor >= 90 {
                    true => changed.unannounced(),
                    false => changed,
                }
            }
        };
        let now = Some(of(&self.now.member));
        Some(self.line("host name", of(self.recorded), now, verdict))
    }

    fn availability_zone(&self) -> ComparedAttribute {
        let of = |member: &Member| one(member.server.availability_zone.as_deref());
        let wanted = self.built.server.availability_zone.as_deref();
        let verdict = match (&self.there.zones, wanted) {
            (_, None) => Verdict::kept(one(None)),
            (Err(why), Some(_)) => Verdict::unknown(why),
            (Ok(zones), Some(zone)) if zones.iter().any(|there| there == zone) => {
                Verdict::kept(zone)
            }
            (Ok(_), Some(zone)) => Verdict::without_copy(
                AttributeOutcome::Lost,
                format!("{} has no zone {zone}: Nova chooses", self.site()),
            )
            .unannounced(),
        };
        let now = Some(of(&self.now.member));
        self.line("availability zone", of(self.recorded), now, verdict)
    }

    fn config_drive(&self) -> ComparedAttribute {
        let of = |member: &Member| match member.server.config_drive {
            true => "yes".to_owned(),
            false => "no".to_owned(),
        };
        let now = Some(of(&self.now.member));
        let verdict = Verdict::kept(of(self.built));
        self.line("config drive", of(self.recorded), now, verdict)
    }

    fn key_pair(&self) -> ComparedAttribute {
        let of = |member: &Member| {
            let pair = member.server.key_pair.as_ref();
            one(pair.map(|pair| pair.name.as_str()))
        };
        let verdict = match &self.built.server.key_pair {
            None => Verdict::kept(one(None)),
            Some(pair) => self.key_pair_there(pair),
        };
        let now = Some(of(&self.now.member));
        self.line("key pair", of(self.recorded), now, verdict)
    }

    fn key_pair_there(&self, pair: &KeyPair) -> Verdict {
        let Some(public_key) = &pair.public_key else {
            let why = "its public key could not be read: let an administrator see why Nova does not show it, and add the server anew";
            return Verdict::without_copy(AttributeOutcome::Lost, why).unannounced();
        };
        let there = match &self.there.key_pairs {
            Ok(there) => there,
            Err(why) => return Verdict::unknown(why),
        };
        let own = pair.name_beside_another(&self.group.id);
        for name in [&pair.name, &own] {
            let known = there.iter().find(|known| known.name == *name);
            let is_it = known.is_none_or(|known| {
                let key = known.public_key.as_deref();
                key.is_some_and(|key| KeyPair::is_one_key(key, public_key))
            });
            if is_it && *name == pair.name {
                return Verdict::kept(name);
            }
            if is_it {
                let why = format!("another key has the name {} there", pair.name);
                return Verdict::changed(name, why);
            }
        }
        Verdict::without_copy(AttributeOutcome::Lost, "another key has that name there")
            .unannounced()
    }

    /// That it is set, never what it is.
    fn user_data(&self) -> ComparedAttribute {
        let recorded = &self.recorded.server.user_data;
        let set = |is_set: bool| if is_set { "set" } else { "none" }.to_owned();
        let now = match (recorded, &self.now.member.server.user_data) {
            (None, None) => Some(set(false)),
            (Some(_), None) => None,
            (None, Some(_)) => Some(set(true)),
            (Some(known), Some(now)) if known == now || known.seal().is_some() => Some(set(true)),
            (Some(_), Some(_)) => Some("changed".to_owned()),
        };
        let verdict = match &self.built.server.user_data {
            None => Verdict::kept(set(false)),
            Some(text) => match text.expose() {
                Ok(_) => Verdict {
                    why: Some(
                        "the copy is a new instance to cloud-init, which runs it again".to_owned(),
                    ),
                    ..Verdict::kept(set(true))
                },
                Err(why) => Verdict::without_copy(
                    AttributeOutcome::Refused,
                    format!("it cannot be read: {why}"),
                ),
            },
        };
        self.line("user data", set(recorded.is_some()), now, verdict)
    }

    fn flavor(&self) -> ComparedAttribute {
        let of = |flavor: &Flavor| format!("{} ({})", flavor.name, flavor.size());
        let known = &self.built.server.flavor;
        let mapped = self.mappings.flavors.get(known.id.as_str());
        let verdict = match &self.there.flavors {
            Err(why) => Verdict::unknown(why),
            Ok(there) => match known.counterpart(mapped.map(String::as_str), there) {
                Ok(there) if of(there) == of(known) => Verdict::kept(of(there)),
                Ok(there) if mapped.is_some() => Verdict::changed(of(there), "by mapping"),
                Ok(there) => Verdict::changed(of(there), "by size: it has the id, or the name"),
                Err(why) => {
                    let site = &self.group.other().site;
                    Verdict::without_copy(
                        AttributeOutcome::Refused,
                        format!(
                            "it {}: --flavor-mapping {}=<flavor id there>",
                            why.in_words(known, site),
                            known.id
                        ),
                    )
                }
            },
        };
        let now = Some(of(&self.now.member.server.flavor));
        self.line("flavor", of(&self.recorded.server.flavor), now, verdict)
    }

    fn security_groups(&self) -> ComparedAttribute {
        let of = |member: &Member| all(&member.security_groups());
        let wanted = self.recovery.security_groups_on_target(self.built);
        let verdict = match &self.there.security_groups {
            Err(why) => Verdict::unknown(why),
            Ok(_) if wanted.is_empty() => Verdict::kept(one(None)),
            Ok(there) => Verdict::of_all(
                wanted
                    .iter()
                    .map(|(name, mapped)| group_on(self.group.other(), there, name, mapped))
                    .collect(),
            ),
        };
        let now = Some(of(&self.now.member));
        self.line("security groups", of(self.recorded), now, verdict)
    }

    /// Two lines for each network card: its network and its addresses; and one for its QoS policy, if it has or had one.
    fn cards(&self) -> Vec<ComparedAttribute> {
        let nics = |member: &'_ Member| member.server.nics.clone();
        let (recorded, now) = (nics(self.recorded), nics(&self.now.member));
        let network = |nic: Option<&Nic>| one(nic.map(|nic| nic.network_id.as_str()));
        let addresses =
            |nic: Option<&Nic>| all(&nic.into_iter().flat_map(|nic| &nic.fixed_ips).collect());
        let mut lines = Vec::new();
        for (index, nic) in self.built.server.nics.iter().enumerate() {
            let (was, is) = (recorded.get(index), now.get(index));
            let card = index + 1;
            lines.push(self.line(
                &format!("card {card} network"),
                network(was),
                Some(network(is)),
                self.network_there(nic),
            ));
            lines.push(self.line(
                &format!("card {card} addresses"),
                addresses(was),
                Some(addresses(is)),
                self.addresses_of(nic),
            ));
            if let Some(network) = self.foreign_network(nic) {
                let of = |nic: Option<&Nic>| one(nic.and_then(mac_address));
                let verdict = self.mac_address_on(&network, nic);
                let field = format!("card {card} MAC address");
                lines.push(self.line(&field, of(was), Some(of(is)), verdict));
            }
            let policies = [was, is, Some(nic)].map(policy_of);
            if policies.iter().any(Option::is_some) {
                let [was, is, wanted] = policies;
                lines.push(self.line(
                    &format!("card {card} QoS policy"),
                    one(was.map(QosPolicy::to_string).as_deref()),
                    Some(one(is.map(QosPolicy::to_string).as_deref())),
                    self.policy_there(wanted),
                ));
            }
        }
        lines
    }

    fn policy_there(&self, wanted: Option<&QosPolicy>) -> Verdict {
        let there = match (&self.there.qos_policies, wanted) {
            (_, None) => return Verdict::kept(one(None)),
            (Err(why), Some(_)) => return Verdict::unknown(why),
            (Ok(there), Some(_)) => there,
        };
        let found = wanted.map(|wanted| wanted.counterpart(&self.mappings.qos_policies, there));
        match (found, wanted) {
            (Some(Ok(found)), Some(wanted)) if found.name == wanted.name => {
                Verdict::kept(found.to_string())
            }
            (Some(Ok(found)), _) => Verdict::changed(found.to_string(), "by mapping"),
            (Some(Err(why)), _) => Verdict::without_copy(
                AttributeOutcome::Lost,
                format!("it {}: --qos-policy-mapping", why.in_words(self.site())),
            )
            .unannounced(),
            (None, _) => Verdict::kept(one(None)),
        }
    }

    /// The network of another project that the card's port would be made on.
    fn foreign_network(&self, nic: &Nic) -> Option<NetworkId> {
        let network = self.mappings.networks.get(nic.network_id.as_str())?;
        let network = NetworkId::new(network.clone());
        let owner = self.there.networks.get(&network);
        let is_foreign = matches!(owner, Some(Ok(NetworkThere::Foreign)));
        is_foreign.then_some(network)
    }

    /// Neutron's default policy lets the network's owner alone choose it (`create_port:mac_address`).
    fn mac_address_on(&self, network: &NetworkId, nic: &Nic) -> Verdict {
        if mac_address(nic).is_none() {
            return Verdict::kept("any");
        }
        let why = format!(
            "{network} belongs to another project, whose owner alone usually may choose it (create_port:mac_address): it may be lost"
        );
        Verdict::without_copy(AttributeOutcome::Unknown, why).left_to_the_owner()
    }

    fn network_there(&self, nic: &Nic) -> Verdict {
        let id = nic.network_id.as_str();
        match self.mappings.networks.get(id) {
            Some(there) if there == id => Verdict::kept(there),
            Some(there) => Verdict::changed(there, "by mapping"),
            None => Verdict::without_copy(
                AttributeOutcome::Refused,
                format!(
                    "it is mapped to no network on {site}: --network-mapping {id}=<network on {site}>",
                    site = self.site()
                ),
            ),
        }
    }

    fn addresses_of(&self, nic: &Nic) -> Verdict {
        if nic.fixed_ips.is_empty() {
            return Verdict::kept("any");
        }
        let addresses = nic.fixed_ips.iter();
        let verdicts = addresses.map(|address| self.address_there(nic, *address));
        Verdict::of_all(verdicts.collect())
    }

    fn address_there(&self, nic: &Nic, address: IpAddr) -> Verdict {
        let wanted = self.recovery.address_on_target(&self.built.id, address);
        let Some(network) = self.mappings.networks.get(nic.network_id.as_str()) else {
            return Verdict::without_copy(AttributeOutcome::Unknown, "its network is not mapped");
        };
        let key = (NetworkId::new(network.clone()), wanted);
        let found = match self.there.addresses.get(&key) {
            None => {
                return Verdict::without_copy(AttributeOutcome::Unknown, "it was not asked for");
            }
            Some(Err(why)) => return Verdict::unknown(why),
            Some(Ok(found)) => found,
        };
        let another = |why: String| Verdict::changed("another one", why).unannounced();
        match found {
            AddressThere::InUse => another(format!("{wanted} is in use there")),
            AddressThere::Outside => another(format!("{wanted} is outside the mapped network")),
            AddressThere::Foreign => {
                let why = format!(
                    "{network} belongs to another project, whose owner alone usually may choose addresses (create_port:fixed_ips:ip_address), and who has {wanted} is not shown: it may be lost"
                );
                Verdict::without_copy(AttributeOutcome::Unknown, why).left_to_the_owner()
            }
            AddressThere::Free | AddressThere::Kept(_) if wanted != address => {
                Verdict::changed(wanted.to_string(), "by the recovery plan")
            }
            AddressThere::Free => Verdict::kept(wanted.to_string()),
            AddressThere::Kept(port) => Verdict {
                why: Some(format!("port {port} is kept for it there")),
                ..Verdict::kept(wanted.to_string())
            },
        }
    }
}

fn group_on(target: &SiteScope, there: &[SecurityGroupSeen], name: &str, mapped: &str) -> Verdict {
    match resolve(mapped, there) {
        Err(why) => Verdict::without_copy(AttributeOutcome::Refused, why.in_words(mapped, target)),
        Ok(group) if group.name == name => Verdict::kept(name),
        Ok(group) => Verdict::changed(&group.name, "by the recovery plan"),
    }
}

fn mac_address(nic: &Nic) -> Option<&str> {
    let known = nic.port.as_ref().map(|port| port.mac_address.as_str());
    known.filter(|mac| !mac.is_empty())
}

fn policy_of(nic: Option<&Nic>) -> Option<&QosPolicy> {
    nic?.port.as_ref()?.qos_policy.as_ref()
}

#[cfg(test)]
mod tests;
