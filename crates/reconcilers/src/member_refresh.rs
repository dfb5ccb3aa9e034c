//! Reads again, all the time, what tenants change on the servers of their groups: a site that is lost cannot be asked what its
//! servers were like, so the copies of an unplanned failover are built from what was read last.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use protector_clouds::{clouds::CloudReadings, member_refresh::MemberRefresh};
use protector_core::{clock::Clock, group::Group, id::SiteName};
use protector_store::{Database, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The reconciler. Takes no input: it looks at the groups that run here and rest, one project after the other.
pub struct MemberRefresher {
    pub database: Database,
    pub clouds: Arc<dyn CloudReadings>,
    pub clock: Arc<dyn Clock>,
    pub site: SiteName,
    /// How long after a round the next one begins; `None`: none is made.
    pub period: Option<Duration>,
}

impl MemberRefresher {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Some(period) = self.period else {
            return;
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => if let Err(error) = looked {
                    warn!(%error, "cannot look which groups run here");
                }
            }
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let mut projects: BTreeMap<_, Vec<Group>> = BTreeMap::new();
        for group in self.database.groups_at_rest_on(&self.site).await? {
            let scope = group.current().clone();
            let kind = group.replication_type.as_str();
            projects
                .entry((scope.project_id, kind))
                .or_default()
                .push(group);
        }
        for groups in projects.values() {
            self.look_at(groups).await;
        }
        Ok(())
    }

    /// Groups of one project that replicate alike: what they run on is listed once.
    async fn look_at(&self, groups: &[Group]) {
        let Some(first) = groups.first() else {
            return;
        };
        let kind = first.replication_type;
        let source = self.clouds.source_seen(first.current(), kind).await;
        let refresh = MemberRefresh {
            database: &self.database,
            clouds: &*self.clouds,
            now: self.clock.now(),
        };
        for group in groups {
            match refresh.of_group(group, &source).await {
                Ok(0) => {}
                Ok(members) => info!(group_id = %group.id, members, "members were read again"),
                Err(error) => warn!(group_id = %group.id, %error, "members cannot be kept"),
            }
        }
    }
}
