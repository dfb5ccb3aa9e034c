//! The members: is each still what the group knows of it, and can it be moved and cleaned up as it is now?

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Facts, ReadinessFinding, ReadinessSubject, ServerSeen, VolumeSeen, not_checked, or_ok,
};
use crate::{
    id::{NetworkId, ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    member_settings::ServerSettings,
};

/// What the source shows, by id: a group of hundreds is looked up, not searched.
struct Shown<'f> {
    servers: BTreeMap<&'f ServerId, &'f ServerSeen>,
    volumes: Option<BTreeMap<&'f VolumeId, &'f VolumeSeen>>,
    nics: Option<BTreeMap<&'f ServerId, BTreeSet<&'f NetworkId>>>,
}

impl<'f> Shown<'f> {
    /// `None` where the site does not show its servers.
    fn of(facts: &'f Facts<'_>) -> Option<Self> {
        let servers = facts.source.servers.as_ref().ok()?;
        let volumes = facts.source.volumes.as_ref().ok();
        let nics = facts.source.nics.as_ref().ok();
        Some(Self {
            servers: servers.iter().map(|server| (&server.id, server)).collect(),
            volumes: volumes
                .map(|volumes| volumes.iter().map(|volume| (&volume.id, volume)).collect()),
            nics: nics.map(|nics| {
                let mut by_server: BTreeMap<&ServerId, BTreeSet<&NetworkId>> = BTreeMap::new();
                for (server, network) in nics {
                    by_server.entry(server).or_default().insert(network);
                }
                by_server
            }),
        })
    }
}

pub(super) fn image(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::Image;
    let Some(shown) = Shown::of(facts) else {
        return not_checked(check, facts.source_site());
    };
    let problems = facts.members.iter().filter_map(|member| {
        let server = shown.servers.get(&member.server_id)?;
        server.traits.boots_from_image.then(|| {
            ReadinessFinding::error(
                check,
                format!(
                    "server {} boots from an image: its root disk is not replicated and would be lost",
                    member.name
                ),
                format!("rebuild it on a volume, or {}", again(facts, member)),
            )
            .about(&member.name)
        })
    });
    or_ok(
        problems.collect(),
        check,
        "every server boots from a volume; no image is needed",
    )
}

/// The command that takes a member up anew.
fn again(facts: &Facts<'_>, member: &Member) -> String {
    let group = &facts.group.name;
    format!(
        "take it up anew: openstack dr member remove {group} {}, then: openstack dr member add {group} {}",
        member.name, member.server_id
    )
}

pub(super) fn member(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::Member;
    if facts.members.is_empty() {
        return vec![ReadinessFinding::error(
            check,
            "the group has no members",
            format!("openstack dr member add {} <server>", facts.group.name),
        )];
    }
    let Some(shown) = Shown::of(facts) else {
        return not_checked(check, facts.source_site());
    };
    let mut problems = shared_volumes(facts);
    for member in facts.members {
        problems.extend(one(facts, &shown, member));
    }
    if shown.volumes.is_none() || shown.nics.is_none() {
        problems.extend(not_checked(check, facts.source_site()));
    }
    or_ok(
        problems,
        check,
        format!(
            "all {} member(s) are as they were when they were added",
            facts.members.len()
        ),
    )
}

/// A volume of two members cannot be moved.
fn shared_volumes(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let mut seen = BTreeSet::new();
    let volumes = facts.members.iter().flat_map(|member| &member.volumes);
    volumes
        .filter(|volume| !seen.insert(&volume.id))
        .map(|volume| {
            ReadinessFinding::error(
                ReadinessSubject::Member,
                format!(
                    "volume {} belongs to more than one member: a shared volume cannot be moved",
                    volume.id
                ),
                "detach it from all servers but one, and take them up anew",
            )
            .about(volume.id.as_str())
        })
        .collect()
}

