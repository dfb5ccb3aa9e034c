//! Recovery points in the catalogue. The caller holds the group's lock wherever something is written.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, TransactionTrait, sea_query::Expr,
};

use crate::catalogue::{
    Catalogue,
    entity::{
        promotion,
        recovery_point::{Column, Entity, Model, State},
        recovery_point_volume as replica,
    },
};

/// A group and the direction in which it is replicated.
#[derive(Clone, Debug)]
pub(crate) struct ReplicationScope {
    pub(crate) group: String,
    pub(crate) source: String,
    pub(crate) target: String,
}

impl Catalogue {
    /// The complete point that `operation` made.
    pub async fn point_of(
        &self,
        scope: &ReplicationScope,
        operation: &str,
    ) -> Result<Option<Model>, DbErr> {
        in_scope(scope)
            .filter(Column::OperationId.eq(operation))
            .filter(Column::State.eq(State::Complete))
            .one(&self.db)
            .await
    }

    /// The complete points, newest first.
    pub(crate) async fn points(&self, scope: &ReplicationScope) -> Result<Vec<Model>, DbErr> {
        in_scope(scope)
            .filter(Column::State.eq(State::Complete))
            .order_by_desc(Column::TakenAt)
            .all(&self.db)
            .await
    }

    /// The points that a killed or failed call left half made or half removed.
    pub(crate) async fn unfinished_points(
        &self,
        scope: &ReplicationScope,
    ) -> Result<Vec<Model>, DbErr> {
        Entity::find()
            .filter(Column::GroupId.eq(&scope.group))
            .filter(Column::Target.eq(&scope.target))
            .filter(Column::State.ne(State::Complete))
            .all(&self.db)
            .await
    }

    /// Says that `point` is about to be made.
    pub(crate) async fn begin_point(&self, point: Model) -> Result<(), DbErr> {
        Entity::insert(point.into_active_model())
            .exec_without_returning(&self.db)
            .await
            .map(drop)
    }

    /// Says that all files of the point are on disk.
    pub(crate) async fn complete_point(
        &self,
        id: &str,
        volumes: Vec<replica::Model>,
    ) -> Result<(), DbErr> {
        // The first statement writes: a transaction that starts by reading cannot wait for another's lock.
        let transaction = self.db.begin().await?;
        Entity::update_many()
            .col_expr(Column::State, Expr::value(State::Complete))
            .filter(Column::Id.eq(id))
            .exec(&transaction)
            .await?;
        for volume in volumes {
            volume.into_active_model().insert(&transaction).await?;
        }
        transaction.commit().await
    }

    /// Says that the point is about to be removed; `false` if something was, or is being, promoted from it.
    pub(crate) async fn begin_removal(&self, id: &str) -> Result<bool, DbErr> {
        let promoted_from = promotion::Entity::find()
            .select_only()
            .column(promotion::Column::PointId);
        let marked = Entity::update_many()
            .col_expr(Column::State, Expr::value(State::Removing))
            .filter(Column::Id.eq(id))
            .filter(Column::Id.not_in_subquery(sea_orm::QueryTrait::into_query(promoted_from)))
            .exec(&self.db)
            .await?;
        Ok(marked.rows_affected > 0)
    }

    /// Drops a point without regard to promotions: its files are gone.
    pub(crate) async fn forget_point(&self, id: &str) -> Result<(), DbErr> {
        let transaction = self.db.begin().await?;
        replica::Entity::delete_many()
            .filter(replica::Column::PointId.eq(id))
            .exec(&transaction)
            .await?;
        Entity::delete_many()
            .filter(Column::Id.eq(id))
            .exec(&transaction)
            .await?;
        transaction.commit().await
    }

    /// The volumes of a complete point.
    pub(crate) async fn replicas(&self, point: &str) -> Result<Vec<replica::Model>, DbErr> {
        replica::Entity::find()
            .filter(replica::Column::PointId.eq(point))
            .all(&self.db)
            .await
    }

    /// When `point`, a complete point of `scope`, was taken.
    pub(crate) async fn taken_at(
        &self,
        scope: &ReplicationScope,
        point: &str,
    ) -> Result<Option<DateTime<Utc>>, DbErr> {
        let known = in_scope(scope)
            .filter(Column::Id.eq(point))
            .filter(Column::State.eq(State::Complete))
            .one(&self.db)
            .await?;
        Ok(known.and_then(|known| DateTime::from_timestamp_micros(known.taken_at)))
    }

    /// One volume as of `point`, if that is a complete point of `scope` and holds it.
    pub(crate) async fn replica(
        &self,
        scope: &ReplicationScope,
        point: &str,
        volume: &str,
    ) -> Result<Option<replica::Model>, DbErr> {
        let known = in_scope(scope)
            .filter(Column::Id.eq(point))
            .filter(Column::State.eq(State::Complete))
            .one(&self.db)
            .await?;
        if known.is_none() {
            return Ok(None);
        }
        replica::Entity::find_by_id((point.to_owned(), volume.to_owned()))
            .one(&self.db)
            .await
    }
}

fn in_scope(scope: &ReplicationScope) -> sea_orm::Select<Entity> {
    Entity::find()
        .filter(Column::GroupId.eq(&scope.group))
        .filter(Column::Source.eq(&scope.source))
        .filter(Column::Target.eq(&scope.target))
}
