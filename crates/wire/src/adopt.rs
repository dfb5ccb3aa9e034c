//! Going forward with what a failed move has made, on the wire.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

/// Body of `POST …/operations/{operation}/adopt`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// How; an empty object where both sites answer.
    pub adopt: AdoptOptions,
}

/// Options of an adoption.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptOptions {
    /// Said of the site that the group was to leave, which does not answer, by somebody who knows: it is lost. The copies
    /// become the group without a look at their originals, which are left there, to be fenced and cleaned up when it is back.
    #[serde(default)]
    pub source_is_lost: bool,
    /// With `source_is_lost`, for VMs without a copy: network on the primary site → network on the secondary site, over the
    /// failed operation's mapping.
    #[serde(default)]
    pub network_mapping: BTreeMap<String, String>,
    /// The same of flavors.
    #[serde(default)]
    pub flavor_mapping: BTreeMap<String, String>,
}
