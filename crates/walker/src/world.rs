//! A world for one schedule: two clouds, two arrays, a group, an operation, and two engines that share the journal.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use protector_core::{
    clock::Clock,
    fixtures,
    group::{Group, GroupStatus, ResourceMappings},
    id::{
        EngineId, FlavorId, FloatingIpId, GroupId, NetworkId, OperationId, ProjectId, ServerId,
        SiteName, VolumeId,
    },
    member::{Flavor, FloatingAddress, Member, Nic, PortSpec, ProtectedVolume, ServerSpec},
    operation::{FailedStep, OperationRecord},
    peer_site::PeerSite,
    site::SiteScope,
    storage::StorageDriver,
};
use protector_engine::{engine::Engine, options::EngineOptions, step::CloudActions};
use protector_simcloud::{
    array::SimArrays,
    backend::{MemBackend, MemObjects, MemVolume},
    cloud::{CloudOptions, FloatingFacts, PortFacts, RoleSeed, ServerFacts, SimCloud, VolumeFacts},
    in_process::{Calm, InProcess, SharedCloud, lock},
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Schedule,
    clouds::WalkerClouds,
    fault::{FaultyJournal, FaultyOtherSite, FaultyStorage, FaultyTransport, Injector},
    machine::{Machine, Machines},
    memory_journal::MemoryJournal,
    operations::operation_of,
    person,
    scenario::{Circumstance, FIRST_COPY, SOURCE, Scenario, Walked, WorldOptions},
    trouble::{self, Stuck},
    watch::Watch,
};

/// The second engine.
const SECOND: &str = "engine-2";
const TARGET: &str = "site-b";
/// After an operation has ended, whatever was still on its way arrives within this: a frozen engine's call, sent when it
/// thaws, and the answer that it waits for.
const AFTERMATH: Duration = Duration::from_secs(400);
/// An operation that has not ended by then never will (invariant I9).
const PATIENCE: Duration = Duration::from_secs(48 * 3600);
/// The same of an operation in a story, in which nothing is in the way for more than some minutes.
const STORY_PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// What is left when the dust has settled.
#[derive(Debug)]
pub struct WalkOutcome {
    /// What the world was like.
    pub scenario: Scenario,
    pub record: OperationRecord,
    /// Whether the operation still holds its lock.
    pub locked: bool,
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
    /// Whether a server was ever seen running on a disk that takes no writes.
    pub ran_on_a_replica: bool,
    /// Journal writes, from the operation that the schedule is about.
    pub writes: usize,
    /// Remote calls of it.
    pub calls: usize,
    /// The cleanup of a test failover, if it came to that.
    pub test_cleanup: Option<OperationRecord>,
    /// What it had left when it ended, before a tenant let go of that.
    pub kept: Vec<FailedStep>,
    /// Calls to the source that can change something: method and path.
    pub changes_on_source: Vec<String>,
    /// The cleanups that followed, in order.
    pub cleanups: Vec<OperationRecord>,
    /// Calls that a cloud accepted to delete the same resource more than once, since the first cleanup began.
    pub deleted_twice: Vec<String>,
    /// Which of the source's volumes could not be deleted, and why.
    pub stuck: BTreeMap<String, Stuck>,
    /// Another try after an unplanned failover, if it came to that.
    pub retry: Option<OperationRecord>,
    /// How many calls reached the source of an unplanned failover.
    pub calls_on_source: usize,
    /// The mirror of each volume, where arrays mirror.
    pub mirrors: BTreeMap<VolumeId, String>,
}

/// A cloud from the inside.
#[derive(Clone, Debug)]
pub struct CloudFacts {
    pub servers: Vec<ServerFacts>,
    pub volumes: Vec<VolumeFacts>,
    /// Its backend's objects and their bytes.
    pub objects: BTreeMap<String, MemVolume>,
    /// Its ports that an operation has marked.
    pub marked_ports: Vec<PortFacts>,
    pub floating_ips: Vec<FloatingFacts>,
}

/// The virtual clock: tokio's, from a fixed epoch.
pub(crate) struct VirtualClock {
    start: Instant,
    epoch: DateTime<Utc>,
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        (self.epoch + TimeDelta::from_std(elapsed).unwrap_or(TimeDelta::MAX)).trunc_subsecs(6)
    }
}

