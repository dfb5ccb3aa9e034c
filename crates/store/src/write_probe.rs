//! Whether the database takes a write. One that answers may still have a full disk, or be read-only.

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr};
use tokio::time::{Instant, timeout};

use crate::{
    database::Database,
    entity::write_probe::{Column, Entity, ROW},
    error::StoreError,
};

/// How long a write that got through is proof for the next ones who ask: health checks may come many times a second.
const PROVEN_FOR: Duration = Duration::from_secs(5);
/// How long a write may take to get through.
const PATIENCE: Duration = Duration::from_secs(5);

impl Database {
    /// Writes to a row that is there for nothing else, at most once in five seconds; what a write that did not get through
    /// said is not remembered. Only a write that was committed proves that there is room for one.
    ///
    /// # Errors
    ///
    /// What the database says, or `Unavailable` when the write does not get through within five seconds.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let mut last = self.last_write().lock().await;
        if last.is_some_and(|at| at.elapsed() < PROVEN_FOR) {
            return Ok(());
        }
        *last = None;
        timeout(PATIENCE, self.probe()).await.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            StoreError::Unavailable(format!("no write got through within {seconds} s"))
        })??;
        *last = Some(Instant::now());
        Ok(())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write(async |tx| {
            Entity::update_many()
                .col_expr(Column::Count, Expr::col(Column::Count).add(1))
                .filter(Column::Id.eq(ROW))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }
}
