//! Promotions in the catalogue. The caller holds the promoted object's lock wherever something is written.

use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::OnConflict,
};

use crate::catalogue::{
    Catalogue,
    entity::promotion::{Column, Entity, Model},
};

#[derive(Clone, Debug)]
pub(crate) struct PromotionKey {
    pub(crate) operation: String,
    pub(crate) volume: String,
    pub(crate) target: String,
}

impl Catalogue {
    /// What is known of a promotion.
    pub(crate) async fn promotion(&self, key: &PromotionKey) -> Result<Option<Model>, DbErr> {
        Entity::find_by_id(id(key)).one(&self.db).await
    }

    /// Says that the object is about to be made under its staged name; replaces what was known. From then on its
    /// recovery point stays.
    pub(crate) async fn begin_promotion(&self, promotion: Model) -> Result<(), DbErr> {
        let replace = OnConflict::columns([Column::OperationId, Column::VolumeId, Column::Target])
            .update_columns([
                Column::PointId,
                Column::SourceName,
                Column::Staged,
                Column::Serial,
            ])
            .to_owned();
        Entity::insert(promotion.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(&self.db)
            .await
            .map(drop)
    }

    /// Says that the object is complete, on disk and verified, and which one it is.
    pub async fn seal_promotion(&self, promotion: Model, serial: String) -> Result<(), DbErr> {
        let mut promotion = promotion.into_active_model();
        promotion.serial = sea_orm::Set(Some(serial));
        promotion.update(&self.db).await.map(drop)
    }

    /// Drops all promotions of an operation on one array: their objects are no concern of ours any more.
    pub async fn forget_promotions_of(&self, operation: &str, target: &str) -> Result<(), DbErr> {
        Entity::delete_many()
            .filter(Column::OperationId.eq(operation))
            .filter(Column::Target.eq(target))
            .exec(&self.db)
            .await
            .map(drop)
    }

    /// Drops a promotion: its object is gone.
    pub(crate) async fn forget_promotion(&self, key: &PromotionKey) -> Result<(), DbErr> {
        Entity::delete_by_id(id(key)).exec(&self.db).await.map(drop)
    }
}

fn id(key: &PromotionKey) -> (String, String, String) {
    (
        key.operation.clone(),
        key.volume.clone(),
        key.target.clone(),
    )
}
