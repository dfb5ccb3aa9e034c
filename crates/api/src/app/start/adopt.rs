//! Going forward with what a failed move has made and could not take back, because its copies run and are used.

use std::collections::BTreeSet;

use protector_clouds::clouds::CloudError;
use protector_core::{
    adoption::{Obstacle, Shown, adoption_of, to_build},
    group::{GroupStatus, ResourceMappings},
    id::ServerId,
    member::Member,
    operation::{OperationKind, OperationRecord},
    orphan::CloudResource,
    plan::Plan,
    runbook::{adopt::adopt, resource::ResourceKind},
};
use protector_store::{KeptOperation, Lock, StoredGroup};
use protector_wire::adopt::AdoptOptions;

use crate::{
    app::{
        App,
        orphan::within,
        refusal::Refusal,
        reset_status::{PATIENCE, expected_of, holdings},
        start::{
            adoptable::{refuse_group_elsewhere, refuse_older, refuse_unadoptable},
            lost_source::{
                LeftByAMove, adopt_without_source, belongs_elsewhere, source_does_not_answer,
            },
            new_operation::{Asker, NewMove, refuse_while_cleaned, start, start_reserved},
            unplanned::{LeftCopies, TakeOver, Unplanned, plan_to_take_over},
        },
        sync::{self, LOST_SITE_PATIENCE},
    },
    http::error::{ApiError, ApiResult},
};

/// Starts the operation that makes the copies of a failed one the group.
///
/// # Errors
///
/// 400 for mappings where the source is not lost; 409 with every member that stands in the way and the command for it, or with
/// its home where the other site runs it; 503 while a cloud does not answer, with what it means to go on without the source
/// where that is the one.
pub async fn start_adoption(
    app: &App,
    asker: Asker<'_>,
    kept: KeptOperation,
    options: AdoptOptions,
) -> ApiResult<OperationRecord> {
    refuse_mappings_with_both_sites(&options)?;
    match kept {
        KeptOperation::Here(failed) if options.source_is_lost => {
            adopt_without_source(app, asker, LeftByAMove::here(&failed)?, options).await
        }
        KeptOperation::Here(failed) => adopt_here(app, asker, &failed).await,
        KeptOperation::Elsewhere(copy) if options.source_is_lost => {
            adopt_without_source(app, asker, LeftByAMove::elsewhere(&copy)?, options).await
        }
        KeptOperation::Elsewhere(copy) => Err(belongs_elsewhere(app, &copy).await?),
    }
}

/// Where both sites answer nothing is chosen: the failed move has built what there is.
fn refuse_mappings_with_both_sites(options: &AdoptOptions) -> ApiResult<()> {
    let has_mappings = !options.network_mapping.is_empty() || !options.flavor_mapping.is_empty();
    match has_mappings && !options.source_is_lost {
        false => Ok(()),
        true => Err(ApiError::bad_request(
            "adopt.network_mapping, adopt.flavor_mapping: only with source_is_lost; else the mappings are those of the failed operation.",
        )),
    }
}

async fn adopt_here(
    app: &App,
    asker: Asker<'_>,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    refuse_unadoptable(failed)?;
    let stored = app
        .database
        .group_show_by_id(&failed.operation.group_id)
        .await?;
    app.refuse_without_other_site(&stored)?;
    app.refuse_while_operated(&stored.group).await?;
    refuse_while_cleaned(app, &failed.operation.id).await?;
    refuse_group_elsewhere(
        &stored.group,
        &failed.operation.id,
        &failed.operation.source_site,
    )?;
    refuse_older(app, &stored.group, &failed.operation.id).await?;
    match failed.operation.is_unplanned() {
        true => adopt_unplanned(app, asker, &stored, failed).await,
        false => adopt_planned(app, asker, &stored, failed).await,
    }
}

async fn adopt_planned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    let group = &stored.group;
    let members = app.database.member_list(&group.id).await?;
    let (plan, map) = adoption_of(failed, &members);
    let built = look(app, &plan, stored, failed, &members).await?;
    sync::require_in_sync(app, group).await?;
    let steps = adopt(&plan, &built)
        .into_steps()
        .map_err(ApiError::internal)?;
    let new = NewMove {
        kind: failed.operation.kind,
        status: GroupStatus::on_the_way_to(group.place_of(&plan.target.site)),
        plan,
        steps,
        map,
        // No cleanup takes its copies back meanwhile.
        locks: vec![Lock::cleanup_of(&failed.operation.id)],
    };
    start_reserved(app, asker, stored, new).await
}

