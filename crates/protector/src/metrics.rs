//! What the engine counts of its work, for Prometheus.
//!
//! The counts are taken at the journal ([`crate::watched_journal`]): what is counted is what was written down, and the engine
//! itself does not know of them. Labels are kinds, actions and outcomes; no id and no name of a tenant.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use protector_clouds::cloud_requests::CloudRequests;
use protector_core::queue::Lane;
use protector_store::Queued;

/// The upper bounds of the steps' histogram in seconds: from a look to a replication of hours.
const SECONDS: [f64; 12] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Operations {
    pub(crate) kind: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Steps {
    pub(crate) action: String,
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Actions {
    pub(crate) action: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lanes {
    lane: &'static str,
}

/// The counters of one engine process, and its gauges.
pub struct EngineMetrics {
    registry: Registry,
    pub(crate) operations: Family<Operations, Counter>,
    pub(crate) steps: Family<Steps, Counter>,
    pub(crate) durations: Family<Actions, Histogram, fn() -> Histogram>,
    pub(crate) leases_lost: Counter,
    pub(crate) claimed: Counter,
    pub(crate) looked_at: Gauge,
    claimable: Gauge,
    longest_wait: Family<Lanes, Gauge<f64, AtomicU64>>,
    /// The age in seconds of the oldest change of a group that the other site does not have; 0 when it has all.
    pub unpushed: Gauge<f64, AtomicU64>,
    /// What ended operations have left behind.
    pub leftovers: Gauge,
    /// 1 when the engine's last report that it is alive was written, 0 when the database did not take it.
    pub database_writable: Gauge,
    /// Metadata that could not be handed to the other site.
    pub push_failures: Counter,
    /// The calls to the clouds.
    pub cloud_requests: CloudRequests,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            operations: Family::default(),
            steps: Family::default(),
            durations: Family::new_with_constructor(histogram),
            leases_lost: Counter::default(),
            claimed: Counter::default(),
            looked_at: Gauge::default(),
            claimable: Gauge::default(),
            longest_wait: Family::default(),
            unpushed: Gauge::default(),
            leftovers: Gauge::default(),
            database_writable: Gauge::default(),
            push_failures: Counter::default(),
            cloud_requests: CloudRequests::default(),
        };
        metrics.register();
        metrics.register_gauges();
        metrics.cloud_requests.register(&mut metrics.registry);
        metrics
    }
}

impl EngineMetrics {
    /// Notes what waits for an engine: all that does.
    pub fn note_queue(&self, queue: &[Queued]) {
        self.claimable
            .set(i64::try_from(queue.len()).unwrap_or(i64::MAX));
        for lane in Lane::ALL {
            let waits = queue.iter().filter(|one| one.lane == lane);
            let longest = waits.map(|one| one.wait).max().unwrap_or_default();
            let lane = lane.as_str();
            self.longest_wait
                .get_or_create(&Lanes { lane })
                .set(longest.as_secs_f64());
        }
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "protector_operations",
            "Operations that this engine brought to their end, by kind and outcome",
            self.operations.clone(),
        );
        registry.register(
            "protector_steps",
            "Steps that this engine brought to their end, by action and outcome",
            self.steps.clone(),
        );
        registry.register_with_unit(
            "protector_step_duration",
            "Time from a step's first look to its end, waits and retries included, by action",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "protector_leases_lost",
            "Operations that another engine took over while this one worked on them",
            self.leases_lost.clone(),
        );
        registry.register(
            "protector_metadata_push_failures",
            "Pushes of a group's metadata that the other site did not accept",
            self.push_failures.clone(),
        );
        registry.register(
            "protector_operations_claimed",
            "Operations that this engine took up, those of an engine that died or stopped included",
            self.claimed.clone(),
        );
    }

    fn register_gauges(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "protector_poll_last_success_timestamp",
            "When this engine last looked for work and the database answered; 0 before the first time",
            Unit::Seconds,
            self.looked_at.clone(),
        );
        registry.register(
            "protector_operations_claimable",
            "Operations of this site that no engine works on and that one could take up",
            self.claimable.clone(),
        );
        registry.register_with_unit(
            "protector_operation_longest_wait",
            "For how long the operation that has waited longest for an engine waits, by lane; 0 when none does",
            Unit::Seconds,
            self.longest_wait.clone(),
        );
        registry.register_with_unit(
            "protector_metadata_unpushed",
            "Age of the oldest change of a group that the other site does not have; 0 when it has all",
            Unit::Seconds,
            self.unpushed.clone(),
        );
        registry.register(
            "protector_database_writable",
            "1 when the database took this engine's last report that it is alive, 0 when it did not",
            self.database_writable.clone(),
        );
        registry.register(
            "protector_leftovers",
            "Resources that ended operations of this site have left behind and nobody has cleaned up",
            self.leftovers.clone(),
        );
    }

    /// All of them, to be written out.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
