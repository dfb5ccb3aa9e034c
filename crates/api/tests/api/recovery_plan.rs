//! Recovery plans: read, written, refused by field, frozen into operations; pauses and their end.

use std::sync::atomic::Ordering;

use http::Method;
use protector_core::{
    clock::Clock,
    journal::{Entry, Journal, OperationChange},
    operation::{OperationState, StepProgress, StepState},
    runbook::Step,
};
use serde_json::{Value, json};

use crate::{
    engine,
    fakes::{DB, FixedClock, WEB},
    house::{Answer, House, group_path},
};

fn path() -> String {
    group_path("web", "/recovery-plan")
}

fn body(plan: Value) -> Value {
    json!({ "recovery_plan": plan })
}

async fn two_members() -> House {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    house
}

async fn put(house: &House, plan: Value) -> Answer {
    house.send(Method::PUT, &path(), "member", body(plan)).await
}

fn full_plan() -> Value {
    json!({
        "members": {
            "db-server": {"priority": 1, "probe": {"tcp": {"port": 5432}}, "fixed_ips": {"10.0.0.5": "10.9.0.5"}},
            "web-server-1": {"priority": 2, "depends_on": ["db-server"], "probe": {"http": {"port": 80}}},
        },
        "pauses": [{"before_priority": 2, "message": "Switch the DNS record."}],
        "hooks": [{"name": "tell", "when": "before_priority", "priority": 2, "url": "https://hooks.example.org/dr/x", "on_failure": "fail"}],
    })
}

#[tokio::test]
async fn a_group_without_a_plan_shows_an_empty_one() {
    let house = two_members().await;
    let shown = house.get(&path(), "reader").await.expect(200);
    let empty = json!({"members": {}, "pauses": [], "hooks": []});
    assert_eq!(shown.body["recovery_plan"], empty);
}

