//! Secrets that older keys encrypted are encrypted with the newest one.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, Set};

use crate::{
    database::Database,
    entity::{replication_policy, signing_key, site},
    error::StoreError,
    policy::{PRIMARY_TOKEN, SECONDARY_TOKEN, token_of},
    secrets::{KeyRepository, Place, key_number},
    signing_key::SIGNING_KEY,
    site::password_of,
};

/// What encrypting anew did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The key that all secrets are encrypted with now.
    pub key: u32,
    /// How many secrets were encrypted with an older one.
    pub renewed: usize,
    /// How many were encrypted with it already.
    pub current: usize,
}

impl Rekeyed {
    fn count(&mut self, renewed: bool) {
        if renewed {
            self.renewed += 1;
        } else {
            self.current += 1;
        }
    }
}

impl Database {
    /// Encrypts all secrets with the newest key: passwords of sites, tokens of arrays, this site's own signing key. All or none; safe to repeat, and
    /// to do while services run.
    ///
    /// # Errors
    ///
    /// `Secret` when one cannot be decrypted; it names the place, and nothing has changed.
    pub async fn secrets_rekey(&self) -> Result<Rekeyed, StoreError> {
        let keys = self.keys()?;
        let key = keys.newest_number().unwrap_or_default();
        self.write(async |tx| {
            let mut rekeyed = Rekeyed {
                key,
                renewed: 0,
                current: 0,
            };
            rekey_sites(tx, keys, &mut rekeyed).await?;
            rekey_policies(tx, keys, &mut rekeyed).await?;
            rekey_signing_key(tx, keys, &mut rekeyed).await?;
            Ok(rekeyed)
        })
        .await
    }

    /// The numbers of the keys that some secret needs.
    ///
    /// # Errors
    ///
    /// `Secret` when one is in no known format.
    pub async fn keys_in_use(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.read(async |tx| {
            let mut numbers = BTreeSet::new();
            for row in site::Entity::find().all(tx).await? {
                numbers.insert(key_number(password_of(&row.id), &row.password)?);
            }
            for row in replication_policy::Entity::find().all(tx).await? {
                for (column, stored) in tokens(&row) {
                    numbers.insert(key_number(token_of(&row.group_id, column), stored)?);
                }
            }
            for row in signing_key::Entity::find().all(tx).await? {
                numbers.insert(key_number(SIGNING_KEY, &row.secret_key)?);
            }
            Ok(numbers)
        })
        .await
    }
}

async fn rekey_sites(
    tx: &DatabaseTransaction,
    keys: &KeyRepository,
    rekeyed: &mut Rekeyed,
) -> Result<(), StoreError> {
    for row in site::Entity::find().all(tx).await? {
        let fresh = renewed(keys, password_of(&row.id), &row.password)?;
        rekeyed.count(fresh.is_some());
        let Some(fresh) = fresh else { continue };
        // One that was changed since it was read is left as it is; the next run finds it.
        site::Entity::update_many()
            .set(site::ActiveModel {
                password: Set(fresh),
                ..Default::default()
            })
            .filter(site::Column::Id.eq(&row.id))
            .filter(site::Column::Password.eq(&row.password))
            .exec(tx)
            .await?;
    }
    Ok(())
}

async fn rekey_policies(
    tx: &DatabaseTransaction,
    keys: &KeyRepository,
    rekeyed: &mut Rekeyed,
) -> Result<(), StoreError> {
    for row in replication_policy::Entity::find().all(tx).await? {
        for (column, stored) in tokens(&row) {
            let fresh = renewed(keys, token_of(&row.group_id, column), stored)?;
            rekeyed.count(fresh.is_some());
            let Some(fresh) = fresh else { continue };
            let (column, change) = token_change(column, fresh);
            replication_policy::Entity::update_many()
                .set(change)
                .filter(replication_policy::Column::GroupId.eq(&row.group_id))
                .filter(column.eq(stored))
                .exec(tx)
                .await?;
        }
    }
    Ok(())
}

async fn rekey_signing_key(
    tx: &DatabaseTransaction,
    keys: &KeyRepository,
    rekeyed: &mut Rekeyed,
) -> Result<(), StoreError> {
    for row in signing_key::Entity::find().all(tx).await? {
        let fresh = renewed(keys, SIGNING_KEY, &row.secret_key)?;
        rekeyed.count(fresh.is_some());
        let Some(fresh) = fresh else { continue };
        signing_key::Entity::update_many()
            .set(signing_key::ActiveModel {
                secret_key: Set(fresh),
                ..Default::default()
            })
            .filter(signing_key::Column::Id.eq(row.id))
            .filter(signing_key::Column::SecretKey.eq(&row.secret_key))
            .exec(tx)
            .await?;
    }
    Ok(())
}

fn tokens(row: &replication_policy::Model) -> impl Iterator<Item = (&'static str, &str)> + use<'_> {
    [
        (PRIMARY_TOKEN, &row.primary_fa_api_token),
        (SECONDARY_TOKEN, &row.secondary_fa_api_token),
    ]
    .into_iter()
    .filter_map(|(column, stored)| Some((column, stored.as_deref()?)))
}

fn token_change(
    column: &'static str,
    fresh: String,
) -> (replication_policy::Column, replication_policy::ActiveModel) {
    let mut change = replication_policy::ActiveModel::default();
    if column == PRIMARY_TOKEN {
        change.primary_fa_api_token = Set(Some(fresh));
        (replication_policy::Column::PrimaryFaApiToken, change)
    } else {
        change.secondary_fa_api_token = Set(Some(fresh));
        (replication_policy::Column::SecondaryFaApiToken, change)
    }
}

/// The secret encrypted with the newest key, unless it is already.
fn renewed(
    keys: &KeyRepository,
    place: Place<'_>,
    stored: &str,
) -> Result<Option<String>, StoreError> {
    if Some(key_number(place, stored)?) == keys.newest_number() {
        return Ok(None);
    }
    let secret = keys.decrypt(place, stored)?;
    Ok(Some(keys.encrypt(place, &secret)?))
}
