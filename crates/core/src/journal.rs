//! The journal: where operations and their lines are kept, and who may write to them.
//!
//! A port. The service keeps it in a database, the simulation in memory; one conformance suite holds both to the same
//! behaviour. An engine owns an operation by a lease with a fence: each write names the fence and fails when another
//! engine has taken the operation over in between.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{
    fault::Code,
    group::{Group, GroupStatus},
    id::{EngineId, GroupId, OperationId, ProjectId, SiteName, UserId},
    member::Member,
    operation::{MapKind, Mapped, OperationRecord, OperationState, StepProgress, StepRecord},
    queue::{Lane, Room},
};

/// The right to write to one operation, until the lease ends or another engine takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub operation_id: OperationId,
    pub engine_id: EngineId,
    /// Grows with each claim; a write with an old one is refused.
    pub fence: i64,
    /// Where it has queued.
    pub lane: Lane,
    /// Whose it is on this site.
    pub project_id: ProjectId,
    /// How long each write or renewal extends the lease.
    pub lease: Duration,
}

/// Why the journal could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another engine owns the operation now. Drop the work; its owner goes on with it.
    #[error("another engine has taken the operation over")]
    LeaseLost,
    /// The journal cannot be reached or is busy; the same call may succeed later.
    #[error("the journal is not available: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood by this build.
    #[error("the journal holds what this build cannot read: {0}")]
    Unreadable(String),
    /// Somebody protects what the entry wanted to be unprotected. Nothing was written.
    #[error("protection group {} protects {} now", .0.group_name, .0.resource)]
    Protected(Protection),
    /// The entry came later than what it rests on may be believed. Nothing was written.
    #[error("what was to be written down rests on what was seen too long ago")]
    Outdated,
}

/// That a protection group protects a resource: one of its members is that server, or uses that volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The id of the server or volume.
    pub resource: String,
    pub group_name: String,
}

impl Protection {
    /// Which of `resources` a member of the group `group_name` is, or uses, if any.
    pub fn of_member(group_name: &str, member: &Member, resources: &[String]) -> Option<Self> {
        let volumes = member.volumes.iter().map(|volume| volume.id.as_str());
        let resource = std::iter::once(member.server_id.as_str())
            .chain(volumes)
            .find(|id| resources.iter().any(|wanted| wanted == id))?;
        Some(Self {
            resource: resource.to_owned(),
            group_name: group_name.to_owned(),
        })
    }
}

/// A change of the operation itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationChange {
    /// An engine began with it.
    Started { at: DateTime<Utc> },
    /// A line failed before the point of no return.
    Unwinding {
        error: String,
        /// The kind of failure.
        code: Code,
    },
    /// No engine has anything to do with it any more: its locks are released.
    Settled {
        /// `Completed` or `Failed`: it has ended. `AwaitingCleanup`: its end is another operation's.
        state: OperationState,
        at: DateTime<Utc>,
    },
}

/// A change beside the line itself, written in the same transaction as the line's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "an entry has a few effects at most, and they live as long as one write"
)]
pub enum Effect {
    /// `source` became `target`.
    Mapped {
        kind: MapKind,
        /// The id on the source.
        source: String,
        /// The id on the target.
        target: String,
    },
    /// What `source` became is gone again.
    Unmapped {
        kind: MapKind,
        /// The id on the source.
        source: String,
    },
    /// The group's status changes.
    GroupStatus {
        group_id: GroupId,
        status: GroupStatus,
    },
    /// Nothing is under way with the group: its status is what follows from where it runs and which members are in error.
    GroupAtRest { group_id: GroupId },
    /// Servers that a failed operation had left stopped run again: if the group is still there and in `error`, and none of its
    /// members is left stopped by that operation, it is at rest where it runs.
    GroupMended {
        group_id: GroupId,
        failed: OperationId,
    },
    /// Nothing of the group runs on the site that it has gone from: if its status is `split_brain`, it is at rest where it runs.
    GroupFenced { group_id: GroupId },
    /// The group runs on another site now, and is at rest there. Its version grows.
    GroupSwitched {
        group_id: GroupId,
        /// Where it runs now.
        current_primary_site: SiteName,
        /// All its members: those that are there as they are there, the others in error.
        members: Vec<Member>,
    },
    /// The group's volumes were replicated as a whole.
    GroupReplicated {
        group_id: GroupId,
        /// The recovery point's time.
        at: DateTime<Utc>,
    },
    /// A line of the parent operation has been settled by this one.
    ParentStep {
        operation_id: OperationId,
        /// The line's key there.
        key: String,
        /// How it stands now.
        progress: StepProgress,
    },
    /// The parent, a test failover in `AwaitingCleanup`, is completed by this operation. In any other state it stays as
    /// it is.
    ParentCompleted { operation_id: OperationId },
}

