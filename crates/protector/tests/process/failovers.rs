//! Who may start a failover, and where.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    house::{House, operation_id},
    tenant::{Tenant, failed_steps, has_ended, planned},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_started_on_the_other_site_works_too() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let path = format!("/protection-groups/{}", group.name);
    until("site-b to know the members", PATIENCE, async || {
        let answer = tenant.on_b(Method::GET, &path, None).await;
        (answer.body["protection_group"]["member_count"] == json!(2)).then_some(())
    })
    .await;

    let action = format!("{path}/action");
    let started = tenant
        .on_b(Method::POST, &action, Some(planned()))
        .await
        .good();
    let shown = format!("/operations/{}", operation_id(&started));
    let ended = until("the failover to end", PATIENCE, async || {
        let answer = tenant.on_b(Method::GET, &shown, None).await.good();
        Some(answer["operation"].clone()).filter(has_ended)
    })
    .await;

    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    until("site-a to hear of it", PATIENCE, async || {
        let shown = tenant.group(&group).await;
        (shown["status"] == "failed_over").then_some(())
    })
    .await;
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_failover_twice_is_refused() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    house.b.cloud.hold("server_build").await;

    let (one, other) = tokio::join!(
        tenant.ask_for_failover(&group),
        tenant.ask_for_failover(&group)
    );
    let (taken, refused) = if one.status == 202 {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(
        (taken.status, refused.status),
        (202, 409),
        "{taken:?} {refused:?}"
    );
    let operation = operation_id(&taken.body);
    assert!(
        refused.text().contains(&operation),
        "it names the operation: {refused:?}"
    );
    let third = tenant.ask_for_failover(&group).await;
    assert_eq!(third.status, 409, "{third:?}");
    assert!(
        third.text().contains(&operation),
        "it names the operation: {third:?}"
    );

    house.b.cloud.let_go("server_build").await;
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
    let late = tenant.ask_for_failover(&group).await;
    assert_eq!(late.status, 409, "{late:?}");
    assert!(late.text().contains("failed_over"), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_tenant_has_changed_since_a_server_was_added_comes_up_as_it_is() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let server = tenant.make_server("web").await;
    let group = tenant.protect("web", vec![server.clone()]).await;
    let path = format!("/servers/{}", server.id);
    let change = async |method, service, path: &str, body| {
        let answer = tenant.at_a.ask(method, service, path, Some(body)).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
    };
    for cloud in [&tenant.at_a, &tenant.at_b] {
        cloud.make_security_group("web").await;
    }
    tenant.at_a.add_security_group(&server.id, "web").await;
    let act = format!("{path}/action");
    let leave = json!({"removeSecurityGroup": {"name": "default"}});
    change(Method::POST, "compute", &act, leave).await;
    let renamed = json!({"server": {"name": "shop"}});
    change(Method::PUT, "compute", &path, renamed).await;
    let metadata = json!({"metadata": {"tier": "front"}});
    let to_metadata = format!("{path}/metadata");
    change(Method::POST, "compute", &to_metadata, metadata).await;
    let renamed = json!({"volume": {"name": "orders"}});
    let data = format!("/volumes/{}", server.volumes[1]);
    change(Method::PUT, "volumev3", &data, renamed).await;

    let failover = tenant.start_failover(&group).await;
    let ended = tenant.ended(&failover).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    let there = house.b.cloud.state().await;
    let ours = |thing: &&Value| thing["metadata"]["protector:operation"] == failover;
    let copy = there["servers"].as_array().unwrap().iter().find(ours);
    let id = copy.unwrap()["id"].as_str().unwrap();
    let path = format!("/servers/{id}");
    let shown = tenant.at_b.ask(Method::GET, "compute", &path, None);
    let copy = shown.await.good()["server"].clone();
    assert_eq!(copy["name"], "shop", "{copy:#}");
    assert_eq!(copy["metadata"]["tier"], "front", "{copy:#}");
    assert_eq!(
        copy["security_groups"],
        json!([{"name": "web"}]),
        "{copy:#}"
    );
    let volumes = there["volumes"].as_array().unwrap().iter().filter(ours);
    let mut names: Vec<_> = volumes.map(|volume| volume["name"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"orders\"", "\"web-boot\""]);
}
