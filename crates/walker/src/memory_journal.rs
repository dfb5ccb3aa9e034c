//! A journal in memory, for simulations under a paused clock (a database's own threads cannot live under one).
//!
//! It is held to the database's behaviour by the journal conformance suite.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use protector_core::{
    group::{Group, GroupStatus, Recovered},
    id::{EngineId, GroupId, OperationId, UserId},
    journal::{Claim, Effect, Entry, Journal, JournalError, OperationChange, Protection},
    member::Member,
    operation::{GivenUp, MapKind, OperationRecord, OperationState, ResourceMap, StepRecord},
    priority::Priority,
    queue::{self, Lane, Room, Waiting},
    schedule::{self, NotAbortable, left_stopped},
};
use tokio::time::Instant;

/// An operation and who walks it.
#[derive(Clone, Debug)]
struct Row {
    record: OperationRecord,
    owner: Option<(EngineId, DateTime<Utc>)>,
    fence: i64,
}

#[derive(Clone, Default)]
struct Tables {
    operations: BTreeMap<OperationId, Row>,
    groups: BTreeMap<GroupId, (Group, Vec<Member>)>,
    locks: BTreeMap<OperationId, ()>,
}

/// All that a journal held at one moment.
#[derive(Clone)]
pub struct Backup(Tables);

/// A journal in memory, with a clock of its own: tokio's, which begins with the year 2026.
pub struct MemoryJournal {
    tables: Mutex<Tables>,
    begun: Instant,
    loads: AtomicUsize,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

/// 2026-01-01T00:00:00Z, in seconds.
const BEGIN: i64 = 1_767_225_600;

impl MemoryJournal {
    pub fn new() -> Self {
        Self {
            tables: Mutex::default(),
            begun: Instant::now(),
            loads: AtomicUsize::new(0),
        }
    }

    /// How often engines have read an operation whole.
    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    /// Adds an operation and its locks, as the API does when it accepts one.
    ///
    /// # Panics
    ///
    /// The operation's lines do not say the same of its planning: a mistake in the making of a world.
    pub fn insert(&self, record: OperationRecord) {
        assert!(
            record.operation.is_planned_as(&record.steps),
            "operation {} is not planned as its lines are",
            record.operation.id
        );
        let id = record.operation.id.clone();
        let mut tables = self.tables();
        tables.locks.insert(id.clone(), ());
        tables.operations.insert(
            id,
            Row {
                record,
                owner: None,
                fence: 0,
            },
        );
    }

    /// All that it holds now.
    pub fn backup(&self) -> Backup {
        Backup(self.tables().clone())
    }

    /// Puts back what it held then. Whoever walks an operation has lost it.
    pub fn restore(&self, backup: &Backup) {
        let mut tables = self.tables();
        let fence_of = |id: &OperationId| tables.operations.get(id).map_or(0, |row| row.fence);
        let mut restored = backup.0.clone();
        for (id, row) in &mut restored.operations {
            row.fence = fence_of(id) + 1;
            row.owner = None;
        }
        *tables = restored;
    }

    /// Adds or replaces a group.
    pub fn put_group(&self, group: Group, members: Vec<Member>) {
        self.tables()
            .groups
            .insert(group.id.clone(), (group, members));
    }

    /// Deletes a group with its members, as the API does.
    pub fn remove_group(&self, id: &GroupId) {
        self.tables().groups.remove(id);
    }

    /// A group and its members as they stand.
    pub fn group(&self, id: &GroupId) -> Option<(Group, Vec<Member>)> {
        self.tables().groups.get(id).cloned()
    }

    /// All groups and their members as they stand.
    pub fn groups(&self) -> Vec<(Group, Vec<Member>)> {
        self.tables().groups.values().cloned().collect()
    }

    /// All operations, in the order of their ids.
    pub fn operations(&self) -> Vec<OperationRecord> {
        let tables = self.tables();
        tables
            .operations
            .values()
            .map(|row| row.record.clone())
            .collect()
    }

    /// An operation as it stands.
    pub fn operation(&self, id: &OperationId) -> Option<OperationRecord> {
        self.tables()
            .operations
            .get(id)
            .map(|row| row.record.clone())
    }

