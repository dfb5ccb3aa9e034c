//! The engine's loop: look for operations that nobody walks, claim them, walk each, until told to stop.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use protector_core::{
    clock::Clock,
    id::EngineId,
    journal::{Claim, Journal, JournalError},
    queue::Room,
    runbook::BOOK_VERSION,
};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    action::{Actions, JournalWriter},
    lease::{JournalTime, Lease, TwoClockTime},
    limits::ConcurrencyLimits,
    options::EngineOptions,
    slots::Slots,
    walk::{Walk, WalkEnd},
};

/// One engine process.
pub struct Engine {
    id: EngineId,
    journal: Arc<dyn Journal>,
    actions: Arc<dyn Actions>,
    clock: Arc<dyn Clock>,
    options: Arc<EngineOptions>,
    limits: Arc<ConcurrencyLimits>,
    slots: Slots,
    predecessor: Option<EngineId>,
}

/// Since when an operation is this engine's.
#[derive(Clone, Copy)]
struct Since {
    /// When the journal was asked.
    asked_at: TwoClockTime,
    /// The time that the journal told then.
    now: DateTime<Utc>,
}

impl Engine {
    /// An engine that finds its work in `journal` and carries steps out through `actions`. `id` is this process's alone: who
    /// has another one's may end its leases. `clock` is the machine's; what is recorded has the journal's time.
    pub fn new(
        id: EngineId,
        journal: Arc<dyn Journal>,
        actions: Arc<dyn Actions>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
    ) -> Self {
        Self {
            id,
            journal,
            actions,
            clock,
            limits: Arc::new(ConcurrencyLimits::new(&options)),
            slots: Slots::new(&options),
            options: Arc::new(options),
            predecessor: None,
        }
    }

    /// The same in the place of `dead`, whose operations it goes on with at once. The caller must know that it is dead: a
    /// living engine would lose what it is walking.
    #[must_use]
    pub fn in_place_of(self, dead: EngineId) -> Self {
        Self {
            predecessor: Some(dead),
            ..self
        }
    }

    /// Works until `stop`, then finishes the calls under way and gives its operations back.
    pub async fn run(&self, stop: CancellationToken) {
        self.end_leases_of_predecessor().await;
        let mut walks = JoinSet::new();
        while !stop.is_cancelled() {
            for (claim, since) in self.look_for_work().await {
                walks.spawn(self.walk(claim, since, stop.clone()));
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.options.poll_interval) => {}
                Some(walk) = walks.join_next() => note_panic(&walk),
            }
        }
        while let Some(walk) = walks.join_next().await {
            note_panic(&walk);
        }
    }

    async fn end_leases_of_predecessor(&self) {
        let Some(dead) = &self.predecessor else {
            return;
        };
        if let Err(error) = self.journal.forget(dead).await {
            warn!(%error, %dead, "cannot end the leases of the engine before this one; they end by themselves");
        }
    }

    async fn look_for_work(&self) -> Vec<(Claim, Since)> {
        let room = self.slots.room();
        if room.is_full() {
            return Vec::new();
        }
        self.claim(&room).await.unwrap_or_else(|error| {
            warn!(%error, "cannot look for work");
            Vec::new()
        })
    }

    async fn claim(&self, room: &Room) -> Result<Vec<(Claim, Since)>, JournalError> {
        let asked_at = TwoClockTime::now(self.clock.as_ref());
        let now = self.journal.now().await?;
        let lease = self.options.lease;
        let claims = self
            .journal
            .claim(&self.id, now, lease, BOOK_VERSION, room)
            .await?;
        let since = Since { asked_at, now };
        Ok(claims.into_iter().map(|claim| (claim, since)).collect())
    }

    fn walk(
        &self,
        claim: Claim,
        since: Since,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let span = info_span!("operation", operation_id = %claim.operation_id, fence = claim.fence);
        let slot = self.slots.slot(claim.lane, &claim.project_id);
        let walk = Walk {
            writer: Arc::new(JournalWriter {
                journal: Arc::clone(&self.journal),
                clock: Arc::clone(&self.clock),
                lease: Arc::new(Lease::asked_for_at(
                    since.asked_at,
                    claim.lease,
                    Arc::clone(&self.clock),
                )),
                time: Mutex::new(JournalTime::told(since.now, since.asked_at)),
                claim,
            }),
            actions: Arc::clone(&self.actions),
            limits: Arc::clone(&self.limits),
            options: Arc::clone(&self.options),
            stop,
        };
        let writer = Arc::clone(&walk.writer);
        let stop = walk.stop.clone();
        let pause = self.options.poll_interval;
        async move {
            info!("begins");
            let end = walk.walk(slot).await;
            report(&end);
            // What another group has taken in since it was looked at, the next look of the switch names.
            if let Err(JournalError::Unavailable(_) | JournalError::Protected(_)) = end {
                give_back(&writer, pause, &stop).await;
            }
        }
        .instrument(span)
    }
}

/// Gives an operation back whose walk ended because the journal was away, or did not take a write: as soon as that takes it, so that nobody waits
/// for the lease to end. Ends with the lease.
async fn give_back(writer: &JournalWriter, pause: Duration, stop: &CancellationToken) {
    let lease_ends = Instant::now() + writer.claim.lease;
    while Instant::now() < lease_ends {
        // Not at once: a journal that is away for this operation alone must not make it be claimed in a circle.
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        let given_back = writer.journal.release(&writer.claim).await;
        if !matches!(given_back, Err(JournalError::Unavailable(_))) || stop.is_cancelled() {
            return;
        }
    }
}

fn report(end: &Result<WalkEnd, JournalError>) {
    match end {
        Ok(WalkEnd::Settled(state)) => info!(state = state.as_str(), "ended"),
        Ok(WalkEnd::Released) => info!("given back, the engine stops"),
        // Its lease is left to end by itself, so that it is tried, and seen here, once per lease.
        Err(error @ JournalError::Unreadable(_)) => error!(
            %error,
            "cannot be walked by this build; its group stays locked until an engine that can read it takes it over"
        ),
        Err(error) => warn!(%error, "dropped"),
    }
}

/// A walk that panicked is a defect. The journal still holds what is true, and the lease ends by itself.
fn note_panic(walk: &Result<(), JoinError>) {
    if let Err(error) = walk {
        error!(%error, "a walk broke off: this is a defect of protector");
    }
}
