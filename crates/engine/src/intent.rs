//! The right to change something, which a step has from the moment at which its intent is on record.
//!
//! Steps read clouds whose calls that change something are refused; an [`Intent`] opens one for the call that was meant.
//! Right before that is sent the lease is looked at once more: an engine that stood still in between, for whatever reason,
//! does not act for its successor.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protector_core::journal::JournalError;
use protector_openstack::{
    cloud::Cloud,
    error::{Call, CallError},
    permit::WritePermit,
};
use tokio::time::Instant;

use crate::{lease::Lease, step_error::StepError};

/// Which way a step is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// For so long a reading may be acted on, counted from when it was asked for: an answer tells of that moment, however late it
/// comes. Within this time of being opened for it a cloud sends a call, or does not: a login in between may take minutes. A
/// deletion is sent within this time of its intent: what it rests on is asked for after that.
pub(crate) const READINGS_HOLD_FOR: Duration = Duration::from_secs(15);

/// The right to change what a step has written down, until its lease ends.
#[must_use = "an intent that nothing is sent with is only written down"]
#[derive(Clone, Debug)]
pub struct Intent {
    lease: Arc<Lease>,
    used: Arc<AtomicBool>,
    /// Since when what the call rests on has been asked for. Only of what cannot be taken back: a cloud that answers slowly
    /// must not hold up what is looked at once more before the group is switched.
    asked_since: Option<Instant>,
}

impl Intent {
    pub(crate) fn under(lease: Arc<Lease>) -> Self {
        Self {
            lease,
            used: Arc::default(),
            asked_since: None,
        }
    }

    /// The same intent for a deletion, which from now on asks for all that it rests on.
    pub(crate) fn asking_from_now(self) -> Self {
        Self {
            asked_since: Some(Instant::now()),
            ..self
        }
    }

    /// Whether something may have been changed with it.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    /// `cloud`, open for the call that was meant. To be asked for right before that.
    pub fn on(&self, cloud: &Cloud) -> Cloud {
        cloud.with_permit(Arc::new(self.opening()))
    }

    fn opening(&self) -> Opening {
        Opening {
            intent: self.clone(),
            at: self.asked_since.unwrap_or_else(Instant::now),
        }
    }

    /// Carries out `call`, which changes something that is not in a cloud, for as long as the lease is renewed.
    ///
    /// # Errors
    ///
    /// That the lease has too little time left, or has ended meanwhile: then the walk is over.
    pub async fn carry_out<T>(&self, call: impl Future<Output = T>) -> Result<T, StepError> {
        if self.lease.left() < self.lease.enough() {
            return Err(StepError::passing(TOO_LATE));
        }
        self.used.store(true, Ordering::SeqCst);
        tokio::select! {
            biased;
            () = self.lease.over() => Err(StepError::Journal(JournalError::LeaseLost)),
            answer = call => Ok(answer),
        }
    }
}

/// What is recorded when the lease has too little time left.
const TOO_LATE: &str = "this engine must renew its lease on the operation first";

/// An intent on a cloud.
struct Opening {
    intent: Intent,
    /// When what the call rests on was asked for.
    at: Instant,
}

impl WritePermit for Opening {
    fn pass(&self, call: &Call, longest: Duration) -> Result<(), CallError> {
        let not_sent = |why: &str| {
            Err(CallError::NotSent {
                call: Box::new(call.clone()),
                why: why.to_owned(),
            })
        };
        let read_since = self.at.elapsed();
        if read_since > READINGS_HOLD_FOR {
            return not_sent(&format!(
                "what it rests on was read too long ago: that took {} s, and {} s may pass; it is read anew, and a cleanup tries again",
                read_since.as_secs(),
                READINGS_HOLD_FOR.as_secs()
            ));
        }
        if self.intent.lease.left() < longest {
            return not_sent(TOO_LATE);
        }
        self.intent.used.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use protector_openstack::service::Service;

    use super::*;
    use crate::lease::tests::lease;

    const LEASE: Duration = Duration::from_secs(120);
    const CALL: Duration = Duration::from_secs(60);

    fn intent() -> Intent {
        Intent::under(Arc::new(lease(LEASE)))
    }

    fn pass(intent: &Intent, at: Instant) -> Result<(), CallError> {
        let opening = Opening {
            intent: intent.clone(),
            at,
        };
        let call = Call {
            service: Service::Volume,
            method: Method::DELETE,
            path: "/volumes/v1".to_owned(),
            writes: true,
        };
        opening.pass(&call, CALL)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_sent_while_its_end_lies_within_the_lease() {
        let intent = intent();
        tokio::time::advance(Duration::from_secs(60)).await;
        pass(&intent, Instant::now()).unwrap();
        assert!(intent.is_used());
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_stood_still_sends_nothing() {
        let intent = intent();
        tokio::time::advance(Duration::from_secs(61)).await;
        let error = pass(&intent, Instant::now()).unwrap_err();
        assert!(error.certainly_not_done(), "{error}");
        assert!(!intent.is_used());
        assert!(intent.carry_out(async {}).await.is_err());
        assert!(!intent.is_used());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_had_to_wait_for_a_login_is_not_sent() {
        let intent = intent();
        let opened = Instant::now();
        tokio::time::advance(READINGS_HOLD_FOR + Duration::from_secs(1)).await;
        assert!(pass(&intent, opened).is_err());
        assert!(!intent.is_used());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_that_waited_for_an_answer_is_not_sent() {
        let deletion = intent().asking_from_now();
        assert_eq!(deletion.asked_since, Some(Instant::now()));
        tokio::time::advance(READINGS_HOLD_FOR + Duration::from_secs(1)).await;
        assert!(pass(&deletion, deletion.opening().at).is_err());
        assert!(!deletion.is_used());
        let start = intent();
        pass(&start, start.opening().at).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_call_ends_with_the_lease() {
        let intent = intent();
        let begun = Instant::now();
        let ended = intent.carry_out(std::future::pending::<()>()).await;
        assert!(matches!(
            ended,
            Err(StepError::Journal(JournalError::LeaseLost))
        ));
        assert_eq!(begun.elapsed(), LEASE);
        assert!(intent.is_used());
    }
}
