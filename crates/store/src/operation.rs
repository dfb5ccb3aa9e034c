//! Operations: made once, with their lines and locks, in one transaction; read as tenants and engines need them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{
    group::GroupStatus,
    id::{GroupId, OperationId, ProjectId, UserId},
    operation::{
        GivenUp, MapKind, Operation, OperationKind, OperationRecord, OperationState, ResourceMap,
        StepRecord, StepState,
    },
    runbook::{
        Verb,
        cleanup::{LEFT, NEVER_LEAVES},
        given_up::UNDONE_FOR_MEMBER,
    },
    schedule::{
        NotAbortable, {self},
    },
    text,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, Set, prelude::Expr, sea_query::ExprTrait,
};

pub(crate) use crate::row::operation::Head;
use crate::{
    database::Database,
    entity::{
        operation::{Column, Entity, Model},
        protection_group, resource_map, step as step_table,
    },
    error::{Noun, StoreError},
    group::locked_row,
    lock::{
        Lock, {self},
    },
    operation_outbox::{
        Haste, {self},
    },
    page::{After, Filling, Listed, Page, paged},
    reservation,
    row::operation::{from_row, to_row},
    step, supersede,
    words::{from_word, to_count, to_signed},
};

/// What happens to a group when an operation on it is made: the compare-and-swap that lets one of two win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStart {
    /// The group.
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
    /// Its lines.
    pub steps: &'a [StepRecord],
    /// What it begins with: empty, or its parent's for a cleanup.
    pub map: &'a ResourceMap,
    /// The locks it holds until it settles.
    pub locks: &'a [Lock],
    /// The change of its group; `None` where the group stays as it is (a cleanup).
    pub group: Option<GroupStart>,
}

/// Which operations are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Of this project on this site; `None` for all.
    pub project_id: Option<ProjectId>,
    /// About one of these groups; empty for all.
    pub groups: Vec<GroupId>,
    /// Of these kinds; of all if there is none.
    pub kinds: Vec<OperationKind>,
    /// In one of these states; empty for all. The contract's `running` is two of ours.
    pub states: Vec<OperationState>,
    /// Made for this operation.
    pub parent_id: Option<OperationId>,
    /// Only those that a cleanup has something to do for: those of which
    /// [`leftover_count`](protector_core::leftover::leftover_count) is not 0, taken as
    /// [`Database::operation_as_left`] shows them.
    pub with_leftovers: bool,
}

/// By what operations can be sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperationSortKey {
    /// When it was asked for.
    #[default]
    CreatedAt,
    /// Its kind.
    Kind,
    /// Its state.
    State,
    /// Its id.
    Id,
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
        page: &Page<OperationSortKey>,
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
        page: &Page<OperationSortKey>,
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

/// This site's operations after a marker, one more than a page holds.
pub(crate) fn rows_after(
    filter: &OperationFilter,
    page: &Page<OperationSortKey>,
    after: Option<After>,
) -> Select<Entity> {
    paged(
        Entity::find().filter(condition(filter)),
        column(page.sort_key),
        Column::Id,
        page.sort_dir,
        after,
        page.limit,
    )
}

/// Reads one operation whole.
pub(crate) async fn record_of(
    db: &impl ConnectionTrait,
    id: &OperationId,
) -> Result<OperationRecord, StoreError> {
    let row = Entity::find_by_id(id.as_str()).one(db).await?;
    let records = records(db, row.into_iter().collect()).await?;
    records
        .into_iter()
        .next()
        .ok_or_else(|| StoreError::not_found(Noun::Operation, id))
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

/// Reads the lines and maps of all `rows` with two statements.
pub(crate) async fn records(
    db: &impl ConnectionTrait,
    rows: Vec<Model>,
) -> Result<Vec<OperationRecord>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let mut steps = steps_among(db, &ids, Condition::all()).await?;
    let mut maps = maps_of(db, &ids, &[]).await?;
    rows.into_iter()
        .map(|row| {
            Ok(OperationRecord {
                steps: steps.remove(&row.id).unwrap_or_default(),
                map: maps.remove(&row.id).unwrap_or_default(),
                operation: from_row(row)?,
            })
        })
        .collect()
}

/// The operations with these ids, whole, in the order of the ids. One that is not there is left out.
pub(crate) async fn records_of(
    db: &impl ConnectionTrait,
    ids: &[String],
) -> Result<Vec<OperationRecord>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(db).await?;
    let mut rows: BTreeMap<String, Model> =
        rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let rows = ids.iter().filter_map(|id| rows.remove(id)).collect();
    records(db, rows).await
}

