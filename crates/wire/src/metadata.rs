//! A group's metadata on its way between two protectors, and whether both have the same.

use chrono::{DateTime, Utc};
use protector_store::{AgreedState, Conflict, DatedState, MetadataState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::Timestamp;

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
    /// What the document says, in one word: SHA-256, in hexadecimal digits.
    pub digest: String,
    /// The last state that the sender knows both sites to have held; null if there was none. With `force`: the state
    /// that it saw here, which its own shall replace.
    pub base: Option<BaseState>,
    /// Whether a person has said that the sender's view counts over the one that is kept here.
    #[serde(default)]
    pub force: bool,
    /// The name of the site that sends it.
    pub origin_site: String,
    /// The group, its members, its policy.
    #[schema(value_type = Object)]
    pub document: serde_json::Value,
}

/// The last state of a group's metadata that both sites held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseState {
    /// Its version.
    pub version: u64,
    /// What it said, in one word; null where that was not kept.
    pub digest: Option<String>,
}

impl From<AgreedState> for BaseState {
    fn from(base: AgreedState) -> Self {
        Self {
            version: base.version,
            digest: base.digest,
        }
    }
}

impl From<BaseState> for AgreedState {
    fn from(base: BaseState) -> Self {
        Self {
            version: base.version,
            digest: base.digest,
        }
    }
}

/// Query of `GET …/metadata`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeldQuery {
    /// Show the metadata itself too, its secrets masked.
    #[serde(default)]
    pub document: bool,
}

/// Query of `DELETE …/metadata`: what the other site held when the group was deleted there.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WithdrawQuery {
    /// Its version.
    pub version: u64,
    /// What it said, in one word.
    pub digest: String,
}

/// Answer of `GET …/metadata`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldAnswer {
    /// What is kept.
    pub metadata: HeldMetadata,
}

/// A group's metadata as it is kept here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeldMetadata {
    /// Its version.
    pub version: u64,
    /// What it says, in one word.
    pub digest: String,
    /// When the group was last changed here.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: DateTime<Utc>,
    /// The last state that both sites are known to have held; null if there was none.
    pub base: Option<BaseState>,
    /// The operation that moves the group here, if one does; left out by a protector that does not tell.
    #[serde(default)]
    pub moved_by: Option<String>,
    /// Since when the site that asks is retired here: nothing that it says of the group is taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retired_at: Option<DateTime<Utc>>,
    /// The metadata itself with `document=true`; secrets are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub document: Option<serde_json::Value>,
}

/// Answer of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataAnswer {
    /// What is kept now.
    pub metadata: KeptMetadata,
}

/// The metadata that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptMetadata {
    /// Its version.
    pub version: u64,
    /// What it says, in one word. Another one than that of the push where something newer is kept already.
    pub digest: String,
}

impl From<MetadataState> for KeptMetadata {
    fn from(mark: MetadataState) -> Self {
        Self {
            version: mark.version,
            digest: mark.digest,
        }
    }
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
    pub until: Timestamp,
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
    /// What differs, in words, where both sites answer: `member web-1: only on site-a`, `description`.
    pub differs: Vec<String>,
    /// That the group was changed on both sites since they last agreed; null if it was not.
    pub conflict: Option<ConflictView>,
    /// The last push from here; null if there was none.
    pub last_push: Option<PushView>,
}

/// A group that was changed on both sites since they last agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConflictView {
    /// What the site that answers held when it was found.
    pub local: HeldView,
    /// What the other site held.
    pub remote: HeldView,
    /// When it was found.
    pub detected_at: Timestamp,
}

/// What a site held of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeldView {
    /// The version.
    pub version: u64,
    /// What it said, in one word.
    pub digest: String,
    /// When the group was last changed there.
    pub changed_at: Timestamp,
}

impl From<&DatedState> for HeldView {
    fn from(held: &DatedState) -> Self {
        Self {
            version: held.mark.version,
            digest: held.mark.digest.clone(),
            changed_at: held.changed_at.into(),
        }
    }
}

impl From<&Conflict> for ConflictView {
    fn from(conflict: &Conflict) -> Self {
        Self {
            local: (&conflict.local).into(),
            remote: (&conflict.remote).into(),
            detected_at: conflict.detected_at.into(),
        }
    }
}

/// A site's version of a group's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SiteVersion {
    /// The site's name.
    pub site: String,
    /// Its version; null where it does not know the group or does not answer.
    pub version: Option<u64>,
    /// What its metadata says, in one word, the same on both sites while nothing differs; null likewise.
    pub digest: Option<String>,
    /// Whether it is the site that answers.
    pub local: bool,
}

/// A push of a group's metadata to the other site.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PushView {
    /// When.
    pub at: Option<Timestamp>,
    /// `OK` or `FAILED`.
    #[schema(value_type = String)]
    pub result: &'static str,
    /// Why it failed.
    pub error: Option<String>,
}
