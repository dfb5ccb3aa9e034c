//! Two protectors that keep the same groups: who learns what, what is refused meanwhile, and the way out of a conflict.

use http::Method;
use protector_core::{
    clock::Clock,
    group::GroupStatus,
    id::{GroupId, OperationId, SiteName},
    operation::{OperationRecord, OperationState},
    runbook::failover::planned_move,
};
use protector_peer::{
    group_push::{GroupPush, Pushed},
    operation_push::send_copy,
    peer::PeerError,
};
use protector_store::{GroupChange, NewOperation, Reservation};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    fakes::FixedClock,
    house::{Answer, failover_body},
    two_sites::{SITES, TwoSites},
};

/// Two sites with a group `web` that both hold, and the tenant of both.
pub struct Tenant {
    pub sites: TwoSites,
    pub groups: Vec<String>,
    tokens: Vec<String>,
    pub id: GroupId,
}

pub const A: usize = 0;
pub const B: usize = 1;

impl Tenant {
    pub async fn new() -> Self {
        let sites = TwoSites::new().await;
        sites.furnish().await;
        let (groups, _) = sites.protect_a_server().await;
        let mut tokens = Vec::new();
        for name in SITES {
            tokens.push(sites.token(name, "demo", "demo").await);
        }
        let token = &tokens[A];
        let shown = sites
            .send(A, Method::GET, &groups[A], token, Value::Null)
            .await
            .expect(200);
        let id = shown.body["protection_group"]["id"].as_str().unwrap();
        Self {
            id: GroupId::new(id),
            sites,
            groups,
            tokens,
        }
    }

    pub async fn ask(&self, place: usize, method: Method, path: &str, body: Value) -> Answer {
        let token = &self.tokens[place];
        self.sites.send(place, method, path, token, body).await
    }

    pub async fn describe(&self, place: usize, text: &str) -> Answer {
        let body = json!({"protection_group": {"description": text}});
        self.ask(place, Method::PUT, &self.groups[place], body)
            .await
    }

    pub async fn description(&self, place: usize) -> Value {
        let path = &self.groups[place];
        let shown = self.ask(place, Method::GET, path, Value::Null).await;
        shown.expect(200).body["protection_group"]["description"].clone()
    }

    pub async fn fail_over(&self, place: usize) -> Answer {
        let path = format!("{}/action", self.groups[place]);
        self.ask(place, Method::POST, &path, failover_body()).await
    }

    pub async fn force(&self, place: usize) -> Answer {
        let path = format!("{}/sync-force", self.groups[place]);
        self.ask(place, Method::POST, &path, json!({})).await
    }

    pub async fn status(&self, place: usize) -> Value {
        let path = format!("{}/sync-status", self.groups[place]);
        let asked = self.ask(place, Method::GET, &path, Value::Null).await;
        asked.expect(200).body["sync_status"].clone()
    }

    /// A change that a site makes by itself: nobody asks the other one. A site that is held still makes it when that is
    /// over.
    pub async fn change_alone(&self, place: usize, text: &str) {
        let change = GroupChange {
            description: Some(Some(text.to_owned())),
            ..GroupChange::default()
        };
        let database = &self.sites.protectors[place].database;
        database
            .group_update(&self.id, &change, FixedClock.now() + Reservation::LASTS)
            .await
            .unwrap();
    }

    /// What an engine does about the group at each look.
    pub async fn push(&self, place: usize) -> Pushed {
        let protector = &self.sites.protectors[place];
        let group_push = GroupPush {
            database: &protector.database,
            peer: &*protector.peer,
            site: &SITES[place].into(),
            now: FixedClock.now(),
        };
        let pause = chrono::TimeDelta::seconds(1);
        group_push.push(&self.id, pause).await.unwrap()
    }

    /// What it does about the site's operations.
    pub async fn copy_operations(&self, place: usize) {
        let protector = &self.sites.protectors[place];
        let database = &protector.database;
        let due = database.operation_push_due(FixedClock.now(), 50).await;
        for id in due.unwrap() {
            let push = database.operation_push(&id).await.unwrap();
            send_copy(database, &*protector.peer, &SITES[place].into(), push)
                .await
                .unwrap();
        }
    }

