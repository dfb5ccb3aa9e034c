//! Locks: rows that a running operation holds, so that nothing else works on the same thing.

use protector_core::id::{GroupId, OperationId};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set};

use crate::{
    database::Database,
    entity::operation_lock,
    error::{StoreError, is_duplicate},
    lock_kind::LockKind,
};

/// A lock that an operation holds until it settles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it is about.
    pub kind: LockKind,
    /// The id of that thing.
    pub resource_id: String,
}

impl Lock {
    /// The lock on a group.
    pub fn group(id: &GroupId) -> Self {
        Self {
            kind: LockKind::Group,
            resource_id: id.to_string(),
        }
    }

    /// The lock on the leftovers of an ended operation.
    pub fn cleanup_of(id: &OperationId) -> Self {
        Self {
            kind: LockKind::CleanupOf,
            resource_id: id.to_string(),
        }
    }
}

impl Database {
    /// The operation that holds `lock`, if one does.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lock_holder(&self, lock: &Lock) -> Result<Option<OperationId>, StoreError> {
        holder(self.pool(), lock).await
    }
}

pub(crate) async fn holder(
    db: &impl ConnectionTrait,
    lock: &Lock,
) -> Result<Option<OperationId>, StoreError> {
    let row = operation_lock::Entity::find_by_id((
        lock.kind.as_str().to_owned(),
        lock.resource_id.clone(),
    ))
    .one(db)
    .await?;
    Ok(row.map(|row| OperationId::new(row.operation_id)))
}

/// Refuses while an operation holds `lock`. Call it after the row that the lock guards was written, so that no
/// operation can take the lock in between.
pub(crate) async fn refuse_while_locked(
    db: &impl ConnectionTrait,
    lock: &Lock,
) -> Result<(), StoreError> {
    match holder(db, lock).await? {
        None => Ok(()),
        Some(by_operation) => Err(StoreError::Locked {
            kind: lock.kind,
            resource_id: lock.resource_id.clone(),
            by_operation,
        }),
    }
}

pub(crate) async fn take(
    db: &impl ConnectionTrait,
    lock: &Lock,
    operation: &OperationId,
) -> Result<(), StoreError> {
    let row = operation_lock::ActiveModel {
        kind: Set(lock.kind.as_str().to_owned()),
        resource_id: Set(lock.resource_id.clone()),
        operation_id: Set(operation.to_string()),
    };
    let taken = operation_lock::Entity::insert(row)
        .exec_without_returning(db)
        .await;
    match taken {
        Ok(_) => Ok(()),
        // Another transaction took it after we looked. Run again, we shall see who holds it.
        Err(error) if is_duplicate(&error) => Err(StoreError::Busy(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn release_all(
    db: &impl ConnectionTrait,
    operation: &OperationId,
) -> Result<(), StoreError> {
    operation_lock::Entity::delete_many()
        .filter(operation_lock::Column::OperationId.eq(operation.as_str()))
        .exec(db)
        .await?;
    Ok(())
}
