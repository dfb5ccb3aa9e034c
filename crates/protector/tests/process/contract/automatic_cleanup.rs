//! Automatic cleanup during failover.

use serde_json::{Value, json};

use super::scene::{ONE_SERVER, WEB_APP, house_of_little_patience, refuse_deletion};
use crate::{
    cloud::Call,
    house::House,
    tenant::{Tenant, failed_steps},
};

/// When the first call of this kind was asked, in seconds; both simulated clouds began at the same moment.
fn first(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> f64 {
    calls
        .iter()
        .find(|call| is_it(call))
        .unwrap_or_else(|| panic!("not in {calls:#?}"))
        .at
}

fn completed(operation: &Value) -> Vec<String> {
    let steps = operation["steps_completed"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_before_the_vms_on_the_target_are_healthy() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(WEB_APP).await;
    house.a.cloud.forget_calls().await;
    let build = 1.5;
    house
        .b
        .cloud
        .set_latency(json!({"server_build": build}))
        .await;
    let failover = tenant.fail_over(&group).await;
    assert!(failed_steps(&failover).is_empty(), "{failover:#}");

    let on_b = house.b.cloud.calls().await;
    let last_built = on_b
        .iter()
        .filter(|call| call.made("/servers"))
        .map(|call| call.at + build)
        .fold(0.0, f64::max);
    assert!(last_built > build, "{on_b:#?}");
    let on_a = house.a.cloud.calls().await;
    let first_deletion = first(&on_a, |call| {
        call.method == "DELETE" && call.service != "identity"
    });
    assert!(
        first_deletion > last_built,
        "deleted at {first_deletion} s, the last VM was built at {last_built} s"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_vm_is_deleted_its_volumes_come_free_and_then_they_are_deleted() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(WEB_APP).await;
    house.a.cloud.forget_calls().await;
    let slow = json!({"server_delete": 0.4, "detach": 0.3, "volume_delete": 0.2});
    house.a.cloud.set_latency(slow).await;
    let failover = tenant.fail_over(&group).await;

    assert_eq!(
        completed(&failover),
        [
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "delete_source_vm:web-server-1",
            "delete_source_vm:web-server-2",
            "delete_source_volume:vol-boot-ws1",
            "delete_source_volume:vol-data-ws1",
            "delete_source_volume:vol-boot-ws2",
            "delete_source_volume:vol-data-ws2",
        ]
    );
    let calls = house.a.cloud.calls().await;
    let deletes = |service: &'static str, id: &str| {
        let id = id.to_owned();
        move |call: &Call| call.method == "DELETE" && call.service == service && call.last() == id
    };
    for server in &group.servers {
        let gone = first(&calls, deletes("compute", &server.id)) + 0.4;
        for volume in &server.volumes {
            let deleted = first(&calls, deletes("volume", volume));
            assert!(
                deleted > gone,
                "{volume}: {deleted} s, its server went at {gone} s"
            );
        }
    }
    let refused: Vec<&Call> = calls
        .iter()
        .filter(|call| call.method == "DELETE" && !call.succeeded())
        .collect();
    assert!(
        refused.is_empty(),
        "deleted while not available: {refused:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_cleanup_completes_the_operation_and_leaves_the_group_well() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = &group.servers[0].volumes[1];
    house.a.cloud.break_it(refuse_deletion(stuck, 500)).await;
    let failover = tenant.fail_over(&group).await;

    assert_eq!(failover["status"], "completed", "{failover:#}");
    assert_eq!(failover["progress"], 100, "{failover:#}");
    assert!(failover["error"].is_null(), "{failover:#}");
    assert_eq!(failed_steps(&failover)[0]["resource_id"], stuck.as_str());
    assert!(completed(&failover).contains(&"delete_source_volume:vol-boot-ws1".to_owned()));
    tenant.must_have_moved(&group, &[stuck]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hiccup_of_nova_on_the_source_does_not_undo_the_failover() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0];
    house
        .a
        .cloud
        .break_it(refuse_deletion(&server.id, 500))
        .await;
    let failover = tenant.fail_over(&group).await;

    assert_eq!(failover["status"], "completed", "{failover:#}");
    let failed: Vec<Value> = failed_steps(&failover)
        .iter()
        .map(|entry| entry["step"].clone())
        .collect();
    let left = [
        "delete_source_vm:web-server-1",
        "delete_source_volume:vol-boot-ws1",
        "delete_source_volume:vol-data-ws1",
    ];
    assert_eq!(failed, left, "{failover:#}");
    let shown = tenant.group(&group).await;
    assert_eq!(shown["status"], "failed_over", "{shown:#}");
    let line = "openstack --os-cloud site-b server list -f value -c Name -c Status";
    assert_eq!(tenant.types(line).await.good(), "web-server-1 ACTIVE\n");
}
