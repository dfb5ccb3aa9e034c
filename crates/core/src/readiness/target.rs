//! What the copies need on the target: networks, flavors, security groups, a volume type with its pool.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Facts, ReadinessFinding, ReadinessSubject, TypeSeen, not_checked, or_ok};
use crate::{
    comparison::{AddressThere, addresses_there},
    group::Fidelity,
    id::NetworkId,
    member::{Flavor, Member, NoCounterpart},
    operation::OperationKind,
    security_group::{NoSecurityGroup, resolve},
};

/// How many members a message names.
const NAMED: usize = 3;

/// Who uses something, for a message: a few names and how many more.
fn users(members: &BTreeSet<&str>) -> String {
    let named: Vec<&str> = members.iter().copied().take(NAMED).collect();
    let named = named.join(", ");
    match members.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

pub(super) fn mapping(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let (check, site) = (ReadinessSubject::Mapping, facts.target_site());
    let mapped = facts.group.mappings_from_current().networks;
    let there = facts.target.networks.as_ref().ok();
    let mut problems = Vec::new();
    for (network, members) in networks(facts) {
        let finding = match (mapped.get(network), there) {
            (None, _) => ReadinessFinding::error(
                check,
                format!(
                    "network {network}, used by {}, is mapped to no network on {site}",
                    users(&members)
                ),
                format!(
                    "give the group a mapping for it, or the failover --network-mapping {network}=<network on {site}>"
                ),
            ),
            (Some(copy), Some(there)) if !there.iter().any(|id| id.as_str() == copy) => {
                ReadinessFinding::error(
                    check,
                    format!(
                        "network {network} is mapped to {copy}, which {site} does not show to the project"
                    ),
                    "map it to a network that exists and that the project may use",
                )
            }
            _ => continue,
        };
        problems.push(finding.about(network));
    }
    if there.is_none() {
        problems.extend(not_checked(check, site));
    }
    or_ok(
        problems,
        check,
        format!("every network has its counterpart on {site}"),
    )
}

/// The networks that members use, by what was known when they were added, each with its users.
fn networks<'f>(facts: &'f Facts<'_>) -> BTreeMap<&'f str, BTreeSet<&'f str>> {
    let mut networks: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in facts.members {
        for nic in &member.server.nics {
            networks
                .entry(nic.network_id.as_str())
                .or_default()
                .insert(&member.name);
        }
    }
    networks
}

/// The flavor that a copy of a server of `known` gets; `NotThere` of a site that does not tell.
pub(super) fn counterpart<'f>(
    facts: &'f Facts<'_>,
    known: &Flavor,
) -> Result<&'f Flavor, NoCounterpart> {
    let there = facts.target.flavors.as_deref().unwrap_or_default();
    let mapped = facts.group.mappings_from_current().flavors;
    known.counterpart(mapped.get(known.id.as_str()).map(String::as_str), there)
}

pub(super) fn flavor(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let (check, site) = (ReadinessSubject::Flavor, facts.target_site());
    if facts.target.flavors.is_err() {
        return not_checked(check, site);
    }
    let mut used: BTreeMap<&str, (&Flavor, BTreeSet<&str>)> = BTreeMap::new();
    for member in facts.members {
        let flavor = &member.server.flavor;
        let entry = used.entry(flavor.id.as_str());
        let (_, members) = entry.or_insert_with(|| (flavor, BTreeSet::new()));
        members.insert(&member.name);
    }
    let problems = used.into_iter().filter_map(|(id, (flavor, members))| {
        let why = counterpart(facts, flavor).err()?;
        let finding = ReadinessFinding::error(
            check,
            format!(
                "flavor {} ({id}), used by {}, {}",
                flavor.name,
                users(&members),
                why.in_words(flavor, site)
            ),
            format!("map it: --flavor-mapping {id}=<flavor id on {site}>"),
        );
        Some(finding.about(&flavor.name))
    });
    or_ok(
        problems.collect(),
        check,
        format!("every flavor has its counterpart on {site}"),
    )
}

/// Which floating IPs nothing takes the place of.
pub(super) fn floating_ips(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let plan = facts
        .group
        .recovery_plan_from_current(OperationKind::Failover);
    let lost = |member: &Member| {
        let on_target = plan.floating_ips_on_target(member);
        let all = member.floating_ips().zip(on_target);
        let lost = all.filter(|(_, there)| there.is_none());
        let lost: Vec<String> = lost.map(|((_, ip), _)| ip.address.to_string()).collect();
        lost
    };
    let site = &facts.group.other().site;
    let problem = |member: &Member| {
        let lost = lost(member);
        let lost = (!lost.is_empty()).then(|| lost.join(", "))?;
        let finding = ReadinessFinding::warning(
            ReadinessSubject::Mapping,
            format!(
                "floating IP {lost} of {} leads nowhere after a move to {site}",
                member.name
            ),
            format!(
                "name a floating IP or an external network of {site} for it in the recovery plan (members, floating_ips)"
            ),
        );
        Some(finding.about(&member.name))
    };
    facts.members.iter().filter_map(problem).collect()
}

