//! Two clouds, a group of one server with a boot and a data volume, and its failover up to the switch.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, TimeZone, Utc};
use protector_core::{
    adoption::adoption_of,
    clock::Clock,
    fault::StepFailure,
    group::{Group, GroupStatus, ReplicationType, ResourceMappings},
    id::{
        EngineId, FlavorId, GroupId, MemberId, NetworkId, OperationId, ProjectId, ServerId,
        SiteName, UserId, VolumeId,
    },
    journal::{Claim, Entry, Journal, JournalError, Protection},
    member::{Flavor, Member, MemberStatus, Nic, ProtectedVolume, ServerSpec},
    operation::{
        GivenUp, MapKind, Operation, OperationKind, OperationRecord, OperationState, Planning,
        ResourceMap, StepRecord, StepState, steps_completed, steps_failed,
    },
    plan::{ArrayPair, Plan},
    present::map_as_of_now,
    queue::Room,
    recovery_plan::RecoveryPlan,
    runbook::{
        BOOK_VERSION, Step, Verb,
        abort::abort,
        adopt::adopt,
        cleanup::{cleanup_of, cleanup_of_chosen},
        failover::planned_move,
        fence::fence,
        replicate::replicate_now,
        retry::retry,
        unplanned_failover::unplanned_failover,
    },
    site::SiteScope,
    storage::{GroupReplication, PromotionKind},
};
use protector_engine::{
    clouds::Clouds,
    engine::Engine,
    options::EngineOptions,
    peer_site::{PeerSite, ReservationError},
    step::{CloudActions, why_not_at_rest},
};
use protector_openstack::{
    catalog::EndpointInterface,
    cloud::Cloud,
    credentials::{Credentials, ProjectScope},
    options::ClientOptions,
    session::Session,
    transport::Transport,
};
use protector_simcloud::{
    array::SimArrays,
    backend::{MemBackend, MemObjects},
    cloud::{
        CallEffect, CloudOptions, Component, FaultEffect, FaultRule, JobEffect, Match, RoleSeed,
        ServerFacts, SimCloud, VolumeFacts,
    },
    in_process::{Calm, InProcess, SharedCloud, lock},
};
use protector_walker::memory_journal::MemoryJournal;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SOURCE: &str = "site-a";
const TARGET: &str = "site-b";
const FAILOVER: &str = "op-7a3f2c11-0001-4b22-a918-000000000001";
/// Long enough for every job of a simulated cloud.
const A_WHILE: Duration = Duration::from_secs(60);

/// The keys of the deletions at the failover's end.
pub const SERVER: &str = "delete_source_vm:vm-001";
pub const BOOT: &str = "delete_source_volume:vm-001-boot";
pub const DATA: &str = "delete_source_volume:vm-001-data-1";

struct VirtualClock {
    start: Instant,
    epoch: DateTime<Utc>,
}

impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        (self.epoch + TimeDelta::from_std(elapsed).unwrap()).trunc_subsecs(6)
    }
}

/// The service user's ways into the clouds.
struct ServiceUser {
    transport: Arc<dyn Transport>,
}

impl ServiceUser {
    fn cloud(&self, site: &SiteName, project: ProjectScope) -> Cloud {
        let credentials = Credentials {
            auth_url: format!("http://{site}/identity/v3"),
            username: "protector".into(),
            password: "protector".into(),
            user_domain_name: "Default".into(),
            project,
            region_name: Some(site.to_string()),
            interface: EndpointInterface::Public,
        };
        Cloud::new(Session::new(
            Arc::clone(&self.transport),
            credentials,
            ClientOptions::default(),
        ))
    }
}

#[async_trait]
impl Clouds for ServiceUser {
    async fn tenant(&self, scope: &SiteScope, _: Option<&str>) -> Result<Cloud, StepFailure> {
        Ok(self.cloud(&scope.site, ProjectScope::Id(scope.project_id.clone())))
    }

    async fn admin(&self, site: &SiteName, _: Option<&str>) -> Result<Cloud, StepFailure> {
        let project = ProjectScope::Name {
            name: "service".into(),
            domain: "Default".into(),
        };
        Ok(self.cloud(site, project))
    }
}

/// As whom another site's protector comes to the target.
pub const PEER: &str = "demo-manager";

/// The other site's protector, which holds the group still until it is told to say something else.
pub struct OtherSiteSays {
    pub answer: Mutex<Answer>,
    /// Whether it goes on without this site.
    pub paired: Mutex<fn() -> Result<(), ReservationError>>,
    journal: Arc<MemoryJournal>,
}

/// What it says of an operation, by the operation's record.
pub type Answer = Box<dyn Fn(&OperationRecord) -> Result<(), ReservationError> + Send>;

#[async_trait]
impl PeerSite for OtherSiteSays {
    async fn hold_still(&self, operation: &Operation) -> Result<(), ReservationError> {
        let record = self.journal.operation(&operation.id).unwrap();
        let answer = self.answer.lock().unwrap();
        answer(&record)
    }

    async fn still_stopped(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.hold_still(operation).await
    }

    async fn still_leaves(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.hold_still(operation).await
    }

    async fn still_paired(&self, _: &Operation) -> Result<(), ReservationError> {
        let says = *self.paired.lock().unwrap();
        says()
    }
}

/// Which write something happens at.
type When = Box<dyn Fn(&Entry) -> bool + Send>;

/// What happens once, right before a write.
type AtWrite = Arc<Mutex<Option<(When, Box<dyn FnOnce() + Send>)>>>;

/// Which write takes how long, once.
type SlowWrite = Arc<Mutex<Option<(When, Duration)>>>;

/// A journal during whose writes something may happen.
struct Watched {
    inner: Arc<MemoryJournal>,
    at_write: AtWrite,
    slow_write: SlowWrite,
}

impl Watched {
    fn see(&self, entry: &Entry) {
        let mut at_write = self.at_write.lock().unwrap();
        if let Some((_, what)) = at_write.take_if(|(when, _)| when(entry)) {
            what();
        }
    }

    fn waits(&self, entry: &Entry) -> Duration {
        let mut slow_write = self.slow_write.lock().unwrap();
        let due = slow_write.take_if(|(when, _)| when(entry));
        due.map_or(Duration::ZERO, |(_, time)| time)
    }
}

#[async_trait]
impl Journal for Watched {
    async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
        self.inner.now().await
    }

    async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, JournalError> {
        self.inner.protection_of(resources).await
    }

    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError> {
        self.inner
            .claim(engine, now, lease, book_version, room)
            .await
    }

    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError> {
        self.inner.load(claim).await
    }

    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError> {
        self.inner.mapped(claim, kind, source).await
    }

    async fn lines_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        self.inner.lines_about(claim, resource).await
    }

    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError> {
        self.inner.aborted_by(claim).await
    }

    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError> {
        self.see(&entry);
        tokio::time::sleep(self.waits(&entry)).await;
        self.inner.record(claim, now, entry).await
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        self.inner.renew(claim, now).await
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        self.inner.forget(engine).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        self.inner.release(claim).await
    }
}

/// A failover that has switched to the target.
pub struct Bed {
    /// The cloud that the group left.
    pub source: SharedCloud,
    /// The cloud that it runs on.
    pub target: SharedCloud,
    /// The group's server on the source.
    pub server: String,
    /// A server of the same project that is not in the group.
    pub bystander: String,
    /// Its boot volume.
    pub boot: String,
    /// Its data volume.
    pub data: String,
    /// The servers that cleanups are asked to delete though they run, by the members' servers on the source.
    pub delete_running: Vec<String>,
    /// What the other site's protector says.
    pub other: Arc<OtherSiteSays>,
    /// What it is all written down in.
    pub journal: Arc<MemoryJournal>,
    at_write: AtWrite,
    slow_write: SlowWrite,
    engine: Arc<Engine>,
    arrays: Arc<SimArrays>,
    /// What is on the target's array.
    source_objects: MemObjects,
    target_objects: MemObjects,
    transport: Arc<InProcess>,
    deletions: Vec<StepRecord>,
    cleanups: u32,
}