/// The lines of the operations `ids` that are as `wanted` says, by operation, by position.
pub(crate) async fn steps_among(
    db: &impl ConnectionTrait,
    ids: &[String],
    wanted: Condition,
) -> Result<BTreeMap<String, Vec<StepRecord>>, StoreError> {
    let rows = step_table::Entity::find()
        .filter(step_table::Column::OperationId.is_in(ids))
        .filter(wanted)
        .order_by_asc(step_table::Column::OperationId)
        .order_by_asc(step_table::Column::Position)
        .all(db)
        .await?;
    let mut steps: BTreeMap<String, Vec<StepRecord>> = BTreeMap::new();
    for row in rows {
        let operation = row.operation_id.clone();
        steps
            .entry(operation)
            .or_default()
            .push(step::from_row(row)?);
    }
    Ok(steps)
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

/// The entries of the maps of the operations `ids` that are of one of `kinds`; all of them if there is none.
pub(crate) async fn maps_of(
    db: &impl ConnectionTrait,
    ids: &[String],
    kinds: &[MapKind],
) -> Result<BTreeMap<String, ResourceMap>, StoreError> {
    let words = kinds.iter().map(|kind| kind.as_str());
    let rows = resource_map::Entity::find()
        .filter(resource_map::Column::OperationId.is_in(ids))
        .filter(
            Condition::all()
                .add_option((!kinds.is_empty()).then(|| resource_map::Column::Kind.is_in(words))),
        )
        .all(db)
        .await?;
    let mut maps: BTreeMap<String, ResourceMap> = BTreeMap::new();
    for row in rows {
        let kind = from_word("resource_map.kind", &row.kind)?;
        maps.entry(row.operation_id)
            .or_default()
            .insert(kind, row.source_id, row.target_id);
    }
    Ok(maps)
}

fn condition(filter: &OperationFilter) -> Condition {
    let states = filter.states.iter().map(|state| state.as_str());
    Condition::all()
        .add_option(
            filter
                .project_id
                .as_ref()
                .map(|project| Column::ProjectId.eq(project.as_str())),
        )
        .add_option(
            (!filter.groups.is_empty())
                .then(|| Column::GroupId.is_in(filter.groups.iter().map(GroupId::as_str))),
        )
        .add_option(
            (!filter.kinds.is_empty())
                .then(|| Column::Kind.is_in(filter.kinds.iter().map(|kind| kind.as_str()))),
        )
        .add_option((!filter.states.is_empty()).then(|| Column::State.is_in(states)))
        .add_option(
            filter
                .parent_id
                .as_ref()
                .map(|parent| Column::ParentId.eq(parent.as_str())),
        )
        .add_option(filter.with_leftovers.then(with_leftovers))
}

/// [`may_be_cleaned_up`](protector_core::runbook::cleanup::may_be_cleaned_up) and a line in one of the states of
/// [`LEFT`], or one that may be of a member that was given up: each of these is judged once more.
fn with_leftovers() -> Condition {
    // Few lines of all have left something, and an index finds them: nothing is looked up for the operations that left nothing.
    let left = step_table::Entity::find()
        .select_only()
        .column(step_table::Column::OperationId)
        .filter(Condition::any().add(left_behind()).add(not_recovered()))
        .into_query();
    may_be_cleaned_up().add(Column::Id.in_subquery(left))
}

/// Of an operation: [`may_be_cleaned_up`](protector_core::runbook::cleanup::may_be_cleaned_up).
pub(crate) fn may_be_cleaned_up() -> Condition {
    let ended = OperationState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(OperationState::as_str);
    Condition::all()
        .add(Column::State.is_in(ended))
        .add(Column::Kind.ne(NEVER_LEAVES.as_str()))
}

/// Of a line: one of the states of [`LEFT`].
pub(crate) fn left_behind() -> Condition {
    use step_table::Column as Line;

    LEFT.iter().fold(Condition::any(), |any, (state, verb)| {
        any.add(
            Condition::all()
                .add(Line::State.eq(state.as_str()))
                .add_option(verb.map(|verb| Line::Verb.eq(verb.as_str()))),
        )
    })
}

/// Of a line: [`is_undone_for_member`](protector_core::runbook::given_up::is_undone_for_member).
pub(crate) fn not_recovered() -> Condition {
    use step_table::Column as Line;

    let states = UNDONE_FOR_MEMBER.map(StepState::as_str);
    Condition::all()
        .add(Line::State.is_in(states))
        .add(Line::Verb.eq(Verb::Member.as_str()))
}

/// Joins a line with its operation, of which one is looked for inside a look for the other.
pub(crate) fn line_of_operation() -> Expr {
    Expr::col((step_table::Entity, step_table::Column::OperationId)).equals((Entity, Column::Id))
}

fn column(key: OperationSortKey) -> Column {
    match key {
        OperationSortKey::CreatedAt => Column::CreatedAt,
        OperationSortKey::Kind => Column::Kind,
        OperationSortKey::State => Column::State,
        OperationSortKey::Id => Column::Id,
    }
}

/// The values of the marker's row in `filter`'s project; `None` if no operation of this site has that id.
pub(crate) async fn marker_here(
    db: &impl ConnectionTrait,
    filter: &OperationFilter,
    sort_key: OperationSortKey,
    marker: &str,
) -> Result<Option<After>, StoreError> {
    // The marker must be one of the tenant's own, or it would tell that another's exists.
    let visible = OperationFilter {
        project_id: filter.project_id.clone(),
        ..OperationFilter::default()
    };
    let row = Entity::find_by_id(marker)
        .filter(condition(&visible))
        .into_partial_model::<Head>()
        .one(db)
        .await?;
    Ok(row.map(|row| After {
        value: match sort_key {
            OperationSortKey::CreatedAt => row.created_at.into(),
            OperationSortKey::Kind => row.kind.into(),
            OperationSortKey::State => row.state.into(),
            OperationSortKey::Id => row.id.clone().into(),
        },
        id: row.id,
    }))
}
