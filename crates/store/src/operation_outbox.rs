//! How far each operation's record got to the other site, which shows it read-only.
//!
//! An operation counts its changes (`revision`), and each of its lines remembers the last of them that touched it. What is
//! pushed is the record's head and the lines that are newer than what the other site has. Nothing is queued: a push always
//! takes the newest.

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    id::{GroupId, OperationId},
    operation::OperationRecord,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
    prelude::Expr,
    sea_query::{ExprTrait, Func, Query},
};

use crate::{
    database::Database,
    entity::{
        operation::{ActiveModel, Column, Entity},
        protection_group, step,
    },
    error::{Noun, StoreError},
    foreign_text::ForeignText,
    operation_records::record_of,
    words::{to_count, to_signed, to_u32},
};

/// How long lines are collected before they are pushed.
const COLLECTED_FOR: TimeDelta = TimeDelta::seconds(5);

/// How soon a change is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// At the next look: the operation began, failed or ended.
    Now,
    /// With the others of the next seconds.
    Soon,
}

/// An operation's record with what the other site lacks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationPush {
    pub record: OperationRecord,
    /// How many changes it counts.
    pub revision: u64,
    /// The revision that the other site has; 0 for none.
    pub since: u64,
    /// The positions of the lines that have changed since.
    pub changed: Vec<u32>,
    /// How many pushes in a row have failed.
    pub failed_tries: u32,
}

impl Database {
    /// Operations whose newest revision the other site does not have and whose pause is over, longest due first. A site that
    /// is gone for good is told nothing.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_push_due(
        &self,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<OperationId>, StoreError> {
        let ids: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::PushDueAt.lte(now))
            .filter(Column::GroupId.not_in_subquery(without_other_site()))
            .order_by_asc(Column::PushDueAt)
            .order_by_asc(Column::Id)
            .limit(limit)
            .into_tuple()
            .all(self.pool())
            .await?;
        Ok(ids.into_iter().map(OperationId::new).collect())
    }

    /// Operations of a group whose newest revision the other site does not have, oldest first, whether due or not.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operations_unpushed(
        &self,
        group: &GroupId,
    ) -> Result<Vec<OperationId>, StoreError> {
        let ids: Vec<String> = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::GroupId.eq(group.as_str()))
            .filter(Column::PushDueAt.is_not_null())
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id)
            .into_tuple()
            .all(self.pool())
            .await?;
        Ok(ids.into_iter().map(OperationId::new).collect())
    }

    /// What the other site lacks of an operation, as of one moment.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn operation_push(&self, id: &OperationId) -> Result<OperationPush, StoreError> {
        self.read(async |tx| {
            let row = Entity::find_by_id(id.as_str())
                .one(tx)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Operation, id))?;
            let changed: Vec<i32> = step::Entity::find()
                .select_only()
                .column(step::Column::Position)
                .filter(step::Column::OperationId.eq(id.as_str()))
                .filter(step::Column::Revision.gt(row.pushed_revision))
                .order_by_asc(step::Column::Position)
                .into_tuple()
                .all(tx)
                .await?;
            Ok(OperationPush {
                record: record_of(tx, id).await?,
                revision: to_count("operations.revision", row.revision)?,
                since: to_count("operations.pushed_revision", row.pushed_revision)?,
                changed: changed
                    .into_iter()
                    .map(|position| to_u32("steps.position", position))
                    .collect::<Result<_, _>>()?,
                failed_tries: to_u32("operations.push_failed_tries", row.push_failed_tries)?,
            })
        })
        .await
    }

    /// The other site has the record up to `revision`. It stays due if it has changed since.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_pushed(
        &self,
        id: &OperationId,
        revision: u64,
    ) -> Result<(), StoreError> {
        let revision = to_signed(revision);
        self.write(async |tx| {
            Entity::update_many()
                .set(ActiveModel {
                    pushed_revision: Set(revision),
                    push_failed_tries: Set(0),
                    push_error: Set(None),
                    ..ActiveModel::default()
                })
                .filter(Column::Id.eq(id.as_str()))
                .exec(tx)
                .await?;
            Entity::update_many()
                .set(ActiveModel {
                    push_due_at: Set(None),
                    ..ActiveModel::default()
                })
                .filter(Column::Id.eq(id.as_str()))
                .filter(Column::Revision.lte(revision))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// The other site has less of the record than was thought: the next push begins there.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_push_from(&self, id: &OperationId, held: u64) -> Result<(), StoreError> {
        self.push_row_write(
            id,
            ActiveModel {
                pushed_revision: Set(to_signed(held)),
                ..ActiveModel::default()
            },
        )
        .await
    }

    /// A push failed; the next is due at `next_try`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_push_failed(
        &self,
        id: &OperationId,
        failed_tries: u32,
        error: &str,
        next_try: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.push_row_write(
            id,
            ActiveModel {
                push_failed_tries: Set(crate::words::to_small(failed_tries)),
                push_error: Set(Some(ForeignText::of(error))),
                push_due_at: Set(Some(next_try)),
                ..ActiveModel::default()
            },
        )
        .await
    }

    async fn push_row_write(
        &self,
        id: &OperationId,
        change: ActiveModel,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            Entity::update_many()
                .set(change.clone())
                .filter(Column::Id.eq(id.as_str()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Groups whose other site is gone for good, as a subquery.
pub(crate) fn without_other_site() -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(protection_group::Column::Id)
        .from(protection_group::Entity)
        .and_where(protection_group::Column::PeerRetiredAt.is_not_null())
        .to_owned()
}

/// Counts a change of an operation. The lines that it touches are written after this, in the same transaction.
pub(crate) async fn changed(
    db: &impl ConnectionTrait,
    id: &OperationId,
    now: DateTime<Utc>,
    haste: Haste,
) -> Result<(), StoreError> {
    let due = match haste {
        Haste::Now => Expr::val(now),
        Haste::Soon => {
            let later = [Expr::col(Column::PushDueAt), Expr::val(now + COLLECTED_FOR)];
            Func::coalesce(later).into()
        }
    };
    Entity::update_many()
        .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
        .col_expr(Column::PushDueAt, due)
        .filter(Column::Id.eq(id.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

/// How many changes an operation counts, as a subquery.
pub(crate) fn revision_of(id: &OperationId) -> Expr {
    let revision = Query::select()
        .column(Column::Revision)
        .from(Entity)
        .and_where(Column::Id.eq(id.as_str()))
        .to_owned();
    Expr::SubQuery(None, Box::new(revision.into()))
}