    /// Both sites are cut off from each other and change the group.
    pub async fn changed_apart() -> Self {
        let tenant = Self::new().await;
        tenant.change_alone(A, "ours").await;
        tenant.change_alone(B, "theirs").await;
        tenant.change_alone(B, "theirs in the end").await;
        tenant
    }

    pub fn operations(&self, place: usize) -> String {
        self.groups[place].replace("protection-groups/web", "operations")
    }
}

#[tokio::test]
async fn what_was_changed_here_is_named_until_the_other_site_has_it() {
    let tenant = Tenant::new().await;
    let status = tenant.status(A).await;
    assert_eq!(status["status"], "IN SYNC");
    assert_eq!(status["differs"], json!([]));
    assert_eq!(status["conflict"], Value::Null);
    assert_eq!(status["sites"][0]["digest"], status["sites"][1]["digest"]);

    tenant.describe(A, "the shop").await.expect(200);
    for place in [A, B] {
        let status = tenant.status(place).await;
        assert_eq!(status["status"], "OUT OF SYNC");
        assert_eq!(status["differs"], json!(["description"]));
        assert_ne!(status["sites"][0]["digest"], status["sites"][1]["digest"]);
        assert_eq!(status["conflict"], Value::Null);
    }
    // The other site knows that it is behind: nothing is changed, moved or forced from there.
    for refused in [
        tenant.describe(B, "something else").await,
        tenant.fail_over(B).await,
        tenant.force(B).await,
    ] {
        let refused = refused.expect(409);
        assert!(
            refused.message().contains("site-a holds newer metadata"),
            "{}",
            refused.message()
        );
    }
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    assert_eq!(tenant.description(B).await, "the shop");
    for place in [A, B] {
        assert_eq!(tenant.status(place).await["status"], "IN SYNC");
    }
    tenant.describe(B, "something else").await.expect(200);
}

#[tokio::test]
async fn changes_on_both_sites_end_in_one_named_conflict() {
    let tenant = Tenant::changed_apart().await;
    let Pushed::Refused(why) = tenant.push(A).await else {
        panic!("the other site took it");
    };
    assert!(why.contains("web is in conflict"), "{why}");
    for place in [A, B] {
        let status = tenant.status(place).await;
        assert_eq!(status["status"], "OUT OF SYNC");
        assert_eq!(status["differs"], json!(["description"]));
        let conflict = &status["conflict"];
        let other = 1 - place;
        let sides = [&conflict["local"], &conflict["remote"]];
        for (side, site) in sides.into_iter().zip([place, other]) {
            let database = &tenant.sites.protectors[site].database;
            let held = database.metadata_outgoing(&tenant.id).await.unwrap();
            assert_eq!(side["version"], held.side.now.version);
            assert_eq!(side["digest"], held.side.now.digest);
        }
        assert_eq!(conflict["detected_at"], "2025-11-03T14:00:00Z");
        let shown = tenant
            .ask(place, Method::GET, &tenant.groups[place], Value::Null)
            .await
            .expect(200);
        assert_eq!(shown.body["protection_group"]["sync_status"], "OUT OF SYNC");
    }
    assert_eq!(tenant.description(A).await, "ours");
    assert_eq!(tenant.description(B).await, "theirs in the end");
}

#[tokio::test]
async fn nothing_is_done_to_a_group_in_conflict() {
    let tenant = Tenant::changed_apart().await;
    tenant.push(A).await;
    let failover = json!({"test_failover": {}});
    for place in [A, B] {
        let group = &tenant.groups[place];
        let policy = json!({"policy": {"rpo_minutes": 5}});
        let mapping = json!({"resource_mappings": {"flavor_mapping": {}}});
        let asked = [
            (
                Method::PUT,
                group.clone(),
                json!({"protection_group": {"name": "x"}}),
            ),
            (Method::DELETE, group.clone(), Value::Null),
            (Method::PUT, format!("{group}/policy"), policy),
            (Method::PUT, format!("{group}/resource-mappings"), mapping),
            (Method::POST, format!("{group}/action"), failover_body()),
            (Method::POST, format!("{group}/action"), failover.clone()),
            (Method::POST, format!("{group}/action"), json!({"sync": {}})),
        ];
        for (method, path, body) in asked {
            let what = format!("{method} {path} {body}");
            let refused = tenant.ask(place, method, &path, body).await;
            assert_eq!(refused.status, 409, "{what}: {}", refused.body);
            let said = refused.message();
            assert!(said.contains("is in conflict"), "{what}: {said}");
            assert!(said.contains("sync-force web"), "{what}: {said}");
        }
    }
}

