//! One file a noun. Each handler validates, enforces the policy, does it, and answers, in this order.

pub mod action;
pub mod group;
pub mod health;
pub mod member;
pub mod metadata;
pub mod operation;
pub(crate) mod operation_copy;
pub mod orphan;
pub mod policy;
pub mod readiness;
pub mod recovery_plan;
pub mod recovery_point;
pub mod reset_status;
pub mod resource_mapping;
pub mod signing_key;
pub mod site;
pub mod site_failover;
pub mod sync;
pub mod tenant_mapping;
