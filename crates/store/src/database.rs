//! The connection, the transactions, and the one place where a transaction that lost against another is run again.

use std::{fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sea_orm::{
    ConnectOptions, DatabaseBackend, DatabaseConnection, DatabaseTransaction, IsolationLevel,
    SqliteTransactionMode, TransactionOptions, TransactionTrait, sqlx,
    sqlx::{
        ConnectOptions as _, Connection as _,
        mysql::MySqlConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    deadline,
    error::StoreError,
    quotas::{CopyQuota, Quotas},
    secrets::{KeyRepository, SecretError},
};

/// How often a transaction is run before its being in another's way is reported.
const TRIES: u32 = 8;
/// The pause before the second run; doubled for each one after.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// SQLite's connections that are kept: one that writes, and one beside it on which the journal reads.
const KEPT_ON_SQLITE: u32 = 2;

/// How many connections, and how patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// At most this many connections (`[database] max_pool_size`). Half of them are kept for who writes, for the engine's
    /// journal and for health. SQLite's are for reading, and two more are kept.
    pub max_connections: u32,
    /// How long a statement of one who reads may take (`[database] query_timeout_seconds`).
    pub query_timeout: Duration,
    /// How long a statement may wait for a connection (`[database] pool_timeout`).
    pub acquire_timeout: Duration,
    /// How long SQLite waits for another process's write.
    pub busy_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_connections: 5,
            query_timeout: Duration::from_secs(10),
            acquire_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(10),
        }
    }
}

/// A connected database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    /// For who reads: a statement ends at its deadline.
    readers: DatabaseConnection,
    /// For what must not wait for who reads: all writes, the engine's journal, health.
    kept: DatabaseConnection,
    /// SQLite has one writer; the others of this process wait here, in order, rather than in SQLite's busy loop.
    gate: Option<Arc<Mutex<()>>>,
    last_write: Arc<LastWrite>,
    keys: Option<Arc<KeyRepository>>,
    copy_quota: CopyQuota,
    quotas: Quotas,
}

