//! What an array can do for a group, as data: runbooks are chosen by it, and people are told of it.

use serde::{Deserialize, Serialize};

/// What replication between two arrays can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// The driver, as the configuration names it.
    pub driver: String,
    pub promotion: PromotionKind,
    pub consistency: Consistency,
    pub recovery_points: PointsKept,
    pub way_back: WayBack,
    /// Whether the array itself keeps the source from being written to after a planned move.
    pub fences_source: bool,
    /// Whether a recovery point can be tried beside a replication that goes on.
    pub test_clone: bool,
    /// Whether a volume is taken away on one side with its peer on the other.
    pub linked_deletion: bool,
    /// Whether a name that is given on one side comes to the other.
    pub names_follow: bool,
    /// What else an operator should know, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What becomes of a replica that is promoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// It stays, and a copy of it becomes the volume.
    #[default]
    Copy,
    /// It becomes the volume itself, and what has been the volume becomes its replica.
    InPlace,
}

impl PromotionKind {
    pub fn is_copy(&self) -> bool {
        *self == Self::Copy
    }

    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::InPlace => "in_place",
        }
    }
}

/// Of what several volumes are one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Of the group, whatever is written meanwhile.
    Group,
    /// Of the group while nothing is written; else of each volume by itself.
    GroupWhenQuiet,
    /// Of each volume by itself.
    Volume,
}

impl Consistency {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::GroupWhenQuiet => "group_when_quiet",
            Self::Volume => "volume",
        }
    }
}

/// Which points in time a group can be brought to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointsKept {
    /// Some, as they were taken.
    #[default]
    Several,
    /// What the target has at the moment, and nothing before it.
    LatestOnly,
}

impl PointsKept {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Several => "several",
            Self::LatestOnly => "latest_only",
        }
    }
}

/// What is sent on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayBack {
    /// What was written since.
    Delta,
    Full,
    /// The array does not say.
    Unknown,
}

impl WayBack {
    /// As it is written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delta => "delta",
            Self::Full => "full",
            Self::Unknown => "unknown",
        }
    }
}
