//! The row of a group, locked and changed inside a transaction.

use chrono::{DateTime, Utc};
use protector_core::{
    group::{GroupStatus, Recovered, SiteRole},
    id::GroupId,
    member::MemberStatus,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Set,
    prelude::Expr, sea_query::ExprTrait,
};

use crate::{
    entity::{
        member, protection_group,
        protection_group::{ActiveModel, Column, Entity, Model},
    },
    error::{Noun, StoreError},
    words::to_count,
};

/// The group's row, locked until the transaction ends.
pub(crate) async fn locked_row(
    db: &impl ConnectionTrait,
    id: &GroupId,
) -> Result<Option<protection_group::Model>, StoreError> {
    Ok(Entity::find_by_id(id.as_str())
        .lock_exclusive()
        .one(db)
        .await?)
}

/// Raises a group's version, and returns it. Everything that changes with it is written after this in the same
/// transaction: the row is locked from here on.
pub(crate) async fn bump(
    db: &impl ConnectionTrait,
    id: &GroupId,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if !changed(db, id, ActiveModel::default(), now).await? {
        return Err(StoreError::not_found(Noun::Group, id));
    }
    let version: Option<i64> = Entity::find_by_id(id.as_str())
        .select_only()
        .column(Column::Version)
        .into_tuple()
        .one(db)
        .await?;
    to_count("protection_groups.version", version.unwrap_or_default())
}

/// Ends the partial status of a group none of whose members is in error any more. A group in any other status stays as it is.
pub(crate) async fn whole_again(
    db: &impl ConnectionTrait,
    id: &GroupId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for partial in [GroupStatus::ActivePartial, GroupStatus::FailedOverPartial] {
        at_rest_from(db, id, partial, now).await?;
    }
    Ok(())
}

/// The status at rest of a group, by where it runs and which of its members are in error; `None` if there is no such group.
pub(crate) async fn at_rest(
    db: &impl ConnectionTrait,
    id: &GroupId,
) -> Result<Option<GroupStatus>, StoreError> {
    let Some(row) = Entity::find_by_id(id.as_str()).one(db).await? else {
        return Ok(None);
    };
    let in_error = member::Entity::find()
        .filter(member::Column::GroupId.eq(id.as_str()))
        .filter(member::Column::Status.eq(MemberStatus::Error.as_str()))
        .count(db)
        .await?;
    let place = place(&row, &row.current_primary_site);
    let rest = GroupStatus::at_rest(place, Recovered::with_in_error(in_error));
    Ok(Some(rest))
}

/// Changes the status of a group that is in one of `from`; any other stays as it is.
pub(crate) async fn change_status(
    db: &impl ConnectionTrait,
    id: &GroupId,
    from: &[GroupStatus],
    to: GroupStatus,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .set(ActiveModel {
            status: Set(to.as_str().to_owned()),
            updated_at: Set(now),
            ..ActiveModel::default()
        })
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(id.as_str()))
        .filter(Column::Status.is_in(from.iter().map(|status| status.as_str())))
        .exec(db)
        .await?;
    Ok(())
}

/// Writes `change` and raises the version. Whether there is such a group.
pub(crate) async fn changed(
    db: &impl ConnectionTrait,
    id: &GroupId,
    mut change: ActiveModel,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let name = change.name.try_as_ref().cloned().unwrap_or_default();
    change.updated_at = Set(now);
    let outcome = Entity::update_many()
        .set(change)
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .filter(Column::Id.eq(id.as_str()))
        .exec(db)
        .await
        .map_err(|error| StoreError::unless_duplicate(error, Noun::Group, "name", name))?;
    Ok(outcome.rows_affected == 1)
}

pub(crate) async fn at_rest_from(
    db: &impl ConnectionTrait,
    id: &GroupId,
    from: GroupStatus,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    match at_rest(db, id).await? {
        None => Ok(()),
        Some(rest) => change_status(db, id, &[from], rest, now).await,
    }
}

/// Which of the sites of a group `site` is.
pub(crate) fn place(row: &Model, site: &str) -> SiteRole {
    if site == row.secondary_site {
        SiteRole::Secondary
    } else {
        SiteRole::Primary
    }
}
