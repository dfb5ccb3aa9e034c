//! What the handlers stand on: the records, the policy, the clouds, the arrays, the clock.

use std::{collections::BTreeSet, sync::Arc};

use chrono::TimeDelta;
use http::uri::Scheme;
use protector_core::{
    clock::Clock,
    id::{SiteName, UserId},
    outside::AllowedOutside,
    runbook::test_cleanup::TestCopies,
    storage::StorageDriver,
};
use protector_oslo::{
    Config, ConfigErrors,
    audit::AuditTrail,
    policy::{Enforcer, RuleName, Target},
};
use protector_store::Database;
use uuid::Uuid;

use crate::{
    access::ProxyHeaders,
    caller::Caller,
    clouds::Clouds,
    error::{ApiError, ApiResult},
    metrics::ApiMetrics,
    peer::Peer,
    peer_caller,
    rate_limit::Shares,
    refusal::Refusal,
    site_identity::SiteIdentity,
    token::TokenValidator,
};

use self::site::SiteUrls;

pub mod abort;
pub mod adopt;
mod at_rest;
pub mod cleanup;
pub mod comparison;
pub mod differs;
pub mod elsewhere;
pub mod failover;
pub mod fence;
pub mod group;
pub mod handover;
pub mod health;
pub mod interrupted;
pub mod last_move;
mod lost_source;
pub mod member;
pub mod member_refresh;
pub mod names;
pub mod operation;
pub mod operation_push;
pub mod orphan;
pub mod peer_key;
pub mod policy;
pub mod preview;
pub mod protect;
pub mod readiness;
pub mod recovery_plan;
mod recovery_point;
pub mod replicate;
pub mod reset_status;
pub mod retirement;
pub mod site;
pub mod site_failover;
pub mod site_validation;
mod strict;
pub mod sync;
pub mod test_failover;
pub mod unplanned;
pub mod volume_type;

/// Where new ids come from.
pub trait Ids: Send + Sync {
    /// A new random UUID.
    fn uuid(&self) -> Uuid;
}

/// Ids from the operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    #[allow(clippy::disallowed_methods, reason = "this is the port")]
    fn uuid(&self) -> Uuid {
        Uuid::new_v4()
    }
}

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
            peer_signature_window: peer_caller::window(config.api.peer_signature_window),
            proxy_headers: if config.oslo_middleware.enable_proxy_headers_parsing {
                ProxyHeaders::Believed
            } else {
                ProxyHeaders::Ignored
            },
        })
    }
}

/// The service, put together. Handlers share one.
pub struct App {
    /// Groups, operations and all other records of this site.
    pub database: Database,
    /// Who may do what.
    pub rules: Enforcer,
    /// Who a token speaks for.
    pub tokens: TokenValidator,
    /// The clouds of the registered sites.
    pub clouds: Arc<dyn Clouds>,
    /// The protectors of the other sites.
    pub peer: Arc<dyn Peer>,
    /// The arrays.
    pub storage: Arc<dyn StorageDriver>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// The configuration's part.
    pub settings: Settings,
    /// Each project's share of this process.
    pub shares: Shares,
    /// Where it is kept who changed what.
    pub audit: AuditTrail,
    /// What is counted of requests and of the calls to the clouds.
    pub metrics: Arc<ApiMetrics>,
}

impl App {
    /// Who this site is to the protectors of others.
    pub fn identity(&self) -> SiteIdentity {
        SiteIdentity {
            database: self.database.clone(),
            site: self.settings.site_name.clone(),
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
        }
    }

    /// Asks the policy whether `caller` may do what `rule` guards to `target`; 403 if not.
    ///
    /// On create the target is the new object, on show and delete the stored one, on update both are asked for.
    pub fn enforce(&self, rule: RuleName, caller: &Caller, target: &Target) -> ApiResult<()> {
        if self.allows(rule, caller, target) {
            return Ok(());
        }
        Err(ApiError::new(
            Refusal::PolicyForbids,
            format!("Policy doesn't allow {rule} to be performed."),
        ))
    }

    /// Asks the policy without refusing.
    pub fn allows(&self, rule: RuleName, caller: &Caller, target: &Target) -> bool {
        self.rules
            .enforce(rule, &caller.credentials(), target)
            .is_allowed()
    }
}
