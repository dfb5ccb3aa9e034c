//! Server groups: whether the copies of members that are in one get it, and can be built in it.

use std::collections::BTreeMap;

use super::{Facts, ReadinessFinding, ReadinessSubject, not_checked};
use crate::{
    member::Member,
    server_group::{MappedGroupIsGone, ServerGroup, ServerGroupSeen},
};

/// Says nothing of a group whose members are in no server group.
pub(super) fn server_group(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let check = ReadinessSubject::ServerGroup;
    let mut used: BTreeMap<&str, (&ServerGroup, Vec<&Member>)> = BTreeMap::new();
    for member in facts.members {
        if let Some(group) = &member.server.server_group {
            let (_, members) = used.entry(&group.id).or_insert((group, Vec::new()));
            members.push(member);
        }
    }
    if used.is_empty() {
        return Vec::new();
    }
    let Ok(there) = &facts.target.server_groups else {
        return not_checked(check, facts.target_site());
    };
    let problems: Vec<ReadinessFinding> = used
        .values()
        .filter_map(|(group, members)| of_one(facts, group, members.len(), there))
        .collect();
    super::or_ok(
        problems,
        check,
        format!(
            "every server group has its counterpart on {}, or is made there",
            facts.target_site()
        ),
    )
}

fn of_one(
    facts: &Facts<'_>,
    known: &ServerGroup,
    copies: usize,
    there: &[ServerGroupSeen],
) -> Option<ReadinessFinding> {
    let (check, site) = (ReadinessSubject::ServerGroup, facts.target_site());
    let mappings = facts.group.mappings_from_current().server_groups;
    let mapped = mappings.get(&known.id).map(String::as_str);
    let finding = match known.counterpart(mapped, there, &[]) {
        Err(MappedGroupIsGone(mapped)) => ReadinessFinding::error(
            check,
            format!(
                "server group {known} is mapped to {mapped}, which {site} does not show to the project"
            ),
            "map it to one that exists, or take the mapping away: one of its name and policy is used then, or made",
        ),
        Ok(Some(other)) if other.policy != known.policy => ReadinessFinding::warning(
            check,
            format!("server group {known} is mapped to {other}: its policy is another"),
            "map it to one of the same policy, unless this is meant",
        ),
        Ok(found) => room(facts, known, copies, in_it(found, there))?,
    };
    Some(finding.about(&known.name))
}

fn in_it(found: Option<&ServerGroup>, there: &[ServerGroupSeen]) -> usize {
    let of = |group: &ServerGroup| there.iter().find(|seen| seen.group.id == group.id);
    found.and_then(of).map_or(0, |seen| seen.servers.len())
}

/// Whether there are hosts enough for a group that keeps its servers apart.
fn room(
    facts: &Facts<'_>,
    known: &ServerGroup,
    copies: usize,
    others: usize,
) -> Option<ReadinessFinding> {
    let on_one = usize::try_from(known.holds_apart()?).ok()?;
    let needed = (copies + others).div_ceil(on_one);
    if needed < 2 {
        return None;
    }
    let site = facts.target_site();
    let has = match &facts.target.compute_hosts {
        Ok(hosts) if *hosts >= needed => return None,
        Ok(hosts) => format!("{site} has {hosts}"),
        Err(_) => format!("the compute hosts of {site} are not visible to the service user"),
    };
    Some(ReadinessFinding::warning(
        ReadinessSubject::ServerGroup,
        format!(
            "server group {known} needs {needed} compute host(s), and {has}: the build can fail with \"No valid host\""
        ),
        format!(
            "see that {site} has the hosts, or map it to a group there whose policy is soft-anti-affinity: openstack dr protection-group set {} --server-group-mapping {}=<server group>",
            facts.group.name, known.id
        ),
    ))
}
