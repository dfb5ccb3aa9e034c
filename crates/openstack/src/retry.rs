//! When a read is repeated by this client itself, and after which pause. What changes something never is.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::error::{CallError, ErrorClass};

/// The longest `Retry-After` that is obeyed; a cloud that asks for more is asked again after this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How pauses are spread, so that many callers do not come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    None,
    /// Between half of the pause and all of it, from the operating system's randomness.
    Random,
    /// As `Random`, the same in every run with the same seed.
    Seeded(u64),
}

/// When and how often a read is repeated: when the error may pass.
///
/// A call that changes something is not, also when the first try was certainly not carried out: what it rests on was
/// read before that. The caller gets the error and looks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times a read is tried, the first included; 0 counts as 1.
    pub attempts: u32,
    /// The pause before the second try; it doubles with each further one.
    pub first_delay: Duration,
    /// The longest pause between two tries.
    pub max_delay: Duration,
    /// How pauses are spread.
    pub jitter: Jitter,
}

impl Default for RetryPolicy {
    /// Four tries with pauses of about 1, 2 and 4 s.
    fn default() -> Self {
        Self {
            attempts: 4,
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(15),
            jitter: Jitter::Random,
        }
    }
}

impl RetryPolicy {
    /// Never repeats anything.
    pub fn never() -> Self {
        Self {
            attempts: 1,
            ..Self::default()
        }
    }

    /// The pause before the next try after `tries` of them failed, the last with `error`; `None` to give up.
    pub(crate) fn pause(
        &self,
        tries: u32,
        error: &CallError,
        dice: &mut JitterSource,
    ) -> Option<Duration> {
        if tries >= self.attempts.max(1) || !may_repeat(error) {
            return None;
        }
        let doubled = self
            .first_delay
            .saturating_mul(1_u32.checked_shl(tries - 1).unwrap_or(u32::MAX));
        let backoff = dice.spread(doubled.min(self.max_delay));
        Some(match error.retry_after() {
            Some(asked) => asked.min(LONGEST_RETRY_AFTER).max(backoff),
            None => backoff,
        })
    }
}

/// Whether the client itself may send the same request again.
fn may_repeat(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { call, .. }
        | CallError::Lost { call, .. }
        | CallError::NotJson { call, .. } => !call.writes,
        CallError::Refused(refusal) => {
            !refusal.call.writes && refusal.class() == ErrorClass::Passing
        }
        _ => false,
    }
}

/// The randomness of pauses.
pub(crate) struct JitterSource(Option<StdRng>);

impl JitterSource {
    pub(crate) fn new(jitter: Jitter) -> Self {
        Self(match jitter {
            Jitter::None => None,
            Jitter::Random => Some(StdRng::from_os_rng()),
            Jitter::Seeded(seed) => Some(StdRng::seed_from_u64(seed)),
        })
    }

    fn spread(&mut self, pause: Duration) -> Duration {
        match &mut self.0 {
            None => pause,
            Some(dice) => pause.mul_f64(dice.random_range(0.5..=1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::{
        error::{Call, CloudRefusal},
        service::Service,
    };

    fn refused(method: Method, status: u16, retry_after: Option<u64>) -> CallError {
        let writes = method != Method::GET;
        CallError::Refused(Box::new(CloudRefusal {
            call: Call {
                service: Service::Compute,
                method,
                path: "/servers".to_owned(),
                writes,
            },
            status,
            message: String::new(),
            request_id: None,
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    fn policy() -> RetryPolicy {
        RetryPolicy {
            jitter: Jitter::None,
            ..RetryPolicy::default()
        }
    }

    fn pause(error: &CallError) -> Option<u64> {
        policy()
            .pause(1, error, &mut JitterSource::new(Jitter::None))
            .map(|pause| pause.as_secs())
    }

    #[test]
    fn reads_are_repeated_when_the_error_may_pass() {
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(
                pause(&refused(Method::GET, status, None)),
                Some(1),
                "{status}"
            );
        }
        for status in [400, 401, 403, 404, 409, 413] {
            assert_eq!(pause(&refused(Method::GET, status, None)), None, "{status}");
        }
    }

    #[test]
    fn what_changes_something_is_never_repeated() {
        for (status, retry_after) in [(429, None), (503, Some(3)), (500, None), (401, None)] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                assert_eq!(
                    pause(&refused(method, status, retry_after)),
                    None,
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn retry_after_is_honoured_and_capped() {
        assert_eq!(pause(&refused(Method::GET, 503, Some(9))), Some(9));
        assert_eq!(pause(&refused(Method::GET, 503, Some(86_400))), Some(60));
        assert_eq!(pause(&refused(Method::GET, 503, Some(0))), Some(1));
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_end() {
        let policy = RetryPolicy {
            attempts: 8,
            ..policy()
        };
        let error = refused(Method::GET, 500, None);
        let pauses: Vec<_> = (1..=8)
            .map(|tries| policy.pause(tries, &error, &mut JitterSource::new(Jitter::None)))
            .collect();
        let seconds: Vec<_> = pauses
            .iter()
            .map(|pause| pause.map(|pause| pause.as_secs()))
            .collect();
        assert_eq!(
            seconds,
            [
                Some(1),
                Some(2),
                Some(4),
                Some(8),
                Some(15),
                Some(15),
                Some(15),
                None
            ]
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses() {
        let draw = |seed| {
            let mut dice = JitterSource::new(Jitter::Seeded(seed));
            (0..5)
                .map(|_| dice.spread(Duration::from_secs(8)))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(
            draw(7)
                .iter()
                .all(|pause| (4.0..=8.0).contains(&pause.as_secs_f64()))
        );
    }
}