fn one(facts: &Facts<'_>, shown: &Shown<'_>, member: &Member) -> Vec<ReadinessFinding> {
    let Some(server) = shown.servers.get(&member.server_id) else {
        return vec![gone(facts, member)];
    };
    let mut findings: Vec<ReadinessFinding> = [
        settled(facts, member, server),
        unlocked(member, server),
        same_volumes(facts, member, server),
        same_flavor(facts, member, server),
        same_settings(facts, member, server),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(nics) = &shown.nics {
        findings.extend(same_networks(facts, member, nics.get(&member.server_id)));
    }
    if let Some(volumes) = &shown.volumes {
        let volumes = member
            .volumes
            .iter()
            .flat_map(|known| volume(facts, member, known, volumes.get(&known.id).copied()));
        findings.extend(volumes);
    }
    findings
        .into_iter()
        .map(|finding| match finding.subject {
            Some(_) => finding,
            None => finding.about(&member.name),
        })
        .collect()
}

fn gone(facts: &Facts<'_>, member: &Member) -> ReadinessFinding {
    ReadinessFinding::error(
        ReadinessSubject::Member,
        format!(
            "server {} ({}) does not exist on {} any more",
            member.name,
            member.server_id,
            facts.source_site()
        ),
        member.removal(&facts.group.name),
    )
    .about(&member.name)
}

fn settled(facts: &Facts<'_>, member: &Member, server: &ServerSeen) -> Option<ReadinessFinding> {
    let site = facts.source_site();
    if matches!(server.status.as_str(), "ACTIVE" | "SHUTOFF") {
        return None;
    }
    Some(ReadinessFinding::error(
        ReadinessSubject::Member,
        format!(
            "server {} is {}: a planned failover needs it ACTIVE or SHUTOFF",
            member.name, server.status
        ),
        format!(
            "see why: openstack --os-cloud {site} server show {}",
            member.server_id
        ),
    ))
}

fn unlocked(member: &Member, server: &ServerSeen) -> Option<ReadinessFinding> {
    server.locked.then(|| {
        ReadinessFinding::error(
            ReadinessSubject::Member,
            format!(
                "server {} is locked: it can be neither stopped nor deleted",
                member.name
            ),
            format!(
                "whoever locked it runs: openstack server unlock {}",
                member.server_id
            ),
        )
    })
}

fn same_volumes(
    facts: &Facts<'_>,
    member: &Member,
    server: &ServerSeen,
) -> Option<ReadinessFinding> {
    let known: BTreeSet<&VolumeId> = member.volumes.iter().map(|volume| &volume.id).collect();
    let attached: BTreeSet<&VolumeId> = server.volumes.iter().collect();
    let list = |ids: Vec<&&VolumeId>| {
        let ids: Vec<&str> = ids.into_iter().map(|id| id.as_str()).collect();
        ids.join(", ")
    };
    let changes: Vec<String> = [
        (
            "attached since",
            list(attached.difference(&known).collect()),
        ),
        (
            "not attached any more",
            list(known.difference(&attached).collect()),
        ),
    ]
    .into_iter()
    .filter(|(_, ids)| !ids.is_empty())
    .map(|(what, ids)| format!("{what}: {ids}"))
    .collect();
    if changes.is_empty() {
        return None;
    }
    Some(ReadinessFinding::error(
        ReadinessSubject::Member,
        format!(
            "the volumes of server {} have changed since it was added; {}",
            member.name,
            changes.join("; ")
        ),
        again(facts, member),
    ))
}

fn same_flavor(
    facts: &Facts<'_>,
    member: &Member,
    server: &ServerSeen,
) -> Option<ReadinessFinding> {
    let known = &member.server.flavor;
    let same = server.flavor_name == known.name
        && server.vcpus == u64::from(known.vcpus)
        && server.ram_mib == known.ram_mib;
    (!same).then(|| {
        ReadinessFinding::warning(
            ReadinessSubject::Member,
            format!(
                "server {} has flavor {} now; its copy would get the counterpart of {}",
                member.name, server.flavor_name, known.name
            ),
            again(facts, member),
        )
    })
}

/// Told by name, and no hindrance: they are read again before a planned move, and by the engine all the time.
fn same_settings(
    facts: &Facts<'_>,
    member: &Member,
    server: &ServerSeen,
) -> Option<ReadinessFinding> {
    let differing = ServerSettings::known(member).differing(&server.settings);
    (!differing.is_empty()).then(|| {
        ReadinessFinding::warning(
            ReadinessSubject::Member,
            format!(
                "server {} has been changed ({}) since its group read it; an unplanned failover would build it as it was",
                member.name,
                differing.join(", ")
            ),
            format!(
                "nothing: the engine of {} reads it again, and so does a planned failover before it starts",
                facts.source_site()
            ),
        )
    })
}

fn same_networks(
    facts: &Facts<'_>,
    member: &Member,
    now: Option<&BTreeSet<&NetworkId>>,
) -> Option<ReadinessFinding> {
    let known: BTreeSet<&NetworkId> = member
        .server
        .nics
        .iter()
        .map(|nic| &nic.network_id)
        .collect();
    let none = BTreeSet::new();
    let now = now.unwrap_or(&none);
    (known != *now).then(|| {
        let now: Vec<&str> = now.iter().map(|network| network.as_str()).collect();
        ReadinessFinding::warning(
            ReadinessSubject::Member,
            format!(
                "the networks of server {} have changed since it was added, they are now: {}; its copy would get the old ones",
                member.name,
                if now.is_empty() { "none".to_owned() } else { now.join(", ") }
            ),
            again(facts, member),
        )
    })
}

fn volume(
    facts: &Facts<'_>,
    member: &Member,
    known: &ProtectedVolume,
    seen: Option<&VolumeSeen>,
) -> Vec<ReadinessFinding> {
    let site = facts.source_site();
    let (id, server) = (&known.id, &member.name);
    let Some(seen) = seen else {
        return vec![
            ReadinessFinding::error(
                ReadinessSubject::Member,
                format!("volume {id} of {server} does not exist on {site} any more"),
                again(facts, member),
            )
            .about(id.as_str()),
        ];
    };
    let mut findings = Vec::new();
    if !matches!(seen.status.as_str(), "in-use" | "available") {
        findings.push(ReadinessFinding::error(
            ReadinessSubject::Member,
            format!("volume {id} of {server} is {}", seen.status),
            format!("see why: openstack --os-cloud {site} volume show {id}"),
        ));
    }
    if seen
        .servers
        .iter()
        .any(|attached| *attached != member.server_id)
    {
        findings.push(ReadinessFinding::error(
            ReadinessSubject::Member,
            format!("volume {id} of {server} is attached to another server too"),
            "detach it from the other server: a shared volume cannot be moved",
        ));
    }
    if seen.size_gib != known.size_gib {
        findings.push(ReadinessFinding::warning(
            ReadinessSubject::Member,
            format!(
                "volume {id} of {server} has {} GiB now, {} when it was added",
                seen.size_gib, known.size_gib
            ),
            again(facts, member),
        ));
    }
    if seen.snapshots > 0 {
        findings.push(ReadinessFinding::warning(
            ReadinessSubject::Member,
            format!(
                "volume {id} of {server} has {} snapshot(s): they do not come along, and Cinder deletes no volume that has some, so the cleanup after a failover would leave it",
                seen.snapshots
            ),
            format!("delete those that are not needed: openstack --os-cloud {site} volume snapshot list --volume {id}"),
        ));
    }
    findings
        .into_iter()
        .map(|finding| finding.about(id.as_str()))
        .collect()
}
