//! A planned failover that the loss of its source has interrupted: what an unplanned one may take over from it.

use protector_core::{
    group::{Group, GroupStatus},
    id::{OperationId, SiteName},
    mark,
    member::Member,
    operation::{OperationKind, OperationRecord, OperationState},
    orphan::CloudResource,
    plan::Plan,
    runbook::resource::ResourceKind,
    storage::RecoveryPoint,
};
use protector_store::{KeptOperation, PeerOperation, StoreError};
use serde_json::Value;

use crate::{
    app::{
        App,
        refusal::Refusal,
        reset_status::holdings,
        start::{
            admission::refuse_wrong_status, last_move::last_begun, recovery_point::chosen_point,
        },
        sync::LOST_SITE_PATIENCE,
    },
    http::error::{ApiError, ApiResult},
};

/// What an unplanned failover may go on from instead of the latest recovery point.
pub enum Interrupted {
    Nothing,
    /// A planned failover that the loss of its source has interrupted.
    Planned(OperationId),
    /// An unplanned one that was to take such a one over, and failed: what both have made, unless the source has come back
    /// and replicated since.
    InVain(Box<OperationRecord>),
}

/// The planned move of `group` that was interrupted before it could end, if an unplanned one may come after it, or the
/// last one that has tried to go on from it and failed. Nothing where nothing is under way, and where it is being taken
/// back: what it has made may be older than what its source has written since.
///
/// # Errors
///
/// What the database says.
pub async fn interrupted(app: &App, group: &Group) -> ApiResult<Interrupted> {
    let stuck = is_stuck(group);
    Ok(match last_begun(app, &group.id).await? {
        Some(KeptOperation::Here(last)) if was_in_vain(&last) => Interrupted::InVain(last),
        Some(last) if stuck => LastMove::of(last).interrupted(&group.other().site),
        // The site that began it was lost before it could say more than that, or nothing is under way.
        _ => Interrupted::Nothing,
    })
}

/// Refuses an unplanned failover of a group whose status allows none: one that is at rest goes as a planned move does, and a
/// move that is stuck may be taken over.
///
/// # Errors
///
/// 409, so for a group that is `split_brain`: old servers of it may run where it would go.
pub fn refuse_status_of_unplanned(group: &Group) -> ApiResult<()> {
    if is_stuck(group) {
        return Ok(());
    }
    refuse_wrong_status(group, group.kind_of_move())
}

fn is_stuck(group: &Group) -> bool {
    group.status.is_moving() || group.status == GroupStatus::Error
}

/// Whether `last` is an unplanned failover that was to go on from an interrupted one, and failed: the copies that it has
/// taken over are never taken back.
fn was_in_vain(last: &OperationRecord) -> bool {
    let operation = &last.operation;
    operation.state == OperationState::Failed
        && last.operation.is_unplanned()
        && !operation.plan.interrupted.is_empty()
}

/// The operations whose copies are to be taken over, newest first.
///
/// # Errors
///
/// 503 where that depends on whether the source has replicated since, and the array does not say; 409 where it has nothing.
pub async fn to_take_over(
    app: &App,
    interrupted: Interrupted,
    plan: &Plan,
) -> ApiResult<Vec<OperationId>> {
    let last = match interrupted {
        Interrupted::Nothing => return Ok(vec![]),
        Interrupted::Planned(id) => return Ok(vec![id]),
        Interrupted::InVain(last) => last,
    };
    let newest = chosen_point(app, plan).await.map_err(|why| {
        ApiError::new(why.refusal(), format!(
            "Whether {} has replicated protection group {} since failover {} decides what is recovered. {}",
            plan.source.site, plan.group_name, last.operation.id, why.into_sentence()
        ))
    })?;
    Ok(made_of(&last, &newest))
}

