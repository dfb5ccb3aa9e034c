//! Looks whether what an unplanned failover left behind runs again: then the group says `split_brain` until it is fenced.
//!
//! Takes no input: which groups are looked after follows from the records, which hold what was left. A site that does not
//! answer tells nothing, and nothing changes.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus},
    id::ServerId,
    member::MemberStatus,
    operation::{OperationKind, OperationRecord},
    runbook::unplanned_failover::{is_unplanned, servers_left},
};
use protector_engine::{clouds::Clouds, step::may_run};
use protector_store::{Database, OperationFilter, OperationSortKey, Page, SortDir, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many failovers are looked after at a time.
const AT_MOST: u64 = 500;
/// How long one failover's servers may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

/// The watch.
pub struct SplitBrainWatch {
    /// This site's records.
    pub database: Database,
    /// The clouds of the registered sites.
    pub clouds: Arc<dyn Clouds>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often it looks.
    pub period: Duration,
}

impl SplitBrainWatch {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    async fn look(&self) {
        let failovers = match self.failovers_that_left_servers().await {
            Ok(failovers) => failovers,
            Err(error) => return warn!(%error, "cannot look for what unplanned failovers left"),
        };
        for failover in failovers {
            if let Err(error) = self.look_after(&failover).await {
                let operation_id = &failover.operation.id;
                warn!(%operation_id, %error, "cannot note whether its group runs on both sites");
            }
        }
    }

    async fn failovers_that_left_servers(&self) -> Result<Vec<OperationRecord>, StoreError> {
        let filter = OperationFilter {
            kinds: vec![OperationKind::Failover, OperationKind::Failback],
            with_leftovers: true,
            ..OperationFilter::default()
        };
        let page = Page {
            limit: AT_MOST,
            marker: None,
            sort_key: OperationSortKey::CreatedAt,
            sort_dir: SortDir::Desc,
        };
        let mut failovers = self.database.operation_list(&filter, &page).await?.items;
        failovers.retain(|record| is_unplanned(record) && servers_left(record).next().is_some());
        Ok(failovers)
    }

    async fn look_after(&self, failover: &OperationRecord) -> Result<(), StoreError> {
        let id = &failover.operation.group_id;
        let group = match self.database.group_show_by_id(id).await {
            Ok(stored) => stored.group,
            Err(StoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if !is_at_rest_where_it_went(&group, failover) {
            return Ok(());
        }
        let unmoved: Vec<ServerId> = self
            .database
            .member_list(id)
            .await?
            .into_iter()
            .filter(|member| member.status == MemberStatus::Error)
            .map(|member| member.server_id)
            .collect();
        let seen = tokio::time::timeout(PATIENCE, self.running(failover, &unmoved)).await;
        let Ok(Some(running)) = seen else {
            return Ok(());
        };
        self.note(&group, &running, self.clock.now()).await
    }

    /// The ids of the servers that may run on the source while their copies do; `None` if it does not answer. Those of
    /// members that were not recovered have no copy.
    async fn running(
        &self,
        failover: &OperationRecord,
        unmoved: &[ServerId],
    ) -> Option<Vec<String>> {
        let source = &failover.operation.plan.source;
        let cloud = self.clouds.tenant(source, None).await.ok()?;
        let mut running = Vec::new();
        for id in servers_left(failover).filter(|id| !unmoved.contains(id)) {
            match cloud.compute().server(id).await {
                Ok(server) if may_run(&server) => running.push(id.to_string()),
                Ok(_) => {}
                Err(error) if error.status() == Some(404) => {}
                Err(error) => {
                    info!(site = %source.site, %error, "does not tell what runs there");
                    return None;
                }
            }
        }
        Some(running)
    }

    async fn note(
        &self,
        group: &Group,
        running: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let is_split = group.status == GroupStatus::SplitBrain;
        match (is_split, running) {
            (false, [_, ..]) => {
                let servers = running.join(", ");
                warn!(group_id = %group.id, group = group.name, servers, "runs on both sites: split brain");
                self.database.group_split(&group.id, now).await
            }
            (true, []) => {
                info!(group_id = %group.id, group = group.name, "runs on one site again");
                self.database.group_fenced(&group.id, now).await
            }
            _ => Ok(()),
        }
    }
}

/// An operation that moves the group says itself how it stands afterwards.
fn is_at_rest_where_it_went(group: &Group, failover: &OperationRecord) -> bool {
    let at_rest = group.status.is_at_rest() || group.status == GroupStatus::SplitBrain;
    at_rest && group.current_primary_site == failover.operation.target_site
}