impl Bed {
    /// The usual one.
    pub async fn switched() -> Self {
        Self::switched_as(|_| {}, |_| {}).await
    }

    /// One with another source cloud or another plan.
    pub async fn switched_as(
        change_source: impl FnOnce(&mut CloudOptions),
        change_plan: impl FnOnce(&mut Plan),
    ) -> Self {
        let (mut bed, plan) = Self::ready(change_source, change_plan).await;
        bed.switch(plan).await;
        bed
    }

    /// The usual one, run by the engines of the site that the group has gone to.
    pub async fn switched_by_the_target() -> Self {
        let (mut bed, plan) = Self::ready_at(TARGET, |_| {}, |_| {}).await;
        bed.switch(plan).await;
        bed
    }

    /// One whose failover has run to its end on slow clouds, while the other site said this.
    pub async fn moved_while(says: Answer) -> (Self, OperationRecord) {
        Self::moved_at(10.0, says).await
    }

    /// The same, each answer about a server taking so many seconds.
    pub async fn moved_at(seconds: f64, says: Answer) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        for cloud in [&bed.source, &bed.target] {
            lock(cloud).add_fault(FaultRule {
                id: String::new(),
                matches: Match {
                    method: Some("GET".to_owned()),
                    path: Some("*/servers/*".to_owned()),
                    ..Match::default()
                },
                times: None,
                effect: FaultEffect::Call(CallEffect::Delay { seconds }),
                seen: 0,
            });
        }
        *bed.other.answer.lock().unwrap() = says;
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk(new_failover(plan, steps)).await;
        (bed, record)
    }

    /// One whose failover, to this plan, somebody gives up as soon as `when` is true of its record.
    pub async fn aborted(
        change_plan: impl FnOnce(&mut Plan),
        says: Answer,
        when: impl Fn(&OperationRecord) -> bool,
    ) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, change_plan).await;
        *bed.other.answer.lock().unwrap() = says;
        let steps = planned_move(&plan).into_steps().unwrap();
        let mut asked = None;
        let record = bed
            .walk_beside(new_failover(plan, steps), |journal, record| {
                if asked.is_none() && when(record) {
                    let id = &record.operation.id;
                    asked = Some(journal.abort(id, "user-1", GivenUp::Unwanted));
                }
            })
            .await;
        assert_eq!(asked, Some(Ok(())), "it was not given up");
        (bed, record)
    }

    /// One whose failover, to this plan and with these faults of the clouds, somebody gives up with `--target-is-lost` as soon
    /// as `when` is true of its record: the other protector is silent from then on, and `lose` does what its cloud does. With
    /// the time that it took from then on.
    pub async fn given_up_as_lost(
        prepare: impl FnOnce(&Bed, &mut Plan),
        when: impl Fn(&OperationRecord) -> bool,
        lose: impl Fn(&Bed),
    ) -> (Self, OperationRecord, Duration) {
        let (bed, mut plan) = Self::ready(|_| {}, |_| {}).await;
        prepare(&bed, &mut plan);
        let steps = planned_move(&plan).into_steps().unwrap();
        let mut asked = None;
        let record = bed
            .walk_beside(new_failover(plan, steps), |journal, record| {
                if asked.is_some() || !when(record) {
                    return;
                }
                *bed.other.answer.lock().unwrap() =
                    Box::new(|_| Err(ReservationError::Silent("connection refused".to_owned())));
                lose(&bed);
                let id = &record.operation.id;
                journal.abort(id, "user-1", GivenUp::TargetIsLost).unwrap();
                asked = Some(Instant::now());
            })
            .await;
        (bed, record, asked.unwrap().elapsed())
    }

    /// The target builds no copy.
    pub fn no_copy_can_be_built(&self) {
        let of_the_copy = Match {
            resource: Some("vm-001".to_owned()),
            ..Match::default()
        };
        lock(&self.target).add_fault(FaultRule {
            id: String::new(),
            matches: of_the_copy,
            times: None,
            effect: FaultEffect::Job(JobEffect::ServerBuildError {
                message: "No valid host was found.".to_owned(),
            }),
            seen: 0,
        });
    }

    /// `openstack dr operation abort --target-is-lost` of its failover, which has left its server stopped.
    pub async fn abort_for_the_lost_target(&mut self) -> Ended {
        let parent = self.failover().operation;
        self.cleanups += 1;
        let id = format!("op-7a3f2c11-0003-4b22-a918-{:012}", self.cleanups);
        let plan = Plan {
            interrupted: vec![parent.id.clone()],
            ..parent.plan
        };
        let steps = abort(&plan).into_steps().unwrap();
        let parent_id = Some(parent.id);
        let kind = OperationKind::Abort;
        let record = OperationRecord {
            operation: operation(&id, kind, plan, parent_id, parent.created_at),
            steps,
            map: ResourceMap::default(),
        };
        Ended(self.walk(record).await)
    }

    /// The other cloud answers nothing any more.
    pub fn lose_the_target(&self) {
        lock(&self.target).add_fault(FaultRule {
            id: "lost".to_owned(),
            matches: Match::default(),
            times: None,
            effect: FaultEffect::Call(CallEffect::Status {
                status: 503,
                body: None,
                headers: BTreeMap::new(),
            }),
            seen: 0,
        });
    }

    /// The group as it stands.
    pub fn group(&self) -> Group {
        let id = self.failover().operation.group_id;
        self.journal.group(&id).unwrap().0
    }

    /// One whose failover has run to its end on arrays that replicate for this long, while the other site said this.
    pub async fn replicated_for(time: Duration, says: Answer) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        bed.arrays.set_replication_takes(time);
        *bed.other.answer.lock().unwrap() = says;
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk(new_failover(plan, steps)).await;
        (bed, record)
    }

    /// One whose failover has run to its end while the target turned the request for its copy away, and the other site said
    /// this.
    pub async fn built_while(says: Answer) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        turn_away(&bed.target, "POST", "*/servers", 503);
        *bed.other.answer.lock().unwrap() = says;
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk(new_failover(plan, steps)).await;
        (bed, record)
    }

    /// One whose failover has run to its end, while somebody had its copy in group `second-life` for this time.
    pub async fn moved_while_another_group_has_the_copy(time: Duration) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        bed.another_group_has_the_copy(FAILOVER, &plan, time);
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk(new_failover(plan, steps)).await;
        (bed, record)
    }

    /// One whose source was lost, and whose unplanned failover to another plan has run to its end.
    pub async fn recovered_as(change_plan: impl FnOnce(&mut Plan)) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, change_plan).await;
        let now = plan.members[0].created_at;
        let record = |id, kind, steps| OperationRecord {
            operation: operation(id, kind, plan.clone(), None, now),
            steps,
            map: ResourceMap::default(),
        };
        let sync = replicate_now().into_steps().unwrap();
        bed.walk(record("op-sync", OperationKind::Sync, sync)).await;
        bed.lose_the_source();
        let steps = unplanned_failover(&plan).into_steps().unwrap();
        let unplanned = unplanned(record("op-unplanned", OperationKind::Failover, steps));
        let record = bed.walk(unplanned).await;
        (bed, record)
    }

    /// One whose source was lost and whose unplanned failover has run to its end, likewise; and what that waited for meanwhile.
    pub async fn recovered_while_another_group_has_the_copy(
        time: Duration,
    ) -> (Self, OperationRecord, Vec<String>) {
        const UNPLANNED: &str = "op-unplanned";
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        let now = plan.members[0].created_at;
        let record = |id, kind, steps| OperationRecord {
            operation: operation(id, kind, plan.clone(), None, now),
            steps,
            map: ResourceMap::default(),
        };
        let sync = replicate_now().into_steps().unwrap();
        bed.walk(record("op-sync", OperationKind::Sync, sync)).await;
        bed.lose_the_source();
        let noted = bed.another_group_has_the_copy(UNPLANNED, &plan, time);
        let steps = unplanned_failover(&plan).into_steps().unwrap();
        let record = bed
            .walk(unplanned(record(UNPLANNED, OperationKind::Failover, steps)))
            .await;
        (bed, record, noted.await.unwrap())
    }

    /// As soon as an operation has built the copy of the only member, group `second-life` has it, for this time; gives what the
    /// operation's lines wait for at its end.
    fn another_group_has_the_copy(
        &self,
        operation: &str,
        plan: &Plan,
        time: Duration,
    ) -> tokio::task::JoinHandle<Vec<String>> {
        let (journal, own) = (Arc::clone(&self.journal), plan.group_id.clone());
        let id = OperationId::new(operation);
        let mut member = plan.members[0].clone();
        tokio::spawn(async move {
            let copy = loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let record = journal.operation(&id);
                let map = record.map(|record| record.map).unwrap_or_default();
                if let Some(copy) = map.target(MapKind::Server, member.server_id.as_str()) {
                    break ServerId::new(copy);
                }
            };
            member.id = MemberId::new("another-member");
            member.server_id = copy;
            let group = another_group(&journal, &own, "second-life", TARGET);
            journal.put_group(group.clone(), vec![member]);
            tokio::time::sleep(time).await;
            let steps = journal.operation(&id).unwrap().steps;
            journal.put_group(group, Vec::new());
            steps
                .into_iter()
                .filter_map(|step| step.progress.note)
                .collect()
        })
    }

    /// One whose failover has failed: its copy on the target could not be built, and not be deleted.
    pub async fn stuck() -> Self {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        let fault = |matches, effect| {
            lock(&bed.target).add_fault(FaultRule {
                id: String::new(),
                matches,
                times: None,
                effect,
                seen: 0,
            });
        };
        bed.no_copy_can_be_built();
        let deletions = Match {
            method: Some("DELETE".to_owned()),
            path: Some("*/servers/*".to_owned()),
            ..Match::default()
        };
        fault(
            deletions,
            FaultEffect::Call(CallEffect::Status {
                status: 403,
                body: None,
                headers: BTreeMap::new(),
            }),
        );
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk(new_failover(plan, steps)).await;
        assert_eq!(record.operation.state, OperationState::Failed);
        lock(&bed.target).clear_faults();
        bed
    }

    /// One whose failover has failed after its copy ran, and could not delete that: it runs on.
    pub async fn left_running() -> Self {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        let deletions = Match {
            method: Some("DELETE".to_owned()),
            path: Some("*/servers/*".to_owned()),
            ..Match::default()
        };
        lock(&bed.target).add_fault(FaultRule {
            id: String::new(),
            matches: deletions,
            times: None,
            effect: FaultEffect::Call(CallEffect::Status {
                status: 403,
                body: None,
                headers: BTreeMap::new(),
            }),
            seen: 0,
        });
        let steps = planned_move(&plan).into_steps().unwrap();
        let server = bed.server.clone();
        let record = bed
            .walk_beside(new_failover(plan, steps), |journal, record| {
                if record.map.target(MapKind::Server, &server).is_some() {
                    let _ = journal.abort(&record.operation.id, "user-1", GivenUp::Unwanted);
                }
            })
            .await;
        assert_eq!(record.operation.state, OperationState::Failed);
        lock(&bed.target).clear_faults();
        bed
    }

    /// One whose failover has been given up and could take back all but its imports.
    pub async fn left_imported() -> Self {
        let mut given_up = false;
        let (bed, record) = Self::moved_among(
            |bed| {
                lock(&bed.target).add_fault(FaultRule {
                    id: String::new(),
                    matches: Match {
                        method: Some("POST".to_owned()),
                        path: Some("*/volumes/*/action".to_owned()),
                        ..Match::default()
                    },
                    times: None,
                    effect: FaultEffect::Call(CallEffect::Status {
                        status: 403,
                        body: None,
                        headers: BTreeMap::new(),
                    }),
                    seen: 0,
                });
            },
            |bed, record| {
                if !given_up && record.map.target(MapKind::Server, &bed.server).is_some() {
                    let asked =
                        bed.journal
                            .abort(&record.operation.id, "user-1", GivenUp::Unwanted);
                    given_up = asked == Ok(());
                }
            },
        )
        .await;
        assert_eq!(record.operation.state, OperationState::Failed);
        lock(&bed.target).clear_faults();
        assert!(lock(&bed.target).servers().is_empty());
        assert_eq!(lock(&bed.target).volumes().len(), 2);
        bed
    }

    /// One whose source is lost, and whose unplanned failover could build nothing.
    pub async fn unrecovered() -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, |_| {}).await;
        let now = plan.members[0].created_at;
        let record = |id, kind, steps| OperationRecord {
            operation: operation(id, kind, plan.clone(), None, now),
            steps,
            map: ResourceMap::default(),
        };
        let sync = replicate_now().into_steps().unwrap();
        bed.walk(record("op-sync", OperationKind::Sync, sync)).await;
        bed.lose_the_source();
        let message = "No valid host was found.".to_owned();
        lock(&bed.target).add_fault(FaultRule {
            id: String::new(),
            matches: Match {
                resource: Some("vm-001".to_owned()),
                ..Match::default()
            },
            times: None,
            effect: FaultEffect::Job(JobEffect::ServerBuildError { message }),
            seen: 0,
        });
        let steps = unplanned_failover(&plan).into_steps().unwrap();
        let failed = bed
            .walk(unplanned(record(
                "op-unplanned",
                OperationKind::Failover,
                steps,
            )))
            .await;
        assert_eq!(failed.operation.state, OperationState::Failed);
        lock(&bed.target).clear_faults();
        (bed, failed)
    }

    /// The source answers nothing any more.
    pub fn lose_the_source(&self) {
        self.source_meets("lost", Match::default(), None, CallEffect::Hang);
    }

    /// What calls to the source meet that `matches` names.
    pub fn source_meets(&self, id: &str, matches: Match, times: Option<u64>, effect: CallEffect) {
        lock(&self.source).add_fault(FaultRule {
            id: id.to_owned(),
            matches,
            times,
            effect: FaultEffect::Call(effect),
            seen: 0,
        });
    }

    /// `openstack dr retry` after `last`, by a user who says of the originals in `lost` that their newer writes may be lost.
    pub fn retry_of(&self, last: &OperationRecord, lost: &[&str]) -> OperationRecord {
        let plan = last.operation.plan.clone();
        let mut map = last.map.clone();
        for server in lost {
            map.insert(MapKind::NewerIsLost, *server, "demo");
        }
        let parent = Some(last.operation.id.clone());
        let now = last.operation.created_at;
        OperationRecord {
            steps: retry(&plan, last).unwrap(),
            operation: operation("op-retry", OperationKind::Retry, plan, parent, now),
            map,
        }
    }

    /// Does `what` when the line at `position` writes down for the first time that it changes something.
    pub fn at_intent_at(&self, position: u32, what: impl FnOnce() + Send + 'static) {
        let intended = move |entry: &Entry| {
            let mut steps = entry.steps.iter();
            steps.any(|(changed, progress)| *changed == position && progress.memo.intents > 0)
        };
        self.at_write(intended, what);
    }

    /// What the guest of the copy writes to the copy of a volume, by the original's id.
    pub fn the_copy_writes(&self, volume: &str, text: &str) {
        let name = format!("volume-{}", self.copy_of(MapKind::Volume, volume));
        let mut objects = self.target_objects.lock().unwrap();
        objects.get_mut(&name).unwrap().bytes = Bytes::from(text.to_owned());
    }

    /// Something writes to an original: its guest, while it runs.
    pub fn the_original_writes(&self, volume: &str, text: &str) {
        let mut objects = self.source_objects.lock().unwrap();
        objects.get_mut(&format!("volume-{volume}")).unwrap().bytes = Bytes::from(text.to_owned());
    }

    /// What stands on the original of a volume.
    pub fn on_the_source_array(&self, volume: &str) -> Option<Bytes> {
        let objects = self.source_objects.lock().unwrap();
        let found = objects.get(&format!("volume-{volume}"));
        found.map(|object| object.bytes.clone())
    }

    /// What is on the source's array.
    pub fn source_objects(&self) -> MemObjects {
        Arc::clone(&self.source_objects)
    }

    /// How many recovery points of the group the target's array keeps.
    pub async fn recovery_points(&self) -> usize {
        let plan = self.failover().operation.plan;
        self.arrays
            .recovery_points(&plan.replication(), &plan.volumes_in_cinder())
            .await
            .unwrap()
            .len()
    }

    /// No array answers any more.
    pub fn lose_the_arrays(&self) {
        self.arrays.set_lost(true);
    }

    /// They answer again.
    pub fn regain_the_arrays(&self) {
        self.arrays.set_lost(false);
    }

    /// The arrays keep no recovery point any more.
    pub fn forget_the_recovery_points(&self) {
        self.arrays.forget_points();
    }

    /// The target's array does not know any more what was promoted; the bytes are there.
    pub fn forget_what_was_promoted(&self) {
        self.arrays.forget_promotions();
    }

    /// One whose failover is given up once its copy has written this to the data volume, and can take everything back.
    pub async fn given_up_after_its_copy_has_written(text: &str) -> (Self, OperationRecord) {
        let mut given_up = false;
        Self::moved_among(
            |_| {},
            |bed, record| {
                let runs = record.map.target(MapKind::Server, &bed.server).is_some();
                if runs && !given_up {
                    bed.the_copy_writes(&bed.data, text);
                    let asked =
                        bed.journal
                            .abort(&record.operation.id, "user-1", GivenUp::Unwanted);
                    assert_eq!(asked, Ok(()));
                    given_up = true;
                }
            },
        )
        .await
    }

    /// One whose switch waited for the other site for an hour, while its copy wrote this to the data volume, and whose original
    /// was started again then.
    pub async fn taken_back_after_waiting(text: &str) -> (Self, OperationRecord) {
        let begin = Instant::now();
        let hour = Duration::from_secs(3600);
        let (mut written, mut started) = (false, false);
        let silent_for_an_hour = move |record: &OperationRecord| {
            let mut steps = record.steps.iter();
            let switches = steps.any(|step| {
                step.action == Step::SwitchPrimary && step.progress.state == StepState::Running
            });
            match switches && begin.elapsed() < hour {
                true => Err(ReservationError::Silent("connection refused".to_owned())),
                false => Ok(()),
            }
        };
        Self::moved_among(
            |bed| *bed.other.answer.lock().unwrap() = Box::new(silent_for_an_hour),
            |bed, record| {
                let runs = record.map.target(MapKind::Server, &bed.server).is_some();
                if runs && !written {
                    bed.the_copy_writes(&bed.data, text);
                    written = true;
                }
                if !started && begin.elapsed() > hour.saturating_sub(A_WHILE) {
                    let url = format!("compute /servers/{}/action", bed.server);
                    bed.at_once("demo", "POST", &url, &json!({"os-start": null}));
                    started = true;
                }
            },
        )
        .await
    }

    /// What stands on the copy of a volume that has this id on the target.
    pub fn on_the_target_array(&self, copy: &str) -> Option<Bytes> {
        let objects = self.target_objects.lock().unwrap();
        let found = objects.get(&format!("volume-{copy}"));
        found.map(|object| object.bytes.clone())
    }

    /// `openstack dr operation adopt` of its failed failover, without what the API sees first, while somebody looks on.
    pub async fn adopt_while(&self, meddle: impl FnMut(&Self, &OperationRecord)) -> Ended {
        let failed = self.failover();
        let (group, members) = self.group_and_members();
        let (plan, map) = adoption_of(&failed, &members);
        let id = format!("op-7a3f2c11-0005-4b22-a918-{:012}", 1);
        self.journal
            .set_group_status(&group.id, GroupStatus::FailingOver);
        let lacks_its_server = |member: &&Member| {
            let server = member.server_id.as_str();
            failed.map.target(MapKind::Server, server).is_none()
        };
        let to_build = members.iter().filter(lacks_its_server);
        let to_build = to_build.map(|member| member.server_id.clone()).collect();
        let steps = adopt(&plan, &to_build);
        let record = OperationRecord {
            steps: steps.into_steps().unwrap(),
            operation: operation(
                &id,
                OperationKind::Failover,
                plan,
                None,
                failed.operation.created_at,
            ),
            map,
        };
        Ended(self.walk_among(record, meddle).await)
    }

    /// The same.
    pub async fn adopt(&self) -> Ended {
        self.adopt_while(|_, _| {}).await
    }

    /// `openstack dr operation adopt --source-is-lost` of its failed failover.
    pub async fn adopt_without_source(&self) -> OperationRecord {
        let failed = self.failover().operation;
        let plan = failed.plan.taking_over(vec![failed.id]);
        let id = "op-7a3f2c11-0006-4b22-a918-000000000001";
        let steps = unplanned_failover(&plan).into_steps().unwrap();
        self.set_group_status(GroupStatus::FailingOver);
        self.walk(unplanned(OperationRecord {
            operation: operation(id, OperationKind::Failover, plan, None, failed.created_at),
            steps,
            map: ResourceMap::default(),
        }))
        .await
    }

    /// One whose failover has run to its end, after `prepare`, while `meddle` was called many times a second.
    pub async fn moved_among(
        prepare: impl FnOnce(&Self),
        meddle: impl FnMut(&Self, &OperationRecord),
    ) -> (Self, OperationRecord) {
        Self::moved_as(|_| {}, prepare, meddle).await
    }

    /// The same to another plan.
    pub async fn moved_as(
        change_plan: impl FnOnce(&mut Plan),
        prepare: impl FnOnce(&Self),
        meddle: impl FnMut(&Self, &OperationRecord),
    ) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready(|_| {}, change_plan).await;
        prepare(&bed);
        let steps = planned_move(&plan).into_steps().unwrap();
        let record = bed.walk_among(new_failover(plan, steps), meddle).await;
        (bed, record)
    }

    /// One whose failover is run by its target, which stood still while `stop` of the server was under way and comes back
    /// after `meanwhile`.
    pub async fn returned_home(
        meanwhile: impl FnOnce(&Self),
        says: Answer,
    ) -> (Self, OperationRecord) {
        let (bed, plan) = Self::ready_at(TARGET, |_| {}, |_| {}).await;
        let steps = planned_move(&plan).into_steps().unwrap();
        let mut record = new_failover(plan, steps);
        for step in &mut record.steps {
            match step.phase_name.as_str() {
                "check_source" | "check_target" => step.progress.state = StepState::Done,
                "stop_source_vms" => {
                    step.progress.state = StepState::Running;
                    step.progress.memo.intents = 1;
                    step.progress.memo.before = Some("ACTIVE".to_owned());
                }
                _ => {}
            }
        }
        record.operation.state = OperationState::Running;
        let url = format!("compute /servers/{}/action", bed.server);
        bed.at_once("protector", "POST", &url, &json!({"os-stop": null}));
        bed.a_while().await;
        meanwhile(&bed);
        bed.a_while().await;
        *bed.other.answer.lock().unwrap() = says;
        let record = bed.walk(record).await;
        (bed, record)
    }

    /// Both clouds, the group and the plan of its failover.
    async fn ready(
        change_source: impl FnOnce(&mut CloudOptions),
        change_plan: impl FnOnce(&mut Plan),
    ) -> (Self, Plan) {
        Self::ready_at(SOURCE, change_source, change_plan).await
    }

    /// The same, with the engines of `home`.
    async fn ready_at(
        home: &str,
        change_source: impl FnOnce(&mut CloudOptions),
        change_plan: impl FnOnce(&mut Plan),
    ) -> (Self, Plan) {
        let start = Instant::now();
        let epoch = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
        let clock = Arc::new(VirtualClock { start, epoch });
        let mut options = CloudOptions::demo(SOURCE, "http://site-a").with_fleet(2);
        change_source(&mut options);
        let (source, source_objects) = cloud(options);
        let (target, target_objects) = cloud(CloudOptions::demo(TARGET, "http://site-b"));
        let transport = Arc::new(InProcess::since(
            start,
            vec![Arc::clone(&source), Arc::clone(&target)],
            Arc::new(Calm),
        ));
        let arrays = Arc::new(SimArrays::new(
            BTreeMap::from([
                ("mock://array-a".to_owned(), Arc::clone(&source_objects)),
                ("mock://array-b".to_owned(), Arc::clone(&target_objects)),
            ]),
            clock.clone(),
        ));
        let journal = Arc::new(MemoryJournal::new());
        let (group, member) = group_of(&source, &target, epoch).await;
        let mut plan = plan_of(&group, &member);
        change_plan(&mut plan);
        journal.put_group(group, vec![member.clone()]);
        let peer = lock(&target).user_id(PEER).unwrap();
        let options = EngineOptions {
            peer_users: [peer.into()].into(),
            ..EngineOptions::default()
        };
        let clouds = Arc::new(ServiceUser {
            transport: transport.clone(),
        });
        let other = Arc::new(OtherSiteSays {
            answer: Mutex::new(Box::new(|_| Ok(()))),
            paired: Mutex::new(|| Ok(())),
            journal: Arc::clone(&journal),
        });
        let actions = CloudActions::new(clouds, arrays.clone(), options.clone())
            .beside(home.into(), other.clone());
        let actions = Arc::new(actions);
        let at_write = AtWrite::default();
        let slow_write = SlowWrite::default();
        let engine = Engine::new(
            EngineId::new("engine-1"),
            Arc::new(Watched {
                inner: Arc::clone(&journal),
                at_write: Arc::clone(&at_write),
                slow_write: Arc::clone(&slow_write),
            }),
            actions,
            clock,
            options,
        );
        let bystander = lock(&source).servers()[1].id.clone();
        let bed = Self {
            server: member.server_id.to_string(),
            bystander,
            boot: member.volumes[0].id.to_string(),
            data: member.volumes[1].id.to_string(),
            source,
            target,
            other,
            journal,
            at_write,
            slow_write,
            engine: Arc::new(engine),
            arrays,
            source_objects,
            target_objects,
            transport,
            delete_running: Vec::new(),
            deletions: Vec::new(),
            cleanups: 0,
        };
        (bed, plan)
    }

    /// Walks the failover without its deletions.
    async fn switch(&mut self, plan: Plan) {
        let steps = planned_move(&plan).into_steps().unwrap();
        let (deletions, steps): (Vec<_>, Vec<_>) = steps
            .into_iter()
            .partition(|step| step.verb == Verb::Attempt);
        self.deletions = deletions;
        let record = self.walk(new_failover(plan, steps)).await;
        assert_eq!(record.operation.error, None);
        assert_eq!(record.operation.state, OperationState::Completed);
    }

    /// Walks the failover's deletions, as the failover itself does at its end.
    pub async fn delete(&mut self) -> Ended {
        self.delete_while(async {}).await
    }

    /// The same while somebody does something.
    pub async fn delete_while(&self, somebody: impl Future<Output = ()>) -> Ended {
        let mut record = self.failover();
        record.steps.extend(self.deletions.clone());
        record.operation.state = OperationState::Queued;
        let (record, ()) = tokio::join!(self.walk(record), somebody);
        Ended(record)
    }

    /// Does `what` at the moment at which the line `key` has written down for the first time that it changes something.
    pub fn at_intent_of(&self, key: &str, what: impl FnOnce() + Send + 'static) {
        let line = self.deletions.iter().find(|step| step.key == key).unwrap();
        self.at_intent_at(line.position, what);
    }

    /// Does `what` right before the first write that is `when`.
    pub fn at_write(
        &self,
        when: impl Fn(&Entry) -> bool + Send + 'static,
        what: impl FnOnce() + Send + 'static,
    ) {
        *self.at_write.lock().unwrap() = Some((Box::new(when), Box::new(what)));
    }

    /// Has the first write that is `when` wait this long for the database.
    pub fn slow_write(&self, when: impl Fn(&Entry) -> bool + Send + 'static, time: Duration) {
        *self.slow_write.lock().unwrap() = Some((Box::new(when), time));
    }

    /// Another protection group, which protects nothing yet.
    pub fn another_group(&self, name: &str, site: &str) -> Group {
        let own = self.journal.groups()[0].0.id.clone();
        another_group(&self.journal, &own, name, site)
    }

    /// Whether a cloud was asked to do something with a server: to stop it, say.
    pub fn was_acted_on(&self, cloud: &SharedCloud, server: &str) -> bool {
        let ending = format!("/servers/{server}/action");
        let cloud = lock(cloud);
        let mut calls = cloud.call_log().iter();
        calls.any(|call| call.method == "POST" && call.path.ends_with(&ending))
    }

    /// Every read of either cloud is answered so much later.
    pub fn every_answer_takes(&self, seconds: f64) {
        for cloud in [&self.source, &self.target] {
            for path in ["/v2.1/*", "/v2.0/*", "/v3/*"] {
                lock(cloud).add_fault(FaultRule {
                    id: String::new(),
                    matches: Match {
                        method: Some("GET".to_owned()),
                        path: Some(path.to_owned()),
                        ..Match::default()
                    },
                    times: None,
                    effect: FaultEffect::Call(CallEffect::Delay { seconds }),
                    seen: 0,
                });
            }
        }
    }

    /// Until the source has been asked for this.
    pub async fn until_asked(&self, method: &str, ending: &str) {
        until_asked(&self.source, 0, method, ending).await;
    }

    /// Until the target is asked for this again.
    pub async fn until_target_asked_again(&self, method: &str, ending: &str) {
        let so_far = lock(&self.target).call_log().len();
        until_asked(&self.target, so_far, method, ending).await;
    }

    /// Lets the target turn a call away once, to come back in 40 seconds.
    pub fn turn_target_away(&self, method: &str, path: &str, status: u16) {
        turn_away(&self.target, method, path, status);
    }

    /// `openstack dr operation cleanup`: the lines that it took up, as they ended.
    pub async fn cleanup(&mut self) -> Ended {
        self.cleanup_where(|_| true).await
    }

    /// The same of the lines with these keys alone.
    pub async fn cleanup_of_only(&mut self, keys: &[&str]) -> Ended {
        self.cleanup_where(|step| keys.contains(&step.key.as_str()))
            .await
    }

    async fn cleanup_where(&mut self, chosen: impl Fn(&StepRecord) -> bool) -> Ended {
        let parent = self.failover();
        self.cleanup_after(&parent, chosen).await
    }

    /// `openstack dr operation cleanup` of `parent`, of those of its lines.
    pub async fn cleanup_after(
        &mut self,
        parent: &OperationRecord,
        chosen: impl Fn(&StepRecord) -> bool,
    ) -> Ended {
        let chosen = parent.steps.iter().filter(|step| chosen(step));
        let chosen = chosen.map(|step| step.position).collect();
        self.cleanups += 1;
        let mut map = map_as_of_now(parent, &[]);
        for server in &self.delete_running {
            map.insert(MapKind::DeleteRunning, server.as_str(), "demo");
        }
        let record = OperationRecord {
            operation: operation(
                &format!("op-7a3f2c11-0002-4b22-a918-{:012}", self.cleanups),
                OperationKind::Cleanup,
                parent.operation.plan.clone(),
                Some(parent.operation.id.clone()),
                parent.operation.created_at,
            ),
            steps: cleanup_of_chosen(parent, &chosen).unwrap(),
            map,
        };
        assert!(!record.steps.is_empty(), "there is nothing to clean up");
        Ended(self.walk(record).await)
    }

    /// `openstack dr fence`, whose record begins with what is known of an earlier one.
    pub async fn fence(&mut self, known: ResourceMap) -> OperationRecord {
        self.fence_beside(known, vec![]).await
    }

    /// The same, of what is left on the target too.
    pub async fn fence_beside(
        &mut self,
        known: ResourceMap,
        left_on_target: Vec<ServerId>,
    ) -> OperationRecord {
        let parent = self.failover();
        let plan = Plan {
            left_on_target,
            ..parent.operation.plan.clone()
        };
        self.cleanups += 1;
        let steps = fence(&plan).into_steps().unwrap();
        let record = OperationRecord {
            operation: operation(
                &format!("op-7a3f2c11-0003-4b22-a918-{:012}", self.cleanups),
                OperationKind::Fence,
                plan,
                Some(parent.operation.id.clone()),
                parent.operation.created_at,
            ),
            steps,
            map: known,
        };
        self.walk(record).await
    }

    /// Why the watch of split brains would not believe that the source's server is at rest.
    pub async fn why_not_at_rest(&self) -> Option<String> {
        let plan = self.failover().operation.plan;
        let clouds = self.service_user();
        let cloud = clouds.tenant(&plan.source, None).await.unwrap();
        let admin = clouds.admin(&plan.source.site, None).await.unwrap();
        let known: Vec<NetworkId> = plan.mappings.networks.keys().map(NetworkId::new).collect();
        let (project, id) = (&plan.source.project_id, ServerId::new(self.server.as_str()));
        why_not_at_rest(&cloud, &admin, project, &known, &id)
            .await
            .unwrap()
    }

    fn service_user(&self) -> ServiceUser {
        ServiceUser {
            transport: self.transport.clone(),
        }
    }

    /// A cleanup that leaves nothing on the source, on its clouds and in its record.
    pub async fn cleanup_leaves_nothing(&mut self) {
        let ended = self.cleanup().await;
        assert_eq!(ended.failed(), Vec::<(String, String)>::new());
        assert!(!self.has_server() && !self.has_volume(&self.boot) && !self.has_volume(&self.data));
        assert!(cleanup_of(&self.failover()).is_empty());
        self.assert_bystander_is_untouched();
        assert_eq!(lock(&self.target).servers().len(), 1);
        assert_eq!(lock(&self.target).volumes().len(), 2);
    }

    /// The group and its members as they stand.
    pub fn group_and_members(&self) -> (Group, Vec<Member>) {
        let id = self.failover().operation.group_id;
        self.journal.group(&id).unwrap()
    }

    /// Gives the group another status.
    pub fn set_group_status(&self, status: GroupStatus) {
        let id = self.failover().operation.group_id;
        self.journal.set_group_status(&id, status);
    }

    /// The plan of a move of the group as it stands to its other site.
    pub fn plan_to_other_site(&self) -> Plan {
        let (group, members) = self.group_and_members();
        let mappings = group.mappings_from_current();
        let arrays = arrays();
        Plan::move_to_other_site(&group, members, Some(&arrays), mappings, false).unwrap()
    }

    /// Every call to the target hangs from now on.
    pub fn lose_target(&self) {
        lock(&self.target).add_fault(FaultRule {
            id: String::new(),
            matches: Match::default(),
            times: None,
            effect: FaultEffect::Call(CallEffect::Hang),
            seen: 0,
        });
    }

    /// The failover's record as it stands.
    pub fn failover(&self) -> OperationRecord {
        self.journal.operation(&OperationId::new(FAILOVER)).unwrap()
    }

    /// Another protection group, on this site, protects the member; none protects anything beside the failover's own.
    pub fn protects(&self, name: &str, site: &str, member: Option<Member>) {
        let own = self.failover().operation.plan.group_id;
        let group = another_group(&self.journal, &own, name, site);
        self.journal.put_group(group, member.into_iter().collect());
    }

    /// The same, once this time has passed.
    pub fn protects_in(&self, after: Duration, name: &str, site: &str, member: Member) {
        let own = self.failover().operation.plan.group_id;
        let journal = Arc::clone(&self.journal);
        let group = another_group(&journal, &own, name, site);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            journal.put_group(group, vec![member]);
        });
    }

    /// Walks an operation to its end.
    pub async fn walk(&self, record: OperationRecord) -> OperationRecord {
        self.walk_beside(record, |_, _| {}).await
    }

    /// The same while somebody looks on, many times a second.
    pub async fn walk_among(
        &self,
        record: OperationRecord,
        mut meddle: impl FnMut(&Self, &OperationRecord),
    ) -> OperationRecord {
        self.walk_beside(record, |_, record| meddle(self, record))
            .await
    }

    /// Walks an operation, while somebody looks at it many times a second.
    async fn walk_beside(
        &self,
        record: OperationRecord,
        mut look: impl FnMut(&MemoryJournal, &OperationRecord),
    ) -> OperationRecord {
        let id = record.operation.id.clone();
        look_at(&self.journal, record, &mut look);
        let stop = CancellationToken::new();
        let engine = Arc::clone(&self.engine);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { engine.run(stop).await }
        });
        let record = loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let record = self.journal.operation(&id).unwrap();
            look(&self.journal, &record);
            if record.operation.state.is_terminal() {
                break record;
            }
        };
        stop.cancel();
        running.await.unwrap();
        record
    }

    /// How often the engine has read an operation whole.
    pub fn records_read_whole(&self) -> usize {
        self.journal.loads()
    }

    /// Lets time pass on the clouds.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.transport.advance();
    }

    /// Lets the clouds do what is due by now, though nobody asks them for anything.
    pub fn go_on(&self) {
        self.transport.advance();
    }

    pub async fn a_while(&self) {
        self.pass(A_WHILE).await;
    }

    /// The copy of a source server or volume, by the failover's record.
    pub fn copy_of(&self, kind: protector_core::operation::MapKind, id: &str) -> String {
        self.failover().map.target(kind, id).unwrap().to_owned()
    }

    /// The id of the project that the service user is an administrator in, on the source.
    pub async fn service_project(&self) -> String {
        project_of(&self.source, "protector", "service").await
    }

    pub fn has_server(&self) -> bool {
        self.server_facts(&self.server).is_some()
    }

    pub fn server_facts(&self, id: &str) -> Option<ServerFacts> {
        let servers = lock(&self.source).servers();
        servers.into_iter().find(|server| server.id == id)
    }

    pub fn has_volume(&self, id: &str) -> bool {
        self.volume_facts(id).is_some()
    }

    pub fn volume_facts(&self, id: &str) -> Option<VolumeFacts> {
        let volumes = lock(&self.source).volumes();
        volumes.into_iter().find(|volume| volume.id == id)
    }

    pub fn assert_bystander_is_untouched(&self) {
        let bystander = self.server_facts(&self.bystander).unwrap();
        assert_eq!(bystander.status, "ACTIVE");
        assert!(bystander.volumes.iter().all(|id| self.has_volume(id)));
    }

    /// Lets the source turn a call away once, to come back in 40 seconds.
    pub fn turn_away(&self, method: &str, path: &str, status: u16) {
        turn_away(&self.source, method, path, status);
    }

    /// Sets something to go wrong with a job of the source.
    pub fn job_fault(&self, resource: &str, effect: JobEffect, times: Option<u64>) {
        self.fault(resource, Match::default(), FaultEffect::Job(effect), times);
    }

    /// Answers calls of the source that `matches` names with a status.
    pub fn refuse(&self, id: &str, matches: Match, status: u16, body: Value) {
        let effect = CallEffect::Status {
            status,
            body: Some(body),
            headers: BTreeMap::new(),
        };
        lock(&self.source).add_fault(FaultRule {
            id: id.to_owned(),
            matches,
            times: None,
            effect: FaultEffect::Call(effect),
            seen: 0,
        });
    }

    fn fault(&self, resource: &str, matches: Match, effect: FaultEffect, times: Option<u64>) {
        lock(&self.source).add_fault(FaultRule {
            id: String::new(),
            matches: Match {
                resource: Some(resource.to_owned()),
                ..matches
            },
            times,
            effect,
            seen: 0,
        });
    }

    /// Takes the compute host's service away, long enough for Nova to notice, or brings it back.
    pub async fn compute_host(&self, away: bool) {
        lock(&self.source).set_away(Component::NovaCompute, away);
        self.pass(Duration::from_secs(90)).await;
    }

    /// What a user does on the source with the OpenStack APIs; gives the answer's body.
    pub async fn user(&self, user: &str, method: &str, url: &str, body: Value) -> Value {
        let (status, answer) = self.call(&self.source, user, method, url, &body);
        assert!(status < 300, "{method} {url}: {status} {answer}");
        self.a_while().await;
        answer
    }

    /// The same, while time stands still.
    pub fn at_once(&self, user: &str, method: &str, url: &str, body: &Value) -> Value {
        let (status, answer) = self.call(&self.source, user, method, url, body);
        assert!(status < 300, "{method} {url}: {status} {answer}");
        answer
    }

    /// The same on the target.
    pub fn on_target(&self, user: &str, method: &str, url: &str, body: &Value) -> Value {
        let (status, answer) = self.call(&self.target, user, method, url, body);
        assert!(status < 300, "{method} {url}: {status} {answer}");
        answer
    }

    /// The same on the target, at the moment when what is returned is called.
    pub fn later_on_target(
        &self,
        user: &str,
        method: &str,
        url: &str,
        body: &Value,
    ) -> impl FnOnce() + Send + 'static {
        self.later_on(&self.target, user, method, url, body)
    }

    /// The same on one of the clouds.
    pub fn later_on(
        &self,
        cloud: &SharedCloud,
        user: &str,
        method: &str,
        url: &str,
        body: &Value,
    ) -> impl FnOnce() + Send + 'static {
        let request = self.request(cloud, user, method, url, body);
        let (cloud, transport) = (cloud.clone(), self.transport.clone());
        move || {
            let answer = lock(&cloud).exchange(transport.now(), &request).response;
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }

    fn call(
        &self,
        cloud: &SharedCloud,
        user: &str,
        method: &str,
        url: &str,
        body: &Value,
    ) -> (u16, Value) {
        let request = self.request(cloud, user, method, url, body);
        let got = self.exchange(cloud, &request);
        let answer = serde_json::from_slice(got.body()).unwrap_or_default();
        (got.status().as_u16(), answer)
    }

    /// A call with a token of the user.
    fn request(
        &self,
        cloud: &SharedCloud,
        user: &str,
        method: &str,
        url: &str,
        body: &Value,
    ) -> http::Request<Bytes> {
        let project = if user == "admin" { "admin" } else { "demo" };
        let login = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": "Default"}, "password": user}}},
            "scope": {"project": {"name": project, "domain": {"name": "Default"}}}}});
        let login = request("POST", "/identity/v3/auth/tokens", &[], &login);
        let got = self.exchange(cloud, &login);
        let token = got.headers()["x-subject-token"].to_str().unwrap();
        let view: Value = serde_json::from_slice(got.body()).unwrap();
        let project = view["token"]["project"]["id"].as_str().unwrap();
        let (service, path) = url.split_once(' ').unwrap();
        let (prefix, version) = match service {
            "compute" => ("/compute/v2.1".to_owned(), "compute 2.96"),
            "network" => ("/network/v2.0".to_owned(), "network 2.0"),
            _ => (format!("/volume/v3/{project}"), "volume 3.71"),
        };
        let headers = [("x-auth-token", token), ("openstack-api-version", version)];
        request(method, &format!("{prefix}{path}"), &headers, body)
    }

    fn exchange(
        &self,
        cloud: &SharedCloud,
        request: &http::Request<Bytes>,
    ) -> http::Response<Bytes> {
        lock(cloud).exchange(self.transport.now(), request).response
    }

    /// The deletions of a volume that the source was asked for.
    pub fn deletions_of(&self, id: &str) -> usize {
        lock(&self.source)
            .call_log()
            .iter()
            .filter(|call| {
                call.method == "DELETE" && call.path.ends_with(&format!("/volumes/{id}"))
            })
            .count()
    }
}

