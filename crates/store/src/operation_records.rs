//! Reading records of operations, whole and in parts.

use std::collections::BTreeMap;

use protector_core::{
    id::{GroupId, OperationId, ProjectId},
    operation::{
        MapKind, OperationKind, OperationRecord, OperationState, ResourceMap, StepRecord, StepState,
    },
    runbook::{
        Verb,
        cleanup::{LEFT, NEVER_LEAVES},
        given_up::UNDONE_FOR_MEMBER,
    },
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, Select, prelude::Expr, sea_query::ExprTrait,
};

use crate::{
    entity::{
        operation::{Column, Entity, Model},
        resource_map, step as step_table,
    },
    error::{Noun, StoreError},
    page::{After, Page, paged},
    row,
    row::operation::{Head, from_row},
    words::from_word,
};

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

/// Joins a line with its operation, of which one is looked for inside a look for the other.
pub(crate) fn line_of_operation() -> Expr {
    Expr::col((step_table::Entity, step_table::Column::OperationId)).equals((Entity, Column::Id))
}

/// Of a line: [`is_undone_for_member`](protector_core::runbook::given_up::is_undone_for_member).
pub(crate) fn not_recovered() -> Condition {
    use step_table::Column as StepColumn;

    let states = UNDONE_FOR_MEMBER.map(StepState::as_str);
    Condition::all()
        .add(StepColumn::State.is_in(states))
        .add(StepColumn::Verb.eq(Verb::Member.as_str()))
}

/// Of a line: one of the states of [`LEFT`].
pub(crate) fn left_behind() -> Condition {
    use step_table::Column as StepColumn;

    LEFT.iter().fold(Condition::any(), |any, (state, verb)| {
        any.add(
            Condition::all()
                .add(StepColumn::State.eq(state.as_str()))
                .add_option(verb.map(|verb| StepColumn::Verb.eq(verb.as_str()))),
        )
    })
}

/// This site's operations after a marker, one more than a page holds.
pub(crate) fn rows_after(
    filter: &OperationFilter,
    page: &Page<OperationOrder>,
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

/// The values of the marker's row in `filter`'s project; `None` if no operation of this site has that id.
pub(crate) async fn marker_here(
    db: &impl ConnectionTrait,
    filter: &OperationFilter,
    sort_key: OperationOrder,
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
            OperationOrder::CreatedAt => row.created_at.into(),
            OperationOrder::Kind => row.kind.into(),
            OperationOrder::State => row.state.into(),
            OperationOrder::Id => row.id.clone().into(),
        },
        id: row.id,
    }))
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
pub enum OperationOrder {
    /// When it was asked for.
    #[default]
    CreatedAt,
    Kind,
    State,
    Id,
}

pub(crate) fn condition(filter: &OperationFilter) -> Condition {
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

pub(crate) fn column(key: OperationOrder) -> Column {
    match key {
        OperationOrder::CreatedAt => Column::CreatedAt,
        OperationOrder::Kind => Column::Kind,
        OperationOrder::State => Column::State,
        OperationOrder::Id => Column::Id,
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
            .push(row::step::from_row(row)?);
    }
    Ok(steps)
}

/// [`may_be_cleaned_up`](protector_core::runbook::cleanup::may_be_cleaned_up) and a line in one of the states of
/// [`LEFT`], or one that may be of a member that was given up: each of these is judged once more.
pub(crate) fn with_leftovers() -> Condition {
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
