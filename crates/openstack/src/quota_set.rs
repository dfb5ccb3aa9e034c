//! Quota sets, as Nova, Cinder and Neutron write them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// What a project may use of one resource, and what it uses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct QuotaUsage {
    /// The most; -1 for no limit.
    pub limit: i64,
    /// What is in use; Neutron calls it `used`.
    #[serde(alias = "used")]
    pub in_use: i64,
    /// What is reserved by calls under way.
    pub reserved: i64,
}

impl QuotaUsage {
    /// How much more may be used; `None` for no limit.
    pub fn left(&self) -> Option<i64> {
        (self.limit >= 0).then(|| (self.limit - self.in_use - self.reserved).max(0))
    }
}

/// Reads the resources of a quota set and leaves out what is none (`id`).
pub(crate) fn usages(set: Map<String, Value>) -> BTreeMap<String, QuotaUsage> {
    let usage = |(name, value): (String, Value)| Some((name, serde_json::from_value(value).ok()?));
    set.into_iter().filter_map(usage).collect()
}
