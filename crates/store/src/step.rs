//! Lines of operations: written, and found by what they are about.

use protector_core::{
    id::OperationId,
    operation::{StepProgress, StepRecord},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    sea_query::Condition,
};

pub(crate) use crate::row::step::from_row;
use crate::{
    entity::step::{Column, Entity},
    error::StoreError,
    operation_outbox,
    row::step::{progress_row, to_row},
    words::to_small,
};

/// Rows per statement: databases limit the values of one.
const CHUNK: usize = 200;

pub(crate) async fn insert_all(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    steps: &[StepRecord],
) -> Result<(), StoreError> {
    for chunk in steps.chunks(CHUNK) {
        let rows = chunk
            .iter()
            .map(|step| Ok(to_row(operation, step)?.into_active_model()))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// The lines about a server or volume, by position.
pub(crate) async fn about(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    resource_id: &str,
) -> Result<Vec<StepRecord>, StoreError> {
    let rows = Entity::find()
        .filter(Column::OperationId.eq(operation.as_str()))
        .filter(Column::ResourceId.eq(resource_id))
        .order_by_asc(Column::Position)
        .all(db)
        .await?;
    rows.into_iter().map(from_row).collect()
}

/// Writes how far a line is, found by its position.
pub(crate) async fn progress_at(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    position: u32,
    progress: &StepProgress,
) -> Result<(), StoreError> {
    let place = Column::Position.eq(to_small(position));
    match progressed(db, operation, place.into(), progress).await? {
        true => Ok(()),
        false => Err(StoreError::Unreadable(format!(
            "operation {operation} has no line {position}"
        ))),
    }
}

/// Writes how far a line is, found by its key.
pub(crate) async fn progress_of(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    key: &str,
    progress: &StepProgress,
) -> Result<(), StoreError> {
    let place = Column::StepKey.eq(key);
    match progressed(db, operation, place.into(), progress).await? {
        true => Ok(()),
        false => Err(StoreError::Unreadable(format!(
            "operation {operation} has no line {key}"
        ))),
    }
}

/// The lines about a resource show something else from now on. The operation's own row was written before.
pub(crate) async fn named_changed(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    resource_id: &str,
) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::Revision, operation_outbox::revision_of(operation))
        .filter(Column::OperationId.eq(operation.as_str()))
        .filter(Column::ResourceId.eq(resource_id))
        .exec(db)
        .await?;
    Ok(())
}

async fn progressed(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    place: Condition,
    progress: &StepProgress,
) -> Result<bool, StoreError> {
    let outcome = Entity::update_many()
        .set(progress_row(progress)?)
        // The operation's own row was written before, and counts its changes.
        .col_expr(Column::Revision, operation_outbox::revision_of(operation))
        .filter(Column::OperationId.eq(operation.as_str()))
        .filter(place)
        .exec(db)
        .await?;
    Ok(outcome.rows_affected == 1)
}
