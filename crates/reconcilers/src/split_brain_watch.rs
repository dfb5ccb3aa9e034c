//! Looks whether what a move left behind runs again: then the group says `split_brain` until it is fenced, or somebody else
//! has stopped it.
//!
//! Takes no input: which groups are looked after follows from the records, which hold what was left, by planned and unplanned
//! moves alike, whatever became of them, on either site. A site from which nothing comes back tells nothing, and nothing changes.
//! What one group's look meets there beside that, a role that was taken away, say, is about that group alone.

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
    site::SiteScope,
};
use protector_engine::{
    clouds::Clouds,
    step::{may_run_there, why_not_at_rest},
};
use protector_openstack::{cloud::Cloud, error::CallError};
use protector_store::{Database, LeftoverServers, StoreError};
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
    pub database: Database,
    /// The clouds of the registered sites.
    pub clouds: Arc<dyn Clouds>,
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
                .leftover_servers(after.as_ref(), GROUPS_AT_ONCE)
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
            let groups = page
                .left
                .chunk_by(|one, next| one.group_id == next.group_id);
            stream::iter(groups)
                .for_each_concurrent(SIDE_BY_SIDE, |left| self.look_after(left, &silent))
                .await;
            after = page.next;
            if after.is_none() || looked_at >= SERVERS_A_ROUND {
                return after;
            }
        }
    }

    /// Looks after one group, by what was left of it on each site.
    async fn look_after(&self, left: &[LeftoverServers], silent: &Silent) {
        let Some(LeftoverServers { group_id, .. }) = left.first() else {
            return;
        };
        let group = match self.database.group_show_by_id(group_id).await {
            Ok(stored) => stored.group,
            Err(StoreError::NotFound { .. }) => return,
            Err(error) => return warn!(%group_id, %error, "cannot be read"),
        };
        let finding = self.look(&group, left, silent).await;
        if let Err(error) = self.note(&group, finding).await {
            warn!(%group_id, %error, "cannot note whether the group runs on both sites");
        }
    }

    /// What the group has to say. One server that may run is enough for a split brain; only the proof that none does, on any
    /// site, ends it, and is asked for then alone.
    async fn look(&self, group: &Group, left: &[LeftoverServers], silent: &Silent) -> WatchFinding {
        let mut running = Vec::new();
        let mut all_told = true;
        for there in left {
            match self.running_on(group, there, silent).await {
                Ok(found) => running.extend(found),
                Err(blind) => {
                    all_told = false;
                    say_blind(group, &there.site, blind, silent);
                }
            }
        }
        let is_split = group.status == GroupStatus::SplitBrain;
        match (is_split, running.is_empty()) {
            (false, true) | (true, false) => WatchFinding::Nothing,
            (false, false) => self.still_left(&group.id, running).await,
            (true, true) if all_told => self.proof(group, silent).await,
            (true, true) => WatchFinding::Nothing,
        }
    }

    async fn running_on(
        &self,
        group: &Group,
        left: &LeftoverServers,
        silent: &Silent,
    ) -> Result<Vec<ServerId>, Blind> {
        if is_silent(silent, &left.site) {
            return Err(Blind::SiteIsSilent);
        }
        let scope = scope_on(group, &left.site)?;
        let cloud = self.clouds.tenant(scope, None).await;
        let cloud = cloud.map_err(Blind::untold)?.with_deadline(PATIENCE);
        running(&cloud, left).await
    }

    /// Of what is seen running that which the group has left still: a move may have made it the group meanwhile.
    async fn still_left(&self, group: &GroupId, running: Vec<ServerId>) -> WatchFinding {
        let left = match self.database.leftover_servers_of(group).await {
            Ok(left) => left,
            Err(error) => {
                warn!(group_id = %group, %error, "cannot look once more for what moves have left");
                return WatchFinding::Nothing;
            }
        };
        let is_left = |id: &ServerId| left.iter().any(|left| left.servers.contains(id));
        let servers: Vec<String> = running
            .into_iter()
            .filter(is_left)
            .map(|id| id.to_string())
            .collect();
        match servers.is_empty() {
            true => WatchFinding::Nothing,
            false => WatchFinding::RunsTwice(servers.join(", ")),
        }
    }

    /// Whether nothing runs any more of all that moves have left, those of the other site too: it hears of the end.
    async fn proof(&self, group: &Group, silent: &Silent) -> WatchFinding {
        let left = match self.database.leftover_servers_of_both(&group.id).await {
            Ok(left) => left,
            Err(error) => {
                warn!(group_id = %group.id, %error, "cannot look for what moves have left");
                return WatchFinding::Nothing;
            }
        };
        for left in &left {
            match self.proof_on(group, left).await {
                Ok(None) => {}
                Ok(Some(why)) => return WatchFinding::Unproven(why),
                Err(blind) => {
                    say_blind(group, &left.site, blind, silent);
                    return WatchFinding::Nothing;
                }
            }
        }
        WatchFinding::RunsOnce
    }

    /// Why it is not certain that nothing of what was left on a site runs.
    async fn proof_on(
        &self,
        group: &Group,
        left: &LeftoverServers,
    ) -> Result<Option<String>, Blind> {
        let scope = scope_on(group, &left.site)?;
        let cloud = self.clouds.tenant(scope, None).await;
        let admin = self.clouds.admin(&left.site, None).await;
        let there = There {
            cloud: cloud.map_err(Blind::untold)?.with_deadline(PATIENCE),
            admin: admin.map_err(Blind::untold)?.with_deadline(PATIENCE),
            project: scope.project_id.clone(),
            networks: networks_on(group, &left.site),
        };
        there.why_not_at_rest(left).await
    }

    async fn note(&self, group: &Group, finding: WatchFinding) -> Result<(), StoreError> {
        let (group_id, now) = (&group.id, self.clock.now());
        match finding {
            WatchFinding::Nothing => Ok(()),
            WatchFinding::RunsTwice(servers) => {
                warn!(%group_id, group = group.name, servers, "runs twice: split brain");
                self.database.group_split(group_id, now).await
            }
            WatchFinding::RunsOnce => {
                info!(%group_id, group = group.name, "runs once again");
                self.database.group_fenced(group_id, now).await
            }
            WatchFinding::Unproven(why) => {
                info!(%group_id, group = group.name, why, "stays split_brain");
                Ok(())
            }
        }
    }
}

