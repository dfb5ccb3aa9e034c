//! A move away from this site goes on only while the other site holds the group still.
//!
//! Who drives the other site may believe that this one is lost, and bring the group up there. Then two operations move the
//! same servers, and neither knows of the other. So the reservation that the start has taken on the other site is taken
//! again, shortly before it ends, for as long as the operation can still be taken back; and a start there is refused while
//! it holds.
//!
//! It is asked when a look at a line begins, and again right before each call that changes something. In between it is kept
//! up by the walk: an array may replicate for an hour.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    fault::{Code, StepFailure},
    id::{OperationId, SiteName},
    operation::{MapKind, Operation},
    peer_site::{NoOtherSite, PeerSite, ReservationError},
    runbook::{Step, Verb},
};

use crate::{action::StepContext, step_error::StepError};

/// After this long it is asked again. The other site holds still for a minute, and a call may take half of that.
const ASKED_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(20);

/// The other site as operations of this one see it.
#[derive(Clone)]
pub(crate) struct PeerReservations {
    /// This site; `None` where there is one protector only.
    site: Option<SiteName>,
    other: Arc<dyn PeerSite>,
    asked: Moments,
    /// When nobody answered who was asked beside all looks.
    failed: Moments,
}

/// When something was last so, by operation; what is long ago is forgotten.
#[derive(Clone, Default)]
struct Moments(Arc<Mutex<BTreeMap<OperationId, DateTime<Utc>>>>);

impl Moments {
    fn is_recent(&self, operation: &OperationId, now: DateTime<Utc>) -> bool {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.get(operation).is_some_and(|at| is_recent(*at, now))
    }

    fn note(&self, operation: &OperationId, at: DateTime<Utc>) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.retain(|_, earlier| is_recent(*earlier, at));
        moments.insert(operation.clone(), at);
    }
}

impl PeerReservations {
    pub(super) fn of(site: SiteName, other: Arc<dyn PeerSite>) -> Self {
        Self {
            site: Some(site),
            ..Self::alone_with(other)
        }
    }

    pub(super) fn alone() -> Self {
        Self::alone_with(Arc::new(NoOtherSite))
    }

    fn alone_with(other: Arc<dyn PeerSite>) -> Self {
        Self {
            site: None,
            other,
            asked: Moments::default(),
            failed: Moments::default(),
        }
    }

    /// Whether `operation` moves a group away from this site: only then can the other one move it too.
    fn concerns(&self, operation: &Operation) -> bool {
        operation.kind.is_a_move() && self.site.as_ref() == Some(&operation.source_site)
    }

    /// Whether `operation` moves a group to this site: then the other one can give it up in the belief that this one is lost.
    fn brings_here(&self, operation: &Operation) -> bool {
        operation.kind.is_a_move() && self.site.as_ref() == Some(&operation.target_site)
    }

    /// Whether `site` is the other one, whose protector has a word in what is deleted there.
    fn is_another(&self, site: &SiteName) -> bool {
        self.site.as_ref().is_some_and(|own| own != site)
    }

    async fn ask(&self, operation: &Operation, now: DateTime<Utc>) -> Result<(), ReservationError> {
        if self.asked.is_recent(&operation.id, now) {
            return Ok(());
        }
        self.ask_anew(operation, now).await
    }

    /// Takes the hold again if it is time. That nobody answers, or that the other site has moved on, the next look finds out;
    /// it is not asked for more often while nobody does.
    pub(super) async fn keep(&self, operation: &Operation, now: DateTime<Utc>) {
        if self.failed.is_recent(&operation.id, now) {
            return;
        }
        if let Err(error) = self.ask(operation, now).await {
            self.failed.note(&operation.id, now);
            tracing::warn!(operation_id = %operation.id, %error, "the other site does not hold the group still");
        }
    }

    async fn ask_anew(
        &self,
        operation: &Operation,
        now: DateTime<Utc>,
    ) -> Result<(), ReservationError> {
        if !self.concerns(operation) {
            return Ok(());
        }
        self.other.hold_still(operation).await?;
        self.asked.note(&operation.id, now);
        Ok(())
    }
}

/// Whether an answer of `at` still counts. One from the future is from before the clock was set back: nobody knows when.
fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (TimeDelta::zero()..ASKED_AGAIN_AFTER).contains(&(now - at))
}

