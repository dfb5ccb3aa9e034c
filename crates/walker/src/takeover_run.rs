//! A site that is lost in the middle of a planned failover, the unplanned one that the other site makes in its place, the
//! site's return, and the fencing and cleanup that follow.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus},
    id::{OperationId, SiteName},
    member::Member,
    operation::{Operation, OperationRecord, OperationState},
    peer_site::{PeerSite, ReservationError},
};
use tokio::time::Instant;

use crate::{
    fault::{Fault, Injector},
    machine::{Machines, Outage},
    memory_journal::MemoryJournal,
    moment::FaultPoint,
    operations::{cleanup_named, fence_id, fence_of, general_cleanup_id, takeover_id, takeover_of},
    scenario::SOURCE,
    trouble,
    world::{CloudFacts, Protector, VirtualClock, World, settled_in},
};

/// How long the other site holds a group still when it is asked to.
const HELD_FOR: TimeDelta = TimeDelta::seconds(60);
/// How often a person looks how far the failover in place of the interrupted one has come.
const LOOK: Duration = Duration::from_millis(100);

/// One schedule of a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// How the site is lost, and where its failover is then: its engines die, or everything there stands still and goes on
    /// where it was when the site returns. None: it is not lost.
    pub loss: Option<(Fault, FaultPoint)>,
    /// What the other site had heard of it.
    pub heard: Heard,
    /// What goes wrong with the failover in its place.
    pub faults: Vec<(Fault, FaultPoint)>,
    /// When the lost site returns.
    pub returns: Returns,
}

impl Takeover {
    /// The site is not lost.
    pub fn none(heard: Heard) -> Self {
        Self {
            loss: None,
            heard,
            faults: Vec::new(),
            returns: Returns::Afterwards,
        }
    }

    /// The site is lost, nothing else goes wrong, and it returns afterwards.
    pub fn after(loss: (Fault, FaultPoint), heard: Heard) -> Self {
        Self {
            loss: Some(loss),
            ..Self::none(heard)
        }
    }
}

/// What a site had heard of a failover of the other one when that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    All,
    /// That it had begun.
    TheBeginning,
}

/// When a lost site returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// When the failover in place of the interrupted one has ended.
    Afterwards,
    /// When it has come to this call.
    At(usize),
}

/// What is left when the dust has settled.
#[derive(Debug)]
pub struct TakeoverOutcome {
    /// The interrupted failover when its site was lost.
    pub lost: OperationRecord,
    /// The same in the end.
    pub interrupted: OperationRecord,
    /// The failover in its place, if it came to that.
    pub failover: Option<OperationRecord>,
    /// What has stopped the old servers.
    pub fence: Option<OperationRecord>,
    /// What has deleted what was left on the site that was lost.
    pub cleanup: Option<OperationRecord>,
    /// The group as the surviving site has it.
    pub group: (Group, Vec<Member>),
    /// Operations that hold their locks in the end.
    pub locked: Vec<OperationId>,
    /// Whether the lost site stood still, so that one call of it was still on its way when it returned.
    pub stood_still: bool,
    /// The lost site before, when it returned, when the operations of both sites had ended, and after the cleanup.
    pub source: [CloudFacts; 4],
    /// The surviving site before, when the other one was lost, and in the end.
    pub target: [CloudFacts; 3],
    /// Journal writes and remote calls of the interrupted failover.
    pub of_interrupted: (usize, usize),
    /// The same of the one in its place.
    pub of_failover: (usize, usize),
}

/// The surviving site's protector as the other one's engines know it.
struct Survivor {
    journal: Arc<MemoryJournal>,
    clock: Arc<VirtualClock>,
    held_until: Mutex<DateTime<Utc>>,
}

