//! An operation queues in a lane: what follows a disaster waits for nothing that was planned.

use protector_core::{operation::OperationKind, queue::Lane};
use sea_orm_migration::prelude::*;

use super::column::name;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0014_lanes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let lane = name("lane").default(Lane::Regular.as_str()).take();
        let add = Table::alter()
            .table("operations")
            .add_column(lane)
            .to_owned();
        manager.alter_table(add).await?;
        // An unplanned failover that waits already is told from a planned one by its lines alone: it waits once more as before.
        let kinds = [
            OperationKind::Retry,
            OperationKind::Fence,
            OperationKind::Abort,
        ];
        let urgent = Query::update()
            .table("operations")
            .value("lane", Lane::Urgent.as_str())
            .and_where(Expr::col("kind").is_in(kinds.map(OperationKind::as_str)))
            .to_owned();
        manager.execute(urgent).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let remove = Table::alter()
            .table("operations")
            .drop_column("lane")
            .to_owned();
        manager.alter_table(remove).await
    }
}
