//! What a tenant's change rests on: the version of a group that the caller saw when deciding on it, and that nobody moves
//! the group.
//!
//! What an operation, a watch or the other site writes does not pass here.

use chrono::{DateTime, Utc};
use protector_core::{group::Group, id::GroupId};
use sea_orm::ConnectionTrait;

use crate::{
    error::StoreError,
    group_row::locked_row,
    lock::{Lock, refuse_while_locked},
    reservation,
    row::group::from_row,
};

/// The version of a group that a change rests on. A change of what has become something else since is refused, so
/// that nobody overwrites what somebody else did in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Whatever it is by now.
    #[default]
    Any,
    Version(u64),
}

impl Precondition {
    /// Sees that a tenant may change the group now: it is what the change rests on, the other site is not about to move
    /// it, and nobody moves it. Its row is locked from here on. A group that is not there is for the caller to find out.
    ///
    /// Whoever asked did look before; a start on the other site may have come in between. A change that it does not know
    /// of would look to it as if this site had moved the group on.
    pub(crate) async fn holds_for(
        self,
        db: &impl ConnectionTrait,
        id: &GroupId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let Some(row) = locked_row(db, id).await? else {
            return Ok(());
        };
        let reserved = reservation::holder(&row, now);
        let group = from_row(row)?;
        self.refuse_another(&group)?;
        refuse_moved(db, group).await?;
        reserved.map_or(Ok(()), Err)
    }

    fn refuse_another(self, group: &Group) -> Result<(), StoreError> {
        match self {
            Self::Version(wanted) if wanted != group.version => Err(StoreError::GroupChanged {
                status: group.status,
                version: group.version,
            }),
            _ => Ok(()),
        }
    }
}

/// Where it is this site that moves the group, the refusal names the operation.
async fn refuse_moved(db: &impl ConnectionTrait, group: Group) -> Result<(), StoreError> {
    if group.status.is_changeable() {
        return Ok(());
    }
    refuse_while_locked(db, &Lock::group(&group.id)).await?;
    Err(StoreError::Unchangeable {
        name: group.name,
        status: group.status,
    })
}
