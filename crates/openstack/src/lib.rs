//! Client for the OpenStack services that disaster recovery needs: Keystone, Nova, Cinder, Neutron, Glance, and
//! the protector API of a peer site.
//!
//! # How a call goes
//!
//! [`Cloud`](cloud::Cloud) gives a client per service; each of its methods is one API call, documented with its
//! path, the microversion that it needs and the role that policy asks for by default. All go through one
//! [`Session`](session::Session): token, endpoint, microversion, exchange, repeats, deadline. The exchange itself
//! is a [`Transport`](transport::Transport): [`HttpTransport`](http_transport::HttpTransport) in production, a
//! simulated cloud in tests. All waiting is tokio's time, so a paused clock rules it.
//!
//! # What an error means
//!
//! A [`CloudError`](error::CloudError) keeps the cloud's words, status and request id, and has a
//! [`class`](error::CloudError::class) that says what may be concluded. Reads are repeated here when that can
//! help. A write is repeated here only when it was certainly not carried out; when its answer is lost it is
//! [`Ambiguous`](error::ErrorClass::Ambiguous), and the caller looks before it repeats.
//!
//! # What an answer means
//!
//! A 2xx to a write says only that the cloud took the order. Fields that decisions rest on are strict: one that is
//! missing fails the call rather than becoming a default, and status words that are unknown stay as they are.
//!
//! Nova 2.87 and Cinder 3.62 (Victoria) or later are supported.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

mod answer;
mod ask;
pub mod bounds;
pub mod catalog;
pub mod cloud;
pub mod compute;
pub mod credentials;
mod endpoint;
pub mod error;
mod error_body;
pub mod exchange_observer;
mod field;
#[cfg(test)]
mod fuzz;
pub mod http_transport;
pub mod id;
pub mod identity;
pub mod image;
mod listing;
pub mod message_signer;
pub mod microversion;
pub mod network;
pub mod options;
pub mod permit;
pub mod protector;
pub mod quota_set;
pub mod request_log;
pub mod retry;
#[cfg(test)]
mod scripted_cloud;
pub mod service;
pub mod session;
pub mod status;
pub mod token;
pub mod transport;
pub mod volume;

pub use field::UserData;