async fn until_asked(cloud: &SharedCloud, so_far: usize, method: &str, ending: &str) {
    let asked = || {
        let cloud = lock(cloud);
        let mut calls = cloud.call_log().iter().skip(so_far);
        calls.any(|call| call.method == method && call.path.ends_with(ending))
    };
    while !asked() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn turn_away(cloud: &SharedCloud, method: &str, path: &str, status: u16) {
    lock(cloud).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Match::default()
        },
        times: Some(1),
        effect: FaultEffect::Call(CallEffect::Status {
            status,
            body: None,
            headers: BTreeMap::from([("Retry-After".to_owned(), "40".to_owned())]),
        }),
        seen: 0,
    });
}

fn another_group(journal: &MemoryJournal, own: &GroupId, name: &str, site: &str) -> Group {
    let (group, _) = journal.group(own).unwrap();
    Group {
        id: GroupId::new("5f3c0000-0000-4000-8000-000000000002"),
        name: name.to_owned(),
        current_primary_site: SiteName::new(site),
        status: GroupStatus::Active,
        ..group
    }
}

/// An operation that has ended.
pub struct Ended(pub OperationRecord);

impl Ended {
    /// `steps_failed`: key and text.
    pub fn failed(&self) -> Vec<(String, String)> {
        steps_failed(&self.0.steps)
            .into_iter()
            .map(|failed| (failed.step, failed.error))
            .collect()
    }