/// Makes the file of a new database so that nobody but its owner and group can read it, whatever the umask: SQLite makes one
/// that everybody can, and gives its log and its journal the mode of the file. One that is there stays as it is. What goes
/// wrong here goes wrong again when the database is opened, and is told then.
async fn made_private(path: &Path) {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o640);
    if let Err(error) = options.open(path).await {
        tracing::debug!(path = %path.display(), %error, "the database's file is not made here");
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("backend", &self.kept.get_database_backend())
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Connects to `url`: `sqlite:///var/lib/protector/protector.sqlite`, `sqlite::memory:`, or
    /// `mysql://user:password@host/protector` (also written `mysql+pymysql://`, as other services have it).
    ///
    /// A missing SQLite file is made. The schema is not touched: see [`Database::migrate`].
    ///
    /// # Errors
    ///
    /// `BadConnection` for a URL that cannot be used (without repeating it: it holds a password), `Unavailable` when
    /// the database does not answer.
    pub async fn connect(url: &SecretString, pool: PoolOptions) -> Result<Self, StoreError> {
        let url = url.expose_secret();
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme.split_once('+').map_or(scheme, |(base, _)| base) {
            "sqlite" => Self::connect_sqlite(url, pool).await,
            "mysql" | "mariadb" => Self::connect_mysql(url, pool).await,
            _ => Err(StoreError::BadConnection(
                "it must begin with sqlite:// or mysql://".to_owned(),
            )),
        }
    }

    /// The same database, able to encrypt and to read secrets with the keys in `keys`.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyRepository) -> Self {
        self.keys = Some(Arc::new(keys));
        self
    }

    /// The same database, which keeps so much of what other sites send; without this, all.
    #[must_use]
    pub fn with_copy_quota(mut self, copy_quota: CopyQuota) -> Self {
        self.copy_quota = copy_quota;
        self
    }

    pub(crate) fn copy_quota(&self) -> CopyQuota {
        self.copy_quota
    }

    /// The same database, which takes no more of a project than `quotas` say.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.quotas
    }

    /// Waits until all connections are closed. For a graceful stop.
    ///
    /// # Errors
    ///
    /// What the database says while it closes.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close_by_ref().await?;
        self.kept.close_by_ref().await.map_err(StoreError::from)
    }

    async fn connect_sqlite(url: &str, pool: PoolOptions) -> Result<Self, StoreError> {
        let url = sqlx_sqlite_url(url);
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let sqlite = SqliteConnectOptions::from_str(&url)
            .map_err(|error| StoreError::BadConnection(error.to_string()))?;
        if !in_memory {
            made_private(sqlite.get_filename()).await;
        }
        let sqlite = sqlite
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(pool.busy_timeout)
            .foreign_keys(true)
            .disable_statement_logging();
        let options = |connections| {
            let sqlite = sqlite.clone();
            let mut options = connect_options("sqlite::memory:", pool, connections);
            options.map_sqlx_sqlite_opts(move |_| sqlite.clone());
            options
        };
        if in_memory {
            return Self::in_memory(options(1)).await;
        }
        let mut kept = options(KEPT_ON_SQLITE.min(pool.max_connections));
        kept.map_sqlx_sqlite_pool_opts(only_ended);
        let mut readers = options(pool.max_connections);
        readers.map_sqlx_sqlite_pool_opts(move |sqlx| {
            deadline::on_sqlite(only_ended(sqlx), pool.query_timeout)
        });
        Self::open(kept, readers, Some(Arc::default())).await
    }

    /// Each connection would be a database of its own, and gone when the pool drops it: there is one, for everything.
    async fn in_memory(mut only: ConnectOptions) -> Result<Self, StoreError> {
        only.min_connections(1)
            .idle_timeout(None::<Duration>)
            .max_lifetime(None::<Duration>);
        let only = sea_orm::Database::connect(only).await?;
        Ok(Self::of(only.clone(), only, Some(Arc::default())))
    }

    async fn connect_mysql(url: &str, pool: PoolOptions) -> Result<Self, StoreError> {
        let rest = url.split_once(':').map_or("", |(_, rest)| rest);
        let mysql = MySqlConnectOptions::from_str(&format!("mysql:{rest}"))
            .map_err(|_| {
                StoreError::BadConnection(
                    "it must look like mysql://user:password@host/database".to_owned(),
                )
            })?
            .charset("utf8mb4")
            .disable_statement_logging();
        let options = |connections| {
            let mysql = mysql.clone();
            let mut options = connect_options("mysql://localhost", pool, connections);
            options.map_sqlx_mysql_opts(move |_| mysql.clone());
            options
        };
        let kept_connections = pool.max_connections.div_ceil(2);
        let mut kept = options(kept_connections);
        kept.map_sqlx_mysql_pool_opts(only_ended);
        let mut readers = options(pool.max_connections.saturating_sub(kept_connections));
        readers.map_sqlx_mysql_pool_opts(move |sqlx| {
            deadline::on_mysql(only_ended(sqlx), pool.query_timeout)
        });
        Self::open(kept, readers, None).await
    }

    async fn open(
        kept: ConnectOptions,
        readers: ConnectOptions,
        gate: Option<Arc<Mutex<()>>>,
    ) -> Result<Self, StoreError> {
        let kept = sea_orm::Database::connect(kept).await?;
        let readers = sea_orm::Database::connect(readers).await?;
        Ok(Self::of(kept, readers, gate))
    }

    fn of(
        kept: DatabaseConnection,
        readers: DatabaseConnection,
        gate: Option<Arc<Mutex<()>>>,
    ) -> Self {
        Self {
            readers,
            kept,
            gate,
            last_write: Arc::default(),
            keys: None,
            copy_quota: CopyQuota::default(),
            quotas: Quotas::default(),
        }
    }

    /// The pool for single statements of who reads.
    pub(crate) fn pool(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// The pool for single statements that must not wait for who reads: of the engine's journal, and of migrations.
    pub(crate) fn kept_pool(&self) -> &DatabaseConnection {
        &self.kept
    }

    /// The same database, whose statements `told` is told of.
    #[cfg(test)]
    pub(crate) fn watched(
        mut self,
        told: impl Fn(&sea_orm::metric::Info<'_>) + Clone + Send + Sync + 'static,
    ) -> Self {
        self.readers.set_metric_callback(told.clone());
        self.kept.set_metric_callback(told);
        self
    }

    pub(crate) fn last_write(&self) -> &LastWrite {
        &self.last_write
    }

    pub(crate) fn keys(&self) -> Result<&KeyRepository, SecretError> {
        self.keys.as_deref().ok_or(SecretError::NoRepository)
    }

    /// Runs `work` in one read transaction, so that several statements see one state.
    pub(crate) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read_from(&self.readers, work).await
    }

    /// The same for what must not wait for who reads: the engine's journal.
    pub(crate) async fn read_kept<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        read_from(&self.kept, work).await
    }

    /// Runs `work` in one write transaction; again, after a pause, while another writer is in its way.
    pub(crate) async fn write<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError> + Clone,
    ) -> Result<T, StoreError> {
        let mut tried = 1;
        loop {
            match self.write_once(work.clone()).await {
                Err(StoreError::Busy(why)) if tried < TRIES => {
                    tracing::debug!(tried, why, "transaction is run again");
                    tokio::time::sleep(pause_after(tried)).await;
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn write_once<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _turn = match &self.gate {
            Some(gate) => Some(gate.lock().await),
            None => None,
        };
        let tx = self.begin_write().await?;
        match work(&tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                if let Err(rollback) = tx.rollback().await {
                    tracing::debug!(%rollback, "rollback failed; the connection is closed");
                }
                Err(error)
            }
        }
    }

    async fn begin_write(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = match self.kept.get_database_backend() {
            // A deferred transaction that reads first cannot become a writer when another one was faster.
            DatabaseBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            },
            // Rows are locked by the first UPDATE; what is read after it must be what others committed before it.
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::ReadCommitted),
                ..TransactionOptions::default()
            },
        };
        Ok(self.kept.begin_with_options(options).await?)
    }
}

