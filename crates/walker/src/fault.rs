//! The faults, and the ports through which they reach an engine.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method};
use protector_core::{
    group::Group,
    id::{EngineId, GroupId, OperationId, RecoveryPointId, UserId, VolumeId},
    journal::{Claim, Entry, Journal, JournalError, Protection},
    operation::{MapKind, Operation, OperationRecord, StepRecord},
    peer_site::{PeerSite, ReservationError},
    queue::Room,
    storage::{
        ArrayObjects, ArrayProgress, BackendObject, Capabilities, CinderVolume, GroupFailover,
        GroupReplication, PromotedVolume, PromotionMode, RecoveryPoint, Relation, Replication,
        StorageDriver, StorageError, TestClones, Written,
    },
};
use protector_openstack::transport::{Request, Response, Transport, TransportError};
use protector_simcloud::array::{cinder_name, promoted_name};
use tokio::time::Instant;

use crate::{
    deletions::Deletions,
    machine::Machine,
    moment::{FaultPoint, PointContent},
    seeded_random::SeededRandom,
    watch::Watch,
};

/// What goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The engine dies right before the write or call.
    CrashBefore,
    /// The engine dies right after the write, or after the call took effect and before its answer is read.
    CrashAfter,
    /// The call is answered 503 and not carried out.
    Busy,
    /// The call is answered 403 and not carried out.
    Forbidden,
    /// The call is carried out and its answer lost.
    LostReply,
    /// The engine freezes for 300 s before the call leaves it, longer than its lease.
    Freeze,
    /// The call is answered 409 and not carried out.
    Conflict,
    /// The call is carried out and answered 500.
    Broken,
    /// The call is answered 503, to be tried again after 40 s, and not carried out.
    RetryAfter,
    /// The same, and the engine stands still until another one may have come, and tries again then.
    RetryAfterFreeze,
    /// The call is answered 429 and not carried out.
    Throttled,
    /// The call is answered 401 and not carried out: its token is not known any more.
    SignedOut,
    /// The call is carried out, and answered 20 s later.
    Slow,
    /// The call is not answered, and is carried out after its caller has given up and another engine may have come.
    Late,
}

impl Fault {
    /// Those that happen to journal writes.
    pub const OF_WRITES: [Self; 2] = [Self::CrashBefore, Self::CrashAfter];
    /// Those that happen to remote calls. (A crash before a call is a crash after the write before it.)
    pub const OF_CALLS: [Self; 5] = [
        Self::Busy,
        Self::Forbidden,
        Self::LostReply,
        Self::CrashAfter,
        Self::Freeze,
    ];
    /// Those that come from what lies between an engine and a cloud.
    pub const OF_WIRES: [Self; 6] = [
        Self::RetryAfter,
        Self::RetryAfterFreeze,
        Self::Throttled,
        Self::SignedOut,
        Self::Slow,
        Self::Late,
    ];
    /// Those of a bad day, one call in ten: they pass, and the engine lives.
    pub const OF_STORMS: [Self; 4] = [Self::Busy, Self::LostReply, Self::Conflict, Self::Broken];

    /// Whether repeating the call helps, so that no operation may fail because of it alone.
    pub fn passes(self) -> bool {
        self != Self::Forbidden
    }

    /// Whether it takes more time than a resource has, when it happens twice.
    pub fn takes_long(self) -> bool {
        self == Self::Freeze
    }
}

/// Calls that fail at random, from a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The same seed hits the same calls.
    pub seed: u64,
    /// How many calls of a hundred fail.
    pub percent: u64,
}

