//! Lists of operations as they are shown: of each only what a list shows of it, so that a page costs what is on it.

use std::collections::BTreeMap;

use protector_core::{
    id::OperationId,
    operation::{OperationRecord, ResourceMap, StepRecord},
    outline::{
        OperationOutline, PlanOutline, SHOWN_KINDS, StepOutline, TELLING_ACTIONS, TELLING_STATES,
        tells_more,
    },
    plan::Plan,
    recovery_plan::Pause,
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DerivePartialModel, EntityTrait,
    JsonValue, QueryFilter, QueryOrder, QuerySelect,
};

use crate::{
    database::Database,
    entity::{operation, step},
    error::StoreError,
    given_up::Surroundings,
    operation::Head,
    operation_records::{OperationFilter, OperationOrder, maps_of, records_of, steps_among},
    page::{Filling, Listed, Page},
    peer_operation::{PeerOperation, Row, heads_of_both},
    words::{from_json, from_word},
};

/// An operation that this site knows of, as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub enum ListedOperation {
    Here {
        /// What is shown of it.
        outline: Box<OperationOutline>,
        /// How much it has left: [`leftover_count`](protector_core::leftover::leftover_count) of it, taken as
        /// [`Database::operation_as_left`] shows it.
        leftovers: usize,
    },
    /// The copy of one that the other site runs.
    Elsewhere(PeerOperation),
}

impl ListedOperation {
    pub fn id(&self) -> &OperationId {
        match self {
            Self::Here { outline, .. } => &outline.operation.id,
            Self::Elsewhere(copy) => &copy.id,
        }
    }

    /// Of a copy its home has told.
    fn has_left_something(&self) -> bool {
        match self {
            Self::Here { leftovers, .. } => *leftovers > 0,
            Self::Elsewhere(_) => true,
        }
    }
}

impl Database {
    /// A page of all operations that this site knows of, its own and copies of those that the other site runs, as lists
    /// show them. The same operations in the same order as [`Database::operation_list_of_both`].
    ///
    /// # Errors
    ///
    /// `MarkerNotFound`.
    pub async fn operation_outlines(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<ListedOperation>, StoreError> {
        if !filter.with_leftovers {
            return self.page_of_outlines(filter, page).await;
        }
        let mut next = Page {
            limit: Ord::max(page.limit, 1),
            ..page.clone()
        };
        let mut filling = Filling::of(page.limit);
        while filling.wants_more() {
            let mut listed = self.page_of_outlines(filter, &next).await?;
            next.marker = listed.items.last().map(|listed| listed.id().to_string());
            listed.items.retain(ListedOperation::has_left_something);
            filling.add(listed);
        }
        Ok(filling.into_listed())
    }

    async fn page_of_outlines(
        &self,
        filter: &OperationFilter,
        page: &Page<OperationOrder>,
    ) -> Result<Listed<ListedOperation>, StoreError> {
        self.read(async |tx| {
            let rows = heads_of_both(tx, filter, page).await?;
            Ok(Listed {
                items: outlined(tx, rows.items).await?,
                more: rows.more,
            })
        })
        .await
    }
}

/// Reads what is shown of this site's own operations, of all in one go, and keeps the order.
async fn outlined(
    tx: &DatabaseTransaction,
    rows: Vec<Row>,
) -> Result<Vec<ListedOperation>, StoreError> {
    let ids: Vec<String> = rows
        .iter()
        .filter_map(|row| match row {
            Row::Here(head) => Some(head.id.clone()),
            Row::Elsewhere(_) => None,
        })
        .collect();
    let mut parts = Parts::of(tx, &ids).await?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        listed.push(match row {
            Row::Here(head) => ListedOperation::Here {
                outline: Box::new(parts.outline(*head)?),
                leftovers: 0,
            },
            Row::Elsewhere(copy) => ListedOperation::Elsewhere((*copy).into()),
        });
    }
    wait_at_pauses(tx, &mut listed).await?;
    count_leftovers(tx, &mut listed).await?;
    Ok(listed)
}

/// What is read of some operations beside their rows, by their ids.
#[derive(Default)]
struct Parts {
    lines: BTreeMap<String, Vec<StepOutline>>,
    telling: BTreeMap<String, Vec<StepRecord>>,
    maps: BTreeMap<String, ResourceMap>,
}

impl Parts {
    async fn of(db: &impl ConnectionTrait, ids: &[String]) -> Result<Self, StoreError> {
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let mut telling = steps_among(db, ids, may_tell_more()).await?;
        for lines in telling.values_mut() {
            lines.retain(tells_more);
        }
        Ok(Self {
            lines: lines_of(db, ids).await?,
            telling,
            maps: maps_of(db, ids, &SHOWN_KINDS).await?,
        })
    }

