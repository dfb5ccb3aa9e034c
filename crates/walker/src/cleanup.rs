//! Cleanups of an operation that left something behind, as operations under schedules of their own.

use std::collections::BTreeMap;

use protector_core::{clock::Clock, id::OperationId};
use protector_simcloud::in_process::lock;

use crate::{
    operations::{cleanup_named, cleanup_with_floating_ips},
    scenario::Circumstance,
    trouble,
    world::{WalkOutcome, World},
};

/// After this many cleanups, the last ones undisturbed, nothing may be left.
const CLEANUPS: u32 = 3;

impl World {
    /// Runs the operation in peace, mends the clouds, and cleans up: `at_once` times side by side while the schedule's
    /// faults happen, then again in peace until nothing is left.
    pub async fn run_and_clean_up(self, at_once: u32) -> WalkOutcome {
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        trouble::mend([&self.source.cloud, &self.target.cloud]);
        for site in [&self.source, &self.target] {
            lock(&site.cloud).reset_call_log();
        }
        let mut cleanups = Vec::new();
        self.injector.arm();
        let first: Vec<OperationId> = (1..=at_once)
            .filter_map(|number| self.ask_for_cleanup(number))
            .collect();
        for id in &first {
            self.settled(id).await;
        }
        self.aftermath().await;
        cleanups.extend(first);
        self.injector.disarm();
        for number in at_once + 1..=CLEANUPS {
            let Some(id) = self.ask_for_cleanup(number) else {
                break;
            };
            self.settled(&id).await;
            cleanups.push(id);
        }
        engines.end().await;
        let cleanups = cleanups
            .iter()
            .filter_map(|id| self.journal.operation(id))
            .collect();
        self.outcome(cleanups)
    }

    /// Adds a cleanup of what is left, as the API does; `None` where nothing is.
    fn ask_for_cleanup(&self, number: u32) -> Option<OperationId> {
        let parent = self.journal.operation(&self.operation)?;
        let id = OperationId::new(format!("op-7a3f2c11-0002-4b22-a918-{number:012}"));
        let cleanup = match self.options.scenario.has(Circumstance::FloatingIpsReleased) {
            true => cleanup_with_floating_ips,
            false => cleanup_named,
        };
        let cleanup = cleanup(id.clone(), &parent, self.clock.now());
        if cleanup.steps.is_empty() {
            return None;
        }
        self.journal.insert(cleanup);
        Some(id)
    }

    /// Deletions of one resource that its cloud accepted more than once since the logs were emptied.
    pub(crate) fn deleted_twice(&self) -> Vec<String> {
        let mut accepted: BTreeMap<String, u32> = BTreeMap::new();
        for site in [&self.source, &self.target] {
            for call in lock(&site.cloud).call_log() {
                if call.method == "DELETE" && (200..300).contains(&call.status) {
                    *accepted.entry(call.path.clone()).or_default() += 1;
                }
            }
        }
        accepted
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(path, times)| format!("{path}: {times} times"))
            .collect()
    }
}