async fn read_from<T>(
    pool: &DatabaseConnection,
    work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let tx = pool.begin().await?;
    let result = work(&tx).await;
    let ended = tx.rollback().await;
    // What was broken off says why, and not that its transaction had ended with it.
    let value = result?;
    ended?;
    Ok(value)
}

/// The URL given to the layer below is a stand-in: the real one holds a password and would be traced.
fn connect_options(stand_in: &str, pool: PoolOptions, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(stand_in);
    options
        .max_connections(connections.max(1))
        .acquire_timeout(pool.acquire_timeout)
        .record_stmt_in_spans(false);
    options
}

/// Closes a connection whose transaction has not ended, instead of giving it to the next one.
///
/// When its disk is full, or reading or writing fails, SQLite ends the transaction by itself. The driver's rollback then
/// fails, and it goes on counting that transaction as open: the next one would be a savepoint within nothing, whose rollback
/// keeps the lock, so that nobody else could write until this process ends.
fn only_ended<DB: sqlx::Database>(
    pool: sqlx::pool::PoolOptions<DB>,
) -> sqlx::pool::PoolOptions<DB> {
    pool.after_release(|connection, _| {
        Box::pin(async move {
            // What was dropped is rolled back by the first call that follows.
            connection.ping().await?;
            let ended = !connection.is_in_transaction();
            if !ended {
                tracing::warn!("a transaction could not be ended: its connection is closed");
            }
            Ok(ended)
        })
    })
}

/// SQLAlchemy writes `sqlite:////absolute` and `sqlite:///relative`; sqlx takes what follows `sqlite://` as the path.
fn sqlx_sqlite_url(url: &str) -> String {
    match url.strip_prefix("sqlite:////") {
        Some(absolute) => format!("sqlite:///{absolute}"),
        None => url.to_owned(),
    }
}

fn pause_after(tried: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << tried.min(7));
    // Two writers that met once must not meet again.
    let dice = StdRng::from_os_rng().random_range(0.5..1.0);
    longest.mul_f64(dice)
}

/// When a write last got through.
pub(crate) type LastWrite = Mutex<Option<Instant>>;

#[cfg(test)]
mod tests {
    use protector_core::{id::EngineId, journal::JournalError};
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::{EngineRow, Noun};

