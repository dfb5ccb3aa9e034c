//! An operation, with its lease.

use sea_orm::entity::prelude::*;

use crate::foreign_text::ForeignText;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "operations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub kind: String,
    pub planning: String,
    pub lane: String,
    pub group_id: String,
    pub project_id: String,
    pub user_id: String,
    pub source_site: String,
    pub target_site: String,
    pub parent_id: Option<String>,
    pub plan: Json,
    pub state: String,
    pub book_version: i32,
    pub request_id: String,
    pub global_request_id: Option<String>,
    pub lease_owner: Option<String>,
    pub lease_until: Option<ChronoDateTimeUtc>,
    pub fence: i64,
    pub beat: i64,
    pub error: Option<ForeignText>,
    pub error_code: Option<String>,
    pub created_at: ChronoDateTimeUtc,
    pub started_at: Option<ChronoDateTimeUtc>,
    pub finished_at: Option<ChronoDateTimeUtc>,
    pub revision: i64,
    pub pushed_revision: i64,
    pub push_due_at: Option<ChronoDateTimeUtc>,
    pub push_failed_tries: i32,
    pub push_error: Option<ForeignText>,
    /// What its plan says: operations outlive their groups, and are asked for by their names.
    pub group_name: String,
    /// What its plan says: lists show it, and do not read plans.
    pub adopts_id: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::protection_group::Entity",
        from = "Column::GroupId",
        to = "super::protection_group::Column::Id"
    )]
    ProtectionGroup,
}

impl ActiveModelBehavior for ActiveModel {}