impl Storm {
    /// What happens to the nth call.
    fn hits(self, number: usize) -> Option<Fault> {
        let mut dice =
            SeededRandom::new(self.seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        if dice.below(100) >= self.percent {
            return None;
        }
        let kinds = Fault::OF_STORMS;
        let kind = usize::try_from(dice.below(kinds.len() as u64)).unwrap_or(0);
        kinds.get(kind).copied()
    }
}

/// Who is told of each point before anything happens at it.
type Onlooker = Box<dyn Fn(FaultPoint) + Send + Sync>;

/// Counts writes and calls, and says when a fault is due.
pub struct Injector {
    faults: Vec<(Fault, FaultPoint)>,
    onlooker: OnceLock<Onlooker>,
    marks: Mutex<Vec<(FaultPoint, PointContent)>>,
    storm: Option<Storm>,
    armed: AtomicBool,
    writes: AtomicUsize,
    calls: AtomicUsize,
    /// The deletions that went through its ports.
    pub(crate) deletions: Deletions,
}

impl Injector {
    /// An injector of these faults, and of a storm if one is wanted. It counts from the moment it is armed.
    pub fn new(faults: Vec<(Fault, FaultPoint)>, storm: Option<Storm>) -> Arc<Self> {
        Arc::new(Self {
            faults,
            onlooker: OnceLock::new(),
            marks: Mutex::default(),
            storm,
            armed: AtomicBool::new(false),
            writes: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            deletions: Deletions::default(),
        })
    }

    /// Has `onlooker` told of each point before anything happens at it; only the first one is.
    pub(crate) fn at_each_point(&self, onlooker: impl Fn(FaultPoint) + Send + Sync + 'static) {
        let _ = self.onlooker.set(Box::new(onlooker));
    }

