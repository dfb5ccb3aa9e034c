//! An unplanned failover: what it is asked for, its plan, from what the records tell and from what an interrupted move has made,
//! and its start. Nothing of it needs the site that was lost.

use protector_core::{
    group::{Group, ResourceMappings},
    id::{OperationId, RecoveryPointId},
    operation::{OperationKind, OperationRecord, Planning, ResourceMap, StepRecord},
    plan::Plan,
    runbook::unplanned_failover::unplanned_failover,
};
use protector_store::{Lock, StoredGroup};
use protector_wire::operation::{Failback, Failover};

use crate::{
    app::{
        App,
        policy::{array_pair, capabilities_of},
        refusal::Refusal,
        start::{
            admission::{self, refused},
            interrupted::{
                Interrupted, interrupted, refuse_beside_copies, refuse_status_of_unplanned,
                to_take_over,
            },
            left_behind::refuse_stale_replicas_here,
            new_operation::{Asker, Run, busy, start},
            recovery_point::{as_at_its_point, asked_for},
        },
    },
    http::error::{ApiError, ApiResult},
};

/// An unplanned failover, as asked for.
#[derive(Clone, Debug)]
pub struct Unplanned {
    /// The action that asks for it: `Failover`, to whichever site the group does not run on, or `Failback`, to its primary
    /// one only.
    pub action: OperationKind,
    /// What the request maps, over the stored mapping; from the primary to the secondary site.
    pub mappings: ResourceMappings,
    /// The recovery point to go to; the latest where none is named.
    pub recovery_point: Option<RecoveryPointId>,
}

impl Unplanned {
    /// What a request for a failover asks for.
    pub fn failover(request: Failover) -> Self {
        Self {
            action: OperationKind::Failover,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
            recovery_point: request.recovery_point.map(RecoveryPointId::new),
        }
    }

    /// What a request for a failback asks for.
    pub fn failback(request: Failback) -> Self {
        Self {
            action: OperationKind::Failback,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
            recovery_point: request.recovery_point.map(RecoveryPointId::new),
        }
    }

    /// There is no way back for a group that is on its primary site.
    pub(super) fn refuse_wrong_direction(&self, group: &Group) -> ApiResult<()> {
        if self.action != OperationKind::Failback || group.kind_of_move() == OperationKind::Failback
        {
            return Ok(());
        }
        Err(ApiError::new(
            Refusal::WrongDirection,
            format!(
                "Protection group {name} is {} and runs on its primary site {}: there is no way back for it. If that site is lost, 'openstack dr failover {name} --type unplanned' brings it up on {}.",
                group.status,
                group.primary.site,
                group.secondary.site,
                name = group.name,
            ),
        ))
    }
}

/// An unplanned failover that could start now.
pub struct UnplannedFailover {
    pub plan: Plan,
    pub steps: Vec<StepRecord>,
    /// The operation on this site that it ends, since that one needs the source, which is lost.
    pub supersedes: Option<OperationId>,
}

impl UnplannedFailover {
    /// The operation to be started. No cleanup takes back what it takes over, while it is under way.
    pub(crate) fn into_run(self, kind: OperationKind) -> Run {
        Run {
            kind,
            planning: Planning::Unplanned,
            locks: self.plan.interrupted.iter().map(Lock::cleanup_of).collect(),
            plan: self.plan,
            steps: self.steps,
            map: ResourceMap::default(),
            parent: None,
            supersedes: self.supersedes,
        }
    }
}

/// Starts an unplanned failover of a group to this site, whichever of its two that is: back to its primary one it is an
/// operation of kind failback.
pub async fn start_unplanned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    request: &Unplanned,
) -> ApiResult<OperationRecord> {
    let planned = plan_unplanned(app, stored, request).await?;
    let run = planned.into_run(stored.group.kind_of_move());
    start(app, asker, stored, run).await
}

/// Plans an unplanned failover and writes its runbook, without a word from the site that is lost.
pub async fn plan_unplanned(
    app: &App,
    stored: &StoredGroup,
    request: &Unplanned,
) -> ApiResult<UnplannedFailover> {
    plan_to_take_over(app, stored, request, TakeOver::WhatWasInterrupted).await
}

