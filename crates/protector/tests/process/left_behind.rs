//! A server that a planned move could not delete, and that somebody starts.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    house::{House, Wishes, operation_id},
    tenant::{Group, Tenant, failed_steps},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Looks for a split brain every second.
const WATCHFUL: Wishes = Wishes {
    debug: false,
    engine: "split_brain_check_seconds = 1",
};

async fn status(tenant: &Tenant<'_>, group: &Group, wanted: &str) {
    until(&format!("the group to be {wanted}"), PATIENCE, async || {
        let shown = tenant.group(group).await;
        (shown["status"] == wanted).then_some(())
    })
    .await;
}

/// The group's part of the health report.
async fn health(tenant: &Tenant<'_>) -> Value {
    let site = &tenant.house.a;
    let report = tenant
        .house
        .ask(site, Method::GET, "/v1/health", &tenant.at_a.token, None);
    report.await.good()["health"]["protection_groups"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_that_a_planned_move_left_and_somebody_starts_is_a_split_brain_until_it_is_fenced()
 {
    let house = House::with(WATCHFUL).await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let kept = &group.servers[0].id;
    let refusal = json!({"match": {"service": "compute", "method": "DELETE", "resource": kept},
        "effect": {"call": {"kind": "status", "status": 403}}});
    house.a.cloud.break_it(refusal).await;
    let moved = tenant.start_failover(&group).await;
    let moved = tenant.ended(&moved).await;
    assert_eq!(moved["status"], "completed", "{moved:#}");
    let left = failed_steps(&moved);
    assert!(
        left.iter().any(|step| step["resource_id"] == **kept),
        "{left:#?}"
    );
    house.a.cloud.mend().await;
    assert_eq!(tenant.group(&group).await["status"], "failed_over");
    let shown = health(&tenant).await;
    assert_eq!(
        shown["failover_ready"], false,
        "no recovery point on array-a: {shown:#}"
    );

    let start = json!({"os-start": null});
    let path = format!("/servers/{kept}/action");
    let started = tenant.at_a.ask(Method::POST, "compute", &path, Some(start));
    started.await.good();
    status(&tenant, &group, "split_brain").await;

    let path = format!("/protection-groups/{}/action", group.name);
    let fence = tenant.on_a(Method::POST, &path, Some(json!({"fence": null})));
    let fence = tenant.ended(&operation_id(&fence.await.good())).await;
    assert_eq!(fence["status"], "completed", "{fence:#}");
    status(&tenant, &group, "failed_over").await;
    assert_eq!(tenant.at_a.server_status(kept).await, "SHUTOFF");
}
