//! A group that the other site is about to move is reserved for it.

use sea_orm_migration::prelude::*;

use super::column::{name_or_null, time_or_null};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_reservation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        // One column a statement: SQLite takes no more.
        for column in [
            name_or_null("reserved_by"),
            time_or_null(backend, "reserved_until"),
        ] {
            let add = Table::alter()
                .table("protection_groups")
                .add_column(column)
                .to_owned();
            manager.alter_table(add).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["reserved_by", "reserved_until"] {
            let remove = Table::alter()
                .table("protection_groups")
                .drop_column(column)
                .to_owned();
            manager.alter_table(remove).await?;
        }
        Ok(())
    }
}
