//! Accepted work that ends later.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::cloud::{SimCloud, SimTime, compute::Server, faults::Work};

/// A piece of accepted work. Each is one message to a worker in the real thing.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// A build that hung is accepted.
    ServerAccepted(Box<Server>),
    /// A build got its host.
    ServerScheduled(Uuid),
    /// A build is over.
    ServerSpawned(Uuid),
    /// A delete is over.
    ServerDeleted(Uuid),
    /// A deleted server is not shown any more.
    ServerForgotten(Uuid),
    /// A power change is over.
    ServerStopped(Uuid),
    ServerStarted(Uuid),
    ServerRebooted(Uuid),
    /// An attach or detach is over: server, volume.
    Attached(Uuid, Uuid),
    Detached(Uuid, Uuid),
    VolumeCreated(Uuid),
    VolumeDeleted(Uuid),
    /// Volume, name of the backend object.
    VolumeManaged(Uuid, Option<String>),
    VolumeUnmanaged(Uuid),
    SnapshotCreated(Uuid),
    SnapshotDeleted(Uuid),
    GroupCreated(Uuid),
    GroupUpdated {
        group: Uuid,
        add: Vec<Uuid>,
        remove: Vec<Uuid>,
    },
    GroupDeleted {
        group: Uuid,
        delete_volumes: bool,
    },
}

impl Job {
    /// What kind of work this is, and on what; nothing where it cannot be held.
    fn work(&self) -> Option<(Work, Uuid)> {
        Some(match self {
            Self::ServerSpawned(id) => (Work::ServerBuild, *id),
            Self::ServerDeleted(id) => (Work::ServerDelete, *id),
            Self::ServerStopped(id) => (Work::ServerStop, *id),
            Self::ServerStarted(id) | Self::ServerRebooted(id) => (Work::ServerStart, *id),
            Self::VolumeCreated(id) => (Work::VolumeCreate, *id),
            Self::VolumeDeleted(id) => (Work::VolumeDelete, *id),
            Self::Attached(_, volume) => (Work::Attach, *volume),
            Self::Detached(_, volume) => (Work::Detach, *volume),
            Self::VolumeManaged(id, _) => (Work::Manage, *id),
            Self::VolumeUnmanaged(id) => (Work::Unmanage, *id),
            Self::ServerAccepted(_)
            | Self::ServerScheduled(_)
            | Self::ServerForgotten(_)
            | Self::SnapshotCreated(_)
            | Self::SnapshotDeleted(_)
            | Self::GroupCreated(_)
            | Self::GroupUpdated { .. }
            | Self::GroupDeleted { .. } => return None,
        })
    }
}

/// Due time, and number in the order of acceptance.
type JobOrder = (SimTime, u64);

/// Jobs by due time, then by order of acceptance.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobQueue {
    jobs: BTreeMap<JobOrder, Job>,
    issued: u64,
}

impl JobQueue {
    pub(crate) fn push(&mut self, due: SimTime, job: Job) {
        self.issued += 1;
        self.jobs.insert((due, self.issued), job);
    }

    /// The place of the first one that is not held.
    fn first(&self, is_held: impl Fn(&Job) -> bool) -> Option<JobOrder> {
        let mut jobs = self.jobs.iter();
        jobs.find(|(_, job)| !is_held(job)).map(|(place, _)| *place)
    }
}

impl SimCloud {
    /// Runs what is due by `now`, in order, each at its own time.
    pub fn advance(&mut self, now: SimTime) {
        while let Some((due, job)) = self.take_due(now) {
            self.now = self.now.max(due);
            self.run(job);
        }
        self.now = self.now.max(now);
    }

    /// When the next job is due that no fault holds, if there is one.
    pub fn next_due(&self) -> Option<SimTime> {
        let place = self.jobs.first(|job| self.is_held(job));
        place.map(|(due, _)| due)
    }

    fn take_due(&mut self, now: SimTime) -> Option<(SimTime, Job)> {
        let place = self.jobs.first(|job| self.is_held(job))?;
        if place.0 > now {
            return None;
        }
        self.jobs.jobs.remove(&place).map(|job| (place.0, job))
    }

    fn is_held(&self, job: &Job) -> bool {
        let Some((work, id)) = job.work() else {
            return false;
        };
        !self.faults.rules().is_empty()
            && self
                .faults
                .hold(work, &id.to_string(), self.name_of(id).as_deref())
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::ServerAccepted(server) => self.server_accepted(*server),
            Job::ServerScheduled(id) => self.server_scheduled(id),
            Job::ServerSpawned(id) => self.server_spawned(id),
            Job::ServerDeleted(id) => self.server_deleted(id),
            Job::ServerForgotten(id) => self.remove_server(id),
            Job::ServerStopped(id) => self.server_stopped(id),
            Job::ServerStarted(id) | Job::ServerRebooted(id) => self.server_started(id),
            Job::Attached(server, volume) => self.volume_attached(server, volume),
            Job::Detached(server, volume) => self.volume_detached(server, volume),
            Job::VolumeCreated(id) => self.volume_created(id),
            Job::VolumeDeleted(id) => self.volume_deleted(id),
            Job::VolumeManaged(id, name) => self.volume_managed(id, name.as_deref()),
            Job::VolumeUnmanaged(id) => self.volume_unmanaged(id),
            Job::SnapshotCreated(id) => self.snapshot_created(id),
            Job::SnapshotDeleted(id) => self.snapshot_deleted(id),
            Job::GroupCreated(id) => self.group_created(id),
            Job::GroupUpdated { group, add, remove } => self.group_updated(group, &add, &remove),
            Job::GroupDeleted {
                group,
                delete_volumes,
            } => self.group_deleted(group, delete_volumes),
        }
    }

    /// Queues `job` after `delay`, with the cloud's jitter.
    pub(crate) fn later(&mut self, delay: SimTime, job: Job) {
        let delay = self.spread(delay);
        self.jobs.push(self.now + delay, job);
    }

    pub(crate) fn spread(&mut self, delay: SimTime) -> SimTime {
        let jitter = self.options.latency.jitter;
        if jitter <= 0.0 {
            return delay;
        }
        let factor = 1.0 + jitter * (2.0 * self.ids.fraction() - 1.0);
        delay.mul_f64(factor.max(0.0))
    }
}
