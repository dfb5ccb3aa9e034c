//! The database's clock, which all that share the database share.
//!
//! SQLite's is that of the machine, on which all its users run. The nodes of a MariaDB cluster have one each: they need NTP.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use crate::error::StoreError;

/// Now by the database's clock, in microseconds. SQLite tells milliseconds.
pub(crate) async fn now(db: &impl ConnectionTrait) -> Result<DateTime<Utc>, StoreError> {
    let backend = db.get_database_backend();
    let micros = match backend {
        DatabaseBackend::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000",
        _ => "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))",
    };
    let question = Statement::from_string(backend, format!("SELECT {micros} AS now"));
    let unreadable = || StoreError::Unreadable("the database does not tell the time".to_owned());
    let row = db.query_one_raw(question).await?.ok_or_else(unreadable)?;
    let micros: i64 = row.try_get("", "now")?;
    DateTime::from_timestamp_micros(micros).ok_or_else(unreadable)
}