    /// Begins to count and to inject.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn disarm(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    /// How many journal writes there were.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// How many remote calls there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// What was written and sent at its points so far, where somebody is told of them.
    pub(crate) fn marks(&self) -> Vec<(FaultPoint, PointContent)> {
        std::mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_watched(&self) -> bool {
        self.onlooker.get().is_some()
    }

    fn write(&self, mark: PointContent) -> Option<Fault> {
        let number = self.count(&self.writes)?;
        self.note(FaultPoint::Write(number), mark);
        self.due(FaultPoint::Write(number))
    }

    fn note(&self, here: FaultPoint, mark: PointContent) {
        if self.is_watched() {
            let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
            marks.push((here, mark));
        }
    }

    fn call(&self, mark: PointContent) -> Option<Fault> {
        let number = self.count(&self.calls)?;
        self.note(FaultPoint::Call(number), mark);
        self.due(FaultPoint::Call(number))
            .or_else(|| self.storm.and_then(|storm| storm.hits(number)))
    }

    /// The number of this one, from 1; `None` while nothing is counted.
    fn count(&self, counter: &AtomicUsize) -> Option<usize> {
        self.armed
            .load(Ordering::SeqCst)
            .then(|| counter.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn due(&self, here: FaultPoint) -> Option<Fault> {
        if let Some(onlooker) = self.onlooker.get() {
            onlooker(here);
        }
        self.faults
            .iter()
            .find(|(_, point)| *point == here)
            .map(|(fault, _)| *fault)
    }
}

/// The journal as one engine reaches it.
pub(crate) struct FaultyJournal {
    pub inner: Arc<dyn Journal>,
    pub injector: Arc<Injector>,
    pub machine: Machine,
}

#[async_trait]
impl Journal for FaultyJournal {
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
        self.machine.thawed().await;
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

    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        self.inner.steps_about(claim, resource).await
    }

    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError> {
        self.inner.group_now(id).await
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
        self.machine.thawed().await;
        let mark = match self.injector.is_watched() {
            true => PointContent::of_entry(self.inner.as_ref(), claim, &entry).await,
            false => PointContent::Other,
        };
        let fault = self.injector.write(mark);
        if fault == Some(Fault::CrashBefore) {
            return self.machine.die().await;
        }
        let answer = self.inner.record(claim, now, entry).await;
        if fault == Some(Fault::CrashAfter) {
            return self.machine.die().await;
        }
        answer
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        self.machine.thawed().await;
        self.inner.renew(claim, now).await
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        self.inner.forget(engine).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        self.inner.release(claim).await
    }
}

/// The clouds as one engine reaches them.
pub(crate) struct FaultyTransport {
    pub inner: Arc<dyn Transport>,
    pub watch: Arc<Watch>,
    pub injector: Arc<Injector>,
    pub machine: Machine,
}

/// How long the answer is kept by a machine that stands still: the call that waits for it has not given up.
const JUST_IN_TIME: Duration = Duration::from_secs(55);
/// How long a slow answer takes.
const SLOW: Duration = Duration::from_secs(20);
/// When a late call is carried out: its caller has given up, and its lease has ended.
const LATE: Duration = Duration::from_secs(150);

/// 503, with the seconds after which the call is welcome.
fn asked_to_wait(seconds: &'static str) -> Response {
    let mut response = answer(
        503,
        r#"{"serviceUnavailable": {"code": 503, "message": "injected: later"}}"#,
    );
    response
        .headers
        .insert("retry-after", HeaderValue::from_static(seconds));
    response
}

fn answer(status: u16, body: &'static str) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[async_trait]
impl Transport for FaultyTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self.machine.thawed().await;
        self.watch.look();
        let limit = request.timeout;
        tokio::time::timeout(limit, self.exchange(request))
            .await
            .unwrap_or(Err(TransportError::TimedOut(limit)))
    }
}

impl FaultyTransport {
    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        match self.injector.call(PointContent::of_call(&request)) {
            None | Some(Fault::CrashBefore) => self.carry_out(request).await,
            Some(Fault::Busy) => Ok(answer(
                503,
                r#"{"serviceUnavailable": {"code": 503, "message": "injected: busy"}}"#,
            )),
            Some(Fault::Forbidden) => Ok(answer(
                403,
                r#"{"forbidden": {"code": 403, "message": "injected: policy"}}"#,
            )),
            Some(Fault::RetryAfter) => Ok(asked_to_wait("40")),
            Some(Fault::RetryAfterFreeze) => {
                self.machine.stall();
                tokio::time::sleep(JUST_IN_TIME).await;
                Ok(asked_to_wait("60"))
            }
            Some(Fault::Throttled) => Ok(answer(
                429,
                r#"{"overLimit": {"code": 429, "message": "injected: slow down"}}"#,
            )),
            Some(Fault::SignedOut) => Ok(answer(
                401,
                r#"{"error": {"code": 401, "message": "injected: who are you?"}}"#,
            )),
            Some(Fault::Slow) => {
                let answer = self.carry_out(request).await;
                tokio::time::sleep(SLOW).await;
                answer
            }
            Some(Fault::Late) => self.deliver_late(request).await,
            Some(Fault::Conflict) => Ok(answer(
                409,
                r#"{"conflictingRequest": {"code": 409, "message": "injected: conflict"}}"#,
            )),
            Some(Fault::Broken) => {
                let _ = self.carry_out(request).await;
                Ok(answer(
                    500,
                    r#"{"computeFault": {"code": 500, "message": "injected: broken"}}"#,
                ))
            }
            Some(Fault::LostReply) => {
                let _ = self.carry_out(request).await;
                Err(TransportError::Lost("injected: reply lost".into()))
            }
            Some(Fault::CrashAfter) => {
                let _ = self.carry_out(request).await;
                self.machine.die().await
            }
            Some(Fault::Freeze) => {
                self.machine.freeze().await;
                self.carry_out(request).await
            }
        }
    }
}

/// Has the cloud carry out what was sent at `sent`.
async fn deliver(
    cloud: &dyn Transport,
    deletions: &Deletions,
    request: Request,
    sent: Instant,
) -> Result<Response, TransportError> {
    let Some(object) = Deletions::object_of(&request) else {
        return cloud.send(request).await;
    };
    // Said first: the object may be gone before its answer is there.
    let before = deletions.carried_out(&object, sent);
    let answer = cloud.send(request).await;
    if answer.as_ref().is_ok_and(|answer| answer.status >= 400) {
        deletions.refused(&object, before);
    }
    answer
}

impl FaultyTransport {
    async fn carry_out(&self, request: Request) -> Result<Response, TransportError> {
        let (cloud, deletions) = (self.inner.as_ref(), &self.injector.deletions);
        deliver(cloud, deletions, request, Instant::now()).await
    }

