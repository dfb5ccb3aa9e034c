//! One row for each project, for those who add something of which it has a quota to wait for each other.

use sea_orm_migration::prelude::*;

use super::column::{id, table};

pub(super) struct Migration;

const TABLE: &str = "quota_turns";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0040_quota_turns"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![id("project_id").primary_key().take()];
        let turns = table(manager.get_database_backend(), TABLE, columns);
        manager.create_table(turns).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(TABLE).to_owned())
            .await
    }
}
