//! The schema's version, and the refusal to work on another one than this build's.

use sea_orm::{DatabaseBackend, TransactionTrait as _};
use sea_orm_migration::MigratorTrait;

use crate::{database::Database, error::StoreError, migration::Migrator};

/// How far a database's schema is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The newest migration that was applied; `None` for an empty database.
    pub applied: Option<String>,
    /// The newest migration that this build knows.
    pub newest: Option<String>,
    /// Migrations of this build that were not applied yet, oldest first.
    pub pending: Vec<String>,
}

impl Database {
    /// Brings the schema up to this build's; in SQLite all of it or nothing. Nothing to do is fine. `protector-manage db sync`.
    ///
    /// # Errors
    ///
    /// `SchemaAhead` when a newer build was here, or what the database says.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.schema_version().await?;
        let database = self.kept_pool();
        if database.get_database_backend() != DatabaseBackend::Sqlite {
            // There each change of the schema is a transaction of its own.
            Migrator::up(database, None).await?;
            return Ok(());
        }
        let all = database.begin().await?;
        Migrator::up(&all, None).await?;
        Ok(all.commit().await?)
    }

    /// How far the schema is. Writes nothing. `protector-manage db version`.
    ///
    /// # Errors
    ///
    /// `SchemaAhead` when a newer build was here, or what the database says.
    pub async fn schema_version(&self) -> Result<SchemaVersion, StoreError> {
        let known: Vec<String> = Migrator::migrations()
            .iter()
            .map(|migration| migration.name().to_owned())
            .collect();
        let applied = self.applied_migrations().await?;
        if let Some(unknown) = applied.iter().find(|name| !known.contains(name)) {
            return Err(StoreError::SchemaAhead(unknown.clone()));
        }
        Ok(SchemaVersion {
            applied: applied.last().cloned(),
            newest: known.last().cloned(),
            pending: known
                .into_iter()
                .filter(|name| !applied.contains(name))
                .collect(),
        })
    }

    /// Names of this build's migrations that were not applied yet, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Database::schema_version`].
    pub async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.schema_version().await?.pending)
    }

    /// Refuses a schema that is not this build's. Each service calls it before it does anything else.
    ///
    /// # Errors
    ///
    /// `SchemaBehind`, which names the command to run, or `SchemaAhead`.
    pub async fn require_current_schema(&self) -> Result<(), StoreError> {
        let version = self.schema_version().await?;
        if version.pending.is_empty() {
            return Ok(());
        }
        Err(StoreError::SchemaBehind {
            pending: version.pending.len(),
            known: Migrator::migrations().len(),
        })
    }

    async fn applied_migrations(&self) -> Result<Vec<String>, StoreError> {
        use sea_orm::{EntityTrait, QueryOrder};
        use sea_orm_migration::{SchemaManager, seaql_migrations};

        let manager = SchemaManager::new(self.kept_pool());
        if !manager.has_table("seaql_migrations").await? {
            return Ok(Vec::new());
        }
        let rows = seaql_migrations::Entity::find()
            .order_by_asc(seaql_migrations::Column::Version)
            .all(self.kept_pool())
            .await?;
        Ok(rows.into_iter().map(|row| row.version).collect())
    }
}
