//! What nothing rests on any more, and how it is removed: `protector-manage db purge`.
//!
//! What guards read is never removed, however old it is: moves, their retries and what gave one up tell which server became
//! which over all generations, and what was left where. Nor is what is left in their favour: an operation that has left
//! something, that the other site has not been told of, or that something else was made for. A deleted group stays known as
//! deleted, since a site that comes back from an old backup may still speak of it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use protector_core::{
    id::OperationId,
    operation::{OperationKind, OperationState, StepState},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JsonValue, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, ExprTrait as _, Query},
};
use serde_json::json;

use crate::{
    database::Database,
    entity::{
        engine, operation, operation_lock, peer_operation, peer_operation_line, resource_map, step,
    },
    error::StoreError,
    operation_outbox::without_other_site,
    operation_records::{left_behind, line_of_operation, not_recovered},
    page::AT_ONCE,
};

/// The kinds of which no guard reads an operation that has ended and left nothing. A kind that is not here is kept.
const PURGED: [OperationKind; 5] = [
    OperationKind::TestFailover,
    OperationKind::TestCleanup,
    OperationKind::Cleanup,
    OperationKind::Sync,
    OperationKind::Fence,
];

/// What may be purged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purgeable {
    /// This site's own operations; what was made for another one comes before that.
    pub operations: Vec<OperationId>,
    /// Copies of operations of other sites.
    pub copies: Vec<OperationId>,
    /// How many engines were not seen since.
    pub engines: u64,
}

impl Purgeable {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.copies.is_empty() && self.engines == 0
    }
}

impl Database {
    /// What may be purged of what ended before `before`. Changes nothing.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn purgeable(&self, before: DateTime<Utc>) -> Result<Purgeable, StoreError> {
        self.read_kept(async |tx| {
            let operations = ended(tx, before, None).await?;
            Ok(Purgeable {
                operations: without_kept_children(tx, operations).await?,
                copies: ended_copies(tx, before, None).await?,
                engines: engine::Entity::find()
                    .filter(engine::Column::SeenAt.lt(before))
                    .count(tx)
                    .await?,
            })
        })
        .await
    }

    /// Removes those of `ids` that may be purged still, with their lines and maps. Returns how many.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn purge_operations(
        &self,
        ids: &[OperationId],
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        self.write(async |tx| {
            let ended = ended(tx, before, Some(ids)).await?;
            let ids = without_kept_children(tx, ended).await?;
            let gone = operation::Entity::delete_many()
                .filter(operation::Column::Id.is_in(ids.iter().map(OperationId::as_str)))
                .exec(tx)
                .await?;
            Ok(gone.rows_affected)
        })
        .await
    }

    /// Removes those of the copies `ids` that may be purged still, with their lines. Returns how many.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn purge_copies(
        &self,
        ids: &[OperationId],
        before: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        self.write(async |tx| {
            let ids = ended_copies(tx, before, Some(ids)).await?;
            let gone = peer_operation::Entity::delete_many()
                .filter(peer_operation::Column::Id.is_in(ids.iter().map(OperationId::as_str)))
                .exec(tx)
                .await?;
            Ok(gone.rows_affected)
        })
        .await
    }

    /// Forgets the engines that were not seen since `before`. Returns how many.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn purge_engines(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        self.write(async |tx| {
            let gone = engine::Entity::delete_many()
                .filter(engine::Column::SeenAt.lt(before))
                .exec(tx)
                .await?;
            Ok(gone.rows_affected)
        })
        .await
    }

    /// The rows of operations as they are stored, one value for each operation. What is encrypted in the database is encrypted
    /// in them too.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_rows(&self, ids: &[OperationId]) -> Result<Vec<JsonValue>, StoreError> {
        use operation::Column;
        let ids: Vec<&str> = ids.iter().map(OperationId::as_str).collect();
        self.read_kept(async |tx| {
            let rows = operation::Entity::find()
                .filter(Column::Id.is_in(ids.iter().copied()))
                .order_by_asc(Column::Id)
                .into_json();
            let lines = step::Entity::find()
                .filter(step::Column::OperationId.is_in(ids.iter().copied()))
                .order_by_asc(step::Column::Position)
                .into_json();
            let maps = resource_map::Entity::find()
                .filter(resource_map::Column::OperationId.is_in(ids.iter().copied()))
                .into_json();
            let mut lines = by_operation(lines.all(tx).await?);
            let mut maps = by_operation(maps.all(tx).await?);
            let rows = rows.all(tx).await?.into_iter().map(|row| {
                let id = text_of(&row, "id");
                let (lines, maps) = (lines.remove(&id), maps.remove(&id));
                json!({"operation": row, "steps": lines, "resource_map": maps})
            });
            Ok(rows.collect())
        })
        .await
    }

    /// The same of copies.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn copy_rows(&self, ids: &[OperationId]) -> Result<Vec<JsonValue>, StoreError> {
        use peer_operation::Column;
        let ids: Vec<&str> = ids.iter().map(OperationId::as_str).collect();
        self.read_kept(async |tx| {
            let rows = peer_operation::Entity::find()
                .filter(Column::Id.is_in(ids.iter().copied()))
                .order_by_asc(Column::Id)
                .into_json();
            let lines = peer_operation_line::Entity::find()
                .filter(peer_operation_line::Column::OperationId.is_in(ids.iter().copied()))
                .order_by_asc(peer_operation_line::Column::Position)
                .into_json();
            let mut lines = by_operation(lines.all(tx).await?);
            let rows = rows.all(tx).await?.into_iter().map(|row| {
                let lines = lines.remove(&text_of(&row, "id"));
                json!({"peer_operation": row, "lines": lines})
            });
            Ok(rows.collect())
        })
        .await
    }
}