/// A wall clock that is ahead of the world's.
struct ClockAhead {
    inner: Arc<VirtualClock>,
    by: TimeDelta,
}

impl Clock for ClockAhead {
    fn now(&self) -> DateTime<Utc> {
        self.inner.now() + self.by
    }
}

/// One schedule's world.
pub struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) arrays: Arc<SimArrays>,
    pub(crate) listeners: Arc<person::Listeners>,
    pub(crate) transport: Arc<InProcess>,
    pub(crate) source: Site,
    pub(crate) target: Site,
    pub(crate) operation: OperationId,
    pub(crate) group: GroupId,
    pub(crate) injector: Arc<Injector>,
    watch: Arc<Watch>,
    pub(crate) options: WorldOptions,
    stuck: BTreeMap<String, Stuck>,
}

pub(crate) struct Site {
    pub cloud: SharedCloud,
    pub(crate) objects: MemObjects,
    pub(crate) before: CloudFacts,
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

    /// Gives each server one that leads to it, and two that lead nowhere.
    fn add_floating_ips(&mut self) {
        for server in &self.before.servers {
            for leads in [true, false, false] {
                lock(&self.cloud).add_floating_ip(&server.id, leads);
            }
        }
        self.before = self.facts();
    }

    pub(crate) fn facts(&self) -> CloudFacts {
        facts(&self.cloud, &self.objects)
    }
}

