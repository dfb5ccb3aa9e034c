//! Test failover, its cleanup, and replication on demand.

use std::sync::atomic::Ordering;

use http::Method;
use protector_core::{
    clock::Clock,
    fault::Code,
    id::{EngineId, OperationId},
    journal::{Claim, Effect, Entry, Journal, OperationChange},
    operation::{MapKind, OperationState, StepProgress, StepState},
    queue::Room,
    runbook::{BOOK_VERSION, test_cleanup::TestCopies},
    schedule,
};
use serde_json::{Value, json};

use crate::{
    fakes::{FixedClock, NET_A, NET_B, PROJECT_A, WEB},
    house::{Answer, House, failover_body, group_body, group_path, groups_path},
};

async fn act_on(house: &House, group: &str, token: &str, body: Value) -> Answer {
    let path = group_path(group, "/action");
    house.send(Method::POST, &path, token, body).await
}

async fn act(house: &House, body: Value) -> Answer {
    act_on(house, "web", "member", body).await
}

fn test_failover() -> Value {
    json!({"test_failover": {"network_mapping": {}, "flavor_mapping": {}}})
}

fn test_cleanup(id: &OperationId) -> Value {
    json!({"test_cleanup": {"test_operation_id": id.as_str()}})
}

fn id_of(answer: &Answer) -> OperationId {
    answer.body["operation"]["id"].as_str().unwrap().into()
}

async fn claim(house: &House) -> Claim {
    let lease = std::time::Duration::from_secs(60);
    let claims = house
        .database
        .claim(
            &EngineId::new("e"),
            FixedClock.now(),
            lease,
            BOOK_VERSION,
            &Room::for_any(1),
        )
        .await
        .unwrap();
    claims.into_iter().next().unwrap()
}

/// Walks the newest operation as an engine would, every line done but those whose key begins with a word of `failed`.
async fn walk(house: &House, failed: &[&str]) {
    let (claim, now) = (claim(house).await, FixedClock.now());
    let record = house.database.load(&claim).await.unwrap();
    let open = record
        .steps
        .iter()
        .filter(|step| !step.progress.state.has_ended());
    let steps = open
        .map(|step| {
            let bad = failed.iter().any(|word| step.key.starts_with(word));
            let progress = StepProgress {
                state: if bad {
                    StepState::Failed
                } else {
                    StepState::Done
                },
                error: bad.then(|| "Cinder timeout after 300s".to_owned()),
                error_code: bad.then_some(Code::Timeout),
                ..StepProgress::default()
            };
            (step.position, progress)
        })
        .collect();
    let plan = &record.operation.plan;
    let servers = plan.members.iter().map(|member| Effect::Mapped {
        kind: MapKind::Server,
        source: member.server_id.to_string(),
        target: format!("copy-of-{}", member.name),
    });
    let volumes = plan.volumes().map(|(_, volume)| Effect::Mapped {
        kind: MapKind::Volume,
        source: volume.id.to_string(),
        target: format!("copy-of-{}", volume.name),
    });
    let started = Entry {
        operation: Some(OperationChange::Started { at: now }),
        steps,
        effects: servers.chain(volumes).collect(),
        ..Entry::default()
    };
    house.database.record(&claim, now, started).await.unwrap();
    let record = house.database.load(&claim).await.unwrap();
    let schedule::Next::Settle(state) = schedule::next(&record, now) else {
        panic!("the operation has not ended");
    };
    let effects = schedule::effect_at_end(&record.operation, &record.steps, state);
    let ended = Entry {
        operation: Some(OperationChange::Settled { state, at: now }),
        effects: effects.into_iter().collect(),
        ..Entry::default()
    };
    house.database.record(&claim, now, ended).await.unwrap();
}

async fn show(house: &House, id: &OperationId) -> Value {
    let path = format!("/v1/{PROJECT_A}/operations/{id}?detail=true");
    house.get(&path, "reader").await.expect(200).body["operation"].clone()
}

/// A house with a test failover whose copies are up.
async fn under_test() -> (House, OperationId) {
    let house = House::with_member(WEB).await;
    let started = act(&house, test_failover()).await.expect(202);
    walk(&house, &[]).await;
    (house, id_of(&started))
}

