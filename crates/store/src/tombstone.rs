//! Groups that were deleted are remembered, so that metadata that was on its way, or that a site sends which was away when
//! they were deleted, does not bring them back.

use chrono::{DateTime, Utc};
use protector_core::id::{GroupId, ProjectId};
use sea_orm::{ConnectionTrait, EntityTrait, Set};

use crate::{
    database::Database,
    entity::{
        group_tombstone::{ActiveModel, Entity},
        protection_group::{self, Model},
    },
    error::StoreError,
    given_up,
    group_row::locked_row,
    lineage::MetadataState,
    lock::{Lock, refuse_while_locked},
    retired::refuse_of,
};

impl Database {
    /// Forgets a group that was deleted on the other site, which held it as `known` says. One that is not known here is
    /// remembered as deleted all the same; another project's stays as it is.
    ///
    /// # Errors
    ///
    /// `GroupDiffers` when something else is held here; `Locked` while an operation moves it here;
    /// `PeerRetired`.
    pub async fn group_forget(
        &self,
        local_project: &ProjectId,
        id: &GroupId,
        known: &MetadataState,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let Some(row) = locked_row(tx, id).await? else {
                return bury(tx, id, local_project.as_str(), now).await;
            };
            if row.local_project_id != local_project.as_str() {
                return Ok(());
            }
            refuse_of(&row)?;
            let held = self.held_of(tx, &row).await?;
            if held.mark != *known {
                return Err(StoreError::GroupDiffers {
                    held: held.mark.version,
                    known: known.version,
                });
            }
            delete_row(tx, row, now).await
        })
        .await
    }
}

/// Deletes a locked row, with what belongs to it.
pub(crate) async fn delete_row(
    db: &impl ConnectionTrait,
    row: Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let id = GroupId::new(row.id);
    refuse_while_locked(db, &Lock::group(&id)).await?;
    protection_group::Entity::delete_by_id(id.as_str())
        .exec(db)
        .await?;
    given_up::shown_anew(db, &id, now).await?;
    bury(db, &id, &row.local_project_id, now).await
}

async fn bury(
    db: &impl ConnectionTrait,
    id: &GroupId,
    local_project: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if deleted_at(db, id).await?.is_some() {
        return Ok(());
    }
    let tombstone = ActiveModel {
        group_id: Set(id.to_string()),
        local_project_id: Set(local_project.to_owned()),
        deleted_at: Set(now),
    };
    Entity::insert(tombstone).exec_without_returning(db).await?;
    Ok(())
}

/// When the group was deleted here, if it was.
pub(crate) async fn deleted_at(
    db: &impl ConnectionTrait,
    id: &GroupId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let row = Entity::find_by_id(id.as_str()).one(db).await?;
    Ok(row.map(|row| row.deleted_at))
}

/// Makes a deleted group possible again: somebody forced it.
pub(crate) async fn lift(db: &impl ConnectionTrait, id: &GroupId) -> Result<(), StoreError> {
    Entity::delete_by_id(id.as_str()).exec(db).await?;
    Ok(())
}
