//! A group whose status says that it is being moved while nobody moves it, put at rest again.
//!
//! An operation leaves it so that ended as superseded, and one whose home was lost with its records.

use chrono::{DateTime, Utc};
use protector_core::{
    group::{Group, GroupStatus},
    id::GroupId,
};
use sea_orm::ConnectionTrait;

use crate::{
    database::Database,
    error::{Noun, StoreError},
    group::{change_status, failed_over, from_row, locked_row},
    lock::{Lock, refuse_while_locked},
    reservation,
};

impl Database {
    /// Puts a group at rest where it runs, and raises its version. Whether it did: not when the group has changed since
    /// `version`, nor when its status does not say that it is being moved.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Locked` while an operation of this site moves the group, `Reserved` while the other site does or is
    /// about to.
    pub async fn group_put_at_rest(
        &self,
        id: &GroupId,
        version: u64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.write_unreserved(id, now, async |tx| {
            let row = locked_row(tx, id)
                .await?
                .ok_or_else(|| StoreError::not_found(Noun::Group, id))?;
            let reserved = reservation::holder(&row, now);
            let group = from_row(row)?;
            if group.version != version || !group.status.is_moving() {
                return Ok(false);
            }
            refuse_while_locked(tx, &Lock::group(id)).await?;
            if let Some(reserved) = reserved {
                return Err(reserved);
            }
            let rest = at_rest(tx, &group).await?;
            change_status(tx, id, &[group.status], rest, now).await?;
            Ok(true)
        })
        .await
    }
}

async fn at_rest(db: &impl ConnectionTrait, group: &Group) -> Result<GroupStatus, StoreError> {
    match group.status_at_rest() {
        GroupStatus::FailedOver => failed_over(db, &group.id).await,
        other => Ok(other),
    }
}
