//! How far each group's metadata got to the other site, and what is due to be pushed.
//!
//! A group is due while its version is above the one last pushed. Nothing is queued: a push always takes the newest.

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, ProjectId},
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set, prelude::Expr,
    sea_query::ExprTrait,
};

use crate::{
    database::Database,
    entity::protection_group::{ActiveModel, Column, Entity, Model},
    error::{Noun, StoreError},
    group::from_row,
    words::{to_count, to_signed, to_u32},
};

/// How far a group's metadata got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// The newest version that the other site has accepted from here, or that was accepted from there.
    pub pushed_version: u64,
    /// The version that the other site was last known to hold.
    pub peer_version: Option<u64>,
    /// How many pushes in a row have failed.
    pub failed_tries: u32,
    /// When a push was last tried.
    pub last_push_at: Option<DateTime<Utc>>,
    /// How the last push failed; `None` when it did not.
    pub error: Option<String>,
    /// Not before this time is it pushed again.
    pub next_push_at: Option<DateTime<Utc>>,
}

/// How the last push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushResult {
    /// The other site has it.
    Ok,
    /// It was refused or did not get there.
    Failed,
}

impl SyncState {
    pub(crate) fn of(row: &Model) -> Result<Self, StoreError> {
        Ok(Self {
            pushed_version: to_count("protection_groups.pushed_version", row.pushed_version)?,
            peer_version: row
                .peer_version
                .map(|version| to_count("protection_groups.peer_version", version))
                .transpose()?,
            failed_tries: to_u32("protection_groups.push_failed_tries", row.push_failed_tries)?,
            last_push_at: row.last_push_at,
            error: row.push_error.clone(),
            next_push_at: row.next_push_at,
        })
    }

    /// How the last push ended, if there was one.
    pub fn last_result(&self) -> Option<PushResult> {
        self.last_push_at.map(|_| match self.error {
            None => PushResult::Ok,
            Some(_) => PushResult::Failed,
        })
    }
}

/// A group whose newest version the other site does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushDue {
    /// The group as it is now. Its version is the one to push.
    pub group: Group,
    /// The tenant's project on this site; the group's other scope is where to push to.
    pub local_project_id: ProjectId,
    /// How far it got until now.
    pub sync: SyncState,
}

impl Database {
    /// Groups whose newest version the other site does not have and whose pause is over, longest unchanged first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn push_due(
        &self,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<PushDue>, StoreError> {
        let rows = Entity::find()
            .filter(Expr::col(Column::Version).gt(Expr::col(Column::PushedVersion)))
            .filter(
                Condition::any()
                    .add(Column::NextPushAt.is_null())
                    .add(Column::NextPushAt.lte(now)),
            )
            .order_by_asc(Column::UpdatedAt)
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(self.pool())
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(PushDue {
                    local_project_id: row.local_project_id.clone().into(),
                    sync: SyncState::of(&row)?,
                    group: from_row(row)?,
                })
            })
            .collect()
    }

    /// The other site has accepted `version`.
    ///
    /// # Errors
    ///
    /// `NotFound` when the group was deleted meanwhile.
    pub async fn push_done(
        &self,
        group: &GroupId,
        version: u64,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let change = ActiveModel {
            pushed_version: Set(to_signed(version)),
            peer_version: Set(Some(to_signed(version))),
            push_failed_tries: Set(0),
            push_error: Set(None),
            last_push_at: Set(Some(now)),
            next_push_at: Set(None),
            ..ActiveModel::default()
        };
        // A slower push of an older version must not undo the note of a newer one.
        let newer = Condition::all().add(Column::PushedVersion.lte(to_signed(version)));
        self.sync_write(group, change, newer).await
    }

    /// A push failed; the next is due at `next_try`.
    ///
    /// # Errors
    ///
    /// `NotFound` when the group was deleted meanwhile.
    pub async fn push_failed(
        &self,
        group: &GroupId,
        error: &str,
        now: DateTime<Utc>,
        next_try: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let change = ActiveModel {
                push_error: Set(Some(error.to_owned())),
                last_push_at: Set(Some(now)),
                next_push_at: Set(Some(next_try)),
                ..ActiveModel::default()
            };
            let outcome = Entity::update_many()
                .set(change)
                .col_expr(
                    Column::PushFailedTries,
                    Expr::col(Column::PushFailedTries).add(1),
                )
                .filter(Column::Id.eq(group.as_str()))
                .exec(tx)
                .await?;
            found(outcome.rows_affected, group)
        })
        .await
    }

    /// The other site told which version it holds.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn peer_version_seen(
        &self,
        group: &GroupId,
        version: Option<u64>,
    ) -> Result<(), StoreError> {
        let change = ActiveModel {
            peer_version: Set(version.map(to_signed)),
            ..ActiveModel::default()
        };
        self.sync_write(group, change, Condition::all()).await
    }

    /// Makes a group due now, also if the other site was thought to have it. `sync-force`.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn push_force(&self, group: &GroupId) -> Result<(), StoreError> {
        let change = ActiveModel {
            pushed_version: Set(0),
            next_push_at: Set(None),
            ..ActiveModel::default()
        };
        self.sync_write(group, change, Condition::all()).await
    }

    async fn sync_write(
        &self,
        group: &GroupId,
        change: ActiveModel,
        only_if: Condition,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let outcome = Entity::update_many()
                .set(change.clone())
                .filter(Column::Id.eq(group.as_str()))
                .filter(only_if.clone())
                .exec(tx)
                .await?;
            if outcome.rows_affected == 1 {
                return Ok(());
            }
            let known = Entity::find_by_id(group.as_str()).one(tx).await?;
            found(u64::from(known.is_some()), group)
        })
        .await
    }
}

fn found(rows: u64, group: &GroupId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::not_found(Noun::Group, group)),
        _ => Ok(()),
    }
}