    /// A change is carried out after its caller has given up; what only reads is lost.
    async fn deliver_late(&self, request: Request) -> Result<Response, TransportError> {
        let limit = request.timeout;
        if request.method != Method::GET {
            let (inner, delay) = (Arc::clone(&self.inner), limit.max(LATE));
            let (injector, sent) = (Arc::clone(&self.injector), Instant::now());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = deliver(inner.as_ref(), &injector.deletions, request, sent).await;
            });
        }
        tokio::time::sleep(limit).await;
        Err(TransportError::TimedOut(limit))
    }
}

/// The arrays as one engine reaches them.
pub(crate) struct FaultyStorage {
    pub inner: Arc<dyn StorageDriver>,
    pub injector: Arc<Injector>,
    pub machine: Machine,
}

impl FaultyStorage {
    /// What is discarded has one of two names.
    fn note_discarded(
        &self,
        operation: &OperationId,
        volume: &VolumeId,
        managed_as: Option<&VolumeId>,
    ) {
        let deletions = &self.injector.deletions;
        let names = managed_as.map(cinder_name).into_iter();
        for name in names.chain([promoted_name(operation, volume)]) {
            deletions.carried_out(&name, Instant::now());
        }
    }

    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        self.machine.thawed().await;
        let away = |why: &str| Err(StorageError::unavailable("injected", why));
        match self.injector.call(PointContent::Other) {
            None | Some(Fault::CrashBefore) => work.await,
            Some(
                Fault::Busy
                | Fault::Conflict
                | Fault::RetryAfter
                | Fault::Throttled
                | Fault::SignedOut,
            ) => away("busy"),
            Some(Fault::RetryAfterFreeze) => {
                self.machine.stall();
                away("busy")
            }
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOW).await;
                work.await
            }
            Some(Fault::Forbidden) => Err(StorageError::refused("injected", "refused")),
            Some(Fault::LostReply | Fault::Broken | Fault::Late) => {
                let _ = work.await;
                away("reply lost")
            }
            Some(Fault::CrashAfter) => {
                let _ = work.await;
                self.machine.die().await
            }
            Some(Fault::Freeze) => {
                self.machine.freeze().await;
                work.await
            }
        }
    }
}

#[async_trait]
impl ArrayObjects for FaultyStorage {
    async fn check(&self, array: &str) -> Result<(), StorageError> {
        self.call(self.inner.check(array)).await
    }

    async fn locate(
        &self,
        array: &str,
        volume: &CinderVolume,
    ) -> Result<Option<BackendObject>, StorageError> {
        self.call(self.inner.locate(array, volume)).await
    }

    async fn relation(
        &self,
        one: &BackendObject,
        other: &BackendObject,
    ) -> Result<Relation, StorageError> {
        self.call(self.inner.relation(one, other)).await
    }
}

#[async_trait]
impl GroupReplication for FaultyStorage {
    fn capabilities(&self, replication: &Replication) -> Result<Capabilities, StorageError> {
        self.inner.capabilities(replication)
    }

    async fn findings(&self, replication: &Replication) -> Result<Vec<String>, StorageError> {
        self.call(self.inner.findings(replication)).await
    }

