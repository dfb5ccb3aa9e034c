//! The journal port on a database.
//!
//! A record writes the operation's own row first and always, under its fence and its owner. On a cluster that lets two
//! nodes commit different rows at once, that row is what makes one of two writers lose.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use protector_core::{
    group::{Group, GroupStatus, Recovered},
    id::{EngineId, GroupId, OperationId, UserId},
    journal::{Claim, Effect, Entry, Journal, JournalError, OperationChange, Protection},
    operation::{MapKind, OperationRecord, OperationState, StepRecord},
    queue::{self, Lane, Room, Waiting},
    text,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult,
    JoinType, QueryFilter, QuerySelect, RelationTrait, Set,
    prelude::Expr,
    sea_query::{ExprTrait, OnConflict},
};

use crate::{
    database::Database,
    database_time,
    entity::{
        operation::{ActiveModel, Column, Entity, Relation},
        protection_group, resource_map,
    },
    error::StoreError,
    foreign_text::ForeignText,
    given_up, group,
    group_row::{at_rest, changed, place},
    lock, member, operation_outbox,
    operation_outbox::Haste,
    operation_records::record_of,
    step,
    words::{to_small, to_word},
};

#[async_trait]
impl Journal for Database {
    async fn now(&self) -> Result<DateTime<Utc>, JournalError> {
        Ok(database_time::now(self.kept_pool()).await?)
    }

