//! The key with which this site's protector signs what it tells another one. All hosts of the site share it, so it is kept
//! here, encrypted.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, Set, sea_query::OnConflict};
use secrecy::SecretString;

use crate::{
    database::Database,
    entity::signing_key::{ActiveModel, Column, Entity, Model, ROW},
    error::StoreError,
    peer_key::PublicKey,
    secrets::SecretLocation,
};

/// A key pair as it is kept. What the secret half looks like is for who makes it to know.
#[derive(Clone, Debug)]
pub struct StoredSigningKey {
    /// The half that others know.
    pub public: PublicKey,
    pub secret: SecretString,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// The place of the secret half.
pub(crate) const SIGNING_KEY: SecretLocation<'static> = SecretLocation {
    table: "signing_keys",
    row: "1",
    column: "secret_key",
};

impl Database {
    /// The key; `None` before it was made.
    ///
    /// # Errors
    ///
    /// `Secret` when it cannot be decrypted.
    pub async fn signing_key(&self) -> Result<Option<StoredSigningKey>, StoreError> {
        let row = row(self.pool()).await?;
        row.map(|row| self.signing_key_of(&row)).transpose()
    }

    /// The half that others know; `None` before the key was made. Needs no key repository.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn signing_key_public(&self) -> Result<Option<PublicKey>, StoreError> {
        let row = row(self.pool()).await?;
        row.map(|row| PublicKey::from_column(&row.public_key))
            .transpose()
    }

    /// Keeps `made` unless there is a key already, which another host may have made at the same moment. Returns the one that
    /// counts.
    ///
    /// # Errors
    ///
    /// `Secret` when it cannot be encrypted, or that one not decrypted.
    pub async fn signing_key_begin(
        &self,
        made: &StoredSigningKey,
    ) -> Result<StoredSigningKey, StoreError> {
        let new = self.sealed(made)?;
        let kept = self
            .write(async |tx| {
                Entity::insert(new.clone())
                    .on_conflict_do_nothing()
                    .exec_without_returning(tx)
                    .await?;
                row(tx).await
            })
            .await?;
        match kept {
            Some(row) => self.signing_key_of(&row),
            None => Ok(made.clone()),
        }
    }

    /// Signs with `made` from now on.
    ///
    /// # Errors
    ///
    /// `Secret` when it cannot be encrypted.
    pub async fn signing_key_replace(&self, made: &StoredSigningKey) -> Result<(), StoreError> {
        let new = self.sealed(made)?;
        self.write(async |tx| {
            Entity::insert(new.clone())
                .on_conflict(
                    OnConflict::column(Column::Id)
                        .update_columns([Column::PublicKey, Column::SecretKey, Column::CreatedAt])
                        .to_owned(),
                )
                .exec_without_returning(tx)
                .await?;
            Ok(())
        })
        .await
    }

    fn sealed(&self, made: &StoredSigningKey) -> Result<ActiveModel, StoreError> {
        Ok(ActiveModel {
            id: Set(ROW),
            public_key: Set(made.public.to_string()),
            secret_key: Set(self.keys()?.encrypt(SIGNING_KEY, &made.secret)?),
            created_at: Set(made.created_at),
        })
    }

    fn signing_key_of(&self, row: &Model) -> Result<StoredSigningKey, StoreError> {
        Ok(StoredSigningKey {
            public: PublicKey::from_column(&row.public_key)?,
            secret: self.keys()?.decrypt(SIGNING_KEY, &row.secret_key)?,
            created_at: row.created_at,
        })
    }
}

async fn row(db: &impl ConnectionTrait) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(ROW).one(db).await?)
}
