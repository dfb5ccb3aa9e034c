//! Secrets that older keys encrypted are encrypted with the newest one, and texts of tenants that an earlier release kept in
//! clear are sealed.

use std::collections::BTreeSet;

use protector_core::{
    confidential::{Confidential, HoldsConfidential},
    id::GroupId,
    member::Member,
    plan::Plan,
    recovery_plan::RecoveryPlan,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Select, Set, Statement,
};

use crate::{
    database::Database,
    entity::{member, operation, protection_group, replication_policy, signing_key, site},
    error::StoreError,
    group, member as members,
    policy::{PRIMARY_TOKEN, SECONDARY_TOKEN, token_of},
    sealing::{explained, place_of, sealed, try_each},
    secrets::{KeyRepository, SecretLocation, key_number},
    signing_key::SIGNING_KEY,
    site::password_of,
    words::{from_json, to_json},
};

/// Rows that are read and written at once: an operation's plan holds the user data of all its members.
const PAGE: u64 = 50;

/// What encrypting anew did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// The key that all secrets are encrypted with now.
    pub key: u32,
    /// How many secrets were encrypted with an older one, or not at all.
    pub renewed: usize,
    /// How many were encrypted with it already.
    pub current: usize,
    /// Texts of tenants that stay as they are, each with the reason: their key is not here.
    pub unread: Vec<String>,
    /// How many texts of tenants were in clear.
    sealed: usize,
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
    /// Encrypts all secrets with the newest key: passwords of sites, tokens of arrays and this site's own
    /// signing key, all or none of them; then the texts
    /// of tenants, one page after the other, of which each whose key is not here stays as it is. Safe to repeat, and to do
    /// while services run.
    ///
    /// # Errors
    ///
    /// `Secret` when a password or token cannot be decrypted; it names the place, and nothing has changed.
    pub async fn secrets_rekey(&self) -> Result<Rekeyed, StoreError> {
        let keys = self.keys()?;
        let key = keys.newest_number().unwrap_or_default();
        let mut rekeyed = self
            .write(async |tx| {
                let mut rekeyed = Rekeyed {
                    key,
                    renewed: 0,
                    current: 0,
                    unread: vec![],
                    sealed: 0,
                };
                rekey_sites(tx, keys, &mut rekeyed).await?;
                rekey_policies(tx, keys, &mut rekeyed).await?;
                rekey_signing_key(tx, keys, &mut rekeyed).await?;
                Ok(rekeyed)
            })
            .await?;
        for table in Table::ALL {
            self.rekey_texts(table, keys, &mut rekeyed).await?;
        }
        // Whatever was overwritten: an earlier run may have been broken off before this.
        self.forget_what_was_overwritten().await?;
        Ok(rekeyed)
    }

    /// How many texts of tenants are kept in clear: by a release that did not seal them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn texts_in_clear(&self) -> Result<usize, StoreError> {
        self.read(async |tx| {
            let mut count = 0;
            for table in Table::ALL {
                let mut last = None;
                while let Some(page) = table.page_after(tx, last.as_deref()).await? {
                    let texts = page.iter().flat_map(|row| row.part.held().confidential());
                    count += texts.filter(|text| text.seal().is_none()).count();
                    last = page.last().map(|row| row.id.clone());
                }
            }
            Ok(count)
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
            for table in Table::ALL {
                let mut last = None;
                while let Some(page) = table.page_after(tx, last.as_deref()).await? {
                    last = page.last().map(|row| row.id.clone());
                    for mut row in page {
                        row.note_keys(&mut numbers)?;
                    }
                }
            }
            Ok(numbers)
        })
        .await
    }

    async fn rekey_texts(
        &self,
        table: Table,
        keys: &KeyRepository,
        rekeyed: &mut Rekeyed,
    ) -> Result<(), StoreError> {
        let mut last: Option<String> = None;
        loop {
            let done = self
                .write(async |tx| {
                    let Some(page) = table.locked_page_after(tx, last.as_deref()).await? else {
                        return Ok(None);
                    };
                    let mut rekeyed = rekeyed.clone();
                    let newest = page.last().map(|row| row.id.clone());
                    for mut row in page {
                        if row.rekey(keys, &mut rekeyed)? {
                            row.write(tx).await?;
                        }
                    }
                    Ok(Some((newest, rekeyed)))
                })
                .await?;
            let Some((newest, so_far)) = done else {
                return Ok(());
            };
            (last, *rekeyed) = (newest, so_far);
        }
    }

    /// What was overwritten is in the file's free pages and in the log beside it until both are written anew. Of other
    /// databases the operator's backups and logs hold it as well, and none of them has such a call.
    async fn forget_what_was_overwritten(&self) -> Result<(), StoreError> {
        if self.pool().get_database_backend() != DatabaseBackend::Sqlite {
            return Ok(());
        }
        let database = self.kept_pool();
        database.execute_unprepared("VACUUM").await?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let told = database
            .query_one_raw(Statement::from_string(DatabaseBackend::Sqlite, checkpoint))
            .await?;
        let busy = told.map(|row| row.try_get_by_index::<i32>(0)).transpose()?;
        match busy {
            Some(1) => Err(StoreError::Unavailable(
                "everything is encrypted, and what was overwritten is still in the log beside the database's file, which somebody reads: do it again, or stop the services first".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// The tables that hold texts of tenants.
#[derive(Clone, Copy)]
enum Table {
    Members,
    Groups,
    Operations,
}

/// A row, and the part of it that holds them.
struct Row {
    id: String,
    group: GroupId,
    part: Part,
}

enum Part {
    Member(Box<Member>),
    Group(Box<RecoveryPlan>),
    Operation(Box<Plan>),
}

impl Table {
    const ALL: [Self; 3] = [Self::Members, Self::Groups, Self::Operations];

    /// The rows whose ids come after `last`, `None` after the last of them.
    async fn page_after(
        self,
        tx: &DatabaseTransaction,
        last: Option<&str>,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        self.page(tx, last, Reading::Passing).await
    }

    /// The same, and nobody else writes them until the transaction ends.
    async fn locked_page_after(
        self,
        tx: &DatabaseTransaction,
        last: Option<&str>,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        self.page(tx, last, Reading::ToWrite).await
    }

    async fn page(
        self,
        tx: &DatabaseTransaction,
        last: Option<&str>,
        reading: Reading,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        let rows: Vec<Row> = match self {
            Self::Members => {
                let rows = next_page::<member::Entity>(member::Column::Id, last, reading);
                let rows = rows.all(tx).await?.into_iter().map(Row::of_member);
                rows.collect::<Result<_, _>>()?
            }
            Self::Groups => {
                let rows = next_page::<protection_group::Entity>(
                    protection_group::Column::Id,
                    last,
                    reading,
                );
                let rows = rows.all(tx).await?.into_iter().map(Row::of_group);
                rows.collect::<Result<_, _>>()?
            }
            Self::Operations => {
                let rows = next_page::<operation::Entity>(operation::Column::Id, last, reading);
                let rows = rows.all(tx).await?.into_iter().map(Row::of_operation);
                rows.collect::<Result<_, _>>()?
            }
        };
        Ok((!rows.is_empty()).then_some(rows))
    }
}

#[derive(Clone, Copy)]
enum Reading {
    Passing,
    ToWrite,
}

fn next_page<E: EntityTrait>(id: E::Column, last: Option<&str>, reading: Reading) -> Select<E> {
    let rows = E::find().order_by_asc(id).limit(PAGE);
    let rows = match last {
        Some(last) => rows.filter(id.gt(last)),
        None => rows,
    };
    match reading {
        Reading::Passing => rows,
        Reading::ToWrite => rows.lock_exclusive(),
    }
}

impl Part {
    fn held(&self) -> &dyn HoldsConfidential {
        match self {
            Self::Member(member) => &**member,
            Self::Group(plan) => &**plan,
            Self::Operation(plan) => &**plan,
        }
    }

    fn held_mut(&mut self) -> &mut dyn HoldsConfidential {
        match self {
            Self::Member(member) => &mut **member,
            Self::Group(plan) => &mut **plan,
            Self::Operation(plan) => &mut **plan,
        }
    }
}

impl Row {
    fn of_member(row: member::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.clone(),
            group: row.group_id.clone().into(),
            part: Part::Member(Box::new(members::from_row(row)?)),
        })
    }

    fn of_group(row: protection_group::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id.clone(),
            group: row.id.clone().into(),
            part: Part::Group(Box::new(group::from_row(row)?.recovery_plan)),
        })
    }

    fn of_operation(row: operation::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            group: row.group_id.into(),
            part: Part::Operation(Box::new(from_json("operations.plan", row.plan)?)),
        })
    }

    fn note_keys(&mut self, numbers: &mut BTreeSet<u32>) -> Result<(), StoreError> {
        let group = &self.group;
        try_each(self.part.held_mut(), |field, text| {
            if let Some(seal) = text.seal() {
                numbers.insert(key_number(place_of(group, field).place(), seal)?);
            }
            Ok(())
        })
    }

    /// Seals each text with the newest key. Whether one was sealed anew.
    fn rekey(&mut self, keys: &KeyRepository, rekeyed: &mut Rekeyed) -> Result<bool, StoreError> {
        let before = rekeyed.renewed;
        let group = &self.group;
        try_each(self.part.held_mut(), |field, text| {
            let owned = place_of(group, field);
            let place = owned.place();
            let Some(seal) = text.seal() else {
                let clear = text.expose()?;
                *text = sealed(keys, place, clear)?;
                rekeyed.sealed += 1;
                rekeyed.count(true);
                return Ok(());
            };
            match renewed(keys, place, seal) {
                Ok(Some(fresh)) => {
                    *text = Confidential::sealed(fresh, None);
                    rekeyed.count(true);
                }
                Ok(None) => rekeyed.count(false),
                Err(StoreError::Secret(error)) => rekeyed.unread.push(explained(&place, &error)),
                Err(error) => return Err(error),
            }
            Ok(())
        })?;
        Ok(rekeyed.renewed > before)
    }

    async fn write(self, tx: &DatabaseTransaction) -> Result<(), StoreError> {
        match self.part {
            Part::Member(kept) => {
                let change = member::ActiveModel {
                    server: Set(to_json(&kept.server)?),
                    earlier: Set(members::earlier(&kept)?),
                    ..Default::default()
                };
                let row = member::Entity::update_many().set(change);
                row.filter(member::Column::Id.eq(self.id)).exec(tx).await?;
            }
            Part::Group(plan) => {
                let change = protection_group::ActiveModel {
                    recovery_plan: Set(Some(to_json(&plan)?)),
                    ..Default::default()
                };
                let row = protection_group::Entity::update_many().set(change);
                let of = protection_group::Column::Id.eq(self.id);
                row.filter(of).exec(tx).await?;
            }
            Part::Operation(plan) => {
                let change = operation::ActiveModel {
                    plan: Set(to_json(&plan)?),
                    ..Default::default()
                };
                let row = operation::Entity::update_many().set(change);
                row.filter(operation::Column::Id.eq(self.id))
                    .exec(tx)
                    .await?;
            }
        }
        Ok(())
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
    place: SecretLocation<'_>,
    stored: &str,
) -> Result<Option<String>, StoreError> {
    if Some(key_number(place, stored)?) == keys.newest_number() {
        return Ok(None);
    }
    let secret = keys.decrypt(place, stored)?;
    Ok(Some(keys.encrypt(place, &secret)?))
}
