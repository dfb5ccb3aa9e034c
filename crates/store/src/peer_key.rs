//! The keys with which the protectors of the other sites sign. One that is known is pinned: another one is not believed until an
//! administrator says so.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use chrono::{DateTime, Utc};
use protector_core::id::SiteName;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set, sea_query::OnConflict,
};
use sha2::{Digest, Sha256};

use crate::{
    database::Database,
    entity::{
        peer_key::{ActiveModel, Column, Entity, Model},
        site,
    },
    error::{Noun, StoreError},
};

/// The half of an Ed25519 key pair that others know. Its text is base64, of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not 32 bytes in base64")]
pub struct NotAPublicKey;

impl PublicKey {
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What people compare: `SHA256:` and the digest in base64 without padding, in the form of OpenSSH's fingerprints.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(self.0)))
    }

    pub(crate) fn from_column(text: &str) -> Result<Self, StoreError> {
        text.parse()
            .map_err(|error: NotAPublicKey| StoreError::Unreadable(format!("public_key: {error}")))
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let bytes = STANDARD.decode(text).map_err(|_| NotAPublicKey)?;
        Ok(Self(bytes.try_into().map_err(|_| NotAPublicKey)?))
    }
}

/// Another site's key, and since when it is pinned here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    pub key: PublicKey,
    /// When it was pinned.
    pub pinned_at: DateTime<Utc>,
}

impl Database {
    /// The key that is pinned for a site, if one is.
    ///
    /// # Errors
    ///
    /// `NotFound` for a site that is not registered.
    pub async fn peer_key(&self, site: &SiteName) -> Result<Option<PinnedKey>, StoreError> {
        let id = id_of(self.pool(), site).await?;
        let row = Entity::find_by_id(id).one(self.pool()).await?;
        row.map(|row| pinned(&row)).transpose()
    }

    /// All pinned keys, by the sites' names.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn peer_keys(&self) -> Result<BTreeMap<SiteName, PinnedKey>, StoreError> {
        let rows = Entity::find().all(self.pool()).await?;
        let sites = site::Entity::find().all(self.pool()).await?;
        let name_of = |row: &Model| sites.iter().find(|site| site.id == row.site_id);
        rows.iter()
            .filter_map(|row| Some((row, name_of(row)?.name.clone())))
            .map(|(row, name)| Ok((name.into(), pinned(row)?)))
            .collect()
    }

    /// Pins `key` for a site, unless one is pinned already. Returns the one that is pinned then.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn peer_key_pin(
        &self,
        site: &SiteName,
        key: &PublicKey,
        now: DateTime<Utc>,
    ) -> Result<PublicKey, StoreError> {
        let unless_known = OnConflict::column(Column::SiteId)
            .do_nothing_on([Column::SiteId])
            .to_owned();
        self.peer_key_write(site, key, now, unless_known).await
    }

    /// Pins `key` for a site, whatever was pinned before.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn peer_key_replace(
        &self,
        site: &SiteName,
        key: &PublicKey,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let instead = OnConflict::column(Column::SiteId)
            .update_columns([Column::PublicKey, Column::PinnedAt])
            .to_owned();
        self.peer_key_write(site, key, now, instead).await.map(drop)
    }

    async fn peer_key_write(
        &self,
        site: &SiteName,
        key: &PublicKey,
        now: DateTime<Utc>,
        where_known: OnConflict,
    ) -> Result<PublicKey, StoreError> {
        self.write(async |tx| {
            let id = id_of(tx, site).await?;
            let row = ActiveModel {
                site_id: Set(id.clone()),
                public_key: Set(key.to_string()),
                pinned_at: Set(now),
            };
            Entity::insert(row)
                .on_conflict(where_known.clone())
                .exec_without_returning(tx)
                .await?;
            let kept = Entity::find_by_id(id).one(tx).await?;
            kept.map_or(Ok(*key), |row| PublicKey::from_column(&row.public_key))
        })
        .await
    }

    /// Forgets the key that is pinned for a site. None there: fine.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn peer_key_forget(&self, site: &SiteName) -> Result<(), StoreError> {
        self.write(async |tx| {
            let id = id_of(tx, site).await?;
            Entity::delete_by_id(id).exec(tx).await?;
            Ok(())
        })
        .await
    }
}

fn pinned(row: &Model) -> Result<PinnedKey, StoreError> {
    Ok(PinnedKey {
        key: PublicKey::from_column(&row.public_key)?,
        pinned_at: row.pinned_at,
    })
}

async fn id_of(db: &impl ConnectionTrait, name: &SiteName) -> Result<String, StoreError> {
    let found: Option<String> = site::Entity::find()
        .select_only()
        .column(site::Column::Id)
        .filter(site::Column::Name.eq(name.as_str()))
        .into_tuple()
        .one(db)
        .await?;
    found.ok_or_else(|| StoreError::not_found(Noun::Site, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_text_and_has_one_fingerprint() {
        let key = PublicKey::from([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(
            key.fingerprint(),
            "SHA256:S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4+lbMbSlOA"
        );
        assert_eq!("c2hvcnQ=".parse::<PublicKey>(), Err(NotAPublicKey));
    }
}
