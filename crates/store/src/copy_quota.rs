//! How much of what another site sends is kept here: groups that it has told of, and records of the operations that it runs.
//!
//! Of a group's records the oldest that nothing rests on make room for new ones. Moves, and what cleaned up or fenced after
//! them, stay: they tell for ever which server became which.

use protector_core::{
    id::{GroupId, ProjectId},
    operation::{OperationKind, OperationState},
    site::SiteScope,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait as _, sea_query::SelectStatement,
};

use crate::{
    entity::{operation, peer_operation, peer_operation_line, protection_group},
    error::StoreError,
    peer_operation::OperationCopy,
    quotas::CopyQuota,
};

/// Kinds of operations whose records are history, once they have ended and left nothing.
const HISTORY: [OperationKind; 3] = [
    OperationKind::Sync,
    OperationKind::TestFailover,
    OperationKind::TestCleanup,
];

impl CopyQuota {
    /// Refuses another group of `local_project` between these two places.
    pub(crate) async fn refuse_another_group(
        self,
        db: &impl ConnectionTrait,
        local_project: &ProjectId,
        [one, other]: [&SiteScope; 2],
    ) -> Result<(), StoreError> {
        use protection_group::{Column, Entity};

        let Some(limit) = self.groups else {
            return Ok(());
        };
        let between = |from: &SiteScope, to: &SiteScope| {
            Condition::all()
                .add(Column::PrimarySite.eq(from.site.as_str()))
                .add(Column::SecondarySite.eq(to.site.as_str()))
        };
        let held = Entity::find()
            .filter(Column::LocalProjectId.eq(local_project.as_str()))
            .filter(
                Condition::any()
                    .add(between(one, other))
                    .add(between(other, one)),
            )
            .count(db)
            .await?;
        match held < limit {
            true => Ok(()),
            false => Err(StoreError::QuotaExceeded {
                what: "protection groups",
                of: format!(
                    "project {local_project} between {} and {}",
                    one.site, other.site
                ),
                limit,
                option: "peer_protection_groups",
            }),
        }
    }

    /// Makes room for `copy`, which is not kept yet.
    pub(crate) async fn make_room(
        self,
        db: &impl ConnectionTrait,
        copy: &OperationCopy,
        group: Option<&GroupId>,
    ) -> Result<(), StoreError> {
        use peer_operation::{Column, Entity};

        let Some(limit) = self.operations else {
            return Ok(());
        };
        let beside = beside(copy, group);
        let held = Entity::find().filter(beside.clone()).count(db).await?;
        let Some(surplus) = (held + 1).checked_sub(limit).filter(|surplus| *surplus > 0) else {
            return Ok(());
        };
        let history: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(beside)
            .filter(nothing_rests_on_it())
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id)
            .limit(surplus)
            .into_tuple()
            .all(db)
            .await?;
        if (history.len() as u64) < surplus {
            return Err(StoreError::QuotaExceeded {
                what: "records of operations",
                of: match group {
                    Some(group) => format!("protection group {group} on {}", copy.home_site),
                    None => format!(
                        "groups of project {} that are not known here, on {}",
                        copy.project_id, copy.home_site
                    ),
                },
                limit,
                option: "peer_operations",
            });
        }
        peer_operation_line::Entity::delete_many()
            .filter(peer_operation_line::Column::OperationId.is_in(history.iter()))
            .exec(db)
            .await?;
        Entity::delete_many()
            .filter(Column::Id.is_in(history.iter()))
            .exec(db)
            .await?;
        Ok(())
    }
}

/// The records that count together with `copy`: those of its group, if that is known here.
fn beside(copy: &OperationCopy, group: Option<&GroupId>) -> Condition {
    use peer_operation::Column;

    let of_site = Condition::all()
        .add(Column::ProjectId.eq(copy.project_id.as_str()))
        .add(Column::HomeSite.eq(copy.home_site.as_str()));
    match group {
        Some(group) => of_site.add(Column::GroupId.eq(group.as_str())),
        None => {
            let known = protection_group::Entity::find()
                .select_only()
                .column(protection_group::Column::Id)
                .into_query();
            of_site.add(Column::GroupId.not_in_subquery(known))
        }
    }
}

/// Of a record: it has ended, it left nothing, it is of a kind that no later move, fence or cleanup asks for, and no operation
/// was made for it.
fn nothing_rests_on_it() -> Condition {
    use peer_operation::Column;

    let ended = OperationState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(OperationState::as_str);
    Condition::all()
        .add(Column::Revision.gt(0))
        .add(Column::State.is_in(ended))
        .add(Column::Leftovers.eq(0))
        .add(Column::Kind.is_in(HISTORY.map(OperationKind::as_str)))
        .add(Column::Id.not_in_subquery(parents_of_copies()))
        .add(Column::Id.not_in_subquery(parents_of_own()))
}

fn parents_of_copies() -> SelectStatement {
    use peer_operation::{Column, Entity};

    Entity::find()
        .select_only()
        .column(Column::ParentId)
        .filter(Column::ParentId.is_not_null())
        .into_query()
}

fn parents_of_own() -> SelectStatement {
    use operation::{Column, Entity};

    Entity::find()
        .select_only()
        .column(Column::ParentId)
        .filter(Column::ParentId.is_not_null())
        .into_query()
}
