//! A group maps server groups and volume types.

use sea_orm_migration::prelude::*;

use super::column::json_or_null;

const COLUMNS: [&str; 2] = ["server_group_mapping", "volume_type_mapping"];

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0042_more_mappings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column at a time.
        for column in COLUMNS {
            let add = Table::alter()
                .table("protection_groups")
                .add_column(json_or_null(column))
                .to_owned();
            manager.alter_table(add).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in COLUMNS {
            let remove = Table::alter()
                .table("protection_groups")
                .drop_column(column)
                .to_owned();
            manager.alter_table(remove).await?;
        }
        Ok(())
    }
}
