//! A world for one schedule: two clouds, two arrays, a group, an operation, and two engines that share the journal.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus, ReplicationType, ResourceMappings},
    id::{
        EngineId, FlavorId, GroupId, MemberId, NetworkId, OperationId, ProjectId, ServerId,
        SiteName, VolumeId,
    },
    member::{Flavor, Member, MemberStatus, Nic, ProtectedVolume, ServerSpec},
    operation::{FailedStep, MapKind, OperationRecord, OperationState, steps_failed},
    site::SiteScope,
    storage::{Replication, StorageDriver},
};
use protector_engine::{engine::Engine, options::EngineOptions, step::CloudActions};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Schedule,
    clouds::WalkerClouds,
    fault::{FaultyJournal, FaultyStorage, FaultyTransport, Freezer, Injector, Life},
    operations::{
        general_cleanup_id, general_cleanup_of, operation_of, test_cleanup_id, test_cleanup_of,
    },
    tenant::Tenant,
    watch::Watch,
};
use crate::{
    array::SimArrays,
    backend::{MemBackend, MemObjects, MemVolume},
    cloud::{
        CloudOptions, Effect, FaultRule, JobEffect, Match, RoleSeed, ServerFacts, Service,
        SimCloud, VolumeFacts,
    },
    in_process::{Calm, InProcess, SharedCloud, lock},
    memory_journal::MemoryJournal,
};

const SOURCE: &str = "site-a";
const TARGET: &str = "site-b";
/// A restarted engine comes back after this.
const RESTART: Duration = Duration::from_secs(5);
/// After an operation has ended, whatever was still on its way arrives within this.
const AFTERMATH: Duration = Duration::from_secs(900);
/// An operation that has not ended by then never will (invariant I9).
const PATIENCE: Duration = Duration::from_secs(48 * 3600);

/// What the world is like apart from the schedule's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// All is well: the failover completes.
    AllWell,
    /// The target's Nova cannot build any server: the failover is taken back.
    BuildsFail,
    /// All is well: a test failover starts its copies, and its cleanup removes them.
    TestAllWell,
    /// The same, and while the copies are up a tenant locks one of them and takes a snapshot of another; when these have
    /// outlived the test cleanup, the tenant lets go of them and cleans up.
    TestCopiesReliedOn,
    /// A test failover on a target whose Nova cannot build any server: it is taken back.
    TestBuildsFail,
}

impl Scenario {
    /// Whether the operation is a test failover.
    pub fn is_test(self) -> bool {
        matches!(
            self,
            Self::TestAllWell | Self::TestCopiesReliedOn | Self::TestBuildsFail
        )
    }

    fn builds_fail(self) -> bool {
        matches!(self, Self::BuildsFail | Self::TestBuildsFail)
    }
}

/// How big the world is, and what it is like.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Members of the group, each with a boot volume and one data volume.
    pub members: usize,
    /// What it is like.
    pub scenario: Scenario,
}

/// What is left when the dust has settled.
#[derive(Debug)]
pub struct Outcome {
    /// What the world was like.
    pub scenario: Scenario,
    /// The operation's record.
    pub record: OperationRecord,
    /// The record of the cleanup of a test failover, if it came to that.
    pub cleanup: Option<OperationRecord>,
    /// What the cleanup of a test failover had left when it ended.
    pub kept: Vec<FailedStep>,
    /// Whether an operation still holds its lock.
    pub locked: bool,
    /// Calls to the source that can change something: method and path.
    pub changes_on_source: Vec<String>,
    /// The group and its members.
    pub group: (Group, Vec<Member>),
    /// The source cloud before.
    pub source_before: CloudFacts,
    /// The source cloud after.
    pub source: CloudFacts,
    /// The target cloud before.
    pub target_before: CloudFacts,
    /// The target cloud after.
    pub target: CloudFacts,
    /// Whether a server and its copy were ever seen running together.
    pub ran_twice: bool,
    /// Journal writes.
    pub writes: usize,
    /// Remote calls.
    pub calls: usize,
}

/// A cloud from the inside.
#[derive(Clone, Debug)]
pub struct CloudFacts {
    /// Its servers.
    pub servers: Vec<ServerFacts>,
    /// Its volumes.
    pub volumes: Vec<VolumeFacts>,
    /// Its backend's objects and their bytes.
    pub objects: BTreeMap<String, MemVolume>,
}

/// The virtual clock: tokio's, from a fixed epoch.
struct VirtualClock {
    start: Instant,
    epoch: DateTime<Utc>,
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        (self.epoch + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX)).trunc_subsecs(6)
    }
}

