//! Operations: made once, with their lines and locks, in one transaction; read as tenants and engines need them.

use chrono::{DateTime, Utc};
use protector_core::{
    group::GroupStatus,
    id::{GroupId, OperationId, ProjectId, UserId},
    operation::{GivenUp, MapKind, Operation, OperationRecord, ResourceMap, StepRecord},
    schedule::{self, NotAbortable},
    text,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set,
    prelude::Expr, sea_query::ExprTrait,
};

pub(crate) use crate::row::operation::Head;
use crate::{
    database::Database,
    entity::{
        operation::{Column, Entity},
        protection_group, resource_map, step as step_table,
    },
    error::{Noun, StoreError},
    group_row::locked_row,
    lock::{self, Lock},
    operation_outbox::{self, Haste},
    operation_records::{
        OperationFilter, OperationOrder, marker_here, record_of, records, rows_after,
    },
    page::{Filling, Listed, Page},
    reservation,
    row::operation::to_row,
    step, supersede,
    words::{from_word, to_count, to_signed},
};

/// What happens to a group when an operation on it is made: the compare-and-swap that lets one of two win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStart {
    pub group_id: GroupId,
    /// The status that the plan was made from.
    pub from_status: GroupStatus,
    /// The version that the plan was made from.
    pub from_version: u64,
    /// The status while the operation runs.
    pub status: GroupStatus,
    /// The operation that moves it now and whose place this one takes, if there is one.
    pub supersedes: Option<OperationId>,
}

/// An operation to be made, with all that belongs to it.
#[derive(Clone, Debug)]
pub struct NewOperation<'a> {
    /// The operation, `Queued`.
    pub operation: &'a Operation,
    pub steps: &'a [StepRecord],
    /// What it begins with: empty, or its parent's for a cleanup.
    pub map: &'a ResourceMap,
    /// The locks it holds until it settles.
    pub locks: &'a [Lock],
    /// The change of its group; `None` where the group stays as it is (a cleanup).
    pub group: Option<GroupStart>,
}

impl Database {
    /// Makes an operation with its lines, map and locks, and moves its group to the status of an operation under way:
    /// all of it, or nothing.
    ///
    /// # Errors
    ///
    /// `Locked` when another operation holds one of the locks, `GroupChanged` when the group is not as the plan saw
    /// it, `Reserved` while the other site is about to move it, `NotFound` for the group, `Duplicate` for the id.
    pub async fn operation_insert(
        &self,
        new: &NewOperation<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let id = &new.operation.id;
        // What follows a move is chosen by its planning: after a wrong word the originals are not known to be left.
        if !new.operation.is_planned_as(new.steps) {
            return Err(StoreError::PlanningDiffers(id.clone()));
        }
        let plan = self.kept(&new.operation.group_id, new.operation.plan.clone())?;
        let row = to_row(new.operation, &plan)?;
        self.write_unreserved(&new.operation.group_id, now, async |tx| {
            // The group's row first: it makes a rival wait here, so that the locks it took are seen after it.
            let swapped = match &new.group {
                Some(start) => start_group(tx, start, now).await?,
                None => true,
            };
            if let Some(old) = new
                .group
                .as_ref()
                .and_then(|start| start.supersedes.as_ref())
            {
                supersede::end(tx, old, id, now).await?;
            }
            for wanted in new.locks {
                lock::refuse_while_locked(tx, wanted).await?;
            }
            if let (false, Some(start)) = (swapped, &new.group) {
                return Err(group_changed(tx, start, now).await);
            }
            self.quotas().allow_operation(tx, new).await?;
            Entity::insert(row.clone().into_active_model())
                .exec_without_returning(tx)
                .await
                .map_err(|error| StoreError::unless_duplicate(error, Noun::Operation, "id", id))?;
            for wanted in new.locks {
                lock::take(tx, wanted, id).await?;
            }
            step::insert_all(tx, id, new.steps).await?;
            insert_map(tx, id, new.map).await
        })
        .await
    }

