//! Starting planned failovers and failbacks.

use protector_core::{
    group::{Group, ResourceMappings, status_while},
    member::Member,
    not_carried::Treatment,
    operation::{OperationKind, OperationRecord, ResourceMap, StepRecord},
    plan::{ArrayPair, Plan},
    readiness::{SourceSeen, not_carried},
    runbook::failover::planned_move,
};
use protector_store::StoredGroup;
use protector_wire::operation::{Failback, Failover};

use crate::{
    app::{
        App,
        policy::array_pair,
        refusal::Refusal,
        start::{
            admission,
            first_copy::refuse_before_first_copy,
            left_behind::refuse_while_left,
            new_operation::{Asker, NewMove, start_reserved},
            source::{refreshed, source_seen},
            strict::refuse_unannounced,
        },
        sync,
    },
    http::error::{ApiError, ApiResult},
};

/// A planned move of a group to its other site, as asked for.
pub struct Move {
    /// `Failover` or `Failback`.
    pub kind: OperationKind,
    /// What the request maps, over the stored mapping.
    pub mappings: ResourceMappings,
    /// Whether the volumes on the site that the group leaves stay, if the request says.
    pub retain_source_volumes: Option<bool>,
    /// The same where it does not say.
    pub retains_otherwise: bool,
}

impl Move {
    /// What a request for a failover asks for; `retain` is the configuration's word.
    pub fn failover(request: Failover, retain: bool) -> Self {
        Self {
            kind: OperationKind::Failover,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
            retain_source_volumes: request.retain_source_volumes,
            retains_otherwise: retain,
        }
    }

    /// What a request for a failback asks for. The configuration's word is about failovers only.
    pub fn failback(request: Failback) -> Self {
        Self {
            kind: OperationKind::Failback,
            mappings: ResourceMappings {
                networks: request.network_mapping,
                flavors: request.flavor_mapping,
                ..ResourceMappings::default()
            },
            retain_source_volumes: Some(request.retain_source_volumes),
            retains_otherwise: false,
        }
    }

    /// Whether the source's volumes stay in Cinder. Where arrays promote in place they cannot: they become the replicas of what
    /// runs on the other site, and bear its names.
    ///
    /// # Errors
    ///
    /// 400 where that is asked for.
    fn retains(&self, arrays: Option<&ArrayPair>) -> ApiResult<bool> {
        let in_place = arrays.filter(|arrays| !arrays.promotion.is_copy());
        let asked = self.retain_source_volumes;
        match in_place {
            None => Ok(asked.unwrap_or(self.retains_otherwise)),
            Some(arrays) if asked == Some(true) => Err(ApiError::bad_request(format!(
                "{}.retain_source_volumes: arrays {} and {} promote in place: the volumes that the group leaves stay on their array whatever is asked, as the replicas of those on the other site, and Cinder lets go of them; leave it out.",
                self.kind, arrays.primary, arrays.secondary
            ))),
            Some(_) => Ok(false),
        }
    }
}

/// A planned move that could start now.
pub struct PlannedMove {
    pub plan: Plan,
    pub steps: Vec<StepRecord>,
    /// What its copies come up without, a sentence each.
    pub warnings: Vec<String>,
}

/// Plans a planned move of a group to its other site and writes its runbook, if it could start now.
pub async fn plan_move(
    app: &App,
    stored: &StoredGroup,
    asked: &Move,
    source: &SourceSeen,
) -> ApiResult<PlannedMove> {
    let (plan, steps) = plan_move_here(app, stored, asked).await?;
    sync::require_in_sync(app, &stored.group).await?;
    refuse_before_first_copy(app, &plan).await?;
    let warnings = refuse_move_that_would_lose(&plan, source)?;
    Ok(PlannedMove {
        plan,
        steps,
        warnings,
    })
}

/// Refuses to move what would be deleted with its original; says what a copy comes up without. Read now: a server may have
/// got it since it was added. A source that does not tell is asked again by the first line of the move.
pub(crate) fn refuse_move_that_would_lose(
    plan: &Plan,
    source: &SourceSeen,
) -> ApiResult<Vec<String>> {
    let lost = not_carried(&plan.members, source);
    let refused = lost
        .iter()
        .find(|(_, lost)| lost.treatment() == Treatment::Refused);
    if let Some((member, lost)) = refused {
        return Err(ApiError::new(
            Refusal::NotMovable,
            format!(
                "Protection group {group} cannot be moved: server {name} {lost}; {cure}, or take it out of the group with '{out}'.",
                group = plan.group_name,
                name = member.name,
                cure = lost.cure(),
                out = member.removal(&plan.group_name),
            ),
        ));
    }
    Ok(lost
        .into_iter()
        .map(|(member, lost)| format!("Server {} {lost}; {}.", member.name, lost.cure()))
        .collect())
}

/// The same, as far as this site's records alone can tell: nobody else is asked, and nothing is changed.
pub async fn plan_move_here(
    app: &App,
    stored: &StoredGroup,
    asked: &Move,
) -> ApiResult<(Plan, Vec<StepRecord>)> {
    let kind = asked.kind;
    let group = &stored.group;
    let mappings = admission::mappings(
        group,
        kind.as_str(),
        &asked.mappings.networks,
        &asked.mappings.flavors,
    )?;
    app.refuse_while_operated(group).await?;
    admission::refuse_wrong_status(group, kind)?;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = array_pair(app, group, policy.as_ref())?;
    let retain = asked.retains(arrays.as_ref())?;
    let (plan, steps) = plan_and_runbook(group, kind, members, arrays.as_ref(), mappings, retain)?;
    refuse_while_left(app, group, &plan).await?;
    Ok((plan, steps))
}

/// Starts a planned move of a group to its other site.
pub async fn start_move(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    asked: &Move,
) -> ApiResult<OperationRecord> {
    let kind = asked.kind;
    let status = stored.group.status;
    let source = source_seen(app, &stored.group).await;
    // First: a start that is refused changes nothing, and what is changed on one site while the other one is ahead would be a
    // conflict between them.
    let planned = plan_move(app, stored, asked, &source).await?;
    let refreshed = refreshed(app, stored, &source).await?;
    let (stored, planned) = match &refreshed {
        None => (stored, planned),
        Some(now) => (now, plan_move(app, now, asked, &source).await?),
    };
    let PlannedMove { plan, steps, .. } = planned;
    refuse_unannounced(app, &stored.group, &plan).await?;
    let new = NewMove {
        kind,
        status: status_while(status, kind).unwrap_or(status),
        plan,
        steps,
        map: ResourceMap::default(),
        locks: Vec::new(),
    };
    start_reserved(app, asker, stored, new).await
}

/// The plan and the runbook of a planned move of these members.
pub(super) fn plan_and_runbook(
    group: &Group,
    kind: OperationKind,
    members: Vec<Member>,
    arrays: Option<&ArrayPair>,
    mappings: ResourceMappings,
    retain_source_volumes: bool,
) -> ApiResult<(Plan, Vec<StepRecord>)> {
    let plan = Plan::move_to_other_site(group, members, arrays, mappings, retain_source_volumes)
        .map_err(|refusal| admission::refused(group, &refusal))?
        .recovered_as(group.recovery_plan_from_current(kind))
        .as_now();
    let steps = planned_move(&plan)
        .into_steps()
        .map_err(ApiError::internal)?;
    Ok((plan, steps))
}
