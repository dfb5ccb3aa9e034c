//! The recovery points that an unplanned or a test failover may go to, the one that it would choose, and the members as they
//! were when it was made.

use std::time::Duration;

use protector_core::{
    plan::Plan,
    storage::{PointsKept, RecoveryPoint},
};

use crate::{
    app::{App, refusal::Refusal},
    http::error::{ApiError, ApiResult},
};

/// How long the target's array may take to say what it has, to whoever asks for a preview.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take where many groups are started one after the other.
const PATIENCE_OF_A_START: Duration = Duration::from_secs(3);

/// Why no recovery point is known, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPoint {
    NoneYet(String),
    /// The array does not say at the moment.
    Silent(String),
    /// It will not say before somebody has done something.
    Refused(String),
}

impl NoPoint {
    pub(crate) fn into_sentence(self) -> String {
        match self {
            Self::NoneYet(why) | Self::Silent(why) | Self::Refused(why) => why,
        }
    }

    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::NoneYet(_) => Refusal::NotMovable,
            Self::Silent(_) => Refusal::ArraySilent,
            Self::Refused(_) => Refusal::ArrayRefuses,
        }
    }

    /// The answer to a request whose `field` needs to know it.
    pub(crate) fn into_error(self, field: &str) -> ApiError {
        let refusal = self.refusal();
        ApiError::new(refusal, format!("{field}: {}", self.into_sentence()))
    }
}

/// The recovery point on the target that the operation would go to: the one that was asked for, or the latest. Asks the target's
/// array and nobody else.
pub(crate) async fn chosen_point(app: &App, plan: &Plan) -> Result<RecoveryPoint, NoPoint> {
    chosen_within(app, plan, PATIENCE).await
}

async fn chosen_within(
    app: &App,
    plan: &Plan,
    patience: Duration,
) -> Result<RecoveryPoint, NoPoint> {
    let array = &plan.target_array;
    let points = points_within(app, plan, patience).await?;
    plan.chosen_of(points).ok_or_else(|| {
        NoPoint::NoneYet(match &plan.recovery_point {
            None => format!("{array} has no recovery point of the group: the failover would fail and change nothing."),
            Some(wanted) => format!("{array} has no recovery point {wanted} of the group."),
        })
    })
}

/// The recovery points of the plan's group on its target's array that it could be brought to with all its volumes, newest first.
///
/// # Errors
///
/// That the array does not say.
pub(crate) async fn points_of(app: &App, plan: &Plan) -> Result<Vec<RecoveryPoint>, NoPoint> {
    points_within(app, plan, PATIENCE).await
}

async fn points_within(
    app: &App,
    plan: &Plan,
    patience: Duration,
) -> Result<Vec<RecoveryPoint>, NoPoint> {
    let replication = plan.replication();
    let volumes = plan.volumes_in_cinder();
    let asked = app.storage.recovery_points(&replication, &volumes);
    let array = &plan.target_array;
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(points)) => Ok(points),
        Ok(Err(error)) => {
            let why = format!("The recovery points cannot be told: {error}.");
            Err(match error.kind.may_pass() {
                true => NoPoint::Silent(why),
                false => NoPoint::Refused(why),
            })
        }
        Err(_) => Err(NoPoint::Silent(format!(
            "The recovery points cannot be told: {array} did not answer within {} s.",
            patience.as_secs()
        ))),
    }
}

/// The recovery point that was asked for, if one was.
///
/// # Errors
///
/// 400 where the array has no such point, or, for an unplanned move, goes to what it has at the moment only; 503 where it does
/// not say, 409 where it refuses to.
pub(crate) async fn asked_for(
    app: &App,
    plan: &Plan,
    field: &str,
    kept: PointsKept,
) -> ApiResult<Option<RecoveryPoint>> {
    let Some(wanted) = &plan.recovery_point else {
        return Ok(None);
    };
    let array = &plan.target_array;
    if kept == PointsKept::LatestOnly {
        return Err(ApiError::bad_request(format!(
            "{field}: {array} goes to what it has at the moment, whichever recovery point is named; leave the field out. A test failover can show {wanted}."
        )));
    }
    match chosen_point(app, plan).await {
        Ok(point) => Ok(Some(point)),
        Err(NoPoint::NoneYet(_)) => Err(ApiError::bad_request(format!(
            "{field}: {array} has no recovery point {wanted} of the group; 'openstack dr recovery-point list {}' shows those that it has.",
            plan.group_name
        ))),
        Err(silent) => Err(silent.into_error(field)),
    }
}

/// `plan` with its members as they were when the recovery point that it goes to was made. The array is asked only where a member
/// was another since, and where its answer is not `known` yet; where it does not say, they are as they are, and the step that chooses the point says so.
pub(crate) async fn as_at_its_point(app: &App, plan: Plan, known: Option<&RecoveryPoint>) -> Plan {
    if !plan.has_history() {
        return plan;
    }
    if let Some(point) = known {
        return plan.as_at(point.taken_at);
    }
    match chosen_within(app, &plan, PATIENCE_OF_A_START).await {
        Ok(point) => plan.as_at(point.taken_at),
        Err(_) => plan,
    }
}