fn scope_on<'g>(group: &'g Group, site: &SiteName) -> Result<&'g SiteScope, Blind> {
    [&group.primary, &group.secondary]
        .into_iter()
        .find(|scope| scope.site == *site)
        .ok_or_else(|| Blind::untold("the group has left it for good"))
}

/// The servers that may run. One that is seen running is enough, whatever the site says of the others.
async fn running(cloud: &Cloud, left: &LeftoverServers) -> Result<Vec<ServerId>, Blind> {
    let looks = left
        .servers
        .iter()
        .map(|id| async move { (id, may_run_there(cloud, id).await) });
    let seen: Vec<_> = stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
    let running: Vec<ServerId> = seen
        .iter()
        .filter(|(_, seen)| matches!(seen, Ok(true)))
        .map(|(id, _)| (*id).clone())
        .collect();
    match blindness(&seen) {
        Some(blind) if running.is_empty() => Err(blind),
        _ => Ok(running),
    }
}

/// Why not all of the answers tell, if they do not. A site is silent if nothing at all came back from it.
fn blindness(seen: &[(&ServerId, Result<bool, CallError>)]) -> Option<Blind> {
    let (id, error) = seen
        .iter()
        .find_map(|(id, seen)| Some((id, seen.as_ref().err()?)))?;
    let silent = |seen: &Result<bool, CallError>| seen.as_ref().is_err_and(CallError::is_silence);
    match seen.iter().all(|(_, seen)| silent(seen)) {
        true => Some(Blind::SiteIsSilent),
        false => Some(Blind::untold(format!("server {id}: {error}"))),
    }
}

/// A site on which something was left.
struct There {
    cloud: Cloud,
    admin: Cloud,
    project: ProjectId,
    networks: Vec<NetworkId>,
}

impl There {
    async fn why_not_at_rest(&self, left: &LeftoverServers) -> Result<Option<String>, Blind> {
        let looks = left.servers.iter().map(|id| async move {
            let look = why_not_at_rest(&self.cloud, &self.admin, &self.project, &self.networks, id);
            let why = look.await.map_err(Blind::untold)?;
            Ok(why.map(|why| format!("server {id}: {why}")))
        });
        let seen: Vec<Result<_, Blind>> =
            stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
        let seen: Vec<Option<String>> = seen.into_iter().collect::<Result<_, _>>()?;
        Ok(seen.into_iter().flatten().next())
    }
}