    /// A page of this site's operations, each whole. Copies of those that the other site runs are not among them.
    ///
    /// # Errors
    ///
    /// `MarkerNotFound`.
    pub async fn operation_list(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<OperationRecord>, StoreError> {
        if !filter.with_leftovers {
            return self.operation_page(filter, page).await;
        }
        let mut next = Page {
            limit: Ord::max(page.limit, 1),
            ..page.clone()
        };
        let mut filling = Filling::of(page.limit);
        while filling.wants_more() {
            let mut listed = self.operation_page(filter, &next).await?;
            next.marker = listed
                .items
                .last()
                .map(|record| record.operation.id.to_string());
            listed.items = self.with_something_left(listed.items).await?;
            filling.add(listed);
        }
        Ok(filling.into_listed())
    }

    /// A page of those that may be what `filter` asks for.
    async fn operation_page(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<OperationRecord>, StoreError> {
        self.read(async |tx| {
            let after = match &page.marker {
                None => None,
                Some(marker) => Some(
                    marker_here(tx, filter, page.sort_key, marker)
                        .await?
                        .ok_or_else(|| StoreError::MarkerNotFound(marker.clone()))?,
                ),
            };
            let rows = rows_after(filter, page, after).all(tx).await?;
            let listed = Listed::of(rows, page.limit);
            Ok(Listed {
                items: records(tx, listed.items).await?,
                more: listed.more,
            })
        })
        .await
    }

    /// An operation of `project`, whole. What is confidential in its plan is sealed: see [`Database::opened`].
    ///
    /// # Errors
    ///
    /// `NotFound`, also for an operation of another project.
    pub async fn operation_show(
        &self,
        project: &ProjectId,
        id: &OperationId,
    ) -> Result<OperationRecord, StoreError> {
        let record = self.operation_show_by_id(id).await?;
        if record.operation.project_id != *project {
            return Err(StoreError::not_found(Noun::Operation, id));
        }
        Ok(record)
    }

    /// An operation, whole, whichever project it belongs to. For engines.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn operation_show_by_id(
        &self,
        id: &OperationId,
    ) -> Result<OperationRecord, StoreError> {
        self.read(async |tx| record_of(tx, id).await).await
    }

    /// The operations that were made for `parent` (its cleanups), oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_children(
        &self,
        parent: &OperationId,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        self.read(async |tx| {
            let rows = Entity::find()
                .filter(Column::ParentId.eq(parent.as_str()))
                .order_by_asc(Column::CreatedAt)
                .order_by_asc(Column::Id)
                .all(tx)
                .await?;
            records(tx, rows).await
        })
        .await
    }

    /// The lines of an operation, by position.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_steps(&self, id: &OperationId) -> Result<Vec<StepRecord>, StoreError> {
        let rows = step_table::Entity::find()
            .filter(step_table::Column::OperationId.eq(id.as_str()))
            .order_by_asc(step_table::Column::Position)
            .all(self.pool())
            .await?;
        rows.into_iter().map(step::from_row).collect()
    }

    /// The operation that moves a group now, if one does: it holds the group's lock.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_moving(
        &self,
        group: &GroupId,
    ) -> Result<Option<OperationRecord>, StoreError> {
        self.read(async |tx| {
            let Some(id) = lock::holder(tx, &Lock::group(group)).await? else {
                return Ok(None);
            };
            record_of(tx, &id).await.map(Some)
        })
        .await
    }
}

/// Moves the group to its new status if it is as the plan saw it. Whether it was.
async fn start_group(
    db: &impl ConnectionTrait,
    start: &GroupStart,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    use protection_group::Column as Group;

    let outcome = protection_group::Entity::update_many()
        .set(protection_group::ActiveModel {
            status: Set(start.status.as_str().to_owned()),
            updated_at: Set(now),
            ..Default::default()
        })
        .col_expr(Group::Version, Expr::col(Group::Version).add(1))
        .filter(Group::Id.eq(start.group_id.as_str()))
        .filter(Group::Status.eq(start.from_status.as_str()))
        .filter(Group::Version.eq(to_signed(start.from_version)))
        .filter(reservation::is_free(now))
        .exec(db)
        .await?;
    Ok(outcome.rows_affected == 1)
}

