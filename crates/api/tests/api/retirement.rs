//! A site that is gone for good is retired: its groups go on without it, and its protector, should it come back, is not
//! believed.

use chrono::TimeDelta;
use http::Method;
use protector_core::{
    clock::Clock,
    operation::OperationState,
    site::{Site, SiteStatus},
};
use protector_peer::group_push::Pushed;
use protector_store::{Offered, Precondition, Reservation, StoreError, Taken};
use serde_json::{Value, json};

use crate::{
    engine::{self, settle_as},
    fakes::{FixedClock, PROJECT_A, WEB},
    house::{Answer, House, group_path},
    lost_home::{lose_the_key_to_site_b, says, start_them, stopped_by_the_target},
    sync::{A, B, Tenant},
    two_sites::SITES,
};

impl Tenant {
    async fn administrate(&self, place: usize, method: Method, path: &str, body: Value) -> Answer {
        let token = self.sites.token(SITES[place], "admin", "admin").await;
        self.sites.send(place, method, path, &token, body).await
    }

    /// Says on `place` that the other site is gone for good.
    async fn retire(&self, place: usize, dry_run: bool) -> Answer {
        self.retire_with(place, json!({"dry_run": dry_run})).await
    }

    async fn retire_with(&self, place: usize, options: Value) -> Answer {
        let path = format!("/v1/admin/sites/{}/retire", SITES[1 - place]);
        let body = json!({"retire": options});
        self.administrate(place, Method::POST, &path, body).await
    }

    async fn create_anew(&self, name: &str) -> Answer {
        let (net_a, net_b) = (
            self.sites.network("site-a").await,
            self.sites.network("site-b").await,
        );
        let body = json!({"protection_group": {
            "name": name, "primary_site": "site-a", "secondary_site": "site-b",
            "replication_type": "async", "volume_type": "replicated",
            "network_mapping": {net_a: net_b},
        }});
        let groups = self.groups[A].replace("/web", "");
        self.ask(A, Method::POST, &groups, body).await
    }
}

/// A group that runs on site-a; site-b was lost and is retired.
async fn alone() -> Tenant {
    let tenant = Tenant::new().await;
    tenant.sites.cut_off(B);
    tenant.retire(A, false).await.expect(200);
    tenant
}

#[tokio::test]
async fn a_site_is_retired_when_it_is_known_what_that_means() {
    let tenant = Tenant::new().await;
    tenant.describe(A, "not told yet").await.expect(200);
    tenant.sites.cut_off(B);
    tenant.describe(A, "while nobody answers").await.expect(409);
    let told = tenant.retire(A, true).await.expect(200);
    let told = &told.body["retirement"];
    assert_eq!(told["site"], "site-b");
    assert_eq!(told["retired_at"], Value::Null);
    assert_eq!(told["in_the_way"], Value::Null);
    let asked = told["asked"].as_str().unwrap();
    assert!(asked.contains("does not answer"), "{asked}");
    let group = &told["protection_groups"][0];
    assert_eq!(group["name"], "web");
    assert_eq!(group["runs_on"], "site-a");
    assert_eq!(group["leftovers_there"], 0);
    assert_eq!(group["in_the_way"], Value::Null);
    assert_ne!(tenant.group(A).await["sync_status"], "RETIRED");

    let done = tenant.retire(A, false).await.expect(200);
    assert_eq!(
        done.body["retirement"]["retired_at"],
        "2025-11-03T14:00:00Z"
    );
    let site = tenant
        .administrate(A, Method::GET, "/v1/admin/sites/site-b", Value::Null)
        .await
        .expect(200);
    assert_eq!(site.body["site"]["status"], "retired");
    // Said twice, it is as it was.
    tenant.retire(A, false).await.expect(200);
}