/// Refuses an unplanned failover by `plan` beside copies of its members that other operations have left where it goes: nothing
/// is built beside them, and whether they count, a person says. A cloud that does not answer at once holds nothing up, and a
/// group whose last move came to its end is not looked at: the steps look again.
///
/// # Errors
///
/// 409 with each copy and both ways on.
pub async fn refuse_beside_copies(app: &App, plan: &Plan) -> ApiResult<()> {
    let last = last_begun(app, &plan.group_id).await?;
    if last.is_none_or(|last| came_to_its_end(&last)) {
        return Ok(());
    }
    let look = holdings(app, &plan.target, &[]);
    let Ok(Ok(shown)) = tokio::time::timeout(LOST_SITE_PATIENCE, look).await else {
        return Ok(());
    };
    let mut beside = Vec::new();
    for member in &plan.members {
        for copy in shown
            .held
            .iter()
            .filter(|held| is_beside(plan, member, held))
        {
            let maker = maker_of(app, copy).await?;
            beside.push(left_copy(plan, member, copy, &maker));
        }
    }
    if beside.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::CopiesInTheWay,
        format!(
            "Protection group {} is not brought up beside copies of its VMs that are on {} already: {}.",
            plan.group_name,
            plan.target.site,
            beside.join("; ")
        ),
    ))
}

fn came_to_its_end(last: &KeptOperation) -> bool {
    match last {
        KeptOperation::Here(record) => record.operation.state == OperationState::Completed,
        KeptOperation::Elsewhere(copy) => {
            copy.record.get("status").and_then(Value::as_str) == Some("completed")
        }
    }
}

/// Whether `held` is a copy of the member that `plan` does not go on from, and that runs or can be started.
fn is_beside(plan: &Plan, member: &Member, held: &CloudResource) -> bool {
    let is_taken_over = plan
        .interrupted
        .iter()
        .any(|maker| held.marked_by() == Some(maker.as_str()));
    held.kind == ResourceKind::Server
        && held.metadata.get(mark::SOURCE).map(String::as_str) == Some(member.server_id.as_str())
        && !held.metadata.contains_key(mark::TEST)
        && !is_taken_over
        && !matches!(held.status.as_str(), "DELETED" | "SOFT_DELETED" | "ERROR")
}

/// Who has made a copy, by its mark.
enum Maker<'h> {
    /// An operation of this site, which can clean up after it.
    Here(&'h str),
    /// One that only the other site's protector can clean up after.
    Elsewhere(&'h str),
    Unnamed,
}

async fn maker_of<'h>(app: &App, copy: &'h CloudResource) -> ApiResult<Maker<'h>> {
    let Some(by) = copy.marked_by() else {
        return Ok(Maker::Unnamed);
    };
    match app.database.operation_show_by_id(&by.into()).await {
        Ok(_) => Ok(Maker::Here(by)),
        Err(StoreError::NotFound { .. }) => Ok(Maker::Elsewhere(by)),
        Err(error) => Err(error.into()),
    }
}

fn left_copy(plan: &Plan, member: &Member, copy: &CloudResource, maker: &Maker<'_>) -> String {
    let (site, id, status) = (&plan.target.site, &copy.id, &copy.status);
    match maker {
        Maker::Elsewhere(by) => format!(
            "{name} is there as {id} ({status}), made by operation {by} of {there}: if the copies of that operation are in use, 'openstack dr operation adopt {by} --source-is-lost' makes them the group; if what it has written may be lost, 'openstack --os-cloud {site} server delete {id}' takes it out of the way, since only the protector of {there} can clean up after {by}; its volumes stay; {take_off}",
            name = member.name,
            there = plan.source.site,
            take_off = mark::take_off(site.as_str(), id)
        ),
        Maker::Here(by) => format!(
            "{name} is there as {id} ({status}), made by operation {by}: if the copies of that operation are in use, 'openstack dr operation adopt {by} --source-is-lost' makes them the group; if what they have written may be lost, 'openstack dr operation cleanup {by} --delete-running {name}' takes this one back first; {take_off}",
            name = member.name,
            take_off = mark::take_off(site.as_str(), id)
        ),
        Maker::Unnamed => format!(
            "{} is there as {id} ({status}), and nothing says who made it: {}",
            member.name,
            mark::take_off(site.as_str(), id)
        ),
    }
}

/// What `last` and those before it have made, if they made it of `newest`: whatever came after is not in it, and a failover
/// to it would lose that without a word.
fn made_of(last: &OperationRecord, newest: &RecoveryPoint) -> Vec<OperationId> {
    let operation = &last.operation;
    let is_still_the_newest = match last.map.recovery_point(&operation.group_id) {
        Some(chosen) => chosen == newest.id,
        // It failed before it had chosen one.
        None => newest.taken_at < operation.created_at,
    };
    if !is_still_the_newest {
        return vec![];
    }
    std::iter::once(operation.id.clone())
        .chain(operation.plan.interrupted.iter().cloned())
        .collect()
}

