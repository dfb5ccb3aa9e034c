//! How requests come in and answers go out.

pub mod access;
pub(crate) mod audit;
pub mod caller;
pub(crate) mod cloud_error;
pub(crate) mod described_faults;
pub mod error;
pub mod etag;
pub mod extract;
pub mod keystone_tokens;
pub mod metrics;
pub mod openapi;
pub mod page;
pub mod peer_caller;
pub mod rate_limit;
pub mod request;
pub mod router;
pub(crate) mod store_error;
pub mod token;
pub mod version;
