//! A group's metadata on its way between two protectors, and whether both have the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::Stamp;

/// Body of `PUT …/metadata`, sent by the other site's protector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushMetadata {
    /// The metadata.
    pub metadata: NewMetadata,
}

/// A group's metadata as one site has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMetadata {
    /// The group's version.
    pub version: u64,
    /// The name of the site that sends it.
    pub origin_site: String,
    /// The group, its members, its policy without secrets.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
}

/// Answer of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataAnswer {
    /// What is kept now.
    pub metadata: KeptMetadata,
}

/// The metadata that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptMetadata {
    /// Its version.
    pub version: u64,
}

/// Body of `PUT …/metadata/reservations/{site}`, sent by the other site's protector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveGroup {
    /// What is wanted.
    pub reservation: NewReservation,
}

/// A group that is to be held still for the other site, which is about to move it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReservation {
    /// The group's version there, which must be the one here.
    pub version: u64,
}

/// Answer of a reservation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservationAnswer {
    /// What is reserved.
    pub reservation: ReservationView,
}

/// A group that is held still.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ReservationView {
    /// When that ends by itself.
    pub until: Stamp,
}

/// Answer of sync-status and sync-force.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SyncAnswer {
    /// How the two sites compare.
    pub sync_status: SyncView,
}

/// Whether both sites have the same metadata of a group.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SyncView {
    /// `IN SYNC`, `OUT OF SYNC` or `UNREACHABLE`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// The sites, the one that answers first.
    pub sites: Vec<SiteVersion>,
    /// The last push from here; null if there was none.
    pub last_push: Option<PushView>,
}

/// A site's version of a group's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SiteVersion {
    /// The site's name.
    pub site: String,
    /// Its version; null where it does not know the group or does not answer.
    pub version: Option<u64>,
    /// Whether it is the site that answers.
    pub local: bool,
}

/// A push of a group's metadata to the other site.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PushView {
    /// When.
    pub at: Option<Stamp>,
    /// `OK` or `FAILED`.
    #[schema(value_type = String)]
    pub result: &'static str,
    /// Why it failed.
    pub error: Option<String>,
}
