//! A row that is written for nothing else than to see that it can be.

use sea_orm_migration::prelude::*;

use super::column::{counter, primary_key, small, table};
use crate::entity::write_probe::ROW;

pub(super) struct Migration;

const TABLE: &str = "write_probe";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0008_write_probe"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = vec![small("id"), counter("count")];
        let mut probe = table(manager.get_database_backend(), TABLE, columns);
        probe.primary_key(&mut primary_key(&["id"]));
        manager.create_table(probe).await?;
        let mut row = Query::insert();
        row.into_table(TABLE)
            .columns(["id", "count"])
            .values_panic([ROW.into(), 0.into()]);
        manager.execute(row).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(TABLE).to_owned())
            .await
    }
}
