//! The lines that left something behind are counted without reading all that ended well.

use sea_orm_migration::prelude::*;

use super::column::index;

pub(super) struct Migration;

const BY_STATE: &str = "steps_by_state";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0007_lines_by_state"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_state = index(BY_STATE, "steps", &["state", "verb"]);
        manager.create_index(by_state).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Index::drop().name(BY_STATE).table("steps").to_owned();
        manager.drop_index(drop).await
    }
}
