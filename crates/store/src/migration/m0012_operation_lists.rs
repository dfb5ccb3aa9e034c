//! Pages of long lists are read by an index, and the operations of a group that is gone are found by its name.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

use super::column::{index, name};

pub(super) struct Migration;

const OPERATIONS: &str = "operations";
const COPIES: &str = "peer_operations";
const GROUPS: &str = "protection_groups";
const GROUP_NAME: &str = "group_name";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0012_operation_lists"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let group_name = name(GROUP_NAME).default("").take();
        let add = Table::alter()
            .table(OPERATIONS)
            .add_column(group_name)
            .to_owned();
        manager.alter_table(add).await?;
        let named = named_by_its_plan(manager.get_database_backend());
        manager.get_connection().execute_unprepared(named).await?;
        for (name, table, columns) in INDEXES {
            manager.create_index(index(name, table, columns)).await?;
        }
        // Those above begin with the same columns.
        for (name, table, _) in REPLACED {
            drop_index(manager, name, table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, columns) in REPLACED {
            manager.create_index(index(name, table, columns)).await?;
        }
        for (name, table, _) in INDEXES {
            drop_index(manager, name, table).await?;
        }
        let remove = Table::alter()
            .table(OPERATIONS)
            .drop_column(GROUP_NAME)
            .to_owned();
        manager.alter_table(remove).await
    }
}

type IndexOf = (&'static str, &'static str, &'static [&'static str]);

/// The id comes last in what pages are sorted by: equal rows are sorted by it. SQLite does not add it by itself.
const INDEXES: [IndexOf; 15] = [
    (
        "ix_operations_newest",
        OPERATIONS,
        &["project_id", "created_at", "id"],
    ),
    (
        "ix_operations_of_group",
        OPERATIONS,
        &["group_id", "created_at", "id"],
    ),
    (
        "ix_operations_in_group",
        OPERATIONS,
        &["project_id", "group_id", "created_at", "id"],
    ),
    (
        "ix_operations_by_kind",
        OPERATIONS,
        &["project_id", "kind", "id"],
    ),
    (
        "ix_operations_of_kind",
        OPERATIONS,
        &["project_id", "kind", "created_at", "id"],
    ),
    (
        "ix_operations_in_state",
        OPERATIONS,
        &["project_id", "state", "created_at", "id"],
    ),
    (
        "ix_operations_group_name",
        OPERATIONS,
        &["project_id", GROUP_NAME, "group_id"],
    ),
    (
        "ix_peer_operations_newest",
        COPIES,
        &["project_id", "created_at", "id"],
    ),
    (
        "ix_peer_operations_of_group",
        COPIES,
        &["group_id", "created_at", "id"],
    ),
    (
        "ix_peer_operations_in_group",
        COPIES,
        &["project_id", "group_id", "created_at", "id"],
    ),
    (
        "ix_peer_operations_by_kind",
        COPIES,
        &["project_id", "kind", "id"],
    ),
    (
        "ix_peer_operations_of_kind",
        COPIES,
        &["project_id", "kind", "created_at", "id"],
    ),
    (
        "ix_peer_operations_in_state",
        COPIES,
        &["project_id", "state", "created_at", "id"],
    ),
    (
        "ix_peer_operations_group_name",
        COPIES,
        &["project_id", GROUP_NAME, "group_id"],
    ),
    (
        "ix_protection_groups_newest",
        GROUPS,
        &["local_project_id", "created_at", "id"],
    ),
];

const REPLACED: [IndexOf; 4] = [
    (
        "ix_operations_project",
        OPERATIONS,
        &["project_id", "created_at"],
    ),
    (
        "ix_operations_group",
        OPERATIONS,
        &["group_id", "created_at"],
    ),
    (
        "ix_peer_operations_project",
        COPIES,
        &["project_id", "created_at"],
    ),
    ("ix_peer_operations_group", COPIES, &["group_id"]),
];

/// What an operation's group was called when it was planned.
fn named_by_its_plan(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Sqlite => {
            "UPDATE operations SET group_name = COALESCE(json_extract(plan, '$.group_name'), '')"
        }
        _ => {
            "UPDATE operations SET group_name = COALESCE(JSON_UNQUOTE(JSON_EXTRACT(plan, '$.group_name')), '')"
        }
    }
}

async fn drop_index(manager: &SchemaManager<'_>, name: &str, table: &str) -> Result<(), DbErr> {
    let drop = Index::drop().name(name).table(table.to_owned()).to_owned();
    manager.drop_index(drop).await
}

#[cfg(test)]
mod tests {
    use protector_core::{id::ProjectId, journal_conformance::operation};
    use secrecy::SecretString;

    use super::*;
    use crate::{Database, NewOperation, PoolOptions};

    #[tokio::test]
    async fn operations_from_before_are_found_by_the_group_names_of_their_plans() {
        let url = SecretString::from("sqlite::memory:");
        let database = Database::connect(&url, PoolOptions::default())
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let mut record = operation(1);
        record.operation.plan.group_name = "prod \"wéb\"".to_owned();
        let new = NewOperation {
            operation: &record.operation,
            steps: &record.steps,
            map: &record.map,
            locks: &[],
            group: None,
        };
        let now = record.operation.created_at;
        database.operation_insert(&new, now).await.unwrap();

        let manager = SchemaManager::new(database.kept_pool());
        Migration.down(&manager).await.unwrap();
        Migration.up(&manager).await.unwrap();

        let project = ProjectId::new("project-a");
        let found = database.operation_groups(&project, "prod \"wéb\"").await;
        assert_eq!(found.unwrap(), [record.operation.group_id]);
    }
}
