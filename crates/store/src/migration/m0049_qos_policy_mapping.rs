//! A group maps QoS policies.

use sea_orm_migration::prelude::*;

use super::column::json_or_null;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0049_qos_policy_mapping"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let add = Table::alter()
            .table("protection_groups")
            .add_column(json_or_null("qos_policy_mapping"))
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table("protection_groups")
            .drop_column("qos_policy_mapping")
            .to_owned();
        manager.alter_table(remove).await
    }
}
