//! What the store promises to a site that is about to move a group, or moves it: the other one holds the group still.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod bed;

use bed::{
    records::{at, begin, begin_at, policy},
    sites::{Sites, mark, name, remote, rename, settle_with, status},
};
use protector_core::{
    group::{Group, GroupStatus},
    journal::Effect,
    journal_conformance::operation,
    member::MemberStatus,
};
use protector_store::{Database, GroupChange, Precondition, Removable, Reservation, StoreError};

/// Whether b may be asked to hold the group still for anyone but a.
async fn is_free(sites: &Sites) -> bool {
    let wanted = Reservation {
        local_project: remote(),
        group_id: sites.group.clone(),
        version: mark(sites.b(), &sites.group).await.version,
        by_site: "site-b".into(),
        until: at(60),
    };
    match sites.b().group_reserve(&wanted, at(55)).await {
        Ok(()) => true,
        Err(StoreError::Reserved { by_site, .. }) => {
            assert_eq!(by_site, "site-a".into());
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_site_that_moves_a_group_holds_the_other_one_still_until_it_has_ended() {
    let (sites, group) = Sites::agreed().await;
    let wanted = Reservation {
        local_project: remote(),
        group_id: group.id.clone(),
        version: mark(sites.b(), &group.id).await.version,
        by_site: "site-a".into(),
        until: at(100),
    };
    sites.b().group_reserve(&wanted, at(50)).await.unwrap();
    begin(sites.a(), &operation(1), &group).await.unwrap();
    sites.push().await.unwrap();
    assert!(!is_free(&sites).await, "it is being moved");
    let back = Effect::GroupStatus {
        group_id: group.id.clone(),
        status: GroupStatus::Active,
    };
    settle_with(sites.a(), vec![back]).await;
    sites.push().await.unwrap();
    assert!(is_free(&sites).await, "that has ended");
}

fn reservation(group: &Group, until: i64) -> Reservation {
    Reservation {
        local_project: remote(),
        group_id: group.id.clone(),
        version: group.version,
        by_site: "site-a".into(),
        until: at(until),
    }
}

/// What a tenant may do to a group of one member with a policy, each by its name.
async fn tenant_writes(
    db: &Database,
    group: &Group,
    second: i64,
) -> Vec<(&'static str, Result<(), StoreError>)> {
    let (id, now) = (&group.id, at(second));
    let member = db.member_list(id).await.unwrap().remove(0);
    let mut added = member.clone();
    added.id = "another".into();
    added.server_id = "another-server".into();
    let (change, policy) = (GroupChange::default(), policy(group));
    let any = Precondition::Any;
    // In this order each of them is possible.
    vec![
        (
            "group_update",
            db.group_update(id, &change, now).await.map(drop),
        ),
        (
            "member_insert",
            db.member_insert(&added, any, now).await.map(drop),
        ),
        ("member_update", db.member_update(&member, now).await),
        (
            "member_delete",
            db.member_delete(id, "another", Removable::Recovered, any, now)
                .await
                .map(drop),
        ),
        (
            "policy_update",
            db.policy_update(&policy, any, now).await.map(drop),
        ),
        ("policy_delete", db.policy_delete(id, any, now).await),
        (
            "policy_insert",
            db.policy_insert(&policy, now).await.map(drop),
        ),
        ("group_delete", db.group_delete(id, any, now).await),
    ]
}

/// Two sites with a group that has a policy too.
async fn with_policy() -> (Sites, Group) {
    let (sites, group) = Sites::agreed().await;
    let made = sites.a().policy_insert(&policy(&group), at(1)).await;
    made.unwrap();
    sites.push().await.unwrap();
    let group = sites.b().group_show_by_id(&group.id).await.unwrap().group;
    (sites, group)
}

/// A change that slips in after the other site's look would make what it moves look as if it had been moved on here.
#[tokio::test]
async fn a_tenant_changes_nothing_of_a_group_that_is_held_still_for_the_other_site() {
    let (sites, group) = with_policy().await;
    let b = sites.b();
    b.group_reserve(&reservation(&group, 100), at(50))
        .await
        .unwrap();
    let before = b.metadata_outgoing(&group.id).await.unwrap();
    for (write, outcome) in tenant_writes(b, &group, 99).await {
        let refused = matches!(outcome, Err(StoreError::Reserved { .. }));
        assert!(refused, "{write}: {outcome:?}");
    }
    assert_eq!(b.metadata_outgoing(&group.id).await.unwrap(), before);
    // A minute later all of it is possible again.
    for (write, outcome) in tenant_writes(b, &group, 100).await {
        assert_eq!(outcome, Ok(()), "{write}");
    }
}

#[tokio::test]
async fn a_tenant_changes_nothing_of_a_group_that_the_other_site_moves() {
    let (sites, group) = with_policy().await;
    let (a, b) = (sites.a(), sites.b());
    begin(a, &operation(1), &group).await.unwrap();
    sites.push().await.unwrap();
    let before = b.metadata_outgoing(&group.id).await.unwrap();
    for (write, outcome) in tenant_writes(b, &group, 500).await {
        let refused = matches!(outcome, Err(StoreError::Unchangeable { .. }));
        assert!(refused, "{write}: {outcome:?}");
    }
    assert_eq!(b.metadata_outgoing(&group.id).await.unwrap(), before);
    for (write, outcome) in tenant_writes(a, &group, 500).await {
        let refused = matches!(outcome, Err(StoreError::Locked { .. }));
        assert!(refused, "{write}: {outcome:?}");
    }
}

/// The clock that says when it ends may be set back by hours.
#[tokio::test]
async fn a_reservation_is_in_nobodys_way_for_longer_than_one_lasts() {
    let (sites, group) = with_policy().await;
    let b = sites.b();
    let taken = reservation(&group, 7_260);
    b.group_reserve(&taken, at(7_200)).await.unwrap();
    let rename = GroupChange {
        name: Some("renamed".to_owned()),
        ..GroupChange::default()
    };
    // An hour earlier, and not a minute later.
    for second in [3_600, 3_659] {
        let refused = b.group_update(&group.id, &rename, at(second)).await;
        let until = at(3_660);
        let by_site = "site-a".into();
        assert_eq!(refused, Err(StoreError::Reserved { by_site, until }));
    }
    for (write, outcome) in tenant_writes(b, &group, 3_660).await {
        assert_eq!(outcome, Ok(()), "{write}");
    }
}

#[tokio::test]
async fn a_start_is_not_kept_waiting_by_a_clock_that_was_set_back() {
    let (sites, group) = with_policy().await;
    let b = sites.b();
    let taken = reservation(&group, 7_260);
    b.group_reserve(&taken, at(7_200)).await.unwrap();
    let (refused, made) = (at(3_600), at(3_660));
    for now in [refused, made] {
        let started = begin_at(b, &operation(1), &group, now).await;
        assert_eq!(started.is_ok(), now == made, "{started:?}");
    }
}

/// They are what the reservation is for, or what tells of where the VMs run.
#[tokio::test]
async fn operations_watches_and_the_other_site_write_to_a_group_that_is_held_still() {
    let (sites, group) = with_policy().await;
    let (a, b) = (sites.a(), sites.b());
    begin(b, &operation(1), &group).await.unwrap();
    let ended = Effect::GroupSwitched {
        group_id: group.id.clone(),
        current_primary_site: group.secondary.site.clone(),
        members: b.member_list(&group.id).await.unwrap(),
    };
    settle_with(b, vec![ended]).await;
    let now = b.group_show_by_id(&group.id).await.unwrap().group;
    b.group_reserve(&reservation(&now, 80), at(20))
        .await
        .unwrap();
    b.group_split(&group.id, at(30)).await.unwrap();
    assert_eq!(status(b, &group.id).await, GroupStatus::SplitBrain);
    for (write, outcome) in tenant_writes(b, &group, 31).await {
        let refused = matches!(outcome, Err(StoreError::Unchangeable { .. }));
        assert!(refused, "{write}: {outcome:?}");
    }
    b.group_fenced(&group.id, at(32)).await.unwrap();
    assert_eq!(status(b, &group.id).await, GroupStatus::FailedOver);
    sites.push_back().await.unwrap();
    rename(a, &group.id, "from-there", 33).await;
    sites.push().await.unwrap();
    assert_eq!(name(b, &group.id).await, "from-there");
}

#[tokio::test]
async fn a_member_is_added_to_the_group_that_was_looked_at() {
    let (sites, group) = Sites::agreed().await;
    let a = sites.a();
    let mut added = a.member_list(&group.id).await.unwrap().remove(0);
    added.id = "another".into();
    added.server_id = "another-server".into();
    rename(a, &group.id, "meanwhile", 5).await;
    let precondition = Precondition::Version(group.version);
    let refused = a.member_insert(&added, precondition, at(6)).await;
    assert!(matches!(refused, Err(StoreError::GroupChanged { .. })));
    assert_eq!(a.member_list(&group.id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_that_nobody_moves_is_put_at_rest_where_it_runs() {
    let (sites, group) = Sites::agreed().await;
    let (a, b) = (sites.a(), sites.b());
    begin(a, &operation(1), &group).await.unwrap();
    let version = mark(a, &group.id).await.version;
    let refused = a.group_put_at_rest(&group.id, version, at(5)).await;
    assert!(matches!(refused, Err(StoreError::Locked { .. })));
    let mut lost = a.member_list(&group.id).await.unwrap();
    lost[0].status = MemberStatus::Error;
    let switched = Effect::GroupSwitched {
        group_id: group.id.clone(),
        current_primary_site: group.secondary.site.clone(),
        members: lost,
    };
    let moving = Effect::GroupStatus {
        group_id: group.id.clone(),
        status: GroupStatus::FailingBack,
    };
    settle_with(a, vec![switched, moving]).await;
    sites.push().await.unwrap();

    let now = b.group_show_by_id(&group.id).await.unwrap().group;
    b.group_reserve(&reservation(&now, 80), at(20))
        .await
        .unwrap();
    let refused = b.group_put_at_rest(&group.id, now.version, at(30)).await;
    assert!(matches!(refused, Err(StoreError::Reserved { .. })));
    for (version, done) in [
        (now.version - 1, false),
        (now.version, true),
        (now.version + 1, false),
    ] {
        let put = b.group_put_at_rest(&group.id, version, at(90)).await;
        assert_eq!(put, Ok(done));
    }
    assert_eq!(status(b, &group.id).await, GroupStatus::FailedOverPartial);
    assert_eq!(mark(b, &group.id).await.version, now.version + 1);
}
