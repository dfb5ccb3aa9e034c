//! A member's three sides on the wire.

use chrono::{DateTime, Utc};
use protector_core::{comparison::ComparedAttribute, group::Group, member::Member};
use serde::Serialize;
use utoipa::ToSchema;

use crate::text::Timestamp;

/// Answer with a comparison.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComparisonAnswer {
    /// The comparison.
    pub comparison: ComparisonView,
}

/// A member as it is on record, as its server is now, and as a copy on the other site would be.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComparisonView {
    /// The member's id.
    pub member_id: String,
    /// Its name on record.
    pub name: String,
    /// The server on the site where the group runs now.
    pub server_id: String,
    /// That site.
    pub source_site: String,
    /// The other site, where the copy would be.
    pub target_site: String,
    /// When both sites were asked.
    pub compared_at: Timestamp,
    /// The attributes, one after the other: the server's, its network cards', its volumes', and what is lost.
    pub attributes: Vec<ComparedView>,
}

/// One attribute.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ComparedView {
    /// What it is about. What only the cloud has a name for has that name.
    pub field: String,
    /// What the member's record has; null of what is not recorded.
    pub recorded: Option<String>,
    /// What the server has now; null where its cloud does not show it. User data is never shown: `set`, `changed` or `none`.
    pub now: Option<String>,
    /// What the copy would have; null of what it would lack, and of what is not known.
    pub copy: Option<String>,
    /// `kept`, `changed`, `lost`, `unknown` where the other site does not tell, or `refused` where no move starts while it is so.
    #[schema(value_type = String)]
    pub outcome: &'static str,
    /// Why; null of what is simply kept.
    pub why: Option<String>,
}

impl ComparisonView {
    /// Shows `lines` about `member` of `group`.
    pub fn of(
        group: &Group,
        member: &Member,
        lines: Vec<ComparedAttribute>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            member_id: member.id.to_string(),
            name: member.name.clone(),
            server_id: member.server_id.to_string(),
            source_site: group.current().site.to_string(),
            target_site: group.other().site.to_string(),
            compared_at: at.into(),
            attributes: lines.into_iter().map(ComparedView::from).collect(),
        }
    }
}

impl From<ComparedAttribute> for ComparedView {
    fn from(line: ComparedAttribute) -> Self {
        Self {
            field: line.field,
            recorded: line.recorded,
            now: line.now,
            copy: line.copy,
            outcome: line.outcome.as_str(),
            why: line.why,
        }
    }
}
