//! One line of an operation.

use sea_orm::entity::prelude::*;

use crate::foreign_text::ForeignText;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "steps")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    pub phase: i32,
    pub phase_name: String,
    pub verb: String,
    pub reported: String,
    pub step_key: String,
    pub action: Json,
    pub resource_id: Option<String>,
    pub waits_for: Json,
    pub state: String,
    pub failed_tries: i32,
    pub wake_at: Option<ChronoDateTimeUtc>,
    pub note: Option<ForeignText>,
    pub memo: Json,
    pub error: Option<ForeignText>,
    pub error_code: Option<String>,
    pub started_at: Option<ChronoDateTimeUtc>,
    pub finished_at: Option<ChronoDateTimeUtc>,
    pub undo_started_at: Option<ChronoDateTimeUtc>,
    pub revision: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
