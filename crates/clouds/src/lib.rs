//! The way into the clouds of the registered sites: sessions as the service user, and what is read there in the words of the domain.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]

pub mod cloud_requests;
pub mod clouds;
mod found_server;
pub mod holdings;
pub mod member_refresh;
pub mod member_spec;
pub mod openstack_clouds;
pub mod request_scope;
pub mod site_health;
pub mod site_readings;
pub mod site_sessions;
pub mod there_readings;
pub mod volume_type;
