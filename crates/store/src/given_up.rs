//! What was made for members that an unplanned failover did not recover and that were given up since: no line's state tells
//! of it, so that SQL only finds what may have some, and each such operation is judged whole.

use chrono::{DateTime, Utc};
use protector_core::{
    id::{GroupId, OperationId},
    leftover::leftover_count,
    operation::{OperationKind, OperationRecord, OperationState},
    runbook::given_up::{given_up_members, may_give_members_up, with_given_up},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, prelude::Expr,
};

use crate::{
    database::Database,
    entity::{operation, step},
    error::StoreError,
    operation::{line_of_operation, not_recovered, records},
    operation_outbox::{self, Haste},
    peer_operation::KeptOperation,
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
        if !may_give_members_up(record) {
            return Ok(record.clone());
        }
        let children = self.operation_children(&record.operation.id).await?;
        let is_retry = |child: &OperationRecord| child.operation.kind == OperationKind::Retry;
        let tries: Vec<OperationRecord> = children.into_iter().filter(is_retry).collect();
        let group = &record.operation.group_id;
        let given_up = match self.group_show_by_id(group).await {
            Ok(stored) => {
                let members = self.member_list(group).await?;
                let runs_on = &stored.group.current_primary_site;
                given_up_members(record, &tries, Some((runs_on, &members)))
            }
            Err(StoreError::NotFound { .. }) => given_up_members(record, &tries, None),
            Err(error) => return Err(error),
        };
        Ok(with_given_up(record, &tries, &given_up))
    }

    /// Those of `records` that have left something.
    pub(crate) async fn with_something_left(
        &self,
        records: Vec<OperationRecord>,
    ) -> Result<Vec<OperationRecord>, StoreError> {
        let mut left = Vec::new();
        for record in records {
            if self.has_left_something(&record).await? {
                left.push(record);
            }
        }
        Ok(left)
    }

    /// Those of `kept` that have left something. Of a copy its home has told.
    pub(crate) async fn kept_with_something_left(
        &self,
        kept: Vec<KeptOperation>,
    ) -> Result<Vec<KeptOperation>, StoreError> {
        let mut left = Vec::new();
        for one in kept {
            let has_some = match &one {
                KeptOperation::Here(record) => self.has_left_something(record).await?,
                KeptOperation::Elsewhere(_) => true,
            };
            if has_some {
                left.push(one);
            }
        }
        Ok(left)
    }

    async fn has_left_something(&self, record: &OperationRecord) -> Result<bool, StoreError> {
        Ok(
            leftover_count(record) > 0
                || leftover_count(&self.operation_as_left(record).await?) > 0,
        )
    }

    /// How many leftovers there are that no line's state tells of.
    pub(crate) async fn left_for_given_up(&self) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut last: Option<String> = None;
        loop {
            let page = self.unrecovered_after(last.as_deref()).await?;
            for record in &page {
                let as_left = self.operation_as_left(record).await?;
                let more = leftover_count(&as_left).saturating_sub(leftover_count(record));
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
