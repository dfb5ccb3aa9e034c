//! The readiness check on the wire.

use protector_core::readiness::ReadinessFinding;
use serde::Serialize;
use utoipa::ToSchema;

use crate::text::Timestamp;

/// Answer of a readiness check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// What was found.
    pub check: CheckView,
}

/// Whether a group is ready to be moved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CheckView {
    /// No finding is an error.
    pub ready: bool,
    /// When it was looked.
    pub checked_at: Timestamp,
    /// At least one for each check word; within a word the worst first.
    pub findings: Vec<FindingView>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// `site_reachable`, `peer_reachable`, `in_sync`, `status`, `policy`, `recovery_point`, `mapping`, `quota`,
    /// `flavor`, `image`, `carried`, `security_group`, `server_group`, `rights`, `volume_type`, `member`, `backend` or `leftovers`.
    #[schema(value_type = String)]
    pub check: &'static str,
    /// `ok`, `warning` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The site, member or resource that it is about; null for the group as a whole.
    pub subject: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do about it; null where all is well.
    pub fix: Option<String>,
}

impl From<ReadinessFinding> for FindingView {
    fn from(finding: ReadinessFinding) -> Self {
        Self {
            check: finding.check.as_str(),
            status: finding.severity.as_str(),
            subject: finding.subject,
            message: finding.message,
            fix: finding.fix,
        }
    }
}
