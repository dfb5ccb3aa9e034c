//! What both services are made of: the database, the arrays, the ways into the clouds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use protector_api::assemble::{client_options, http_options};
use protector_ceph_rbd::{CephArray, CephOptions, CephRbdDriver};
use protector_clouds::{
    cloud_requests::CloudRequests,
    site_sessions::{HttpWires, SiteSessions},
};
use protector_core::storage::{ArrayRegistry, StorageDriver};
use protector_mock_array::{MockStorageDriver, mock_address};
use protector_openstack::options::ClientOptions;
use protector_oslo::{
    Config,
    config::{ArrayDriver, StorageArray},
};
use protector_store::{CopyQuota, Database, KeyRepository, PoolOptions, Quotas};

/// Connects to the database without looking at its schema.
///
/// # Errors
///
/// What is wrong with the connection.
pub async fn connect(config: &Config) -> anyhow::Result<Database> {
    connect_for(config, config.database.query_timeout).await
}

/// The same for what reads whole tables: an operator waits for it, and nobody else does.
///
/// # Errors
///
/// What is wrong with the connection.
pub async fn connect_to_manage(config: &Config) -> anyhow::Result<Database> {
    connect_for(config, WHOLE_TABLES).await
}

/// As long as reading all of a very large database may take.
const WHOLE_TABLES: Duration = Duration::from_secs(6 * 3600);

async fn connect_for(config: &Config, query_timeout: Duration) -> anyhow::Result<Database> {
    let pool = PoolOptions {
        max_connections: config.database.max_pool_size,
        query_timeout,
        ..PoolOptions::default()
    };
    let mut tried = 0;
    loop {
        let error = match Database::connect(&config.database.sqlx_url(), pool).await {
            Ok(database) => return Ok(database),
            Err(error) => error,
        };
        tried += 1;
        if config.database.max_retries.is_some_and(|most| tried > most) {
            return Err(error).context("[database] connection");
        }
        tracing::warn!(%error, tried, "the database does not answer, trying again");
        tokio::time::sleep(config.database.retry_interval).await;
    }
}

/// Connects to the database and sees that its schema and the keys are there.
///
/// # Errors
///
/// What is missing, with the command that makes it.
pub async fn database(config: &Config) -> anyhow::Result<Database> {
    let keys = KeyRepository::open(&config.secrets.key_repository).with_context(|| {
        format!(
            "[secrets] key_repository {}: run 'protector-manage keys setup'",
            config.secrets.key_repository.display()
        )
    })?;
    let quota = CopyQuota {
        groups: config.quota.peer_protection_groups,
        operations: config.quota.peer_operations,
    };
    let database = connect(config)
        .await?
        .with_keys(keys)
        .with_copy_quota(quota)
        .with_quotas(quotas(config));
    database.require_current_schema().await?;
    Ok(database)
}

fn quotas(config: &Config) -> Quotas {
    let quota = &config.quota;
    Quotas {
        protection_groups: quota.protection_groups,
        members_per_group: quota.members_per_group,
        open_operations: quota.open_operations,
    }
}

/// The arrays that the configuration enables, each with its driver.
///
/// # Errors
///
/// What is wrong with one of them, or with the catalogue of mock arrays.
pub async fn storage(config: &Config) -> anyhow::Result<Arc<dyn StorageDriver>> {
    let mut directories = BTreeMap::new();
    let mut clusters = Vec::new();
    for StorageArray { name, driver } in config.storage.arrays.clone() {
        match driver {
            ArrayDriver::Mock { directory } => {
                directories.insert(name, directory);
            }
            ArrayDriver::CephRbd {
                ceph_conf,
                user,
                keyring,
                pool,
            } => clusters.push(CephArray {
                name,
                conf: ceph_conf,
                client: user,
                keyring,
                pool,
            }),
            other => anyhow::bail!("[{name}] driver: {other:?} is not in this release"),
        }
    }
    let mut arrays: BTreeMap<String, Arc<dyn StorageDriver>> = BTreeMap::new();
    if !directories.is_empty() {
        let names: Vec<String> = directories.keys().map(|name| mock_address(name)).collect();
        let driver = MockStorageDriver::open(&config.storage.mock_catalogue, directories)
            .await
            .context("[storage] mock_catalogue")?;
        let driver = Arc::new(driver);
        arrays.extend(names.into_iter().map(|name| (name, driver.clone() as _)));
    }
    if !clusters.is_empty() {
        let names: Vec<String> = clusters.iter().map(|array| array.name.clone()).collect();
        let driver = CephRbdDriver::new(clusters, CephOptions::default())
            .context("[storage] enabled_arrays")?;
        let driver = Arc::new(driver);
        arrays.extend(names.into_iter().map(|name| (name, driver.clone() as _)));
    }
    Ok(Arc::new(ArrayRegistry::new(arrays)))
}

/// Sessions with the clouds of the registered sites, for an engine. A call takes half of the engine's lease at most: one
/// that changes something is sent only while it certainly ends before that. What is exchanged is counted into `counts`.
pub fn engine_sessions(
    config: &Config,
    database: &Database,
    counts: CloudRequests,
) -> Arc<SiteSessions> {
    let longest = config.engine.lease / 2;
    let options = client_options(config);
    let options = ClientOptions {
        exchange_timeout: options.exchange_timeout.min(longest),
        ..options
    };
    let wires = Arc::new(HttpWires::new(http_options(config)));
    let database = database.clone();
    Arc::new(SiteSessions::new(database, wires, options, counts))
}
