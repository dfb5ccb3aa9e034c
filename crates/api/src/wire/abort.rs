//! The end of an operation that is given up, on the wire.

use serde::Deserialize;
use utoipa::ToSchema;

/// Body of `POST …/operations/{operation}/abort`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortRequest {
    /// How it is given up; an empty object where both sites answer.
    pub abort: AbortOptions,
}

/// Options of an abort.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortOptions {
    /// Said of a site that does not answer, by somebody who knows: it is lost, and nothing goes on there. The VMs that a move
    /// to it has stopped are started again; a copy that ran there all the same would run beside its original.
    #[serde(default)]
    pub target_is_lost: bool,
}
