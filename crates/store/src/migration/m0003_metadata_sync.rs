//! What two sites know of each other's metadata: the last state that both held, a conflict, groups that were deleted, and
//! copies of the operations that the other site runs.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

use super::column::{
    belongs_to, big, counter, id, id_or_null, index, json, json_or_null, name, name_or_null,
    primary_key, small, table, text_or_null, time, time_or_null,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_metadata_sync"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        // One column a statement: SQLite takes no more.
        for (table, column) in columns(backend) {
            let add = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(add).await?;
        }
        for table in tables(backend) {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // The other site has none of the operations that were made until now.
        let all_due = Query::update()
            .table("operations")
            .value("push_due_at", Expr::col("created_at"))
            .to_owned();
        manager.execute(all_due).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "peer_operation_lines",
            "peer_operations",
            "group_tombstones",
        ] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        manager
            .drop_index(Index::drop().name(DUE).table("operations").to_owned())
            .await?;
        for (table, mut column) in columns(manager.get_database_backend()) {
            let name = column.take().get_column_name();
            let remove = Table::alter().table(table).drop_column(name).to_owned();
            manager.alter_table(remove).await?;
        }
        Ok(())
    }
}

const DUE: &str = "ix_operations_push_due";

fn columns(backend: DatabaseBackend) -> Vec<(&'static str, ColumnDef)> {
    let first = |name| big(name).default(1).take();
    vec![
        ("protection_groups", name_or_null("base_digest")),
        ("protection_groups", json_or_null("conflict")),
        ("operations", first("revision")),
        ("operations", counter("pushed_revision")),
        ("operations", time_or_null(backend, "push_due_at")),
        ("operations", small("push_failed_tries").default(0).take()),
        ("operations", text_or_null("push_error")),
        ("steps", first("revision")),
    ]
}

fn tables(backend: DatabaseBackend) -> Vec<TableCreateStatement> {
    vec![
        group_tombstones(backend),
        peer_operations(backend),
        peer_operation_lines(backend),
    ]
}

fn group_tombstones(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "group_tombstones",
        vec![
            id("group_id").primary_key().take(),
            id("local_project_id"),
            time(backend, "deleted_at"),
        ],
    )
}

fn peer_operations(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "peer_operations",
        vec![
            id("id").primary_key().take(),
            name("home_site"),
            id("project_id"),
            id("group_id"),
            name("group_name"),
            name("kind"),
            name("state"),
            id_or_null("parent_id"),
            small("leftovers"),
            time(backend, "created_at"),
            big("revision"),
            json("record"),
        ],
    )
}

fn peer_operation_lines(backend: DatabaseBackend) -> TableCreateStatement {
    table(
        backend,
        "peer_operation_lines",
        vec![
            id("operation_id"),
            small("position"),
            big("revision"),
            json("line"),
        ],
    )
    .primary_key(&mut primary_key(&["operation_id", "position"]))
    .foreign_key(&mut belongs_to(
        "peer_operation_lines",
        "operation_id",
        "peer_operations",
    ))
    .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        index(DUE, "operations", &["push_due_at"]),
        index(
            "ix_peer_operations_project",
            "peer_operations",
            &["project_id", "created_at"],
        ),
        index("ix_peer_operations_group", "peer_operations", &["group_id"]),
    ]
}
