//! The bodies of requests and answers, exactly as they are on the wire: of the API, and between two protectors.
//!
//! Requests refuse unknown fields. Answers are built from the domain's values by `From` or a named function, so that a field of
//! the domain is public only where it is named here. The comments of fields are the descriptions in the OpenAPI document.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod abort;
pub mod adopt;
pub mod cleanup;
pub mod comparison;
pub mod group;
pub mod health;
pub mod leftover;
pub mod member;
pub mod metadata;
pub mod operation;
pub mod operation_copy;
pub mod orphan;
pub mod page;
pub mod policy;
pub mod preview;
pub mod readiness;
pub mod recovery_plan;
pub mod recovery_point;
pub mod reset_status;
pub mod retirement;
pub mod signing_key;
pub mod site;
pub mod site_failover;
pub mod tenant_mapping;
pub mod text;
pub mod version;
