//! Engines that were seen: what `service list` shows.

use chrono::{DateTime, Utc};
use protector_core::id::EngineId;
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder, sea_query::OnConflict};

use crate::{
    database::Database,
    entity::engine::{Column, Entity, Model},
    error::StoreError,
    words::{to_small, to_u32},
};

/// An engine process, as it last reported itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineRow {
    /// Its id, the same over restarts where the host keeps it.
    pub id: EngineId,
    /// The host it runs on.
    pub host: String,
    pub version: String,
    /// The newest book version it can walk.
    pub book_version: u32,
    pub started_at: DateTime<Utc>,
    /// When it last reported.
    pub seen_at: DateTime<Utc>,
    /// Whether it claims nothing any more.
    pub stopping: bool,
}

impl Database {
    /// Writes down that an engine is there. The first report makes its row.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn engine_heartbeat(&self, engine: &EngineRow) -> Result<(), StoreError> {
        let row = to_row(engine);
        self.write(async |tx| {
            Entity::insert(row.clone().into_active_model())
                .on_conflict(
                    OnConflict::column(Column::Id)
                        .update_columns([
                            Column::Host,
                            Column::Version,
                            Column::BookVersion,
                            Column::StartedAt,
                            Column::SeenAt,
                            Column::Stopping,
                        ])
                        .to_owned(),
                )
                .exec_without_returning(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// All engines on record, the last one seen first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn engine_list(&self) -> Result<Vec<EngineRow>, StoreError> {
        let rows = Entity::find()
            .order_by_desc(Column::SeenAt)
            .order_by_asc(Column::Id)
            .all(self.pool())
            .await?;
        rows.into_iter().map(from_row).collect()
    }

    /// Forgets an engine, after a graceful stop. Fine if it is not there.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn engine_delete(&self, id: &EngineId) -> Result<(), StoreError> {
        self.write(async |tx| {
            Entity::delete_by_id(id.as_str()).exec(tx).await?;
            Ok(())
        })
        .await
    }
}

fn to_row(engine: &EngineRow) -> Model {
    Model {
        id: engine.id.to_string(),
        host: engine.host.clone(),
        version: engine.version.clone(),
        book_version: to_small(engine.book_version),
        started_at: engine.started_at,
        seen_at: engine.seen_at,
        stopping: engine.stopping,
    }
}

fn from_row(row: Model) -> Result<EngineRow, StoreError> {
    Ok(EngineRow {
        id: row.id.into(),
        host: row.host,
        version: row.version,
        book_version: to_u32("engines.book_version", row.book_version)?,
        started_at: row.started_at,
        seen_at: row.seen_at,
        stopping: row.stopping,
    })
}