#[tokio::test]
async fn a_test_failover_stays_running_until_its_cleanup_completes_it() {
    let house = House::with_member(WEB).await;
    let started = act(&house, test_failover()).await.expect(202);
    let id = id_of(&started);
    let operation = &started.body["operation"];
    assert_eq!(operation["operation_type"], "test_failover");
    assert_eq!(operation["status"], "running");
    assert_eq!(operation["progress"], 0);
    assert_eq!(operation["source_site"], "site-a");
    assert_eq!(operation["target_site"], "site-b");
    let location = format!("/v1/{PROJECT_A}/operations/{id}");
    assert_eq!(started.header("location"), location);

    walk(&house, &[]).await;
    let up = show(&house, &id).await;
    assert_eq!(up["status"], "running");
    assert_eq!(up["phase"], "awaiting_cleanup");
    assert_eq!(up["completed_at"], json!(null));
    assert_eq!(
        up["steps_completed"],
        json!(["clone_volumes", "manage_volumes", "recreate_vms"])
    );
    for step in up["steps"].as_array().unwrap() {
        // Each line names the copy on site-b, not what it is a copy of on site-a.
        let named = step["resource_id"].as_str().unwrap_or("copy-of-all");
        assert!(named.starts_with("copy-of-"), "{step}");
    }
    let sites: Vec<&str> = up["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["site"].as_str().unwrap())
        .collect();
    assert!(sites.iter().all(|site| *site == "site-b"), "{sites:?}");
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");

    let cleaning = act(&house, test_cleanup(&id)).await.expect(202);
    let operation = &cleaning.body["operation"];
    assert_eq!(operation["operation_type"], "test_cleanup");
    assert_eq!(operation["status"], "running");
    assert_eq!(operation["progress"], 0);
    assert_eq!(operation["parent_operation_id"], id.as_str());
    walk(&house, &[]).await;
    let done = show(&house, &id_of(&cleaning)).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(
        done["steps_completed"],
        json!([
            "delete_test_vm:web-server-1",
            "delete_test_volume:vol-boot-ws1",
            "delete_test_volume:vol-data-ws1"
        ])
    );
    let ended = show(&house, &id).await;
    assert_eq!(ended["status"], "completed");
    assert_eq!(ended["progress"], 100);
    assert_eq!(ended["completed_at"], "2025-11-03T14:00:00Z");
}

#[tokio::test]
async fn both_spellings_are_taken_and_options_are_checked() {
    let house = House::with_member(WEB).await;
    let unknown = json!({"test_failover": {"speed": 9}});
    act(&house, unknown).await.expect(400);
    let name = json!({"test_failover": {"network_mapping": {"a": "b"}}});
    let answer = act(&house, name).await.expect(400);
    assert!(
        answer.message().contains("test_failover.network_mapping"),
        "{}",
        answer.message()
    );
    act(&house, json!({"test_cleanup": {}})).await.expect(400);
    let nothing = json!({"test-cleanup": {"test_operation_id": "op-nothing"}});
    act(&house, nothing).await.expect(404);
    act(&house, json!({"test-failover": {}})).await.expect(202);
}

#[tokio::test]
async fn test_networks_given_with_the_call_stand_over_the_stored_mapping() {
    let house = House::with_member(WEB).await;
    let test_net = "7a3f2c11-0001-4b22-a918-0000000000ff";
    let body = json!({"test_failover": {"network_mapping": {NET_A: test_net}}});
    let started = act(&house, body).await.expect(202);
    let record = house
        .database
        .operation_show_by_id(&id_of(&started))
        .await
        .unwrap();
    assert_eq!(record.operation.plan.mappings.networks[NET_A], test_net);
    let stored = house
        .database
        .group_show(&PROJECT_A.into(), "web")
        .await
        .unwrap();
    assert_eq!(stored.group.mappings.networks[NET_A], NET_B);
}

#[tokio::test]
async fn readers_and_nobody_test_nothing() {
    let (house, id) = under_test().await;
    for body in [test_failover(), test_cleanup(&id), json!({"sync": {}})] {
        act_on(&house, "web", "reader", body.clone())
            .await
            .expect(403);
        act_on(&house, "web", "", body).await.expect(401);
    }
}

#[tokio::test]
async fn a_test_failover_needs_members_a_policy_and_the_other_site() {
    let house = House::with_group().await;
    let empty = act(&house, test_failover()).await.expect(409);
    assert!(
        empty.message().contains("no members"),
        "{}",
        empty.message()
    );
    house.add(WEB).await.expect(201);
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let alone = act(&house, test_failover()).await.expect(409);
    assert_eq!(
        alone.message(),
        "Remote site unreachable — metadata sync required"
    );
}

#[tokio::test]
async fn a_second_test_failover_is_refused_and_named_the_first() {
    let house = House::with_member(WEB).await;
    let first = id_of(&act(&house, test_failover()).await.expect(202));
    let starting = act(&house, test_failover()).await.expect(409);
    assert!(starting.message().contains(first.as_str()));
    walk(&house, &[]).await;
    let up = act(&house, test_failover()).await.expect(409);
    for word in [first.as_str(), "test-cleanup", "site-b"] {
        assert!(up.message().contains(word), "{}", up.message());
    }
    act(&house, test_cleanup(&first)).await.expect(202);
    walk(&house, &[]).await;
    act(&house, test_failover()).await.expect(202);
}

#[tokio::test]
async fn while_a_test_is_up_a_real_failover_starts_and_the_group_can_be_edited_but_not_deleted() {
    let (house, id) = under_test().await;
    let renamed = json!({"protection_group": {"description": "under test"}});
    house
        .send(Method::PUT, &group_path("web", ""), "member", renamed)
        .await
        .expect(200);
    let deleted = house
        .delete(&group_path("web", ""), "member")
        .await
        .expect(409);
    assert!(
        deleted.message().contains(id.as_str()),
        "{}",
        deleted.message()
    );
    act(&house, failover_body()).await.expect(202);
    // The test's copies can be removed while the group moves, and after it has.
    act(&house, test_cleanup(&id)).await.expect(202);
}

#[tokio::test]
async fn the_other_site_may_be_away_during_a_test_cleanup() {
    let (house, id) = under_test().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    act(&house, test_cleanup(&id)).await.expect(202);
}

#[tokio::test]
async fn only_a_test_failover_of_the_group_can_be_cleaned_up() {
    let (house, id) = under_test().await;
    house
        .send(Method::POST, &groups_path(), "member", group_body("other"))
        .await
        .expect(201);
    let foreign = act_on(&house, "other", "member", test_cleanup(&id))
        .await
        .expect(400);
    let message = foreign.message();
    assert!(
        message.starts_with("test_cleanup.test_operation_id: "),
        "{message}"
    );
    assert!(message.contains("of protection group web"), "{message}");
    let real = id_of(&act(&house, failover_body()).await.expect(202));
    let answer = act(&house, test_cleanup(&real)).await.expect(400);
    assert!(
        answer
            .message()
            .contains("is a failover, not a test_failover"),
        "{}",
        answer.message()
    );
    act_on(&house, "web", "other", test_cleanup(&id))
        .await
        .expect(404);
}

#[tokio::test]
async fn a_test_that_is_still_starting_is_not_cleaned_up() {
    let house = House::with_member(WEB).await;
    let id = id_of(&act(&house, test_failover()).await.expect(202));
    let early = act(&house, test_cleanup(&id)).await.expect(409);
    assert!(
        early.message().contains("still starting"),
        "{}",
        early.message()
    );
}

#[tokio::test]
async fn a_test_is_cleaned_up_once() {
    let (house, id) = under_test().await;
    let first = id_of(&act(&house, test_cleanup(&id)).await.expect(202));
    let twice = act(&house, test_cleanup(&id)).await.expect(409);
    assert!(twice.message().contains(first.as_str()));
    walk(&house, &[]).await;
    let late = act(&house, test_cleanup(&id)).await.expect(409);
    for word in ["already", first.as_str(), "dr operation cleanup"] {
        assert!(late.message().contains(word), "{}", late.message());
    }
}

#[tokio::test]
async fn a_test_that_failed_has_another_command() {
    let house = House::with_member(WEB).await;
    let id = id_of(&act(&house, test_failover()).await.expect(202));
    let (claim, now) = (claim(&house).await, FixedClock.now());
    let failed = Entry {
        operation: Some(OperationChange::Settled {
            state: OperationState::Failed,
            at: now,
        }),
        ..Entry::default()
    };
    house.database.record(&claim, now, failed).await.unwrap();
    let answer = act(&house, test_cleanup(&id)).await.expect(409);
    let command = format!("openstack dr operation cleanup {id}");
    assert!(answer.message().contains(&command), "{}", answer.message());
}

#[tokio::test]
async fn a_test_that_is_up_is_not_for_the_general_cleanup() {
    let (house, id) = under_test().await;
    let path = format!("/v1/{PROJECT_A}/operations/{id}/cleanup");
    let answer = house
        .send(Method::POST, &path, "member", json!({"cleanup": {}}))
        .await
        .expect(409);
    for word in ["test-cleanup", id.as_str()] {
        assert!(answer.message().contains(word), "{}", answer.message());
    }
}

#[tokio::test]
async fn what_a_test_cleanup_had_to_leave_is_taken_up_by_the_general_cleanup() {
    let (house, id) = under_test().await;
    let cleanup = id_of(&act(&house, test_cleanup(&id)).await.expect(202));
    walk(&house, &["delete_test_volume:vol-data-ws1"]).await;
    let record = show(&house, &cleanup).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(
        record["steps_failed"],
        json!([{
            "step": "delete_test_volume:vol-data-ws1",
            "error": "Cinder timeout after 300s",
            "resource_id": "copy-of-vol-data-ws1"
        }])
    );
    assert_eq!(show(&house, &id).await["status"], "completed");
    let path = format!("/v1/{PROJECT_A}/operations/{cleanup}/cleanup");
    let again = house
        .send(Method::POST, &path, "member", json!({"cleanup": {}}))
        .await
        .expect(202);
    assert_eq!(
        again.body["cleanup"]["steps"],
        json!(["delete_test_volume:vol-data-ws1"])
    );
    let parent = &again.body["operation"]["parent_operation_id"];
    assert_eq!(parent, cleanup.as_str());
}

#[tokio::test]
async fn copies_are_left_for_inspection_where_the_configuration_says_so() {
    let house = House::with_member(WEB).await;
    let id = id_of(&act(&house, test_failover()).await.expect(202));
    walk(&house, &[]).await;
    let house = house.with_test_copies(TestCopies::LeaveForInspection);
    let cleaning = act(&house, test_cleanup(&id)).await.expect(202);
    assert_eq!(cleaning.body["operation"]["progress"], 0);
    walk(&house, &[]).await;
    let record = show(&house, &id_of(&cleaning)).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(record["steps_completed"], json!([]));
    assert_eq!(record["steps_failed"], json!([]));
    for step in record["steps"].as_array().unwrap() {
        assert_eq!(step["state"], "skipped");
        assert_eq!(step["error"], "left for inspection by configuration");
    }
    assert_eq!(show(&house, &id).await["status"], "completed");
    let path = format!("/v1/{PROJECT_A}/operations/{}/cleanup", id_of(&cleaning));
    let later = house
        .send(Method::POST, &path, "member", json!({"cleanup": {}}))
        .await
        .expect(202);
    let steps = later.body["cleanup"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
}

#[tokio::test]
async fn a_sync_replicates_the_group_and_leaves_its_status() {
    let house = House::with_member(WEB).await;
    let none = json!({"resource_mappings": {"network_mapping": {}}});
    let path = group_path("web", "/resource-mappings");
    house
        .send(Method::PUT, &path, "member", none)
        .await
        .expect(200);
    let started = act(&house, json!({"sync": {}})).await.expect(202);
    assert_eq!(started.body["operation"]["operation_type"], "sync");
    let id = id_of(&started);
    let busy = act(&house, json!({"sync": null})).await.expect(409);
    assert!(busy.message().contains(id.as_str()), "{}", busy.message());
    walk(&house, &[]).await;
    let record = show(&house, &id).await;
    assert_eq!(record["status"], "completed");
    assert_eq!(record["steps_completed"], json!(["replicate_volumes"]));
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
    let path = format!("/v1/{PROJECT_A}/operations?operation_type=sync");
    let listed = house.get(&path, "reader").await.expect(200);
    assert_eq!(listed.body["operations"].as_array().unwrap().len(), 1);
}