#[tokio::test]
async fn its_groups_are_changed_and_deleted_without_it_and_not_moved() {
    let tenant = alone().await;
    let group = tenant.group(A).await;
    assert_eq!(group["status"], "active");
    assert_eq!(group["sync_status"], "RETIRED");
    assert_eq!(tenant.status(A).await["status"], "RETIRED");
    tenant.describe(A, "on its own").await.expect(200);
    let policy = json!({"policy": {"rpo_minutes": 5}});
    let path = format!("{}/policy", tenant.groups[A]);
    tenant.ask(A, Method::PUT, &path, policy).await.expect(200);
    for refused in [
        tenant.fail_over(A).await,
        tenant.force(A).await,
        tenant.create_anew("shop").await,
    ] {
        says(&refused.expect(409), &["was retired"]);
    }
    // Nobody is told anything any more.
    let database = &tenant.sites.protectors[A].database;
    let due = database.push_due(FixedClock.now(), 10).await.unwrap();
    assert!(due.is_empty(), "{due:?}");
    let path = &tenant.groups[A];
    tenant
        .ask(A, Method::DELETE, path, Value::Null)
        .await
        .expect(204);
}

#[tokio::test]
async fn while_its_protector_answers_it_is_not_gone() {
    let tenant = Tenant::new().await;
    let told = tenant.retire(A, true).await.expect(200);
    let why = &told.body["retirement"]["in_the_way"];
    assert!(why.as_str().unwrap().contains("knows protection group web"));
    let refused = tenant.retire(A, false).await.expect(409);
    says(&refused, &["its protector answers", "web", "site delete"]);
    assert_eq!(tenant.group(A).await["sync_status"], "IN SYNC");
    tenant.fail_over(A).await.expect(202);
}

#[tokio::test]
async fn a_site_that_cannot_be_asked_is_not_gone() {
    let tenant = Tenant::new().await;
    lose_the_key_to_site_b(&tenant).await;
    tenant.sites.cut_off(B);
    let refused = tenant.retire(A, false).await.expect(409);
    let key = "needs key 1, which is not in the key repository";
    says(&refused, &["nobody knows whether it is gone", key]);
}

#[tokio::test]
async fn a_group_that_runs_there_is_brought_up_here_first() {
    let tenant = Tenant::new().await;
    tenant.sites.cut_off(A);
    let refused = tenant.retire(B, false).await.expect(409);
    says(&refused, &["runs on site-a", "--type unplanned"]);
    let own = json!({"retire": {}});
    let own = tenant.administrate(B, Method::POST, "/v1/admin/sites/site-b/retire", own);
    own.await.expect(400);
    assert_ne!(tenant.group(B).await["sync_status"], "RETIRED");
}

/// Site-a is lost, and its group has nothing to be brought up from.
#[tokio::test]
async fn a_group_that_cannot_be_brought_up_is_given_up_and_holds_no_other_up() {
    let tenant = Tenant::new().await;
    tenant.sites.cut_off(A);
    let told = tenant.retire(B, true).await.expect(200);
    let group = &told.body["retirement"]["protection_groups"][0];
    let first = group["in_the_way"].as_str().unwrap();
    assert!(first.contains("'--give-up web'"), "{first}");
    assert_eq!(group["given_up"], false);
    let unknown = json!({"give_up": ["shop"]});
    let unknown = tenant.retire_with(B, unknown).await.expect(400);
    says(&unknown, &["retire.give_up", "called 'shop'"]);

    let looked = json!({"dry_run": true, "give_up": ["web"]});
    let looked = tenant.retire_with(B, looked).await.expect(200);
    let group = &looked.body["retirement"]["protection_groups"][0];
    assert_eq!(group["given_up"], true);
    assert_eq!(group["in_the_way"], Value::Null);
    tenant.group(B).await;
    let by_id = json!({"give_up": [tenant.id.as_str()]});
    let done = tenant.retire_with(B, by_id).await.expect(200);
    assert!(done.body["retirement"]["retired_at"].is_string());
    let path = &tenant.groups[B];
    tenant
        .ask(B, Method::GET, path, Value::Null)
        .await
        .expect(404);
    // Nothing that site-a still says of it brings it back.
    tenant.sites.bring_back(A);
    tenant.change_alone(A, "from the other world").await;
    tenant.push(A).await;
    tenant
        .ask(B, Method::GET, path, Value::Null)
        .await
        .expect(404);
}

