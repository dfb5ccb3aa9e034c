//! What the arrays hold for us, in an SQLite file that the engines of both sites share.

use std::{fs::File, io, path::Path, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, EntityTrait,
    Schema, sea_query::IndexCreateStatement, sqlx::Connection as _,
};

use crate::catalogue::entity::{promotion, recovery_point, recovery_point_volume};

const BUSY: Duration = Duration::from_secs(15);
const ACQUIRE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct Catalogue {
    db: DatabaseConnection,
}

impl Catalogue {
    /// Opens the catalogue at `path`; makes it if it is not there.
    pub(crate) async fn open(path: &Path) -> Result<Self, DbErr> {
        // Two processes that turn a new database to WAL at the same time make each other fail, busy time-out or not.
        let lock = lock_beside(path.to_owned()).await?;
        let db = Database::connect(options(path)).await?;
        let schema = Schema::new(DbBackend::Sqlite);
        make(&db, &schema, recovery_point::Entity).await?;
        make(&db, &schema, recovery_point_volume::Entity).await?;
        make(&db, &schema, promotion::Entity).await?;
        drop(lock);
        Ok(Self { db })
    }

    /// Sees that it answers.
    pub(crate) async fn ping(&self) -> Result<(), DbErr> {
        self.db.ping().await
    }
}

fn options(path: &Path) -> ConnectOptions {
    let path = path.to_owned();
    let mut options = ConnectOptions::new("sqlite://catalogue");
    options
        .max_connections(4)
        .acquire_timeout(ACQUIRE)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .filename(&path)
                .create_if_missing(true)
                .busy_timeout(BUSY)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
        })
        .map_sqlx_sqlite_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    // What was dropped is rolled back by the first call that follows. A transaction that SQLite ended by
                    // itself, on a full disk, counts as open for ever: such a connection is closed.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
        });
    options
}

async fn lock_beside(path: std::path::PathBuf) -> Result<File, DbErr> {
    let lock = tokio::task::spawn_blocking(move || -> io::Result<File> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut name = path.into_os_string();
        name.push(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(name)?;
        file.lock()?;
        Ok(file)
    });
    match lock.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(DbErr::Custom(error.to_string())),
        Err(error) => Err(DbErr::Custom(error.to_string())),
    }
}

async fn make<E: EntityTrait>(
    db: &DatabaseConnection,
    schema: &Schema,
    entity: E,
) -> Result<(), DbErr> {
    db.execute(schema.create_table_from_entity(entity).if_not_exists())
        .await?;
    let indexes: Vec<IndexCreateStatement> = schema.create_index_from_entity(entity);
    for mut index in indexes {
        db.execute(index.if_not_exists()).await?;
    }
    Ok(())
}

pub(crate) mod entity;
pub(crate) mod points;
pub(crate) mod promotions;
