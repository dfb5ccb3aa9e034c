//! What an operator can adjust about an engine (`[engine]` in `protector.conf`).

use std::{collections::BTreeSet, time::Duration};

use protector_core::id::UserId;

/// The engine's adjustable values.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// One deadline per deleted resource, for all its tries and waits (`cleanup_timeout_seconds`).
    pub cleanup_timeout: Duration,
    /// How often a failed deletion is retried (`cleanup_retry_attempts`). Not used by manual cleanup.
    pub cleanup_retry_attempts: u32,
    /// How long a server may take to shut down before it is stopped hard.
    pub stop_timeout: Duration,
    /// How long a server may take to become `ACTIVE`.
    pub build_timeout: Duration,
    /// How long a copy must stay `ACTIVE` before it counts as healthy.
    pub health_check: Duration,
    /// How long the source of a retry must answer nothing until it is taken for lost; half of it for one answer.
    pub lost_source: Duration,
    /// How long the probe of a recovery plan may fail, where the plan says nothing else.
    pub probe_timeout: Duration,
    /// How long Cinder may take to import a volume.
    pub manage_timeout: Duration,
    /// How long an array may take to replicate a group, or to promote a volume.
    pub replication_timeout: Duration,
    /// How often a resource that is changing is looked at.
    pub status_poll: Duration,
    /// The first pause after a failure that may pass; doubled with each further one.
    pub first_backoff: Duration,
    /// The longest such pause.
    pub longest_backoff: Duration,
    /// How often the journal is asked for work.
    pub poll_interval: Duration,
    /// How long an operation stays this engine's without a sign of life.
    pub lease: Duration,
    /// How many operations of each lane get on at the same time (`max_concurrent_operations`).
    pub concurrent_operations: usize,
    /// How many of them may be one project's (`max_concurrent_operations_per_project`).
    pub operations_per_project: usize,
    /// How many steps may call one cloud's Nova at the same time.
    pub compute_concurrency: usize,
    /// How many steps may call one cloud's Cinder at the same time.
    pub volume_concurrency: usize,
    /// How many steps may work on the arrays at the same time.
    pub storage_concurrency: usize,
    /// How long calls under way may take to end when the engine is told to stop.
    pub graceful_stop: Duration,
    /// The users here as whom the other sites' protectors come, beside this one's own (`[DEFAULT] peer_user_ids`).
    pub peer_users: BTreeSet<UserId>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cleanup_timeout: Duration::from_secs(300),
            cleanup_retry_attempts: 3,
            stop_timeout: Duration::from_secs(300),
            build_timeout: Duration::from_secs(900),
            health_check: Duration::from_secs(5),
            lost_source: Duration::from_secs(60),
            probe_timeout: Duration::from_secs(300),
            manage_timeout: Duration::from_secs(300),
            replication_timeout: Duration::from_secs(3600),
            status_poll: Duration::from_secs(1),
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(30),
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(120),
            concurrent_operations: 40,
            operations_per_project: 20,
            compute_concurrency: 10,
            volume_concurrency: 10,
            storage_concurrency: 4,
            graceful_stop: Duration::from_secs(20),
            peer_users: BTreeSet::new(),
        }
    }
}
