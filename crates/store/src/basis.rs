//! What a change rests on: the version of a group that the caller saw when deciding on it.

use protector_core::id::GroupId;
use sea_orm::ConnectionTrait;

use crate::{
    error::StoreError,
    group::{from_row, locked_row},
};

/// The version of a group that a change rests on. A change of what has become something else since is refused, so
/// that nobody overwrites what somebody else did in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Whatever it is by now.
    #[default]
    Any,
    /// This one.
    Version(u64),
}

impl Basis {
    /// Sees that the group is what the change rests on. Its row is locked from here on. A group that is not there is
    /// for the caller to find out.
    pub(crate) async fn holds_for(
        self,
        db: &impl ConnectionTrait,
        id: &GroupId,
    ) -> Result<(), StoreError> {
        let Self::Version(wanted) = self else {
            return Ok(());
        };
        let Some(row) = locked_row(db, id).await? else {
            return Ok(());
        };
        let group = from_row(row)?;
        if group.version == wanted {
            return Ok(());
        }
        Err(StoreError::GroupChanged {
            status: group.status,
            version: group.version,
        })
    }
}
