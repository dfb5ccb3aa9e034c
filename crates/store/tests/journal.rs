//! The database's journal is held to the suite that every journal is held to, on SQLite and, where
//! `PROTECTOR_TEST_MYSQL_URL` names a server on which databases may be made, on MariaDB.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

mod sqlite {
    protector_core::journal_conformance!(crate::bed::sqlite);
}

mod mysql {
    // Without a server there is nothing to hold: the SQLite bed stands in, so that no test is silently empty.
    protector_core::journal_conformance!(crate::bed::mysql_or_sqlite);
}
