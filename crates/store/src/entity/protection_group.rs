//! A protection group, with how far its metadata was pushed.

use sea_orm::entity::prelude::*;

use crate::foreign_text::ForeignText;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "protection_groups")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub local_project_id: String,
    pub name: String,
    pub description: Option<String>,
    pub primary_site: String,
    pub primary_project_id: String,
    pub secondary_site: String,
    pub secondary_project_id: String,
    pub current_primary_site: String,
    pub status: String,
    pub replication_type: String,
    pub volume_type_id: String,
    pub secondary_volume_type_id: Option<String>,
    pub network_mapping: Json,
    pub flavor_mapping: Json,
    /// Null in rows from before there were such mappings, and where there is none.
    pub server_group_mapping: Option<Json>,
    pub volume_type_mapping: Option<Json>,
    pub qos_policy_mapping: Option<Json>,
    pub priority: i32,
    pub fidelity: String,
    /// Null in rows from before there were plans.
    pub recovery_plan: Option<Json>,
    pub version: i64,
    pub last_replication_at: Option<ChronoDateTimeUtc>,
    pub created_at: ChronoDateTimeUtc,
    pub updated_at: ChronoDateTimeUtc,
    pub pushed_version: i64,
    pub peer_version: Option<i64>,
    pub push_failed_tries: i32,
    pub push_error: Option<ForeignText>,
    pub last_push_at: Option<ChronoDateTimeUtc>,
    pub next_push_at: Option<ChronoDateTimeUtc>,
    pub reserved_by: Option<String>,
    pub reserved_until: Option<ChronoDateTimeUtc>,
    pub base_digest: Option<String>,
    pub conflict: Option<Json>,
    /// Since when the group's other site is gone for good.
    pub peer_retired_at: Option<ChronoDateTimeUtc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
