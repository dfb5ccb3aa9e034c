//! The REST API of protector: sites, tenant mappings, protection groups and their members, policies and mappings, the
//! action endpoint, operations, and the metadata exchange with the other site.
//!
//! One file per noun holds its handlers, always in the same order: validate, enforce the policy, do it, answer. Bodies
//! are in [`wire`], what is more than a few lines in [`app`]. [`clouds`] and [`peer`] are the ports to the outside.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod access;
pub mod action;
pub mod app;
pub mod assemble;
mod audit;
pub mod caller;
pub mod cloud_requests;
pub mod clouds;
mod described_faults;
pub mod error;
pub mod etag;
pub mod extract;
pub mod group;
pub mod health;
mod holdings;
pub mod key_pair;
pub mod keystone_tokens;
pub mod member;
pub mod message_signature;
pub mod metadata;
pub mod metrics;
pub mod openapi;
pub mod openstack_clouds;
pub mod openstack_peer;
pub mod operation;
mod operation_copy;
pub mod orphan;
pub mod peer;
pub mod peer_caller;
pub mod policy;
pub mod rate_limit;
pub mod readiness;
pub mod recovery_plan;
pub mod refusal;
pub mod request;
pub mod reset_status;
pub mod resource_mapping;
pub mod router;
pub mod signing_key;
pub mod site;
pub mod site_failover;
mod site_health;
pub mod site_identity;
mod site_readings;
pub mod site_sessions;
mod store_error;
pub mod sync;
pub mod tenant_mapping;
mod there_readings;
pub mod token;
pub mod version;
pub mod wire;

pub use app::{App, Ids, RandomIds, Settings};
pub use assemble::AssembleError;
pub use openapi::openapi;
pub use router::router;
pub use token::{TokenMemory, TokenValidator};