/// What runs on the site that is left goes on running, and can be protected anew.
#[tokio::test]
async fn a_group_that_runs_twice_is_given_up_where_the_site_of_its_copies_is_lost() {
    let tenant = Tenant::new().await;
    let database = &tenant.sites.protectors[B].database;
    let split = database.group_split(&tenant.id, FixedClock.now()).await;
    split.unwrap();
    assert_eq!(tenant.group(B).await["status"], "split_brain");
    tenant.sites.cut_off(A);
    let refused = tenant.retire(B, false).await.expect(409);
    says(&refused, &["(split_brain) runs on site-a", "--give-up web"]);
    let given_up = json!({"give_up": ["web"]});
    tenant.retire_with(B, given_up).await.expect(200);
    let path = &tenant.groups[B];
    let gone = tenant.ask(B, Method::GET, path, Value::Null).await;
    gone.expect(404);
}

#[tokio::test]
async fn a_group_that_runs_here_is_not_given_up() {
    let tenant = Tenant::new().await;
    tenant.sites.cut_off(B);
    let refused = tenant.retire_with(A, json!({"give_up": ["web"]})).await;
    says(&refused.expect(400), &["retire.give_up", "runs on site-a"]);
    assert_ne!(tenant.group(A).await["sync_status"], "RETIRED");
}

/// It runs nowhere.
#[tokio::test]
async fn a_group_without_members_is_in_nobodys_way() {
    let tenant = Tenant::new().await;
    let path = format!("{}/members", tenant.groups[A]);
    let shown = tenant.ask(A, Method::GET, &path, Value::Null).await;
    let members = shown.expect(200).body["members"].clone();
    for member in members.as_array().unwrap() {
        let path = format!("{path}/{}", member["id"].as_str().unwrap());
        let gone = tenant.ask(A, Method::DELETE, &path, Value::Null).await;
        gone.expect(204);
    }
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    tenant.sites.cut_off(A);
    tenant.retire(B, false).await.expect(200);
    let path = &tenant.groups[B];
    tenant
        .ask(B, Method::DELETE, path, Value::Null)
        .await
        .expect(204);
}

#[tokio::test]
async fn a_move_that_it_ran_is_given_up_first() {
    let (tenant, id) = stopped_by_the_target().await;
    tenant.sites.cut_off(B);
    let command = format!("openstack dr operation abort {id} --target-is-lost");
    says(&tenant.retire(A, false).await.expect(409), &[&command]);
    let lost = json!({"target_is_lost": true});
    tenant.abort(A, &id, lost).await.expect(202);
    says(&tenant.retire(A, false).await.expect(409), &["(abort)"]);
    start_them(&tenant).await;
    let done = tenant.retire(A, false).await.expect(200);
    let group = &done.body["retirement"]["protection_groups"][0];
    assert_eq!(group["unfinished_there"], json!([id]));
    assert_eq!(tenant.group(A).await["status"], "active");
    // What the lost site has told of its operations is still read.
    let path = format!("{}/{id}", tenant.operations(A));
    let copy = tenant.ask(A, Method::GET, &path, Value::Null).await;
    assert_eq!(copy.expect(200).body["operation"]["home_site"], "site-b");
}

