//! Pushes each change of a group to the protector of its other site, so that a failover can be started from either.
//!
//! Takes no input: it looks which groups are ahead of what the other site is known to hold. A failed push is tried again,
//! ever more slowly; the newest version is always what is pushed.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use prometheus_client::metrics::counter::Counter;
use protector_api::{
    peer::{Peer, other_scope},
    wire::metadata::NewMetadata,
};
use protector_core::{clock::Clock, id::SiteName};
use protector_store::{Database, PushDue};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many groups are pushed per look.
const AT_ONCE: u64 = 50;
/// The longest pause after failed pushes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The reconciler.
pub struct MetadataPush {
    /// This site's records.
    pub database: Database,
    /// The other sites' protectors.
    pub peer: Arc<dyn Peer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This site.
    pub site: SiteName,
    /// Counts pushes that failed.
    pub failures: Counter,
    /// How often it looks.
    pub period: Duration,
}

impl MetadataPush {
    /// Looks and pushes until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            self.push_all().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    async fn push_all(&self) {
        match self.database.push_due(self.clock.now(), AT_ONCE).await {
            Ok(due) => {
                for group in due {
                    self.push(group).await;
                }
            }
            Err(error) => warn!(%error, "cannot look for metadata to push"),
        }
    }

    async fn push(&self, due: PushDue) {
        let group = &due.group;
        let now = self.clock.now();
        let noted = match self.hand_over(&due).await {
            Ok(version) => {
                info!(group_id = %group.id, version, "metadata pushed");
                self.database.push_done(&group.id, version, now).await
            }
            Err(error) => {
                self.failures.inc();
                warn!(group_id = %group.id, error, tries = due.sync.failed_tries + 1, "metadata not pushed");
                let pause = pause_after(due.sync.failed_tries);
                self.database
                    .push_failed(&group.id, &error, now, now + pause)
                    .await
            }
        };
        if let Err(error) = noted {
            warn!(group_id = %group.id, %error, "cannot note how the push ended");
        }
    }

    async fn hand_over(&self, due: &PushDue) -> Result<u64, String> {
        let group = &due.group;
        let document = self
            .database
            .metadata_document(&group.id)
            .await
            .map_err(|error| error.to_string())?;
        let metadata = NewMetadata {
            version: document.group.version,
            origin_site: self.site.to_string(),
            document: document.to_json().map_err(|error| error.to_string())?,
        };
        self.peer
            .push(other_scope(group, &self.site), &group.id, &metadata)
            .await
            .map_err(|error| error.to_string())
    }
}

/// 1 s, doubled with each failure, up to the longest.
fn pause_after(failed_tries: u32) -> TimeDelta {
    let seconds = 2_u64.saturating_pow(failed_tries.min(16));
    let pause = Duration::from_secs(seconds).min(LONGEST_PAUSE);
    TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
}
