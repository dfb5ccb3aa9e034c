//! Who may start a failover, and where.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

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
