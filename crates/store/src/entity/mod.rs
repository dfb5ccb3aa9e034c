//! The tables, as sea-orm sees them. Nothing outside this crate does.

pub mod engine;
pub mod group_tombstone;
pub mod member;
pub mod operation;
pub mod operation_lock;
pub mod peer_key;
pub mod peer_message;
pub mod peer_operation;
pub mod peer_operation_line;
pub mod protection_group;
pub mod quota_turn;
pub mod replication_policy;
pub mod resource_map;
pub mod retired_site;
pub mod signing_key;
pub mod site;
pub mod step;
pub mod tenant_mapping;
pub mod write_probe;
