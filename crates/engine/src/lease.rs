//! Until when an engine certainly owns an operation, on a clock that nobody sets.
//!
//! The journal knows when a lease ends by its own clock. The engine counts from before it asked for the lease, so its
//! answer is never later than the journal's.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The lease of one operation, as its engine counts it.
#[derive(Debug)]
pub(crate) struct Lease {
    length: Duration,
    until: Mutex<Instant>,
}

impl Lease {
    /// One of `length` that was asked for at `asked_at`.
    pub fn asked_for_at(asked_at: Instant, length: Duration) -> Self {
        Self {
            length,
            until: Mutex::new(asked_at + length),
        }
    }

    /// The journal has renewed it, in a call that began at `asked_at`.
    pub fn renewed(&self, asked_at: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(asked_at + self.length);
    }

    /// How long it certainly lasts.
    pub fn left(&self) -> Duration {
        self.until().saturating_duration_since(Instant::now())
    }

    /// The least that must be left of it for something to be begun that nobody can call back.
    pub fn enough(&self) -> Duration {
        self.length / 2
    }

    /// Until it is over, however often it is renewed before.
    pub async fn over(&self) {
        loop {
            let until = self.until();
            sleep_until(until).await;
            if self.until() == until {
                return;
            }
        }
    }

    fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(120);

    #[tokio::test(start_paused = true)]
    async fn it_is_counted_from_before_the_journal_was_asked() {
        let asked_at = Instant::now();
        tokio::time::advance(Duration::from_secs(30)).await;
        let lease = Lease::asked_for_at(asked_at, LENGTH);
        assert_eq!(lease.left(), Duration::from_secs(90));
        lease.renewed(asked_at);
        assert_eq!(lease.left(), Duration::from_secs(90));
        lease.renewed(Instant::now());
        assert_eq!(lease.left(), LENGTH);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_nobody_has_renewed_it() {
        let begun = Instant::now();
        let lease = Lease::asked_for_at(begun, LENGTH);
        let renewing = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            lease.renewed(Instant::now());
        };
        tokio::join!(renewing, lease.over());
        assert_eq!(begun.elapsed(), Duration::from_secs(220));
        assert_eq!(lease.left(), Duration::ZERO);
    }
}
