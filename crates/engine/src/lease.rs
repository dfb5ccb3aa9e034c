//! Until when an engine certainly owns an operation.
//!
//! The journal knows when a lease ends by its own clock. The engine counts from before it asked for the lease, so its
//! answer is never later than the journal's; and it counts on two clocks, of which the one that has gone further holds.
//! Nobody sets the monotonic one, but a machine that is suspended as a whole may not see on it that time has passed; the
//! other one is set when that goes on.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use protector_core::clock::Clock;
use tokio::time::{Instant, sleep};

/// A moment, on both clocks of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoClockTime {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl TwoClockTime {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self {
            monotonic: Instant::now(),
            wall: clock.now(),
        }
    }

    /// How long ago it was, by the clock that has gone further.
    fn elapsed(&self, clock: &dyn Clock) -> Duration {
        let by_wall = (clock.now() - self.wall).to_std().unwrap_or_default();
        self.monotonic.elapsed().max(by_wall)
    }
}

/// The lease of one operation, as its engine counts it.
pub(crate) struct Lease {
    length: Duration,
    clock: Arc<dyn Clock>,
    renewed_at: Mutex<TwoClockTime>,
}

impl Lease {
    /// One of `length` that was asked for at `asked_at`.
    pub fn asked_for_at(asked_at: TwoClockTime, length: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            length,
            clock,
            renewed_at: Mutex::new(asked_at),
        }
    }

    /// The journal has renewed it, in a call that began at `asked_at`.
    pub fn renewed(&self, asked_at: TwoClockTime) {
        let mut renewed_at = self.lock();
        if asked_at.monotonic > renewed_at.monotonic {
            *renewed_at = asked_at;
        }
    }

    /// How long it certainly lasts.
    pub fn left(&self) -> Duration {
        let renewed_at = *self.lock();
        self.length
            .saturating_sub(renewed_at.elapsed(self.clock.as_ref()))
    }

    /// The least that must be left of it for something to be begun that nobody can call back.
    pub fn enough(&self) -> Duration {
        self.length / 2
    }

    /// Until it is over, however often it is renewed before.
    pub async fn over(&self) {
        loop {
            match self.left() {
                Duration::ZERO => return,
                left => sleep(left).await,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TwoClockTime> {
        self.renewed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}

/// The journal's time: read once in a while, and counted on from there on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalTime {
    told: DateTime<Utc>,
    asked_at: Instant,
}

impl JournalTime {
    /// The journal has told `told` when it was asked at `asked_at`.
    pub fn told(told: DateTime<Utc>, asked_at: TwoClockTime) -> Self {
        Self {
            told,
            asked_at: asked_at.monotonic,
        }
    }

    /// Now; never earlier than the journal would say.
    pub fn now(&self) -> DateTime<Utc> {
        let since = chrono::TimeDelta::from_std(self.asked_at.elapsed());
        let now = self.told + since.unwrap_or(chrono::TimeDelta::MAX);
        chrono::SubsecRound::trunc_subsecs(now, 6)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::TimeDelta;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(120);

    /// A wall clock that stands where it is put.
    #[derive(Default)]
    pub struct WallClock(Mutex<TimeDelta>);

    impl Clock for WallClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + *self.0.lock().unwrap()
        }
    }

    /// A lease of this length, by a clock that stands.
    pub fn lease(length: Duration) -> Lease {
        let clock = Arc::new(WallClock::default());
        Lease::asked_for_at(TwoClockTime::now(clock.as_ref()), length, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_counted_from_before_the_journal_was_asked() {
        let clock = Arc::new(WallClock::default());
        let asked_at = TwoClockTime::now(clock.as_ref());
        tokio::time::advance(Duration::from_secs(30)).await;
        let lease = Lease::asked_for_at(asked_at, LENGTH, clock.clone());
        assert_eq!(lease.left(), Duration::from_secs(90));
        lease.renewed(asked_at);
        assert_eq!(lease.left(), Duration::from_secs(90));
        lease.renewed(TwoClockTime::now(clock.as_ref()));
        assert_eq!(lease.left(), LENGTH);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_nobody_has_renewed_it() {
        let begun = Instant::now();
        let lease = lease(LENGTH);
        let renewing = async {
            sleep(Duration::from_secs(100)).await;
            lease.renewed(TwoClockTime::now(lease.clock.as_ref()));
        };
        tokio::join!(renewing, lease.over());
        assert_eq!(begun.elapsed(), Duration::from_secs(220));
        assert_eq!(lease.left(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_was_suspended_sees_it_on_its_wall_clock() {
        let clock = Arc::new(WallClock::default());
        let lease = Lease::asked_for_at(TwoClockTime::now(clock.as_ref()), LENGTH, clock.clone());
        *clock.0.lock().unwrap() = TimeDelta::seconds(90);
        assert_eq!(lease.left(), Duration::from_secs(30));
        // Set back, it tells nothing; the other one holds.
        *clock.0.lock().unwrap() = TimeDelta::seconds(-3600);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(lease.left(), Duration::from_secs(70));
    }

    #[tokio::test(start_paused = true)]
    async fn the_journals_time_goes_on_whatever_happens_to_the_wall_clock() {
        let clock = WallClock::default();
        let told = DateTime::UNIX_EPOCH + TimeDelta::hours(7);
        let time = JournalTime::told(told, TwoClockTime::now(&clock));
        *clock.0.lock().unwrap() = TimeDelta::hours(-1);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(time.now(), told + TimeDelta::seconds(9));
    }
}
