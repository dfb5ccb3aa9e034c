//! Lines of operations, to rows and back.

use protector_core::{
    id::OperationId,
    operation::{StepProgress, StepRecord},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set,
    sea_query::Condition,
};

use crate::{
    entity::step::{ActiveModel, Column, Entity, Model},
    error::StoreError,
    operation_outbox,
    said::Said,
    words::{from_json, from_word, to_json, to_small, to_u32, to_word},
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

fn progress_row(progress: &StepProgress) -> Result<ActiveModel, StoreError> {
    Ok(ActiveModel {
        state: Set(progress.state.as_str().to_owned()),
        failed_tries: Set(to_small(progress.failed_tries)),
        wake_at: Set(progress.wake_at),
        note: Set(progress.note.clone().map(Said::of)),
        memo: Set(to_json(&progress.memo)?),
        error: Set(progress.error.clone().map(Said::of)),
        error_code: Set(progress.error_code.as_ref().map(to_word).transpose()?),
        started_at: Set(progress.started_at),
        finished_at: Set(progress.finished_at),
        undo_started_at: Set(progress.undo_started_at),
        ..ActiveModel::default()
    })
}

fn to_row(operation: &OperationId, step: &StepRecord) -> Result<Model, StoreError> {
    let progress = &step.progress;
    Ok(Model {
        operation_id: operation.to_string(),
        position: to_small(step.position),
        phase: to_small(step.phase),
        phase_name: step.phase_name.clone(),
        verb: step.verb.as_str().to_owned(),
        reported: to_word(&step.reported)?,
        step_key: step.key.clone(),
        action: to_json(&step.action)?,
        resource_id: step.resource_id.clone(),
        waits_for: to_json(&step.after)?,
        state: progress.state.as_str().to_owned(),
        failed_tries: to_small(progress.failed_tries),
        wake_at: progress.wake_at,
        note: progress.note.clone().map(Said::of),
        memo: to_json(&progress.memo)?,
        error: progress.error.clone().map(Said::of),
        error_code: progress.error_code.as_ref().map(to_word).transpose()?,
        started_at: progress.started_at,
        finished_at: progress.finished_at,
        undo_started_at: progress.undo_started_at,
        revision: 1,
    })
}

pub(crate) fn from_row(row: Model) -> Result<StepRecord, StoreError> {
    let code = row.error_code.as_deref();
    Ok(StepRecord {
        position: to_u32("steps.position", row.position)?,
        phase: to_u32("steps.phase", row.phase)?,
        phase_name: row.phase_name,
        verb: from_word("steps.verb", &row.verb)?,
        reported: from_word("steps.reported", &row.reported)?,
        key: row.step_key,
        action: from_json("steps.action", row.action)?,
        resource_id: row.resource_id,
        after: from_json("steps.waits_for", row.waits_for)?,
        progress: StepProgress {
            state: from_word("steps.state", &row.state)?,
            failed_tries: to_u32("steps.failed_tries", row.failed_tries)?,
            wake_at: row.wake_at,
            note: row.note.map(Said::into_text),
            memo: from_json("steps.memo", row.memo)?,
            error: row.error.map(Said::into_text),
            error_code: code
                .map(|code| from_word("steps.error_code", code))
                .transpose()?,
            started_at: row.started_at,
            finished_at: row.finished_at,
            undo_started_at: row.undo_started_at,
        },
    })
}
