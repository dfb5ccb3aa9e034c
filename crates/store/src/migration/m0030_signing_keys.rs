//! The key with which this site's protector signs what it tells another one, the keys of the others, and which of their messages
//! have been heard.

use sea_orm_migration::prelude::*;

use super::column::{belongs_to, id, index, name, small, table, text, time};

pub(super) struct Migration;

const OWN: &str = "signing_keys";
const PEERS: &str = "peer_keys";
const MESSAGES: &str = "peer_messages";
const BY_END: &str = "ix_peer_messages_forget_after";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0030_signing_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let own = vec![
            small("id").primary_key().take(),
            name("public_key"),
            text("secret_key"),
            time(backend, "created_at"),
        ];
        manager.create_table(table(backend, OWN, own)).await?;
        let peers = vec![
            id("site_id").primary_key().take(),
            name("public_key"),
            time(backend, "pinned_at"),
        ];
        let peers = table(backend, PEERS, peers)
            .foreign_key(&mut belongs_to(PEERS, "site_id", "sites"))
            .take();
        manager.create_table(peers).await?;
        let messages = vec![
            id("nonce").primary_key().take(),
            time(backend, "forget_after"),
        ];
        manager
            .create_table(table(backend, MESSAGES, messages))
            .await?;
        manager
            .create_index(index(BY_END, MESSAGES, &["forget_after"]))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for gone in [MESSAGES, PEERS, OWN] {
            manager
                .drop_table(Table::drop().table(gone).to_owned())
                .await?;
        }
        Ok(())
    }
}
