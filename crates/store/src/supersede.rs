//! Ending an operation that another one takes the place of, whichever engine walks it.

use chrono::{DateTime, Utc};
use protector_core::{fault::Code, id::OperationId, operation::OperationState};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Set,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    entity::operation::{ActiveModel, Column, Entity},
    error::StoreError,
    foreign_text::ForeignText,
    lock, operation_outbox,
    operation_outbox::Haste,
    words::to_word,
};

/// Ends `old`, which has not moved its group, in favour of `new`. Its engine finds its lease lost before it changes
/// anything again; nothing of it is taken back. One that has ended stays as it is.
pub(crate) async fn end(
    db: &impl ConnectionTrait,
    old: &OperationId,
    new: &OperationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ended = ActiveModel {
        state: Set(OperationState::Failed.as_str().to_owned()),
        error: Set(Some(ForeignText::of(format!(
            "operation {new} has taken its place: what it has made is used there, what it has stopped stays stopped"
        )))),
        error_code: Set(Some(to_word(&Code::Superseded)?)),
        finished_at: Set(Some(now)),
        lease_owner: Set(None),
        lease_until: Set(None),
        ..ActiveModel::default()
    };
    let outcome = Entity::update_many()
        .set(ended)
        .col_expr(Column::Fence, Expr::col(Column::Fence).add(1))
        .filter(Column::Id.eq(old.as_str()))
        .filter(Column::State.is_in(OperationState::WALKED.map(OperationState::as_str)))
        .exec(db)
        .await?;
    if outcome.rows_affected == 1 {
        operation_outbox::changed(db, old, now, Haste::Now).await?;
        lock::release_all(db, old).await?;
    }
    Ok(())
}
