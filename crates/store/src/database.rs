//! The connection, the transactions, and the one place where a transaction that lost against another is run again.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use sea_orm::{
    ConnectOptions, DatabaseBackend, DatabaseConnection, DatabaseTransaction, IsolationLevel,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::{
        ConnectOptions as _,
        mysql::MySqlConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use crate::{
    error::StoreError,
    secrets::{KeyRepository, SecretError},
};

/// How often a transaction is run before its being in another's way is reported.
const TRIES: u32 = 8;
/// The pause before the second run; doubled for each one after.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// How many connections, and how patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// At most this many connections (`[database] max_pool_size`).
    pub max_connections: u32,
    /// How long a statement may wait for a connection (`[database] pool_timeout`).
    pub acquire_timeout: Duration,
    /// How long SQLite waits for another process's write.
    pub busy_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_connections: 5,
            acquire_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(10),
        }
    }
}

/// A connected database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: DatabaseConnection,
    /// SQLite has one writer; the others of this process wait here, in order, rather than in SQLite's busy loop.
    gate: Option<Arc<Mutex<()>>>,
    keys: Option<Arc<KeyRepository>>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("backend", &self.pool.get_database_backend())
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

    /// Waits until all connections are closed. For a graceful stop.
    ///
    /// # Errors
    ///
    /// What the database says while it closes.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.pool.close_by_ref().await.map_err(StoreError::from)
    }

    /// Sees that the database answers. For health checks.
    ///
    /// # Errors
    ///
    /// `Unavailable` when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.pool.ping().await.map_err(StoreError::from)
    }

    async fn connect_sqlite(url: &str, pool: PoolOptions) -> Result<Self, StoreError> {
        let url = sqlx_sqlite_url(url);
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let sqlite = SqliteConnectOptions::from_str(&url)
            .map_err(|error| StoreError::BadConnection(error.to_string()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(pool.busy_timeout)
            .foreign_keys(true)
            .disable_statement_logging();
        let mut options = connect_options("sqlite::memory:", pool);
        if in_memory {
            // Each connection would be a database of its own, and gone when the pool drops it.
            options
                .max_connections(1)
                .min_connections(1)
                .idle_timeout(None::<Duration>)
                .max_lifetime(None::<Duration>);
        }
        options.map_sqlx_sqlite_opts(move |_| sqlite.clone());
        Self::open(options, Some(Arc::default())).await
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
        let mut options = connect_options("mysql://localhost", pool);
        options.map_sqlx_mysql_opts(move |_| mysql.clone());
        Self::open(options, None).await
    }

    async fn open(
        options: ConnectOptions,
        gate: Option<Arc<Mutex<()>>>,
    ) -> Result<Self, StoreError> {
        let pool = sea_orm::Database::connect(options).await?;
        Ok(Self {
            pool,
            gate,
            keys: None,
        })
    }

    /// The pool, for single statements that read.
    pub(crate) fn pool(&self) -> &DatabaseConnection {
        &self.pool
    }

    pub(crate) fn keys(&self) -> Result<&KeyRepository, SecretError> {
        self.keys.as_deref().ok_or(SecretError::NoRepository)
    }

    /// Runs `work` in one read transaction, so that several statements see one state.
    pub(crate) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let tx = self.pool.begin().await?;
        let result = work(&tx).await;
        tx.rollback().await?;
        result
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
                    tracing::debug!(%rollback, "rollback failed; the connection is dropped");
                }
                Err(error)
            }
        }
    }

    async fn begin_write(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = match self.pool.get_database_backend() {
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
        Ok(self.pool.begin_with_options(options).await?)
    }
}

/// The URL given to the layer below is a stand-in: the real one holds a password and would be traced.
fn connect_options(stand_in: &str, pool: PoolOptions) -> ConnectOptions {
    let mut options = ConnectOptions::new(stand_in);
    options
        .max_connections(pool.max_connections.max(1))
        .acquire_timeout(pool.acquire_timeout)
        .record_stmt_in_spans(false);
    options
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