    fn outline(&mut self, head: Head) -> Result<OperationOutline, StoreError> {
        let plan = PlanOutline {
            group_name: head.group_name.clone(),
            adopts: head.adopts_id.clone().map(OperationId::new),
        };
        Ok(OperationOutline {
            lines: self.lines.remove(&head.id).unwrap_or_default(),
            telling: self.telling.remove(&head.id).unwrap_or_default(),
            map: self.maps.remove(&head.id).unwrap_or_default(),
            pauses: Vec::new(),
            operation: head.with_plan(plan)?,
        })
    }
}

/// Of a line: it may be one that [`tells_more`].
fn may_tell_more() -> Condition {
    use step::Column;
    let states = TELLING_STATES.map(|state| state.as_str());
    let in_state = Condition::any().add(Column::State.is_in(states));
    TELLING_ACTIONS.iter().fold(in_state, |any, action| {
        any.add(Column::Action.contains(format!("\"{action}\"")))
    })
}

/// What is shown of most lines.
#[derive(DerivePartialModel)]
#[sea_orm(entity = "step::Entity")]
struct LineRow {
    operation_id: String,
    phase_name: String,
    verb: String,
    reported: String,
    step_key: String,
    state: String,
}

impl LineRow {
    fn into_outline(self) -> Result<StepOutline, StoreError> {
        Ok(StepOutline {
            phase_name: self.phase_name,
            verb: from_word("steps.verb", &self.verb)?,
            reported: from_word("steps.reported", &self.reported)?,
            key: self.step_key,
            state: from_word("steps.state", &self.state)?,
        })
    }
}

async fn lines_of(
    db: &impl ConnectionTrait,
    ids: &[String],
) -> Result<BTreeMap<String, Vec<StepOutline>>, StoreError> {
    let rows = step::Entity::find()
        .filter(step::Column::OperationId.is_in(ids))
        .order_by_asc(step::Column::OperationId)
        .order_by_asc(step::Column::Position)
        .into_partial_model::<LineRow>()
        .all(db)
        .await?;
    let mut lines: BTreeMap<String, Vec<StepOutline>> = BTreeMap::new();
    for mut row in rows {
        let operation = std::mem::take(&mut row.operation_id);
        let line = row.into_outline()?;
        lines.entry(operation).or_default().push(line);
    }
    Ok(lines)
}

/// Reads the pauses of those that may wait at one.
async fn wait_at_pauses(
    db: &impl ConnectionTrait,
    listed: &mut [ListedOperation],
) -> Result<(), StoreError> {
    let waiting = listed.iter().filter_map(|listed| match listed {
        ListedOperation::Here { outline, .. } if outline.waits_at_a_pause() => {
            Some(outline.operation.id.as_str())
        }
        _ => None,
    });
    let waiting: Vec<&str> = waiting.collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let plans: Vec<(String, JsonValue)> = operation::Entity::find()
        .select_only()
        .columns([operation::Column::Id, operation::Column::Plan])
        .filter(operation::Column::Id.is_in(waiting))
        .into_tuple()
        .all(db)
        .await?;
    let mut pauses: BTreeMap<String, Vec<Pause>> = BTreeMap::new();
    for (id, plan) in plans {
        let plan: Plan = from_json("operations.plan", plan)?;
        pauses.insert(id, plan.recovery.pauses);
    }
    for listed in listed {
        if let ListedOperation::Here { outline, .. } = listed
            && let Some(pauses) = pauses.remove(outline.operation.id.as_str())
        {
            outline.pauses = pauses;
        }
    }
    Ok(())
}

/// Counts what each has left. Only of those that may have given members up the whole record is read.
async fn count_leftovers(
    tx: &DatabaseTransaction,
    listed: &mut [ListedOperation],
) -> Result<(), StoreError> {
    let failovers = listed.iter().filter_map(|listed| match listed {
        ListedOperation::Here { outline, .. } if outline.may_give_members_up() => {
            Some(outline.operation.id.to_string())
        }
        _ => None,
    });
    let failovers: Vec<String> = failovers.collect();
    let failovers: Vec<OperationRecord> = records_of(tx, &failovers).await?;
    let around = Surroundings::of(tx, failovers.iter()).await?;
    let mut left: BTreeMap<&OperationId, usize> = failovers
        .iter()
        .map(|record| (&record.operation.id, around.left_of(record)))
        .collect();
    for listed in listed {
        if let ListedOperation::Here { outline, leftovers } = listed {
            *leftovers = left
                .remove(&outline.operation.id)
                .unwrap_or_else(|| outline.leftover_count());
        }
    }
    Ok(())
}