/// Whose copies an unplanned failover goes on from.
pub(crate) enum TakeOver {
    /// Those of a move that was interrupted, if they are of the latest recovery point.
    WhatWasInterrupted,
    /// Those of these operations, because somebody says that they count.
    TheseCopies(LeftCopies),
}

/// The copies of a failed move.
pub(crate) struct LeftCopies {
    /// The operations whose marks they may bear, newest first.
    pub makers: Vec<OperationId>,
    /// What the move mapped, from its source to its target.
    pub mappings: ResourceMappings,
}

/// Plans an unplanned failover that goes on from what `take_over` says.
pub(crate) async fn plan_to_take_over(
    app: &App,
    stored: &StoredGroup,
    request: &Unplanned,
    take_over: TakeOver,
) -> ApiResult<UnplannedFailover> {
    let group = &stored.group;
    let kind = group.kind_of_move();
    let (these, known) = match take_over {
        TakeOver::WhatWasInterrupted => (None, ResourceMappings::default()),
        TakeOver::TheseCopies(left) => (Some(left.makers), left.mappings),
    };
    let mappings = admission::mappings_over(
        group,
        known,
        request.action.as_str(),
        &request.mappings.networks,
        &request.mappings.flavors,
    )?;
    request.refuse_wrong_direction(group)?;
    refuse_on_the_lost_site(app, group)?;
    let supersedes = waiting_for_the_source(app, group).await?;
    refuse_status_of_unplanned(group)?;
    let interrupted = interrupted(app, group).await?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = array_pair(app, group, policy.as_ref())?;
    let plan = Plan::move_to_other_site(group, members, arrays.as_ref(), mappings, false)
        .map_err(|refusal| refused(group, &refusal))?
        .recovered_as(group.recovery_plan_from_current(kind))
        .to_recovery_point(request.recovery_point.clone());
    let field = format!("{}.recovery_point", request.action.as_str());
    let kept = capabilities_of(app, &plan)?.recovery_points;
    let asked = asked_for(app, &plan, &field, kept).await?;
    refuse_stale_replicas_here(app, group, &plan).await?;
    let plan = match these {
        None => {
            // What was interrupted has copies of what came after it, and may have written to them.
            let interrupted = match asked {
                Some(_) => Interrupted::Nothing,
                None => interrupted,
            };
            let made = to_take_over(app, interrupted, &plan).await?;
            let plan = plan.taking_over(made);
            refuse_beside_copies(app, &plan).await?;
            plan
        }
        Some(made) => plan.taking_over(made),
    };
    let plan = as_at_its_point(app, plan, asked.as_ref()).await;
    let steps = unplanned_failover(&plan)
        .into_steps()
        .map_err(ApiError::internal)?;
    Ok(UnplannedFailover {
        plan,
        steps,
        supersedes,
    })
}

/// The operation at work on the group here that can only wait without the source, if there is one. Anything else that is at
/// work is in the way.
pub(crate) async fn waiting_for_the_source(
    app: &App,
    group: &Group,
) -> ApiResult<Option<OperationId>> {
    match app.database.operation_moving(&group.id).await? {
        None => Ok(None),
        Some(record) if waits_for_the_source(&record) => Ok(Some(record.operation.id)),
        Some(record) => Err(busy(group, &record.operation)),
    }
}

pub(crate) fn waits_for_the_source(record: &OperationRecord) -> bool {
    match record.operation.kind {
        OperationKind::Failover | OperationKind::Failback => !record.operation.is_unplanned(),
        OperationKind::Sync => true,
        _ => false,
    }
}

/// The site that is lost cannot lead its own loss: with it the record would be lost too.
fn refuse_on_the_lost_site(app: &App, group: &Group) -> ApiResult<()> {
    let survivor = &group.other().site;
    if *survivor == app.settings.site_name {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::WrongSite,
        format!(
            "An unplanned failover of protection group {} is started on {survivor}, where it goes: this is {}, where it runs. If this site can do its part, a planned {} loses nothing.",
            group.name,
            app.settings.site_name,
            group.kind_of_move()
        ),
    ))
}
