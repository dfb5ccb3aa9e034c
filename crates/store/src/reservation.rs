//! Reservations: a site that is about to move a group asks the other one to hold still.
//!
//! Each site keeps its own records, so a lock on one does not stop the other. A start that has reserved the group on the
//! other site, at the version that both have, cannot be overtaken by a start there: whichever of the two is recorded
//! first makes the other one's reservation fail. Metadata that the other site hands over ends it, unless it says that the
//! group is being moved. It also ends by itself, so a site that dies between asking and moving blocks nobody for long.
//!
//! That it ends is told by this site's clock. One that was set back would let it last for as much longer: what ends later
//! than a reservation can last is cut off there, by whoever it stands in the way of. Not at once: the other site may be at
//! work in the belief that the group is held still, and would learn of it only when it asks anew.

use chrono::{DateTime, TimeDelta, Utc};
use protector_core::id::{GroupId, ProjectId, SiteName};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, Set,
};

use crate::{
    database::Database,
    entity::protection_group::{ActiveModel, Column, Entity, Model},
    error::{Noun, StoreError},
    group_row::locked_row,
    lock::{Lock, refuse_while_locked},
    retired::refuse_of,
    words::{from_word, to_count, to_signed},
};

/// A group that is to be held still for another site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The tenant's project here.
    pub local_project: ProjectId,
    pub group_id: GroupId,
    /// The version at which the other site wants to move it.
    pub version: u64,
    pub by_site: SiteName,
    /// When the reservation ends by itself.
    pub until: DateTime<Utc>,
}

impl Reservation {
    /// How long one lasts: from the other site's asking to the arrival of what it then records.
    pub const LASTS: TimeDelta = TimeDelta::minutes(1);
}

impl Database {
    /// Runs `work`, in which a reservation of the group may be in the way, as [`write`](Self::write) does. One that seems
    /// to last longer than it can is shortened before, whatever becomes of `work`.
    pub(crate) async fn write_unreserved<T>(
        &self,
        group: &GroupId,
        now: DateTime<Utc>,
        work: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, StoreError> + Clone,
    ) -> Result<T, StoreError> {
        self.reservation_shorten(group, now).await?;
        self.write(work).await
    }

    async fn reservation_shorten(
        &self,
        group: &GroupId,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let longest = now + Reservation::LASTS;
        self.write(async |tx| {
            Entity::update_many()
                .set(ActiveModel {
                    reserved_until: Set(Some(longest)),
                    ..ActiveModel::default()
                })
                .filter(Column::Id.eq(group.as_str()))
                .filter(Column::ReservedUntil.gt(longest))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }

    /// Reserves a group for the other site. The same site may do so again.
    ///
    /// # Errors
    ///
    /// `NotFound`; `GroupChanged` when the group is not at that version; `Locked` while an operation moves it here;
    /// `Reserved` while another site holds it; `NoSiteOfGroup`; `PeerRetired`.
    pub async fn group_reserve(
        &self,
        wanted: &Reservation,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            let reserved = Entity::update_many()
                .set(ActiveModel {
                    reserved_by: Set(Some(wanted.by_site.to_string())),
                    reserved_until: Set(Some(wanted.until)),
                    ..ActiveModel::default()
                })
                .filter(Column::Id.eq(wanted.group_id.as_str()))
                .filter(Column::LocalProjectId.eq(wanted.local_project.as_str()))
                .filter(Column::Version.eq(to_signed(wanted.version)))
                .filter(Column::PeerRetiredAt.is_null())
                .filter(is_free(now).add(Column::ReservedBy.eq(wanted.by_site.as_str())))
                .filter(is_one_of_its_sites(&wanted.by_site))
                .exec(tx)
                .await?;
            if reserved.rows_affected == 1 {
                return refuse_while_locked(tx, &Lock::group(&wanted.group_id)).await;
            }
            Err(why_not(tx, wanted, now).await?)
        })
        .await
    }

    /// Until when a site holds a group, if it does.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn group_reserved_until(
        &self,
        local_project: &ProjectId,
        group: &GroupId,
        by_site: &SiteName,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let row = Entity::find_by_id(group.as_str())
            .filter(Column::LocalProjectId.eq(local_project.as_str()))
            .filter(Column::ReservedBy.eq(by_site.as_str()))
            .filter(Column::ReservedUntil.gt(now))
            .one(self.pool())
            .await?;
        Ok(row.and_then(|row| row.reserved_until))
    }

    /// Gives a reservation back. One that is not there: fine.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn group_release(
        &self,
        local_project: &ProjectId,
        group: &GroupId,
        by_site: &SiteName,
    ) -> Result<(), StoreError> {
        self.write(async |tx| {
            Entity::update_many()
                .set(free())
                .filter(Column::Id.eq(group.as_str()))
                .filter(Column::LocalProjectId.eq(local_project.as_str()))
                .filter(Column::ReservedBy.eq(by_site.as_str()))
                .exec(tx)
                .await?;
            Ok(())
        })
        .await
    }
}

fn is_one_of_its_sites(site: &SiteName) -> Condition {
    Condition::any()
        .add(Column::PrimarySite.eq(site.as_str()))
        .add(Column::SecondarySite.eq(site.as_str()))
}

async fn why_not(
    db: &impl ConnectionTrait,
    wanted: &Reservation,
    now: DateTime<Utc>,
) -> Result<StoreError, StoreError> {
    let row = locked_row(db, &wanted.group_id)
        .await?
        .filter(|row| row.local_project_id == wanted.local_project.as_str())
        .ok_or_else(|| StoreError::not_found(Noun::Group, &wanted.group_id))?;
    if ![&row.primary_site, &row.secondary_site].contains(&&wanted.by_site.to_string()) {
        return Ok(StoreError::NoSiteOfGroup {
            site: wanted.by_site.clone(),
        });
    }
    refuse_of(&row)?;
    match holder(&row, now) {
        Some(reserved) => Ok(reserved),
        None => Ok(StoreError::GroupChanged {
            status: from_word("protection_groups.status", &row.status)?,
            version: to_count("protection_groups.version", row.version)?,
        }),
    }
}

/// That nobody has reserved the group, or no longer.
pub(crate) fn is_free(now: DateTime<Utc>) -> Condition {
    Condition::any()
        .add(Column::ReservedUntil.is_null())
        .add(Column::ReservedUntil.lte(now))
}

/// Who has reserved the group, as a refusal.
pub(crate) fn holder(row: &Model, now: DateTime<Utc>) -> Option<StoreError> {
    let until = row.reserved_until.filter(|until| *until > now)?;
    Some(StoreError::Reserved {
        by_site: SiteName::new(row.reserved_by.clone()?),
        until,
    })
}

fn free() -> ActiveModel {
    ActiveModel {
        reserved_by: Set(None),
        reserved_until: Set(None),
        ..ActiveModel::default()
    }
}