impl Survivor {
    fn held_until(&self) -> DateTime<Utc> {
        *self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Until an operation may begin here.
    async fn free(&self) {
        while self.held_until() > self.clock.now() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[async_trait]
impl PeerSite for Survivor {
    async fn hold_still(&self, operation: &Operation) -> Result<(), ReservationError> {
        if self.journal.state(&takeover_id()).is_some() {
            let moved = format!("this site has moved group {}", operation.group_id);
            return Err(ReservationError::MovedOn(moved));
        }
        *self
            .held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.clock.now() + HELD_FOR;
        Ok(())
    }

    async fn still_stopped(&self, operation: &Operation) -> Result<(), ReservationError> {
        self.hold_still(operation).await
    }

    async fn still_leaves(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }

    async fn still_paired(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }
}

impl World {
    /// Runs the world's operation on the site that `takeover` loses, and what comes after the loss.
    pub async fn run_takeover(self, takeover: &Takeover) -> TakeoverOutcome {
        self.take_recovery_point().await;
        self.source.write_more();
        let source_before = self.source.facts();
        let survivor = Arc::new(Survivor {
            journal: Arc::new(MemoryJournal::new()),
            clock: Arc::clone(&self.clock),
            held_until: Mutex::new(self.clock.now() + HELD_FOR),
        });
        if let Some((group, members)) = self.journal.group(&self.group) {
            survivor.journal.put_group(group, members);
        }
        let outage = Outage::to_come();
        let lost_engines = self.start_engines_of(&Protector {
            journal: Arc::clone(&self.journal),
            injector: Arc::clone(&self.injector),
            machines: Machines::Site(Arc::clone(&outage)),
            beside: Some((self.source_site(), survivor.clone())),
        });
        self.injector.arm();
        let is_lost = tokio::select! {
            biased;
            () = outage.begun() => true,
            () = self.quiet() => false,
        };
        let lost = self.record(&self.journal, &self.operation);
        let mut source_at_return = self.source.facts();
        let target_at_loss = self.target.facts();
        let injector = Injector::new(takeover.faults.clone(), None);
        let mut source_after = source_at_return.clone();
        if is_lost {
            trouble::cut_off(&self.source.cloud);
            self.arrays.cut_off(Some("mock://array-a"));
            trouble::mend([&self.target.cloud]);
            let engines = self.start_engines_of(&Protector {
                journal: Arc::clone(&survivor.journal),
                injector: Arc::clone(&injector),
                machines: Machines::Apart,
                beside: None,
            });
            survivor.free().await;
            let (group, members) = self.group_of(&survivor.journal);
            let record = takeover_of(
                (&group, &members),
                self.options.promotion,
                known(&lost, takeover.heard),
                self.clock.now(),
            );
            injector.arm();
            survivor.journal.insert(record);
            self.until(&survivor.journal, &injector, takeover.returns)
                .await;
            trouble::mend([&self.source.cloud]);
            self.arrays.cut_off(None);
            self.transport.advance();
            source_at_return = self.source.facts();
            outage.end();
            settled_in(&survivor.journal, &takeover_id()).await;
            injector.disarm();
            self.settled(&self.operation).await;
            self.aftermath().await;
            source_after = self.source.facts();
            self.fence_and_clean_up(&survivor.journal).await;
            engines.end().await;
        }
        lost_engines.end().await;
        let kept = [
            (&self.journal, self.operation.clone()),
            (&survivor.journal, takeover_id()),
            (&survivor.journal, fence_id()),
            (&survivor.journal, general_cleanup_id()),
        ];
        TakeoverOutcome {
            lost,
            interrupted: self.record(&self.journal, &self.operation),
            failover: survivor.journal.operation(&takeover_id()),
            fence: survivor.journal.operation(&fence_id()),
            cleanup: survivor.journal.operation(&general_cleanup_id()),
            group: self.group_of(&survivor.journal),
            stood_still: matches!(takeover.loss, Some((Fault::Freeze, _))),
            locked: kept
                .into_iter()
                .filter(|(journal, id)| journal.is_locked(id))
                .map(|(_, id)| id)
                .collect(),
            source: [
                source_before,
                source_at_return,
                source_after,
                self.source.facts(),
            ],
            target: [
                self.target.before.clone(),
                target_at_loss,
                self.target.facts(),
            ],
            of_interrupted: (self.injector.writes(), self.injector.calls()),
            of_failover: (injector.writes(), injector.calls()),
        }
    }

    /// Until the world's operation has ended, and what was on its way has arrived.
    async fn quiet(&self) {
        self.settled(&self.operation).await;
        self.aftermath().await;
    }

    async fn until(&self, journal: &MemoryJournal, injector: &Injector, returns: Returns) {
        let failover = takeover_id();
        let ended = settled_in(journal, &failover);
        match returns {
            Returns::Afterwards => ended.await,
            Returns::At(call) => {
                let begun = Instant::now();
                let come_so_far = async {
                    while injector.calls() < call && begun.elapsed() < Duration::from_secs(86_400) {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                tokio::select! {
                    () = ended => {}
                    () = come_so_far => {}
                }
            }
        }
    }

    /// What a person does when the site is back and the group is well on the other one.
    async fn fence_and_clean_up(&self, journal: &MemoryJournal) {
        let (group, _) = self.group_of(journal);
        let failover = self.record(journal, &takeover_id());
        let is_well = failover.operation.state == OperationState::Completed
            && group.status == GroupStatus::FailedOver;
        if !is_well {
            return;
        }
        journal.insert(fence_of(&failover, self.clock.now()));
        settled_in(journal, &fence_id()).await;
        let failover = self.record(journal, &takeover_id());
        journal.insert(cleanup_named(
            general_cleanup_id(),
            &failover,
            self.clock.now(),
        ));
        settled_in(journal, &general_cleanup_id()).await;
        self.aftermath().await;
    }

    pub(crate) fn source_site(&self) -> SiteName {
        SiteName::new(SOURCE)
    }

    #[allow(
        clippy::expect_used,
        reason = "both were put there, and nothing removes them"
    )]
    fn group_of(&self, journal: &MemoryJournal) -> (Group, Vec<Member>) {
        journal.group(&self.group).expect("the group is there")
    }

    #[allow(
        clippy::expect_used,
        reason = "it was put there, and nothing removes it"
    )]
    pub(crate) fn record(&self, journal: &MemoryJournal, id: &OperationId) -> OperationRecord {
        journal.operation(id).expect("the operation is there")
    }
}

/// The operation from which an unplanned failover may go on, by what its site has heard of it.
fn known(lost: &OperationRecord, heard: Heard) -> Vec<OperationId> {
    let is_taken_back = matches!(
        lost.operation.state,
        OperationState::Unwinding | OperationState::Failed
    );
    match heard {
        Heard::All if is_taken_back => Vec::new(),
        Heard::All | Heard::TheBeginning => vec![lost.operation.id.clone()],
    }
}