impl StepContext<'_> {
    /// Stops a line of a move that the other site has overtaken; nobody knowing, it waits.
    pub(crate) async fn hold_still(&self) -> Result<(), StepError> {
        let Some(reservations) = &self.reservations else {
            return Ok(());
        };
        let (operation, now) = (self.operation, self.writer.now());
        let asked = match self.step.verb {
            Verb::Undoable => reservations.ask(operation, now).await,
            // After it nothing is taken back any more.
            Verb::Switch | Verb::Forward => reservations.ask_anew(operation, now).await,
            Verb::Member | Verb::Attempt | Verb::Notice => Ok(()),
        };
        asked.map_err(|error| match error {
            ReservationError::MovedOn(why) => superseded(self, &why),
            ReservationError::Silent(why)
            | ReservationError::TurnedAway(why)
            | ReservationError::NotTold(why) => StepError::passing(not_told(self, &why)),
        })
    }

    /// The same for a line that is taken back. A server of this site is started again, and its volumes are set free for that,
    /// also while nobody knows: that destroys nothing, and should it run twice, the other site says so.
    pub(crate) async fn hold_still_to_undo(&self) -> Result<(), StepError> {
        match self.hold_still().await {
            Err(StepError::Fault(StepFailure::Passing { .. } | StepFailure::NotTold { .. }))
                if self.step.action.takes_from_the_source() =>
            {
                Ok(())
            }
            answer => answer,
        }
    }

    /// Why the other site, which the group is to leave, does without this move by now, if it says so. Where it says nothing,
    /// what its cloud shows has to do.
    pub(crate) async fn given_up_there(&self) -> Option<String> {
        let reservations = self.reservations.as_ref()?;
        if !reservations.brings_here(self.operation) {
            return None;
        }
        match reservations.other.still_leaves(self.operation).await {
            Err(ReservationError::MovedOn(why)) => Some(why),
            Ok(())
            | Err(
                ReservationError::Silent(_)
                | ReservationError::TurnedAway(_)
                | ReservationError::NotTold(_),
            ) => None,
        }
    }

    /// Keeps a cleanup from starting a server, or setting its volumes free, whose group runs elsewhere by now. A cleanup has time:
    /// nobody knowing, it waits.
    pub(crate) async fn still_needs_its_server(&self) -> Result<(), StepError> {
        let starts = match &self.step.action {
            Step::TakeBack { line } => line.takes_from_the_source(),
            _ => false,
        };
        let Some(reservations) = self.reservations.as_ref().filter(|_| starts) else {
            return Ok(());
        };
        let answer = reservations.other.still_stopped(self.operation).await;
        answer.map_err(|error| match error {
            ReservationError::MovedOn(why) => {
                StepError::last(Code::Kept, format!("kept stopped: {why}"))
            }
            ReservationError::Silent(why)
            | ReservationError::TurnedAway(why)
            | ReservationError::NotTold(why) => StepError::passing(not_told(self, &why)),
        })
    }

    /// Keeps a fence from stopping what the group is by now at the other site, of which this one has not heard. While nobody
    /// answers there, it rests on what is known here.
    pub(crate) async fn still_fences(&self) -> Result<(), StepError> {
        let Some(reservations) = &self.reservations else {
            return Ok(());
        };
        let answer = reservations.other.still_leaves(self.operation).await;
        self.or_keeps(answer, "not stopped")
    }

    fn or_keeps(&self, answer: Result<(), ReservationError>, kept: &str) -> Result<(), StepError> {
        match answer {
            Ok(()) | Err(ReservationError::Silent(_)) => Ok(()),
            Err(ReservationError::MovedOn(why)) => {
                Err(StepError::last(Code::Kept, format!("{kept}: {why}")))
            }
            Err(ReservationError::NotTold(why)) => {
                Err(StepError::passing(format!("{kept}: {why}")))
            }
            Err(ReservationError::TurnedAway(why)) => Err(StepError::last(
                Code::Kept,
                format!(
                    "{kept}: {why}; the other site's protector is there, and does not tell this one what it holds of protection group {}: do what this says; if it names no command, an administrator there names this one's user in '[DEFAULT] peer_user_ids'",
                    self.plan().group_name
                ),
            )),
        }
    }

    /// Keeps what is on the other site once that has retired this one: it may be protected anew there. While nobody answers,
    /// what the clouds show has to do, as for everything else that is deleted there.
    pub(crate) async fn still_paired(&self) -> Result<(), StepError> {
        let there = &self.step.action.scope(self.plan()).site;
        let Some(reservations) = self
            .reservations
            .as_ref()
            .filter(|own| own.is_another(there))
        else {
            return Ok(());
        };
        let answer = reservations.other.still_paired(self.operation).await;
        self.or_keeps(answer, "kept")
    }

    /// Whether somebody has said, since this operation began or just now, that the site where it goes is lost.
    pub(crate) async fn target_is_said_to_be_lost(&self) -> Result<bool, StepError> {
        let id = self.operation.id.as_str();
        let said = self.recorded_since(MapKind::TargetIsLost, id).await?;
        Ok(said.is_some())
    }

    /// What ends the taking back of a line on a target that does not answer, where somebody has said that it is lost: what is
    /// there is left, since nothing waits for it any more. Else what it has failed by.
    pub(crate) async fn or_left_on_the_lost_target(
        &self,
        stop: StepError,
    ) -> Result<StepError, StepError> {
        let is_of_the_source = self.step.action.takes_from_the_source();
        let StepError::Fault(StepFailure::Passing { why: silence, .. }) = &stop else {
            return Ok(stop);
        };
        if is_of_the_source || !self.target_is_said_to_be_lost().await? {
            return Ok(stop);
        }
        Ok(StepError::last(
            Code::Unavailable,
            format!(
                "what it made is left on {target}, which is lost, as who gave this {kind} up has said ({silence}); when {target} is back, 'openstack dr operation cleanup {id}' removes it",
                target = self.plan().target.site,
                kind = self.operation.kind,
                id = self.operation.id
            ),
        ))
    }

    /// What a line of a move has failed by: its own words, unless the other site has overtaken it while it was at work.
    pub(super) async fn or_superseded(&self, stop: StepError) -> StepError {
        match self.hold_still().await {
            Err(superseded @ StepError::Fault(StepFailure::Final { .. })) => superseded,
            _ => stop,
        }
    }
}

