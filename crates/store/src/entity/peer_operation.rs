//! The copy of an operation that the other site runs.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "peer_operations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub home_site: String,
    pub project_id: String,
    pub group_id: String,
    pub group_name: String,
    pub kind: String,
    pub state: String,
    pub parent_id: Option<String>,
    pub leftovers: i32,
    pub created_at: ChronoDateTimeUtc,
    pub revision: i64,
    pub record: Json,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
