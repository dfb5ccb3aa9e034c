//! Cleanup after test failover.

use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{ONE_SERVER, house_with};
use crate::{
    cloud::Call,
    house::House,
    tenant::{Group, Tenant, failed_steps, find},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

impl Tenant<'_> {
    /// Starts copies of the group on a network of their own, with the command; the operation's id once they are up.
    /// They are made from the latest recovery point, so that there has to be one.
    pub(super) async fn rehearse(&self, group: &Group) -> String {
        let sync = format!(
            "openstack protector protection-group action {} --action sync --wait",
            group.name
        );
        self.types(&sync).await.good();
        let network = self.at_b.make_network("test-net", "192.168.100.0/24").await;
        let line = format!(
            "openstack protector protection-group action {} --action test-failover --network-mapping demo-net={network} \
             --wait -f value -c operation_id",
            group.name
        );
        self.types(&line).await.good().trim().to_owned()
    }

    /// The test cleanup of a test operation, started with the command: its id.
    pub(super) async fn test_cleanup(&self, group: &Group, test: &str) -> String {
        let line = format!("{} -f value -c operation_id", line_for(group, test));
        self.types(&line).await.good().trim().to_owned()
    }
}

fn line_for(group: &Group, test: &str) -> String {
    format!(
        "openstack protector protection-group action {} --action test-cleanup --test-operation-id {test}",
        group.name
    )
}