fn facts(cloud: &SharedCloud, objects: &MemObjects) -> CloudFacts {
    let cloud = lock(cloud);
    CloudFacts {
        servers: cloud.servers(),
        volumes: cloud.volumes(),
        marked_ports: cloud.marked_ports(),
        floating_ips: cloud.all_floating_ips(),
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
        let mut source = Site::build(cloud_options(
            SOURCE,
            "http://site-a",
            options.members + 1,
            options.data_volumes,
        ));
        if options.scenario.has(Circumstance::FloatingIpsReleased) {
            source.add_floating_ips();
        }
        let target = Site::build(cloud_options(TARGET, "http://site-b", 1, 1));
        trouble::begin(options, &source.cloud, &target.cloud);
        let stuck = trouble::stick(&source.cloud, options);
        let transport = Arc::new(InProcess::since(
            start,
            vec![Arc::clone(&source.cloud), Arc::clone(&target.cloud)],
            Arc::new(Calm),
        ));
        let arrays = Arc::new(SimArrays::of(
            options.promotion,
            BTreeMap::from([
                ("mock://array-a".to_owned(), Arc::clone(&source.objects)),
                ("mock://array-b".to_owned(), Arc::clone(&target.objects)),
            ]),
            clock.clone(),
        ));
        let clouds = [
            ("mock://array-a", Arc::clone(&source.cloud)),
            ("mock://array-b", Arc::clone(&target.cloud)),
        ];
        arrays.set_has_open(move |array, name| {
            let cloud = clouds.iter().find(|(known, _)| *known == array);
            let servers = cloud.map(|(_, cloud)| lock(cloud).servers());
            let uses_it = |server: &ServerFacts| {
                let mut volumes = server.volumes.iter();
                server.running && volumes.any(|id| name == format!("volume-{id}"))
            };
            servers.is_some_and(|servers| servers.iter().any(uses_it))
        });
        if options.scenario.has(Circumstance::FirstCopyIsNotThere) {
            arrays.set_first_copy_takes(FIRST_COPY);
        }
        let (mut group, members) = group_of(
            options.scenario,
            &source,
            &target,
            options.members,
            clock.now(),
        );
        if options.scenario.operation == Walked::TestFailover {
            group.status = GroupStatus::Active;
        }
        if options.scenario.has(Circumstance::RecoveryPlan) {
            group.recovery_plan = person::recovery_plan(&members);
        }
        let listeners = Arc::new(person::Listeners::default());
        if options.scenario.has(Circumstance::LastIsDeaf) {
            group.recovery_plan = person::last_one_probed(&members);
            listeners.set_deaf(true);
        }
        let journal = Arc::new(MemoryJournal::new());
        let record = operation_of(options, &group, &members, clock.now());
        let operation = record.operation.id.clone();
        let id = group.id.clone();
        name_what_leads_nowhere(&mut group, &members, &source);
        journal.put_group(group, members);
        journal.insert(record);
        let watch = Arc::new(Watch::new(
            Arc::clone(&source.cloud),
            Arc::clone(&target.cloud),
            [Arc::clone(&source.objects), Arc::clone(&target.objects)],
        ));
        Self {
            clock,
            journal,
            arrays,
            listeners,
            transport,
            source,
            target,
            operation,
            group: id,
            injector: Injector::new(schedule.faults, options.storm),
            watch,
            options: options.clone(),
            stuck,
        }
    }

    /// Runs the operation to its end, and a while longer. A test failover's cleanup is part of it.
    pub async fn run(self) -> WalkOutcome {
        if self.options.scenario.operation == Walked::TestFailover {
            return self.run_test().await;
        }
        if self.options.scenario.operation == Walked::UnplannedFailover {
            return self.run_lost().await;
        }
        self.injector.arm();
        let engines = self.start_engines();
        self.settled(&self.operation).await;
        self.aftermath().await;
        engines.end().await;
        self.outcome(Vec::new())
    }

    /// Starts two engines that share the journal.
    pub(crate) fn start_engines(&self) -> Engines {
        self.start_engines_of(&Protector {
            journal: Arc::clone(&self.journal),
            injector: Arc::clone(&self.injector),
            machines: Machines::Apart,
            beside: None,
        })
    }

    /// The same for one of two protectors.
    pub(crate) fn start_engines_of(&self, protector: &Protector) -> Engines {
        let stop = CancellationToken::new();
        let hosts = ["engine-1", SECOND]
            .into_iter()
            .map(|name| tokio::spawn(self.host(protector, name, stop.clone())))
            .collect();
        Engines { stop, hosts }
    }

    /// Waits until no engine has anything to do with the operation any more.
    pub(crate) async fn settled(&self, operation: &OperationId) {
        settled_in(&self.journal, operation).await;
    }

    /// The same in a story, in which nothing lasts for longer than minutes.
    pub(crate) async fn settled_soon(&self, operation: &OperationId) {
        settled_within(&self.journal, operation, STORY_PATIENCE).await;
    }

    /// Waits for what is still on its way.
    pub(crate) async fn aftermath(&self) {
        tokio::time::sleep(AFTERMATH).await;
        self.transport.advance();
    }

    /// A host that starts its engine again whenever its machine has died.
    fn host(
        &self,
        protector: &Protector,
        name: &'static str,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let start_engine = self.engine_factory(protector, name);
        let machines = protector.machines.clone();
        async move {
            while !stop.is_cancelled() {
                let machine = machines.start();
                let engine = start_engine(machine.clone());
                tokio::select! {
                    () = machine.dead() => machines.restarted().await,
                    () = engine.run(stop.clone()) => {}
                }
            }
        }
    }

    fn clock_of(&self, engine: &str) -> Arc<dyn Clock> {
        let by = match engine {
            SECOND => self.options.second_clock_ahead,
            _ => Duration::ZERO,
        };
        Arc::new(ClockAhead {
            inner: Arc::clone(&self.clock),
            by: TimeDelta::from_std(by).unwrap_or_default(),
        })
    }

    fn engine_factory(
        &self,
        protector: &Protector,
        name: &'static str,
    ) -> impl Fn(Machine) -> Engine + Send + use<> {
        let Protector {
            journal,
            injector,
            beside,
            ..
        } = protector.clone();
        let arrays = Arc::clone(&self.arrays);
        let listeners = Arc::clone(&self.listeners);
        let transport = Arc::clone(&self.transport);
        let watch = Arc::clone(&self.watch);
        let clock = self.clock_of(name);
        let concurrency = self.options.concurrency;
        move |machine| {
            let transport = Arc::new(FaultyTransport {
                inner: transport.clone(),
                injector: Arc::clone(&injector),
                machine: machine.clone(),
                watch: Arc::clone(&watch),
            });
            let storage: Arc<dyn StorageDriver> = Arc::new(FaultyStorage {
                inner: arrays.clone(),
                injector: Arc::clone(&injector),
                machine: machine.clone(),
            });
            let other = beside.clone().map(|(site, inner)| {
                let (injector, machine) = (Arc::clone(&injector), machine.clone());
                let other: Arc<dyn PeerSite> = Arc::new(FaultyOtherSite {
                    inner,
                    injector,
                    machine,
                });
                (site, other)
            });
            let journal = Arc::new(FaultyJournal {
                inner: journal.clone(),
                injector: Arc::clone(&injector),
                machine,
            });
            let clouds = Arc::new(WalkerClouds::new(transport));
            let options = EngineOptions {
                compute_concurrency: concurrency,
                volume_concurrency: concurrency,
                storage_concurrency: concurrency,
                ..EngineOptions::default()
            };
            let actions =
                CloudActions::new(clouds, storage, options.clone()).with_outside(listeners.clone());
            let actions = match other {
                Some((site, other)) => actions.beside(site, other),
                None => actions,
            };
            Engine::new(
                EngineId::new(name),
                journal,
                Arc::new(actions),
                clock.clone(),
                options,
            )
            // One of its name that ran before has died.
            .in_place_of(EngineId::new(name))
        }
    }

    pub(crate) fn outcome(&self, cleanups: Vec<OperationRecord>) -> WalkOutcome {
        self.arrays.catch_up();
        // Nobody may have called a cloud since what was asked for last took effect.
        self.watch.look();
        let lost = "the world's own records are never removed";
        #[allow(
            clippy::expect_used,
            reason = "both were put there when the world was built"
        )]
        let (record, group) = (
            self.journal.operation(&self.operation).expect(lost),
            self.journal.group(&self.group).expect(lost),
        );
        WalkOutcome {
            scenario: self.options.scenario,
            locked: self.journal.is_locked(&record.operation.id),
            record,
            group,
            source_before: self.source.before.clone(),
            source: self.source.facts(),
            target_before: self.target.before.clone(),
            target: self.target.facts(),
            ran_twice: self.watch.saw_both_running(),
            ran_on_a_replica: self.watch.saw_one_on_a_replica(),
            writes: self.injector.writes(),
            calls: self.injector.calls(),
            test_cleanup: None,
            kept: Vec::new(),
            changes_on_source: self.changes_on_source(),
            deleted_twice: self.deleted_twice(),
            cleanups,
            stuck: self.stuck.clone(),
            retry: None,
            calls_on_source: 0,
            mirrors: self.arrays.mirrors_of_volumes(),
        }
    }
}

