//! Two engines of one site: one stands still, or both have the name of one host.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cloud::{Call, word},
    house::{House, Wishes},
    tenant::{Group, Tenant, failed_steps, find, has_ended},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The shortest lease that there is.
const SHORT: Wishes = Wishes {
    debug: false,
    engine: "lease_seconds = 10",
};

async fn one_server(tenant: &Tenant<'_>, name: &str) -> Group {
    let server = tenant
        .make_server_of(name, &[&format!("{name}-boot")])
        .await;
    tenant.protect(name, vec![server]).await
}

/// How often site-a was asked to delete one of these volumes.
async fn deletions(house: &House, volumes: &[String]) -> usize {
    let calls = house.a.cloud.calls().await;
    let of_them = |call: &&Call| volumes.iter().any(|volume| call.last() == volume);
    let deletions = calls.iter().filter(|call| call.method == "DELETE");
    deletions.filter(of_them).count()
}

async fn copy_of(house: &House, server: &str) -> String {
    let state = house.b.cloud.state().await;
    let mut servers = state["servers"].as_array().unwrap().iter();
    let copy = servers.find(|copy| copy["metadata"]["protector:source"] == server);
    word(&copy.expect("there is a copy")["id"])
}

/// How often protector has looked at the server on site-b.
async fn looks_at(house: &House, server: &str) -> usize {
    let calls = house.b.cloud.calls().await;
    let looks = calls.iter().filter(|call| {
        call.method == "GET" && call.last() == server && call.user.as_deref() == Some("protector")
    });
    looks.count()
}

/// One volume's deletion was turned away and is to be asked for again in a moment. The other one's is written down once
/// more, and the engine waits for the last reading that it rests on. Nothing that it has read is true any more when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_stood_still_deletes_nothing_that_its_successor_has_kept() {
    let mut house = House::with(SHORT).await;
    let tenant = Tenant::of(&house).await;
    let server = tenant.make_server("web").await;
    let group = tenant.protect("web", vec![server]).await;
    let volumes = group.servers[0].volumes.clone();
    for (volume, pause) in volumes.iter().zip(["1", "8"]) {
        let refusal = json!({"kind": "status", "status": 503, "headers": {"Retry-After": pause}});
        let turned_away = json!({"times": 1,
            "match": {"service": "volume", "method": "DELETE", "resource": volume},
            "effect": {"call": {"kind": "held", "meets": refusal}}});
        house.a.cloud.break_it(turned_away).await;
    }
    let failover = tenant.start_failover(&group).await;
    until("the deletions to be asked for", PATIENCE, async || {
        (deletions(&house, &volumes).await == 2).then_some(())
    })
    .await;
    let copy = copy_of(&house, &group.servers[0].id).await;
    house.b.cloud.forget_calls().await;
    // The first look is before the intent, the second one behind it.
    let look = json!({"method": "GET", "path": format!("*/servers/{copy}"), "nth": 2});
    let unanswered = json!({"match": look, "effect": {"call": {"kind": "held"}}});
    house.b.cloud.break_it(unanswered).await;
    // The deletions get their answer.
    house.a.cloud.mend().await;
    until(
        "the look after the intent, or no look at all",
        PATIENCE,
        async || {
            let looked = looks_at(&house, &copy).await == 2;
            (looked || deletions(&house, &volumes).await > 2).then_some(())
        },
    )
    .await;
    house.a.freeze_engine().await;
    house.b.cloud.mend().await;

    let path = format!("/servers/{copy}");
    let gone = tenant
        .at_b
        .ask(Method::DELETE, "compute", &path, None)
        .await;
    assert_eq!(gone.status, 204, "{gone:?}");
    let second = house.a.second_engine().await;
    let ended = tenant.ended(&failover).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(!failed_steps(&ended).is_empty(), "{ended:#}");

    house.a.thaw_engine();
    until("the first engine to find out", PATIENCE, async || {
        house.a.engine_says().contains("dropped").then_some(())
    })
    .await;
    // It ends what it has begun.
    assert!(house.a.terminate_engine().await.success());
    let house = &house;
    let state = house.a.cloud.state().await;
    for volume in &volumes {
        let there = find(&state["volumes"], volume).expect("the only copy is there");
        assert_eq!(there["status"], "available", "{there}");
    }
    assert_eq!(deletions(house, &volumes).await, 2, "none was sent again");
    let tenant = Tenant::of(house).await;
    must_be_kept(&tenant.operation(&failover).await, &volumes);
    assert!(second.terminate().await.success());
}

fn must_be_kept(operation: &Value, volumes: &[String]) {
    let failed = failed_steps(operation);
    for volume in volumes {
        let mut entries = failed.iter();
        let entry = entries.find(|entry| entry["resource_id"] == volume.as_str());
        let why = &entry.expect("it has an entry")["error"];
        assert!(why.as_str().unwrap().starts_with("kept: "), "{why}");
    }
}

/// A lease belongs to a process. One of the same host's name that starts beside it takes up what nobody walks, and nothing
/// else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_of_the_same_hosts_name_does_not_take_the_others_operations() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let (web, other) = tokio::join!(one_server(&tenant, "web"), one_server(&tenant, "other"));
    house.b.cloud.hold_of("web", "server_build").await;
    let failover = tenant.start_failover(&web).await;
    until("the copy to be built", PATIENCE, async || {
        let calls = house.b.cloud.calls().await;
        calls.iter().any(|call| call.made("/servers")).then_some(())
    })
    .await;
    house.a.freeze_engine().await;
    let copy = copy_of(&house, &web.servers[0].id).await;
    let looked = looks_at(&house, &copy).await;

    let second = house.a.second_engine().await;
    let beside = tenant.start_failover(&other).await;
    let beside = tenant.ended(&beside).await;
    assert_eq!(beside["status"], "completed", "{beside:#}");
    let shown = tenant.operation(&failover).await;
    assert!(!has_ended(&shown), "its engine lives: {shown:#}");
    assert_eq!(looks_at(&house, &copy).await, looked, "nobody walks it");

    house.b.cloud.let_go("server_build").await;
    house.a.thaw_engine();
    let ended = tenant.ended(&failover).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    tenant.must_have_moved(&web, &[]).await;
    tenant.must_have_moved(&other, &[]).await;
    assert!(second.terminate().await.success());
}
