//! Whether a group's other site is retired.

use chrono::{DateTime, Utc};
use protector_core::{
    id::{GroupId, SiteName},
    site::SiteStatus,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use crate::{
    entity::{protection_group, protection_group::Model, retired_site, site},
    error::StoreError,
    words::to_word,
};

/// Refuses what a retired site says of a group that is kept here.
pub(crate) fn refuse_of(row: &Model) -> Result<(), StoreError> {
    match row.peer_retired_at {
        None => Ok(()),
        Some(at) => Err(StoreError::PeerRetired { at }),
    }
}

/// While the site itself is registered as retired it is not asked: a group taken over from it could never be changed.
pub(crate) async fn refuse_registered_as_retired(
    db: &impl ConnectionTrait,
    names: &[&str],
) -> Result<(), StoreError> {
    let retired = site::Entity::find()
        .filter(site::Column::Name.is_in(names.iter().copied()))
        .filter(site::Column::Status.eq(to_word(&SiteStatus::Retired)?))
        .one(db)
        .await?;
    match retired {
        None => Ok(()),
        Some(row) => Err(StoreError::SiteRetired {
            site: SiteName::new(row.name),
        }),
    }
}

/// The same for a group that is not kept here, made at `made_at`: it was deleted since, or was never known.
pub(crate) async fn refuse_unknown(
    db: &impl ConnectionTrait,
    sites: &[&SiteName],
    made_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let names: Vec<&str> = sites.iter().map(|site| site.as_str()).collect();
    let rows = retired_site::Entity::find()
        .filter(retired_site::Column::Name.is_in(names.iter().copied()))
        .all(db)
        .await?;
    match rows.into_iter().find(|row| made_at <= row.retired_at) {
        None => refuse_registered_as_retired(db, &names).await,
        Some(row) => Err(StoreError::PeerRetired { at: row.retired_at }),
    }
}

/// The same by the group's id, where there may be no such group.
pub(crate) async fn refuse_group_or_unknown(
    db: &impl ConnectionTrait,
    group: &GroupId,
    site: &SiteName,
    made_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    match protection_group::Entity::find_by_id(group.as_str())
        .one(db)
        .await?
    {
        Some(row) => refuse_of(&row),
        None => refuse_unknown(db, &[site], made_at).await,
    }
}
