//! How long one who reads may take. Whoever asks for much, or for what no index tells, gets an error instead of a connection
//! for as long as it takes, which others wait for.

use std::time::{Duration, Instant};

use sea_orm::sqlx::{
    self, AssertSqlSafe, Executor as _, MySql, Sqlite, SqliteConnection, mysql::MySqlConnection,
    pool::PoolOptions,
};

/// How many of SQLite's instructions lie between two looks at the clock: some tenths of a millisecond.
const INSTRUCTIONS: i32 = 10_000;
/// The number of MySQL's error for a variable that it does not have.
const UNKNOWN_VARIABLE: u16 = 1193;

/// SQLite breaks off what is under way on a connection that was taken `longest` ago.
pub(crate) fn on_sqlite(pool: PoolOptions<Sqlite>, longest: Duration) -> PoolOptions<Sqlite> {
    pool.after_connect(move |connection, _| Box::pin(ends_after(connection, longest)))
        .before_acquire(move |connection, _| {
            Box::pin(async move {
                ends_after(connection, longest).await?;
                Ok(true)
            })
        })
}

async fn ends_after(
    connection: &mut SqliteConnection,
    longest: Duration,
) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(INSTRUCTIONS, move || begun.elapsed() < longest);
    Ok(())
}

/// The server breaks off a statement that takes longer than `longest`.
pub(crate) fn on_mysql(pool: PoolOptions<MySql>, longest: Duration) -> PoolOptions<MySql> {
    pool.after_connect(move |connection, _| Box::pin(limited(connection, longest)))
}

async fn limited(connection: &mut MySqlConnection, longest: Duration) -> Result<(), sqlx::Error> {
    // MariaDB's, in seconds.
    let mariadb = format!("SET SESSION max_statement_time = {}", longest.as_secs_f64());
    match connection.execute(AssertSqlSafe(mariadb)).await {
        Err(sqlx::Error::Database(refusal)) if is_unknown_variable(&*refusal) => {
            // MySQL's, in milliseconds.
            let mysql = format!("SET SESSION max_execution_time = {}", longest.as_millis());
            connection.execute(AssertSqlSafe(mysql)).await?;
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

fn is_unknown_variable(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    refusal
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .is_some_and(|refusal| refusal.number() == UNKNOWN_VARIABLE)
}

#[cfg(test)]
mod tests {
    use protector_core::{id::EngineId, journal::Journal as _};
    use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
    use secrecy::SecretString;

    use super::*;
    use crate::{Database, DatabaseFailure, EngineRow, PoolOptions, StoreError};

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    struct Bed {
        database: Database,
        /// A query that does not end by itself, or not in time.
        endless: &'static str,
        readers: usize,
        _dir: tempfile::TempDir,
    }

    async fn bed(query_timeout: Duration) -> Bed {
        let pool = PoolOptions {
            max_connections: 4,
            query_timeout,
            ..PoolOptions::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("protector.sqlite");
        let sqlite = format!("sqlite://{}", file.display());
        let mysql = std::env::var("PROTECTOR_TEST_MYSQL_URL").ok();
        let is_mysql = mysql.is_some();
        let url = SecretString::from(mysql.map_or(sqlite, |server| {
            format!("{}/mysql", server.trim_end_matches('/'))
        }));
        let database = Database::connect(&url, pool).await.unwrap();
        if !is_mysql {
            database.migrate().await.unwrap();
        }
        Bed {
            database,
            endless: match is_mysql {
                true => {
                    "SELECT COUNT(*) FROM information_schema.collations a, information_schema.collations b,
                        information_schema.collations c, information_schema.collations d, information_schema.collations e"
                },
                false => {
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
                }
            },
            readers: if is_mysql { 2 } else { 4 },
            _dir: dir,
        }
    }

    fn heart() -> EngineRow {
        EngineRow {
            id: EngineId::new("engine-1"),
            host: "host".to_owned(),
            version: "1".to_owned(),
            book_version: 1,
            started_at: chrono::DateTime::UNIX_EPOCH,
            seen_at: chrono::DateTime::UNIX_EPOCH,
            stopping: false,
        }
    }

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_broken_off_and_the_next_one_is_not() {
        let bed = bed(Duration::from_millis(200)).await;
        for _ in 0..bed.readers + 1 {
            let pool = bed.database.pool();
            let endless = tokio::time::timeout(LONG, pool.execute_unprepared(bed.endless));
            let refused = endless.await.expect("it goes on").unwrap_err();
            let refused = StoreError::from(refused);
            let StoreError::Failing { failure, .. } = &refused else {
                panic!("{refused}");
            };
            assert_eq!(*failure, DatabaseFailure::BrokenOff);
            pool.execute_unprepared("SELECT 1").await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_reads_keeps_neither_the_journal_nor_health_nor_a_heartbeat_waiting() {
        let bed = bed(LONG).await;
        let database = &bed.database;
        let mut reading = Vec::new();
        for _ in 0..bed.readers {
            reading.push(database.pool().begin().await.unwrap());
        }
        let next = tokio::time::timeout(Duration::from_millis(200), database.pool().begin());
        assert!(next.await.is_err(), "all of them are taken");
        let kept = async {
            database.now().await.unwrap();
            // The database of MariaDB's own has no tables of protector.
            if bed.readers == 4 {
                database.check_writable().await.unwrap();
                database.engine_heartbeat(&heart()).await.unwrap();
                assert_eq!(database.queued_now(1).await.unwrap(), []);
            }
        };
        let kept = tokio::time::timeout(Duration::from_secs(10), kept).await;
        kept.expect("it waits for who reads");
        drop(reading);
    }
}
