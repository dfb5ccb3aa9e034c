//! The point of no return: the target becomes the group's current primary.

use std::collections::BTreeMap;

use protector_core::{
    fault::Code,
    id::{FlavorId, NetworkId},
    journal::Effect,
    member::{Flavor, Member, MemberStatus, ProtectedVolume},
    plan::Plan,
};
use tokio::time::Instant;

use super::{
    mark,
    port_request::pair_on_target,
    server_group::moved_server_group,
    site_clouds::SiteClouds,
    target_check::{flavors_on_target, refuse_without_the_unrecovered},
};
use crate::{
    action::{Progress, StepContext},
    step_error::{StepError, not_in_plan},
};

/// Steps that make the target the current primary site, with what was recovered.
pub(super) struct Switch<'a> {
    pub(super) clouds: SiteClouds<'a>,
}

impl Switch<'_> {
    /// Only a write to the journal, together with the step's end: it happens whole or not at all. Right before it every
    /// source server is seen at rest, all of them at one moment: from here on nothing that one of them writes is ever read
    /// again. So is what each was itself made from: it would run beside the copy.
    pub(super) async fn switch_primary(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        if let Some(not_yet) = self.clouds.any_original_may_run(cx).await? {
            return self.waits_a_while(cx, not_yet);
        }
        // A group that waited long may have lost one meanwhile, and would call itself whole.
        let target = self.clouds.target(cx).await?;
        refuse_without_the_unrecovered(&target, cx).await?;
        let flavors = flavors_on_target(&target, cx.plan()).await?;
        // After that: what this finds is as fresh as can be.
        let asked_at = Instant::now();
        let resting = match self.clouds.see_all_at_rest(cx).await? {
            Ok(resting) => resting,
            Err(not_yet) => return Ok(not_yet),
        };
        // That has taken its time. The other site holds still for longer than what is left to do here may take.
        cx.hold_still().await?;
        let mut members = cx
            .plan()
            .members
            .iter()
            .map(|member| moved(cx, member, &flavors))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(on) = another_group_to_let_go(cx, &members).await? {
            return Ok(self.clouds.look_again(on));
        }
        members.extend(cx.plan().others.iter().map(never_moved));
        match self.clouds.still_as_seen(cx, asked_at, &resting).await? {
            Ok(asked_at) => cx.ends_by_what_was_asked_at(asked_at),
            Err(not_yet) => return Ok(not_yet),
        }
        let plan = cx.plan();
        Ok(Progress::Done(vec![Effect::GroupSwitched {
            group_id: plan.group_id.clone(),
            current_primary_site: plan.target.site.clone(),
            members,
        }]))
    }
}

/// One group only moves a server. A copy that somebody has taken into another group meanwhile is not taken into this one,
/// until a person has said which it is to be; until then everything can be taken back.
pub(super) async fn another_group_to_let_go(
    cx: &StepContext<'_>,
    members: &[Member],
) -> Result<Option<String>, StepError> {
    let copies: Vec<String> = members
        .iter()
        .flat_map(|member| {
            let volumes = member.volumes.iter().map(|volume| volume.id.to_string());
            std::iter::once(member.server_id.to_string()).chain(volumes)
        })
        .collect();
    let protection = cx.protection_of(&copies).await?;
    Ok(protection.map(|protection| {
        format!(
            "protection group {} to let go of {}, with 'openstack dr member remove'",
            protection.group_name, protection.resource
        )
    }))
}

impl Switch<'_> {
    /// People and the other site may take their time. What Nova is at on a dead host never ends: after as long as a build may
    /// take, everything is taken back.
    fn waits_a_while(
        &self,
        cx: &StepContext<'_>,
        not_yet: Progress,
    ) -> Result<Progress, StepError> {
        let begun = cx.step.progress.started_at;
        let waited = begun.and_then(|at| (cx.writer.now() - at).to_std().ok());
        match &not_yet {
            Progress::Waiting { on, .. } if waited > Some(self.clouds.options.build_timeout) => {
                Err(StepError::last(Code::Blocked, format!("waited for {on}")))
            }
            _ => Ok(not_yet),
        }
    }
}

