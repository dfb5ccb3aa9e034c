//! The recovery point that an unplanned or a test failover would choose, and the members as they were when it was made.

use std::time::Duration;

use protector_core::{
    plan::Plan,
    storage::{RecoveryPoint, Replication},
};

use super::App;

/// How long the target's array may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// The latest recovery point of the plan's group on its target; else a sentence on why there is none. Asks the target's array
/// and nobody else.
pub(super) async fn latest_point(app: &App, plan: &Plan) -> Result<RecoveryPoint, String> {
    let replication = Replication::of(plan);
    let asked = app.storage.recovery_points(&replication);
    let array = &plan.target_array;
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(points)) => points.into_iter().next().ok_or_else(|| {
            format!("{array} has no recovery point of the group: the failover would fail and change nothing.")
        }),
        Ok(Err(error)) => Err(format!("The recovery points cannot be told: {error}.")),
        Err(_) => Err(format!(
            "The recovery points cannot be told: {array} did not answer within {} s.",
            PATIENCE.as_secs()
        )),
    }
}

/// `plan` with its members as they were when its group's latest recovery point was made; as they are where that is not known.
pub(super) fn as_at(plan: Plan, point: &Result<RecoveryPoint, String>) -> Plan {
    match point {
        Ok(point) => plan.as_at(point.taken_at),
        Err(_) => plan,
    }
}

/// `plan` with its members as they were when its group's latest recovery point was made.
pub(super) async fn as_at_latest_point(app: &App, plan: Plan) -> Plan {
    let point = latest_point(app, &plan).await;
    as_at(plan, &point)
}
