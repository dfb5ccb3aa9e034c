//! What waits in the records: readings for those who watch the service.

use chrono::{DateTime, Utc};
use protector_core::id::GroupId;
use sea_orm::{
    EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait, prelude::Expr,
    sea_query::ExprTrait,
};

use crate::{
    database::Database,
    entity::{
        operation,
        protection_group::{Column, Entity},
        step,
    },
    error::StoreError,
    operation_records::{left_behind, line_of_operation, may_be_cleaned_up},
    words::to_count,
};

/// A group whose newest version the other site has not been sent, or has not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsentGroup {
    pub id: GroupId,
    /// The newest version that the other site has.
    pub pushed_version: u64,
    /// When the group was last changed here.
    pub updated_at: DateTime<Utc>,
}

impl Database {
    /// The groups whose newest version the other site does not have, also those whose next push has to wait.
    ///
    /// Reads three columns of the groups' table, as often as it is called; no member, operation or line is read.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn unsent_groups(&self) -> Result<Vec<UnsentGroup>, StoreError> {
        let rows = Entity::find()
            .select_only()
            .columns([Column::Id, Column::PushedVersion, Column::UpdatedAt])
            .filter(Expr::col(Column::Version).gt(Expr::col(Column::PushedVersion)))
            .into_tuple::<(String, i64, DateTime<Utc>)>()
            .all(self.pool())
            .await?;
        rows.into_iter()
            .map(|(id, pushed, updated_at)| {
                Ok(UnsentGroup {
                    id: id.into(),
                    pushed_version: to_count("protection_groups.pushed_version", pushed)?,
                    updated_at,
                })
            })
            .collect()
    }

    /// How many things ended operations have left behind and nobody has cleaned up, on all sites together: the sum of
    /// [`leftover_count`](protector_core::leftover::leftover_count) over this site's operations, each taken as
    /// [`Database::operation_as_left`] shows it.
    ///
    /// Costs one entry of the index `steps_by_state` and one operation by its id for each line that failed, could not be
    /// taken back, or was skipped, however many lines there are that ended well; and each unplanned failover, whole, that
    /// left members unrecovered.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn left_count(&self) -> Result<u64, StoreError> {
        let ended = operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            .filter(line_of_operation())
            .filter(may_be_cleaned_up())
            .into_query();
        let count = step::Entity::find()
            .select_only()
            .column(step::Column::Position)
            .filter(left_behind())
            .filter(Expr::exists(ended))
            .count(self.pool())
            .await?;
        Ok(count + self.left_for_given_up().await?)
    }
}
