//! A group has failed over, and the site that it runs on is lost: it comes back to the first one.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cloud::word,
    house::{House, Wishes, operation_id},
    tenant::{Group, Tenant, failed_steps},
    volume_file::digest,
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

const WATCHFUL: Wishes = Wishes {
    debug: false,
    engine: "split_brain_check_seconds = 1",
};

async fn done(tenant: &Tenant<'_>, group: &Group, action: Value) -> Value {
    let path = format!("/protection-groups/{}/action", group.name);
    let started = tenant.on_a(Method::POST, &path, Some(action)).await.good();
    let operation = tenant.ended(&operation_id(&started)).await;
    assert_eq!(operation["status"], "completed", "{operation:#}");
    operation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_second_site_is_lost_comes_back_and_what_it_left_is_fenced() {
    let mut house = House::with(WATCHFUL).await;
    let group = failed_over_with_a_recovery_point(&house).await;
    assert!(house.b.terminate_api().await.success());
    house.b.kill_engine();
    let everything = json!({"match": {}, "effect": {"call": {"kind": "hang"}}});
    let tenant = Tenant::of(&house).await;
    house.b.cloud.break_it(everything).await;
    let back = done(&tenant, &group, json!({"failover": {"type": "unplanned"}})).await;
    assert_eq!(back["operation_type"], "failback", "{back:#}");
    assert_eq!(back["target_site"], "site-a", "{back:#}");
    assert!(back["data_loss_seconds"].is_number(), "{back:#}");
    assert_eq!(
        failed_steps(&back).len(),
        6,
        "2 VMs, 4 volumes are left on site-b: {back:#}"
    );
    let home = tenant.group(&group).await;
    assert_eq!(home["status"], "active", "{home}");
    assert_eq!(home["current_primary_site"], "site-a", "{home}");
    must_have_the_bytes_of_the_recovery_point(&house, &group).await;

    house.b.cloud.mend().await;
    until(
        "the watch to see the VMs that site-b still runs",
        PATIENCE,
        async || {
            let seen = tenant.group(&group).await;
            (seen["status"] == "split_brain").then_some(())
        },
    )
    .await;
    let fenced = done(&tenant, &group, json!({"fence": null})).await;
    assert!(failed_steps(&fenced).is_empty(), "{fenced:#}");
    assert_eq!(tenant.group(&group).await["status"], "active");
}

async fn failed_over_with_a_recovery_point(house: &House) -> Group {
    let tenant = Tenant::of(house).await;
    let group = tenant.protect_two_servers("web").await;
    let failover = tenant.start_failover(&group).await;
    let failover = tenant.ended(&failover).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    done(&tenant, &group, json!({"sync": null})).await;
    group
}

/// Each member runs on site-a from the bytes that it had when it left it: nobody has written to it since.
async fn must_have_the_bytes_of_the_recovery_point(house: &House, group: &Group) {
    let (a, b) = (house.a.cloud.state().await, house.b.cloud.state().await);
    let of = |list: &Value, source: &str| -> Value {
        let mut items = list.as_array().unwrap().iter();
        let copy = items.find(|item| item["metadata"]["protector:source"] == source);
        copy.unwrap_or_else(|| panic!("no copy of {source}: {list}"))
            .clone()
    };
    for server in &group.servers {
        let there = of(&b["servers"], &server.id);
        assert_eq!(of(&a["servers"], &word(&there["id"]))["status"], "ACTIVE");
    }
    for volume in group.volumes() {
        let there = of(&b["volumes"], volume);
        let here = of(&a["volumes"], &word(&there["id"]));
        let bytes = digest(&house.a.cloud.file_of(&word(&here["id"])));
        assert_eq!(bytes, group.bytes[volume], "bytes of {volume}");
    }
}
