//! How a client behaves on the wire: times, repeats, pages, and endpoints that the catalogue has wrong.

use std::{collections::BTreeMap, time::Duration};

use crate::{retry::RetryPolicy, service::Service};

/// Options of all calls of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// The longest that one HTTP exchange may take. A busy, healthy cloud was seen to take 37 s for a POST, so
    /// less than 60 s fails without need.
    pub exchange_timeout: Duration,
    /// The longest that one call may take with its repeats, pauses and logins.
    pub deadline: Duration,
    /// The longest that all pages of one list may take.
    pub list_deadline: Duration,
    /// When a call is repeated.
    pub retry: RetryPolicy,
    /// Endpoints to use instead of the catalogue's. `%(project_id)s` stands for the project's id.
    pub endpoint_overrides: BTreeMap<Service, String>,
    /// How many elements are asked for per page of a list. Services lower it to their own maximum.
    pub page_size: usize,
    /// The `User-Agent` header.
    pub user_agent: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            exchange_timeout: Duration::from_secs(60),
            deadline: Duration::from_secs(180),
            list_deadline: Duration::from_secs(600),
            retry: RetryPolicy::default(),
            endpoint_overrides: BTreeMap::new(),
            page_size: 1000,
            user_agent: concat!("protector/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
