//! QoS policies: whether the ports of copies get what their originals have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, ReadinessFinding, ReadinessSubject, not_checked};
use crate::qos_policy::{NoQosPolicy, QosPolicy};

/// Says nothing of a group whose ports have none, and nothing of those that have their counterpart.
pub(super) fn qos_policy(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let mut used: BTreeMap<&str, (&QosPolicy, BTreeSet<&str>)> = BTreeMap::new();
    for member in facts.members {
        let ports = member
            .server
            .nics
            .iter()
            .filter_map(|nic| nic.port.as_ref());
        for policy in ports.filter_map(|port| port.qos_policy.as_ref()) {
            let entry = used.entry(&policy.id);
            let (_, members) = entry.or_insert_with(|| (policy, BTreeSet::new()));
            members.insert(&member.name);
        }
    }
    if used.is_empty() {
        return Vec::new();
    }
    let Ok(there) = &facts.target.qos_policies else {
        return not_checked(ReadinessSubject::Mapping, facts.target_site());
    };
    let mapping = facts.group.mappings_from_current().qos_policies;
    let without = used.into_values().filter_map(|(policy, members)| {
        let why = policy.counterpart(&mapping, there).err()?;
        // Of a strict group it is an error, among all that its copies would lack.
        let is_told = facts.group.fidelity.is_told() || matches!(why, NoQosPolicy::MappedIsGone(_));
        if !is_told {
            return None;
        }
        Some(finding(facts, policy, &members, &why))
    });
    without.collect()
}

/// A mapping that leads nowhere is to be mended; that there is no policy is told, and the copies run without.
fn finding(
    facts: &Facts<'_>,
    policy: &QosPolicy,
    members: &BTreeSet<&str>,
    why: &NoQosPolicy,
) -> ReadinessFinding {
    let site = facts.target_site();
    let message = format!(
        "QoS policy {policy} of a port of {members} {why}: their copies are made without",
        members = members.iter().copied().collect::<Vec<_>>().join(", "),
        why = why.in_words(site.as_str()),
    );
    let cure = format!(
        "see that the project has one of that name on {site}, or map it: openstack dr protection-group set {} --qos-policy-mapping {policy}=<QoS policy on {site}>",
        facts.group.name
    );
    let finding = match why {
        NoQosPolicy::MappedIsGone(_) => {
            ReadinessFinding::error(ReadinessSubject::Mapping, message, cure)
        }
        NoQosPolicy::Several(_) | NoQosPolicy::NotThere => {
            ReadinessFinding::warning(ReadinessSubject::Mapping, message, cure)
        }
    };
    finding.about(policy.to_string())
}