    /// The text of the only failed step, which is `key`.
    pub fn only_failure(&self, key: &str) -> String {
        let failed = self.failed();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(failed[0].0, key);
        failed[0].1.clone()
    }

    /// The text of a failed step.
    pub fn failure(&self, key: &str) -> String {
        let failed = self.failed();
        let found = failed.iter().find(|(step, _)| step == key);
        found.unwrap_or_else(|| panic!("{failed:?}")).1.clone()
    }

    /// What the record says of a line beside its end.
    pub fn facts(&self, key: &str) -> Vec<String> {
        let step = self.0.steps.iter().find(|step| step.key == key);
        step.unwrap().progress.memo.facts.clone()
    }

    /// The deletions that are in `steps_completed`.
    pub fn deleted(&self) -> Vec<String> {
        steps_completed(&self.0.steps)
            .into_iter()
            .filter(|step| step.starts_with("delete_"))
            .collect()
    }

    pub fn step(&self, key: &str) -> &StepRecord {
        let mut steps = self.0.steps.iter();
        steps.find(|step| step.key == key).unwrap()
    }
}

fn cloud(mut options: CloudOptions) -> (SharedCloud, MemObjects) {
    for user in &mut options.users {
        if user.name == "protector" {
            user.roles.push(RoleSeed {
                project: "demo".to_owned(),
                role: "member".to_owned(),
            });
        }
    }
    let objects = MemObjects::default();
    let cloud = SimCloud::new(options, Box::new(MemBackend::new(Arc::clone(&objects))));
    (Arc::new(std::sync::Mutex::new(cloud)), objects)
}

