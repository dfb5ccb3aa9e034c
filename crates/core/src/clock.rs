//! Time as a port: the engine never asks the operating system itself, so a simulation can own the clock.

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the wall-clock time.
pub trait Clock: Send + Sync {
    /// Now, in UTC, in whole microseconds (the finest that every supported database keeps).
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else asks"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}
