//! Whether all of each server comes along: what is not is refused at the start, or told.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Facts, ReadinessFinding, ReadinessSubject, ServerSeen, SourceSeen, VolumeSeen, not_checked,
    or_ok,
};
use crate::{
    comparison::{Comparison, ServerNow, Strictly, compare},
    group::Fidelity,
    id::{ServerId, VolumeId},
    member::{Member, ProtectedVolume},
    not_carried::{self, NotCarried, PortTraits, Treatment},
};

/// What is not carried of `members` as `source` shows them, each with the member that has it, the worst of each first. Says
/// nothing of what the site did not show.
pub fn not_carried<'m>(
    members: &'m [Member],
    source: &SourceSeen,
) -> Vec<(&'m Member, NotCarried)> {
    let servers: BTreeMap<&ServerId, &ServerSeen> = source
        .servers
        .iter()
        .flatten()
        .map(|server| (&server.id, server))
        .collect();
    let volumes: BTreeMap<&VolumeId, &VolumeSeen> = source
        .volumes
        .iter()
        .flatten()
        .map(|volume| (&volume.id, volume))
        .collect();
    let mut ports: BTreeMap<&ServerId, Vec<&PortTraits>> = BTreeMap::new();
    for (server, port) in source.ports.iter().flatten() {
        ports.entry(server).or_default().push(port);
    }
    let mut all = Vec::new();
    for member in members {
        let mut lost: Vec<NotCarried> = Vec::new();
        if let Some(server) = servers.get(&member.server_id) {
            lost.extend(not_carried::of_server(&server.traits));
        }
        for known in &member.volumes {
            if let Some(seen) = volumes.get(&known.id) {
                lost.extend(not_carried::of_volume(
                    &label(known),
                    known.boot,
                    &seen.traits,
                ));
            }
        }
        for port in ports.get(&member.server_id).into_iter().flatten() {
            lost.extend(not_carried::of_port(port));
        }
        lost.extend(unread_key_pair(member));
        lost.sort_by_key(|lost| lost.treatment() != Treatment::Refused);
        lost.dedup();
        all.extend(lost.into_iter().map(|lost| (member, lost)));
    }
    all
}

fn unread_key_pair(member: &Member) -> Option<NotCarried> {
    let pair = member.server.key_pair.as_ref();
    let unread = pair.filter(|pair| pair.public_key.is_none())?;
    Some(NotCarried::KeyPair {
        name: unread.name.clone(),
    })
}

fn label(volume: &ProtectedVolume) -> String {
    match volume.name.as_str() {
        "" => volume.id.to_string(),
        name => format!("{name} ({})", volume.id),
    }
}

pub(super) fn carried(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::Carried;
    let source = &facts.source;
    let mut problems: Vec<ReadinessFinding> = not_carried(facts.members, source)
        .into_iter()
        // Said with the images.
        .filter(|(_, lost)| *lost != NotCarried::RootFromImage)
        .filter(|(_, lost)| !is_said_strictly(facts, lost))
        .map(|(member, lost)| finding(member, &lost))
        .collect();
    problems.extend(not_taken_strictly(facts));
    if source.servers.is_err() || source.volumes.is_err() || source.ports.is_err() {
        problems.extend(not_checked(check, facts.source_site()));
    }
    or_ok(problems, check, "all of each server comes along")
}

/// A strict group does not take it: that is an error of its own.
fn is_said_strictly(facts: &Facts<'_>, lost: &NotCarried) -> bool {
    facts.group.fidelity == Fidelity::Strict && matches!(lost, NotCarried::KeyPair { .. })
}

/// Of a strict group, each attribute with which its planned move does not start.
fn not_taken_strictly(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let group = facts.group;
    if group.fidelity != Fidelity::Strict {
        return Vec::new();
    }
    let mappings = group.mappings_from_current();
    let recovery = group.recovery_plan_from_current(group.kind_of_move());
    let site = facts.target_site();
    let mut findings = Vec::new();
    for member in facts.members {
        let lines = compare(&Comparison {
            group,
            recovery: &recovery,
            mappings: &mappings,
            recorded: member,
            now: &ServerNow::recorded(member),
            built: member,
            there: &facts.there,
        });
        let failing = lines.iter().filter(|line| line.strictly.fails());
        findings.extend(failing.map(|line| {
            let message = format!(
                "the group is strict, and the copy of {} on {site} would not be as its original: {}",
                member.name,
                line.in_words()
            );
            ReadinessFinding::error(ReadinessSubject::Carried, message, strict_cure(&group.name, site.as_str(), &[line.strictly].into()))
                .about(&member.name)
        }));
    }
    findings
}

/// What lets a planned move of a strict group start that `failing` keeps from it.
pub fn strict_cure(group: &str, site: &str, failing: &BTreeSet<Strictly>) -> String {
    let usual =
        format!("mend that on {site}, name what is wanted there in a mapping or the recovery plan");
    let foreign = format!(
        "map to a network of the project itself, or let an administrator of {site} allow create_port:fixed_ips:ip_address and create_port:mac_address to the project and whoever runs protector set [openstack] tenants_choose_addresses_on_shared_networks"
    );
    let cures = failing.iter().filter_map(|failing| match failing {
        Strictly::Passes => None,
        Strictly::Fails => Some(usual.as_str()),
        Strictly::FailsOnForeignNetwork => Some(foreign.as_str()),
    });
    let cures: Vec<&str> = cures.collect();
    format!(
        "{}, or let it pass: openstack dr protection-group set {group} --fidelity told",
        cures.join("; ")
    )
}

fn finding(member: &Member, lost: &NotCarried) -> ReadinessFinding {
    let message = format!("server {} {lost}", member.name);
    let finding = match lost.treatment() {
        Treatment::Refused => {
            ReadinessFinding::error(ReadinessSubject::Carried, message, lost.cure())
        }
        Treatment::Told => {
            ReadinessFinding::warning(ReadinessSubject::Carried, message, lost.cure())
        }
    };
    finding.about(&member.name)
}