#[tokio::test]
async fn a_plan_is_shown_as_it_was_written_with_its_defaults() {
    let house = two_members().await;
    let before = house.get(&group_path("web", ""), "member").await.body;
    house
        .send(Method::PUT, &path(), "reader", body(full_plan()))
        .await
        .expect(403);
    let put = put(&house, full_plan()).await.expect(200);
    let shown = house.get(&path(), "reader").await.expect(200);
    assert_eq!(put.body, shown.body);
    let plan = &shown.body["recovery_plan"];
    let web = &plan["members"]["web-server-1"];
    assert_eq!(web["depends_on"], json!(["db-server"]));
    let probe = json!({"http": {"port": 80, "path": "/", "status": 200}});
    assert_eq!(web["probe"], probe);
    assert_eq!(plan["hooks"][0]["timeout_seconds"], 30);
    assert_eq!(plan["hooks"][0]["priority"], 2);
    // What is shown may be sent again.
    self::put(&house, plan.clone()).await.expect(200);
    let after = house.get(&group_path("web", ""), "member").await.body;
    let version = |body: &Value| body["protection_group"]["version"].as_u64().unwrap();
    assert_eq!(
        version(&after),
        version(&before) + 2,
        "the other site must learn of it"
    );
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_is_refused_by_field_and_changes_nothing() {
    let house = two_members().await;
    let cases = [
        (
            json!({"members": {"nobody": {}}}),
            "recovery_plan.members.nobody: no member has this name or id",
        ),
        (
            json!({"members": {"db-server": {"depends_on": ["nobody"]}}}),
            "recovery_plan.members.db-server.depends_on: no member",
        ),
        (
            json!({"members": {"db-server": {"priority": 6}}}),
            "recovery_plan.members.db-server.priority: a priority is a whole number from 1",
        ),
        (
            json!({"members": {"db-server": {"depends_on": ["db-server"]}}}),
            "in a circle",
        ),
        (
            json!({"hooks": [{"name": "a", "when": "after", "url": "https://evil.example/"}]}),
            "recovery_plan.hooks[0].url: must be an https or http URL that begins with one of: https://hooks.example.org/dr/",
        ),
        (
            json!({"hooks": [{"name": "a", "when": "before_priority", "url": "https://hooks.example.org/dr/"}]}),
            "recovery_plan.hooks[0].priority: is needed",
        ),
        (
            json!({"hooks": [{"name": "a", "when": "after", "priority": 1, "url": "https://hooks.example.org/dr/"}]}),
            "recovery_plan.hooks[0].priority: is for 'before_priority' only",
        ),
        (
            json!({"pauses": [{"before_priority": 0, "message": "x"}]}),
            "recovery_plan.pauses[0].before_priority",
        ),
        (
            json!({"members": {"db-server": {"probe": {"icmp": {}}}}}),
            "icmp",
        ),
        (json!({"surprise": 1}), "surprise"),
    ];
    for (plan, says) in cases {
        let refused = put(&house, plan.clone()).await.expect(400);
        assert!(
            refused.message().contains(says),
            "{plan}: {}",
            refused.message()
        );
    }
    let shown = house.get(&path(), "member").await.expect(200);
    assert_eq!(shown.body["recovery_plan"]["members"], json!({}));
}

#[tokio::test]
async fn a_plan_waits_for_the_other_site_like_every_change() {
    let house = two_members().await;
    house.outside.peer.away.store(true, Ordering::SeqCst);
    let refused = put(&house, full_plan()).await.expect(409);
    assert!(
        refused.message().contains("Remote site unreachable"),
        "{}",
        refused.message()
    );
}

#[tokio::test]
async fn an_operation_keeps_the_plan_that_it_began_with() {
    let house = two_members().await;
    put(&house, full_plan()).await.expect(200);
    engine::start(&house).await;
    let record = house
        .database
        .load(&engine::claim(&house).await)
        .await
        .unwrap();
    let keys: Vec<&str> = record.steps.iter().map(|step| step.key.as_str()).collect();
    let place = |key: &str| {
        keys.iter()
            .position(|k| *k == key)
            .unwrap_or_else(|| panic!("{key} in {keys:?}"))
    };
    assert!(place("probe_vms:db-server") < place("call_hook:tell"));
    assert!(place("call_hook:tell") < place("pause:0"));
    assert!(place("pause:0") < place("recreate_vms:web-server-1"));
    assert_eq!(record.operation.plan.recovery.pauses.len(), 1);
}

/// Walks the newest operation to its pause, and leaves it there as an engine would.
async fn walk_to_pause(house: &House) {
    let claim = engine::claim(house).await;
    let record = house.database.load(&claim).await.unwrap();
    let pause = record
        .steps
        .iter()
        .position(|step| matches!(step.action, Step::Pause { .. }))
        .unwrap();
    let mut steps: Vec<(u32, StepProgress)> = record.steps[..pause]
        .iter()
        .map(|step| (step.position, engine::done()))
        .collect();
    let waiting = StepProgress {
        state: StepState::Running,
        ..StepProgress::default()
    };
    steps.push((record.steps[pause].position, waiting));
    let started = OperationChange::Started {
        at: FixedClock.now(),
    };
    let entry = Entry {
        operation: Some(started),
        steps,
        ..Entry::default()
    };
    house
        .database
        .record(&claim, FixedClock.now(), entry)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_paused_operation_says_what_to_do_and_goes_on_when_it_is_told() {
    let house = two_members().await;
    put(&house, full_plan()).await.expect(200);
    let id = engine::start(&house).await;
    let show = format!("/v1/{}/operations/{id}", crate::fakes::PROJECT_A);
    let resume = format!("{show}/resume");
    let elsewhere = format!("/v1/{}/operations/{id}/resume", crate::fakes::OTHER_PROJECT);
    let early = house
        .send(Method::POST, &resume, "member", json!({}))
        .await
        .expect(409);
    assert!(
        early.message().contains("is not paused: it is running"),
        "{}",
        early.message()
    );
    walk_to_pause(&house).await;
    let paused = house.get(&show, "reader").await.expect(200).body["operation"].clone();
    assert_eq!(paused["phase"], "paused");
    assert_eq!(paused["status"], "running");
    assert_eq!(
        paused["paused_at"],
        json!({"step": "pause:0", "message": "Switch the DNS record."})
    );
    house
        .send(Method::POST, &resume, "reader", json!({}))
        .await
        .expect(403);
    house
        .send(Method::POST, &elsewhere, "other", json!({}))
        .await
        .expect(404);
    let resumed = house
        .send(Method::POST, &resume, "member", json!({}))
        .await
        .expect(202);
    assert_eq!(resumed.body["operation"]["phase"], "pause");
    assert_eq!(resumed.body["operation"].get("paused_at"), None);
    let again = house
        .send(Method::POST, &resume, "member", json!({}))
        .await
        .expect(409);
    assert!(
        again.message().contains("is not paused"),
        "{}",
        again.message()
    );
    let record = house.database.operation_show_by_id(&id).await.unwrap();
    assert_eq!(record.operation.state, OperationState::Running);
}
