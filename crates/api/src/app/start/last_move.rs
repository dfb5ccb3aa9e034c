//! The last operation that moved a group, or was to, whichever site runs it.

use protector_core::{
    id::GroupId,
    operation::{OperationKind, OperationRecord, OperationState},
};
use protector_store::{KeptOperation, OperationFilter, OperationOrder, OrderDirection, Page};

use crate::{app::App, http::error::ApiResult};

/// The kinds of operations that move a group, or members of it.
const MOVES: [OperationKind; 3] = [
    OperationKind::Failover,
    OperationKind::Failback,
    OperationKind::Retry,
];

/// How many operations are read at once in the search for one.
const AT_ONCE: u64 = 20;

/// The newest operation that was to move the group.
pub async fn last_begun(app: &App, group: &GroupId) -> ApiResult<Option<KeptOperation>> {
    newest(app, filter(group, &MOVES, &[])).await
}

/// The newest operation that was to move the group, of those of which `wanted` is true.
pub async fn last_begun_of(
    app: &App,
    group: &GroupId,
    wanted: impl Fn(&KeptOperation) -> bool,
) -> ApiResult<Option<KeptOperation>> {
    let filter = filter(group, &MOVES, &[]);
    let mut page = newest_first(AT_ONCE);
    loop {
        let listed = app.database.operation_list_of_both(&filter, &page).await?;
        page.marker = listed.items.last().map(|kept| kept.id().to_string());
        let found = listed.items.into_iter().find(&wanted);
        if found.is_some() || !listed.more {
            return Ok(found);
        }
    }
}

/// The failover or failback that brought the group where it is.
pub async fn last_completed(app: &App, group: &GroupId) -> ApiResult<Option<KeptOperation>> {
    let kinds = [OperationKind::Failover, OperationKind::Failback];
    newest(app, filter(group, &kinds, &[OperationState::Completed])).await
}

/// The newest ended move of the group on this site of which `wanted` is true.
pub async fn last_ended_here(
    app: &App,
    group: &GroupId,
    wanted: impl Fn(&OperationRecord) -> bool,
) -> ApiResult<Option<OperationRecord>> {
    let ended = [OperationState::Completed, OperationState::Failed];
    let filter = filter(group, &MOVES, &ended);
    let mut page = newest_first(AT_ONCE);
    loop {
        let listed = app.database.operation_list(&filter, &page).await?;
        page.marker = listed
            .items
            .last()
            .map(|record| record.operation.id.to_string());
        let found = listed.items.into_iter().find(&wanted);
        if found.is_some() || !listed.more {
            return Ok(found);
        }
    }
}

async fn newest(app: &App, filter: OperationFilter) -> ApiResult<Option<KeptOperation>> {
    let page = newest_first(1);
    let listed = app.database.operation_list_of_both(&filter, &page).await?;
    Ok(listed.items.into_iter().next())
}

fn filter(group: &GroupId, kinds: &[OperationKind], states: &[OperationState]) -> OperationFilter {
    OperationFilter {
        groups: vec![group.clone()],
        kinds: kinds.to_vec(),
        states: states.to_vec(),
        ..OperationFilter::default()
    }
}

fn newest_first(limit: u64) -> Page<OperationOrder> {
    Page {
        limit,
        marker: None,
        sort_key: OperationOrder::CreatedAt,
        sort_dir: OrderDirection::Desc,
    }
}
