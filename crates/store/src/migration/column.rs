//! Columns and tables that mean the same on every database.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

/// Room for a UUID, `op-` and a UUID, or an id that another service made.
const ID: u32 = 64;
/// Room for a name or a word. OpenStack's names are at most this long.
const NAME: u32 = 255;

/// An id that is always there.
pub(super) fn id(name: &'static str) -> ColumnDef {
    text_of(name, ID).not_null().take()
}

/// An id that may be missing.
pub(super) fn id_or_null(name: &'static str) -> ColumnDef {
    text_of(name, ID)
}

/// A name or a word that is always there.
pub(super) fn name(name: &'static str) -> ColumnDef {
    text_of(name, NAME).not_null().take()
}

/// A name that may be missing.
pub(super) fn name_or_null(name: &'static str) -> ColumnDef {
    text_of(name, NAME)
}

fn text_of(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).take()
}

/// Text of any length that may be missing.
pub(super) fn text_or_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().take()
}

/// Text of any length.
pub(super) fn text(name: &'static str) -> ColumnDef {
    text_or_null(name).not_null().take()
}

pub(super) fn json(name: &'static str) -> ColumnDef {
    json_or_null(name).not_null().take()
}

/// Nested data that may be missing.
pub(super) fn json_or_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).json().take()
}

/// A number of 32 bits.
pub(super) fn small(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().take()
}

/// A number of 64 bits.
pub(super) fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// A counter of 64 bits that begins at 0.
pub(super) fn counter(name: &'static str) -> ColumnDef {
    big(name).default(0).take()
}

/// A time that may be missing, to the microsecond. sea-query knows no fractional seconds for MySQL, and SQLite has no
/// times: RFC 3339 text in UTC sorts as the times do.
pub(super) fn time_or_null(backend: DatabaseBackend, name: &'static str) -> ColumnDef {
    let column_type = match backend {
        DatabaseBackend::MySql => "datetime(6)",
        DatabaseBackend::Postgres => "timestamptz(6)",
        _ => "text",
    };
    ColumnDef::new(name).custom(column_type).take()
}

/// A time, to the microsecond.
pub(super) fn time(backend: DatabaseBackend, name: &'static str) -> ColumnDef {
    time_or_null(backend, name).not_null().take()
}

/// A table whose text is compared byte by byte, as SQLite does: ids and names that differ in case are different.
pub(super) fn table(
    backend: DatabaseBackend,
    name: &'static str,
    columns: Vec<ColumnDef>,
) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    for column in columns {
        table.col(column);
    }
    if backend == DatabaseBackend::MySql {
        table
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate("utf8mb4_bin");
    }
    table.take()
}

/// Rows of `table` that go with the row of `parent` that they name.
pub(super) fn belongs_to(
    table: &'static str,
    column: &'static str,
    parent: &'static str,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("fk_{table}_{column}"))
        .from(table, column)
        .to(parent, "id")
        .on_delete(ForeignKeyAction::Cascade)
        .take()
}

/// A key made of `columns`.
pub(super) fn primary_key(columns: &[&'static str]) -> IndexCreateStatement {
    let mut key = Index::create();
    for column in columns {
        key.col(*column);
    }
    key.primary().take()
}

/// An index over `columns`.
pub(super) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index.take()
}

/// An index over `columns` that refuses equal rows.
pub(super) fn unique(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    index(name, table, columns).unique().take()
}