fn superseded(cx: &StepContext<'_>, why: &str) -> StepError {
    let plan = cx.plan();
    StepError::last(
        Code::Superseded,
        format!(
            "{why}: this {} ends here; what it has stopped on {} stays stopped, and what it has made on {} is left to that site",
            cx.operation.kind, plan.source.site, plan.target.site
        ),
    )
}

fn not_told(cx: &StepContext<'_>, why: &str) -> String {
    let plan = cx.plan();
    format!(
        "{} does not say whether it has moved protection group {} meanwhile: {why}",
        plan.target.site, plan.group_name
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use protector_core::{journal_conformance::operation, operation::OperationKind};

    use super::*;

    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl PeerSite for Counting {
        async fn hold_still(&self, _: &Operation) -> Result<(), ReservationError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
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

    fn leaving(site: &str) -> Operation {
        let mut operation = operation(1).operation;
        operation.kind = OperationKind::Failover;
        operation.source_site = site.into();
        operation
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[tokio::test]
    async fn the_other_site_is_asked_again_before_its_hold_ends() {
        let other = Arc::new(Counting::default());
        let reservations = PeerReservations::of("site-a".into(), other.clone());
        let operation = leaving("site-a");
        for (second, asked) in [(0, 1), (19, 1), (20, 2), (25, 2), (60, 3)] {
            reservations.ask(&operation, at(second)).await.unwrap();
            assert_eq!(
                other.asked.load(Ordering::SeqCst),
                asked,
                "after {second} s"
            );
        }
    }

    #[tokio::test]
    async fn only_a_move_away_from_this_site_is_asked_about() {
        let other = Arc::new(Counting::default());
        let reservations = PeerReservations::of("site-a".into(), other.clone());
        let cleanup = Operation {
            kind: OperationKind::Cleanup,
            ..leaving("site-a")
        };
        for operation in [leaving("site-b"), cleanup] {
            reservations.ask(&operation, at(0)).await.unwrap();
        }
        assert_eq!(other.asked.load(Ordering::SeqCst), 0);
    }
}
