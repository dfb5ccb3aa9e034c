//! What ails a database that refuses a statement which is right: its disk is full, it is read-only, it is worn out.
//!
//! All of it passes when somebody sees to it, and nothing that is stored is wrong: who walks an operation goes on with it.

use std::fmt;

use sea_orm::{sqlx, sqlx::error::DatabaseError};

/// What ails a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFailure {
    /// There is no room for what is to be written.
    DiskFull,
    /// It may be read and not written.
    ReadOnly,
    /// Its files cannot be opened, read or written.
    InputOutput,
    /// It has no memory, thread or connection to spare.
    OutOfResources,
    /// It broke the statement or the connection off: too slow, killed, shutting down.
    BrokenOff,
    /// It does not let protector's account do this.
    Forbidden,
    /// Its files are not what they should be.
    Damaged,
}

impl fmt::Display for DatabaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "the disk of the database is full",
            Self::ReadOnly => "the database is read-only",
            Self::InputOutput => "the database cannot open, read or write its files",
            Self::OutOfResources => "the database has no memory, thread or connection to spare",
            Self::BrokenOff => "the database broke the statement off",
            Self::Forbidden => "the database refuses this to protector's account",
            Self::Damaged => "the files of the database are damaged",
        })
    }
}

/// What a refusal is about, if it is not about the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// Another writer has the lock or won: the same transaction may succeed a moment later.
    Busy,
    /// The database itself fails.
    Failing(DatabaseFailure),
}

impl Ailment {
    /// Reads it from the code of `refusal`; `None` for a statement that the database refuses for what it says.
    pub(crate) fn of(refusal: &dyn DatabaseError) -> Option<Self> {
        if let Some(mysql) = refusal.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return of_mysql(mysql.number());
        }
        let code = refusal.code().unwrap_or_default();
        if refusal
            .try_downcast_ref::<sqlx::sqlite::SqliteError>()
            .is_some()
        {
            return of_sqlite(code.parse().unwrap_or_default());
        }
        // PostgreSQL: serialization failure, deadlock.
        matches!(code.as_ref(), "40001" | "40P01").then_some(Self::Busy)
    }
}

/// By SQLite's result codes (<https://www.sqlite.org/rescode.html>).
fn of_sqlite(code: i32) -> Option<Ailment> {
    use DatabaseFailure::{
        BrokenOff, Damaged, DiskFull, Forbidden, InputOutput, OutOfResources, ReadOnly,
    };
    // The low byte is the primary code, the rest says which kind of it.
    let failure = match code & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL (no lock after many tries).
        5 | 6 | 15 => return Some(Ailment::Busy),
        // SQLITE_FULL.
        13 => DiskFull,
        // SQLITE_READONLY.
        8 => ReadOnly,
        // SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_NOLFS.
        10 | 14 | 22 => InputOutput,
        // SQLITE_NOMEM.
        7 => OutOfResources,
        // SQLITE_ABORT, SQLITE_INTERRUPT.
        4 | 9 => BrokenOff,
        // SQLITE_PERM, SQLITE_AUTH.
        3 | 23 => Forbidden,
        // SQLITE_CORRUPT, SQLITE_NOTADB.
        11 | 26 => Damaged,
        _ => return None,
    };
    Some(Ailment::Failing(failure))
}

/// By the error numbers of MySQL and MariaDB.
fn of_mysql(number: u16) -> Option<Ailment> {
    use DatabaseFailure::{
        BrokenOff, Damaged, DiskFull, Forbidden, InputOutput, OutOfResources, ReadOnly,
    };
    let failure = match number {
        // Deadlock; lock wait time-out; record changed since last read; Galera: node not ready.
        1213 | 1205 | 1020 | 1047 => return Some(Ailment::Busy),
        // Disk full; table full.
        1021 | 1114 => DiskFull,
        // Read-only by an option, by a transaction, by InnoDB.
        1290 | 1792 | 1836 => ReadOnly,
        // File not found, not readable, not writable, not to be opened, closed, read or written; an error of the engine
        // that keeps the table; an error at the commit.
        29 | 1004..=1006 | 1015..=1017 | 1023 | 1024 | 1026 | 1030 | 1180 => InputOutput,
        // No memory, connections, threads or sort space.
        1037 | 1038 | 1040 | 1041 | 1135 | 1203 | 1226 => OutOfResources,
        // Shutting down; the network between; interrupted; killed; too slow; a replica that may not answer.
        1053 | 1152 | 1158..=1161 | 1184 | 1317 | 1927 | 1969 | 3024 | 3100 | 3168 | 4031 => {
            BrokenOff
        }
        // No access to the database, the host, the table, the column, or only with more privileges.
        1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1698 => Forbidden,
        // Index or table corrupt, crashed.
        1034 | 1035 | 1194 | 1195 | 1712 | 1877 => Damaged,
        _ => return None,
    };
    Some(Ailment::Failing(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(failure: DatabaseFailure) -> Option<Ailment> {
        Some(Ailment::Failing(failure))
    }

    #[test]
    fn every_kind_of_sqlite_code_is_named_as_what_it_is() {
        // SQLITE_BUSY_SNAPSHOT, SQLITE_LOCKED_SHAREDCACHE.
        for code in [5, 5 | 2 << 8, 6 | 1 << 8] {
            assert_eq!(of_sqlite(code), Some(Ailment::Busy), "{code}");
        }
        for (code, failure) in [
            (13, DatabaseFailure::DiskFull),
            // SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC, SQLITE_CANTOPEN.
            (10 | 3 << 8, DatabaseFailure::InputOutput),
            (10 | 4 << 8, DatabaseFailure::InputOutput),
            (14, DatabaseFailure::InputOutput),
            // SQLITE_READONLY_DBMOVED.
            (8 | 4 << 8, DatabaseFailure::ReadOnly),
            (7, DatabaseFailure::OutOfResources),
            (9, DatabaseFailure::BrokenOff),
            (11, DatabaseFailure::Damaged),
        ] {
            assert_eq!(of_sqlite(code), failing(failure), "{code}");
        }
        // SQLITE_ERROR, SQLITE_CONSTRAINT_UNIQUE, SQLITE_MISMATCH: the statement.
        for code in [1, 19 | 8 << 8, 20] {
            assert_eq!(of_sqlite(code), None, "{code}");
        }
    }

    #[test]
    fn every_kind_of_mariadb_error_is_named_as_what_it_is() {
        for number in [1213, 1205, 1020, 1047] {
            assert_eq!(of_mysql(number), Some(Ailment::Busy), "{number}");
        }
        for (numbers, failure) in [
            (&[1021, 1114][..], DatabaseFailure::DiskFull),
            (&[1290, 1792, 1836], DatabaseFailure::ReadOnly),
            (&[1026, 1030, 1180], DatabaseFailure::InputOutput),
            (&[1040, 1041, 1203], DatabaseFailure::OutOfResources),
            (&[1053, 1317, 1927, 1969, 3024], DatabaseFailure::BrokenOff),
            (&[1045, 1142], DatabaseFailure::Forbidden),
        ] {
            for number in numbers {
                assert_eq!(of_mysql(*number), failing(failure), "{number}");
            }
        }
        // Duplicate entry, no such column, syntax: the statement.
        for number in [1062, 1054, 1064] {
            assert_eq!(of_mysql(number), None, "{number}");
        }
    }
}