    async fn claim(
        &self,
        engine: &EngineId,
        now: DateTime<Utc>,
        lease: Duration,
        book_version: u32,
        room: &Room,
    ) -> Result<Vec<Claim>, JournalError> {
        let mut unowned = self.unowned(now, book_version).await?;
        let waiting: Vec<Waiting> = unowned.values().map(|one| one.waiting.clone()).collect();
        let mut claims = Vec::new();
        for id in queue::next(&waiting, room) {
            let Some(Unowned { waiting, fence }) = unowned.remove(&id) else {
                continue;
            };
            let claim = Claim {
                operation_id: id,
                engine_id: engine.clone(),
                fence: fence + 1,
                lane: waiting.lane,
                project_id: waiting.project_id,
                lease,
            };
            match self.claimed(&claim, fence, now).await {
                Ok(true) => claims.push(claim),
                Ok(false) => {}
                // What has been claimed before is to be walked: nobody else can until the lease ends.
                Err(_) if !claims.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(claims)
    }

    async fn load(&self, claim: &Claim) -> Result<OperationRecord, JournalError> {
        let held = self.read_kept(async |tx| match owns(tx, claim).await? {
            true => record_of(tx, &claim.operation_id).await.map(Some),
            false => Ok(None),
        });
        let mut record = held.await?.ok_or(JournalError::LeaseLost)?;
        let operation = &mut record.operation;
        operation.plan = self.opened(&operation.group_id, operation.plan.clone());
        Ok(record)
    }

    async fn mapped(
        &self,
        claim: &Claim,
        kind: MapKind,
        source: &str,
    ) -> Result<Option<String>, JournalError> {
        let id = &claim.operation_id;
        let held = self.read_kept(async |tx| match owns(tx, claim).await? {
            true => mapped(tx, id, kind, source).await.map(Some),
            false => Ok(None),
        });
        held.await?.ok_or(JournalError::LeaseLost)
    }

    async fn steps_about(
        &self,
        claim: &Claim,
        resource: &str,
    ) -> Result<Vec<StepRecord>, JournalError> {
        let id = &claim.operation_id;
        let held = self.read_kept(async |tx| match owns(tx, claim).await? {
            true => step::about(tx, id, resource).await.map(Some),
            false => Ok(None),
        });
        held.await?.ok_or(JournalError::LeaseLost)
    }

    async fn group_now(&self, id: &GroupId) -> Result<Option<Group>, JournalError> {
        Ok(self.read_kept(async |tx| group::now(tx, id).await).await?)
    }

    async fn aborted_by(&self, claim: &Claim) -> Result<Option<UserId>, JournalError> {
        Ok(abort_of(self.kept_pool(), &claim.operation_id).await?)
    }

    async fn protection_of(
        &self,
        resources: &[String],
    ) -> Result<Option<Protection>, JournalError> {
        let found = self.read_kept(async |tx| member::protection_of(tx, resources).await);
        Ok(found.await?)
    }

    async fn record(
        &self,
        claim: &Claim,
        now: DateTime<Utc>,
        entry: Entry,
    ) -> Result<(), JournalError> {
        let change = operation_row(claim, now, entry.operation.as_ref())?;
        let written = self
            .write(async |tx| {
                if !owned_write(tx, claim, change.clone()).await? {
                    return Ok(Written::LeaseLost);
                }
                // The operation's own row is written by both, so that one of them sees the other.
                if entry.moves_the_group() && abort_of(tx, &claim.operation_id).await?.is_some() {
                    return Ok(Written::Aborted);
                }
                // Here, since the transaction may have waited for others.
                if is_outdated(tx, &entry).await? {
                    return Ok(Written::Outdated);
                }
                if let Some(protection) = member::protection_of(tx, &entry.unprotected).await? {
                    return Err(StoreError::Protected(protection));
                }
                let haste = match &entry.operation {
                    Some(_) => Haste::Now,
                    None => Haste::Soon,
                };
                operation_outbox::changed(tx, &claim.operation_id, now, haste).await?;
                write_entry(self, tx, claim, now, &entry).await?;
                Ok(Written::Whole)
            })
            .await?;
        match written {
            Written::Whole => Ok(()),
            Written::LeaseLost => Err(JournalError::LeaseLost),
            Written::Aborted => Err(JournalError::aborted()),
            Written::Outdated => Err(JournalError::Outdated),
        }
    }

    async fn renew(&self, claim: &Claim, now: DateTime<Utc>) -> Result<(), JournalError> {
        let change = operation_row(claim, now, None)?;
        let written = self
            .write(async |tx| owned_write(tx, claim, change.clone()).await)
            .await?;
        owned(written)
    }

    async fn forget(&self, engine: &EngineId) -> Result<(), JournalError> {
        self.write(async |tx| {
            Entity::update_many()
                .set(without_lease())
                .filter(Column::LeaseOwner.eq(engine.as_str()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn release(&self, claim: &Claim) -> Result<(), JournalError> {
        let change = without_lease();
        // Not ours any more: then it has an owner, and there is nothing to give back.
        self.write(async |tx| owned_write(tx, claim, change.clone()).await)
            .await?;
        Ok(())
    }
}

/// What became of an entry.
enum Written {
    Whole,
    /// Nothing: another engine owns the operation.
    LeaseLost,
    /// Nothing but a longer lease: the operation is to be given up, and the entry would have moved its group.
    Aborted,
    /// Nothing but a longer lease: the entry came too late for what it rests on.
    Outdated,
}

async fn is_outdated(tx: &DatabaseTransaction, entry: &Entry) -> Result<bool, StoreError> {
    Ok(match entry.not_after {
        Some(last) => database_time::now(tx).await? > last,
        None => false,
    })
}

/// Who has asked that the operation be given up.
pub(crate) async fn abort_of(
    db: &impl ConnectionTrait,
    id: &OperationId,
) -> Result<Option<UserId>, StoreError> {
    let user = mapped(db, id, MapKind::Aborted, id.as_str()).await?;
    Ok(user.map(UserId::new))
}

/// Whether the operation is that of `claim` still.
async fn owns(db: &impl ConnectionTrait, claim: &Claim) -> Result<bool, StoreError> {
    let owner = Entity::find()
        .filter(held_by(claim))
        .select_only()
        .column(Column::Id)
        .into_tuple::<String>()
        .one(db)
        .await?;
    Ok(owner.is_some())
}

async fn mapped(
    db: &impl ConnectionTrait,
    id: &OperationId,
    kind: MapKind,
    source: &str,
) -> Result<Option<String>, StoreError> {
    let key = (id.to_string(), kind.as_str().to_owned(), source.to_owned());
    let row = resource_map::Entity::find_by_id(key).one(db).await?;
    Ok(row.map(|row| row.target_id))
}

fn without_lease() -> ActiveModel {
    ActiveModel {
        lease_owner: Set(None),
        lease_until: Set(None),
        ..ActiveModel::default()
    }
}

fn owned(written: bool) -> Result<(), JournalError> {
    match written {
        true => Ok(()),
        false => Err(JournalError::LeaseLost),
    }
}

impl Database {
    /// What waits for an engine now, by the database's clock: for readings of the queue.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn queued_now(&self, book_version: u32) -> Result<Vec<Queued>, StoreError> {
        let now = database_time::now(self.kept_pool()).await?;
        self.queued_at(now, book_version).await
    }

    /// The same at a time.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn queued_at(
        &self,
        now: DateTime<Utc>,
        book_version: u32,
    ) -> Result<Vec<Queued>, StoreError> {
        let rows = Entity::find()
            .select_only()
            .columns([Column::Lane, Column::CreatedAt, Column::LeaseUntil])
            .filter(claimable(now))
            .filter(Column::BookVersion.lte(to_small(book_version)))
            .into_tuple::<(String, DateTime<Utc>, Option<DateTime<Utc>>)>()
            .all(self.kept_pool())
            .await?;
        let queued = rows.into_iter().map(|(lane, created_at, lease_until)| {
            let since = lease_until.unwrap_or(created_at);
            Queued {
                lane: lane_of(&lane),
                wait: (now - since).to_std().unwrap_or_default(),
            }
        });
        Ok(queued.collect())
    }

    /// Operations that can be claimed now. Costs one query, and memory for each that waits.
    async fn unowned(
        &self,
        now: DateTime<Utc>,
        book_version: u32,
    ) -> Result<HashMap<OperationId, Unowned>, StoreError> {
        let rows = Entity::find()
            .join(JoinType::LeftJoin, Relation::ProtectionGroup.def())
            .filter(claimable(now))
            .filter(Column::BookVersion.lte(to_small(book_version)))
            .select_only()
            .columns([
                Column::Id,
                Column::Fence,
                Column::Lane,
                Column::ProjectId,
                Column::CreatedAt,
                Column::StartedAt,
            ])
            .column(protection_group::Column::Priority)
            .into_model::<QueueRow>()
            .all(self.kept_pool())
            .await?;
        let unowned = rows.into_iter().map(|row| {
            let (waiting, fence) = (row.waiting(), row.fence);
            (waiting.id.clone(), Unowned { waiting, fence })
        });
        Ok(unowned.collect())
    }

    async fn claimed(
        &self,
        claim: &Claim,
        fence: i64,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let change = ActiveModel {
            lease_owner: Set(Some(claim.engine_id.to_string())),
            lease_until: Set(Some(lease_end(claim, now)?)),
            fence: Set(claim.fence),
            ..ActiveModel::default()
        };
        self.write(async |tx| {
            // The lease is tested again: its owner may have renewed it after we looked, which leaves the fence alone.
            let outcome = Entity::update_many()
                .set(change.clone())
                .filter(Column::Id.eq(claim.operation_id.as_str()))
                .filter(Column::Fence.eq(fence))
                .filter(claimable(now))
                .exec(tx)
                .await?;
            Ok(outcome.rows_affected == 1)
        })
        .await
    }
}

fn held_by(claim: &Claim) -> Condition {
    Condition::all()
        .add(Column::Id.eq(claim.operation_id.as_str()))
        .add(Column::Fence.eq(claim.fence))
        .add(Column::LeaseOwner.eq(claim.engine_id.as_str()))
}

/// An operation that was seen without an owner, under this fence.
struct Unowned {
    waiting: Waiting,
    fence: i64,
}

/// For how long an operation has waited for an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    pub lane: Lane,
    /// Since it was asked for or, if it has begun, since its engine's lease ended.
    pub wait: Duration,
}

#[derive(FromQueryResult)]
struct QueueRow {
    id: String,
    fence: i64,
    lane: String,
    project_id: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    /// Of a group that is gone there is none.
    priority: Option<i32>,
}

impl QueueRow {
    fn waiting(&self) -> Waiting {
        let priority = self
            .priority
            .and_then(|stored| group::priority(stored).ok());
        Waiting {
            id: OperationId::new(self.id.clone()),
            lane: lane_of(&self.lane),
            project_id: self.project_id.as_str().into(),
            has_begun: self.started_at.is_some(),
            priority: priority.unwrap_or_default(),
            created_at: self.created_at,
        }
    }
}

/// A lane that this build does not know counts as the one that most are in: one odd row must not keep the others waiting.
fn lane_of(word: &str) -> Lane {
    Lane::from_word(word).unwrap_or(Lane::Regular)
}

fn claimable(now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::State.is_in(OperationState::WALKED.map(OperationState::as_str)))
        .add(
            Condition::any()
                .add(Column::LeaseUntil.is_null())
                .add(Column::LeaseUntil.lt(now)),
        )
}

fn lease_end(claim: &Claim, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
    TimeDelta::from_std(claim.lease)
        .ok()
        .and_then(|lease| now.checked_add_signed(lease))
        .ok_or_else(|| StoreError::Unreadable("the lease is too long to be a time".to_owned()))
}

/// The change of the operation's own row: always a longer lease, and what the entry says.
fn operation_row(
    claim: &Claim,
    now: DateTime<Utc>,
    change: Option<&OperationChange>,
) -> Result<ActiveModel, StoreError> {
    let mut row = ActiveModel {
        lease_until: Set(Some(lease_end(claim, now)?)),
        ..ActiveModel::default()
    };
    match change {
        None => {}
        Some(OperationChange::Started { at }) => {
            row.state = Set(OperationState::Running.as_str().to_owned());
            row.started_at = Set(Some(*at));
        }
        Some(OperationChange::Unwinding { error, code }) => {
            row.state = Set(OperationState::Unwinding.as_str().to_owned());
            row.error = Set(Some(ForeignText::of(error)));
            row.error_code = Set(Some(to_word(code)?));
        }
        Some(OperationChange::Settled { state, at }) => {
            row.state = Set(state.as_str().to_owned());
            row.finished_at = Set(state.is_terminal().then_some(*at));
            row.lease_owner = Set(None);
            row.lease_until = Set(None);
        }
    }
    Ok(row)
}

/// Writes the operation's row if it is still under the claim's fence and owner. Whether it was.
async fn owned_write(
    db: &impl ConnectionTrait,
    claim: &Claim,
    change: ActiveModel,
) -> Result<bool, StoreError> {
    let outcome = Entity::update_many()
        .set(change)
        // Makes sure that the row really changes, also when the lease ends where it did before.
        .col_expr(Column::Beat, Expr::col(Column::Beat).add(1))
        .filter(held_by(claim))
        .exec(db)
        .await?;
    Ok(outcome.rows_affected == 1)
}

async fn write_entry(
    database: &Database,
    tx: &DatabaseTransaction,
    claim: &Claim,
    now: DateTime<Utc>,
    entry: &Entry,
) -> Result<(), StoreError> {
    let id = &claim.operation_id;
    for (position, progress) in &entry.steps {
        step::progress_at(tx, id, *position, progress).await?;
    }
    for effect in &entry.effects {
        apply(database, tx, id, now, effect).await?;
    }
    if matches!(entry.operation, Some(OperationChange::Settled { .. })) {
        lock::release_all(tx, id).await?;
    }
    Ok(())
}

async fn apply(
    database: &Database,
    tx: &DatabaseTransaction,
    operation: &OperationId,
    now: DateTime<Utc>,
    effect: &Effect,
) -> Result<(), StoreError> {
    match effect {
        Effect::Mapped {
            kind,
            source,
            target,
        } => {
            for holder in with_its_parent(tx, operation).await? {
                map(tx, &holder, *kind, source, target).await?;
                shown_anew(tx, operation, &holder, now, source).await?;
            }
            Ok(())
        }
        Effect::Unmapped { kind, source } => {
            for holder in with_its_parent(tx, operation).await? {
                unmap(tx, &holder, *kind, source).await?;
                shown_anew(tx, operation, &holder, now, source).await?;
            }
            Ok(())
        }
        Effect::GroupStatus { group_id, status } => {
            change_group(tx, group_id, now, status_row(*status)).await
        }
        Effect::GroupAtRest { group_id } => {
            let rest = at_rest(tx, group_id).await?;
            let rest = rest.ok_or_else(|| unknown_group(group_id))?;
            change_group(tx, group_id, now, status_row(rest)).await
        }
        Effect::GroupMended { group_id, failed } => group::mended(tx, group_id, failed, now).await,
        Effect::GroupFenced { group_id } => group::fenced(tx, group_id, now).await,
        Effect::GroupSwitched {
            group_id,
            current_primary_site,
            members,
        } => {
            let row = protection_group::Entity::find_by_id(group_id.as_str())
                .one(tx)
                .await?
                .ok_or_else(|| unknown_group(group_id))?;
            let place = place(&row, current_primary_site.as_str());
            let change = protection_group::ActiveModel {
                current_primary_site: Set(current_primary_site.to_string()),
                ..status_row(GroupStatus::at_rest(place, Recovered::of(members)))
            };
            change_group(tx, group_id, now, change).await?;
            let members = database.kept(group_id, members.clone())?;
            member::replace(tx, group_id, &members).await?;
            given_up::shown_anew(tx, group_id, now).await
        }
        Effect::GroupReplicated { group_id, at } => {
            let change = protection_group::ActiveModel {
                last_replication_at: Set(Some(*at)),
                ..Default::default()
            };
            change_group(tx, group_id, now, change).await
        }
        Effect::ParentStep {
            operation_id,
            key,
            progress,
        } => {
            operation_outbox::changed(tx, operation_id, now, Haste::Soon).await?;
            step::progress_of(tx, operation_id, key, progress).await
        }
        Effect::ParentCompleted { operation_id } => {
            operation_outbox::changed(tx, operation_id, now, Haste::Now).await?;
            complete(tx, operation_id, now).await
        }
    }
}

/// Completes a test failover whose copies are up; leaves an operation in any other state alone.
async fn complete(
    db: &impl ConnectionTrait,
    id: &OperationId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    Entity::update_many()
        .set(ActiveModel {
            state: Set(OperationState::Completed.as_str().to_owned()),
            finished_at: Set(Some(now)),
            ..ActiveModel::default()
        })
        .filter(Column::Id.eq(id.as_str()))
        .filter(Column::State.eq(OperationState::AwaitingCleanup.as_str()))
        .exec(db)
        .await?;
    Ok(())
}

fn status_row(status: GroupStatus) -> protection_group::ActiveModel {
    protection_group::ActiveModel {
        status: Set(status.as_str().to_owned()),
        ..Default::default()
    }
}

async fn change_group(
    db: &impl ConnectionTrait,
    id: &GroupId,
    now: DateTime<Utc>,
    change: protection_group::ActiveModel,
) -> Result<(), StoreError> {
    match changed(db, id, change, now).await? {
        true => Ok(()),
        false => Err(unknown_group(id)),
    }
}

fn unknown_group(id: &GroupId) -> StoreError {
    StoreError::Unreadable(format!(
        "the operation's protection group {id} is not on record"
    ))
}

/// The operation, and the one whose leftovers it removes: what it learns, the next cleanup must know too.
async fn with_its_parent(
    db: &impl ConnectionTrait,
    operation: &OperationId,
) -> Result<Vec<OperationId>, StoreError> {
    let parent: Option<Option<String>> = Entity::find_by_id(operation.as_str())
        .select_only()
        .column(Column::ParentId)
        .into_tuple()
        .one(db)
        .await?;
    let parent = parent.flatten().map(OperationId::new);
    Ok(std::iter::once(operation.clone()).chain(parent).collect())
}

/// Lines about a resource show what it became: what the other site has of them is out of date.
async fn shown_anew(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    holder: &OperationId,
    now: DateTime<Utc>,
    source: &str,
) -> Result<(), StoreError> {
    if holder != operation {
        operation_outbox::changed(db, holder, now, Haste::Soon).await?;
    }
    step::named_changed(db, holder, source).await
}

async fn map(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    kind: MapKind,
    source: &str,
    target: &str,
) -> Result<(), StoreError> {
    use resource_map::Column as Map;

    let row = resource_map::ActiveModel {
        operation_id: Set(operation.to_string()),
        kind: Set(kind.as_str().to_owned()),
        source_id: Set(source.to_owned()),
        target_id: Set(text::cut(target)),
    };
    resource_map::Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Map::OperationId, Map::Kind, Map::SourceId])
                .update_column(Map::TargetId)
                .to_owned(),
        )
        .exec_without_returning(db)
        .await?;
    Ok(())
}

async fn unmap(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    kind: MapKind,
    source: &str,
) -> Result<(), StoreError> {
    resource_map::Entity::delete_by_id((
        operation.to_string(),
        kind.as_str().to_owned(),
        source.to_owned(),
    ))
    .exec(db)
    .await?;
    Ok(())
}