/// The id of the project of this name on a cloud, for a user who has a role in it.
async fn project_of(cloud: &SharedCloud, user: &str, project: &str) -> String {
    let transport = Arc::new(InProcess::new(vec![Arc::clone(cloud)], Arc::new(Calm)));
    let credentials = Credentials {
        auth_url: format!("{}/identity/v3", lock(cloud).base_url()),
        username: user.into(),
        password: user.into(),
        user_domain_name: "Default".into(),
        project: ProjectScope::Name {
            name: project.into(),
            domain: "Default".into(),
        },
        region_name: None,
        interface: EndpointInterface::Public,
    };
    let session = Session::new(transport, credentials, ClientOptions::default());
    session.project_id().await.unwrap().to_string()
}

fn scope(site: &str, project: String) -> SiteScope {
    SiteScope {
        site: SiteName::new(site),
        project_id: ProjectId::new(project),
    }
}

async fn group_of(
    source: &SharedCloud,
    target: &SharedCloud,
    now: DateTime<Utc>,
) -> (Group, Member) {
    let network = |cloud: &SharedCloud| lock(cloud).network_id("demo-net").unwrap();
    let volume_type = |cloud: &SharedCloud| lock(cloud).volume_type_id("replicated").unwrap();
    let group = Group {
        id: GroupId::new("5f3c0000-0000-4000-8000-000000000001"),
        name: "prod-web-app".into(),
        description: None,
        primary: scope(SOURCE, project_of(source, "demo", "demo").await),
        secondary: scope(TARGET, project_of(target, "demo", "demo").await),
        current_primary_site: SiteName::new(SOURCE),
        status: GroupStatus::FailingOver,
        replication_type: ReplicationType::Async,
        volume_type_id: volume_type(source),
        secondary_volume_type_id: Some(volume_type(target)),
        mappings: ResourceMappings {
            networks: BTreeMap::from([(network(source), network(target))]),
            flavors: BTreeMap::new(),
            ..ResourceMappings::default()
        },
        fidelity: protector_core::group::Fidelity::Told,
        priority: protector_core::priority::Priority::DEFAULT,
        version: 1,
        recovery_plan: RecoveryPlan::default(),
        last_replication_at: None,
        created_at: now,
        updated_at: now,
    };
    let server = lock(source).servers()[0].clone();
    let member = member_of(&group.id, &server, source, network(source), now);
    (group, member)
}

