//! A group says what a planned move does about a copy that is not as its original was.

use protector_core::group::Fidelity;
use sea_orm_migration::prelude::*;

use super::column::name;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0044_group_fidelity"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let fidelity = name("fidelity").default(Fidelity::Told.as_str()).take();
        let add = Table::alter()
            .table("protection_groups")
            .add_column(fidelity)
            .to_owned();
        manager.alter_table(add).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table("protection_groups")
            .drop_column("fidelity")
            .to_owned();
        manager.alter_table(remove).await
    }
}
