//! A member is remembered as it was when the latest recovery point was made.

use sea_orm_migration::prelude::*;

use super::column::json_or_null;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0047_earlier_members"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table("members")
            .add_column(json_or_null("earlier"))
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table("members")
            .drop_column("earlier")
            .to_owned();
        manager.alter_table(remove).await
    }
}
