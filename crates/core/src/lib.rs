//! The words and the rules of disaster recovery: groups, operations, runbooks, guards, and the ports through
//! which an engine reaches a journal, a storage array and the clock.
//!
//! Nothing in this crate does I/O. What is decided here can be tested with plain values.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod adoption;
pub mod answer;
pub mod carried;
pub mod clock;
pub mod comparison;
pub mod confidential;
pub mod fault;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
pub mod generations;
pub mod group;
pub mod guard;
pub mod id;
pub mod journal;
#[cfg(feature = "conformance")]
pub mod journal_conformance;
pub mod leftover;
pub mod mark;
pub mod member;
pub mod member_settings;
pub mod new_id;
pub mod not_carried;
pub mod operation;
pub mod operation_kind;
pub mod orphan;
pub mod outage;
pub mod outline;
pub mod outside;
pub mod peer_site;
pub mod plan;
pub mod present;
pub mod priority;
pub mod qos_policy;
pub mod queue;
pub mod readiness;
pub mod recovery_plan;
pub mod resource_map;
pub mod runbook;
pub mod schedule;
pub mod security_group;
pub mod server_group;
pub mod site;
pub mod step;
pub mod storage;
pub mod text;
pub mod verified_status;
