//! Looks whether what a move left behind runs again: then the group says `split_brain` until it is fenced, or somebody else
//! has stopped it.
//!
//! Takes no input: which groups are looked after follows from the records, which hold what was left, by planned and unplanned
//! moves alike. A site from which nothing comes back tells nothing, and nothing changes. What one group's look meets there beside
//! that, a role that was taken away, say, is about that group alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus},
    id::{GroupId, NetworkId, ProjectId, ServerId, SiteName},
};
use protector_engine::{
    clouds::Clouds,
    step::{may_run_there, why_not_at_rest},
};
use protector_openstack::{cloud::Cloud, error::CloudError};
use protector_store::{Database, LeftServers, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many groups are read from the records at a time.
const GROUPS_AT_ONCE: u64 = 100;
/// When a round has looked at so many servers, the next one goes on behind them.
const SERVERS_A_ROUND: usize = 1000;
/// How many groups are looked after side by side, and how many servers of each.
const SIDE_BY_SIDE: usize = 4;
/// How long one call about a server may take, its login included.
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
        let finding = match self.look(&group, left).await {
            Ok(finding) => finding,
            Err(Blind::SiteIsSilent) => return note_silence(silent, &left.site),
            Err(Blind::Untold(why)) => {
                let (site, group) = (&left.site, &group.name);
                return warn!(%group_id, group, %site, why, "nobody knows whether what the group has left there runs");
            }
        };
        if let Err(error) = self.note(&group, finding).await {
            warn!(%group_id, %error, "cannot note whether the group runs on both sites");
        }
    }

    /// What the group has to say. One server that may run is enough for a split brain; only the proof that none does ends
    /// it, and is asked for then alone.
    async fn look(&self, group: &Group, left: &LeftServers) -> Result<Finding, Blind> {
        let scope = [&group.primary, &group.secondary]
            .into_iter()
            .find(|scope| scope.site == left.site)
            .ok_or_else(|| Blind::untold("the group has left it for good"))?;
        let cloud = self.clouds.tenant(scope, None).await;
        let cloud = cloud.map_err(Blind::untold)?.with_deadline(PATIENCE);
        let running = running(&cloud, left).await?;
        let is_split = group.status == GroupStatus::SplitBrain;
        match (is_split, running.is_empty()) {
            (false, true) | (true, false) => Ok(Finding::Nothing),
            (false, false) => Ok(Finding::RunsTwice(running.join(", "))),
            (true, true) => {
                let admin = self.clouds.admin(&left.site, None).await;
                let there = There {
                    cloud,
                    admin: admin.map_err(Blind::untold)?.with_deadline(PATIENCE),
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

/// The servers that may run. One that is seen running is enough, whatever the site says of the others.
async fn running(cloud: &Cloud, left: &LeftServers) -> Result<Vec<String>, Blind> {
    let looks = left
        .servers
        .iter()
        .map(|id| async move { (id, may_run_there(cloud, id).await) });
    let seen: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    let running: Vec<String> = seen
        .iter()
        .filter(|(_, seen)| matches!(seen, Ok(true)))
        .map(|(id, _)| id.to_string())
        .collect();
    match blindness(&seen) {
        Some(blind) if running.is_empty() => Err(blind),
        _ => Ok(running),
    }
}

/// Why not all of the answers tell, if they do not. A site is silent if nothing at all came back from it.
fn blindness(seen: &[(&ServerId, Result<bool, CloudError>)]) -> Option<Blind> {
    let (id, error) = seen
        .iter()
        .find_map(|(id, seen)| Some((id, seen.as_ref().err()?)))?;
    let silent = |seen: &Result<bool, CloudError>| seen.as_ref().is_err_and(CloudError::is_silence);
    match seen.iter().all(|(_, seen)| silent(seen)) {
        true => Some(Blind::SiteIsSilent),
        false => Some(Blind::untold(format!("server {id}: {error}"))),
    }
}

/// A site that a group has gone from.
struct There {
    cloud: Cloud,
    admin: Cloud,
    project: ProjectId,
    networks: Vec<NetworkId>,
}

impl There {
    async fn proof(&self, left: &LeftServers) -> Result<Finding, Blind> {
        let looks = left.servers.iter().map(|id| async move {
            let look = why_not_at_rest(&self.cloud, &self.admin, &self.project, &self.networks, id);
            let why = look.await.map_err(Blind::untold)?;
            Ok(why.map(|why| format!("server {id}: {why}")))
        });
        let seen: Vec<Result<_, Blind>> =
            stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
        let seen: Vec<Option<String>> = seen.into_iter().collect::<Result<_, _>>()?;
        Ok(match seen.into_iter().flatten().next() {
            None => Finding::RunsOnce,
            Some(why) => Finding::Unproven(why),
        })
    }
}

fn note_silence(silent: &Silent, site: &SiteName) {
    let mut silent = silent.lock().unwrap_or_else(PoisonError::into_inner);
    if silent.insert(site.clone()) {
        info!(%site, "does not answer, so nobody knows what runs there");
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

/// Why a look has told nothing.
#[derive(Debug)]
enum Blind {
    /// Nothing comes back from the site: nor will it for another group.
    SiteIsSilent,
    /// Something else, which is about this group alone.
    Untold(String),
}

impl Blind {
    fn untold(why: impl ToString) -> Self {
        Self::Untold(why.to_string())
    }
}

/// What a group has to say after a look.
#[derive(Debug)]
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chrono::{DateTime, Utc};
    use protector_core::{
        fault::Fault,
        journal_conformance::{group, member, operation},
        operation::{MapKind, OperationState, StepState},
        runbook::{Step, Verb},
        site::SiteScope,
    };
    use protector_openstack::{
        catalog::Interface,
        credentials::{Credentials, ProjectScope},
        options::ClientOptions,
        retry::RetryPolicy,
        session::Session,
    };
    use protector_sim::{
        backend::MemBackend,
        cloud::{CallEffect, CloudOptions, Effect, FaultRule, Match, RoleSeed, SimCloud},
        in_process::{Calm, InProcess, SharedCloud, lock},
    };
    use protector_store::{Basis, KeyRepository, NewOperation, PoolOptions};
    use secrecy::SecretString;

    use super::*;

    struct At(DateTime<Utc>);

    impl Clock for At {
        fn now(&self) -> DateTime<Utc> {
            self.0
        }
    }

    /// The service user's ways into one cloud.
    struct OneCloud(Arc<InProcess>);

    impl OneCloud {
        fn with(&self, project: ProjectScope) -> Cloud {
            let credentials = Credentials {
                auth_url: "http://site-a/identity/v3".to_owned(),
                username: "protector".into(),
                password: "protector".into(),
                user_domain_name: "Default".into(),
                project,
                region_name: None,
                interface: Interface::Public,
            };
            let options = ClientOptions {
                retry: RetryPolicy::never(),
                ..ClientOptions::default()
            };
            Cloud::new(Session::new(self.0.clone(), credentials, options))
        }
    }

    #[async_trait]
    impl Clouds for OneCloud {
        async fn tenant(&self, scope: &SiteScope, _: Option<&str>) -> Result<Cloud, Fault> {
            Ok(self.with(ProjectScope::Id(scope.project_id.clone())))
        }

        async fn admin(&self, _: &SiteName, _: Option<&str>) -> Result<Cloud, Fault> {
            Ok(self.with(ProjectScope::Name {
                name: "service".into(),
                domain: "Default".into(),
            }))
        }
    }

    /// A watch over the records of this site, and the cloud that groups have gone from, with two servers that run.
    struct Post {
        watch: SplitBrainWatch,
        cloud: SharedCloud,
        servers: Vec<String>,
        project: String,
        _dir: tempfile::TempDir,
    }

    impl Post {
        async fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let keys = dir.path().join("keys");
            KeyRepository::setup(&keys).unwrap();
            let url = format!("sqlite://{}", dir.path().join("db.sqlite").display());
            let url = SecretString::from(url);
            let database = Database::connect(&url, PoolOptions::default())
                .await
                .unwrap();
            let database = database.with_keys(KeyRepository::open(&keys).unwrap());
            database.migrate().await.unwrap();
            let mut options = CloudOptions::demo("site-a", "http://site-a").with_fleet(2);
            for user in &mut options.users {
                if user.name == "protector" {
                    user.roles.push(RoleSeed {
                        project: "demo".to_owned(),
                        role: "member".to_owned(),
                    });
                }
            }
            let cloud = SimCloud::new(options, Box::new(MemBackend::new(Arc::default())));
            let cloud: SharedCloud = Arc::new(Mutex::new(cloud));
            let transport = Arc::new(InProcess::new(vec![Arc::clone(&cloud)], Arc::new(Calm)));
            let clouds = OneCloud(transport);
            let demo = clouds.with(ProjectScope::Name {
                name: "demo".into(),
                domain: "Default".into(),
            });
            let project = demo.session().project_id().await.unwrap().to_string();
            let servers = lock(&cloud).servers();
            Self {
                watch: SplitBrainWatch {
                    database,
                    clouds: Arc::new(clouds),
                    clock: Arc::new(At(operation(1).operation.created_at)),
                    period: Duration::from_secs(1),
                },
                servers: servers.into_iter().map(|server| server.id).collect(),
                project,
                cloud,
                _dir: dir,
            }
        }

        /// Group `number`, of which a completed move has left these servers in this project.
        async fn left(&self, number: u32, project: &str, servers: &[&str]) -> GroupId {
            let mut record = operation(number);
            record.operation.state = OperationState::Completed;
            record.operation.plan.source.project_id = project.into();
            let line = record.steps[0].clone();
            record.steps.clear();
            for (position, server) in (0..).zip(servers) {
                let mut left = line.clone();
                left.position = position;
                left.key = format!("delete_source_vm:{server}");
                left.action = Step::DeleteSourceServer {
                    server: ServerId::new(*server),
                };
                left.resource_id = Some((*server).to_owned());
                left.verb = Verb::Attempt;
                left.after = Vec::new();
                left.progress.state = StepState::Failed;
                record.steps.push(left);
                record.map.insert(MapKind::Server, *server, "its-copy");
            }
            let database = &self.watch.database;
            let new = NewOperation {
                operation: &record.operation,
                steps: &record.steps,
                map: &record.map,
                locks: &[],
                group: None,
            };
            let now = self.watch.clock.now();
            database.operation_insert(&new, now).await.unwrap();
            let group = Group {
                status: GroupStatus::FailedOver,
                version: 1,
                name: format!("group-{number}"),
                current_primary_site: "site-b".into(),
                ..group(&record)
            };
            let owner = group.primary.project_id.clone();
            database.group_insert(&owner, &group).await.unwrap();
            let mut copy = member(&record, "web");
            copy.server_id = format!("copy-{number}").into();
            let added = database.member_insert(&copy, Basis::Any, now).await;
            added.unwrap();
            group.id
        }

        fn meets(&self, resource: Option<&str>, effect: CallEffect) {
            lock(&self.cloud).add_fault(FaultRule {
                id: String::new(),
                matches: Match {
                    resource: resource.map(str::to_owned),
                    ..Match::default()
                },
                times: None,
                effect: Effect::Call(effect),
                seen: 0,
            });
        }

        async fn status_after_a_round(&self, id: &GroupId) -> GroupStatus {
            self.watch.round(None).await;
            let stored = self.watch.database.group_show_by_id(id).await;
            stored.unwrap().group.status
        }

        fn calls(&self) -> usize {
            lock(&self.cloud).call_log().len()
        }
    }

    fn says(status: u16) -> CallEffect {
        CallEffect::Status {
            status,
            body: None,
            headers: std::collections::BTreeMap::new(),
        }
    }

    /// The service user has no role any more in the project of the group that is looked at first.
    #[tokio::test]
    async fn a_group_that_may_not_be_looked_at_hides_no_other_one() {
        let post = Post::new().await;
        let blind = post
            .left(1, "a-project-without-a-role", &["server-1"])
            .await;
        let seen = post.left(2, &post.project, &[&post.servers[0]]).await;
        assert_eq!(
            post.status_after_a_round(&seen).await,
            GroupStatus::SplitBrain
        );
        let untouched = post.watch.database.group_show_by_id(&blind).await.unwrap();
        assert_eq!(untouched.group.status, GroupStatus::FailedOver);
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_read_hides_no_other_one_of_its_group() {
        let post = Post::new().await;
        post.meets(Some(&post.servers[0]), says(403));
        let both = [post.servers[0].as_str(), post.servers[1].as_str()];
        let group = post.left(1, &post.project, &both).await;
        assert_eq!(
            post.status_after_a_round(&group).await,
            GroupStatus::SplitBrain
        );
    }

    #[tokio::test]
    async fn a_site_from_which_nothing_comes_back_is_asked_once_in_a_round() {
        let post = Post::new().await;
        for number in 1..=6 {
            let server = format!("server-{number}");
            post.left(number, &post.project, &[&server]).await;
        }
        post.meets(None, CallEffect::Drop);
        let before = post.calls();
        post.watch.round(None).await;
        let asked = post.calls() - before;
        assert!((1..=SIDE_BY_SIDE).contains(&asked), "{asked}");
    }
}
