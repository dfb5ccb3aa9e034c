//! Quotas: how much of everything one project may have. Counted in the transaction that adds, after a row that every rival
//! writes first, so that two at once do not pass together.

use protector_core::{
    id::{GroupId, ProjectId},
    operation::{Operation, OperationKind, OperationState},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, Set,
    sea_query::OnConflict,
};

use crate::{
    entity::{member, operation, protection_group, quota_turn},
    error::StoreError,
    operation::NewOperation,
    quotas::{QuotaOf, Quotas},
};

impl Quotas {
    /// Refuses another group of `project`.
    pub(crate) async fn allow_group(
        self,
        db: &impl ConnectionTrait,
        project: &ProjectId,
    ) -> Result<(), StoreError> {
        use protection_group::{Column, Entity};

        let Some(limit) = self.protection_groups else {
            return Ok(());
        };
        take_turn(db, project).await?;
        let groups = Entity::find().filter(Column::LocalProjectId.eq(project.as_str()));
        allow(QuotaOf::ProtectionGroups, limit, groups.count(db).await?)
    }

    /// Refuses another member of `group`, whose row this transaction has written.
    pub(crate) async fn allow_member(
        self,
        db: &impl ConnectionTrait,
        group: &GroupId,
    ) -> Result<(), StoreError> {
        use member::{Column, Entity};

        let Some(limit) = self.members_per_group else {
            return Ok(());
        };
        let members = Entity::find().filter(Column::GroupId.eq(group.as_str()));
        allow(QuotaOf::MembersPerGroup, limit, members.count(db).await?)
    }

    /// Refuses another operation of its project, if it is one that can wait for a better day.
    pub(crate) async fn allow_operation(
        self,
        db: &impl ConnectionTrait,
        new: &NewOperation<'_>,
    ) -> Result<(), StoreError> {
        use operation::{Column, Entity};

        let Some(limit) = self.open_operations else {
            return Ok(());
        };
        if !can_wait(new.operation) {
            return Ok(());
        }
        let project = &new.operation.project_id;
        take_turn(db, project).await?;
        let open = [
            OperationState::Queued,
            OperationState::Running,
            OperationState::Unwinding,
        ];
        let operations = Entity::find()
            .filter(Column::ProjectId.eq(project.as_str()))
            .filter(Column::State.is_in(open.map(OperationState::as_str)));
        allow(QuotaOf::OpenOperations, limit, operations.count(db).await?)
    }
}

/// Whether an operation only does what can be done tomorrow as well. What recovers, fences, gives up or cleans up cannot: a
/// tenant whose planned moves hang on a lost site must be able to leave it.
fn can_wait(operation: &Operation) -> bool {
    match operation.kind {
        OperationKind::Failover | OperationKind::Failback => !operation.is_unplanned(),
        OperationKind::TestFailover | OperationKind::Sync => true,
        OperationKind::TestCleanup
        | OperationKind::Cleanup
        | OperationKind::Retry
        | OperationKind::Fence
        | OperationKind::Abort => false,
    }
}

/// Writes the project's row, which makes a rival wait until this transaction ends; what it has added is seen after that.
async fn take_turn(db: &impl ConnectionTrait, project: &ProjectId) -> Result<(), StoreError> {
    let row = quota_turn::ActiveModel {
        project_id: Set(project.to_string()),
    };
    let mut again = OnConflict::column(quota_turn::Column::ProjectId);
    again.update_column(quota_turn::Column::ProjectId);
    quota_turn::Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

fn allow(of: QuotaOf, limit: u64, used: u64) -> Result<(), StoreError> {
    if used < limit {
        return Ok(());
    }
    Err(StoreError::OverQuota { of, limit, used })
}
