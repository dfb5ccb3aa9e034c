//! The first full copies of a group's volumes, without which nothing can be moved.

use std::time::Duration;

use protector_core::{plan::Plan, storage::ArrayProgress};

use crate::{
    app::{App, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

/// How long the arrays may take to tell how far they are, where many groups are started one after the other.
const PATIENCE: Duration = Duration::from_secs(3);

/// Refuses a planned move of `plan` while its target has no full copy of each volume: that may take days. Arrays that do not tell
/// in time are asked again by the move, before it stops anything.
pub(super) async fn refuse_before_first_copy(app: &App, plan: &Plan) -> ApiResult<()> {
    let (replication, volumes) = (plan.replication(), plan.volumes_in_cinder());
    let asked = app.storage.first_copies(&replication, &volumes);
    let Ok(Ok(ArrayProgress::Pending(pending))) = tokio::time::timeout(PATIENCE, asked).await
    else {
        return Ok(());
    };
    Err(ApiError::new(
        Refusal::FirstCopy,
        format!(
            "Protection group {group} cannot be moved yet: {target} waits for {pending}. Nothing is stopped before that; 'openstack dr protection-group action {group} --action sync' begins it where it has not begun.",
            group = plan.group_name,
            target = plan.target.site,
        ),
    ))
}
