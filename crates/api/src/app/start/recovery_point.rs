//! The recovery point that an unplanned or a test failover would choose, and the members as they were when it was made.

use std::time::Duration;

use protector_core::{plan::Plan, storage::RecoveryPoint};

use crate::app::App;

/// How long the target's array may take to say what it has, to whoever asks for a preview.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take where many groups are started one after the other.
const PATIENCE_OF_A_START: Duration = Duration::from_secs(3);

/// Why no recovery point is known, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoPoint {
    NoneYet(String),
    /// The array does not say.
    Silent(String),
}

impl NoPoint {
    pub(crate) fn into_sentence(self) -> String {
        match self {
            Self::NoneYet(why) | Self::Silent(why) => why,
        }
    }
}

/// The latest recovery point of the plan's group on its target. Asks the target's array and nobody else.
pub(crate) async fn latest_point(app: &App, plan: &Plan) -> Result<RecoveryPoint, NoPoint> {
    latest_within(app, plan, PATIENCE).await
}

async fn latest_within(
    app: &App,
    plan: &Plan,
    patience: Duration,
) -> Result<RecoveryPoint, NoPoint> {
    let replication = plan.replication();
    let volumes = plan.volumes_in_cinder();
    let asked = app.storage.recovery_points(&replication, &volumes);
    let array = &plan.target_array;
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(points)) => points.into_iter().next().ok_or_else(|| {
            NoPoint::NoneYet(format!("{array} has no recovery point of the group: the failover would fail and change nothing."))
        }),
        Ok(Err(error)) => Err(NoPoint::Silent(format!(
            "The recovery points cannot be told: {error}."
        ))),
        Err(_) => Err(NoPoint::Silent(format!(
            "The recovery points cannot be told: {array} did not answer within {} s.",
            patience.as_secs()
        ))),
    }
}

/// `plan` with its members as they were when its group's latest recovery point was made. The array is asked only where a member
/// was another since; where it does not say, they are as they are, and the step that chooses the point says so.
pub(crate) async fn as_at_latest_point(app: &App, plan: Plan) -> Plan {
    if !plan.has_history() {
        return plan;
    }
    match latest_within(app, &plan, PATIENCE_OF_A_START).await {
        Ok(point) => plan.as_at(point.taken_at),
        Err(_) => plan,
    }
}