#[tokio::test]
async fn one_that_comes_back_is_not_believed() {
    let tenant = alone().await;
    tenant.describe(A, "on its own").await.expect(200);
    tenant.change_alone(B, "from the other world").await;
    tenant.sites.bring_back(B);

    let Pushed::Refused(why) = tenant.push(B).await else {
        panic!("site-a took it");
    };
    assert!(why.contains("has retired the other one"), "{why}");
    for refused in [
        tenant.describe(B, "again").await,
        tenant.fail_over(B).await,
        tenant.force(B).await,
    ] {
        let refused = refused.expect(409);
        says(&refused, &["site-a has retired site-b", "delete web"]);
    }
    let database = &tenant.sites.protectors[A].database;
    let stored = database.group_show_by_id(&tenant.id).await.unwrap();
    let wanted = Reservation {
        local_project: stored.local_project_id.clone(),
        group_id: tenant.id.clone(),
        version: stored.group.version,
        by_site: "site-b".into(),
        until: FixedClock.now() + Reservation::LASTS,
    };
    let reserved = database.group_reserve(&wanted, FixedClock.now()).await;
    assert!(matches!(reserved, Err(StoreError::PeerRetired { .. })));
    // It forgets its own, and takes nothing of this site's with it.
    let path = &tenant.groups[B];
    tenant
        .ask(B, Method::DELETE, path, Value::Null)
        .await
        .expect(204);
    assert_eq!(tenant.description(A).await, "on its own");
}

/// A group that site-b has made after it was retired.
async fn made_since(tenant: &Tenant) -> Offered {
    let there = &tenant.sites.protectors[B].database;
    let mut document = there.metadata_outgoing(&tenant.id).await.unwrap().document;
    let group = &mut document.group;
    group.id = "grp-made-since".into();
    group.name = "shop".to_owned();
    group.created_at = FixedClock.now() + TimeDelta::days(1);
    document.members.clear();
    Offered {
        document,
        base: None,
        force: false,
    }
}

#[tokio::test]
async fn nor_is_it_believed_of_groups_that_it_makes_while_it_is_retired() {
    let tenant = alone().await;
    let offered = made_since(&tenant).await;
    let database = &tenant.sites.protectors[A].database;
    let project = database.group_show_by_id(&tenant.id).await.unwrap();
    let project = project.local_project_id;
    let now = FixedClock.now();
    let taken = database.metadata_apply(&project, &offered, now).await;
    assert!(
        matches!(&taken, Err(StoreError::SiteRetired { site }) if site.as_str() == "site-b"),
        "{taken:?}"
    );
}

/// It was made while the site was being retired.
#[tokio::test]
async fn a_group_that_a_retirement_has_missed_is_retired_by_the_next_one() {
    let tenant = alone().await;
    let offered = made_since(&tenant).await;
    let database = &tenant.sites.protectors[A].database;
    let project = database.group_show_by_id(&tenant.id).await.unwrap();
    let project = project.local_project_id;
    let retired = database.site_show("site-b").await.unwrap();
    let active = Site {
        status: SiteStatus::Active,
        ..retired.clone()
    };
    database.site_update(&retired, &active, None).await.unwrap();
    let now = FixedClock.now();
    let taken = database.metadata_apply(&project, &offered, now).await;
    assert!(matches!(taken, Ok(Taken::Held(_))), "{taken:?}");
    database.site_update(&active, &retired, None).await.unwrap();

    let again = tenant.retire(A, false).await.expect(200);
    let groups = &again.body["retirement"]["protection_groups"];
    assert_eq!(groups[0]["name"], "shop");
    let id = &offered.document.group.id;
    let stored = database.group_show_by_id(id).await.unwrap();
    assert_eq!(stored.peer_retired_at, Some(now));
}

#[tokio::test]
async fn while_it_is_about_to_move_a_group_it_is_not_retired() {
    let tenant = Tenant::new().await;
    let database = &tenant.sites.protectors[A].database;
    let stored = database.group_show_by_id(&tenant.id).await.unwrap();
    let wanted = Reservation {
        local_project: stored.local_project_id.clone(),
        group_id: tenant.id.clone(),
        version: stored.group.version,
        by_site: "site-b".into(),
        until: FixedClock.now() + Reservation::LASTS,
    };
    let now = FixedClock.now();
    database.group_reserve(&wanted, now).await.unwrap();
    tenant.sites.cut_off(B);
    let refused = tenant.retire(A, false).await.expect(409);
    says(
        &refused,
        &["site-b has reserved one of its groups", "a minute"],
    );
    let by_site = &wanted.by_site;
    let released = database.group_release(&wanted.local_project, &tenant.id, by_site);
    released.await.unwrap();
    tenant.retire(A, false).await.expect(200);
}