fn say_blind(group: &Group, site: &SiteName, blind: Blind, silent: &Silent) {
    match blind {
        Blind::SiteIsSilent => note_silence(silent, site),
        Blind::Untold(why) => {
            let (group_id, group) = (&group.id, &group.name);
            warn!(%group_id, group, %site, why, "nobody knows whether what the group has left there runs");
        }
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
enum WatchFinding {
    /// What it says already.
    Nothing,
    /// It runs twice: these servers, which moves have left, run beside it.
    RunsTwice(String),
    /// It said that it runs twice, and it certainly does not any more.
    RunsOnce,
    /// It says that it runs twice, and for this reason nobody knows better.
    Unproven(String),
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use chrono::{DateTime, Utc};
    use protector_core::{
        fault::StepFailure,
        journal_conformance::{group, member, operation},
        operation::{MapKind, OperationRecord, OperationState, StepState},
        runbook::{Step, Verb},
    };
    use protector_openstack::{
        catalog::EndpointInterface,
        credentials::{Credentials, ProjectScope},
        options::ClientOptions,
        retry::RetryPolicy,
        session::Session,
    };
    use protector_simcloud::{
        backend::MemBackend,
        cloud::{CallEffect, CloudOptions, FaultEffect, FaultRule, Match, RoleSeed, SimCloud},
        in_process::{Calm, InProcess, SharedCloud, lock},
    };
    use protector_store::{KeyRepository, NewOperation, OperationCopy, PoolOptions, Precondition};
    use secrecy::SecretString;
    use serde_json::json;

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
                interface: EndpointInterface::Public,
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
        async fn tenant(&self, scope: &SiteScope, _: Option<&str>) -> Result<Cloud, StepFailure> {
            Ok(self.with(ProjectScope::Id(scope.project_id.clone())))
        }

        async fn admin(&self, _: &SiteName, _: Option<&str>) -> Result<Cloud, StepFailure> {
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
            let copy = format!("copy-{number}");
            self.kept(&record, number, (GroupStatus::FailedOver, "site-b"), &copy)
                .await
        }

        /// A group that runs on this cloud, and of which a move that failed has left these copies here, for want of a second
        /// cloud.
        async fn left_by_a_failed_move(&self, number: u32, copies: &[&str]) -> GroupId {
            let mut record = operation(number);
            record.operation.state = OperationState::Failed;
            record.operation.plan.source.project_id = self.project.as_str().into();
            record.operation.plan.target.project_id = self.project.as_str().into();
            record.steps.clear();
            for (member, copy) in copies.iter().enumerate() {
                let original = format!("original-{member}");
                record.map.insert(MapKind::Server, original, *copy);
            }
            self.kept(
                &record,
                number,
                (GroupStatus::Active, "site-a"),
                "original-0",
            )
            .await
        }

        /// Group `number`, which is as `stands` says, runs `server` and has this record of a move.
        async fn kept(
            &self,
            record: &OperationRecord,
            number: u32,
            stands: (GroupStatus, &str),
            server: &str,
        ) -> GroupId {
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
                status: stands.0,
                version: 1,
                name: format!("group-{number}"),
                current_primary_site: stands.1.into(),
                ..group(record)
            };
            let owner = group.primary.project_id.clone();
            database.group_insert(&owner, &group).await.unwrap();
            let mut runs = member(record, "web");
            runs.server_id = server.into();
            let added = database.member_insert(&runs, Precondition::Any, now).await;
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
                effect: FaultEffect::Call(effect),
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

    /// It was locked when the move was taken back, and somebody has started it since; that of a member that has left the group
    /// since is nobody's business.
    #[tokio::test]
    async fn a_copy_that_a_failed_move_has_left_is_a_split_brain_while_it_runs() {
        let post = Post::new().await;
        let (copy, of_another) = (post.servers[0].as_str(), post.servers[1].as_str());
        let group = post.left_by_a_failed_move(1, &[copy, of_another]).await;
        assert_eq!(
            post.status_after_a_round(&group).await,
            GroupStatus::SplitBrain
        );
        assert_eq!(
            post.status_after_a_round(&group).await,
            GroupStatus::SplitBrain
        );
        lock(&post.cloud).set_state_of_server(copy, "stopped");
        assert_eq!(post.status_after_a_round(&group).await, GroupStatus::Active);
    }

    /// This site's own rests, and the copy that a failback of the other one has left runs: that site would say so again.
    #[tokio::test]
    async fn a_split_brain_ends_when_what_both_sites_have_left_rests() {
        let post = Post::new().await;
        let (own, theirs) = (post.servers[0].as_str(), post.servers[1].as_str());
        let group = post.left(1, &post.project, &[own]).await;
        let database = &post.watch.database;
        let stored = database.group_show_by_id(&group).await.unwrap();
        let line = |phase: &str, server: &str, state: &str| json!({"key": format!("{phase}:web"), "phase": phase, "state": state, "resource_id": server});
        let copy = OperationCopy {
            id: "op-of-b".into(),
            home_site: "site-b".into(),
            project_id: stored.local_project_id,
            group_id: group.clone(),
            group_name: stored.group.name,
            kind: "failback".to_owned(),
            state: "failed".to_owned(),
            parent_id: None,
            leftovers: 1,
            created_at: post.watch.clock.now(),
            revision: 1,
            since: 0,
            is_last: true,
            record: json!({"source_site": "site-b", "target_site": "site-a"}),
            lines: vec![
                (0, line("recreate_vms", theirs, "undo_failed")),
                (1, line("delete_source_vm", "copy-1", "pending")),
            ],
        };
        database.peer_operation_apply(&copy).await.unwrap();
        for (stopped, then) in [
            ("", GroupStatus::SplitBrain),
            (own, GroupStatus::SplitBrain),
            (theirs, GroupStatus::FailedOver),
        ] {
            lock(&post.cloud).set_state_of_server(stopped, "stopped");
            let status = post.status_after_a_round(&group).await;
            assert_eq!(status, then, "{stopped} was stopped");
        }
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
