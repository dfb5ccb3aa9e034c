//! A group whose status says that it is not at rest while nobody is at work on it, put at rest again.
//!
//! An operation leaves it moving that ended as superseded, or whose home was lost with its records; in error one that could
//! not take everything back.

use chrono::{DateTime, Utc};
use protector_core::id::GroupId;

use crate::{
    database::Database,
    error::{Noun, StoreError},
    group_row::{at_rest, change_status, locked_row},
    lock::{Lock, refuse_while_locked},
    reservation,
    row::group::from_row,
};

impl Database {
    /// Puts a group at rest where it runs, and raises its version. Whether it did: not when the group has changed since
    /// `version`, nor when it is at rest.
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
            if group.version != version || group.status.is_at_rest() {
                return Ok(false);
            }
            refuse_while_locked(tx, &Lock::group(id)).await?;
            if let Some(reserved) = reserved {
                return Err(reserved);
            }
            if let Some(rest) = at_rest(tx, id).await? {
                change_status(tx, id, &[group.status], rest, now).await?;
            }
            Ok(true)
        })
        .await
    }
}
