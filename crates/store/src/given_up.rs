//! What was made for members that an unplanned failover did not recover and that were given up since: no line's state tells
//! of it, so that SQL only finds what may have some, and each such operation is judged whole.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use protector_core::{
    id::{GroupId, OperationId, SiteName},
    leftover::leftover_count,
    member::Member,
    operation::{OperationKind, OperationRecord, OperationState},
    runbook::given_up::{given_up_members, may_give_members_up, with_given_up},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, prelude::Expr,
};

use crate::{
    database::Database,
    entity::{operation, protection_group, step},
    error::StoreError,
    operation_outbox::{self, Haste},
    operation_records::{line_of_operation, not_recovered, records},
    page::AT_ONCE,
    peer_operation::KeptOperation,
    row::member::of_groups,
};

/// How many operations are judged at once.
const PAGE: u64 = 50;

impl Database {
    /// `record` as a cleanup takes it up: with what it and its retries have made for members that no retry can take up any
    /// more, as leftovers. A retry needs it until then.
    ///
    /// Everything that tells of leftovers asks this, so that all of them count the same.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operation_as_left(
        &self,
        record: &OperationRecord,
    ) -> Result<OperationRecord, StoreError> {
        let around = self.surroundings_of([record].into_iter()).await?;
        Ok(around.as_left(record))
    }

    /// Each of `records` so.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn operations_as_left(
        &self,
        records: Vec<OperationRecord>,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let around = self.surroundings_of(records.iter()).await?;
        let as_left = |record| around.as_left(record);
        Ok(records.iter().map(as_left).collect())
    }

    /// Those of `records` that have left something.
    pub(crate) async fn with_something_left(
        &self,
        mut records: Vec<OperationRecord>,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let around = self.surroundings_of(records.iter()).await?;
        records.retain(|record| around.has_left_something(record));
        Ok(records)
    }

    /// Those of `kept` that have left something. Of a copy its home has told.
    pub(crate) async fn kept_with_something_left(
        &self,
        mut kept: Vec<KeptOperation>,
    ) -> Result<Vec<KeptOperation>, StoreError> {
        let around = self.surroundings_of(kept.iter().filter_map(here)).await?;
        kept.retain(|kept| here(kept).is_none_or(|record| around.has_left_something(record)));
        Ok(kept)
    }

    /// What the members of those of `records` that may have given some up depend on: nothing is read for the others.
    async fn surroundings_of(
        &self,
        records: impl Iterator<Item = &OperationRecord>,
    ) -> Result<Surroundings, StoreError> {
        let failovers: Vec<&OperationRecord> = records
            .filter(|record| may_give_members_up(record))
            .collect();
        if failovers.is_empty() {
            return Ok(Surroundings::default());
        }
        self.read(async |tx| Surroundings::of(tx, failovers.iter().copied()).await)
            .await
    }

    /// How many leftovers there are that no line's state tells of.
    pub(crate) async fn left_for_given_up(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut last: Option<String> = None;
        loop {
            let page = self.unrecovered_after(last.as_deref()).await?;
            let around = self.surroundings_of(page.iter()).await?;
            for record in &page {
                let more = around
                    .left_of(record)
                    .saturating_sub(leftover_count(record));
                count += more as u64;
            }
            let Some(newest) = page.last().filter(|_| page.len() as u64 == PAGE) else {
                return Ok(count);
            };
            last = Some(newest.operation.id.to_string());
        }
    }

    /// The next failovers by their ids, whole, that may have left members unrecovered.
    async fn unrecovered_after(
        &self,
        last: Option<&str>,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        self.read(async |tx| {
            let rows = operation::Entity::find()
                .filter(may_have_unrecovered())
                .filter(
                    Condition::all().add_option(last.map(|last| operation::Column::Id.gt(last))),
                )
                .order_by_asc(operation::Column::Id)
                .limit(PAGE)
                .all(tx)
                .await?;
            records(tx, rows).await
        })
        .await
    }
}

fn here(kept: &KeptOperation) -> Option<&OperationRecord> {
    match kept {
        KeptOperation::Here(record) => Some(record),
        KeptOperation::Elsewhere(_) => None,
    }
}

