//! The other site's protector, which may move a group that this one is moving: when it believes that this site is lost.

use crate::operation::Operation;
use async_trait::async_trait;

/// Asks the other site to hold a group still.
#[async_trait]
pub trait PeerSite: Send + Sync {
    /// Holds the group of `operation`, which this site moves, still on the other one: for a minute from now no operation
    /// can begin there.
    ///
    /// # Errors
    ///
    /// That it has moved the group, or that nobody knows.
    async fn hold_still(&self, operation: &Operation) -> Result<(), ReservationError>;

    /// Sees that the group of `operation`, which has failed and left servers stopped, is still as that left it: in error, on
    /// the site where they are, and moved by nobody. Then the other site holds it still for a minute from now.
    ///
    /// # Errors
    ///
    /// That the group has been moved or changed since, or that nobody knows.
    async fn still_stopped(&self, operation: &Operation) -> Result<(), ReservationError>;

    /// Sees that the site that the group of `operation` leaves has not given that move up, which this site, where it goes, runs:
    /// while this one was lost, somebody there may have started the servers again. Nothing is asked to hold still.
    ///
    /// # Errors
    ///
    /// That it has gone on without this site, or that nobody knows.
    async fn still_leaves(&self, operation: &Operation) -> Result<(), ReservationError>;

    /// Sees that the other site has not retired this one while it was lost: what `operation` has left there may be protected
    /// anew by now, by a group that nobody tells of here. Nothing is asked to hold still.
    ///
    /// # Errors
    ///
    /// That it has, or that nobody knows.
    async fn still_paired(&self, operation: &Operation) -> Result<(), ReservationError>;
}

/// Why a group is not held still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// The other site moves the group, or has moved it.
    #[error("{0}")]
    MovedOn(String),
    /// The other site does not answer.
    #[error("{0}")]
    Silent(String),
    /// It answers, and does not tell this one: it is there, and may have moved on.
    #[error("{0}")]
    TurnedAway(String),
    /// This side cannot ask, or the other one is there and has no time: nobody knows, and it is not lost.
    #[error("{0}")]
    NotTold(String),
}

/// For deployments and tests with one protector: nobody else moves anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOtherSite;

#[async_trait]
impl PeerSite for NoOtherSite {
    async fn hold_still(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }

    async fn still_stopped(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }

    async fn still_leaves(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }

    async fn still_paired(&self, _: &Operation) -> Result<(), ReservationError> {
        Ok(())
    }
}
