//! How far each group's metadata got to the other site, and what is due to be pushed.
//!
//! A group is due while its version is above the one last pushed. Nothing is queued: a push always takes the newest. A
//! group in conflict stays due, ever more rarely: it may have been settled on the other site.

use chrono::{DateTime, Utc};
use protector_core::{
    group::Group,
    id::{GroupId, ProjectId},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Set, prelude::Expr, sea_query::ExprTrait,
};

use crate::{
    database::Database,
    entity::protection_group::{ActiveModel, Column, Entity, Model},
    error::{Noun, StoreError},
    foreign_text::ForeignText,
    group_row::locked_row,
    lineage::{AgreedState, Conflict, MetadataState},
    lock::{self, Lock},
    row::group::from_row,
    words::{from_json, to_count, to_json, to_signed, to_u32},
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
    /// What the last state that both sites held said; `None` where they never agreed, or did before this was kept.
    pub base_digest: Option<String>,
    /// That both sites have changed the group since.
    pub conflict: Option<Conflict>,
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
            error: row.push_error.clone().map(ForeignText::into_text),
            next_push_at: row.next_push_at,
            base_digest: row.base_digest.clone(),
            conflict: row
                .conflict
                .clone()
                .map(|json| from_json("protection_groups.conflict", json))
                .transpose()?,
        })
    }

    /// The last state that both sites are known to have held.
    pub(crate) fn base(&self) -> Option<AgreedState> {
        (self.pushed_version > 0).then(|| AgreedState {
            version: self.pushed_version,
            digest: self.base_digest.clone(),
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
    /// Groups whose newest version the other site does not have and whose pause is over, longest unchanged first. A site that
    /// is gone for good is told nothing.
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
            .filter(Column::PeerRetiredAt.is_null())
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

    /// The other site has accepted `pushed`, and holds `kept` now, which says the same. Where nothing has changed here
    /// meanwhile, its version counts here too.
    ///
    /// # Errors
    ///
    /// `NotFound` when the group was deleted meanwhile.
    pub async fn push_done(
        &self,
        group: &GroupId,
        pushed: &MetadataState,
        kept: &MetadataState,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let row = locked_row(tx, group)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, group))?;
            let sent = to_signed(pushed.version);
            // A slower push of an older version must not undo the note of a newer one.
            if row.pushed_version > sent {
                return Ok(());
            }
            let unlocked = lock::holder(tx, &Lock::group(group)).await?.is_none();
            let both = match unlocked && row.version == sent {
                true => Ord::max(to_signed(kept.version), sent),
                false => sent,
            };
            let change = ActiveModel {
                version: Set(Ord::max(row.version, both)),
                pushed_version: Set(both),
                peer_version: Set(Some(to_signed(kept.version))),
                base_digest: Set(Some(pushed.digest.clone())),
                conflict: Set(None),
                push_failed_tries: Set(0),
                push_error: Set(None),
                last_push_at: Set(Some(now)),
                next_push_at: Set(None),
                ..ActiveModel::default()
            };
            Entity::update_many()
                .set(change)
                .filter(Column::Id.eq(group.as_str()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
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
                push_error: Set(Some(ForeignText::of(error))),
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
        self.write(async |tx| {
            let outcome = Entity::update_many()
                .set(change.clone())
                .filter(Column::Id.eq(group.as_str()))
                .exec(tx)
                .await?;
            if outcome.rows_affected == 1 {
                return Ok(());
            }
            // Databases may not count a row that was so already.
            let known = Entity::find_by_id(group.as_str()).one(tx).await?;
            found(u64::from(known.is_some()), group)
        })
        .await
    }

    /// Notes, or takes back, that the group was changed on both sites. Nothing is written when it has changed here since
    /// `version`: then the finding is of the past. Whether it was written.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn conflict_note(
        &self,
        group: &GroupId,
        version: u64,
        conflict: Option<&Conflict>,
    ) -> Result<bool, StoreError> {
        self.write(async |tx| {
            let row = locked_row(tx, group)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, group))?;
            if row.version != to_signed(version) {
                return Ok(false);
            }
            write_conflict(tx, group, conflict).await?;
            Ok(true)
        })
        .await
    }

    /// Raises a group's version from `from` to `to` although nothing of it changes: it shall count over the other site's.
    ///
    /// # Errors
    ///
    /// `GroupDiffers` when it is not at `from` any more, `NotFound`.
    pub async fn version_raise(
        &self,
        group: &GroupId,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let row = locked_row(tx, group)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, group))?;
            if row.version != to_signed(from) {
                return Err(StoreError::GroupDiffers {
                    held: to_count("protection_groups.version", row.version)?,
                    known: from,
                });
            }
            Entity::update_many()
                .set(ActiveModel {
                    version: Set(to_signed(to)),
                    ..ActiveModel::default()
                })
                .filter(Column::Id.eq(group.as_str()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }
}

pub(crate) async fn write_conflict(
    db: &impl ConnectionTrait,
    group: &GroupId,
    conflict: Option<&Conflict>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .set(ActiveModel {
            conflict: Set(conflict.map(to_json).transpose()?),
            ..ActiveModel::default()
        })
        .filter(Column::Id.eq(group.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

fn found(rows: u64, group: &GroupId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::not_found(Noun::Group, group)),
        _ => Ok(()),
    }
}
