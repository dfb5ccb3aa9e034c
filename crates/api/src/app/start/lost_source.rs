//! Going forward with the copies of a failed move when the site of their originals is lost: that site is not asked, and
//! somebody has to say that it is.

use protector_clouds::clouds::CloudError;
use protector_core::{
    group::ResourceMappings,
    id::{GroupId, OperationId, SiteName},
    mark,
    operation::{OperationKind, OperationRecord},
    orphan::CloudResource,
    runbook::resource::ResourceKind,
};
use protector_store::{PeerOperation, StoredGroup};
use protector_wire::adopt::AdoptOptions;
use serde_json::Value;

use crate::{
    app::{
        App,
        elsewhere::lives_elsewhere,
        orphan::within,
        refusal::Refusal,
        reset_status::{PATIENCE, holdings},
        start::{
            abort::refuse_where_it_is_well,
            adoptable::{refuse_group_elsewhere, refuse_older, refuse_unadoptable},
            new_operation::{Asker, refuse_while_cleaned, start},
            unplanned::{LeftCopies, TakeOver, Unplanned, plan_to_take_over},
        },
    },
    http::error::{ApiError, ApiResult},
};

/// A failed move and what is known of it without its source.
pub(crate) struct LeftByAMove {
    id: OperationId,
    group: GroupId,
    source: SiteName,
    target: SiteName,
    copies: LeftCopies,
}

impl LeftByAMove {
    /// By this site's record.
    pub(crate) fn here(failed: &OperationRecord) -> ApiResult<Self> {
        refuse_unadoptable(failed)?;
        let operation = &failed.operation;
        let plan = &operation.plan;
        Ok(Self {
            id: operation.id.clone(),
            group: operation.group_id.clone(),
            source: operation.source_site.clone(),
            target: operation.target_site.clone(),
            copies: LeftCopies {
                makers: std::iter::once(&operation.id)
                    .chain(&plan.interrupted)
                    .cloned()
                    .collect(),
                mappings: plan.mappings.clone(),
            },
        })
    }

    /// By the copy of the lost site's record. Whether that has failed, or was about to, is all one: its home is lost.
    pub(crate) fn elsewhere(copy: &PeerOperation) -> ApiResult<Self> {
        let id = &copy.id;
        if let Some(first) = copy.adopts() {
            return Err(ApiError::new(
                Refusal::NotAdoptable,
                format!(
                    "Operation {id} was itself to adopt what {first} has made: 'openstack dr operation adopt {first} --source-is-lost' adopts that."
                ),
            ));
        }
        let shown = |field: &str| copy.record.get(field).and_then(Value::as_str);
        let moves = [OperationKind::Failover, OperationKind::Failback];
        let is_move = moves.iter().any(|kind| kind.as_str() == copy.kind);
        let known = (
            shown("protection_group_id"),
            shown("source_site"),
            shown("target_site"),
        );
        match known {
            (Some(group), Some(source), Some(target))
                if is_move && shown("status") != Some("completed") =>
            {
                Ok(Self {
                    id: id.clone(),
                    group: group.into(),
                    source: source.into(),
                    target: target.into(),
                    copies: LeftCopies {
                        makers: vec![id.clone()],
                        mappings: ResourceMappings::default(),
                    },
                })
            }
            _ => Err(ApiError::new(
                Refusal::NotAdoptable,
                format!(
                    "Operation {id} is a {} of {}, which is {}: only what a failed failover or failback has made can be adopted.",
                    copy.kind,
                    copy.home_site,
                    shown("status").unwrap_or("not known to have ended")
                ),
            )),
        }
    }
}

/// The refusal of an adoption that needs the other site, where that runs the operation: with its command, or, where its
/// protector does not answer, with what it means to go on without it.
pub(crate) async fn belongs_elsewhere(app: &App, copy: &PeerOperation) -> ApiResult<ApiError> {
    let there = || lives_elsewhere(copy, &format!("operation adopt {}", copy.id));
    let Ok(left) = LeftByAMove::elsewhere(copy) else {
        return Ok(there());
    };
    let stored = app.database.group_show_by_id(&left.group).await?;
    let is_well = refuse_where_it_is_well(app, &stored.group, there).await;
    Ok(is_well.err().unwrap_or_else(|| {
        ApiError::new(
            Refusal::SiteSilent,
            what_it_means(&left.id, &left.source, &stored),
        )
    }))
}

/// The refusal of an adoption whose source does not answer.
pub(crate) fn source_does_not_answer(
    failed: &OperationRecord,
    stored: &StoredGroup,
    why: &CloudError,
) -> ApiError {
    let operation = &failed.operation;
    let means = what_it_means(&operation.id, &operation.source_site, stored);
    ApiError::new(Refusal::PeerSilent, format!("{why}. {means}"))
}

