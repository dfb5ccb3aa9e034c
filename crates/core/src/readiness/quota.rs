//! The tenant's quota on the target.

use std::collections::BTreeMap;

use super::{Asked, Facts, ReadinessFinding, ReadinessSubject, Usage, not_checked, or_ok, target};
use crate::{mark::items_of_copy, member::Member};

/// What of a quota is needed, and the word by which `openstack quota set` changes it.
struct Need {
    resource: String,
    amount: u64,
    option: String,
}

impl Need {
    fn new(resource: &str, amount: u64) -> Self {
        Self {
            resource: resource.to_owned(),
            amount,
            option: format!("--{resource}"),
        }
    }
}

pub(super) fn quota(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let compute = judged(facts, &facts.target.compute_quota, compute_needs(facts));
    let volume = judged(facts, &facts.target.volume_quota, volume_needs(facts));
    let network = judged(facts, &facts.target.network_quota, network_needs(facts));
    let mut problems: Vec<ReadinessFinding> =
        [compute, volume, network].into_iter().flatten().collect();
    problems.extend(largest_volume(facts));
    problems.extend(metadata_items(facts));
    let all = [
        &facts.target.compute_quota,
        &facts.target.volume_quota,
        &facts.target.network_quota,
    ];
    if all.into_iter().any(Result::is_err) {
        problems.extend(not_checked(ReadinessSubject::Quota, facts.target_site()));
    }
    let name = facts.target_site();
    or_ok(
        problems,
        ReadinessSubject::Quota,
        format!("the project's quota on {name} takes the group"),
    )
}

fn compute_needs(facts: &Facts<'_>) -> Vec<Need> {
    let (mut cores, mut ram) = (0, 0);
    for member in facts.members {
        let flavor =
            target::counterpart(facts, &member.server.flavor).unwrap_or(&member.server.flavor);
        cores += u64::from(flavor.vcpus);
        ram += flavor.ram_mib;
    }
    vec![
        Need::new("instances", count(facts.members.len())),
        Need::new("cores", cores),
        Need::new("ram", ram),
    ]
}

/// Nova's limit on each server's metadata: a copy has its original's and the marks.
fn metadata_items(facts: &Facts<'_>) -> Vec<ReadinessFinding> {
    let quota = facts.target.compute_quota.as_ref().ok();
    let limit = quota.and_then(|quota| quota.get("metadata_items"));
    let Some(limit) = limit.and_then(|usage| u64::try_from(usage.limit).ok()) else {
        return Vec::new();
    };
    let target = facts.group.other();
    let too_many = |member: &&Member| count(items_of_copy(&member.server.metadata)) > limit;
    facts
        .members
        .iter()
        .filter(too_many)
        .map(|member| {
            let items = items_of_copy(&member.server.metadata);
            ReadinessFinding::error(
                ReadinessSubject::Quota,
                format!(
                    "server {} has {} items of metadata: its copy has {items} with the marks of what made it, and Nova on {} takes {limit}",
                    member.name,
                    member.server.metadata.len(),
                    target.site
                ),
                format!(
                    "openstack --os-cloud {} quota set --properties {items} {}",
                    target.site, target.project_id
                ),
            )
            .about(&member.name)
        })
        .collect()
}

fn volume_needs(facts: &Facts<'_>) -> Vec<Need> {
    let sizes = sizes(facts);
    let volumes = count(sizes.len());
    let gigabytes = sizes.values().sum();
    let mut needs = vec![
        Need::new("volumes", volumes),
        Need::new("gigabytes", gigabytes),
    ];
    let types = facts.target.volume_types.as_deref().unwrap_or_default();
    let kind = types
        .iter()
        .find(|kind| Some(kind.id.as_str()) == facts.group.volume_type_on_other());
    if let Some(kind) = kind {
        for (resource, amount) in [("volumes", volumes), ("gigabytes", gigabytes)] {
            needs.push(Need {
                resource: format!("{resource}_{}", kind.name),
                amount,
                option: format!("--volume-type {} --{resource}", kind.name),
            });
        }
    }
    needs
}

/// A port for each network card.
fn network_needs(facts: &Facts<'_>) -> Vec<Need> {
    let cards = facts.members.iter().map(|member| member.server.nics.len());
    vec![Need {
        resource: "port".to_owned(),
        amount: count(cards.sum()),
        option: "--ports".to_owned(),
    }]
}

/// The size of each volume in GiB: as the cloud shows it now, else as it was when its member was added.
fn sizes<'f>(facts: &'f Facts<'_>) -> BTreeMap<&'f str, u64> {
    let now = facts.source.volumes.as_deref().unwrap_or_default();
    let now: BTreeMap<&str, u64> = now
        .iter()
        .map(|volume| (volume.id.as_str(), volume.size_gib))
        .collect();
    facts
        .members
        .iter()
        .flat_map(|member| &member.volumes)
        .map(|volume| {
            let id = volume.id.as_str();
            (id, now.get(id).copied().unwrap_or(volume.size_gib))
        })
        .collect()
}

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

fn judged(
    facts: &Facts<'_>,
    usages: &Asked<BTreeMap<String, Usage>>,
    needs: Vec<Need>,
) -> Vec<ReadinessFinding> {
    let Ok(usages) = usages else {
        return Vec::new();
    };
    needs
        .iter()
        .filter_map(|need| short(facts, need, *usages.get(&need.resource)?))
        .collect()
}

fn short(facts: &Facts<'_>, need: &Need, usage: Usage) -> Option<ReadinessFinding> {
    let amount = i64::try_from(need.amount).unwrap_or(i64::MAX);
    let wanted = usage.used.saturating_add(amount);
    if usage.limit < 0 || wanted <= usage.limit {
        return None;
    }
    let target = facts.group.other();
    let resource = &need.resource;
    Some(
        ReadinessFinding::error(
            ReadinessSubject::Quota,
            format!(
                "the quota {resource} on {} is {}, {} in use; the group needs {amount}",
                target.site, usage.limit, usage.used
            ),
            format!(
                "openstack --os-cloud {} quota set {} {wanted} {}",
                target.site, need.option, target.project_id
            ),
        )
        .about(resource),
    )
}

/// Cinder bounds the size of a single volume too.
fn largest_volume(facts: &Facts<'_>) -> Option<ReadinessFinding> {
    let resource = "per_volume_gigabytes";
    let limit = facts
        .target
        .volume_quota
        .as_ref()
        .ok()?
        .get(resource)?
        .limit;
    let (volume, size) = sizes(facts).into_iter().max_by_key(|(_, size)| *size)?;
    if limit < 0 || i64::try_from(size).unwrap_or(i64::MAX) <= limit {
        return None;
    }
    let target = facts.group.other();
    Some(
        ReadinessFinding::error(
            ReadinessSubject::Quota,
            format!(
                "volume {volume} has {size} GiB; {} allows {limit} for one volume",
                target.site
            ),
            format!(
                "openstack --os-cloud {} quota set --per-volume-gigabytes {size} {}",
                target.site, target.project_id
            ),
        )
        .about(resource),
    )
}
