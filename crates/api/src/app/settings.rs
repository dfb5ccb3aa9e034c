//! The part of the configuration that the API reads.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use http::uri::Scheme;
use protector_core::{
    id::{SiteName, UserId},
    outside::AllowedOutside,
    runbook::test_cleanup::TestCopies,
};
use protector_oslo::{Config, ConfigErrors};

/// The part of the configuration that the API reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[DEFAULT] site_name`.
    pub site_name: SiteName,
    /// `[api] public_endpoint`.
    pub public_endpoint: Option<String>,
    /// How this service itself is spoken to: HTTPS where `[ssl]` says so.
    pub scheme: Scheme,
    /// `[api] max_limit`.
    pub max_limit: usize,
    /// `[oslo_middleware] max_request_body_size`, in bytes.
    pub max_body_bytes: usize,
    /// `[keystone_authtoken] www_authenticate_uri`, or its `auth_url`.
    pub www_authenticate_uri: String,
    /// `[engine] retain_source_volumes_on_failover`.
    pub retain_source_volumes: bool,
    /// `[engine] cleanup_requires_peer`.
    pub cleanup_requires_peer: bool,
    /// `[engine] cleanup_on_test_failover`.
    pub test_copies: TestCopies,
    /// `[engine] hook_url_prefixes` and `probe_networks`.
    pub outside: AllowedOutside,
    /// `[openstack] allow_http_sites`.
    pub site_urls: SiteUrls,
    /// `[DEFAULT] peer_user_ids`.
    pub peer_users: BTreeSet<UserId>,
    /// `[api] peer_signature_window_seconds`.
    pub peer_signature_window: TimeDelta,
    /// `[oslo_middleware] enable_proxy_headers_parsing`.
    pub proxy_headers: ProxyHeaders,
}

impl Settings {
    /// Reads them from a valid configuration. Refuses one without the essentials.
    pub fn from_config(config: &Config) -> Result<Self, ConfigErrors> {
        let essentials = config.essentials()?;
        Ok(Self {
            site_name: essentials.site_name.into(),
            public_endpoint: config.api.public_endpoint.clone(),
            scheme: match config.ssl.cert_file {
                Some(_) => Scheme::HTTPS,
                None => Scheme::HTTP,
            },
            max_limit: config.api.max_limit,
            max_body_bytes: config.oslo_middleware.max_request_body_size,
            www_authenticate_uri: config
                .keystone_authtoken
                .www_authenticate_uri
                .clone()
                .unwrap_or(essentials.auth_url),
            retain_source_volumes: config.engine.retain_source_volumes_on_failover,
            cleanup_requires_peer: config.engine.cleanup_requires_peer,
            test_copies: if config.engine.cleanup_on_test_failover {
                TestCopies::Delete
            } else {
                TestCopies::LeaveForInspection
            },
            outside: AllowedOutside::new(
                config.engine.hook_url_prefixes.clone(),
                config.engine.probe_networks.clone(),
            ),
            site_urls: if config.openstack.allow_http_sites {
                SiteUrls::HttpToo
            } else {
                SiteUrls::Https
            },
            peer_users: config
                .general
                .peer_user_ids
                .iter()
                .map(UserId::new)
                .collect(),
            peer_signature_window: window(config.api.peer_signature_window),
            proxy_headers: if config.oslo_middleware.enable_proxy_headers_parsing {
                ProxyHeaders::Believed
            } else {
                ProxyHeaders::Ignored
            },
        })
    }
}

/// How a site's Keystone may be reached: its service user's password goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteUrls {
    Https,
    /// In the clear too, as `[openstack] allow_http_sites` says.
    HttpToo,
}

/// What the headers of a proxy count for: `[oslo_middleware] enable_proxy_headers_parsing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// Nothing: anybody could have sent them.
    Ignored,
    /// Whoever connects is a proxy that names its own client in them.
    Believed,
}

/// `[api] peer_signature_window_seconds` as a difference of times.
pub fn window(seconds: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(seconds).unwrap_or(TimeDelta::days(1))
}