impl From<Mapped> for Effect {
    fn from(entry: Mapped) -> Self {
        let (kind, source, target) = entry.stored();
        Self::Mapped {
            kind,
            source,
            target,
        }
    }
}

/// One durable write: all of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// A change of the operation.
    pub operation: Option<OperationChange>,
    /// New progress of lines, by position.
    pub steps: Vec<(u32, StepProgress)>,
    pub effects: Vec<Effect>,
    /// Ids of servers and volumes that no protection group may protect at the moment of the write: what an intent to delete
    /// them rests on.
    pub unprotected: Vec<String>,
    /// The last moment, by the journal's clock, at which what the entry rests on may be believed; `None`: at any time.
    pub not_after: Option<DateTime<Utc>>,
}

impl Entry {
    /// Whether it moves the group to its other site: the point of no return.
    pub fn moves_the_group(&self) -> bool {
        self.effects
            .iter()
            .any(|effect| matches!(effect, Effect::GroupSwitched { .. }))
    }
}

impl JournalError {
    /// The refusal of an entry that would move a group whose operation is to be given up.
    pub fn aborted() -> Self {
        Self::Unavailable("an abort was asked for before the group was moved".to_owned())
    }
}

/// Where operations are kept.
#[async_trait]
pub trait Journal: Send + Sync {
    /// The time by the journal's own clock, the one that all engines share. Whoever passes a `now` to the journal means
    /// this: by their own clocks two engines would end each other's leases.
    async fn now(&self) -> Result<DateTime<Utc>, JournalError>;

    /// Takes operations that nobody walks: queued, or running under a lease that has ended, and whose book version is at
    /// most `book_version`. Which of them `room` is for, and in which order, [`next`](crate::queue::next) says. Each is
    /// claimed by compare-and-swap on its fence.
    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError>;

    /// Reads an operation whole.
    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError>;

    /// What stands in the operation's map now, of what somebody else than its engine may have written since it was read.
    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError>;

    /// The operation's lines about a server or volume, by position, as they stand now.
    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError>;

    /// Who protects one of the servers and volumes with these ids now, by the groups on record here.
    async fn protection_of(&self, resources: &[String])
    -> Result<Option<Protection>, JournalError>;

    /// A group as it stands now, what it entrusts still sealed; `None` where it is not on record here any more.
    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError>;

    /// The user who has asked that the operation be given up, if one has: what a walk has to hear of while it goes on.
    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError>;

    /// Writes `entry` in one transaction and renews the lease. An entry that moves the group is refused as `Unavailable`
    /// once an abort has been asked for: of the two, the one that is recorded first counts. Refuses it as a
    /// whole, with `Protected`, where somebody protects what it wants to be unprotected, and with `Outdated` where its
    /// transaction begins after what it rests on may be believed.
    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError>;

    /// Renews the lease.
    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError>;

    /// Ends all leases of `engine`, so that a process that starts in the place of one that died goes on with its operations
    /// at once. The caller must know that `engine` is dead.
    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError>;

    /// Gives the operation back before its lease ends, so that another engine can go on at once.
    async fn release(&self, claim: &Claim) -> Result<(), JournalError>;
}
