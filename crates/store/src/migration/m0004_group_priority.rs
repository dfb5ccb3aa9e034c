//! A group has a priority among those of its site that fail over together.

use protector_core::priority::Priority;
use sea_orm_migration::prelude::*;

use super::column::small;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0004_group_priority"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let priority = small("priority")
            .default(i32::from(Priority::DEFAULT.get()))
            .take();
        let add = Table::alter()
            .table("protection_groups")
            .add_column(priority)
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table("protection_groups")
            .drop_column("priority")
            .to_owned();
        manager.alter_table(remove).await
    }
}
