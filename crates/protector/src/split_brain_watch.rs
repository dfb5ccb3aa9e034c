//! Looks whether what a move left behind runs again: then the group says `split_brain` until it is fenced, or somebody else
//! has stopped it.
//!
//! Takes no input: which groups are looked after follows from the records, which hold what was left, by planned and unplanned
//! moves alike. A site that does not answer tells nothing, and nothing changes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use protector_core::{
    clock::Clock,
    fault::Fault,
    group::{Group, GroupStatus},
    id::{GroupId, NetworkId, ProjectId, SiteName},
};
use protector_engine::{
    clouds::Clouds,
    step::{may_run_there, why_not_at_rest},
};
use protector_openstack::cloud::Cloud;
use protector_store::{Database, LeftServers, StoreError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many groups are read from the records at a time.
const GROUPS_AT_ONCE: u64 = 100;
/// When a round has looked at so many servers, the next one goes on behind them.
const SERVERS_A_ROUND: usize = 1000;
/// How many groups are looked after side by side, and how many servers of each.
const SIDE_BY_SIDE: usize = 4;
/// How long one server may take to be read.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Sites that did not answer in this round: whoever has left something there is not asked again before the next.
type Silent = Mutex<BTreeSet<SiteName>>;

impl SplitBrainWatch {
    /// Looks until `stop`. Groups take turns by their ids: each round goes on where the last one ended.
    pub async fn run(self, stop: CancellationToken) {
        let mut after = None;
        loop {
            after = tokio::select! {
                () = stop.cancelled() => return,
                after = self.round(after) => after,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    /// One round from the group after `after`; where the next one goes on, from the beginning if `None`.
    async fn round(&self, mut after: Option<GroupId>) -> Option<GroupId> {
        let silent = Silent::default();
        let mut looked_at = 0;
        loop {
            let page = match self
                .database
                .left_servers(after.as_ref(), GROUPS_AT_ONCE)
                .await
            {
                Ok(page) => page,
                Err(error) => {
                    warn!(%error, "cannot look for what moves have left");
                    return after;
                }
            };
            looked_at += page
                .left
                .iter()
                .map(|left| left.servers.len())
                .sum::<usize>();
            stream::iter(&page.left)
                .for_each_concurrent(SIDE_BY_SIDE, |left| self.look_after(left, &silent))
                .await;
            after = page.next;
            if after.is_none() || looked_at >= SERVERS_A_ROUND {
                return after;
            }
        }
    }

    async fn look_after(&self, left: &LeftServers, silent: &Silent) {
        let group_id = &left.group_id;
        if is_silent(silent, &left.site) {
            return;
        }
        let group = match self.database.group_show_by_id(group_id).await {
            Ok(stored) => stored.group,
            Err(StoreError::NotFound { .. }) => return,
            Err(error) => return warn!(%group_id, %error, "cannot be read"),
        };
        let Some(finding) = self.look(&group, left).await else {
            silent
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(left.site.clone());
            return;
        };
        if let Err(error) = self.note(&group, finding).await {
            warn!(%group_id, %error, "cannot note whether the group runs on both sites");
        }
    }

    /// What the group has to say; `None` if the site does not tell enough for that. One server that may run is enough for
    /// a split brain; only the proof that none does ends it, and is asked for then alone.
    async fn look(&self, group: &Group, left: &LeftServers) -> Option<Finding> {
        let scope = [&group.primary, &group.secondary]
            .into_iter()
            .find(|scope| scope.site == left.site)?;
        let cloud = self.clouds.tenant(scope, None).await.ok()?;
        let running = running(&cloud, left).await?;
        let is_split = group.status == GroupStatus::SplitBrain;
        match (is_split, running.is_empty()) {
            (false, true) | (true, false) => Some(Finding::Nothing),
            (false, false) => Some(Finding::RunsTwice(running.join(", "))),
            (true, true) => {
                let admin = self.clouds.admin(&left.site, None).await.ok()?;
                let there = There {
                    cloud,
                    admin,
                    project: scope.project_id.clone(),
                    networks: networks_on(group, &left.site),
                };
                there.proof(left).await
            }
        }
    }

    async fn note(&self, group: &Group, finding: Finding) -> Result<(), StoreError> {
        let (group_id, now) = (&group.id, self.clock.now());
        match finding {
            Finding::Nothing => Ok(()),
            Finding::RunsTwice(servers) => {
                warn!(%group_id, group = group.name, servers, "runs on both sites: split brain");
                self.database.group_split(group_id, now).await
            }
            Finding::RunsOnce => {
                info!(%group_id, group = group.name, "runs on one site again");
                self.database.group_fenced(group_id, now).await
            }
            Finding::Unproven(why) => {
                info!(%group_id, group = group.name, why, "stays split_brain");
                Ok(())
            }
        }
    }
}

/// The servers that may run; `None` if the site does not say so of all.
async fn running(cloud: &Cloud, left: &LeftServers) -> Option<Vec<String>> {
    let looks = left.servers.iter().map(|id| async move {
        let may_run = answer(&left.site, may_run_there(cloud, id)).await?;
        Some(may_run.then(|| id.to_string()))
    });
    let seen: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    let seen: Option<Vec<_>> = seen.into_iter().collect();
    Some(seen?.into_iter().flatten().collect())
}

/// A site that a group has gone from.
struct There {
    cloud: Cloud,
    admin: Cloud,
    project: ProjectId,
    networks: Vec<NetworkId>,
}

impl There {
    async fn proof(&self, left: &LeftServers) -> Option<Finding> {
        let looks = left.servers.iter().map(|id| async move {
            let look = why_not_at_rest(&self.cloud, &self.admin, &self.project, &self.networks, id);
            let why = answer(&left.site, look).await?;
            Some(why.map(|why| format!("server {id}: {why}")))
        });
        let seen: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
        let seen: Option<Vec<_>> = seen.into_iter().collect();
        Some(match seen?.into_iter().flatten().next() {
            None => Finding::RunsOnce,
            Some(why) => Finding::Unproven(why),
        })
    }
}

async fn answer<T>(site: &SiteName, look: impl Future<Output = Result<T, Fault>>) -> Option<T> {
    match timeout(PATIENCE, look).await {
        Ok(Ok(seen)) => Some(seen),
        Ok(Err(error)) => {
            info!(%site, %error, "does not tell what runs there");
            None
        }
        Err(_) => None,
    }
}

fn is_silent(silent: &Silent, site: &SiteName) -> bool {
    silent
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains(site)
}

/// The networks of a group on one of its sites, as far as they are mapped.
fn networks_on(group: &Group, site: &SiteName) -> Vec<NetworkId> {
    let networks = &group.mappings.networks;
    let ids: Vec<&String> = match site == &group.primary.site {
        true => networks.keys().collect(),
        false => networks.values().collect(),
    };
    ids.into_iter()
        .map(|id| NetworkId::new(id.as_str()))
        .collect()
}

/// What a group has to say after a look.
enum Finding {
    /// What it says already.
    Nothing,
    /// It runs on both sites; these servers, of the site that it has gone from.
    RunsTwice(String),
    /// It said that it runs on both sites, and it certainly does not any more.
    RunsOnce,
    /// It says that it runs on both sites, and for this reason nobody knows better.
    Unproven(String),
}