/// The newest operation that was to move the group.
struct LastMove {
    id: OperationId,
    /// Whether it was still going forward when this site last heard of it.
    went_forward: bool,
    is_planned: bool,
    target: Option<SiteName>,
}

impl LastMove {
    fn of(kept: KeptOperation) -> Self {
        match kept {
            KeptOperation::Here(record) => begun_here(&record),
            KeptOperation::Elsewhere(copy) => begun_elsewhere(copy),
        }
    }

    fn interrupted(self, target: &SiteName) -> Interrupted {
        if self.is_planned && self.went_forward && self.target.as_ref() == Some(target) {
            Interrupted::Planned(self.id)
        } else {
            Interrupted::Nothing
        }
    }
}

fn begun_here(record: &OperationRecord) -> LastMove {
    let operation = &record.operation;
    LastMove {
        // An adoption leaves the marks of whose copies it adopts.
        id: operation
            .plan
            .adopts
            .as_ref()
            .unwrap_or(&operation.id)
            .clone(),
        went_forward: matches!(
            operation.state,
            OperationState::Queued | OperationState::Running | OperationState::Completed
        ),
        is_planned: is_move(operation.kind.as_str()) && !record.operation.is_unplanned(),
        target: Some(operation.target_site.clone()),
    }
}

/// Of a copy is known what its home showed last. An unplanned failover is run by the site that it goes to, so that one of
/// the other site was a planned one.
fn begun_elsewhere(copy: PeerOperation) -> LastMove {
    let shown = |field: &str| copy.record.get(field).and_then(Value::as_str);
    let is_taken_back = shown("status") == Some("failed") || shown("phase") == Some("rolling_back");
    LastMove {
        is_planned: is_move(&copy.kind),
        target: shown("target_site").map(SiteName::from),
        went_forward: !is_taken_back,
        // An adoption leaves the marks of whose copies it adopts.
        id: copy.adopts().unwrap_or(copy.id),
    }
}

fn is_move(kind: &str) -> bool {
    [OperationKind::Failover, OperationKind::Failback]
        .iter()
        .any(|move_| move_.as_str() == kind)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use protector_core::{
        journal_conformance,
        operation::{MapKind, Planning, ResourceMap},
    };

    use super::*;

    /// An unplanned failover in place of `op-planned` that has failed, made of recovery point `rp-1`.
    fn tried() -> OperationRecord {
        let mut record = journal_conformance::operation(1);
        record.operation.planning = Planning::Unplanned;
        record.operation.state = OperationState::Failed;
        record.operation.plan.interrupted = vec!["op-planned".into()];
        let group = record.operation.group_id.to_string();
        record
            .map
            .insert(MapKind::RecoveryPoint, group, "rp-1".to_owned());
        record
    }

    fn point(id: &str, taken_at: DateTime<Utc>) -> RecoveryPoint {
        RecoveryPoint {
            id: id.into(),
            taken_at,
        }
    }

    #[test]
    fn the_next_try_knows_what_the_first_and_the_interrupted_one_have_made() {
        let record = tried();
        let first = record.operation.id.clone();
        let newest = point("rp-1", record.operation.created_at);
        assert_eq!(made_of(&record, &newest), [first, "op-planned".into()]);
    }

    /// The array's clock may be behind: its points are told apart by their ids.
    #[test]
    fn copies_that_are_older_than_the_newest_recovery_point_are_no_start_for_another_try() {
        let record = tried();
        let newest = point("rp-2", record.operation.created_at - TimeDelta::hours(1));
        assert!(made_of(&record, &newest).is_empty());
    }

    #[test]
    fn a_try_that_had_chosen_no_recovery_point_goes_by_the_time() {
        let mut record = tried();
        record.map = ResourceMap::default();
        let begun = record.operation.created_at;
        let before = point("rp-1", begun - TimeDelta::seconds(1));
        assert_eq!(made_of(&record, &before).len(), 2);
        let after = point("rp-2", begun + TimeDelta::seconds(1));
        assert!(made_of(&record, &after).is_empty());
    }

    #[test]
    fn an_unplanned_failover_that_had_nothing_to_go_on_from_leaves_nothing() {
        let mut record = tried();
        assert!(was_in_vain(&record));
        record.operation.plan.interrupted.clear();
        assert!(!was_in_vain(&record));
        let mut record = tried();
        record.operation.state = OperationState::Completed;
        assert!(!was_in_vain(&record));
    }
}