fn what_it_means(failed: &OperationId, source: &SiteName, stored: &StoredGroup) -> String {
    format!(
        "An adoption looks at the originals on {source}, which does not answer. If {source} is lost: 'openstack dr operation adopt {failed} --source-is-lost' makes the copies protection group {group} without a look at them. Say so only if nothing goes on at {source}: nobody sees now whether an original runs there, beside its copy, nor what it has written since operation {failed} stopped it, which is then lost; a VM without a copy is brought up from its latest recovery point. The originals stay there: when {source} is back, 'openstack dr fence {group}' stops what runs, and a cleanup of the adoption deletes them.",
        group = stored.group.name
    )
}

/// Makes the copies of a failed move the group, without a word from the site of their originals: an unplanned failover
/// that goes on from them.
///
/// # Errors
///
/// 409 while that site answers, where it has left no copy, on another site than theirs, and where something else moves or
/// cleans up; 503 while the site of the copies does not answer.
pub(crate) async fn adopt_without_source(
    app: &App,
    asker: Asker<'_>,
    left: LeftByAMove,
    options: AdoptOptions,
) -> ApiResult<OperationRecord> {
    let stored = app.database.group_show_by_id(&left.group).await?;
    let group = &stored.group;
    refuse_at_the_source(app, &left)?;
    refuse_while_cleaned(app, &left.id).await?;
    refuse_group_elsewhere(group, &left.id, &left.source)?;
    refuse_older(app, group, &left.id).await?;
    refuse_while_it_answers(app, &stored, &left).await?;
    refuse_without_a_copy(app, &stored, &left).await?;
    let request = Unplanned {
        action: OperationKind::Failover,
        mappings: ResourceMappings {
            networks: options.network_mapping,
            flavors: options.flavor_mapping,
            ..ResourceMappings::default()
        },
        recovery_point: None,
    };
    let copies = TakeOver::TheseCopies(left.copies);
    let planned = plan_to_take_over(app, &stored, &request, copies).await?;
    let run = planned.into_run(group.kind_of_move());
    tracing::warn!(operation_id = %left.id, site = %left.source, "adopted because its source is said to be lost");
    start(app, asker, &stored, run).await
}

fn refuse_at_the_source(app: &App, left: &LeftByAMove) -> ApiResult<()> {
    if left.target == app.settings.site_name {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::WrongSite,
        format!(
            "source_is_lost: {} answers, this is it. The copies of operation {} are on {}: if that site is lost, 'openstack dr operation abort {} --target-is-lost' starts the originals again here.",
            left.source, left.id, left.target, left.id
        ),
    ))
}

/// Of a site that answers nobody is believed that it is lost: neither while its protector does, nor its cloud.
async fn refuse_while_it_answers(
    app: &App,
    stored: &StoredGroup,
    left: &LeftByAMove,
) -> ApiResult<()> {
    let (id, source) = (&left.id, &left.source);
    let protector_answers = || {
        ApiError::new(
            Refusal::NotLost,
            format!(
                "{source} answers, so it is not lost: 'openstack dr operation adopt {id}' looks at the originals there first."
            ),
        )
    };
    refuse_where_it_is_well(app, &stored.group, protector_answers).await?;
    let reading = app.clouds.holdings(stored.group.current(), &[]);
    let answer = match within(PATIENCE, source, reading).await {
        Err(CloudError::Unreachable { .. }) => return Ok(()),
        Err(unknown @ CloudError::NotTold { .. }) => return Err(unknown.into()),
        Ok(_) => String::new(),
        Err(refused @ CloudError::Refused { .. }) => format!(" ({refused})"),
    };
    Err(ApiError::new(
        Refusal::NotLost,
        format!(
            "The protector of {source} does not answer, but its cloud does{answer}, so the site is not lost: its VMs may run. When its protector is back, 'openstack dr operation adopt {id}' looks at the originals there first; where only the protector is lost, an administrator sets it up anew first."
        ),
    ))
}

async fn refuse_without_a_copy(
    app: &App,
    stored: &StoredGroup,
    left: &LeftByAMove,
) -> ApiResult<()> {
    let group = &stored.group;
    let shown = holdings(app, group.other(), &[]).await?;
    let is_a_copy = |held: &CloudResource| {
        let maker = held.metadata.get(mark::OPERATION);
        let is_of_the_move = maker.is_some_and(|maker| {
            left.copies
                .makers
                .iter()
                .any(|known| known.as_str() == maker)
        });
        held.kind == ResourceKind::Server
            && is_of_the_move
            && !matches!(held.status.as_str(), "DELETED" | "SOFT_DELETED")
    };
    if shown.held.iter().any(is_a_copy) {
        return Ok(());
    }
    Err(ApiError::new(
        Refusal::NothingToDo,
        format!(
            "Operation {} has left no copy of a VM on {}: there is nothing to adopt. 'openstack dr protection-group action {name} --action failover --type unplanned' brings protection group {name} up from its latest recovery point.",
            left.id,
            left.target,
            name = group.name
        ),
    ))
}
