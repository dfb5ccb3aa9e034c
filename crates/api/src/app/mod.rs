//! What the handlers stand on: the records, the policy, the clouds, the arrays, the clock.

use std::sync::Arc;

use protector_clouds::clouds::CloudReadings;
use protector_core::{clock::Clock, new_id::Ids, storage::StorageDriver};
use protector_oslo::{audit::AuditTrail, policy::Enforcer};
use protector_peer::{peer::Peer, site_identity::SiteIdentity};
use protector_store::Database;

use crate::{
    app::settings::Settings,
    http::{metrics::ApiMetrics, rate_limit::Shares, token::TokenValidator},
};

mod at_rest;
pub mod block_rule;
pub mod comparison;
pub mod elsewhere;
pub mod force;
pub mod group;
pub mod health;
pub mod member;
pub mod names;
pub mod orphan;
pub mod peer_key;
pub mod policy;
pub mod protect;
pub mod readiness;
pub mod recovery_plan;
pub mod recovery_points;
pub mod refusal;
pub mod reset_status;
pub mod retirement;
pub mod settings;
pub mod site;
pub mod site_validation;
pub mod start;
pub mod sync;
pub mod volume_type;

/// The service, put together. Handlers share one.
pub struct App {
    /// Groups, operations and all other records of this site.
    pub database: Database,
    /// Who may do what.
    pub rules: Enforcer,
    /// Who a token speaks for.
    pub tokens: TokenValidator,
    /// The clouds of the registered sites.
    pub clouds: Arc<dyn CloudReadings>,
    /// The protectors of the other sites.
    pub peer: Arc<dyn Peer>,
    pub storage: Arc<dyn StorageDriver>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
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
}