/// How the group stands instead, as an error.
async fn group_changed(
    db: &impl ConnectionTrait,
    start: &GroupStart,
    now: DateTime<Utc>,
) -> StoreError {
    group_as_it_is(db, start, now)
        .await
        .unwrap_or_else(|error| error)
}

async fn group_as_it_is(
    db: &impl ConnectionTrait,
    start: &GroupStart,
    now: DateTime<Utc>,
) -> Result<StoreError, StoreError> {
    let row = locked_row(db, &start.group_id)
        .await?
        .ok_or_else(|| StoreError::not_found(Noun::Group, &start.group_id))?;
    if let Some(reserved) = reservation::holder(&row, now) {
        return Ok(reserved);
    }
    Ok(StoreError::GroupChanged {
        status: from_word("protection_groups.status", &row.status)?,
        version: to_count("protection_groups.version", row.version)?,
    })
}

async fn insert_map(
    db: &impl ConnectionTrait,
    operation: &OperationId,
    map: &ResourceMap,
) -> Result<(), StoreError> {
    const CHUNK: usize = 500;
    let rows: Vec<_> = map
        .iter()
        .map(|(kind, source, target)| resource_map::ActiveModel {
            operation_id: Set(operation.to_string()),
            kind: Set(kind.as_str().to_owned()),
            source_id: Set(source.to_owned()),
            target_id: Set(text::cut(target)),
        })
        .collect();
    for chunk in rows.chunks(CHUNK) {
        resource_map::Entity::insert_many(chunk.iter().cloned())
            .exec_without_returning(db)
            .await?;
    }
    Ok(())
}

impl Database {
    /// Notes that `user` lets the operation go on that waits at its line `pause`. Said already: fine.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_resume(
        &self,
        id: &OperationId,
        pause: &str,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let row = resource_map::ActiveModel {
            operation_id: Set(id.to_string()),
            kind: Set(MapKind::Resumed.as_str().to_owned()),
            source_id: Set(pause.to_owned()),
            target_id: Set(user.to_string()),
        };
        self.write(async |tx| {
            resource_map::Entity::insert(row.clone())
                .on_conflict_do_nothing()
                .exec_without_returning(tx)
                .await?;
            Ok(())
        })
        .await
    }
}

impl Database {
    /// Notes that `user` asks that the operation be given up, if it still can be. Said already: fine, the first one counts.
    ///
    /// # Errors
    ///
    /// `NotFound`, and what the database says. Why the operation cannot be given up is the answer.
    pub async fn operation_abort(
        &self,
        id: &OperationId,
        user: &UserId,
        why: GivenUp,
        now: DateTime<Utc>,
    ) -> Result<Result<(), NotAbortable>, StoreError> {
        let noted = |kind: &MapKind| resource_map::ActiveModel {
            operation_id: Set(id.to_string()),
            kind: Set(kind.as_str().to_owned()),
            source_id: Set(id.to_string()),
            target_id: Set(user.to_string()),
        };
        let rows: Vec<_> = why.noted().iter().map(noted).collect();
        self.write(async |tx| {
            // The operation's own row first, as the engine does: of an abort and a move of the group one sees the other.
            Entity::update_many()
                .col_expr(Column::Beat, Expr::col(Column::Beat).add(1))
                .filter(Column::Id.eq(id.as_str()))
                .exec(tx)
                .await?;
            if let Err(why) = schedule::abortable(&record_of(tx, id).await?) {
                return Ok(Err(why));
            }
            resource_map::Entity::insert_many(rows.clone())
                .on_conflict_do_nothing()
                .exec_without_returning(tx)
                .await?;
            operation_outbox::changed(tx, id, now, Haste::Now).await?;
            Ok(Ok(()))
        })
        .await
    }
}
