//! One simulated cloud: Keystone, Nova, Cinder, Neutron and Glance as a pure state machine.
//!
//! Nothing in here knows a clock, a thread or a socket. A request comes in with the time at which it comes
//! in; work that was due by then is done first; the answer says what the wire should do with it. The same
//! seed and the same requests at the same times always give the same answers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use crate::cloud::{
    call::SimulatedService,
    exchange::{Delivery, Exchange},
    faults::{CallEffect, Component, FaultEffect, FaultRule, JobEffect, Match, Work},
    latency::Latency,
    log::CallRecord,
    options::{
        CloudOptions, FlavorSeed, ImageSeed, KeypairSeed, NetworkSeed, RoleSeed, ServerSeed,
        ServiceSeed, SimulatedQuotas, TypeSeed, UserSeed, user,
    },
    state::{FloatingFacts, PortFacts, ServerFacts, VolumeFacts},
};
use crate::{
    backend::VolumeBackend,
    cloud::{
        compute::Compute, faults::Faults, identity::IdentityService, ids::IdSource, image::Images,
        jobs::JobQueue, log::CallLog, network::NetworkService, volume::BlockStorage,
    },
};

/// Time since the cloud started.
pub type SimTime = Duration;

/// One cloud. See the module for what it does and does not know.
pub struct SimCloud {
    options: CloudOptions,
    ids: IdSource,
    now: SimTime,
    identity: IdentityService,
    compute: Compute,
    volumes: BlockStorage,
    network: NetworkService,
    images: Images,
    jobs: JobQueue,
    faults: Faults,
    log: CallLog,
    backend: Box<dyn VolumeBackend>,
}

impl std::fmt::Debug for SimCloud {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SimCloud")
            .field("name", &self.options.name)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl SimCloud {
    /// Makes the cloud that `options` describe, with its volumes' bytes in `backend`. Seeds that name a
    /// project, user, flavor, network, type or image that is not there are left out.
    pub fn new(options: CloudOptions, backend: Box<dyn VolumeBackend>) -> Self {
        let ids = IdSource::new(options.seed, &options.name);
        let identity = IdentityService::seed(&options, &ids);
        let images = Images::seed(&options, &ids);
        let network = NetworkService::seed(&options, &ids, &identity);
        let volumes = BlockStorage::seed(&options, &ids);
        let compute = Compute::seed(&options, &ids, &identity);
        let mut cloud = Self {
            options,
            ids,
            now: SimTime::ZERO,
            identity,
            compute,
            volumes,
            network,
            images,
            jobs: JobQueue::default(),
            faults: Faults::default(),
            log: CallLog::default(),
            backend,
        };
        cloud.seed_servers();
        cloud
    }

    /// The wall clock of this cloud at `time`.
    fn wall(&self, time: SimTime) -> DateTime<Utc> {
        let delta = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        self.options
            .epoch
            .checked_add_signed(delta)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// As Nova and Neutron print times.
    fn stamp(&self, time: SimTime) -> String {
        self.wall(time).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// As Cinder and some of Nova print times.
    fn stamp_micro(&self, time: SimTime) -> String {
        self.wall(time).format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
    }

    fn service_url(&self, service: SimulatedService) -> String {
        format!("{}/{}", self.options.base_url, service.prefix())
    }

    fn service_down_after(&self) -> Duration {
        Duration::from_secs(self.options.service_down_seconds)
    }
}

pub mod call;
pub mod compute;
pub mod exchange;
pub mod faults;
pub mod identity;
pub mod ids;
pub mod image;
pub mod jobs;
pub mod latency;
pub mod log;
pub mod network;
pub mod options;
pub mod reply;
pub mod schema;
pub mod state;
pub mod table;
pub mod volume;