/// Waits until no engine has anything to do with the operation any more.
pub(crate) async fn settled_in(journal: &MemoryJournal, operation: &OperationId) {
    settled_within(journal, operation, PATIENCE).await;
}

async fn settled_within(journal: &MemoryJournal, operation: &OperationId, patience: Duration) {
    let has_ended = || {
        let state = journal.state(operation);
        state.is_some_and(|state| !state.is_walked())
    };
    let deadline = Instant::now() + patience;
    while !has_ended() && Instant::now() < deadline {
        person::end_pauses(journal, operation);
        person::let_go_when_asked(journal, operation);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// What the engines of one protector share.
#[derive(Clone)]
pub(crate) struct Protector {
    pub(crate) journal: Arc<MemoryJournal>,
    /// What goes wrong for them.
    pub(crate) injector: Arc<Injector>,
    /// What they run on.
    pub machines: Machines,
    /// Their site and the other one's protector, where there are two.
    pub beside: Option<(SiteName, Arc<dyn PeerSite>)>,
}

pub(crate) struct Engines {
    stop: CancellationToken,
    hosts: Vec<JoinHandle<()>>,
}

impl Engines {
    /// Tells them to stop, and waits until they have.
    pub async fn end(self) {
        self.stop.cancel();
        for host in self.hosts {
            let _ = host.await;
        }
    }
}

/// A cloud with `servers` servers of the tenant. Its network has room for all of them.
fn cloud_options(name: &str, url: &str, servers: usize, data_volumes: usize) -> CloudOptions {
    let mut options = with_tenant_mapping(CloudOptions::demo(name, url)).with_fleet(servers);
    for server in &mut options.servers {
        server.data_gib = vec![1; data_volumes];
    }
    for cidr in options
        .networks
        .iter_mut()
        .flat_map(|network| &mut network.cidrs)
    {
        *cidr = cidr.replace("/24", "/16");
    }
    options
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
    scenario: Scenario,
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
        primary: scope(SOURCE, &project(source)),
        secondary: scope(TARGET, &project(target)),
        current_primary_site: SiteName::new(SOURCE),
        status: GroupStatus::FailingOver,
        volume_type_id: volume_type(source).unwrap_or_default(),
        secondary_volume_type_id: volume_type(target),
        mappings: ResourceMappings {
            networks: BTreeMap::from([(network(source), network(target))]),
            ..ResourceMappings::default()
        },
        created_at: now,
        updated_at: now,
        ..fixtures::group()
    };
    let members = source
        .before
        .servers
        .iter()
        .take(count)
        .map(|server| member_of(&group, scenario, server, source, &network(source)))
        .collect();
    (group, members)
}

/// The floating IPs of a member: the one that leads to its server and, next to that, one that leads nowhere.
fn floating_ips_of(server: &str, site: &Site) -> Vec<FloatingAddress> {
    let mut all = site.before.floating_ips.iter();
    let is_of_server = |floating: &&FloatingFacts| floating.server.as_deref() == Some(server);
    let first = all.find(is_of_server);
    let known = first.into_iter().chain(all.next());
    known
        .filter_map(|floating| {
            Some(FloatingAddress {
                id: Some(FloatingIpId::new(&floating.id)),
                address: floating.address.parse().ok()?,
                fixed_ip: address_of(server),
            })
        })
        .collect()
}

/// Has the recovery plan name those of the members' floating IPs that lead nowhere, as a tenant may while the group is moved.
fn name_what_leads_nowhere(group: &mut Group, members: &[Member], site: &Site) {
    let leads_nowhere = |floating: &&FloatingAddress| {
        let mut all = site.before.floating_ips.iter();
        all.any(|seen| {
            seen.server.is_none()
                && Some(seen.id.as_str()) == floating.id.as_ref().map(FloatingIpId::as_str)
        })
    };
    for member in members {
        let named = member.floating_ips().map(|(_, floating)| floating);
        for floating in named.filter(leads_nowhere) {
            let recovery = &mut group.recovery_plan.members;
            let recovery = recovery.entry(member.id.clone()).or_default();
            let address = floating.address.to_string();
            recovery.floating_ips.insert(address, "public".to_owned());
        }
    }
}

/// One in the target's network, for each server another.
fn address_of(server: &str) -> IpAddr {
    let digits: String = server.chars().filter(char::is_ascii_digit).collect();
    let number: u32 = digits.parse().unwrap_or_default();
    let base = u32::from(Ipv4Addr::new(10, 20, 1, 0));
    IpAddr::V4(Ipv4Addr::from(base.saturating_add(number)))
}

fn member_of(
    group: &Group,
    scenario: Scenario,
    server: &ServerFacts,
    site: &Site,
    network: &str,
) -> Member {
    let volumes = server.volumes.iter().enumerate().map(|(place, id)| {
        let known = site.before.volumes.iter().find(|volume| &volume.id == id);
        ProtectedVolume {
            name: known
                .and_then(|volume| volume.name.clone())
                .unwrap_or_default(),
            device: ('a'..='z')
                .nth(place)
                .map(|letter| format!("/dev/vd{letter}"))
                .unwrap_or_default(),
            boot: place == 0,
            // Where a copy may not be recovered, one of them went with its server where the group goes, before a move took it
            // away from there.
            delete_on_termination_at: (place == 1
                && scenario.operation == Walked::UnplannedFailover)
                .then(|| group.secondary.site.clone()),
            ..fixtures::volume(id)
        }
    });
    Member {
        group_id: group.id.clone(),
        server_id: ServerId::new(server.id.clone()),
        server: ServerSpec {
            flavor: Flavor {
                id: FlavorId::new("by-name"),
                name: "small".into(),
                vcpus: 1,
                ram_mib: 1024,
                disks: None,
            },
            nics: vec![Nic {
                network_id: NetworkId::new(network),
                fixed_ips: vec![address_of(&server.name)],
                port: scenario
                    .has(Circumstance::FloatingIpsReleased)
                    .then(|| PortSpec {
                        security_groups: vec!["default".into()],
                        floating_ips: floating_ips_of(&server.id, site),
                        ..PortSpec::default()
                    }),
                tag: None,
            }],
            security_groups: vec!["default".into()],
            metadata: server.metadata.clone(),
            ..fixtures::server_spec()
        },
        volumes: volumes.collect(),
        created_at: group.created_at,
        updated_at: group.created_at,
        ..fixtures::member(&server.name)
    }
}
