//! Sites that are gone for good, and the groups that have lost their other site with them.

use sea_orm_migration::prelude::*;

use super::column::{name, table, time, time_or_null};

pub(super) struct Migration;

const TABLE: &str = "retired_sites";
const GROUPS: &str = "protection_groups";
const SINCE: &str = "peer_retired_at";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0011_retired_sites"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let since = time_or_null(backend, SINCE);
        let add = Table::alter().table(GROUPS).add_column(since).to_owned();
        manager.alter_table(add).await?;
        let columns = vec![
            name("name").primary_key().take(),
            time(backend, "retired_at"),
        ];
        manager.create_table(table(backend, TABLE, columns)).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(TABLE).to_owned())
            .await?;
        let remove = Table::alter().table(GROUPS).drop_column(SINCE).to_owned();
        manager.alter_table(remove).await
    }
}
