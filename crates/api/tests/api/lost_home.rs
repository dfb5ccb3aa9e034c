//! The home of a planned move is lost while the source's VMs are stopped: the source gives the move up.

use http::Method;
use protector_core::{
    clock::Clock,
    id::{EngineId, OperationId},
    journal::{Effect, Entry, Journal, OperationChange},
    operation::{MapKind, Memo, OperationState, SeenByStep, StepProgress, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, Step},
};
use protector_peer::group_push::Pushed;
use protector_store::KeyRepository;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine,
    fakes::FixedClock,
    house::Answer,
    sync::{A, B, Tenant},
};

impl Tenant {
    /// What an engine of `place` writes: the newest operation has stopped its servers.
    pub async fn stop_servers(&self, place: usize) {
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
        let record = database.load(&claims[0]).await.unwrap();
        let stops = |step: &&protector_core::operation::StepRecord| {
            matches!(step.action, Step::StopServer { .. })
        };
        let stopped = StepProgress {
            memo: Memo {
                intents: 1,
                seen: SeenByStep {
                    before: Some("ACTIVE".to_owned()),
                    ..SeenByStep::default()
                },
                ..Memo::default()
            },
            state: StepState::Done,
            ..StepProgress::default()
        };
        let steps = record.steps.iter().filter(stops);
        let entry = Entry {
            operation: Some(OperationChange::Started { at: now }),
            steps: steps.map(|step| (step.position, stopped.clone())).collect(),
            ..Entry::default()
        };
        database.record(&claims[0], now, entry).await.unwrap();
    }

    pub async fn abort(&self, place: usize, id: &str, options: Value) -> Answer {
        let path = format!("{}/{id}/abort", self.operations(place));
        let body = json!({"abort": options});
        self.ask(place, Method::POST, &path, body).await
    }

    pub async fn group(&self, place: usize) -> Value {
        let path = &self.groups[place];
        let shown = self.ask(place, Method::GET, path, Value::Null).await;
        shown.expect(200).body["protection_group"].clone()
    }
}

/// A failover that site-b runs, and that has stopped the group's server on site-a.
pub async fn stopped_by_the_target() -> (Tenant, String) {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(B).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap().to_owned();
    tenant.stop_servers(B).await;
    tenant.copy_operations(B).await;
    assert!(matches!(tenant.push(B).await, Pushed::Agreed(_)));
    let database = &tenant.sites.protectors[A].database;
    let stored = database.group_show_by_id(&tenant.id).await.unwrap();
    let other = "site-b".into();
    let released = database.group_release(&stored.local_project_id, &tenant.id, &other);
    released.await.unwrap();
    (tenant, id)
}

pub fn says(answer: &Answer, words: &[&str]) {
    for word in words {
        assert!(answer.message().contains(word), "{}", answer.message());
    }
}

#[tokio::test]
async fn while_its_home_answers_the_move_is_given_up_there() {
    let (tenant, id) = stopped_by_the_target().await;
    let lost = json!({"target_is_lost": true});
    let refused = tenant.abort(A, &id, lost).await.expect(409);
    let command = format!("openstack --os-cloud site-b dr operation abort {id}");
    says(&refused, &["is run by site-b", &command]);
    assert_eq!(tenant.group(A).await["status"], "failing_over");
}

#[tokio::test]
async fn a_move_whose_home_is_lost_is_given_up_where_its_servers_are_stopped() {
    let (tenant, id) = stopped_by_the_target().await;
    tenant.sites.cut_off(B);
    let refused = tenant.abort(A, &id, json!({})).await.expect(409);
    let all_it_means = [
        "--target-is-lost",
        "started again on site-a",
        "would run beside its original",
        "sync-force",
    ];
    says(&refused, &all_it_means);
    assert_eq!(tenant.group(A).await["status"], "failing_over");

    let lost = json!({"target_is_lost": true});
    let started = tenant.abort(A, &id, lost.clone()).await.expect(202);
    let operation = &started.body["operation"];
    assert_eq!(operation["operation_type"], "abort");
    assert_eq!(operation["home_site"], "site-a");
    assert_eq!(tenant.group(A).await["status"], "error");
    let twice = tenant.abort(A, &id, lost).await.expect(409);
    says(&twice, &["(abort) is running"]);

    let abort = operation["id"].as_str().unwrap().into();
    let database = &tenant.sites.protectors[A].database;
    let record = database.operation_show_by_id(&abort).await.unwrap();
    let keys: Vec<&str> = record.steps.iter().map(|step| step.key.as_str()).collect();
    assert!(keys[0].starts_with("start_source_vms:"), "{keys:?}");
    assert_eq!(keys[1..], ["confirm_started"]);
    start_them(&tenant).await;
    let group = tenant.group(A).await;
    assert_eq!(group["status"], "active");
    assert_eq!(group["current_primary_site"], "site-a");
    tenant.describe(A, "mine again").await.expect(409);
}

