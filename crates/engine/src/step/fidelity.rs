//! Whether a copy is as its original was, in what tenants set and in what the machine is like: as the plan maps it.

use protector_core::{
    fault::Code,
    group::Fidelity,
    member::Member,
    member_settings::{Difference, all, one},
    plan::Plan,
    runbook::Verb,
    security_group::resolve,
};
use protector_openstack::{cloud::Cloud, compute::Server};

use super::target_check::security_groups_there;
use crate::{action::StepContext, step_error::StepError};

/// The volumes that went with the original and do not go with its copy: what was replicated outlives it.
pub(super) fn outliving(member: &Member) -> impl Iterator<Item = String> {
    let volumes = member.volumes.iter();
    let went_with_it = volumes.filter(|volume| volume.delete_on_termination);
    went_with_it.map(|volume| {
        let name = match volume.name.as_str() {
            "" => volume.id.as_str(),
            name => name,
        };
        format!(
            "volume {name} outlives the copy: delete_on_termination is off, the original's was on"
        )
    })
}

/// Each setting in which `copy` is not as its original was when it was read last. What a mapping or the recovery plan names
/// is no difference: that is what is wanted.
pub(super) fn differences(plan: &Plan, member: &Member, copy: &Server) -> Vec<Difference> {
    let wanted = plan.settings_of_copy(member);
    let mut is = copy.settings();
    if wanted.addresses.is_empty() {
        // It had none that anybody knew of, and any will do.
        is.addresses.clear();
    }
    let pair = member.server.key_pair.as_ref();
    let beside = pair.map(|pair| pair.name_beside_another(&plan.group_id));
    if is.key_pair.is_some() && is.key_pair == beside {
        // The same key: another one has its name there.
        is.key_pair.clone_from(&wanted.key_pair);
    }
    let mut found = wanted.compared(&is);
    found.extend(flavor(plan, member, copy));
    found.extend(hostname(member, copy));
    found.extend(availability_zone(member, copy));
    found.extend(config_drive(member, copy));
    found
}

/// Nova shows the names of security groups, and the recovery plan may name one by its id: that is no difference.
///
/// # Errors
///
/// What Neutron says.
pub(super) async fn with_groups_by_name(
    target: &Cloud,
    plan: &Plan,
    member: &Member,
    mut differences: Vec<Difference>,
) -> Result<Vec<Difference>, StepError> {
    if differences
        .iter()
        .all(|found| found.what != "security groups")
    {
        return Ok(differences);
    }
    let there = security_groups_there(target, plan).await?;
    let wanted = plan.security_groups_on_target(member).into_iter();
    let names = wanted.map(|wanted| match resolve(&wanted, &there) {
        Ok(group) => group.name.clone(),
        Err(_) => wanted,
    });
    let names = all(&names.collect());
    for found in &mut differences {
        if found.what == "security groups" {
            found.was.clone_from(&names);
        }
    }
    differences.retain(|found| found.was != found.is);
    Ok(differences)
}

/// Tells each of `differences` as a fact of the step; those that were `told_before` count, and are not told twice. A planned move
/// of a group with `fidelity: strict` fails with them, and is taken back: its original runs again. An unplanned one has no
/// original to go back to.
///
/// # Errors
///
/// The differences, and what to do about them.
pub(super) fn judge(
    cx: &mut StepContext<'_>,
    member: &str,
    differences: Vec<Difference>,
    told_before: Vec<Difference>,
) -> Result<(), StepError> {
    for Difference { what, was, is } in &differences {
        cx.fact(format!(
            "the copy is not as its original in its {what}: {is}, wanted: {was}"
        ));
    }
    let differences: Vec<Difference> = differences.into_iter().chain(told_before).collect();
    if differences.is_empty() || !fails_with_them(cx) {
        return Ok(());
    }
    let each: Vec<String> = differences
        .iter()
        .map(|Difference { what, was, is }| format!("{what}: {is}, wanted: {was}"))
        .collect();
    let (group, site) = (&cx.plan().group_name, &cx.plan().target.site);
    Err(StepError::last(
        Code::Broken,
        format!(
            "the copy of {member} on {site} is not as its original ({each}), and the group's fidelity is strict: 'openstack dr member show {group} {member} --compare' says why; mend that there, or map it, or 'openstack dr protection-group set {group} --fidelity told' lets it pass",
            each = each.join("; ")
        ),
    ))
}

/// Lines of a planned move are taken back when they fail; those of an unplanned one leave the other members alone.
fn fails_with_them(cx: &StepContext<'_>) -> bool {
    let moves = cx.operation.kind.is_a_move();
    moves && cx.step.verb == Verb::Undoable && cx.plan().fidelity == Fidelity::Strict
}

/// The size of a flavor that no mapping names.
fn flavor(plan: &Plan, member: &Member, copy: &Server) -> Option<Difference> {
    let known = &member.server.flavor;
    let is_mapped = plan.mappings.flavors.contains_key(known.id.as_str());
    let size = |vcpus: u64, ram: u64| format!("{vcpus} vCPU(s), {ram} MiB");
    let was = size(known.vcpus.into(), known.ram_mib);
    let is = size(copy.flavor.vcpus, copy.flavor.ram);
    (!is_mapped && was != is).then_some(Difference {
        what: "flavor".into(),
        was,
        is,
    })
}

/// Where both clouds show it.
fn hostname(member: &Member, copy: &Server) -> Option<Difference> {
    let (was, is) = (member.server.hostname.clone()?, copy.hostname.clone()?);
    (was != is).then_some(Difference {
        what: "host name".into(),
        was,
        is,
    })
}

/// The one that somebody has chosen.
fn availability_zone(member: &Member, copy: &Server) -> Option<Difference> {
    let was = member.server.availability_zone.as_deref()?;
    let is_in = copy.availability_zone.as_deref();
    let there = copy.chosen_zone().or(is_in);
    (there != Some(was) && is_in != Some(was)).then(|| Difference {
        what: "availability zone".into(),
        was: was.to_owned(),
        is: one(there),
    })
}

fn config_drive(member: &Member, copy: &Server) -> Option<Difference> {
    let word = |has: bool| if has { "yes" } else { "no" }.to_owned();
    let (was, is) = (member.server.config_drive, copy.config_drive);
    (was != is).then(|| Difference {
        what: "config drive".into(),
        was: word(was),
        is: word(is),
    })
}