fn member_of(
    group: &GroupId,
    server: &ServerFacts,
    source: &SharedCloud,
    network: String,
    now: DateTime<Utc>,
) -> Member {
    let known = lock(source).volumes();
    let volumes = server.volumes.iter().zip(["/dev/vda", "/dev/vdb"]);
    Member {
        id: MemberId::new("member-1"),
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
                disks: None,
            },
            nics: vec![Nic {
                network_id: NetworkId::new(network),
                fixed_ips: Vec::new(),
                port: None,
                tag: None,
            }],
            security_groups: vec!["default".into()],
            key_pair: None,
            metadata: BTreeMap::new(),
            user_data: None,
            availability_zone: None,
            config_drive: false,
            description: None,
            tags: vec![],
            hostname: None,
            server_group: None,
        },
        volumes: volumes
            .map(|(id, device)| ProtectedVolume {
                id: VolumeId::new(id.clone()),
                name: known
                    .iter()
                    .find(|volume| volume.id == *id)
                    .and_then(|volume| volume.name.clone())
                    .unwrap(),
                size_gib: 1,
                device: device.to_owned(),
                boot: device == "/dev/vda",
                delete_on_termination: false,
                delete_on_termination_at: None,
                metadata: BTreeMap::new(),
                image_properties: BTreeMap::new(),
                description: None,
                bootable: None,
                volume_type: None,
                tag: None,
                name_id: None,
                host: None,
            })
            .collect(),
        earlier: vec![],
        created_at: now,
        updated_at: now,
    }
}