    /// Sets a group's status, as the API does when it accepts an operation.
    pub fn set_group_status(&self, id: &GroupId, status: GroupStatus) {
        if let Some((group, _)) = self.tables().groups.get_mut(id) {
            group.status = status;
        }
    }

    /// Lets an operation go on that waits at its line `pause`, as the API does.
    pub fn resume(&self, id: &OperationId, pause: &str, user: &str) {
        if let Some(row) = self.tables().operations.get_mut(id) {
            row.record.map.insert(MapKind::Resumed, pause, user);
        }
    }

    /// Asks that an operation be given up, as the API does.
    ///
    /// # Errors
    ///
    /// Why it cannot be any more.
    pub fn abort(&self, id: &OperationId, user: &str, why: GivenUp) -> Result<(), NotAbortable> {
        if let Some(row) = self.tables().operations.get_mut(id) {
            schedule::abortable(&row.record)?;
            for kind in why.noted() {
                row.record.map.insert(*kind, id.as_str(), user);
            }
        }
        Ok(())
    }

    /// Where an operation is.
    pub fn state(&self, id: &OperationId) -> Option<OperationState> {
        self.tables()
            .operations
            .get(id)
            .map(|row| row.record.operation.state)
    }

    /// Whether an operation still holds its locks.
    pub fn is_locked(&self, id: &OperationId) -> bool {
        self.tables().locks.contains_key(id)
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn extend(lease: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX)
}

fn is_free(row: &Row, now: DateTime<Utc>, book_version: u32) -> bool {
    row.record.operation.state.is_walked()
        && row.record.operation.book_version <= book_version
        && row.owner.as_ref().is_none_or(|(_, until)| *until < now)
}

fn waiting(row: &Row, groups: &BTreeMap<GroupId, (Group, Vec<Member>)>) -> Waiting {
    let operation = &row.record.operation;
    let group = groups.get(&operation.group_id);
    Waiting {
        id: operation.id.clone(),
        lane: Lane::of(operation),
        project_id: operation.project_id.clone(),
        has_begun: operation.started_at.is_some(),
        priority: group.map_or(Priority::DEFAULT, |(group, _)| group.priority),
        created_at: operation.created_at,
    }
}

/// The row, if `claim` still owns it.
fn owned<'a>(tables: &'a mut Tables, claim: &Claim) -> Result<&'a mut Row, JournalError> {
    let row = tables
        .operations
        .get_mut(&claim.operation_id)
        .ok_or(JournalError::LeaseLost)?;
    let owns = row.fence == claim.fence
        && row
            .owner
            .as_ref()
            .is_some_and(|(engine, _)| *engine == claim.engine_id);
    if owns {
        Ok(row)
    } else {
        Err(JournalError::LeaseLost)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
        let begin = DateTime::UNIX_EPOCH + TimeDelta::seconds(BEGIN);
        Ok(extend(self.begun.elapsed(), begin).trunc_subsecs(6))
    }

    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError> {
        let mut tables = self.tables();
        let waiting: Vec<Waiting> = tables
            .operations
            .values()
            .filter(|row| is_free(row, now, book_version))
            .map(|row| waiting(row, &tables.groups))
            .collect();
        let mut claims = Vec::new();
        for id in queue::next(&waiting, room) {
            let (Some(row), Some(waiting)) = (
                tables.operations.get_mut(&id),
                waiting.iter().find(|one| one.id == id),
            ) else {
                continue;
            };
            row.fence += 1;
            row.owner = Some((engine.clone(), extend(lease, now)));
            claims.push(Claim {
                operation_id: id,
                engine_id: engine.clone(),
                fence: row.fence,
                lane: waiting.lane,
                project_id: waiting.project_id.clone(),
                lease,
            });
        }
        Ok(claims)
    }

    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError> {
        owned(&mut self.tables(), claim)
            .map(|row| row.record.map.target(kind, source).map(str::to_owned))
    }

    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        let mut tables = self.tables();
        let steps = owned(&mut tables, claim)?.record.steps.iter();
        let about = steps.filter(|step| step.resource_id.as_deref() == Some(resource));
        Ok(about.cloned().collect())
    }

    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        owned(&mut self.tables(), claim).map(|row| row.record.clone())
    }

    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError> {
        Ok(self.tables().groups.get(id).map(|(group, _)| group.clone()))
    }

    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError> {
        owned(&mut self.tables(), claim).map(|row| row.record.aborted_by().map(UserId::new))
    }

    async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, JournalError> {
        Ok(protection_among(&self.tables(), resources))
    }

    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError> {
        let time = self.now().await?;
        let mut tables = self.tables();
        owned(&mut tables, claim)?;
        if entry.not_after.is_some_and(|last| time > last) {
            return Err(JournalError::Outdated);
        }
        if let Some(protection) = protection_among(&tables, &entry.unprotected) {
            return Err(JournalError::Protected(protection));
        }
        if let Some(key) = unknown_line(&tables, &entry.effects) {
            return Err(JournalError::Unreadable(format!(
                "no parent has a line {key}"
            )));
        }
        if let Some(protection) = in_another_group(&tables, &entry.effects) {
            return Err(JournalError::Protected(protection));
        }
        let row = owned(&mut tables, claim)?;
        if entry.moves_the_group() && row.record.aborted_by().is_some() {
            return Err(JournalError::aborted());
        }
        row.owner = Some((claim.engine_id.clone(), extend(claim.lease, now)));
        for (position, progress) in entry.steps {
            if let Some(step) = row.record.steps.get_mut(position as usize) {
                step.progress = progress;
            }
        }
        let settled = entry.operation.is_some_and(|change| apply(row, change));
        for effect in entry.effects {
            apply_effect(&mut tables, &claim.operation_id, effect, now);
        }
        if settled {
            tables.locks.remove(&claim.operation_id);
        }
        Ok(())
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        let mut tables = self.tables();
        let row = owned(&mut tables, claim)?;
        row.owner = Some((claim.engine_id.clone(), extend(claim.lease, now)));
        Ok(())
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        for row in self.tables().operations.values_mut() {
            if row.owner.as_ref().is_some_and(|(owner, _)| owner == engine) {
                row.owner = None;
            }
        }
        Ok(())
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        let mut tables = self.tables();
        owned(&mut tables, claim)?.owner = None;
        Ok(())
    }
}

