//! Which signed messages of other sites' protectors were heard, so that one that somebody says again does nothing.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Set};

use crate::{
    database::Database,
    entity::peer_message::{ActiveModel, Column, Entity},
    error::{StoreError, is_duplicate},
};

/// A message that changes something, told apart from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerMessage {
    /// What its sender has made up for it alone.
    pub nonce: String,
    /// Until when it could be said again: later it is too old to be believed.
    pub forget_after: DateTime<Utc>,
}

impl Database {
    /// Whether a message is heard for the first time; it is remembered from then on, by all hosts of the site.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn peer_message_is_first(
        &self,
        message: &PeerMessage,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let row = ActiveModel {
            nonce: Set(message.nonce.clone()),
            forget_after: Set(message.forget_after),
        };
        self.write(async |tx| {
            Entity::delete_many()
                .filter(Column::ForgetAfter.lt(now))
                .exec(tx)
                .await?;
            let added = Entity::insert(row.clone()).exec_without_returning(tx).await;
            match added {
                Ok(_) => Ok(true),
                Err(error) if is_duplicate(&error) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}
