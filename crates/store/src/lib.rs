//! Where protector keeps what it must not forget: sites, groups, operations and their lines, in SQLite or MariaDB.
//!
//! One file per noun; every change is one transaction. Times and ids come from the caller, so that nothing here asks
//! the clock or the dice. All SQL of the project is in this crate.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

mod at_rest;
pub mod backlog;
mod copy_quota;
pub mod database;
pub mod database_failure;
mod database_time;
mod deadline;
mod digest;
pub mod engine;
mod entity;
pub mod error;
mod foreign_text;
pub mod given_up;
pub mod group;
pub mod journal;
pub mod leftover_servers;
pub mod lineage;
pub mod lock;
pub mod member;
pub mod metadata;
mod migration;
pub mod operation;
pub mod operation_outbox;
pub mod outbox;
pub mod outline;
pub mod page;
pub mod peer_key;
pub mod peer_message;
mod peer_moves;
pub mod peer_operation;
pub mod policy;
pub mod precondition;
pub mod purge;
pub mod quota;
pub mod rekey;
pub mod reservation;
mod retirement;
mod row;
pub mod schema;
mod sealing;
pub mod secrets;
pub mod signing_key;
pub mod site;
mod step;
mod supersede;
pub mod tenant_mapping;
mod tombstone;
mod words;
mod write_probe;

mod group_row;
#[cfg(test)]
mod list_statements;
mod lock_kind;
mod operation_records;
mod quotas;
mod retired;

pub use backlog::UnsentGroup;
pub use database::{Database, PoolOptions};
pub use database_failure::DatabaseFailure;
pub use engine::EngineRow;
pub use error::{Noun, StoreError};
pub use group::{GroupChange, GroupFilter, GroupOrder, StoredGroup};
pub use journal::Queued;
pub use leftover_servers::{LeftoverServers, LeftoverServersPage};
pub use lineage::{AgreedState, Conflict, DatedState, Lineage, MetadataState, SiteState, lineage};
pub use lock::Lock;
pub use lock_kind::LockKind;
pub use member::Removable;
pub use metadata::{MetadataDocument, Offered, Outgoing, Taken};
pub use operation::{GroupStart, NewOperation};
pub use operation_outbox::OperationPush;
pub use operation_records::{OperationFilter, OperationOrder};
pub use outbox::{PushDue, PushResult, SyncState};
pub use outline::ListedOperation;
pub use page::{Listed, OrderDirection, Page};
pub use peer_key::{NotAPublicKey, PinnedKey, PublicKey};
pub use peer_message::PeerMessage;
pub use peer_operation::{KeptOperation, OperationCopy, PeerOperation};
pub use policy::ReplicationPolicy;
pub use precondition::Precondition;
pub use purge::Purgeable;
pub use quotas::{CopyQuota, QuotaOf, Quotas};
pub use rekey::Rekeyed;
pub use reservation::Reservation;
pub use schema::SchemaVersion;
pub use secrets::{KeyRepository, SecretError};
pub use signing_key::StoredSigningKey;