/// The members for which a server has to be built, by what both clouds show.
async fn look(
    app: &App,
    plan: &Plan,
    stored: &StoredGroup,
    failed: &OperationRecord,
    members: &[Member],
) -> ApiResult<BTreeSet<ServerId>> {
    let originals = expected_of(&plan.members);
    let reading = app.clouds.holdings(&plan.source, &originals);
    let source =
        within(PATIENCE, &plan.source.site, reading)
            .await
            .map_err(|error| match &error {
                CloudError::Unreachable { .. } => source_does_not_answer(failed, stored, &error),
                CloudError::Refused { .. } | CloudError::NotTold { .. } => error.into(),
            })?;
    let target = holdings(app, &plan.target, &[]).await?;
    let shown = Shown {
        source: &source.held,
        target: &target.held,
    };
    to_build(plan, failed, members, shown).map_err(|obstacles| in_the_way(failed, &obstacles))
}

fn in_the_way(failed: &OperationRecord, obstacles: &[Obstacle]) -> ApiError {
    let operation = &failed.operation;
    let found: Vec<String> = obstacles
        .iter()
        .map(|obstacle| format!("{} {}", obstacle.member, obstacle.found))
        .collect();
    ApiError::new(
        Refusal::CopiesInTheWay,
        format!(
            "Protection group {} cannot go forward with what operation {} has made on {}: {}.",
            operation.plan.group_name,
            operation.id,
            operation.target_site,
            found.join("; ")
        ),
    )
}

/// An unplanned failover comes after the failed one and goes on from what that has made, whatever has been replicated since:
/// who asks says that the copies count.
async fn adopt_unplanned(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
    failed: &OperationRecord,
) -> ApiResult<OperationRecord> {
    let plan = &failed.operation.plan;
    refuse_beside_originals(app, failed).await?;
    let makers = std::iter::once(&failed.operation.id).chain(&plan.interrupted);
    let take_over = TakeOver::TheseCopies(LeftCopies {
        makers: makers.cloned().collect(),
        mappings: plan.mappings.clone(),
    });
    let request = Unplanned {
        action: OperationKind::Failover,
        mappings: ResourceMappings::default(),
        recovery_point: None,
    };
    let planned = plan_to_take_over(app, stored, &request, take_over).await?;
    let run = planned.into_run(stored.group.kind_of_move());
    start(app, asker, stored, run).await
}

/// A site that is lost is not waited for; one that answers must not run what the copies would run beside.
async fn refuse_beside_originals(app: &App, failed: &OperationRecord) -> ApiResult<()> {
    let plan = &failed.operation.plan;
    let originals = expected_of(&plan.members);
    let look = holdings(app, &plan.source, &originals);
    let Ok(Ok(shown)) = tokio::time::timeout(LOST_SITE_PATIENCE, look).await else {
        return Ok(());
    };
    let obstacles: Vec<Obstacle> = plan
        .members
        .iter()
        .filter_map(|member| returned(plan, member, &shown.held))
        .collect();
    match obstacles.is_empty() {
        true => Ok(()),
        false => Err(in_the_way(failed, &obstacles)),
    }
}

fn returned(plan: &Plan, member: &Member, held: &[CloudResource]) -> Option<Obstacle> {
    let is_original = |held: &&CloudResource| {
        held.kind == ResourceKind::Server && held.id == member.server_id.as_str()
    };
    let original = held
        .iter()
        .find(is_original)
        .filter(|held| held.status != "SHUTOFF")?;
    let site = &plan.source.site;
    Some(Obstacle {
        member: member.name.clone(),
        found: format!(
            "is back as {id} on {site} ({status}): stop it with 'openstack --os-cloud {site} server stop {id}' if what it has written may be lost, and adopt again",
            id = original.id,
            status = original.status
        ),
    })
}
