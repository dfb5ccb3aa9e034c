//! The end of an operation that is given up, on the wire.

use serde::Deserialize;
use utoipa::ToSchema;

/// Body of `POST …/operations/{operation}/abort`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortRequest {
    /// How it is given up: an empty object.
    pub abort: AbortOptions,
}

/// Options of an abort.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortOptions {}
