//! Which members an unplanned failover, or another try, has recovered, and what becomes of the group.

use std::collections::BTreeMap;

use protector_core::{
    fault::Code,
    id::{FlavorId, ServerId},
    journal::Effect,
    member::{Flavor, Member, MemberStatus},
    operation::Mapped,
};

use super::{
    switch::Switch,
    switch::{another_group_to_let_go, moved, never_moved},
    target_check::flavors_on_target,
};
use crate::{
    action::{Progress, StepContext},
    step_error::{StepError, not_in_plan},
};

impl Switch<'_> {
    /// The lines that this one waited for have shown that the member is up.
    pub(super) async fn count_recovered(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        let copy = cx
            .known(|map| map.server(source_id))
            .ok_or_else(|| not_in_plan("copy of server", source_id.as_str()))?;
        Ok(Progress::Done(vec![
            Mapped::Recovered {
                source: source_id.clone(),
                target: copy,
            }
            .into(),
        ]))
    }

    pub(super) async fn confirm_recovered(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let members = &cx.plan().members;
        let recovered = members.iter().filter(|member| is_recovered(cx, member));
        let (recovered, all) = (recovered.count(), members.len());
        if recovered == 0 {
            let site = &cx.plan().target.site;
            let first = cx.first_member_that_failed().await?;
            let first = first.map(|why| format!("; {why}")).unwrap_or_default();
            let why = format!("none of the {all} members could be recovered on {site}{first}");
            return Err(StepError::last(Code::Broken, why));
        }
        cx.fact(format!("{recovered} of {all} members were recovered"));
        Ok(Progress::done())
    }

    /// Only a write to the journal, together with the step's end: it happens whole or not at all. A copy that another group
    /// has taken in is waited for.
    pub(super) async fn switch_recovered(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        let target = self.clouds.target(cx).await?;
        let flavors = flavors_on_target(&target, cx.plan()).await?;
        let recovered = recovered(cx, &flavors)?;
        if let Some(on) = another_group_to_let_go(cx, &recovered).await? {
            return Ok(self.clouds.look_again(on));
        }
        Ok(Progress::Done(vec![group_with(cx, recovered)]))
    }

    /// The same for a later try: the group runs on the target already.
    pub(super) async fn admit_recovered(
        &self,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, StepError> {
        self.switch_recovered(cx).await
    }

    /// What is left on a source that was lost is not asked for, and nothing waits for it.
    pub(super) async fn leave_source_server(
        &self,
        cx: &mut StepContext<'_>,
        source_id: &ServerId,
    ) -> Result<Progress, StepError> {
        Err(left(cx, source_id))
    }

    /// The same for a volume.
    pub(super) async fn leave_source_volume(
        &self,
        cx: &mut StepContext<'_>,
        volume: &str,
    ) -> Result<Progress, StepError> {
        let (member, _) = cx
            .plan()
            .volume(volume)
            .ok_or_else(|| not_in_plan("volume", volume))?;
        let server = member.server_id.clone();
        Err(left(cx, &server))
    }
}

/// The copy with which the switch has taken a member in: where members are counted one by one, only one that was counted.
pub(super) fn taken_in(cx: &StepContext<'_>, source_id: &ServerId) -> Option<ServerId> {
    let is_counted = cx
        .plan()
        .members
        .iter()
        .any(|member| is_recovered(cx, member));
    cx.known(|map| match is_counted {
        true => map.recovered(source_id),
        false => map.server(source_id),
    })
}

fn is_recovered(cx: &StepContext<'_>, member: &Member) -> bool {
    cx.known(|map| map.recovered(&member.server_id).is_some())
}

/// The members that were recovered, as they are on the target.
fn recovered(
    cx: &StepContext<'_>,
    flavors: &BTreeMap<FlavorId, Flavor>,
) -> Result<Vec<Member>, StepError> {
    let members = cx.plan().members.iter();
    let recovered = members.filter(|member| is_recovered(cx, member));
    recovered.map(|member| moved(cx, member, flavors)).collect()
}

/// The group on the target, with all its members: those that were recovered, the others as they were.
fn group_with(cx: &StepContext<'_>, recovered: Vec<Member>) -> Effect {
    let plan = cx.plan();
    let left = plan.members.iter();
    let left = left.filter(|member| !is_recovered(cx, member));
    let mut members: Vec<Member> = plan.others.iter().map(never_moved).collect();
    members.extend(recovered);
    members.extend(left.map(|member| not_recovered(cx, member)));
    Effect::GroupSwitched {
        group_id: plan.group_id.clone(),
        current_primary_site: plan.target.site.clone(),
        members,
    }
}

fn not_recovered(cx: &StepContext<'_>, member: &Member) -> Member {
    Member {
        status: MemberStatus::Error,
        updated_at: cx.writer.now(),
        ..member.clone()
    }
}

fn left(cx: &StepContext<'_>, server: &ServerId) -> StepError {
    let plan = cx.plan();
    let (site, group) = (&plan.source.site, &plan.group_name);
    let why = if cx.known(|map| map.recovered(server).is_some()) {
        format!(
            "kept: an unplanned failover does not touch {site}: when it is back, 'openstack dr fence {group}' stops what runs there, then 'openstack dr operation cleanup {}' deletes it",
            cx.operation.id
        )
    } else {
        format!(
            "kept: its VM was not recovered on {}, so this may be the only copy: 'openstack dr retry {group}' tries again; when {site} is back, 'openstack dr fence {group}' stops what runs there",
            plan.target.site
        )
    };
    StepError::last(Code::Kept, why)
}