fn plan_of(group: &Group, member: &Member) -> Plan {
    let arrays = arrays();
    let mappings = group.mappings.clone();
    Plan::move_to_other_site(group, vec![member.clone()], Some(&arrays), mappings, false).unwrap()
}

fn arrays() -> ArrayPair {
    ArrayPair {
        primary: "mock://array-a".into(),
        secondary: "mock://array-b".into(),
        promotion: PromotionKind::Copy,
    }
}

fn new_failover(plan: Plan, steps: Vec<StepRecord>) -> OperationRecord {
    let now = plan.members[0].created_at;
    OperationRecord {
        operation: operation(FAILOVER, OperationKind::Failover, plan, None, now),
        steps,
        map: ResourceMap::default(),
    }
}

fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> http::Request<Bytes> {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = match body.is_null() {
        true => Bytes::new(),
        false => Bytes::from(body.to_string()),
    };
    request.body(body).unwrap()
}

pub fn unplanned(mut record: OperationRecord) -> OperationRecord {
    record.operation.planning = Planning::Unplanned;
    record
}

/// A new operation of the group.
pub fn operation(
    id: &str,
    kind: OperationKind,
    plan: Plan,
    parent_id: Option<OperationId>,
    now: DateTime<Utc>,
) -> Operation {
    Operation {
        id: OperationId::new(id),
        kind,
        planning: Planning::Planned,
        group_id: plan.group_id.clone(),
        project_id: plan.source.project_id.clone(),
        user_id: UserId::new("demo"),
        source_site: plan.source.site.clone(),
        target_site: plan.target.site.clone(),
        parent_id,
        plan,
        state: OperationState::Queued,
        book_version: BOOK_VERSION,
        request_id: "req-00000000-0000-4000-8000-000000000001".into(),
        global_request_id: None,
        error: None,
        error_code: None,
        created_at: now,
        started_at: None,
        finished_at: None,
    }
}

/// Adds an operation, and looks at it before an engine does.
fn look_at(
    journal: &MemoryJournal,
    record: OperationRecord,
    look: &mut impl FnMut(&MemoryJournal, &OperationRecord),
) {
    journal.insert(record.clone());
    look(journal, &record);
}
