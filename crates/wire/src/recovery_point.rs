//! Recovery points on the wire.

use serde::Serialize;
use utoipa::ToSchema;

use crate::text::Timestamp;

/// The recovery points of a group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecoveryPointsAnswer {
    /// Newest first.
    pub recovery_points: Vec<KeptPointView>,
}

/// A recovery point that a group could be brought to on its other site, with all its volumes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeptPointView {
    /// Its id on the array.
    pub id: String,
    /// The time whose data it holds.
    pub taken_at: Timestamp,
    /// How old it is.
    pub age_seconds: i64,
    /// Of what the volumes are one moment: `group`, `group_when_quiet` (while nothing was written), `volume`.
    #[schema(value_type = String)]
    pub consistency: &'static str,
    /// Whether an unplanned failover can be asked to go to it: not where the array goes to what it has at the moment, whichever is
    /// named. A test failover can go to each.
    pub for_failover: bool,
    /// The array that has it.
    pub array: String,
}