#[tokio::test]
async fn a_person_ends_a_conflict_on_the_site_whose_view_counts() {
    for winner in [A, B] {
        let tenant = Tenant::changed_apart().await;
        tenant.push(A).await;
        tenant.push(B).await;
        let wanted = tenant.description(winner).await;
        let forced = tenant.force(winner).await.expect(202);
        assert_eq!(forced.body["sync_status"]["status"], "IN SYNC");
        for place in [A, B] {
            assert_eq!(tenant.description(place).await, wanted);
            let status = tenant.status(place).await;
            assert_eq!(status["status"], "IN SYNC", "{status}");
            assert_eq!(status["conflict"], Value::Null);
            assert!(matches!(tenant.push(place).await, Pushed::Agreed(_)));
        }
        tenant.fail_over(A).await.expect(202);
    }
}

/// Nobody has looked yet: the force itself finds out that there is something to decide.
#[tokio::test]
async fn a_conflict_that_nobody_has_seen_is_ended_too() {
    let tenant = Tenant::changed_apart().await;
    tenant.force(A).await.expect(202);
    assert_eq!(tenant.description(B).await, "ours");
    assert_eq!(tenant.status(B).await["status"], "IN SYNC");
}

#[tokio::test]
async fn a_view_is_not_forced_on_a_site_that_moves_the_group() {
    let tenant = Tenant::new().await;
    let operation = tenant.fail_over(A).await.expect(202);
    let operation = operation.body["operation"]["id"].as_str().unwrap();
    tenant.change_alone(B, "theirs").await;
    let refused = tenant.force(B).await.expect(409);
    assert!(
        refused.message().contains(operation),
        "{}",
        refused.message()
    );
    let shown = tenant
        .ask(A, Method::GET, &tenant.groups[A], Value::Null)
        .await
        .expect(200);
    assert_eq!(shown.body["protection_group"]["status"], "failing_over");
    assert_eq!(tenant.description(A).await, Value::Null);
    for place in [A, B] {
        assert_ne!(tenant.status(place).await["conflict"], Value::Null);
    }
}

/// The site that was cut off has only replicated since: what the surviving one did by itself is taken over.
#[tokio::test]
async fn a_site_that_comes_back_learns_what_the_other_one_did_alone() {
    let tenant = Tenant::new().await;
    tenant.sites.cut_off(A);
    tenant.describe(B, "refused").await.expect(409);
    let unchanged = GroupChange::default();
    let database = &tenant.sites.protectors[A].database;
    for _ in 0..3 {
        let now = FixedClock.now();
        database
            .group_update(&tenant.id, &unchanged, now)
            .await
            .unwrap();
    }
    tenant.change_alone(B, "failed over").await;
    assert!(matches!(tenant.push(B).await, Pushed::Unreachable(_)));
    assert_eq!(tenant.status(B).await["status"], "UNREACHABLE");
    tenant.sites.bring_back(A);
    assert!(matches!(tenant.push(A).await, Pushed::Refused(_)));
    assert!(matches!(tenant.push(B).await, Pushed::Agreed(_)));
    assert_eq!(tenant.description(A).await, "failed over");
    for place in [A, B] {
        let status = tenant.status(place).await;
        assert_eq!(status["status"], "IN SYNC", "{status}");
    }
}

