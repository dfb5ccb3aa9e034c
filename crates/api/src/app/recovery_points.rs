//! The recovery points of a group.

use protector_core::{group::Group, plan::Plan, storage::PointsKept};
use protector_wire::recovery_point::{KeptPointView, RecoveryPointsAnswer};

use super::{
    App,
    policy::{self, capabilities_of},
    start::{admission::refused, recovery_point::points_of},
};
use crate::http::error::{ApiError, ApiResult};

/// What the group can be brought to on its other site, newest first.
///
/// # Errors
///
/// 404 without a policy, 409 without members, 503 where the array does not say.
pub async fn list(app: &App, group: &Group) -> ApiResult<RecoveryPointsAnswer> {
    let policy = policy::of(app, group).await?;
    let members = app.database.member_list(&group.id).await?;
    let arrays = policy::array_pair(app, group, Some(&policy))?;
    let plan = Plan::replicate_to_other_site(group, members, arrays.as_ref())
        .map_err(|refusal| refused(group, &refusal))?;
    let can = capabilities_of(app, &plan)?;
    let points = points_of(app, &plan).await;
    let points = points.map_err(|why| ApiError::new(why.refusal(), why.into_sentence()))?;
    let now = app.clock.now();
    let entries = points.into_iter().map(|point| KeptPointView {
        id: point.id.to_string(),
        taken_at: point.taken_at.into(),
        age_seconds: (now - point.taken_at).num_seconds().max(0),
        consistency: can.consistency.as_str(),
        for_failover: can.recovery_points == PointsKept::Several,
        array: plan.target_array.clone(),
    });
    Ok(RecoveryPointsAnswer {
        recovery_points: entries.collect(),
    })
}