/// A fixed address that a copy would ask for.
struct Wanted<'f> {
    member: &'f Member,
    network: NetworkId,
    address: IpAddr,
}

fn wanted_addresses<'f>(facts: &'f Facts<'_>) -> Vec<Wanted<'f>> {
    let group = facts.group;
    let mappings = group.mappings_from_current();
    let plan = group.recovery_plan_from_current(group.kind_of_move());
    let of = |member: &'f Member| {
        let asked = addresses_there(member, &mappings, &plan).into_iter();
        asked.map(move |(network, address)| Wanted {
            member,
            network,
            address,
        })
    };
    facts.members.iter().flat_map(of).collect()
}

/// Which addresses will probably not be kept. Of a strict group, those that certainly are not are said with all that it does
/// not take.
pub(super) fn addresses(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let is_told = facts.group.fidelity == Fidelity::Told;
    let mut findings = Vec::new();
    let mut foreign: BTreeMap<NetworkId, BTreeMap<IpAddr, &str>> = BTreeMap::new();
    for wanted in wanted_addresses(facts) {
        let Wanted {
            member,
            network,
            address,
        } = wanted;
        let found = facts.there.addresses.get(&(network.clone(), address));
        match found {
            Some(Ok(AddressThere::InUse)) if is_told => {
                findings.push(not_kept(facts, member, address, "is in use there"));
            }
            Some(Ok(AddressThere::Outside)) if is_told => {
                let why = "is in no subnet of the mapped network";
                findings.push(not_kept(facts, member, address, why));
            }
            Some(Ok(AddressThere::Foreign)) if is_told => {
                let of_network = foreign.entry(network).or_default();
                of_network.insert(address, &member.name);
            }
            _ => {}
        }
    }
    let foreign = foreign.into_iter();
    findings.extend(foreign.map(|(network, taken)| on_a_foreign_network(facts, &network, &taken)));
    findings
}

fn not_kept(facts: &Facts<'_>, member: &Member, address: IpAddr, why: &str) -> ReadinessFinding {
    let (site, name) = (facts.target_site(), &member.name);
    ReadinessFinding::warning(
        ReadinessSubject::Mapping,
        format!("address {address} of {name} cannot be kept on {site}, where it {why}: the copy gets another one"),
        format!("free it on {site}, map the network to one that has it, or name another one in the recovery plan (members, fixed_ips)"),
    )
    .about(name)
}

