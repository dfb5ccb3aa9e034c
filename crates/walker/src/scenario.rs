//! What a walk is about: the operation, and what is so from the beginning.

use std::time::Duration;

use protector_core::{operation::OperationState, storage::PromotionKind};

use crate::fault::Storm;

/// What the world is like apart from the schedule's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The operation that engines walk.
    pub operation: Walked,
    /// What is wrong with the clouds from the beginning.
    pub troubles: &'static [Trouble],
    /// What else is not as usual.
    pub circumstances: &'static [Circumstance],
    /// How the operation ends where no fault of a schedule lasts.
    pub end: End,
}

/// The operation of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walked {
    PlannedFailover,
    /// The source is cut off.
    UnplannedFailover,
    /// Its counterparts start, and a test cleanup removes them.
    TestFailover,
}

/// How the operation of a scenario ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Completed,
    /// It has left a member for a retry, once the target is mended.
    CompletedInPart,
    /// The same, unless an engine that stood still long enough has found what came late.
    CompletedInPartOrWhole,
    RolledBack,
}

impl End {
    /// The state in which the operation is then.
    pub(crate) fn state(self) -> OperationState {
        match self {
            Self::Completed | Self::CompletedInPart | Self::CompletedInPartOrWhole => {
                OperationState::Completed
            }
            Self::RolledBack => OperationState::Failed,
        }
    }
}

/// What is wrong with the clouds of a scenario from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Each answer of the source about its servers takes this long.
    SlowSource(Duration),
    /// The target's Nova cannot build any server.
    BuildsFail,
    /// Nor the first one.
    FirstBuildFails,
    /// Nor that of the last member.
    LastBuildFails,
    /// It answers nothing when the last server is asked for, and that one is there after this long.
    LastBuildAnsweredLate(Duration),
    /// The target's Cinder cannot import the last member's volumes, and has renamed them already.
    LastImportsFail,
    /// The source deletes nothing.
    SourceDeletesNothing,
    /// The target deletes no server and lets go of no volume.
    TargetUndoesNothing,
    /// The target's Cinder says that it is too busy to let go of the first member's first volume.
    FirstImportStays,
}

/// What is not as usual, and no fault of a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circumstance {
    /// The source's volumes are retained.
    VolumesRetained,
    /// Each server has a floating IP that the cleanup releases; one more is in the recovery plan by then, and another was never
    /// a member's.
    FloatingIpsReleased,
    /// The group has a recovery plan: an order, probes, hooks, and a pause that a person ends.
    RecoveryPlan,
    /// The counterpart of the last member does not answer its probe until the retry.
    LastIsDeaf,
    /// The source is back before the retry: the last member still runs there.
    SourceIsBackBeforeRetry,
    /// Of two retries the first finds the target's array refusing: it never comes to the last member.
    FirstRetryIsRefused,
    /// The first full copies have not begun, and take [`FIRST_COPY`].
    FirstCopyIsNotThere,
    /// While the test counterparts are up, a tenant locks one of them and takes a snapshot of another; when these have
    /// outlived the test cleanup, the tenant lets go of them and cleans up.
    TestCounterpartsReliedOn,
}

impl Scenario {
    /// A planned failover, and all is well.
    pub const ALL_WELL: Self = Self {
        operation: Walked::PlannedFailover,
        troubles: &[],
        circumstances: &[],
        end: End::Completed,
    };
    /// The same, and the source's volumes are retained.
    pub const VOLUMES_RETAINED: Self = Self {
        circumstances: &[Circumstance::VolumesRetained],
        ..Self::ALL_WELL
    };
    /// The same, and the target's array has nothing of the volumes yet.
    pub const FIRST_COPY_IS_NOT_THERE: Self = Self {
        circumstances: &[Circumstance::FirstCopyIsNotThere],
        ..Self::ALL_WELL
    };
    /// The same, with a recovery plan.
    pub const IN_ORDER: Self = Self {
        circumstances: &[Circumstance::RecoveryPlan],
        ..Self::ALL_WELL
    };
    /// The same, though each answer of the source about its servers takes a while.
    pub const SLOW_SOURCE: Self = Self {
        troubles: &[Trouble::SlowSource(Duration::from_secs(10))],
        ..Self::ALL_WELL
    };
    /// The source deletes nothing: the failover leaves everything behind. Then that is mended.
    pub const DELETIONS_FAIL: Self = Self {
        troubles: &[Trouble::SourceDeletesNothing],
        ..Self::ALL_WELL
    };
    /// The same, and the cleanup releases the servers' floating IPs.
    pub const FLOATING_IPS_RELEASED: Self = Self {
        circumstances: &[Circumstance::FloatingIpsReleased],
        ..Self::DELETIONS_FAIL
    };