fn protection_among(tables: &Tables, resources: &[String]) -> Option<Protection> {
    tables.groups.values().find_map(|(group, members)| {
        members
            .iter()
            .find_map(|member| Protection::of_member(&group.name, member, resources))
    })
}

/// What a group would get as its own that another one has.
fn in_another_group(tables: &Tables, effects: &[Effect]) -> Option<Protection> {
    effects.iter().find_map(|effect| {
        let Effect::GroupSwitched {
            group_id, members, ..
        } = effect
        else {
            return None;
        };
        let wanted: Vec<String> = members
            .iter()
            .flat_map(|member| {
                let volumes = member.volumes.iter().map(|volume| volume.id.to_string());
                std::iter::once(member.server_id.to_string()).chain(volumes)
            })
            .collect();
        let mut others = tables.groups.values();
        others.find_map(|(group, members)| {
            let mut members = members.iter().filter(|_| group.id != *group_id);
            members.find_map(|member| Protection::of_member(&group.name, member, &wanted))
        })
    })
}

/// Applies the change; tells whether the operation is settled with it.
fn apply(row: &mut Row, change: OperationChange) -> bool {
    let operation = &mut row.record.operation;
    match change {
        OperationChange::Started { at } => {
            operation.state = OperationState::Running;
            operation.started_at = Some(at);
            false
        }
        OperationChange::Unwinding { error, code } => {
            operation.state = OperationState::Unwinding;
            operation.error = Some(error);
            operation.error_code = Some(code);
            false
        }
        OperationChange::Settled { state, at } => {
            operation.state = state;
            operation.finished_at = state.is_terminal().then_some(at);
            row.owner = None;
            true
        }
    }
}

