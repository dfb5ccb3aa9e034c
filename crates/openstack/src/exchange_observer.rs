//! Who is told of each exchange with a cloud: what counts and times them is not this crate's business.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::Call,
    transport::{Response, TransportError},
};

/// How one exchange ended, before anything is concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeOutcome {
    /// The cloud answered with this HTTP status.
    Answered(u16),
    /// No connection was made.
    Unreachable,
    /// The request was sent, and no answer came for as long as anybody waited.
    Lost,
}

impl ExchangeOutcome {
    fn of(answer: &Result<Response, TransportError>) -> Self {
        match answer {
            Ok(response) => Self::Answered(response.status),
            Err(TransportError::TooLarge(status)) => Self::Answered(*status),
            Err(
                TransportError::Unreachable(_)
                | TransportError::NotAsked(_)
                | TransportError::NotSent(_),
            ) => Self::Unreachable,
            Err(_) => Self::Lost,
        }
    }
}

/// Is told of each exchange of a session once: of logins, of version documents and of each repetition too. A call that
/// ends before anything could be sent is no exchange; one whose caller stops waiting is lost.
pub trait ExchangeObserver: Send + Sync {
    /// `call` was carried out, ended as `outcome` says and took `took`. Called between the exchange and what follows
    /// from it, so it must not wait.
    fn observed(&self, call: &Call, outcome: ExchangeOutcome, took: Duration);
}

/// An exchange under way. Tells its observer when it goes, so that one is told too whose caller stops waiting: a cloud
/// that hangs would not be seen otherwise.
pub(crate) struct Exchange<'a> {
    call: &'a Call,
    observer: Option<&'a Arc<dyn ExchangeObserver>>,
    started: Instant,
    outcome: ExchangeOutcome,
}

impl<'a> Exchange<'a> {
    pub(crate) fn begin(call: &'a Call, observer: Option<&'a Arc<dyn ExchangeObserver>>) -> Self {
        Self {
            call,
            observer,
            started: Instant::now(),
            outcome: ExchangeOutcome::Lost,
        }
    }

    /// Ends it with what came of it; how long it took.
    pub(crate) fn end(mut self, answer: &Result<Response, TransportError>) -> Duration {
        self.outcome = ExchangeOutcome::of(answer);
        self.started.elapsed()
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if let Some(observer) = self.observer {
            observer.observed(self.call, self.outcome, self.started.elapsed());
        }
    }
}
