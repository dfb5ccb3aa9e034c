//! Starting a replication of a group (`--action sync`).

use protector_core::{
    operation::{OperationKind, OperationRecord, Planning, ResourceMap},
    plan::Plan,
    runbook::replicate::replicate_now,
};
use protector_store::StoredGroup;

use crate::{
    app::{
        App,
        policy::array_pair,
        start::{
            admission,
            new_operation::{Asker, Run, start},
            source::{refreshed, source_seen},
        },
        sync,
    },
    http::error::{ApiError, ApiResult},
};

/// Starts a replication of a group's volumes from where it runs to its other site: a new recovery point there.
pub async fn start_replication(
    app: &App,
    asker: Asker<'_>,
    stored: &StoredGroup,
) -> ApiResult<OperationRecord> {
    let kind = OperationKind::Sync;
    let group = &stored.group;
    app.refuse_while_operated(group).await?;
    admission::refuse_wrong_status(group, kind)?;
    sync::require_in_sync(app, group).await?;
    // What is read before a recovery point is made belongs to it.
    let source = source_seen(app, group).await;
    let refreshed = refreshed(app, stored, &source).await?;
    let stored = refreshed.as_ref().unwrap_or(stored);
    let group = &stored.group;
    let members = app.database.member_list(&group.id).await?;
    let policy = app.database.policy_find(&group.id).await?;
    let arrays = array_pair(app, group, policy.as_ref())?;
    let plan = Plan::replicate_to_other_site(group, members, arrays.as_ref())
        .map_err(|refusal| admission::refused(group, &refusal))?
        .as_now();
    let steps = replicate_now().into_steps().map_err(ApiError::internal)?;
    sync::require_in_sync(app, group).await?;
    let run = Run {
        kind,
        planning: Planning::Planned,
        plan,
        steps,
        map: ResourceMap::default(),
        parent: None,
        supersedes: None,
        locks: Vec::new(),
    };
    start(app, asker, stored, run).await
}
