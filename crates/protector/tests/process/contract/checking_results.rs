//! Checking cleanup results.

use serde_json::{Value, json};

use super::scene::{ONE_SERVER, house_of_little_patience, refuse_deletion};
use crate::{house::House, tenant::Tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_steps_failed_means_that_all_cleanup_succeeded() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let failover = tenant.fail_over(&group).await;
    let line = format!(
        "openstack dr operation show {} -f json",
        failover["id"].as_str().unwrap()
    );
    let shown: Value = serde_json::from_str(&tenant.types(&line).await.good()).unwrap();
    assert_eq!(shown["steps_failed"], json!([]), "{shown:#}");
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_steps_failed_says_which_resource_was_not_removed_and_why() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = &group.servers[0].volumes[1];
    house.a.cloud.break_it(refuse_deletion(stuck, 500)).await;
    let failover = tenant.fail_over(&group).await;
    let line = format!(
        "openstack dr operation show {} -f json",
        failover["id"].as_str().unwrap()
    );
    let shown: Value = serde_json::from_str(&tenant.types(&line).await.good()).unwrap();

    let entries = shown["steps_failed"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{shown:#}");
    let mut keys: Vec<&String> = entries[0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["error", "resource_id", "step"]);
    assert_eq!(entries[0]["step"], "delete_source_volume:vol-data-ws1");
    assert_eq!(entries[0]["resource_id"], stuck.as_str());
    let error = entries[0]["error"].as_str().unwrap();
    assert!(error.contains("500") && error.contains("req-"), "{error}");

    let list = "openstack dr operation list --protection-group prod-web-app -f json";
    let listed: Value = serde_json::from_str(&tenant.types(list).await.good()).unwrap();
    assert_eq!(listed[0]["Failed Steps"], 1, "{listed:#}");
}
