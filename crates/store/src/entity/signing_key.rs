//! The key with which this site's protector signs. There is one, shared by all its hosts.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub struct Model {
    /// [`ROW`].
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    pub public_key: String,
    pub secret_key: String,
    pub created_at: ChronoDateTimeUtc,
}

/// The row that there is.
pub const ROW: i32 = 1;

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
