//! The lines about one resource are found without reading all of an operation's.

use sea_orm_migration::prelude::*;

use super::column::index;

pub(super) struct Migration;

const BY_RESOURCE: &str = "steps_by_resource";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0006_lines_by_resource"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_resource = index(BY_RESOURCE, "steps", &["operation_id", "resource_id"]);
        manager.create_index(by_resource).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = Index::drop().name(BY_RESOURCE).table("steps").to_owned();
        manager.drop_index(drop).await
    }
}