/// Nothing was changed on site-a since its calls were forgotten, and its servers run.
async fn must_be_untouched(tenant: &Tenant<'_>, group: &Group) {
    let calls = tenant.house.a.cloud.calls().await;
    let changes: Vec<&Call> = calls
        .iter()
        .filter(|call| call.method != "GET" && call.service != "identity")
        .collect();
    assert!(changes.is_empty(), "changed on site-a: {changes:#?}");
    let a = tenant.house.a.cloud.state().await;
    for server in &group.servers {
        let seen = find(&a["servers"], &server.id).unwrap();
        assert_eq!(seen["status"], "ACTIVE", "{seen}");
        assert_eq!(seen["running"], true, "{seen}");
    }
    for volume in group.volumes() {
        let bytes = crate::volume_file::digest(&tenant.house.a.cloud.file_of(volume));
        assert_eq!(bytes, group.bytes[volume], "the bytes of {volume}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_cleanup_deletes_the_tests_vms_and_volumes_and_completes_the_test_operation() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    house.a.cloud.forget_calls().await;
    let before = house.b.cloud.state().await;
    let test = tenant.rehearse(&group).await;
    let up = tenant.operation(&test).await;
    assert_eq!(up["operation_type"], "test_failover", "{up:#}");
    assert_eq!(up["status"], "running", "{up:#}");
    assert_eq!(up["phase"], "awaiting_cleanup", "{up:#}");
    let line = "openstack --os-cloud site-b server list -f value -c Name -c Status";
    assert_eq!(tenant.types(line).await.good(), "web-server-1 ACTIVE\n");
    assert_eq!(tenant.group(&group).await["status"], "active");

    let cleanup = tenant.test_cleanup(&group, &test).await;
    let ended = tenant.ended(&cleanup).await;
    assert_eq!(ended["operation_type"], "test_cleanup", "{ended:#}");
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    assert_eq!(
        ended["steps_completed"],
        json!([
            "delete_test_vm:web-server-1",
            "delete_test_volume:vol-boot-ws1",
            "delete_test_volume:vol-data-ws1",
        ])
    );
    assert_eq!(tenant.operation(&test).await["status"], "completed");
    let after = house.b.cloud.state().await;
    for list in ["servers", "volumes", "backend_objects"] {
        assert_eq!(after[list], before[list], "{list} of site-b");
    }
    must_be_untouched(&tenant, &group).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_general_cleanup_command_is_not_for_test_operations() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let test = tenant.rehearse(&group).await;
    let line = format!("openstack dr operation cleanup {test}");
    let refused = tenant.types(&line).await.refused();
    let way_on = format!("--action test-cleanup --test-operation-id {test}");
    assert!(refused.contains(&way_on), "{refused}");
    let b = house.b.cloud.state().await;
    assert_eq!(b["servers"].as_array().unwrap().len(), 1, "still up: {b:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_already_cleaned_test_operation_is_refused_with_the_reason() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let other = tenant.protect_as("other", ONE_SERVER).await;
    let unknown = "op-7a3f2c11-0004-4b22-a918-000000000004";
    let refused = tenant.types(&line_for(&group, unknown)).await.refused();
    assert!(
        refused.contains(unknown) && refused.contains("404"),
        "{refused}"
    );

    let test = tenant.rehearse(&group).await;
    let refused = tenant.types(&line_for(&other, &test)).await.refused();
    assert!(
        refused.contains("is of protection group prod-web-app, not of other"),
        "{refused}"
    );
    let again = "openstack protector protection-group action prod-web-app --action test-failover";
    let refused = tenant.types(again).await.refused();
    assert!(
        refused.contains(&test),
        "it names the one that is up: {refused}"
    );

    let cleanup = tenant.test_cleanup(&group, &test).await;
    tenant.ended(&cleanup).await;
    let refused = tenant.types(&line_for(&group, &test)).await.refused();
    assert!(
        refused.contains(&format!(
            "has been cleaned up already, by operation {cleanup}"
        )),
        "{refused}"
    );

    let failover = tenant.fail_over(&other).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = tenant.types(&line_for(&other, &failover)).await.refused();
    assert!(
        refused.contains("is a failover, not a test_failover"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_cleanup_on_test_failover_false_the_copies_stay_for_inspection() {
    let house = house_with("cleanup_on_test_failover = false").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let test = tenant.rehearse(&group).await;
    house.a.cloud.forget_calls().await;
    let cleanup = tenant.test_cleanup(&group, &test).await;
    let ended = tenant.ended(&cleanup).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    assert_eq!(tenant.operation(&test).await["status"], "completed");
    let b = house.b.cloud.state().await;
    assert_eq!(b["servers"].as_array().unwrap().len(), 1, "{b:#}");
    assert_eq!(b["volumes"].as_array().unwrap().len(), 2, "{b:#}");

    let line = format!("openstack dr operation cleanup {cleanup}");
    let printed = tenant.types(&line).await.good();
    assert!(
        printed.ends_with("✓ Cleanup completed. 3 resources deleted, 0 failures.\n"),
        "{printed}"
    );
    let b = house.b.cloud.state().await;
    assert_eq!((&b["servers"], &b["volumes"]), (&json!([]), &json!([])));
    must_be_untouched(&tenant, &group).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_test_cleanup_cannot_delete_is_recorded_and_cleaned_up_later() {
    let house = house_with("cleanup_retry_attempts = 1").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let test = tenant.rehearse(&group).await;
    house.a.cloud.forget_calls().await;
    let refusal = json!({"match": {"service": "volume", "method": "DELETE", "path": "*/volumes/*"}, "times": 4,
        "effect": {"call": {"kind": "status", "status": 500}}});
    house.b.cloud.break_it(refusal).await;
    let cleanup = tenant.test_cleanup(&group, &test).await;
    let ended: Value = tenant.ended(&cleanup).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(!failed_steps(&ended).is_empty(), "{ended:#}");
    assert_eq!(tenant.operation(&test).await["status"], "completed");

    house.b.cloud.mend().await;
    tenant
        .types(&format!("openstack dr operation cleanup {cleanup}"))
        .await
        .good();
    until("site-b to be empty", PATIENCE, async || {
        (house.b.cloud.state().await["volumes"] == json!([])).then_some(())
    })
    .await;
    must_be_untouched(&tenant, &group).await;
}
