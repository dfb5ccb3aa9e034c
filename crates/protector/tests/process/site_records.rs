//! A site's database behind its services' back: what a site does alone, and time that has passed.

use protector_core::clock::{Clock as _, SystemClock};
use protector_store::{
    Database, GroupChange, GroupFilter, GroupOrder, OrderDirection, Page, PoolOptions, Reservation,
    StoredGroup,
};
use secrecy::SecretString;

use crate::{
    house::{House, Site},
    tenant::Group,
};

/// What a site does to a group by itself, while it is cut off from the other one.
pub async fn change_alone(site: &Site, group: &Group, description: &str) {
    let (database, kept) = kept(site, group).await;
    let change = GroupChange {
        description: Some(Some(description.to_owned())),
        ..GroupChange::default()
    };
    let group = &kept.group;
    database
        .group_update(&group.id, &change, group.updated_at)
        .await
        .unwrap();
    database.close().await.unwrap();
}

/// Lets the minute pass for which site-b holds the group still for a site-a that asks no more: the reservation in site-b's
/// records ends now.
pub async fn let_reservation_pass(house: &House, group: &Group) {
    let (database, kept) = kept(&house.b, group).await;
    let now = SystemClock.now();
    let over = Reservation {
        local_project: kept.local_project_id,
        group_id: kept.group.id,
        version: kept.group.version,
        by_site: "site-a".into(),
        until: now,
    };
    database.group_reserve(&over, now).await.unwrap();
    database.close().await.unwrap();
}

/// A group as a site has it on record.
async fn kept(site: &Site, group: &Group) -> (Database, StoredGroup) {
    let file = site.state_path.join("protector.sqlite");
    let url = SecretString::from(format!("sqlite://{}", file.display()));
    let database = Database::connect(&url, PoolOptions::default())
        .await
        .unwrap();
    let filter = GroupFilter {
        name: Some(group.name.clone()),
        ..GroupFilter::default()
    };
    let page = Page {
        limit: 1,
        marker: None,
        sort_key: GroupOrder::Name,
        sort_dir: OrderDirection::Asc,
    };
    let mut groups = database.group_list(&filter, &page).await.unwrap();
    (database, groups.items.remove(0))
}