fn apply_effect(tables: &mut Tables, id: &OperationId, effect: Effect, now: DateTime<Utc>) {
    match effect {
        Effect::Mapped {
            kind,
            source,
            target,
        } => with_map(tables, id, |map| {
            map.insert(kind, source.clone(), target.clone());
        }),
        Effect::Unmapped { kind, source } => with_map(tables, id, |map| map.remove(kind, &source)),
        Effect::GroupStatus { group_id, status } => {
            with_group(tables, &group_id, now, |group, _| group.status = status);
        }
        Effect::GroupAtRest { group_id } => with_group(tables, &group_id, now, |group, members| {
            put_at_rest(group, members)
        }),
        Effect::GroupMended { group_id, failed } => {
            if !has_stopped_members(tables, &group_id, &failed) {
                at_rest_from(tables, &group_id, GroupStatus::Error, now);
            }
        }
        Effect::GroupFenced { group_id } => {
            at_rest_from(tables, &group_id, GroupStatus::SplitBrain, now);
        }
        Effect::GroupSwitched {
            group_id,
            current_primary_site,
            members,
        } => with_group(tables, &group_id, now, |group, kept| {
            group.current_primary_site = current_primary_site;
            *kept = members;
            put_at_rest(group, kept);
        }),
        Effect::GroupReplicated { group_id, at } => {
            with_group(tables, &group_id, now, |group, _| {
                group.last_replication_at = Some(at);
            });
        }
        Effect::ParentStep {
            operation_id,
            key,
            progress,
        } => {
            if let Some(step) = parent_step(tables, &operation_id, &key) {
                step.progress = progress;
            }
        }
        Effect::ParentCompleted { operation_id } => complete(tables, &operation_id, now),
    }
}

/// Whether a server of one of a group's members is left stopped by `failed`.
fn has_stopped_members(tables: &Tables, group: &GroupId, failed: &OperationId) -> bool {
    let (Some((_, members)), Some(row)) = (tables.groups.get(group), tables.operations.get(failed))
    else {
        return false;
    };
    left_stopped(&row.record.steps)
        .any(|server| members.iter().any(|member| member.server_id == *server))
}

/// Puts a group at rest whose status is `from`; one that is gone, or in any other status, stays as it is.
fn at_rest_from(tables: &mut Tables, id: &GroupId, from: GroupStatus, now: DateTime<Utc>) {
    let group = tables.groups.get(id);
    if group.is_some_and(|(group, _)| group.status == from) {
        with_group(tables, id, now, |group, members| {
            put_at_rest(group, members)
        });
    }
}

fn put_at_rest(group: &mut Group, members: &[Member]) {
    group.status = group.status_at_rest(Recovered::of(members));
}

fn complete(tables: &mut Tables, id: &OperationId, now: DateTime<Utc>) {
    let Some(row) = tables.operations.get_mut(id) else {
        return;
    };
    let operation = &mut row.record.operation;
    if operation.state == OperationState::AwaitingCleanup {
        operation.state = OperationState::Completed;
        operation.finished_at = Some(now);
    }
}

/// Changes the map of an operation, and that of the one whose leftovers it removes: the next cleanup begins with it.
fn with_map(tables: &mut Tables, id: &OperationId, change: impl Fn(&mut ResourceMap)) {
    let Some(row) = tables.operations.get_mut(id) else {
        return;
    };
    change(&mut row.record.map);
    let parent = row.record.operation.parent_id.clone();
    if let Some(row) = parent.and_then(|parent| tables.operations.get_mut(&parent)) {
        change(&mut row.record.map);
    }
}

fn with_group(
    tables: &mut Tables,
    id: &GroupId,
    now: DateTime<Utc>,
    change: impl FnOnce(&mut Group, &mut Vec<Member>),
) {
    if let Some((group, members)) = tables.groups.get_mut(id) {
        change(group, members);
        group.version += 1;
        group.updated_at = now;
    }
}

/// The key of a parent's line that is to be settled and is not there.
fn unknown_line(tables: &Tables, effects: &[Effect]) -> Option<String> {
    let mut lines = effects.iter().filter_map(|effect| match effect {
        Effect::ParentStep {
            operation_id, key, ..
        } => Some((operation_id, key)),
        _ => None,
    });
    let is_unknown = |(id, key): &(&OperationId, &String)| {
        let row = tables.operations.get(id);
        row.is_some_and(|row| row.record.steps.iter().all(|step| step.key != **key))
    };
    lines.find(is_unknown).map(|(_, key)| key.clone())
}

fn parent_step<'a>(
    tables: &'a mut Tables,
    id: &OperationId,
    key: &str,
) -> Option<&'a mut StepRecord> {
    let row = tables.operations.get_mut(id)?;
    row.record.steps.iter_mut().find(|step| step.key == key)
}
