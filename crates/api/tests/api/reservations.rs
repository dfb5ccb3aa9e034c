//! What happens to a group between a look at it and the change that was decided on then.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
};

use http::Method;
use protector_core::{clock::Clock, group::Group};
use protector_store::{Database, GroupChange, MetadataDocument, Precondition, Reservation};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::{
    fakes::{DB, FixedClock, PROJECT_A, WEB},
    house::{House, failover_body, group_path},
};

async fn group(database: &Database) -> Group {
    let stored = database.group_show(&PROJECT_A.into(), "web").await;
    stored.unwrap().group
}

async fn document(database: &Database) -> MetadataDocument {
    let id = group(database).await.id;
    database.metadata_outgoing(&id).await.unwrap().document
}

async fn reserve(database: Database) {
    let now = FixedClock.now();
    let group = group(&database).await;
    let wanted = Reservation {
        local_project: PROJECT_A.into(),
        group_id: group.id,
        version: group.version,
        by_site: "site-b".into(),
        until: now + Reservation::LASTS,
    };
    database.group_reserve(&wanted, now).await.unwrap();
}

async fn move_to_another_array(database: Database) {
    let group = group(&database).await;
    let mut policy = database.policy_show(&group.id).await.unwrap();
    policy.primary_fa_url = "mock://array-c".to_owned();
    let now = FixedClock.now();
    let changed = database
        .policy_update(&policy, Precondition::Any, now)
        .await;
    changed.unwrap();
}

async fn describe(database: Database) {
    let id = group(&database).await.id;
    let change = GroupChange {
        description: Some(Some("changed meanwhile".to_owned())),
        ..GroupChange::default()
    };
    let changed = database.group_update(&id, &change, FixedClock.now());
    changed.await.unwrap();
}

/// Somebody does `what` while the next server is read.
fn meanwhile<F>(house: &House, what: impl FnOnce(Database) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let once = Box::pin(what(house.database.clone()));
    *house.outside.clouds.meanwhile.lock().unwrap() = Some(once);
}

#[tokio::test]
async fn a_tenant_changes_nothing_while_the_other_site_is_about_to_move_the_group() {
    let house = House::with_member(WEB).await;
    reserve(house.database.clone()).await;
    let before = document(&house.database).await;
    let plan = json!({"recovery_plan": {"members": {}, "pauses": [], "hooks": []}});
    let asked = [
        (
            Method::PUT,
            "",
            json!({"protection_group": {"description": "x"}}),
        ),
        (
            Method::PUT,
            "/resource-mappings",
            json!({"resource_mappings": {"flavor_mapping": {}}}),
        ),
        (Method::PUT, "/recovery-plan", plan),
        (
            Method::POST,
            "/members",
            json!({"member": {"server_id": DB}}),
        ),
        (Method::DELETE, "/members/web-server-1", Value::Null),
        (
            Method::PUT,
            "/policy",
            json!({"policy": {"rpo_minutes": 5}}),
        ),
        (Method::DELETE, "/policy", Value::Null),
        (Method::DELETE, "", Value::Null),
    ];
    for (method, part, body) in asked {
        let what = format!("{method} {part}");
        let path = group_path("web", part);
        let refused = house.send(method, &path, "member", body).await;
        assert_eq!(refused.status, 409, "{what}: {}", refused.body);
        let said = refused.message();
        for says in ["moved from site-b", "Try again in a minute"] {
            assert!(said.contains(says), "{what}: {said}");
        }
    }
    assert_eq!(document(&house.database).await, before);
}

/// Its server is read for seconds, in which the other site may begin.
#[tokio::test]
async fn a_member_is_not_added_once_the_other_site_is_about_to_move_the_group() {
    let house = House::with_group().await;
    let before = house.everything().await;
    meanwhile(&house, reserve);
    let refused = house.add(WEB).await.expect(409);
    let said = refused.message();
    assert!(said.contains("moved from site-b"), "{said}");
    assert_eq!(house.everything().await, before);
}

#[tokio::test]
async fn a_member_is_not_added_to_a_group_with_another_array_than_it_was_looked_for_on() {
    let house = House::with_group().await;
    meanwhile(&house, move_to_another_array);
    let refused = house.add(WEB).await.expect(409);
    let said = refused.message();
    assert!(said.contains("changed by another request"), "{said}");
    let path = group_path("web", "/members");
    let members = house.get(&path, "member").await.expect(200);
    assert_eq!(members.body["members"], json!([]));
}

#[tokio::test]
async fn what_others_change_of_a_group_does_not_keep_a_member_out() {
    let house = House::with_group().await;
    meanwhile(&house, describe);
    let made = house.add(WEB).await.expect(201);
    // Made, given a policy, described, and given a member.
    assert_eq!(made.header("etag"), "\"4\"");
}

/// Reserves the group for each of `starts` before any of them is recorded, and says how they were answered.
async fn at_once<const N: usize>(house: &House, starts: [Value; N]) -> [u16; N] {
    *house.outside.peer.reserved.lock().unwrap() = Some(Arc::new(Barrier::new(N)));
    let path = group_path("web", "/action");
    let starts = starts.map(|start| house.send(Method::POST, &path, "member", start));
    let answers = futures_util::future::join_all(starts).await;
    let mut codes = answers.iter().map(|answer| answer.status.as_u16());
    let mut codes = std::array::from_fn(|_| codes.next().unwrap());
    codes.sort_unstable();
    codes
}

/// It is the site's: with it a start on the other site is kept away until the winner's engine asks for it anew.
#[tokio::test]
async fn the_slower_of_two_starts_leaves_the_reservation_to_the_faster_one() {
    let house = House::with_member(WEB).await;
    let codes = at_once(&house, [failover_body(), failover_body()]).await;
    assert_eq!(codes, [202, 409]);
    let released = house.outside.peer.released.load(Ordering::SeqCst);
    assert_eq!(released, 0);
}

/// The one that came to be keeps others away by its lock, and gives the reservation back.
#[tokio::test]
async fn of_two_test_failovers_one_gives_the_reservation_back() {
    let house = House::with_member(WEB).await;
    let test = json!({"test_failover": {}});
    assert_eq!(at_once(&house, [test.clone(), test]).await, [202, 409]);
    let released = house.outside.peer.released.load(Ordering::SeqCst);
    assert_eq!(released, 1);
}

#[tokio::test]
async fn a_start_that_cannot_be_since_the_other_site_was_faster_gives_its_reservation_back() {
    let house = House::with_member(WEB).await;
    reserve(house.database.clone()).await;
    assert_eq!(at_once(&house, [failover_body()]).await, [409]);
    let released = house.outside.peer.released.load(Ordering::SeqCst);
    assert_eq!(released, 1);
}
