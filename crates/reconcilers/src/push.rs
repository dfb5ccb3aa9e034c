//! Pushes each change of a group to the protector of its other site, so that a failover can be started from either, and
//! the records of this site's operations, so that they can be read on either.
//!
//! Takes no input: it looks which groups and operations are ahead of what the other site is known to hold. A failed push
//! is tried again, ever more slowly; the newest state is always what is pushed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use prometheus_client::metrics::counter::Counter;
use protector_core::{
    clock::Clock,
    id::{OperationId, SiteName},
};
use protector_peer::{
    group_push::{GroupPush, Pushed},
    operation_push::{CopyError, peer_scope_of, send_copy},
    peer::{Peer, PeerError, other_scope},
};
use protector_store::{Database, PushDue};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How many groups are pushed per look.
const AT_ONCE: u64 = 50;
/// The longest pause after failed pushes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The reconciler.
pub struct PushReconciler {
    pub database: Database,
    /// The other sites' protectors.
    pub peer: Arc<dyn Peer>,
    pub clock: Arc<dyn Clock>,
    pub site: SiteName,
    /// Counts pushes that failed.
    pub failures: Counter,
    /// How often it looks.
    pub period: Duration,
}

impl PushReconciler {
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
        // A site that hangs is waited for once per look. What else is for it stays due.
        let mut away = BTreeSet::new();
        match self.database.push_due(self.clock.now(), AT_ONCE).await {
            Ok(due) => {
                for group in due {
                    self.push(group, &mut away).await;
                }
            }
            Err(error) => warn!(%error, "cannot look for metadata to push"),
        }
        let due = self.database.operation_push_due(self.clock.now(), AT_ONCE);
        match due.await {
            Ok(due) => {
                for id in due {
                    self.copy(&id, &mut away).await;
                }
            }
            Err(error) => warn!(%error, "cannot look for operations to copy"),
        }
    }

    async fn push(&self, due: PushDue, away: &mut BTreeSet<SiteName>) {
        let id = &due.group.id;
        let there = &other_scope(&due.group, &self.site).site;
        if away.contains(there) {
            return;
        }
        let group_push = GroupPush {
            database: &self.database,
            peer: &*self.peer,
            site: &self.site,
            now: self.clock.now(),
        };
        let pause = pause_after(due.sync.failed_tries);
        let tries = due.sync.failed_tries.saturating_add(1);
        match group_push.push(id, pause).await {
            Ok(Pushed::Agreed(version)) => info!(group_id = %id, version, "metadata pushed"),
            Ok(Pushed::Refused(why)) => {
                self.failures.inc();
                warn!(group_id = %id, why, tries, "metadata not pushed");
            }
            Ok(Pushed::Unreachable(why)) => {
                self.failures.inc();
                warn!(group_id = %id, why, tries, "metadata not pushed");
                away.insert(there.clone());
            }
            Err(error) => {
                self.failures.inc();
                warn!(group_id = %id, %error, tries, "cannot push metadata");
                // Else the same ones are due at each look, before all others.
                let noted = group_push.failed(id, &error.to_string(), pause).await;
                if let Err(error) = noted {
                    warn!(group_id = %id, %error, "cannot note how the push ended");
                }
            }
        }
    }

    async fn copy(&self, id: &OperationId, away: &mut BTreeSet<SiteName>) {
        let push = match self.database.operation_push(id).await {
            Ok(push) => push,
            Err(error) => return warn!(operation_id = %id, %error, "cannot read an operation"),
        };
        let there = peer_scope_of(&push.record, &self.site).site.clone();
        if away.contains(&there) {
            return;
        }
        let tries = push.failed_tries.saturating_add(1);
        let pause = pause_after(push.failed_tries);
        let error = match send_copy(&self.database, &*self.peer, &self.site, push).await {
            Ok(revision) => return debug!(operation_id = %id, revision, "operation copied"),
            Err(error) => error,
        };
        warn!(operation_id = %id, %error, tries, "operation not copied");
        if matches!(
            error,
            CopyError::Peer(PeerError::Unreachable(_) | PeerError::NotTold(_))
        ) {
            away.insert(there);
        }
        let next = self.clock.now() + pause;
        let text = error.to_string();
        let noted = self.database.operation_push_failed(id, tries, &text, next);
        if let Err(error) = noted.await {
            warn!(operation_id = %id, %error, "cannot note how the copy ended");
        }
    }
}

/// 1 s, doubled with each failure, up to the longest.
fn pause_after(failed_tries: u32) -> TimeDelta {
    let seconds = 2_u64.saturating_pow(failed_tries.min(16));
    let pause = Duration::from_secs(seconds).min(LONGEST_PAUSE);
    TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
}
