//! What a walk is about: the operation, and what is so from the beginning.

use std::time::Duration;

use protector_core::storage::PromotionKind;

use crate::fault::Storm;

/// What the world is like apart from the schedule's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// All is well: the failover completes.
    AllWell,
    /// The same, and the source's volumes are retained.
    VolumesRetained,
    /// The same, though each answer of the source about its servers takes [`SLOW_ANSWER`].
    SlowSource,
    /// The target's Nova cannot build any server: the failover is taken back.
    BuildsFail,
    /// The target's Nova cannot build the first server, and answers nothing when the last one is asked for: that one is
    /// there after [`LATE_BUILD`], while the failover is taken back.
    BuildAnsweredLate,
    /// The same, and it is there only after [`VERY_LATE_BUILD`], when nobody waits for it any more.
    BuildAnsweredVeryLate,
    /// The source deletes nothing: the failover completes and leaves everything behind. Then that is mended.
    DeletionsFail,
    /// The target builds nothing and lets nothing be taken back: the failed failover leaves copies there and the source
    /// stopped. Then that is mended.
    TakingBackFails,
    /// The target cannot build the last server and lets nothing be taken back: the copies of the others go on running there,
    /// and the source is stopped. Then that is mended.
    RunningCopiesStay,
    /// All is well: a test failover starts its copies, and its cleanup removes them.
    TestAllWell,
    /// The same, and while the copies are up a tenant locks one of them and takes a snapshot of another; when these have
    /// outlived the test cleanup, the tenant lets go of them and cleans up.
    TestCopiesReliedOn,
    /// A test failover on a target whose Nova cannot build any server: it is taken back.
    TestBuildsFail,
    /// All is well, and the group has a recovery plan: an order, probes, hooks, and a pause that a person ends.
    InOrder,
    /// The source is cut off, and all is well on the target: an unplanned failover.
    SourceLost,
    /// The same, and the target's Nova cannot build any server: the failover is taken back.
    SourceLostBuildsFail,
    /// The same, and it cannot build the last member: the others are recovered, and a retry recovers it later.
    SourceLostInPart,
    /// The same, and the source is back before the retry: the last member still runs there.
    SourceLostAndBackBeforeRetry,
    /// The same, and the last member is built and does not answer its probe: a retry finds it running.
    SourceLostProbeFails,
    /// The same, and of two retries the first finds the target's array refusing: it never comes to that member.
    SourceLostRetrySkipped,
    /// The same as [`Scenario::SourceLostInPart`], and it is the import of the last member's volumes that fails, when Cinder
    /// has renamed them already.
    SourceLostImportsFail,
    /// The same, and Nova answers nothing when the last server is asked for: that one is there after [`LATE_BUILD`], when a
    /// retry is about to take it back.
    SourceLostBuildAnsweredLate,
}

impl Scenario {
    /// Whether the operation is an unplanned failover.
    pub fn is_unplanned(self) -> bool {
        matches!(self, Self::SourceLost | Self::SourceLostBuildsFail) || self.recovers_in_part()
    }

    /// Whether the operation is an unplanned failover that leaves something for a retry.
    pub fn recovers_in_part(self) -> bool {
        matches!(
            self,
            Self::SourceLostInPart
                | Self::SourceLostAndBackBeforeRetry
                | Self::SourceLostProbeFails
                | Self::SourceLostRetrySkipped
                | Self::SourceLostImportsFail
                | Self::SourceLostBuildAnsweredLate
        )
    }

    /// Whether the copy of its last member does not answer its probe at first.
    pub(crate) fn is_deaf_at_first(self) -> bool {
        matches!(
            self,
            Self::SourceLostProbeFails | Self::SourceLostRetrySkipped
        )
    }

    /// Whether the operation is a test failover.
    pub fn is_test(self) -> bool {
        matches!(
            self,
            Self::TestAllWell | Self::TestCopiesReliedOn | Self::TestBuildsFail
        )
    }
}

/// How big the world is, and what it is like.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Members of the group.
    pub members: usize,
    /// Data volumes of each member, beside its boot volume.
    pub data_volumes: usize,
    /// What it is like.
    pub scenario: Scenario,
    /// What becomes of a replica that is promoted.
    pub promotion: PromotionKind,
    /// How much an engine does at the same time. One at a time in walks over schedules, where concurrency would only
    /// make the order of calls depend on the executor.
    pub concurrency: usize,
    /// Calls that fail at random.
    pub storm: Option<Storm>,
    /// How many of the source's volumes cannot be deleted, in turn for each reason of [`Stuck`].
    pub stuck: usize,
    /// By how much the wall clock of the second engine is ahead of the first one's.
    pub second_clock_ahead: Duration,
}

impl WorldOptions {
    /// A world of `members` members with two volumes each, for walks over schedules.
    pub fn of(scenario: Scenario, members: usize) -> Self {
        Self {
            members,
            data_volumes: 1,
            scenario,
            promotion: PromotionKind::Copy,
            concurrency: 1,
            storm: None,
            stuck: 0,
            second_clock_ahead: Duration::ZERO,
        }
    }

    /// The same with arrays that mirror, and promote in place.
    pub fn mirrored(scenario: Scenario, members: usize) -> Self {
        Self {
            promotion: PromotionKind::InPlace,
            ..Self::of(scenario, members)
        }
    }
}

/// The site where the group runs at first.
pub(crate) const SOURCE: &str = "site-a";

/// When a build that got no answer is there: after a list that did not show it.
pub const LATE_BUILD: Duration = Duration::from_secs(150);

/// The same, when a later try would have been there long ago.
pub const VERY_LATE_BUILD: Duration = Duration::from_secs(400);

/// How long a slow source takes for an answer.
pub(crate) const SLOW_ANSWER: Duration = Duration::from_secs(10);
