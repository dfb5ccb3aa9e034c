//! What all lists have: a direction, and links.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The direction of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortDir {
    /// Smallest or oldest first.
    Asc,
    /// Largest or newest first.
    #[default]
    Desc,
}

/// A link of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Link {
    /// `next`.
    #[schema(value_type = String)]
    pub rel: &'static str,
    /// Where.
    pub href: String,
}
