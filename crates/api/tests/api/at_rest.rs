//! A group that is shown as moving while no operation of either site moves it, and the way out.

use http::Method;
use protector_core::{
    clock::Clock,
    id::EngineId,
    journal::{Entry, Journal, OperationChange},
    operation::OperationState,
    queue::Room,
    runbook::BOOK_VERSION,
};
use protector_peer::group_push::Pushed;
use serde_json::Value;

use crate::{
    fakes::FixedClock,
    sync::{A, B, Tenant},
    two_sites::SITES,
};

impl Tenant {
    async fn group_status(&self, place: usize) -> Value {
        let path = &self.groups[place];
        let shown = self.ask(place, Method::GET, path, Value::Null).await;
        shown.expect(200).body["protection_group"]["status"].clone()
    }

    /// The operation under way ends, and leaves the group as it is: the other site has to tell what that is.
    async fn supersede(&self, place: usize) {
        let database = &self.sites.protectors[place].database;
        let (now, lease) = (FixedClock.now(), std::time::Duration::from_secs(60));
        let claims = database
            .claim(
                &EngineId::new("e"),
                now,
                lease,
                BOOK_VERSION,
                &Room::for_any(1),
            )
            .await
            .unwrap();
        let entry = Entry {
            operation: Some(OperationChange::Settled {
                state: OperationState::Failed,
                at: now,
            }),
            ..Entry::default()
        };
        database.record(&claims[0], now, entry).await.unwrap();
    }

    /// Nobody holds the group still any more.
    pub async fn let_go(&self, place: usize) {
        let database = &self.sites.protectors[place].database;
        let stored = database.group_show_by_id(&self.id).await.unwrap();
        let other = SITES[1 - place].into();
        let released = database
            .group_release(&stored.local_project_id, &self.id, &other)
            .await;
        released.unwrap();
    }

    async fn are_both(&self, status: &str) {
        for place in [A, B] {
            assert_eq!(self.group_status(place).await, status);
            let sync = self.status(place).await;
            assert_eq!(sync["status"], "IN SYNC", "{sync}");
        }
    }
}

#[tokio::test]
async fn a_view_of_a_move_that_was_overtaken_is_not_forced_on_the_site_that_knows_better() {
    let tenant = Tenant::new().await;
    tenant.fail_over(A).await.expect(202);
    tenant.change_alone(B, "moved there").await;
    tenant.supersede(A).await;
    let refused = tenant.force(A).await.expect(409);
    let said = refused.message();
    for says in [
        "web is failing_over on site-a",
        "site-b holds it as active",
        "--os-cloud site-b dr protection-group sync-force web",
    ] {
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(tenant.group_status(A).await, "failing_over");
    assert_eq!(tenant.group_status(B).await, "active");

    tenant.force(B).await.expect(202);
    tenant.are_both("active").await;
    assert_eq!(tenant.description(A).await, "moved there");
    tenant.fail_over(A).await.expect(202);
}

#[tokio::test]
async fn a_group_that_both_sites_take_for_moving_is_put_at_rest() {
    for place in [A, B] {
        let tenant = Tenant::new().await;
        tenant.fail_over(A).await.expect(202);
        assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
        tenant.supersede(A).await;
        tenant.are_both("failing_over").await;
        if place == B {
            // What has held it still is over, or was given back.
            tenant.let_go(B).await;
        }
        tenant.force(place).await.expect(202);
        tenant.are_both("active").await;
        tenant.fail_over(A).await.expect(202);
    }
}

/// The home of the operation was lost with its records, and set up anew.
#[tokio::test]
async fn a_group_whose_move_is_known_to_nobody_any_more_is_put_at_rest() {
    let tenant = Tenant::new().await;
    tenant.fail_over(A).await.expect(202);
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    tenant.supersede(A).await;
    let lost = &tenant.sites.protectors[A].database;
    let stored = lost.group_show_by_id(&tenant.id).await.unwrap();
    let held = lost.metadata_outgoing(&tenant.id).await.unwrap().side.now;
    let (project, now) = (&stored.local_project_id, FixedClock.now());
    let forgotten = lost.group_forget(project, &tenant.id, &held, now).await;
    forgotten.unwrap();
    tenant.let_go(B).await;
    tenant.force(B).await.expect(202);
    tenant.are_both("active").await;
}

#[tokio::test]
async fn a_group_that_an_operation_moves_stays_as_it_is() {
    let tenant = Tenant::new().await;
    tenant.fail_over(A).await.expect(202);
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    for place in [A, B] {
        tenant.force(place).await.expect(202);
        tenant.are_both("failing_over").await;
    }
}

#[tokio::test]
async fn a_group_that_the_other_site_is_about_to_move_stays_as_it_is() {
    let tenant = Tenant::new().await;
    tenant.fail_over(A).await.expect(202);
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    tenant.supersede(A).await;
    let refused = tenant.force(B).await.expect(409);
    let said = refused.message();
    assert!(said.contains("moved from site-a"), "{said}");
    tenant.are_both("failing_over").await;
}