    async fn protect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.protect(replication, volumes)).await
    }

    async fn unprotect(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.unprotect(replication, volumes)).await
    }

    async fn replicate(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<RecoveryPoint>, StorageError> {
        self.call(self.inner.replicate(replication, volumes, operation))
            .await
    }

    async fn recovery_points(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<Vec<RecoveryPoint>, StorageError> {
        self.call(self.inner.recovery_points(replication, volumes))
            .await
    }

    async fn first_copies(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.first_copies(replication, volumes))
            .await
    }

    async fn forget(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<(), StorageError> {
        self.call(self.inner.forget(replication, volumes, operation))
            .await
    }
}

#[async_trait]
impl GroupFailover for FaultyStorage {
    async fn fence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.fence(replication, volumes, operation))
            .await
    }

    async fn unfence(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.unfence(replication, volumes, operation))
            .await
    }

    async fn promote(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volumes: &[CinderVolume],
        mode: PromotionMode,
        operation: &OperationId,
    ) -> Result<ArrayProgress<Vec<PromotedVolume>>, StorageError> {
        self.call(
            self.inner
                .promote(replication, point, volumes, mode, operation),
        )
        .await
    }

    async fn discard_promoted(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let discard = async {
            self.note_discarded(operation, &volume.id, managed_as);
            self.inner
                .discard_promoted(replication, volume, operation, managed_as)
                .await
        };
        self.call(discard).await
    }

    async fn written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.call(self.inner.written_since(replication, volume, operation))
            .await
    }

    async fn original_written_since(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<Written, StorageError> {
        self.call(
            self.inner
                .original_written_since(replication, volume, operation),
        )
        .await
    }

    async fn resync(
        &self,
        replication: &Replication,
        volumes: &[CinderVolume],
        operation: &OperationId,
    ) -> Result<ArrayProgress<()>, StorageError> {
        self.call(self.inner.resync(replication, volumes, operation))
            .await
    }
}

#[async_trait]
impl TestClones for FaultyStorage {
    async fn clone_point(
        &self,
        replication: &Replication,
        point: &RecoveryPointId,
        volume: &CinderVolume,
        operation: &OperationId,
    ) -> Result<ArrayProgress<PromotedVolume>, StorageError> {
        self.call(
            self.inner
                .clone_point(replication, point, volume, operation),
        )
        .await
    }

    async fn discard_clone(
        &self,
        replication: &Replication,
        volume: &CinderVolume,
        operation: &OperationId,
        managed_as: Option<&VolumeId>,
    ) -> Result<ArrayProgress<()>, StorageError> {
        let discard = async {
            self.note_discarded(operation, &volume.id, managed_as);
            self.inner
                .discard_clone(replication, volume, operation, managed_as)
                .await
        };
        self.call(discard).await
    }
}

/// The other site's protector as one engine reaches it.
pub(crate) struct FaultyOtherSite {
    pub inner: Arc<dyn PeerSite>,
    pub injector: Arc<Injector>,
    pub machine: Machine,
}

#[async_trait]
impl PeerSite for FaultyOtherSite {
    async fn hold_still(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.ask(self.inner.hold_still(operation)).await
    }

    async fn still_stopped(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.ask(self.inner.still_stopped(operation)).await
    }

    async fn still_leaves(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.ask(self.inner.still_leaves(operation)).await
    }

    async fn still_paired(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.ask(self.inner.still_paired(operation)).await
    }
}

impl FaultyOtherSite {
    async fn ask(
        &self,
        work: impl Future<Output = Result<(), ReservationError>>,
    ) -> Result<(), ReservationError> {
        self.machine.thawed().await;
        match self.injector.call(PointContent::Other) {
            None | Some(Fault::CrashBefore) => work.await,
            Some(
                Fault::Busy
                | Fault::Conflict
                | Fault::Forbidden
                | Fault::RetryAfter
                | Fault::RetryAfterFreeze
                | Fault::Throttled
                | Fault::SignedOut,
            ) => Err(ReservationError::Silent("injected: busy".to_owned())),
            Some(Fault::Slow) => {
                tokio::time::sleep(SLOW).await;
                work.await
            }
            Some(Fault::LostReply | Fault::Broken | Fault::Late) => {
                let _ = work.await;
                Err(ReservationError::Silent("injected: reply lost".to_owned()))
            }
            Some(Fault::CrashAfter) => {
                let _ = work.await;
                self.machine.die().await
            }
            Some(Fault::Freeze) => {
                self.machine.freeze().await;
                work.await
            }
        }
    }
}
