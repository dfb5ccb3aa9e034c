//! Sites that are gone for good. Their protectors are not asked any more; one that comes back is not believed.
//!
//! What is refused is all that a protector says of unknown groups while its site is registered as retired, and afterwards what
//! it says of groups from before that: another site may have got its name since, and is believed of what it has made since.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use protector_core::{
    fault::Code,
    group::Group,
    id::{GroupId, OperationId, SiteName},
    operation::OperationState,
    site::{Site, SiteStatus},
};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QuerySelect, Set,
};

use crate::{
    database::Database,
    entity::{
        member, operation,
        protection_group::{ActiveModel, Column, Entity},
        retired_site, site,
    },
    error::StoreError,
    foreign_text::ForeignText,
    group_row::{at_rest, change_status, locked_row},
    lock::{self, Lock, refuse_while_locked},
    operation_outbox::{self, Haste},
    reservation,
    row::group::from_row,
    tombstone,
    words::to_word,
};

impl Database {
    /// Retires a site, as of `now`: its groups have no other site any more. They are put at rest where they run, unless they
    /// are in error; test failovers whose copies are on the site end. Groups that run there and are `given_up` are forgotten,
    /// as if they were deleted. Returns the groups that are kept.
    ///
    /// # Errors
    ///
    /// `GroupChanged` when a group with members runs there, and is not given up, or one that is given up runs here; `Locked`
    /// while an operation moves one of them; `Reserved` while the other site holds one of them still. Nothing is changed then.
    pub async fn site_retire(
        &self,
        gone: &Site,
        given_up: &BTreeSet<GroupId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<GroupId>, StoreError> {
        self.write(async |tx| {
            let mut groups = groups_of(tx, &gone.name).await?;
            for id in &groups {
                match given_up.contains(id) {
                    true => give_up_group(tx, id, &gone.name, now).await?,
                    false => retire_group(tx, id, &gone.name, now).await?,
                }
            }
            groups.retain(|id| !given_up.contains(id));
            end_tests(tx, &gone.name, now).await?;
            note(tx, gone, now).await?;
            Ok(groups)
        })
        .await
    }
}

async fn groups_of(db: &impl ConnectionTrait, gone: &SiteName) -> Result<Vec<GroupId>, StoreError> {
    let ids: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(
            Condition::any()
                .add(Column::PrimarySite.eq(gone.as_str()))
                .add(Column::SecondarySite.eq(gone.as_str())),
        )
        .filter(Column::PeerRetiredAt.is_null())
        .into_tuple()
        .all(db)
        .await?;
    Ok(ids.into_iter().map(GroupId::new).collect())
}

async fn retire_group(
    tx: &DatabaseTransaction,
    id: &GroupId,
    gone: &SiteName,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(row) = locked_row(tx, id).await? else {
        return Ok(());
    };
    // The other site is about to move it, or moves it: it would go on unasked.
    if let Some(reserved) = reservation::holder(&row, now) {
        return Err(reserved);
    }
    let group = from_row(row)?;
    // One without members runs nowhere.
    if group.current_primary_site == *gone && has_members(tx, id).await? {
        return Err(changed(&group));
    }
    refuse_while_locked(tx, &Lock::group(id)).await?;
    Entity::update_many()
        .set(ActiveModel {
            peer_retired_at: Set(Some(now)),
            conflict: Set(None),
            reserved_by: Set(None),
            reserved_until: Set(None),
            push_error: Set(None),
            next_push_at: Set(None),
            ..ActiveModel::default()
        })
        .filter(Column::Id.eq(id.as_str()))
        .exec(tx)
        .await?;
    rest(tx, &group, now).await
}

fn changed(group: &Group) -> StoreError {
    StoreError::GroupChanged {
        status: group.status,
        version: group.version,
    }
}

async fn has_members(db: &impl ConnectionTrait, id: &GroupId) -> Result<bool, StoreError> {
    let first = member::Entity::find()
        .filter(member::Column::GroupId.eq(id.as_str()))
        .one(db)
        .await?;
    Ok(first.is_some())
}

/// Forgets a group that ran on the site and that nobody can bring up here. Operations stay on record.
async fn give_up_group(
    tx: &DatabaseTransaction,
    id: &GroupId,
    gone: &SiteName,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(row) = locked_row(tx, id).await? else {
        return Ok(());
    };
    if let Some(reserved) = reservation::holder(&row, now) {
        return Err(reserved);
    }
    let group = from_row(row.clone())?;
    if group.current_primary_site != *gone {
        return Err(changed(&group));
    }
    tombstone::delete_row(tx, row, now).await
}

/// Nobody is left who could move the group, or run it a second time. What its `error` is about may be on this site.
async fn rest(
    tx: &DatabaseTransaction,
    group: &Group,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    use protector_core::group::GroupStatus;

    if group.status.is_at_rest() || group.status == GroupStatus::Error {
        return Ok(());
    }
    match at_rest(tx, &group.id).await? {
        Some(rest) => change_status(tx, &group.id, &[group.status], rest, now).await,
        None => Ok(()),
    }
}

/// The copies of a test went with the site that they were on.
async fn end_tests(
    tx: &DatabaseTransaction,
    gone: &SiteName,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    use operation::{ActiveModel, Column, Entity};

    let ids: Vec<String> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::State.eq(OperationState::AwaitingCleanup.as_str()))
        .filter(Column::TargetSite.eq(gone.as_str()))
        .into_tuple()
        .all(tx)
        .await?;
    for id in ids {
        let ended = ActiveModel {
            state: Set(OperationState::Failed.as_str().to_owned()),
            error: Set(Some(ForeignText::of(format!(
                "{gone} was retired by an administrator: the copies of this test went with it"
            )))),
            error_code: Set(Some(to_word(&Code::Superseded)?)),
            finished_at: Set(Some(now)),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(ended)
            .filter(Column::Id.eq(id.as_str()))
            .exec(tx)
            .await?;
        let id = OperationId::new(id);
        operation_outbox::changed(tx, &id, now, Haste::Soon).await?;
        lock::release_all(tx, &id).await?;
    }
    Ok(())
}

async fn note(tx: &DatabaseTransaction, gone: &Site, now: DateTime<Utc>) -> Result<(), StoreError> {
    site::Entity::update_many()
        .set(site::ActiveModel {
            status: Set(to_word(&SiteStatus::Retired)?),
            updated_at: Set(now),
            ..site::ActiveModel::default()
        })
        .filter(site::Column::Id.eq(gone.id.as_str()))
        .exec(tx)
        .await?;
    // A second site of that name may be retired too: the later time covers both.
    retired_site::Entity::delete_by_id(gone.name.as_str())
        .exec(tx)
        .await?;
    retired_site::Entity::insert(retired_site::ActiveModel {
        name: Set(gone.name.to_string()),
        retired_at: Set(now),
    })
    .exec_without_returning(tx)
    .await?;
    Ok(())
}
