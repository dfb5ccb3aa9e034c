//! What an engine runs on: how it dies and comes back, how it stands still and goes on.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A machine that has died is back after this.
const RESTART: Duration = Duration::from_secs(5);
/// One that stands still by itself goes on after this, longer than a lease.
const FREEZE: Duration = Duration::from_secs(300);

/// One that stands still in the middle of a call's tries goes on after this: longer than a lease, and before the caller gives
/// up.
const STALL: Duration = Duration::from_secs(125);

/// One life of a machine. What has a clone of it is on the same one.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    dead: CancellationToken,
    frozen: watch::Sender<bool>,
    /// How long it stands still; until it is told to go on where nothing is said.
    stands_still: Option<Duration>,
}

impl Machine {
    fn new(stands_still: Option<Duration>) -> Self {
        Self {
            dead: CancellationToken::new(),
            frozen: watch::Sender::new(false),
            stands_still,
        }
    }

    /// Dies: nothing after this line is carried out on it.
    pub async fn die<T>(&self) -> T {
        self.dead.cancel();
        std::future::pending().await
    }

    /// Until it has died.
    pub async fn dead(&self) {
        self.dead.cancelled().await;
    }

    /// Stands still, whether or not the call that began it is still wanted when it goes on.
    pub async fn freeze(&self) {
        self.frozen.send_replace(true);
        let Some(duration) = self.stands_still else {
            return self.thawed().await;
        };
        let frozen = self.frozen.clone();
        let thaw = tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            frozen.send_replace(false);
        });
        let _ = thaw.await;
    }

    /// Begins to stand still, and lets the caller go on to its next port.
    pub fn stall(&self) {
        let frozen = self.frozen.clone();
        frozen.send_replace(true);
        tokio::spawn(async move {
            tokio::time::sleep(STALL).await;
            frozen.send_replace(false);
        });
    }

    /// Nothing moves on a machine that stands still, so every port waits here first.
    pub async fn thawed(&self) {
        self.until_frozen_is(false).await;
    }

    async fn until_frozen_is(&self, wanted: bool) {
        let mut frozen = self.frozen.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = frozen.wait_for(|frozen| *frozen == wanted).await;
    }
}

/// The machines of a protector's engines.
#[derive(Clone, Debug)]
pub(crate) enum Machines {
    /// Each lives and dies by itself.
    Apart,
    /// All are lost together with their site, and are back with it.
    Site(Arc<Outage>),
}

impl Machines {
    /// The machine on which an engine starts now.
    pub fn start(&self) -> Machine {
        match self {
            Self::Site(outage) if !outage.is_over() => outage.machine.clone(),
            Self::Apart | Self::Site(_) => Machine::new(Some(FREEZE)),
        }
    }

    /// Until one that has died is back.
    pub async fn restarted(&self) {
        if let Self::Site(outage) = self {
            outage.over.cancelled().await;
        }
        tokio::time::sleep(RESTART).await;
    }
}

/// The loss of a site, which begins when its machine dies or stands still.
#[derive(Debug)]
pub(crate) struct Outage {
    machine: Machine,
    over: CancellationToken,
}

impl Outage {
    /// One that has not begun.
    pub fn to_come() -> Arc<Self> {
        Arc::new(Self {
            machine: Machine::new(None),
            over: CancellationToken::new(),
        })
    }

    /// Until it has begun.
    pub async fn begun(&self) {
        tokio::select! {
            () = self.machine.dead() => {}
            () = self.machine.until_frozen_is(true) => {}
        }
    }

    /// Ends it: what has died starts again, and what stood still goes on.
    pub fn end(&self) {
        self.over.cancel();
        self.machine.frozen.send_replace(false);
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}
