//! An operation says whether its source takes part. Of those of before their steps tell.

use protector_core::operation::Planning;
use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

use super::column::name;

pub(super) struct Migration;

const OPERATIONS: &str = "operations";
const PLANNING: &str = "planning";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0051_planned_or_unplanned"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let planning = name(PLANNING).default(Planning::Planned.as_str()).take();
        let add = Table::alter()
            .table(OPERATIONS)
            .add_column(planning)
            .to_owned();
        manager.alter_table(add).await?;
        let told = told_by_its_steps(manager.get_database_backend());
        manager.get_connection().execute_unprepared(&told).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table(OPERATIONS)
            .drop_column(PLANNING)
            .to_owned();
        manager.alter_table(remove).await
    }
}

/// An unplanned move is one that switches its group to what was recovered.
fn told_by_its_steps(backend: DatabaseBackend) -> String {
    let action = match backend {
        DatabaseBackend::Sqlite => "json_extract(action, '$.action')",
        _ => "JSON_UNQUOTE(JSON_EXTRACT(action, '$.action'))",
    };
    format!(
        "UPDATE operations SET planning = '{unplanned}' WHERE kind IN ('failover', 'failback') AND id IN (SELECT operation_id FROM steps WHERE phase_name = 'switch_primary' AND {action} = 'switch_recovered')",
        unplanned = Planning::Unplanned.as_str()
    )
}

#[cfg(test)]
mod tests {
    use protector_core::{journal_conformance::operation, runbook::Step};
    use secrecy::SecretString;

    use super::*;
    use crate::{Database, NewOperation, PoolOptions};

    #[tokio::test]
    async fn what_an_operation_of_before_was_is_told_by_its_switch() {
        let url = SecretString::from("sqlite::memory:");
        let database = Database::connect(&url, PoolOptions::default())
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let switches = [
            (1, Step::SwitchPrimary, Planning::Planned),
            (2, Step::SwitchRecovered, Planning::Unplanned),
        ];
        for (number, action, planning) in &switches {
            let mut record = operation(*number);
            record.operation.planning = *planning;
            record.steps[1].phase_name = "switch_primary".to_owned();
            record.steps[1].action = action.clone();
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

        for (number, _, planning) in switches {
            let id = operation(number).operation.id;
            let read = database.operation_show_by_id(&id).await.unwrap();
            assert_eq!(read.operation.planning, planning);
        }
    }
}
