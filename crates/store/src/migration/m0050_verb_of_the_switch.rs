//! The switch of a planned move has a verb of its own. Records of before say `forward` of it.

use sea_orm::DatabaseBackend;
use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0050_verb_of_the_switch"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rename(manager, "forward", "switch").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rename(manager, "switch", "forward").await
    }
}

/// The phase of a switch has the same name in an unplanned failover, where the verb stays `forward`.
async fn rename(manager: &SchemaManager<'_>, from: &str, to: &str) -> Result<(), DbErr> {
    let action = match manager.get_database_backend() {
        DatabaseBackend::Sqlite => "json_extract(action, '$.action')",
        _ => "JSON_UNQUOTE(JSON_EXTRACT(action, '$.action'))",
    };
    let renamed = format!(
        "UPDATE steps SET verb = '{to}' WHERE phase_name = 'switch_primary' AND verb = '{from}' AND {action} = 'switch_primary'"
    );
    manager
        .get_connection()
        .execute_unprepared(&renamed)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use protector_core::{
        journal_conformance::operation,
        operation::{OperationState, Planning, StepState},
        runbook::{Step, Verb},
        schedule::{self, Next},
    };
    use sea_orm::EntityTrait as _;
    use secrecy::SecretString;

    use super::*;
    use crate::{Database, NewOperation, PoolOptions, entity::step};

    #[tokio::test]
    async fn a_failed_switch_of_a_record_from_before_is_taken_back() {
        let url = SecretString::from("sqlite::memory:");
        let database = Database::connect(&url, PoolOptions::default())
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let switches = [
            (1, Step::SwitchPrimary, Verb::Switch),
            (2, Step::SwitchRecovered, Verb::Forward),
        ];
        for (number, action, _) in &switches {
            let mut record = operation(*number);
            if *action == Step::SwitchRecovered {
                record.operation.planning = Planning::Unplanned;
            }
            record.operation.state = OperationState::Running;
            let [first, switch] = &mut record.steps[..] else {
                unreachable!("a record of two steps");
            };
            (first.verb, first.progress.state) = (Verb::Undoable, StepState::Done);
            switch.phase_name = "switch_primary".to_owned();
            switch.action = action.clone();
            switch.verb = Verb::Forward;
            switch.progress.state = StepState::Failed;
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
        Migration.up(&manager).await.unwrap();

        for (number, _, verb) in switches {
            let id = operation(number).operation.id;
            let read = database.operation_show_by_id(&id).await.unwrap();
            let verbs: Vec<Verb> = read.steps.iter().map(|step| step.verb).collect();
            assert_eq!(verbs, [Verb::Undoable, verb]);
            let kept = step::Entity::find_by_id((id.to_string(), 1));
            let kept = kept.one(database.kept_pool()).await.unwrap().unwrap();
            assert_eq!(kept.verb, verb.as_str());
            let next = schedule::next(&read, read.operation.created_at);
            assert_eq!(
                matches!(next, Next::Unwind { .. }),
                verb == Verb::Switch,
                "{next:?}"
            );
        }
    }

    /// It writes the old word after the migration.
    #[tokio::test]
    async fn the_switch_of_a_service_of_before_is_read_as_a_switch() {
        let url = SecretString::from("sqlite::memory:");
        let database = Database::connect(&url, PoolOptions::default())
            .await
            .unwrap();
        database.migrate().await.unwrap();
        let mut record = operation(1);
        record.steps[1].action = Step::SwitchPrimary;
        record.steps[1].verb = Verb::Forward;
        let new = NewOperation {
            operation: &record.operation,
            steps: &record.steps,
            map: &record.map,
            locks: &[],
            group: None,
        };
        let now = record.operation.created_at;
        database.operation_insert(&new, now).await.unwrap();
        let read = database.operation_show_by_id(&record.operation.id).await;
        assert_eq!(read.unwrap().steps[1].verb, Verb::Switch);
    }
}
