//! Replication policies: which arrays carry a group, with the tokens to reach them, kept encrypted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use protector_core::{
    confidential::Confidential,
    group::Group,
    id::{GroupId, SiteName},
    plan::ArrayPair,
    storage::{PromotionKind, Replication},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, NotSet,
    QueryFilter,
};

use crate::{
    database::Database,
    entity::{
        protection_group,
        replication_policy::{Column, Entity, Model},
    },
    error::{Noun, StoreError},
    group_row::bump,
    lock::{Lock, refuse_while_locked},
    precondition::Precondition,
    sealing,
    secrets::SecretLocation,
    words::{to_small, to_u32},
};

/// How the arrays replicate a group. A group has at most one.
#[derive(Clone, Debug)]
pub struct ReplicationPolicy {
    pub group_id: GroupId,
    /// The array on the group's primary site.
    pub primary_fa_url: String,
    /// The array on its secondary site.
    pub secondary_fa_url: String,
    /// The token for the primary's array.
    pub primary_fa_api_token: Option<Confidential>,
    /// The token for the secondary's array.
    pub secondary_fa_api_token: Option<Confidential>,
    /// The recovery point objective in minutes, at least 1.
    pub rpo_minutes: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ReplicationPolicy {
    /// The direction in which `group` would be moved next: from where it runs to its other site.
    pub fn replication(&self, group: &Group) -> Replication {
        let (primary, secondary) = (&self.primary_fa_url, &self.secondary_fa_url);
        let (source, target) = match group.current_primary_site == group.primary.site {
            true => (primary, secondary),
            false => (secondary, primary),
        };
        Replication {
            group_id: group.id.clone(),
            source_array: source.clone(),
            target_array: target.clone(),
        }
    }

    /// The two arrays, as a plan needs them, which promote as `promotion` says.
    pub fn arrays(&self, promotion: PromotionKind) -> ArrayPair {
        ArrayPair {
            promotion,
            primary: self.primary_fa_url.clone(),
            secondary: self.secondary_fa_url.clone(),
        }
    }
}

impl Database {
    /// Attaches a policy to a group, and raises the group's version, which it returns.
    ///
    /// # Errors
    ///
    /// `NotFound` for the group, `Duplicate` when it has a policy, `Secret` when a token cannot be encrypted, `Reserved`
    /// while the other site is about to move the group, `Unchangeable` or `Locked` while it is moved.
    pub async fn policy_insert(
        &self,
        policy: &ReplicationPolicy,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let row = self.policy_row(policy)?;
        self.write_unreserved(&policy.group_id, now, async |tx| {
            Precondition::Any
                .holds_for(tx, &policy.group_id, now)
                .await?;
            let version = bump(tx, &policy.group_id, now).await?;
            insert_row(tx, row.clone()).await?;
            Ok(version)
        })
        .await
    }

    /// The policy of a group. A token that cannot be decrypted stays sealed and says why.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn policy_show(&self, group: &GroupId) -> Result<ReplicationPolicy, StoreError> {
        self.policy_find(group)
            .await?
            .ok_or_else(|| StoreError::not_found(Noun::Policy, group))
    }

