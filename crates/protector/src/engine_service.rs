//! `protector-engine`: carries operations out and tells the other site of each change.

use std::{
    fs::{DirBuilder, File},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use prometheus_client::metrics::gauge::Gauge;
use protector_clouds::openstack_clouds::OpenStackClouds;
use protector_core::{
    clock::{Clock, SystemClock},
    id::{EngineId, SiteName, UserId},
    new_id::RandomIds,
    outside::AllowedOutside,
    runbook::BOOK_VERSION,
};
use protector_engine::{engine::Engine, options::EngineOptions, step::CloudActions};
use protector_oslo::{Config, audit::AuditTrail, log::LogFile};
use protector_peer::{
    openstack_peer::OpenStackPeer, peer::Peer, peer_protector::PeerProtector,
    site_identity::SiteIdentity,
};
use protector_reconcilers::{
    member_refresh::MemberRefresher, push::PushReconciler, split_brain_watch::SplitBrainWatch,
};
use protector_service::signals;
use protector_store::{Database, EngineRow};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    assembly, backlog::Backlog, engine_http::EngineHttp, metrics::EngineMetrics, outside::Network,
    removal_audit::RemovalAudit, site_clouds::SiteClouds, watched_journal::WatchedJournal,
};

/// How often an engine says that it is alive (`protector-manage service list`).
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Runs the engine until it is told to stop.
///
/// # Errors
///
/// What kept it from starting.
pub async fn run(config: Config, log: Option<Arc<LogFile>>) -> anyhow::Result<()> {
    let essentials = config.essentials()?;
    let seat = StateLock::taken(&config.general.state_path)?;
    let database = assembly::database(&config).await?;
    let storage = assembly::storage(&config).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = signals::stop_on_signal()?;
    let trail = Arc::new(AuditTrail::open(&config, "protector-engine")?);
    let files: Vec<_> = log.into_iter().chain(trail.file().cloned()).collect();
    signals::on_hangup(move || signals::reopen(&files))?;
    let id = EngineId::new(format!("{}@{}", config.general.host, essentials.site_name));
    let options = engine_options(&config);
    let metrics = Arc::new(EngineMetrics::default());
    let counts = metrics.cloud_requests.clone();
    let sessions = assembly::engine_sessions(&config, &database, counts);
    let clouds = Arc::new(SiteClouds::new(Arc::clone(&sessions)));
    let outside = Network::new(AllowedOutside::new(
        config.engine.hook_url_prefixes.clone(),
        config.engine.probe_networks.clone(),
    ))?;
    let watch = SplitBrainWatch {
        database: database.clone(),
        clouds: clouds.clone(),
        clock: Arc::clone(&clock),
        period: config.engine.split_brain_check,
    };
    let site = SiteName::from(essentials.site_name);
    let identity = SiteIdentity {
        database: database.clone(),
        site: site.clone(),
        clock: Arc::clone(&clock),
        ids: Arc::new(RandomIds),
    };
    let refresh = MemberRefresher {
        database: database.clone(),
        clouds: Arc::new(OpenStackClouds::new(sessions.clone())),
        clock: Arc::clone(&clock),
        site: site.clone(),
        period: config.engine.spec_refresh,
    };
    let peer: Arc<dyn Peer> = Arc::new(OpenStackPeer::new(sessions, identity));
    let other = PeerProtector {
        database: database.clone(),
        peer: Arc::clone(&peer),
        site: site.clone(),
    };
    let actions = CloudActions::new(clouds, storage, options.clone());
    let actions = actions.with_outside(Arc::new(outside));
    let actions = Arc::new(actions.beside(site.clone(), Arc::new(other)));
    let push = PushReconciler {
        database: database.clone(),
        peer,
        clock: Arc::clone(&clock),
        site,
        failures: metrics.push_failures.clone(),
        period: config.engine.poll_interval,
    };
    let engine = Engine::new(
        seat.id.clone(),
        Arc::new(WatchedJournal::new(
            Arc::new(database.clone()),
            Arc::clone(&metrics),
            RemovalAudit::new(&trail),
        )),
        actions,
        Arc::clone(&clock),
        options,
    );
    let engine = match seat.before {
        Some(dead) => engine.in_place_of(dead),
        None => engine,
    };
    info!(engine = %id, process = %seat.id, "started");
    let heart = Heartbeat {
        database: database.clone(),
        writable: metrics.database_writable.clone(),
        clock: Arc::clone(&clock),
        row: EngineRow {
            id: id.clone(),
            host: config.general.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            book_version: BOOK_VERSION,
            started_at: clock.now(),
            seen_at: clock.now(),
            stopping: false,
        },
    };
    let http = EngineHttp {
        database: database.clone(),
        backlog: Arc::new(Backlog::new(
            database.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        )),
        metrics,
    };
    let patience = whole_stop(&config);
    let work = async {
        tokio::join!(
            engine.run(stop.clone()),
            push.run(stop.clone()),
            watch.run(stop.clone()),
            refresh.run(stop.clone()),
            heart.beat(stop.clone()),
            http.run(&config, stop.clone())
        );
        database.close().await
    };
    tokio::select! {
        closed = work => closed?,
        () = async { stop.cancelled().await; tokio::time::sleep(patience).await } => {
            warn!("the work in flight did not end in time; another start goes on with it");
        }
    }
    info!("stopped");
    Ok(())
}