/// One schedule's world.
pub struct World {
    clock: Arc<VirtualClock>,
    journal: Arc<MemoryJournal>,
    arrays: Arc<SimArrays>,
    transport: Arc<InProcess>,
    source: Site,
    target: Site,
    operation: OperationId,
    group: GroupId,
    injector: Arc<Injector>,
    watch: Arc<Watch>,
    scenario: Scenario,
    tenant: Option<Tenant>,
    kept: Vec<FailedStep>,
}

struct Site {
    cloud: SharedCloud,
    objects: MemObjects,
    before: CloudFacts,
}

impl Site {
    fn build(options: CloudOptions) -> Self {
        let objects = MemObjects::default();
        let backend = Box::new(MemBackend::new(Arc::clone(&objects)));
        let cloud = SimCloud::new(options, backend);
        fill_with_distinct_bytes(&objects);
        let cloud: SharedCloud = Arc::new(std::sync::Mutex::new(cloud));
        let before = facts(&cloud, &objects);
        Self {
            cloud,
            objects,
            before,
        }
    }

    fn facts(&self) -> CloudFacts {
        facts(&self.cloud, &self.objects)
    }
}

fn facts(cloud: &SharedCloud, objects: &MemObjects) -> CloudFacts {
    let cloud = lock(cloud);
    CloudFacts {
        servers: cloud.servers(),
        volumes: cloud.volumes(),
        objects: objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone(),
    }
}

/// Each volume gets bytes of its own, so that a mix-up shows.
fn fill_with_distinct_bytes(objects: &MemObjects) {
    let mut objects = objects
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for (name, volume) in objects.iter_mut() {
        volume.bytes = Bytes::from(format!("bytes of {name}"));
    }
}

impl World {
    /// Builds the world in which `schedule` happens.
    pub fn build(options: &WorldOptions, schedule: Schedule) -> Self {
        let start = Instant::now();
        let epoch = Utc
            .with_ymd_and_hms(2026, 1, 1, 0, 0, 0)
            .single()
            .unwrap_or_default();
        let clock = Arc::new(VirtualClock { start, epoch });
        // One server more than the group has: a bystander that nobody may touch.
        let source = Site::build(
            with_tenant_mapping(CloudOptions::demo(SOURCE, "http://site-a"))
                .with_fleet(options.members + 1),
        );
        let target = Site::build(
            with_tenant_mapping(CloudOptions::demo(TARGET, "http://site-b")).with_fleet(1),
        );
        if options.scenario.builds_fail() {
            lock(&target.cloud).add_fault(builds_fail());
        }
        let transport = Arc::new(InProcess::since(
            start,
            vec![Arc::clone(&source.cloud), Arc::clone(&target.cloud)],
            Arc::new(Calm),
        ));
        let arrays = Arc::new(SimArrays::new(
            BTreeMap::from([
                ("mock://array-a".to_owned(), Arc::clone(&source.objects)),
                ("mock://array-b".to_owned(), Arc::clone(&target.objects)),
            ]),
            clock.clone(),
        ));
        let (mut group, members) = group_of(&source, &target, options.members, clock.now());
        if options.scenario.is_test() {
            group.status = GroupStatus::Active;
        }
        let journal = Arc::new(MemoryJournal::new());
        let record = operation_of(options.scenario, &group, &members, clock.now());
        let operation = record.operation.id.clone();
        let id = group.id.clone();
        journal.put_group(group, members);
        journal.insert(record);
        let watch = Arc::new(Watch::new(
            Arc::clone(&source.cloud),
            Arc::clone(&target.cloud),
        ));
        Self {
            clock,
            journal,
            arrays,
            transport,
            source,
            target,
            operation,
            group: id,
            injector: Injector::new(schedule.fault),
            watch,
            scenario: options.scenario,
            tenant: None,
            kept: Vec::new(),
        }
    }

    /// Runs the operation to its end, and a while longer.
    pub async fn run(mut self) -> Outcome {
        if self.scenario.is_test() {
            self.take_recovery_point().await;
        }
        let stop = CancellationToken::new();
        let engines: Vec<JoinHandle<()>> = ["engine-1", "engine-2"]
            .into_iter()
            .map(|name| tokio::spawn(self.host(name, stop.clone())))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(AFTERMATH).await;
        self.transport.advance();
        stop.cancel();
        for engine in engines {
            let _ = engine.await;
        }
        self.outcome()
    }

    /// Whether the operation has ended, with the cleanups that follow it: those are begun here.
    fn has_ended(&mut self) -> bool {
        let Some(record) = self.journal.operation(&self.operation) else {
            return false;
        };
        match (record.operation.state, &self.tenant) {
            (OperationState::AwaitingCleanup, _) => {
                self.begin_test_cleanup(&record);
                false
            }
            (OperationState::Completed, Some(_)) => self.general_cleanup_has_ended(),
            (state, _) => state.is_terminal(),
        }
    }

