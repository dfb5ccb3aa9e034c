//! The service as a configuration describes it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use protector_clouds::{
    cloud_requests::CloudRequests,
    openstack_clouds::OpenStackClouds,
    site_sessions::{HttpWires, SiteSessions},
    there_readings::SharedNetworks,
};
use protector_core::{
    clock::SystemClock,
    new_id::{Ids, RandomIds},
    storage::StorageDriver,
};
use protector_openstack::{
    catalog::EndpointInterface,
    cloud::Cloud,
    credentials::{Credentials, ProjectScope},
    error::CallError,
    http_transport::{CaFile, HttpOptions, HttpTransport},
    options::ClientOptions,
    retry::RetryPolicy,
    session::Session,
};
use protector_oslo::{
    Config, ConfigErrors,
    audit::AuditTrail,
    config::ConfiguredInterface,
    log::LogError,
    policy::{Enforcer, PolicyErrors},
};
use protector_peer::{openstack_peer::OpenStackPeer, site_identity::SiteIdentity};
use protector_store::Database;

use crate::{
    app::{App, settings::Settings},
    http::{
        keystone_tokens::KeystoneTokens,
        metrics::ApiMetrics,
        rate_limit::Shares,
        token::{TokenMemory, TokenValidator},
    },
};

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The configuration lacks something.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The policy file is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyErrors),
    /// The audit trail cannot be written.
    #[error(transparent)]
    Audit(#[from] LogError),
    /// A CA file cannot be used.
    #[error(transparent)]
    Cloud(#[from] CallError),
}

/// How calls to the clouds behave, as `[openstack]` says.
pub fn client_options(config: &Config) -> ClientOptions {
    ClientOptions {
        exchange_timeout: config.openstack.request_timeout,
        retry: RetryPolicy {
            attempts: config.openstack.max_retries.saturating_add(1),
            ..RetryPolicy::default()
        },
        ..ClientOptions::default()
    }
}

fn shared_networks(config: &Config) -> SharedNetworks {
    match config.openstack.tenants_choose_addresses_on_shared_networks {
        true => SharedNetworks::TenantsChoose,
        false => SharedNetworks::OwnerChooses,
    }
}

/// How connections to the clouds are made, as `[openstack]` says.
pub fn http_options(config: &Config) -> HttpOptions {
    HttpOptions {
        connect_timeout: config.openstack.connect_timeout,
        cacert: ca_file(config.openstack.cafile.as_ref(), "[openstack] cafile"),
        insecure: false,
    }
}

fn ca_file(path: Option<&PathBuf>, named_by: &'static str) -> Option<CaFile> {
    path.cloned().map(|path| CaFile { path, named_by })
}

impl App {
    /// Puts the service together: clouds over HTTP, the policy file, tokens validated by the local Keystone.
    ///
    /// `database` must have its keys and the current schema. Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the configuration, the policy file or a CA file.
    pub fn from_config(
        config: &Config,
        database: Database,
        storage: Arc<dyn StorageDriver>,
    ) -> Result<Self, AssembleError> {
        let settings = Settings::from_config(config)?;
        let cloud_requests = CloudRequests::default();
        let wires = Arc::new(HttpWires::new(http_options(config)));
        let sessions = Arc::new(SiteSessions::new(
            database.clone(),
            wires,
            client_options(config),
            cloud_requests.clone(),
        ));
        let clock = Arc::new(SystemClock);
        let memory = TokenMemory {
            longest: config
                .keystone_authtoken
                .token_cache_time
                .unwrap_or(Duration::ZERO),
            ..TokenMemory::default()
        };
        let keystone = Arc::new(KeystoneTokens::new(
            local_keystone(config)?.with_observer(cloud_requests.of(&settings.site_name)),
        ));
        let ids: Arc<dyn Ids> = Arc::new(RandomIds);
        let identity = SiteIdentity {
            database: database.clone(),
            site: settings.site_name.clone(),
            clock: clock.clone(),
            ids: Arc::clone(&ids),
        };
        Ok(Self {
            database,
            rules: Enforcer::open(&config.oslo_policy.policy_file)?,
            tokens: TokenValidator::new(keystone, clock.clone(), memory),
            clouds: Arc::new(
                OpenStackClouds::new(sessions.clone())
                    .with_shared_networks(shared_networks(config)),
            ),
            peer: Arc::new(OpenStackPeer::new(sessions, identity)),
            storage,
            clock,
            ids,
            settings,
            shares: Shares::new((&config.rate_limit).into()),
            audit: AuditTrail::open(config, "protector-api")?,
            metrics: Arc::new(ApiMetrics::new(&cloud_requests)),
        })
    }
}

/// The local Keystone as the service user of `[keystone_authtoken]`. A tenant's request waits for it, so it is asked
/// for a short time only.
fn local_keystone(config: &Config) -> Result<Cloud, AssembleError> {
    let essentials = config.essentials()?;
    let keystone = &config.keystone_authtoken;
    let transport = HttpTransport::new(&HttpOptions {
        connect_timeout: keystone.http_connect_timeout,
        cacert: ca_file(keystone.cafile.as_ref(), "[keystone_authtoken] cafile"),
        insecure: keystone.insecure,
    })?;
    let options = ClientOptions {
        exchange_timeout: keystone.http_connect_timeout,
        deadline: keystone.http_connect_timeout,
        ..ClientOptions::default()
    };
    let credentials = Credentials {
        auth_url: essentials.auth_url,
        username: essentials.username,
        password: essentials.password,
        user_domain_name: keystone.user_domain_name.clone(),
        project: ProjectScope::Name {
            name: keystone.project_name.clone(),
            domain: keystone.project_domain_name.clone(),
        },
        region_name: keystone.region_name.clone(),
        interface: match keystone.interface {
            ConfiguredInterface::Internal => EndpointInterface::Internal,
            ConfiguredInterface::Public => EndpointInterface::Public,
            ConfiguredInterface::Admin => EndpointInterface::Admin,
        },
    };
    Ok(Cloud::new(Session::new(
        Arc::new(transport),
        credentials,
        options,
    )))
}