/// How long a stopping engine may take as a whole: the calls in flight, and a little to write down how they ended.
fn whole_stop(config: &Config) -> Duration {
    config
        .general
        .graceful_shutdown_timeout
        .map_or(Duration::MAX / 4, |calls| calls + Duration::from_secs(5))
}

/// The place of an engine: one per state directory.
///
/// Whose lock on `engine.lock` it is, that process is the only one there, and the one before it is dead, however it ended:
/// a lock goes with its process. The file names the process, so that the next one knows whose leases it may end. The name of
/// the host is no proof: two engines may have the same.
#[derive(Debug)]
struct StateLock {
    /// This process: what its leases are held under.
    id: EngineId,
    /// The process that had the seat before, which is dead.
    before: Option<EngineId>,
    _lock: File,
}

impl StateLock {
    fn taken(state_path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(state_path)
            .with_context(|| format!("[DEFAULT] state_path {}", state_path.display()))?;
        Self::on(&state_path.join("engine.lock"))
    }

    fn on(path: &Path) -> anyhow::Result<Self> {
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(path)
            .with_context(|| path.display().to_string())?;
        lock.try_lock().map_err(|_| {
            anyhow::anyhow!(
                "another engine runs with the same [DEFAULT] state_path: {} is locked",
                path.display()
            )
        })?;
        let mut before = String::new();
        lock.read_to_string(&mut before)?;
        let id = new_engine_id();
        lock.rewind()?;
        lock.set_len(0)?;
        lock.write_all(id.as_str().as_bytes())?;
        lock.sync_all()?;
        let before = before.trim();
        Ok(Self {
            id,
            before: (!before.is_empty()).then(|| EngineId::new(before)),
            _lock: lock,
        })
    }
}

fn engine_options(config: &Config) -> EngineOptions {
    let engine = &config.engine;
    EngineOptions {
        cleanup_timeout: engine.cleanup_timeout,
        cleanup_retry_attempts: engine.cleanup_retry_attempts,
        stop_timeout: engine.stop_timeout,
        build_timeout: engine.build_timeout,
        health_check: engine.health_check,
        lost_source: engine.lost_source,
        probe_timeout: engine.probe_timeout,
        manage_timeout: engine.manage_timeout,
        replication_timeout: engine.replication_timeout,
        status_poll: engine.status_poll,
        poll_interval: engine.poll_interval,
        lease: engine.lease,
        concurrent_operations: engine.max_concurrent_operations.get(),
        operations_per_project: engine.max_concurrent_operations_per_project.get(),
        compute_concurrency: engine.compute_concurrency_per_cloud.get(),
        volume_concurrency: engine.volume_concurrency_per_cloud.get(),
        storage_concurrency: engine.storage_concurrency.get(),
        graceful_stop: config
            .general
            .graceful_shutdown_timeout
            .unwrap_or(Duration::MAX / 4),
        peer_users: config
            .general
            .peer_user_ids
            .iter()
            .map(UserId::new)
            .collect(),
        ..EngineOptions::default()
    }
}

/// Says that the engine is alive.
struct Heartbeat {
    database: Database,
    writable: Gauge,
    clock: Arc<dyn Clock>,
    row: EngineRow,
}

impl Heartbeat {
    async fn beat(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.once(self.clock.now()).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
        }
        self.row.stopping = true;
        self.once(self.clock.now()).await;
    }

    async fn once(&mut self, now: DateTime<Utc>) {
        self.row.seen_at = now;
        let written = self.database.engine_heartbeat(&self.row).await;
        self.writable.set(i64::from(written.is_ok()));
        if let Err(error) = written {
            warn!(%error, "cannot say that the engine is alive");
        }
    }
}

/// An engine is another one at each start.
#[allow(
    clippy::disallowed_methods,
    reason = "what engines do hangs on no order of their ids"
)]
fn new_engine_id() -> EngineId {
    EngineId::new(Uuid::new_v4().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_taken_once_and_names_the_process_that_had_it_before() {
        let directory = tempfile::tempdir().unwrap();
        let first = StateLock::taken(directory.path()).unwrap();
        assert_eq!(first.before, None);
        let refused = format!("{:#}", StateLock::taken(directory.path()).unwrap_err());
        assert!(
            refused.contains("the same [DEFAULT] state_path"),
            "{refused}"
        );
        let id = first.id.clone();
        drop(first);
        let second = StateLock::taken(directory.path()).unwrap();
        assert_eq!(second.before, Some(id));
        assert_ne!(Some(&second.id), second.before.as_ref());
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(StateLock::taken(elsewhere.path()).unwrap().before, None);
    }
}