    #[tokio::test]
    async fn a_new_database_is_not_for_everybody_and_an_old_one_stays_as_it_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let url = |name: &str| {
            SecretString::from(format!("sqlite://{}", dir.path().join(name).display()))
        };
        let database = Database::connect(&url("new.sqlite"), PoolOptions::default())
            .await
            .unwrap();
        database
            .kept_pool()
            .execute_unprepared("CREATE TABLE t (a INTEGER)")
            .await
            .unwrap();
        for name in ["new.sqlite", "new.sqlite-wal", "new.sqlite-shm"] {
            let mode = std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o027, 0, "{name} {mode:o}");
        }
        let old = dir.path().join("old.sqlite");
        std::fs::write(&old, "").unwrap();
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o664)).unwrap();
        Database::connect(&url("old.sqlite"), PoolOptions::default())
            .await
            .unwrap();
        let mode = std::fs::metadata(&old).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o664, "{mode:o}");
    }

    /// A database of two processes that share its file: the first has one connection.
    struct Shared {
        one: Database,
        other: Database,
        _dir: tempfile::TempDir,
    }

    async fn shared() -> Shared {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("protector.sqlite");
        let url = SecretString::from(format!("sqlite://{}", file.display()));
        let pool = PoolOptions {
            max_connections: 1,
            busy_timeout: Duration::from_millis(50),
            ..PoolOptions::default()
        };
        let one = Database::connect(&url, pool).await.unwrap();
        one.migrate().await.unwrap();
        Shared {
            one,
            other: Database::connect(&url, pool).await.unwrap(),
            _dir: dir,
        }
    }

    impl Shared {
        /// From now on the file cannot grow, as on a disk that is full.
        async fn fill(&self) {
            let no_more = "PRAGMA max_page_count = 1";
            self.one.kept.execute_unprepared(no_more).await.unwrap();
        }

        async fn free(&self) {
            let room = "PRAGMA max_page_count = 1000000";
            self.one.kept.execute_unprepared(room).await.unwrap();
        }
    }

    /// A row that needs pages of its own.
    fn large(id: &str) -> EngineRow {
        let now = chrono::DateTime::UNIX_EPOCH;
        EngineRow {
            id: EngineId::new(id),
            host: "h".repeat(200_000),
            version: "1".to_owned(),
            book_version: 1,
            started_at: now,
            seen_at: now,
            stopping: false,
        }
    }

    async fn refused(database: &Database) -> StoreError {
        let refusal = StoreError::not_found(Noun::Group, "g");
        let answer: Result<(), StoreError> = database
            .write(async |tx| {
                tx.execute_unprepared("UPDATE engines SET stopping = 1")
                    .await?;
                Err(refusal.clone())
            })
            .await;
        answer.unwrap_err()
    }

    #[tokio::test]
    async fn a_full_disk_passes_and_leaves_no_lock_behind() {
        let shared = shared().await;
        for _ in 0..2 {
            shared.fill().await;
            let full = shared.one.engine_heartbeat(&large("e-1")).await;
            let full = full.unwrap_err();
            let words = full.to_string();
            assert!(
                words.starts_with("the disk of the database is full"),
                "{words}"
            );
            let journal = JournalError::from(full);
            assert!(matches!(journal, JournalError::Unavailable(_)), "{journal}");
        }
        shared.free().await;

        assert_eq!(
            refused(&shared.one).await,
            StoreError::not_found(Noun::Group, "g")
        );
        shared.other.engine_heartbeat(&large("e-2")).await.unwrap();
        shared.one.engine_heartbeat(&large("e-1")).await.unwrap();
        let seen = shared.other.engine_list().await.unwrap();
        assert_eq!(seen.len(), 2);
    }

    #[tokio::test]
    async fn a_database_that_answers_and_takes_no_write_is_not_well() {
        let shared = shared().await;
        let may_write = async |no: u8| {
            let sql = format!("PRAGMA query_only = {no}");
            shared.one.kept.execute_unprepared(&sql).await.unwrap();
        };
        may_write(1).await;
        for _ in 0..2 {
            let refused = shared.one.check_writable().await.unwrap_err();
            let words = refused.to_string();
            assert!(words.starts_with("the database is read-only"), "{words}");
        }
        may_write(0).await;
        shared.one.check_writable().await.unwrap();
        may_write(1).await;
        let proven = shared.one.check_writable().await;
        assert_eq!(proven, Ok(()), "health checks that come often wear nothing");
    }
}
