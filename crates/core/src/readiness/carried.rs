//! Whether all of each server comes along: what is not is refused at the start, or told.

use std::collections::BTreeMap;

use super::{Check, Facts, Finding, ServerSeen, SourceSeen, VolumeSeen, not_checked, or_ok};
use crate::{
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

pub(super) fn carried(facts: &Facts<'_>) -> Vec<Finding> {
    let check = Check::Carried;
    let source = &facts.source;
    let mut problems: Vec<Finding> = not_carried(facts.members, source)
        .into_iter()
        // Said with the images.
        .filter(|(_, lost)| *lost != NotCarried::RootFromImage)
        .map(|(member, lost)| finding(member, &lost))
        .collect();
    if source.servers.is_err() || source.volumes.is_err() || source.ports.is_err() {
        problems.extend(not_checked(check, facts.source_site()));
    }
    or_ok(problems, check, "all of each server comes along")
}

fn finding(member: &Member, lost: &NotCarried) -> Finding {
    let message = format!("server {} {lost}", member.name);
    let finding = match lost.treatment() {
        Treatment::Refused => Finding::error(Check::Carried, message, lost.cure()),
        Treatment::Told => Finding::warning(Check::Carried, message, lost.cure()),
    };
    finding.about(&member.name)
}
