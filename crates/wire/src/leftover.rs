//! What an operation has left behind, and what a cleanup does about it.

use protector_core::leftover::Leftover;
use serde::Serialize;
use utoipa::ToSchema;

use crate::text::Timestamp;

/// What a cleanup has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CleanupView {
    /// Entries of the parent's `steps_completed`: done already.
    pub skipped: usize,
    /// Those of `steps` whose resources were retained by configuration.
    pub retained: Vec<String>,
    /// The lines that are tried again, in order.
    pub steps: Vec<String>,
    /// Those of `steps` whose servers are deleted though they run, as was asked for.
    pub delete_running: Vec<String>,
    /// What is left, in the order of `steps`.
    pub leftovers: Vec<LeftoverView>,
    /// The floating IPs that are released, as was asked for.
    pub floating_ips: Vec<FloatingIpView>,
}

/// A floating IP that a cleanup releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FloatingIpView {
    /// The key of the line that releases it.
    pub step: String,
    /// Its id on its cloud; null where it was never learnt, and the line keeps it.
    pub resource_id: Option<String>,
    /// Its address.
    pub address: String,
    /// The server that it led to, by name.
    pub server: String,
    /// The site that has it.
    pub site: String,
    /// The tenant's project there.
    pub project_id: String,
    /// The plain command that does it by hand, with a `clouds.yaml` whose entries are named as the sites.
    pub command: String,
}

/// Something that an operation left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftoverView {
    /// The key of the line that is tried again.
    pub step: String,
    /// `server`, `volume`, or null for a line about the whole group.
    #[schema(value_type = Option<String>)]
    pub resource_type: Option<&'static str>,
    /// Its id on its cloud; null where it was never learnt.
    pub resource_id: Option<String>,
    /// Its name.
    pub name: String,
    /// The site that has it.
    pub site: String,
    /// The tenant's project there.
    pub project_id: String,
    /// A volume's size in GiB.
    pub size_gib: Option<u64>,
    /// `retained`, `failed` or `not_taken_back`.
    #[schema(value_type = String)]
    pub reason: &'static str,
    /// Why, with the cloud's own words.
    pub error: Option<String>,
    /// The kind of that failure, `PRT-…`.
    #[schema(value_type = Option<String>)]
    pub error_code: Option<&'static str>,
    /// Since when nothing was tried any more.
    pub since: Option<Timestamp>,
    /// The plain command that does it by hand, with a `clouds.yaml` whose entries are named as the sites; begins with
    /// `#` where there is none, or where it is not safe as it is.
    pub command: String,
}

impl From<&Leftover> for LeftoverView {
    fn from(left: &Leftover) -> Self {
        Self {
            step: left.step.clone(),
            resource_type: left.kind.map(|kind| kind.as_str()),
            resource_id: left.resource_id.clone(),
            name: left.name.clone(),
            site: left.scope.site.to_string(),
            project_id: left.scope.project_id.to_string(),
            size_gib: left.size_gib,
            reason: left.reason.as_str(),
            error: left.error.clone(),
            error_code: left.error_code.map(|code| code.as_str()),
            since: left.since.map(Timestamp),
            command: left.command.clone(),
        }
    }
}