/// What it depends on which members of some failovers were given up.
#[derive(Default)]
pub(crate) struct Surroundings {
    /// The retries of each, the oldest first.
    tries: BTreeMap<OperationId, Vec<OperationRecord>>,
    /// Where each group runs now, and its members. One that was deleted is not among them.
    groups: BTreeMap<GroupId, (SiteName, Vec<Member>)>,
}

impl Surroundings {
    /// What those of `records` depend on that may have given some up.
    pub(crate) async fn of(
        tx: &DatabaseTransaction,
        records: impl Iterator<Item = &OperationRecord>,
    ) -> Result<Self, StoreError> {
        let failovers: Vec<&OperationRecord> = records
            .filter(|record| may_give_members_up(record))
            .collect();
        let mut around = Self::default();
        for failovers in failovers.chunks(AT_ONCE) {
            let ids = failovers.iter().map(|record| &record.operation.id);
            around.read_tries(tx, ids).await?;
            let groups = failovers.iter().map(|record| &record.operation.group_id);
            around.read_groups(tx, groups).await?;
        }
        Ok(around)
    }

    async fn read_tries(
        &mut self,
        tx: &DatabaseTransaction,
        failovers: impl Iterator<Item = &OperationId>,
    ) -> Result<(), StoreError> {
        use operation::{Column, Entity};
        let rows = Entity::find()
            .filter(Column::ParentId.is_in(failovers.map(OperationId::as_str)))
            .filter(Column::Kind.eq(OperationKind::Retry.as_str()))
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id)
            .all(tx)
            .await?;
        for record in records(tx, rows).await? {
            if let Some(parent) = record.operation.parent_id.clone() {
                self.tries.entry(parent).or_default().push(record);
            }
        }
        Ok(())
    }

    async fn read_groups(
        &mut self,
        tx: &DatabaseTransaction,
        ids: impl Iterator<Item = &GroupId> + Clone,
    ) -> Result<(), StoreError> {
        use protection_group::{Column, Entity};
        let rows: Vec<(String, String)> = Entity::find()
            .select_only()
            .columns([Column::Id, Column::CurrentPrimarySite])
            .filter(Column::Id.is_in(ids.clone().map(GroupId::as_str)))
            .into_tuple()
            .all(tx)
            .await?;
        let mut members = of_groups(tx, ids).await?;
        for (id, site) in rows {
            let id = GroupId::new(id);
            let members = members.remove(&id).unwrap_or_default();
            self.groups.insert(id, (site.into(), members));
        }
        Ok(())
    }

    fn as_left(&self, record: &OperationRecord) -> OperationRecord {
        if !may_give_members_up(record) {
            return record.clone();
        }
        let tries = self.tries.get(&record.operation.id);
        let tries = tries.map(Vec::as_slice).unwrap_or_default();
        let group = self.groups.get(&record.operation.group_id);
        let group = group.map(|(runs_on, members)| (runs_on, members.as_slice()));
        let given_up = given_up_members(record, tries, group);
        with_given_up(record, tries, &given_up)
    }

    /// How much `record` has left.
    pub(crate) fn left_of(&self, record: &OperationRecord) -> usize {
        match may_give_members_up(record) {
            true => leftover_count(&self.as_left(record)),
            false => leftover_count(record),
        }
    }

    fn has_left_something(&self, record: &OperationRecord) -> bool {
        leftover_count(record) > 0 || self.left_of(record) > 0
    }
}

/// Of an operation: a failover that has ended well, but for some of its members.
fn may_have_unrecovered() -> Condition {
    let kinds = [OperationKind::Failover, OperationKind::Failback].map(OperationKind::as_str);
    let lines = step::Entity::find()
        .select_only()
        .column(step::Column::Position)
        .filter(line_of_operation())
        .filter(not_recovered())
        .into_query();
    Condition::all()
        .add(operation::Column::State.eq(OperationState::Completed.as_str()))
        .add(operation::Column::Kind.is_in(kinds))
        .add(Expr::exists(lines))
}

/// The other site is told once more what the failovers of `group` have left: its members have changed, or where it runs.
pub(crate) async fn shown_anew(
    db: &impl ConnectionTrait,
    group: &GroupId,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<String> = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::GroupId.eq(group.as_str()))
        .filter(may_have_unrecovered())
        .into_tuple()
        .all(db)
        .await?;
    for id in ids {
        operation_outbox::changed(db, &OperationId::new(id), now, Haste::Soon).await?;
    }
    Ok(())
}