    /// The target's Nova cannot build any server: the failover is taken back.
    pub const BUILDS_FAIL: Self = Self {
        troubles: &[Trouble::BuildsFail],
        end: End::RolledBack,
        ..Self::ALL_WELL
    };
    /// It cannot build the first server, and answers nothing when the last one is asked for: that one is there after
    /// [`LATE_BUILD`], while the failover is taken back.
    pub const BUILD_ANSWERED_LATE: Self = Self {
        troubles: &[
            Trouble::FirstBuildFails,
            Trouble::LastBuildAnsweredLate(LATE_BUILD),
        ],
        ..Self::BUILDS_FAIL
    };
    /// The same, and it is there only after [`VERY_LATE_BUILD`], when nobody waits for it any more.
    pub const BUILD_ANSWERED_VERY_LATE: Self = Self {
        troubles: &[
            Trouble::FirstBuildFails,
            Trouble::LastBuildAnsweredLate(VERY_LATE_BUILD),
        ],
        ..Self::BUILDS_FAIL
    };
    /// The target builds nothing and lets nothing be taken back: the failed failover leaves counterparts there and the
    /// source stopped. Then that is mended.
    pub const UNDO_FAILS: Self = Self {
        troubles: &[Trouble::BuildsFail, Trouble::TargetUndoesNothing],
        ..Self::BUILDS_FAIL
    };
    /// The target builds nothing and does not let go of one volume of the first member, which alone is not taken back.
    pub const ONE_UNDO_FAILS: Self = Self {
        troubles: &[Trouble::BuildsFail, Trouble::FirstImportStays],
        ..Self::BUILDS_FAIL
    };
    /// The target cannot build the last server and lets nothing be taken back: the counterparts of the others go on running
    /// there, and the source is stopped. Then that is mended.
    pub const RUNNING_COUNTERPARTS_STAY: Self = Self {
        troubles: &[Trouble::LastBuildFails, Trouble::TargetUndoesNothing],
        ..Self::BUILDS_FAIL
    };

    /// All is well: a test failover starts its counterparts, and its cleanup removes them.
    pub const TEST_ALL_WELL: Self = Self {
        operation: Walked::TestFailover,
        ..Self::ALL_WELL
    };
    /// The same, and a tenant relies on some of them.
    pub const TEST_COUNTERPARTS_RELIED_ON: Self = Self {
        circumstances: &[Circumstance::TestCounterpartsReliedOn],
        ..Self::TEST_ALL_WELL
    };
    /// A test failover on a target whose Nova cannot build any server: it is taken back.
    pub const TEST_BUILDS_FAIL: Self = Self {
        operation: Walked::TestFailover,
        ..Self::BUILDS_FAIL
    };

    /// The source is cut off, and all is well on the target: an unplanned failover.
    pub const SOURCE_LOST: Self = Self {
        operation: Walked::UnplannedFailover,
        ..Self::ALL_WELL
    };
    /// The same, and the target's Nova cannot build any server: the failover is taken back.
    pub const SOURCE_LOST_BUILDS_FAIL: Self = Self {
        operation: Walked::UnplannedFailover,
        ..Self::BUILDS_FAIL
    };
    /// The same, and it cannot build the last member: the others are recovered, and a retry recovers it later.
    pub const SOURCE_LOST_IN_PART: Self = Self {
        troubles: &[Trouble::LastBuildFails],
        end: End::CompletedInPart,
        ..Self::SOURCE_LOST
    };
    /// The same, and the source is back before the retry.
    pub const SOURCE_LOST_AND_BACK_BEFORE_RETRY: Self = Self {
        circumstances: &[Circumstance::SourceIsBackBeforeRetry],
        ..Self::SOURCE_LOST_IN_PART
    };
    /// The last member is built and does not answer its probe: a retry finds it running.
    pub const SOURCE_LOST_PROBE_FAILS: Self = Self {
        circumstances: &[Circumstance::LastIsDeaf],
        end: End::CompletedInPart,
        ..Self::SOURCE_LOST
    };
    /// The same, and the first of two retries never comes to that member.
    pub const SOURCE_LOST_RETRY_SKIPPED: Self = Self {
        circumstances: &[Circumstance::LastIsDeaf, Circumstance::FirstRetryIsRefused],
        ..Self::SOURCE_LOST_PROBE_FAILS
    };
    /// It is the import of the last member's volumes that fails, when Cinder has renamed them already.
    pub const SOURCE_LOST_IMPORTS_FAIL: Self = Self {
        troubles: &[Trouble::LastImportsFail],
        ..Self::SOURCE_LOST_IN_PART
    };
    /// Nova answers nothing when the last server is asked for: that one is there after [`LATE_BUILD`], when a retry is about
    /// to take it back.
    pub const SOURCE_LOST_BUILD_ANSWERED_LATE: Self = Self {
        troubles: &[Trouble::LastBuildAnsweredLate(LATE_BUILD)],
        end: End::CompletedInPartOrWhole,
        ..Self::SOURCE_LOST
    };

    /// Whether something is so in it.
    pub(crate) fn has(&self, circumstance: Circumstance) -> bool {
        self.circumstances.contains(&circumstance)
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

/// How long the first full copy of a volume takes, where it is not there from the beginning.
pub const FIRST_COPY: Duration = Duration::from_secs(1200);

/// When a build that got no answer is there: after a list that did not show it.
pub const LATE_BUILD: Duration = Duration::from_secs(150);

/// The same, when a later try would have been there long ago.
pub const VERY_LATE_BUILD: Duration = Duration::from_secs(400);