/// The password with which site-a comes to site-b was encrypted with a key that is not on this host.
pub async fn lose_the_key_to_site_b(tenant: &Tenant) {
    let elsewhere = TempDir::new().unwrap();
    KeyRepository::setup(elsewhere.path()).unwrap();
    KeyRepository::rotate(elsewhere.path()).unwrap();
    let keys = KeyRepository::open(elsewhere.path()).unwrap();
    let database = &tenant.sites.protectors[A].database;
    let site = database.site_show("site-b").await.unwrap();
    let password = SecretString::from("protector");
    let there = database.clone().with_keys(keys);
    there
        .site_update(&site, &site, Some(&password))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_site_whose_password_cannot_be_read_here_is_not_lost() {
    let (tenant, id) = stopped_by_the_target().await;
    lose_the_key_to_site_b(&tenant).await;
    let lost = json!({"target_is_lost": true});
    let refused = tenant.abort(A, &id, lost).await.expect(503);
    says(
        &refused,
        &[
            "needs key 1, which is not in the key repository",
            "openstack dr site set site-b --password -",
        ],
    );
    assert_eq!(tenant.group(A).await["status"], "failing_over");
}

/// What an engine writes at the end of the operation that starts the servers again.
pub async fn start_them(tenant: &Tenant) {
    let database = &tenant.sites.protectors[A].database;
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
    let group_id = tenant.id.clone();
    let entry = Entry {
        unprotected: Vec::new(),
        not_after: None,
        operation: Some(OperationChange::Settled {
            state: OperationState::Completed,
            at: now,
        }),
        steps: vec![(0, engine::done()), (1, engine::done())],
        effects: vec![Effect::GroupMended {
            group_id,
            failed: OperationId::new("op-1"),
        }],
    };
    database.record(&claims[0], now, entry).await.unwrap();
}

#[tokio::test]
async fn where_the_group_does_not_run_the_way_out_is_an_unplanned_failover() {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(A).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap().to_owned();
    tenant.stop_servers(A).await;
    tenant.copy_operations(A).await;
    assert!(matches!(tenant.push(A).await, Pushed::Agreed(_)));
    tenant.sites.cut_off(A);
    let lost = json!({"target_is_lost": true});
    let refused = tenant.abort(B, &id, lost).await.expect(409);
    says(&refused, &["runs on site-a", "--type unplanned"]);
}

#[tokio::test]
async fn a_running_move_whose_target_is_lost_is_given_up_without_that_ones_word() {
    let tenant = Tenant::new().await;
    let started = tenant.fail_over(A).await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap().to_owned();
    tenant.stop_servers(A).await;
    let lost = json!({"target_is_lost": true});
    let refused = tenant.abort(A, &id, lost.clone()).await.expect(409);
    let command = format!("'openstack dr operation abort {id}'");
    says(&refused, &["site-b answers, so it is not lost", &command]);
    let is_said_to_be_lost = async || {
        let database = &tenant.sites.protectors[A].database;
        let id = OperationId::new(id.clone());
        let record = database.operation_show_by_id(&id).await.unwrap();
        let said = record.map.target(MapKind::TargetIsLost, id.as_str());
        (said.is_some(), record.aborted_by().is_some())
    };
    assert_eq!(is_said_to_be_lost().await, (false, false));

    // One who has given it up before, and waits for a site that turns out to be lost, says so afterwards.
    tenant.abort(A, &id, json!({})).await.expect(202);
    assert_eq!(is_said_to_be_lost().await, (false, true));
    tenant.sites.cut_off(B);
    tenant.abort(A, &id, lost).await.expect(202);
    assert_eq!(is_said_to_be_lost().await, (true, true));
}

#[tokio::test]
async fn the_site_where_a_move_goes_is_not_lost_when_it_runs_the_move() {
    let (tenant, id) = stopped_by_the_target().await;
    let lost = json!({"target_is_lost": true});
    let refused = tenant.abort(B, &id, lost).await.expect(409);
    let command = format!("'openstack dr operation abort {id}'");
    says(&refused, &["has stopped no VM of site-b", &command]);
}