    fn begin_test_cleanup(&mut self, test: &OperationRecord) {
        if self.journal.operation(&test_cleanup_id()).is_some() {
            return;
        }
        if self.scenario == Scenario::TestCopiesReliedOn {
            self.tenant = relied_on(test, &self.target.cloud);
        }
        self.journal.insert(test_cleanup_of(test, self.clock.now()));
    }

    fn general_cleanup_has_ended(&mut self) -> bool {
        if let Some(general) = self.journal.operation(&general_cleanup_id()) {
            return general.operation.state.is_terminal();
        }
        if let (Some(tenant), Some(cleanup)) =
            (&self.tenant, self.journal.operation(&test_cleanup_id()))
        {
            self.kept = steps_failed(&cleanup.steps);
            tenant.let_go();
            let general = general_cleanup_of(&cleanup, self.clock.now());
            self.journal.insert(general);
        }
        false
    }

    /// What a replication before the test has brought to the target's array.
    async fn take_recovery_point(&self) {
        let Some(record) = self.journal.operation(&self.operation) else {
            return;
        };
        let plan = &record.operation.plan;
        let volumes: Vec<VolumeId> = plan
            .volumes()
            .map(|(_, volume)| volume.id.clone())
            .collect();
        let earlier = OperationId::new("op-7a3f2c11-0000-4b22-a918-000000000001");
        let taken = self
            .arrays
            .replicate(&Replication::of(plan), &volumes, &earlier)
            .await;
        debug_assert!(taken.is_ok(), "{taken:?}");
    }

    /// A machine that starts its engine again whenever it dies.
    fn host(
        &self,
        name: &'static str,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let start_engine = self.engine_factory(name);
        async move {
            while !stop.is_cancelled() {
                let life = Life(CancellationToken::new());
                let engine = start_engine(life.clone());
                tokio::select! {
                    () = life.0.cancelled() => tokio::time::sleep(RESTART).await,
                    () = engine.run(stop.clone()) => {}
                }
            }
        }
    }

    fn engine_factory(&self, name: &'static str) -> impl Fn(Life) -> Engine + Send + use<> {
        let journal = Arc::clone(&self.journal);
        let arrays = Arc::clone(&self.arrays);
        let transport = Arc::clone(&self.transport);
        let injector = Arc::clone(&self.injector);
        let watch = Arc::clone(&self.watch);
        let clock = Arc::clone(&self.clock);
        move |life| {
            let freezer = Freezer::new();
            let transport = Arc::new(FaultyTransport {
                inner: transport.clone(),
                injector: Arc::clone(&injector),
                life: life.clone(),
                freezer: freezer.clone(),
                watch: Arc::clone(&watch),
            });
            let storage: Arc<dyn StorageDriver> = Arc::new(FaultyStorage {
                inner: arrays.clone(),
                injector: Arc::clone(&injector),
                life: life.clone(),
                freezer: freezer.clone(),
            });
            let journal = Arc::new(FaultyJournal {
                inner: journal.clone(),
                injector: Arc::clone(&injector),
                life,
                freezer,
            });
            let clouds = Arc::new(WalkerClouds::new(transport));
            let options = EngineOptions {
                // Concurrency would only make the order of calls depend on the executor.
                compute_concurrency: 1,
                volume_concurrency: 1,
                storage_concurrency: 1,
                ..EngineOptions::default()
            };
            Engine::new(
                EngineId::new(name),
                journal,
                Arc::new(CloudActions::new(clouds, storage, options.clone())),
                clock.clone(),
                options,
            )
        }
    }

    fn outcome(&self) -> Outcome {
        let lost = "the world's own records are never removed";
        #[allow(
            clippy::expect_used,
            reason = "both were put there when the world was built"
        )]
        let (record, group) = (
            self.journal.operation(&self.operation).expect(lost),
            self.journal.group(&self.group).expect(lost),
        );
        let cleanup = self.journal.operation(&test_cleanup_id());
        let ids = [&self.operation, &test_cleanup_id(), &general_cleanup_id()];
        Outcome {
            scenario: self.scenario,
            locked: ids.into_iter().any(|id| self.journal.is_locked(id)),
            kept: self.kept.clone(),
            changes_on_source: changes(&self.source.cloud),
            cleanup,
            record,
            group,
            source_before: self.source.before.clone(),
            source: self.source.facts(),
            target_before: self.target.before.clone(),
            target: self.target.facts(),
            ran_twice: self.watch.saw_both_running(),
            writes: self.injector.writes(),
            calls: self.injector.calls(),
        }
    }
}