fn text_of(row: &JsonValue, field: &str) -> String {
    row[field].as_str().unwrap_or_default().to_owned()
}

fn by_operation(rows: Vec<JsonValue>) -> BTreeMap<String, Vec<JsonValue>> {
    let mut by_operation: BTreeMap<String, Vec<JsonValue>> = BTreeMap::new();
    for row in rows {
        let operation = text_of(&row, "operation_id");
        by_operation.entry(operation).or_default().push(row);
    }
    by_operation
}

/// Those of `among`, or of all, that have ended before `before`, have left nothing, and that nobody waits for. What was made
/// for another one comes before that.
async fn ended(
    db: &impl ConnectionTrait,
    before: DateTime<Utc>,
    among: Option<&[OperationId]>,
) -> Result<Vec<OperationId>, StoreError> {
    use operation::{Column, Entity};
    let among = among.map(|ids| Column::Id.is_in(ids.iter().map(OperationId::as_str)));
    let states = OperationState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(OperationState::as_str);
    let ids: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Condition::all().add_option(among))
        .filter(Column::Kind.is_in(PURGED.map(OperationKind::as_str)))
        .filter(Column::State.is_in(states))
        .filter(Column::FinishedAt.lt(before))
        .filter(is_told())
        .filter(Expr::exists(lines_that_matter()).not())
        .filter(Expr::exists(locks()).not())
        .order_by_desc(Column::CreatedAt)
        .order_by_desc(Column::Id)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(OperationId::new).collect())
}

/// Of an operation: the other site has its newest state, or is gone for good.
fn is_told() -> Condition {
    Condition::any()
        .add(operation::Column::PushDueAt.is_null())
        .add(operation::Column::GroupId.in_subquery(without_other_site()))
}

/// Of an operation: its lines that have left something, or are not known to have ended.
fn lines_that_matter() -> sea_orm::sea_query::SelectStatement {
    let under_way = [StepState::Running, StepState::Undoing].map(StepState::as_str);
    step::Entity::find()
        .select_only()
        .column(step::Column::Position)
        .filter(line_of_operation())
        .filter(
            Condition::any()
                .add(left_behind())
                .add(not_recovered())
                .add(step::Column::State.is_in(under_way)),
        )
        .into_query()
}

/// Of an operation: what it holds, and what is held of it.
fn locks() -> sea_orm::sea_query::SelectStatement {
    use operation_lock::{Column, Entity};
    let is =
        |column| Expr::col((Entity, column)).equals((operation::Entity, operation::Column::Id));
    Query::select()
        .column(Column::OperationId)
        .from(Entity)
        .cond_where(
            Condition::any()
                .add(is(Column::OperationId))
                .add(is(Column::ResourceId)),
        )
        .to_owned()
}

/// Those of `ids` for which nothing was made that stays.
async fn without_kept_children(
    db: &impl ConnectionTrait,
    ids: Vec<OperationId>,
) -> Result<Vec<OperationId>, StoreError> {
    use operation::{Column, Entity};
    let mut children: Vec<(String, String)> = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let rows: Vec<(String, Option<String>)> = Entity::find()
            .select_only()
            .columns([Column::Id, Column::ParentId])
            .filter(Column::ParentId.is_in(ids.iter().map(OperationId::as_str)))
            .into_tuple()
            .all(db)
            .await?;
        let rows = rows.into_iter();
        children.extend(rows.filter_map(|(id, parent)| Some((id, parent?))));
    }
    let mut gone: BTreeSet<&str> = ids.iter().map(OperationId::as_str).collect();
    loop {
        let kept_for: Vec<&str> = children
            .iter()
            .filter(|(child, parent)| {
                gone.contains(parent.as_str()) && !gone.contains(child.as_str())
            })
            .map(|(_, parent)| parent.as_str())
            .collect();
        if kept_for.is_empty() {
            break;
        }
        gone.retain(|id| !kept_for.contains(id));
    }
    let gone: BTreeSet<String> = gone.into_iter().map(str::to_owned).collect();
    let mut ids = ids;
    ids.retain(|id| gone.contains(id.as_str()));
    Ok(ids)
}

/// Those of the copies `among`, or of all, that are complete, tell of an end and of nothing left, and were asked for before
/// `before`.
async fn ended_copies(
    db: &impl ConnectionTrait,
    before: DateTime<Utc>,
    among: Option<&[OperationId]>,
) -> Result<Vec<OperationId>, StoreError> {
    use peer_operation::{Column, Entity};
    let among = among.map(|ids| Column::Id.is_in(ids.iter().map(OperationId::as_str)));
    let states = OperationState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(OperationState::as_str);
    let ids: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Condition::all().add_option(among))
        .filter(Column::Kind.is_in(PURGED.map(OperationKind::as_str)))
        .filter(Column::State.is_in(states))
        .filter(Column::Leftovers.eq(0))
        .filter(Column::Revision.gt(0))
        .filter(Column::CreatedAt.lt(before))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(OperationId::new).collect())
}
