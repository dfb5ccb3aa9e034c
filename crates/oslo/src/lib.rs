//! What an OpenStack service owes its operator: a configuration file and a policy file in the
//! dialects of `oslo.config` and `oslo.policy`, request ids and log lines in OpenStack's forms.
//!
//! Both dialects are our own because no Rust library reads them as oslo does; test vectors made
//! by the Python originals (`tests/vectors`) hold them to it. Where oslo accepts something that
//! can only be a mistake, these readers refuse it and name file, line, option and fix.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod audit;
pub mod config;
#[cfg(test)]
mod fuzz;
pub mod log;
mod nearest;
pub mod policy;
pub mod request_id;
mod wrap;

pub use config::{Config, ConfigErrors};
pub use policy::{Decision, Enforcer, PolicyCredentials, Target};
pub use request_id::{GlobalRequestId, RequestId};
