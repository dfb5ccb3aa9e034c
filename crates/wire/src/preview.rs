//! What a failover or a failback would do, on the wire.

use std::collections::BTreeMap;

use protector_core::comparison::{AttributeOutcome, ComparedAttribute};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{operation::OperationView, policy::CapabilitiesView, text::Timestamp};

/// Answer of an action: the operation that began, or, with `dry_run`, what would be done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ActionAnswer {
    /// The operation; null for a dry run.
    pub operation: Option<OperationView>,
    /// What would be done; only for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewView>,
}

/// What an operation would do if it were started now. Nothing is kept of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// `failover` or `failback`.
    #[schema(value_type = String)]
    pub operation_type: &'static str,
    /// `planned` or `unplanned`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The site that the group leaves.
    pub source_site: String,
    /// The site that it goes to.
    pub target_site: String,
    /// An unplanned failover: the recovery point that would be brought up; what was written after it is lost.
    pub recovery_point: Option<PreviewedPoint>,
    /// The members that would be moved.
    pub members: Vec<PreviewedMember>,
    /// The steps, in order.
    pub steps: Vec<String>,
    /// Whether the volumes on the site that the group leaves would stay.
    pub retain_source_volumes: bool,
    /// What would probably not go as wanted.
    pub warnings: Vec<String>,
    /// What the arrays can do in this direction. Version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<CapabilitiesView>,
}

/// A recovery point, as it is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewedPoint {
    /// Its id on the array.
    pub id: String,
    /// The time whose data it holds.
    pub taken_at: Timestamp,
    /// How old it is.
    pub age_seconds: i64,
}

/// A member that would be moved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewedMember {
    /// Its name.
    pub name: String,
    /// Its server on the source.
    pub server_id: String,
    /// Its volumes, the boot volume first.
    pub volumes: Vec<PreviewedVolume>,
    /// Network on the source → network on the target.
    pub networks: BTreeMap<String, String>,
    /// The flavor on the target that was mapped, or the one on the source, which is looked for by id, then by name and size.
    pub flavor: String,
    /// What becomes of its attributes. From API version 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<PreviewedAttributes>,
}

/// What becomes of a member's attributes: those of its server, its network cards and its volumes.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct PreviewedAttributes {
    /// How many the copy has as they are.
    pub kept: usize,
    /// What the copy has something else in the place of.
    pub changed: Vec<PreviewedChange>,
    /// What the copy lacks.
    pub lost: Vec<PreviewedAttribute>,
    /// What nobody tells.
    pub unknown: Vec<PreviewedAttribute>,
    /// What refuses the move while it is so.
    pub refused: Vec<PreviewedAttribute>,
}

/// An attribute that becomes another.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewedChange {
    /// What it is about.
    pub field: String,
    /// What the member has; null where that is not known.
    pub what: Option<String>,
    /// What the copy would have.
    pub copy: Option<String>,
    /// Why.
    pub why: Option<String>,
}

/// An attribute that the copy would not have, or of which nobody knows that.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewedAttribute {
    /// What it is about.
    pub field: String,
    /// What the member has; null where that is not known.
    pub what: Option<String>,
    /// Why.
    pub why: Option<String>,
}

impl PreviewedAttributes {
    /// Sorts `lines` by what becomes of each.
    pub fn of(lines: Vec<ComparedAttribute>) -> Self {
        let mut all = Self::default();
        for line in lines {
            let is = line.now.or(line.recorded);
            let attribute = PreviewedAttribute {
                field: line.field,
                what: is,
                why: line.why,
            };
            match line.outcome {
                AttributeOutcome::Kept => all.kept += 1,
                AttributeOutcome::Changed => all.changed.push(PreviewedChange {
                    field: attribute.field,
                    what: attribute.what,
                    copy: line.copy,
                    why: attribute.why,
                }),
                AttributeOutcome::Lost => all.lost.push(attribute),
                AttributeOutcome::Unknown => all.unknown.push(attribute),
                AttributeOutcome::Refused => all.refused.push(attribute),
            }
        }
        all
    }
}

/// A volume that would be moved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PreviewedVolume {
    /// Its id on the source.
    pub id: String,
    /// Its name; empty where it has none.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u64,
}