    /// The policy of a group, if it has one. A token that cannot be decrypted stays sealed and says why: the arrays are known
    /// without it.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn policy_find(
        &self,
        group: &GroupId,
    ) -> Result<Option<ReplicationPolicy>, StoreError> {
        self.policy_of(self.pool(), group).await
    }

    /// Changes a group's policy as a whole, tokens too, and raises the group's version, which it returns.
    ///
    /// An operation under way is not affected: its plan names the arrays.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Secret` when a token cannot be encrypted, `GroupChanged` when the group is not at the version of
    /// `basis`, `Reserved` while the other site is about to move it, `Unchangeable` or `Locked` while it is moved.
    pub async fn policy_update(
        &self,
        policy: &ReplicationPolicy,
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let row = self.policy_row(policy)?;
        self.write_unreserved(&policy.group_id, now, async |tx| {
            precondition.holds_for(tx, &policy.group_id, now).await?;
            let version = bump(tx, &policy.group_id, now).await?;
            if update_row(tx, row.clone()).await? {
                return Ok(version);
            }
            Err(StoreError::not_found(Noun::Policy, &policy.group_id))
        })
        .await
    }

    /// Takes the policy from a group, and raises the group's version.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Locked` while an operation works on the group, `Unchangeable` while the other site moves it,
    /// `Reserved` while that is about to, `GroupChanged` when the group is not at the version of `basis`.
    pub async fn policy_delete(
        &self,
        group: &GroupId,
        precondition: Precondition,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write_unreserved(group, now, async |tx| {
            precondition.holds_for(tx, group, now).await?;
            bump(tx, group, now).await?;
            refuse_while_locked(tx, &Lock::group(group)).await?;
            let deleted = Entity::delete_by_id(group.as_str()).exec(tx).await?;
            if deleted.rows_affected == 0 {
                return Err(StoreError::not_found(Noun::Policy, group));
            }
            Ok(())
        })
        .await
    }

    /// The arrays that the policies of all groups name for `site`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn arrays_on(&self, site: &SiteName) -> Result<BTreeSet<String>, StoreError> {
        self.read(async |tx| {
            let policies = Entity::find().all(tx).await?;
            let mut policies: BTreeMap<String, Model> = policies
                .into_iter()
                .map(|policy| (policy.group_id.clone(), policy))
                .collect();
            let mut arrays = BTreeSet::new();
            for group in protection_group::Entity::find().all(tx).await? {
                let Some(policy) = policies.remove(&group.id) else {
                    continue;
                };
                if group.primary_site == site.as_str() {
                    arrays.insert(policy.primary_fa_url);
                } else if group.secondary_site == site.as_str() {
                    arrays.insert(policy.secondary_fa_url);
                }
            }
            Ok(arrays)
        })
        .await
    }

    pub(crate) async fn policy_of(
        &self,
        db: &impl ConnectionTrait,
        group: &GroupId,
    ) -> Result<Option<ReplicationPolicy>, StoreError> {
        let row = Entity::find_by_id(group.as_str()).one(db).await?;
        row.map(|row| self.policy_from(row)).transpose()
    }

    fn token(&self, place: SecretLocation<'_>, token: &Confidential) -> Result<String, StoreError> {
        if let Some(sealed) = token.seal() {
            return Ok(sealed.to_owned());
        }
        let clear = token.expose()?;
        Ok(self.keys()?.encrypt(place, &clear.into())?)
    }

    pub(crate) fn policy_row(&self, policy: &ReplicationPolicy) -> Result<Model, StoreError> {
        let seal = |column, token: &Option<Confidential>| {
            let place = token_of(policy.group_id.as_str(), column);
            let token = token.as_ref().map(|token| self.token(place, token));
            token.transpose()
        };
        Ok(Model {
            group_id: policy.group_id.to_string(),
            primary_fa_url: policy.primary_fa_url.clone(),
            secondary_fa_url: policy.secondary_fa_url.clone(),
            primary_fa_api_token: seal(PRIMARY_TOKEN, &policy.primary_fa_api_token)?,
            secondary_fa_api_token: seal(SECONDARY_TOKEN, &policy.secondary_fa_api_token)?,
            rpo_minutes: to_small(policy.rpo_minutes),
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        })
    }

    fn policy_from(&self, row: Model) -> Result<ReplicationPolicy, StoreError> {
        let open = |column, stored: Option<String>| {
            let place = token_of(&row.group_id, column);
            stored.map(|stored| sealing::open(self.keys(), &place, &stored))
        };
        Ok(ReplicationPolicy {
            primary_fa_api_token: open(PRIMARY_TOKEN, row.primary_fa_api_token),
            secondary_fa_api_token: open(SECONDARY_TOKEN, row.secondary_fa_api_token),
            group_id: row.group_id.into(),
            primary_fa_url: row.primary_fa_url,
            secondary_fa_url: row.secondary_fa_url,
            rpo_minutes: to_u32("replication_policies.rpo_minutes", row.rpo_minutes)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(crate) const PRIMARY_TOKEN: &str = "primary_fa_api_token";
pub(crate) const SECONDARY_TOKEN: &str = "secondary_fa_api_token";

pub(crate) fn token_of<'a>(group: &'a str, column: &'static str) -> SecretLocation<'a> {
    SecretLocation {
        table: "replication_policies",
        row: group,
        column,
    }
}

pub(crate) async fn insert_row(db: &impl ConnectionTrait, row: Model) -> Result<(), StoreError> {
    let group = row.group_id.clone();
    Entity::insert(row.into_active_model())
        .exec_without_returning(db)
        .await
        .map_err(|error| {
            StoreError::unless_duplicate(error, Noun::Policy, "protection group", group)
        })?;
    Ok(())
}

/// Writes the whole row but its creation time. Whether there was one.
async fn update_row(db: &impl ConnectionTrait, row: Model) -> Result<bool, StoreError> {
    let group = row.group_id.clone();
    let mut change = row.into_active_model().reset_all();
    change.group_id = NotSet;
    change.created_at = NotSet;
    let outcome = Entity::update_many()
        .set(change)
        .filter(Column::GroupId.eq(group))
        .exec(db)
        .await?;
    Ok(outcome.rows_affected == 1)
}

/// Makes `row` the policy of its group, or takes the group's policy away.
pub(crate) async fn replace(
    db: &impl ConnectionTrait,
    group: &GroupId,
    row: Option<Model>,
) -> Result<(), StoreError> {
    Entity::delete_by_id(group.as_str()).exec(db).await?;
    match row {
        Some(row) => insert_row(db, row).await,
        None => Ok(()),
    }
}