/// A member that the last failover could not recover is where the group comes back to, and never was elsewhere.
pub(super) fn never_moved(member: &Member) -> Member {
    Member {
        status: MemberStatus::Protected,
        ..member.clone()
    }
}

/// The member as it is on the target, where `flavors` are those of the copies. Its copies' flags are the copies': Nova never
/// deletes their volumes.
pub(super) fn moved(
    cx: &StepContext<'_>,
    member: &Member,
    flavors: &BTreeMap<FlavorId, Flavor>,
) -> Result<Member, StepError> {
    let mappings = &cx.plan().mappings;
    let mut moved = member.clone();
    moved.earlier.clear();
    moved.server_id = cx
        .known(|map| map.server(&member.server_id))
        .ok_or_else(|| not_in_plan("server", member.server_id.as_str()))?;
    moved.status = MemberStatus::Protected;
    // On the way back it tells what must not run there.
    let maker = mark::maker(cx.operation);
    moved.server.metadata =
        mark::mark_server(&member.server.metadata, maker, member.server_id.as_str());
    for volume in &mut moved.volumes {
        volume.volume_type = cx.plan().volume_type_on_target(volume).map(str::to_owned);
        volume.id = cx
            .known(|map| map.volume(&volume.id))
            .ok_or_else(|| not_in_plan("volume", volume.id.as_str()))?;
        // Of its place on the other array the next reading tells.
        volume.name_id = None;
        volume.host = None;
        move_delete_on_termination(volume, cx.plan());
    }
    moved.server.security_groups = cx.plan().security_groups_on_target(member);
    move_floating_ips(&mut moved, cx.plan().floating_ips_on_target(member));
    for nic in &mut moved.server.nics {
        for address in &mut nic.fixed_ips {
            *address = cx.plan().address_on_target(member, *address);
        }
        if let Some(port) = &mut nic.port {
            port.security_groups = cx.plan().groups_of_port_on_target(member, port);
            port.security_group_ids.clear();
            for pair in &mut port.allowed_address_pairs {
                *pair = pair_on_target(cx, member, pair);
            }
        }
        let network = mappings
            .networks
            .get(nic.network_id.as_str())
            .ok_or_else(|| StepError::last(Code::Internal, "a network lost its mapping"))?;
        nic.network_id = NetworkId::new(network.clone());
    }
    let group = member.server.server_group.as_ref();
    moved.server.server_group = group.map(|known| moved_server_group(cx, known));
    if let Some(flavor) = flavors.get(&member.server.flavor.id) {
        moved.server.flavor = flavor.clone();
    }
    moved.updated_at = cx.writer.now();
    Ok(moved)
}

/// What went with the original outlives its copy, until a step of the way back has turned that on again.
fn move_delete_on_termination(volume: &mut ProtectedVolume, plan: &Plan) {
    let (source, target) = (&plan.source.site, &plan.target.site);
    let known = volume.delete_on_termination_at.take();
    let is_back = known.as_ref() == Some(target);
    volume.delete_on_termination_at = match volume.delete_on_termination {
        true => Some(source.clone()),
        false => known.filter(|_| !is_back),
    };
    volume.delete_on_termination = is_back;
}

/// One that an outer network gives keeps the name that the original had: the way back takes that one.
fn move_floating_ips(moved: &mut Member, on_target: Vec<Option<String>>) {
    let mut on_target = on_target.into_iter();
    for port in moved
        .server
        .nics
        .iter_mut()
        .filter_map(|nic| nic.port.as_mut())
    {
        port.floating_ips.retain_mut(|floating| {
            let there = on_target.next().flatten();
            let is_named = there.is_some();
            if let Some(address) = there.and_then(|there| there.parse().ok()) {
                floating.address = address;
            }
            is_named
        });
    }
}
