//! Looks at both clouds at every call: did a server and its copy, or two copies of it, ever run together (invariant I10), and
//! did a guest ever run on a disk that takes no writes?

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protector_simcloud::{
    backend::{MemObjects, MemVolume},
    in_process::{SharedCloud, lock},
};
use tokio::time::Instant;

/// Looks are at least this far apart: nothing that a cloud does takes less, and a look at a large cloud is dear.
const PAUSE: Duration = Duration::from_millis(10);

/// Remembers what must never be seen.
pub(crate) struct Watch {
    source: SharedCloud,
    target: SharedCloud,
    objects: [MemObjects; 2],
    both_running: AtomicBool,
    on_a_replica: AtomicBool,
    last_look: Mutex<Option<Instant>>,
}

impl Watch {
    pub fn new(source: SharedCloud, target: SharedCloud, objects: [MemObjects; 2]) -> Self {
        Self {
            source,
            target,
            objects,
            both_running: AtomicBool::new(false),
            on_a_replica: AtomicBool::new(false),
            last_look: Mutex::default(),
        }
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = self
            .last_look
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if due {
            *last = Some(now);
        }
        due
    }

    pub fn look(&self) {
        if !self.is_due() {
            return;
        }
        self.look_at_disks();
        let copies: Vec<String> = lock(&self.target)
            .servers()
            .into_iter()
            .filter(|server| server.running)
            .filter_map(|server| server.metadata.get("protector:source").cloned())
            .collect();
        if copies.is_empty() {
            return;
        }
        let different: BTreeSet<&String> = copies.iter().collect();
        if different.len() < copies.len() {
            self.both_running.store(true, Ordering::SeqCst);
        }
        let both = lock(&self.source)
            .servers()
            .iter()
            .any(|server| server.running && copies.contains(&server.id));
        if both {
            self.both_running.store(true, Ordering::SeqCst);
        }
    }

    fn look_at_disks(&self) {
        for (cloud, objects) in [&self.source, &self.target].into_iter().zip(&self.objects) {
            let objects = objects.lock().unwrap_or_else(PoisonError::into_inner);
            if !objects.values().any(MemVolume::is_replica) {
                continue;
            }
            let is_replica = |id: &String| {
                let object = objects.get(&format!("volume-{id}"));
                object.is_none_or(MemVolume::is_replica)
            };
            let servers = lock(cloud).servers();
            let mut running = servers.iter().filter(|server| server.running);
            if running.any(|server| server.volumes.iter().any(is_replica)) {
                self.on_a_replica.store(true, Ordering::SeqCst);
            }
        }
    }

    pub fn saw_one_on_a_replica(&self) -> bool {
        self.on_a_replica.load(Ordering::SeqCst)
    }

    pub fn saw_both_running(&self) -> bool {
        self.both_running.load(Ordering::SeqCst)
    }
}