fn on_a_foreign_network(
    facts: &Facts<'_>,
    network: &NetworkId,
    wanted: &BTreeMap<IpAddr, &str>,
) -> ReadinessFinding {
    let site = facts.target_site();
    let addresses: Vec<String> = wanted.keys().take(NAMED).map(IpAddr::to_string).collect();
    let more = match wanted.len().checked_sub(NAMED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    ReadinessFinding::warning(
        ReadinessSubject::Mapping,
        format!(
            "addresses {}{more} of {} will probably not be kept: network {network} on {site} belongs to another project, Neutron's policy usually refuses a chosen address there, and who has it is not shown; the copies get other ones then",
            addresses.join(", "),
            users(&wanted.values().copied().collect())
        ),
        format!("map to a network of the project itself, or let an administrator of {site} allow create_port:fixed_ips:ip_address to the project and whoever runs protector set [openstack] tenants_choose_addresses_on_shared_networks"),
    )
    .about(network.as_str())
}

pub(super) fn security_group(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let (check, target) = (ReadinessSubject::SecurityGroup, facts.group.other());
    let site = &target.site;
    let Ok(there) = &facts.target.security_groups else {
        return not_checked(check, site);
    };
    // As the failover names them there.
    let plan = facts
        .group
        .recovery_plan_from_current(OperationKind::Failover);
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in facts.members {
        for (_, there) in plan.security_groups_on_target(member) {
            used.entry(there).or_default().insert(&member.name);
        }
    }
    let problems = used.into_iter().filter_map(|(name, members)| {
        let finding = match resolve(name, there).err()? {
            NoSecurityGroup::Absent => ReadinessFinding::error(
                check,
                format!(
                    "security group {name}, used by {}, does not exist on {site}",
                    users(&members)
                ),
                format!(
                    "openstack --os-cloud {site} security group create --project {} {name}, with the rules that it has on {}",
                    target.project_id,
                    facts.source_site()
                ),
            ),
            NoSecurityGroup::Several(several) => ReadinessFinding::error(
                check,
                format!("{several} security groups on {site} are called {name}: Nova refuses a name that is not one group's"),
                "give all but one of them another name, or map it by id in the recovery plan (security_groups)",
            ),
        };
        Some(finding.about(name))
    });
    or_ok(
        problems.collect(),
        check,
        format!("every security group exists on {site}"),
    )
}

pub(super) fn volume_type(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::VolumeType;
    let site = facts.target_site();
    let mut problems = retyped(facts);
    match (&facts.target.volume_types, &facts.target.pools) {
        (Ok(types), Ok(_)) => {
            problems.extend(import(facts, types));
            problems.extend(mapped_types(facts, types));
        }
        _ => problems.extend(not_checked(check, site)),
    }
    or_ok(
        problems,
        check,
        format!("volumes are replicated, and imported on {site} through one pool"),
    )
}

/// Whether imported volumes can get their type, and Cinder knows where to import them: as the engine chooses.
fn import(facts: &Facts<'_>, types: &[TypeSeen]) -> Option<ReadinessFinding> {
    let (check, site) = (ReadinessSubject::VolumeType, facts.target_site());
    let backend = match facts.group.volume_type_on_other() {
        None => None,
        Some(id) => {
            let Some(kind) = types.iter().find(|kind| kind.id == id) else {
                return Some(
                    ReadinessFinding::error(
                        check,
                        format!("{site} has no volume type {id} any more, which the copies would get"),
                        format!("make a group with a type that exists: openstack dr site list-volume-types {site}"),
                    )
                    .about(id),
                );
            };
            if let Err(why) = &kind.eligible {
                return Some(
                    ReadinessFinding::warning(
                        check,
                        format!("volume type {} on {site} is not eligible any more ({why}): after a failover there is no way back", kind.name),
                        "an administrator sets the extra specs replication_enabled and replication_type again",
                    )
                    .about(&kind.name),
                );
            }
            kind.backend.as_deref()
        }
    };
    let pools = facts.target.pools.as_deref().unwrap_or_default();
    let fitting: Vec<&str> = pools
        .iter()
        .filter(|pool| backend.is_none() || backend == pool.backend.as_deref())
        .map(|pool| pool.name.as_str())
        .collect();
    match fitting.as_slice() {
        [_] => None,
        [] => Some(ReadinessFinding::error(
            check,
            format!("Cinder on {site} shows no pool for the group's volume type"),
            "see that the backend's cinder-volume is up and that its volume_backend_name is that of the type",
        )),
        several => Some(ReadinessFinding::error(
            check,
            format!(
                "several Cinder pools on {site} take the group's volume type: {}",
                several.join(", ")
            ),
            "an administrator sets the extra spec volume_backend_name of the type to one of them",
        )),
    }
}

/// Volumes of other types than the group's: whether what they are mapped to can be had, and which become the group's.
fn mapped_types(facts: &Facts<'_>, types: &[TypeSeen]) -> Vec<ReadinessFinding> {
    let (group, site) = (facts.group, facts.target_site());
    let own = group.volume_type_on_current();
    let mapped = group.mappings_from_current().volume_types;
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in facts.members {
        for volume in &member.volumes {
            let known = volume.volume_type.as_deref();
            if let Some(known) = known.filter(|known| Some(*known) != own) {
                used.entry(known).or_default().insert(&member.name);
            }
        }
    }
    let named = |id: &str| types.iter().find(|kind| kind.id == id);
    let backend = group.volume_type_on_other().and_then(named);
    let backend = backend.and_then(|kind| kind.backend.as_deref());
    let problems = used.into_iter().filter_map(|(id, members)| {
        let members = users(&members);
        let Some(copy) = mapped.get(id) else {
            let finding = ReadinessFinding::warning(
                ReadinessSubject::VolumeType,
                format!("volume type {id}, used by {members}, is mapped to none on {site}: copies get the group's"),
                format!("map it: openstack dr protection-group set {} --volume-type-mapping {id}=<volume type on {site}>", group.name),
            );
            return Some(finding.about(id));
        };
        let why = match named(copy) {
            None => "does not exist".to_owned(),
            Some(TypeSeen { eligible: Err(why), .. }) => format!("is not eligible ({why})"),
            Some(kind) if backend.is_some() && kind.backend.as_deref() != backend => {
                "is of another backend than the group's type".to_owned()
            }
            Some(_) => return None,
        };
        let finding = ReadinessFinding::error(
            ReadinessSubject::VolumeType,
            format!("volume type {id}, used by {members}, is mapped to {copy}, which {why} on {site}"),
            format!("map it to one of 'openstack dr site list-volume-types {site}' on the same backend"),
        );
        Some(finding.about(id))
    });
    problems.collect()
}

/// Volumes whose type is not replicated any more.
fn retyped(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let (Ok(volumes), Ok(types)) = (&facts.source.volumes, &facts.source.volume_types) else {
        return Vec::new();
    };
    let site = facts.source_site();
    let mut findings = Vec::new();
    let protected = facts.members.iter().flat_map(|member| &member.volumes);
    for volume in protected {
        let Some(name) = volumes
            .iter()
            .find(|seen| seen.id == volume.id)
            .and_then(|seen| seen.volume_type.as_deref())
        else {
            continue;
        };
        let why = match types.iter().find(|kind| kind.name == name) {
            Some(kind) => match &kind.eligible {
                Ok(()) => continue,
                Err(why) => why.as_str(),
            },
            None => "it does not exist",
        };
        findings.push(
            ReadinessFinding::error(
                ReadinessSubject::VolumeType,
                format!("volume {} on {site} has volume type {name}, which is not eligible: {why}", volume.id),
                format!("give it the group's type again: openstack --os-cloud {site} volume set --type <type> {}", volume.id),
            )
            .about(volume.id.as_str()),
        );
    }
    findings
}
