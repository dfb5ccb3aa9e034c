//! Failovers that cannot succeed.

use serde_json::json;

use crate::{
    cloud::word,
    house::House,
    tenant::{Tenant, failed_steps},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_is_built_without_a_key_pair_that_nova_does_not_take() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let words = "Quota exceeded, too many key pairs.";
    let refusal = json!({"match": {"method": "POST", "path": "*/os-keypairs"}, "effect": {"call": {"kind": "status",
        "status": 403, "body": {"forbidden": {"code": 403, "message": words}}}}});
    house.b.cloud.break_it(refusal).await;
    let operation = tenant.start_failover(&group).await;
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let steps = ended["steps"].as_array().unwrap();
    let built = steps
        .iter()
        .find(|step| step["key"] == "recreate_vms:web-1");
    let facts = built.unwrap()["facts"].to_string();
    assert!(
        facts.contains("built without key pair demo-key") && facts.contains(words),
        "{facts}"
    );
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_before_the_switch_leaves_the_world_as_it_was() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let before = house.b.cloud.state().await;
    let message = "No valid host was found. There are not enough hosts available.";
    let fault = json!({"effect": {"job": {"kind": "server_build_error", "message": message}}});
    house.b.cloud.break_it(fault).await;

    let ended = tenant.ended(&tenant.start_failover(&group).await).await;

    assert_eq!(ended["status"], "failed", "{ended:#}");
    let error = word(&ended["error"]);
    assert!(error.contains(message), "{error}");
    assert!(
        error.starts_with("recreate_vms:web-"),
        "it names the step: {error}"
    );
    let after = house.b.cloud.state().await;
    for list in ["servers", "volumes", "backend_objects", "ports"] {
        assert_eq!(after[list], before[list], "{list} of the target");
        assert_eq!(after[list], json!([]), "{list} of the target");
    }
    for server in &group.servers {
        assert_eq!(tenant.at_a.server_status(&server.id).await, "ACTIVE");
    }
    let shown = tenant.group(&group).await;
    assert_eq!(shown["status"], "active", "{shown:#}");
    assert_eq!(shown["current_primary_site"], "site-a", "{shown:#}");

    house.b.cloud.mend().await;
    let again = tenant.ended(&tenant.start_failover(&group).await).await;
    assert_eq!(again["status"], "completed", "{again:#}");
    assert!(failed_steps(&again).is_empty(), "{again:#}");
    tenant.must_have_moved(&group, &[]).await;
}