/// The tenant relies on the first member's server and on the last member's last volume.
fn relied_on(test: &OperationRecord, cloud: &SharedCloud) -> Option<Tenant> {
    let plan = &test.operation.plan;
    let server = plan.members.first()?.server_id.as_str();
    let (_, volume) = plan.volumes().last()?;
    let server = test.map.target(MapKind::Server, server)?;
    let volume = test.map.target(MapKind::Volume, volume.id.as_str())?;
    Some(Tenant::relying_on(cloud, server, volume))
}

fn builds_fail() -> FaultRule {
    FaultRule {
        id: "builds-fail".to_owned(),
        matches: Match::default(),
        times: None,
        effect: Effect::Job(JobEffect::ServerBuildError {
            message: "No valid host was found.".to_owned(),
        }),
        seen: 0,
    }
}

/// The service user is a member of the tenant's project, as an administrator's tenant mapping makes it.
fn with_tenant_mapping(mut options: CloudOptions) -> CloudOptions {
    for user in &mut options.users {
        if user.name == "protector" {
            user.roles.push(RoleSeed {
                project: "demo".to_owned(),
                role: "member".to_owned(),
            });
        }
    }
    options
}

fn scope(site: &str, project: &str) -> SiteScope {
    SiteScope {
        site: SiteName::new(site),
        project_id: ProjectId::new(project),
    }
}

/// A group of the first `count` servers of the source.
fn group_of(
    source: &Site,
    target: &Site,
    count: usize,
    now: DateTime<Utc>,
) -> (Group, Vec<Member>) {
    let id = GroupId::new("5f3c0000-0000-4000-8000-000000000001");
    let project = |site: &Site| {
        let server = site.before.servers.first();
        server
            .map(|server| server.project.clone())
            .unwrap_or_default()
    };
    let network = |site: &Site| lock(&site.cloud).network_id("demo-net").unwrap_or_default();
    let volume_type = |site: &Site| lock(&site.cloud).volume_type_id("replicated");
    let group = Group {
        id: id.clone(),
        name: "prod-web-app".into(),
        description: None,
        primary: scope(SOURCE, &project(source)),
        secondary: scope(TARGET, &project(target)),
        current_primary_site: SiteName::new(SOURCE),
        status: GroupStatus::FailingOver,
        replication_type: ReplicationType::Async,
        volume_type_id: volume_type(source).unwrap_or_default(),
        secondary_volume_type_id: volume_type(target),
        mappings: ResourceMappings {
            networks: BTreeMap::from([(network(source), network(target))]),
            flavors: BTreeMap::new(),
        },
        version: 1,
        last_replication_at: None,
        created_at: now,
        updated_at: now,
    };
    let members = source
        .before
        .servers
        .iter()
        .take(count)
        .map(|server| member_of(&id, server, source, &network(source), now))
        .collect();
    (group, members)
}

fn member_of(
    group: &GroupId,
    server: &ServerFacts,
    site: &Site,
    network: &str,
    now: DateTime<Utc>,
) -> Member {
    let volumes = server.volumes.iter().enumerate().map(|(place, id)| {
        let known = site.before.volumes.iter().find(|volume| &volume.id == id);
        ProtectedVolume {
            id: VolumeId::new(id.clone()),
            name: known
                .and_then(|volume| volume.name.clone())
                .unwrap_or_default(),
            size_gib: 1,
            device: ["/dev/vda", "/dev/vdb"]
                .get(place)
                .copied()
                .unwrap_or_default()
                .to_owned(),
            boot: place == 0,
            delete_on_termination: false,
            metadata: BTreeMap::new(),
        }
    });
    Member {
        id: MemberId::new(format!("member-{}", server.name)),
        group_id: group.clone(),
        name: server.name.clone(),
        server_id: ServerId::new(server.id.clone()),
        status: MemberStatus::Protected,
        server: ServerSpec {
            flavor: Flavor {
                id: FlavorId::new("by-name"),
                name: "small".into(),
                vcpus: 1,
                ram_mib: 1024,
            },
            nics: vec![Nic {
                network_id: NetworkId::new(network),
                fixed_ips: Vec::new(),
            }],
            security_groups: vec!["default".into()],
            key_pair: None,
            metadata: server.metadata.clone(),
            user_data: None,
            availability_zone: None,
            config_drive: false,
            description: None,
        },
        volumes: volumes.collect(),
        created_at: now,
        updated_at: now,
    }
}

/// The calls that can change something; asking for a token is not one.
fn changes(cloud: &SharedCloud) -> Vec<String> {
    lock(cloud)
        .call_log()
        .iter()
        .filter(|call| call.service != Service::Identity)
        .filter(|call| !matches!(call.method.as_str(), "GET" | "HEAD"))
        .map(|call| format!("{} {}", call.method, call.path))
        .collect()
}
