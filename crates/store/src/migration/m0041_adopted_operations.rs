//! Lists show which failed operation one goes forward with, and do not read its plan for it.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

use super::column::id_or_null;

pub(super) struct Migration;

const OPERATIONS: &str = "operations";
const ADOPTS: &str = "adopts_id";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0041_adopted_operations"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table(OPERATIONS)
            .add_column(id_or_null(ADOPTS))
            .to_owned();
        manager.alter_table(add).await?;
        let said = said_by_its_plan(manager.get_database_backend());
        manager.get_connection().execute_unprepared(said).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table(OPERATIONS)
            .drop_column(ADOPTS)
            .to_owned();
        manager.alter_table(remove).await
    }
}

/// Which one an operation adopts. A plan that names none has no such field.
fn said_by_its_plan(backend: DatabaseBackend) -> &'static str {
    match backend {
        DatabaseBackend::Sqlite => {
            "UPDATE operations SET adopts_id = json_extract(plan, '$.adopts')"
        }
        _ => "UPDATE operations SET adopts_id = JSON_UNQUOTE(JSON_EXTRACT(plan, '$.adopts'))",
    }
}

#[cfg(test)]
mod tests {
    use protector_core::journal_conformance::operation;
    use secrecy::SecretString;

    use super::*;
    use crate::{
        Database, ListedOperation, NewOperation, OperationFilter, OperationOrder, OrderDirection,
        Page, PoolOptions,
    };

    #[tokio::test]
    async fn lists_show_what_operations_from_before_adopt() {
        let url = SecretString::from("sqlite::memory:");
        let database = Database::connect(&url, PoolOptions::default())
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let adopted = [Some(operation(7).operation.id), None];
        for (number, adopts) in (1..).zip(adopted.clone()) {
            let mut record = operation(number);
            record.operation.plan.adopts = adopts;
            let new = NewOperation {
                operation: &record.operation,
                steps: &record.steps,
                map: &record.map,
                locks: &[],
                group: None,
            };
            let now = record.operation.created_at;
            database.operation_insert(&new, now).await.unwrap();
        }

        let manager = SchemaManager::new(database.kept_pool());
        Migration.down(&manager).await.unwrap();
        Migration.up(&manager).await.unwrap();

        let page = Page {
            limit: 9,
            marker: None,
            sort_key: OperationOrder::Id,
            sort_dir: OrderDirection::Asc,
        };
        let all = OperationFilter::default();
        let listed = database.operation_outlines(&all, &page).await.unwrap();
        let shown: Vec<_> = listed
            .items
            .into_iter()
            .map(|listed| match listed {
                ListedOperation::Here { outline, .. } => outline.operation.plan.adopts,
                ListedOperation::Elsewhere(_) => unreachable!("both are of this site"),
            })
            .collect();
        assert_eq!(shown, adopted);
    }
}