#[tokio::test]
async fn a_group_that_cannot_be_deleted_here_is_not_lost_there() {
    let tenant = Tenant::new().await;
    let here = &tenant.sites.protectors[A].database;
    let stored = here.group_show_by_id(&tenant.id).await.unwrap();
    let now = FixedClock.now();
    let reservation = Reservation {
        local_project: stored.local_project_id,
        group_id: tenant.id.clone(),
        version: stored.group.version,
        by_site: "site-b".into(),
        until: now + Reservation::LASTS,
    };
    here.group_reserve(&reservation, now).await.unwrap();
    let refused = tenant
        .ask(A, Method::DELETE, &tenant.groups[A], Value::Null)
        .await
        .expect(409);
    let text = refused.message();
    assert!(text.contains("moved from site-b at this moment"), "{text}");
    for place in [A, B] {
        tenant
            .ask(place, Method::GET, &tenant.groups[place], Value::Null)
            .await
            .expect(200);
        assert_eq!(tenant.status(place).await["status"], "IN SYNC");
    }
}

#[tokio::test]
async fn a_deleted_group_stays_deleted_and_an_unseen_change_keeps_it() {
    let tenant = Tenant::new().await;
    tenant.change_alone(B, "mine").await;
    let refused = tenant
        .ask(A, Method::DELETE, &tenant.groups[A], Value::Null)
        .await
        .expect(409);
    assert!(
        refused.message().contains("holds newer metadata"),
        "{}",
        refused.message()
    );
    tenant.push(B).await;
    let late = tenant.sites.protectors[A]
        .database
        .metadata_outgoing(&tenant.id);
    let late = late.await.unwrap();
    tenant
        .ask(A, Method::DELETE, &tenant.groups[A], Value::Null)
        .await
        .expect(204);
    for place in [A, B] {
        tenant
            .ask(place, Method::GET, &tenant.groups[place], Value::Null)
            .await
            .expect(404);
    }
    let service = tenant.sites.token("site-b", "protector", "service").await;
    let body = json!({"metadata": {"version": late.side.now.version, "digest": late.side.now.digest,
        "base": null, "origin_site": "site-a", "document": late.document.to_json().unwrap()}});
    let path = tenant.groups[B].replace("/web", &format!("/{}/metadata", tenant.id));
    let refused = tenant.sites.say(B, Method::PUT, &path, &service, body);
    let refused = refused.await.expect(409);
    assert!(
        refused.message().contains("was deleted here"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn the_other_site_s_view_is_for_services_and_hides_its_secrets() {
    let tenant = Tenant::new().await;
    let path = tenant.groups[B].replace("/web", &format!("/{}/metadata", tenant.id));
    tenant
        .ask(B, Method::GET, &path, Value::Null)
        .await
        .expect(403);
    let service = tenant.sites.token("site-b", "protector", "service").await;
    let sites = &tenant.sites;
    let whole = format!("{path}?document=true");
    let held = sites
        .say(B, Method::GET, &whole, &service, Value::Null)
        .await;
    let held = held.expect(200);
    let policy = &held.body["metadata"]["document"]["policy"];
    assert_eq!(policy["primary_fa_api_token"], "***");
    assert!(!held.body.to_string().contains("array-secret"));
    let held = sites
        .say(B, Method::GET, &path, &service, Value::Null)
        .await;
    assert_eq!(held.expect(200).body["metadata"].get("document"), None);
    // A group of another project's is none.
    let project = sites.project("site-b").await;
    let elsewhere = path.replace(&project, "cccccccc000040008000000000000001");
    for method in [Method::GET, Method::DELETE] {
        let query = match method {
            Method::DELETE => "?version=1&digest=d",
            _ => "",
        };
        let path = format!("{elsewhere}{query}");
        let wanted = if method == Method::GET { 404 } else { 204 };
        sites
            .say(B, method, &path, &service, Value::Null)
            .await
            .expect(wanted);
    }
    assert_eq!(tenant.status(A).await["status"], "IN SYNC");
}

#[tokio::test]
async fn releases_that_read_metadata_differently_do_not_take_it_over() {
    let tenant = Tenant::new().await;
    let held = tenant.sites.protectors[A]
        .database
        .metadata_outgoing(&tenant.id);
    let held = held.await.unwrap();
    let service = tenant.sites.token("site-b", "protector", "service").await;
    let path = tenant.groups[B].replace("/web", &format!("/{}/metadata", tenant.id));
    let body = json!({"metadata": {"version": held.side.now.version, "digest": "of a later release",
        "base": null, "origin_site": "site-a", "document": held.document.to_json().unwrap()}});
    let refused = tenant.sites.say(B, Method::PUT, &path, &service, body);
    let refused = refused.await.expect(400);
    assert!(
        refused.message().contains("different releases"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn an_operation_is_read_on_the_other_site_and_run_on_its_own() {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(A).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    tenant.copy_operations(A).await;
    tenant.copy_operations(A).await;
    // Its home is gone; what it did is known.
    tenant.sites.cut_off(A);
    let operations = tenant.operations(B);
    for query in [
        "",
        "?protection_group=web",
        "?status=running&operation_type=failover",
    ] {
        let path = format!("{operations}{query}");
        let listed = tenant
            .ask(B, Method::GET, &path, Value::Null)
            .await
            .expect(200);
        let listed = listed.body["operations"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 1, "{path}");
        assert_eq!(
            (&listed[0]["id"], &listed[0]["home_site"]),
            (&json!(id), &json!("site-a"))
        );
    }
    let none = format!("{operations}?status=completed");
    let none = tenant
        .ask(B, Method::GET, &none, Value::Null)
        .await
        .expect(200);
    assert_eq!(none.body["operations"], json!([]));

    let one = format!("{operations}/{id}");
    let shown = tenant
        .ask(B, Method::GET, &one, Value::Null)
        .await
        .expect(200);
    assert_eq!(shown.body["operation"].get("steps"), None);
    let at_home = format!("{}/{id}?detail=true", tenant.operations(A));
    let at_home = tenant
        .ask(A, Method::GET, &at_home, Value::Null)
        .await
        .expect(200);
    let detail = format!("{one}?detail=true");
    let shown = tenant
        .ask(B, Method::GET, &detail, Value::Null)
        .await
        .expect(200);
    assert_eq!(shown.body, at_home.body);
    assert!(
        !shown.body["operation"]["steps"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    let cleanup = format!("{one}/cleanup");
    let body = json!({"cleanup": {"dry_run": true}});
    let refused = tenant
        .ask(B, Method::POST, &cleanup, body)
        .await
        .expect(409);
    let command = format!("openstack --os-cloud site-a dr operation cleanup {id}");
    assert!(
        refused.message().contains(&command),
        "{}",
        refused.message()
    );
    let action = format!("{}/action", tenant.groups[B]);
    let body = json!({"test_cleanup": {"test_operation_id": id}});
    let refused = tenant.ask(B, Method::POST, &action, body).await.expect(409);
    assert!(
        refused
            .message()
            .contains("--os-cloud site-a dr test-cleanup web"),
        "{}",
        refused.message()
    );
    // Another project's tenant is told nothing.
    let admin = tenant.sites.token("site-b", "admin", "admin").await;
    let project = tenant.sites.project("site-b").await;
    tenant
        .sites
        .send(B, Method::GET, &one, &admin, Value::Null)
        .await
        .expect(404);
    let service = tenant.sites.token("site-b", "protector", "service").await;
    let theirs = one.replace(&project, &service_project(&tenant).await);
    let hidden = tenant
        .sites
        .send(B, Method::GET, &theirs, &service, Value::Null);
    hidden.await.expect(404);
}

#[tokio::test]
async fn a_site_knows_what_moved_a_group_before_it_knows_where_the_group_is() {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(A).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let path = format!("{}/{id}", tenant.operations(B));
    let asked = tenant.ask(B, Method::GET, &path, Value::Null).await;
    asked.expect(404);
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    let shown = tenant.ask(B, Method::GET, &path, Value::Null).await;
    assert_eq!(shown.expect(200).body["operation"]["id"], id);

    tenant.sites.cut_off(B);
    let database = &tenant.sites.protectors[A].database;
    let held = database.metadata_outgoing(&tenant.id).await.unwrap();
    let version = held.side.now.version;
    let raised = database.version_raise(&tenant.id, version, version + 1);
    raised.await.unwrap();
    assert!(matches!(tenant.push(A).await, Pushed::Unreachable(_)));
}

async fn service_project(tenant: &Tenant) -> String {
    let identity = tenant.sites.admin_of("site-b");
    let found = identity.identity().find_project("service").await;
    found.unwrap().unwrap().id.to_string()
}

#[tokio::test]
async fn a_copy_comes_from_a_service_and_of_another_site() {
    let tenant = Tenant::new().await;
    let path = format!("{}/op-1/copy", tenant.operations(B));
    let copy = |change: fn(&mut Value)| {
        let mut copy = json!({"home_site": "site-a", "revision": 1, "since": 0, "is_last": true,
            "group_id": tenant.id.as_str(), "group_name": "web", "kind": "failover", "state": "running",
            "parent_id": null, "leftovers": 0, "created_at": "2025-11-03T14:00:00Z",
            "record": {"id": "op-1", "home_site": "site-a"}, "lines": []});
        change(&mut copy);
        json!({"operation_copy": copy})
    };
    let good = copy(|_| ());
    tenant
        .ask(B, Method::PUT, &path, good.clone())
        .await
        .expect(403);
    let admin = tenant.sites.token("site-b", "admin", "admin").await;
    let refused = tenant
        .sites
        .send(B, Method::PUT, &path, &admin, good.clone())
        .await
        .expect(403);
    let said = refused.message();
    assert!(said.contains("is not the other site's protector"), "{said}");
    let service = tenant.sites.token("site-b", "protector", "service").await;
    for (bad, field) in [
        (
            copy(|copy| copy["home_site"] = json!("site-b")),
            "home_site",
        ),
        (
            copy(|copy| copy["record"]["id"] = json!("op-2")),
            "record.id",
        ),
        (copy(|copy| copy["revision"] = json!(0)), "revision"),
        (
            copy(|copy| copy["lines"] = json!([{"position": 0, "line": 1}])),
            "lines",
        ),
    ] {
        let refused = tenant.sites.say(B, Method::PUT, &path, &service, bad).await;
        let refused = refused.expect(400);
        assert!(refused.message().contains(field), "{}", refused.message());
    }
    let kept = tenant
        .sites
        .say(B, Method::PUT, &path, &service, good)
        .await;
    assert_eq!(kept.expect(200).body["operation_copy"]["revision"], 1);
}

/// 500 servers and 2,000 volumes.
async fn large(tenant: &Tenant, operation: &str) -> OperationRecord {
    let database = &tenant.sites.protectors[A].database;
    let id = OperationId::new(operation);
    let mut record = database.operation_show_by_id(&id).await.unwrap();
    let pattern = record.operation.plan.members[0].clone();
    let volume = pattern.volumes[0].clone();
    record.operation.plan.members = (0..500)
        .map(|server| {
            let mut member = pattern.clone();
            member.id = format!("member-{server}").into();
            member.server_id = format!("server-{server}").into();
            member.name = format!("vm-{server}");
            member.volumes = (0..4)
                .map(|place| {
                    let mut volume = volume.clone();
                    volume.id = format!("vol-{server}-{place}").into();
                    volume.name = format!("vol-{server}-{place}");
                    volume
                })
                .collect();
            member
        })
        .collect();
    record.operation.id = "op-large".into();
    record.operation.state = OperationState::Completed;
    record.steps = planned_move(&record.operation.plan).into_steps().unwrap();
    record
}

#[tokio::test]
async fn the_record_of_a_large_operation_arrives_whole() {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(A).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = large(&tenant, id).await;
    assert!(record.steps.len() > 6000, "{}", record.steps.len());
    let new = NewOperation {
        operation: &record.operation,
        steps: &record.steps,
        map: &record.map,
        locks: &[],
        group: None,
    };
    let database = &tenant.sites.protectors[A].database;
    database
        .operation_insert(&new, FixedClock.now())
        .await
        .unwrap();
    tenant.copy_operations(A).await;
    let due = database.operation_push_due(FixedClock.now(), 5).await;
    assert!(due.unwrap().is_empty());
    let copies = &tenant.sites.protectors[B].database;
    let lines = copies.peer_operation_lines(&record.operation.id).await;
    assert_eq!(lines.unwrap().len(), record.steps.len());
    // The group's own status is not the copy's matter.
    let group = copies.group_show_by_id(&tenant.id).await.unwrap().group;
    assert_eq!(group.status, GroupStatus::Active);
}

/// Its health it tells anybody. That it takes this one for a stranger shows in the looks at the site, before anything is at stake.
#[tokio::test]
async fn a_protector_that_comes_as_somebody_else_hears_so_from_the_looks_at_the_site() {
    let tenant = Tenant::new().await;
    let protector = &tenant.sites.protectors[A];
    let there = SiteName::new("site-b");
    protector.peer.knows_us(&there).await.unwrap();
    let seen = protector.database.site_show("site-b").await.unwrap();
    let mut site = seen.clone();
    site.username = "admin".to_owned();
    site.project_name = "admin".to_owned();
    let password = SecretString::from("admin");
    protector
        .database
        .site_update(&seen, &site, Some(&password))
        .await
        .unwrap();
    protector.peer.reach(&there).await.unwrap();
    let refused = protector.peer.knows_us(&there).await.unwrap_err();
    let PeerError::Refused(why) = &refused else {
        panic!("{refused}");
    };
    assert!(why.contains("is not the other site's protector"), "{why}");
}

#[tokio::test]
async fn the_protectors_learn_each_others_keys_by_themselves() {
    let tenant = Tenant::new().await;
    for (place, other) in [(A, B), (B, A)] {
        let told = tenant.sites.protectors[other].database.signing_key_public();
        let told = told.await.unwrap().unwrap();
        let protector = &tenant.sites.protectors[place];
        let known = protector.database.peer_key(&SITES[other].into()).await;
        assert_eq!(known.unwrap().unwrap().key, told);
        // Its own is not pinned, and is the one that it tells itself.
        let own = SiteName::new(SITES[place]);
        protector.peer.knows_us(&own).await.unwrap();
        assert_eq!(protector.database.peer_key(&own).await.unwrap(), None);
    }
}

fn refusal(answer: Result<(), PeerError>) -> String {
    match answer {
        Err(PeerError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_changed_key_shows_on_both_sites_and_makes_neither_lost() {
    let tenant = Tenant::new().await;
    let [here, there] = tenant.sites.protectors.as_slice() else {
        panic!("a site is missing");
    };
    let (site_a, site_b) = (SiteName::new("site-a"), SiteName::new("site-b"));
    let old = there
        .identity
        .kept_key()
        .await
        .unwrap()
        .public
        .fingerprint();
    let new = there.identity.new_key().await.unwrap().public.fingerprint();
    let command = format!("openstack dr site set site-b --peer-key {new}");
    // The one that looks, and the one that is looked at.
    for why in [
        refusal(here.peer.knows_us(&site_b).await),
        refusal(there.peer.knows_us(&site_a).await),
    ] {
        for says in [&old, &new, &command] {
            assert!(why.contains(says.as_str()), "{why}");
        }
    }
    // Nothing is changed on one side alone.
    tenant.describe(B, "alone").await.expect(409);
    // The administrator of site-a says that it is right.
    let admin = tenant.sites.token("site-a", "admin", "admin").await;
    let body = json!({"site": {"peer_key": new}});
    let path = "/v1/admin/sites/site-b";
    let set = tenant.sites.send(A, Method::PUT, path, &admin, body).await;
    assert_eq!(set.expect(200).body["site"]["key_fingerprint"], json!(new));
    here.peer.knows_us(&site_b).await.unwrap();
    there.peer.knows_us(&site_a).await.unwrap();
    tenant.describe(B, "together").await.expect(200);
}

#[tokio::test]
async fn two_sites_that_have_forgotten_each_other_find_their_keys_again() {
    let tenant = Tenant::new().await;
    for (place, other) in [(A, B), (B, A)] {
        let protector = &tenant.sites.protectors[place];
        protector.identity.new_key().await.unwrap();
        let forgotten = protector
            .database
            .peer_key_forget(&SITES[other].into())
            .await;
        forgotten.unwrap();
    }
    tenant.describe(A, "again").await.expect(200);
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    tenant.describe(B, "and again").await.expect(200);
    let keys = &tenant.sites.protectors[B]
        .database
        .peer_keys()
        .await
        .unwrap();
    assert!(keys.contains_key(&SiteName::new("site-a")));
}
