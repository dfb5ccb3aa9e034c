//! Looks at both clouds at every call: did a server and its copy ever run together (invariant I10)?

use std::sync::atomic::{AtomicBool, Ordering};

use crate::in_process::{SharedCloud, lock};

/// Remembers what must never be seen.
pub(super) struct Watch {
    source: SharedCloud,
    target: SharedCloud,
    both_running: AtomicBool,
}

impl Watch {
    pub fn new(source: SharedCloud, target: SharedCloud) -> Self {
        Self {
            source,
            target,
            both_running: AtomicBool::new(false),
        }
    }

    /// Takes a look.
    pub fn look(&self) {
        let copies: Vec<String> = lock(&self.target)
            .servers()
            .into_iter()
            .filter(|server| server.running)
            .filter_map(|server| server.metadata.get("protector:source").cloned())
            .collect();
        if copies.is_empty() {
            return;
        }
        let both = lock(&self.source)
            .servers()
            .iter()
            .any(|server| server.running && copies.contains(&server.id));
        if both {
            self.both_running.store(true, Ordering::SeqCst);
        }
    }

    pub fn saw_both_running(&self) -> bool {
        self.both_running.load(Ordering::SeqCst)
    }
}
