//! The lines of one phase of an operation are found without reading all of its lines.

use sea_orm_migration::prelude::*;

use super::column::index;

pub(super) struct Migration;

const BY_PHASE: &str = "steps_by_phase";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0009_lines_by_phase"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_phase = index(BY_PHASE, "steps", &["operation_id", "phase_name", "state"]);
        manager.create_index(by_phase).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Index::drop().name(BY_PHASE).table("steps").to_owned();
        manager.drop_index(drop).await
    }
}
