//! Texts of tenants are sealed: user data of servers, URLs of hooks, paths of probes.
//!
//! No column changes. A build from before this cannot read what is sealed, and is refused by the schema's version. What is kept
//! in clear is read as it is, until `protector-manage db sync` or `secrets rotate` seals it: that needs the keys.

use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0020_sealed_texts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }
}