#[tokio::test]
async fn what_it_says_of_a_deleted_group_brings_nothing_back() {
    let tenant = alone().await;
    let path = &tenant.groups[A];
    tenant
        .ask(A, Method::DELETE, path, Value::Null)
        .await
        .expect(204);
    tenant.sites.bring_back(B);
    tenant.change_alone(B, "from the other world").await;
    tenant.force(B).await;
    let shown = tenant.ask(A, Method::GET, path, Value::Null).await;
    shown.expect(404);
    let why = tenant.status(B).await["last_push"]["error"].clone();
    let why = why.as_str().unwrap();
    assert!(why.contains("has retired the other one"), "{why}");
}

#[tokio::test]
async fn another_protector_of_its_name_is_paired_anew() {
    let tenant = Tenant::new().await;
    // Another one answers for site-b: it knows nothing.
    let there = &tenant.sites.protectors[B].database;
    let now = FixedClock.now();
    there
        .group_delete(&tenant.id, Precondition::Any, now)
        .await
        .unwrap();
    tenant.retire(A, false).await.expect(200);
    let path = &tenant.groups[A];
    tenant
        .ask(A, Method::DELETE, path, Value::Null)
        .await
        .expect(204);
    let admin = "/v1/admin/tenant-mappings";
    let mappings = tenant.administrate(A, Method::GET, admin, Value::Null);
    let mapping = mappings.await.body["tenant_mappings"][0].clone();
    let path = format!("{admin}/{}", mapping["id"].as_str().unwrap());
    let gone = tenant.administrate(A, Method::DELETE, &path, Value::Null);
    gone.await.expect(204);
    let sites = "/v1/admin/sites";
    let path = format!("{sites}/site-b");
    let gone = tenant.administrate(A, Method::DELETE, &path, Value::Null);
    gone.await.expect(204);
    let body = json!({"site": {
        "name": "site-b", "auth_url": "http://site-b.test/identity",
        "username": "protector", "password": "protector",
    }});
    let made = tenant.administrate(A, Method::POST, sites, body).await;
    assert_eq!(made.expect(201).body["site"]["status"], "active");
    let field = |name: &str| mapping[name].clone();
    let body = json!({"tenant_mapping": {
        "primary_site": field("primary_site"), "primary_project_id": field("primary_project_id"),
        "secondary_site": field("secondary_site"), "secondary_project_id": field("secondary_project_id"),
    }});
    let mapped = tenant.administrate(A, Method::POST, admin, body);
    mapped.await.expect(201);
    tenant.create_anew("web").await.expect(201);
}

#[tokio::test]
async fn a_test_whose_copies_are_there_ends_with_it() {
    let house = House::with_member(WEB).await;
    let action = group_path("web", "/action");
    let body = json!({"test_failover": {}});
    let started = house.send(Method::POST, &action, "member", body).await;
    let id = started.expect(202).body["operation"]["id"].clone();
    settle_as(&house, OperationState::AwaitingCleanup, |_| engine::done()).await;
    house
        .outside
        .peer
        .away
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let body = json!({"retire": {}});
    let path = "/v1/admin/sites/site-b/retire";
    let done = house.send(Method::POST, path, "admin", body).await;
    let done = done.expect(200);
    let group = &done.body["retirement"]["protection_groups"][0];
    assert_eq!(group["tests_there"], json!([id]));
    let path = format!("/v1/{PROJECT_A}/operations/{}", id.as_str().unwrap());
    let ended = house.get(&path, "member").await.expect(200);
    let operation = &ended.body["operation"];
    assert_eq!(operation["status"], "failed");
    assert!(operation["error"].as_str().unwrap().contains("was retired"));
    let path = group_path("web", "");
    let gone = house.send(Method::DELETE, &path, "member", Value::Null);
    gone.await.expect(204);
}
