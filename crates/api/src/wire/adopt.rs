//! Going forward with what a failed move has made, on the wire.

use serde::Deserialize;
use utoipa::ToSchema;

/// Body of `POST …/operations/{operation}/adopt`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// How; an empty object: there is nothing to choose.
    pub adopt: AdoptOptions,
}

/// Options of an adoption. There are none yet.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptOptions {}
