//! An operation's record on its way to the site that does not run it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Body of `PUT …/operations/{operation}/copy`, sent by the protector that runs the operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushOperationCopy {
    /// The copy, or a part of it.
    pub operation_copy: NewOperationCopy,
}

/// What has changed of an operation since the other site last heard of it. A long record comes in several parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOperationCopy {
    /// The site that runs it.
    pub home_site: String,
    /// How many changes its record counts.
    pub revision: u64,
    /// The revision that this copy continues; 0 for one that is complete.
    pub since: u64,
    /// Whether this is the last part of what belongs to `revision`.
    pub is_last: bool,
    /// The group that it is about.
    pub group_id: String,
    /// The group's name when it was asked for.
    pub group_name: String,
    /// Its type.
    pub kind: String,
    /// Where it is: finer than its status.
    pub state: String,
    /// The operation for which it was made.
    pub parent_id: Option<String>,
    /// How much it left behind.
    pub leftovers: u32,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
    /// The record as its home shows it, without its lines.
    #[schema(value_type = Object)]
    pub record: Value,
    /// Lines that have changed since.
    pub lines: Vec<CopiedLine>,
}

/// One line of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiedLine {
    /// Its place in the runbook, from 0.
    pub position: u32,
    /// The line as the operation's home shows it.
    #[schema(value_type = Object)]
    pub line: Value,
}

/// Answer of a pushed copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationCopyAnswer {
    /// What is kept now.
    pub operation_copy: KeptOperationCopy,
}

/// The copy that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptOperationCopy {
    /// Up to which revision.
    pub revision: u64,
}
