//! What a failover could not delete, and a cleanup does.

use std::time::Duration;

use serde_json::json;

use crate::{
    house::{House, operation_id},
    tenant::{Tenant, failed_steps},
    waiting::until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_cinder_cannot_delete_is_recorded_and_cleaned_up_later() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let stuck = group.servers[0].volumes[1].clone();
    let fault = json!({"match": {"service": "volume", "method": "DELETE", "resource": stuck},
        "effect": {"call": {"kind": "status", "status": 500}}});
    house.a.cloud.break_it(fault).await;

    let failover = tenant.start_failover(&group).await;
    let ended = tenant.ended(&failover).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let failed = failed_steps(&ended);
    assert_eq!(failed.len(), 1, "{ended:#}");
    let mut keys: Vec<&String> = failed[0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["error", "resource_id", "step"]);
    assert_eq!(failed[0]["step"], "delete_source_volume:web-1-data");
    assert_eq!(failed[0]["resource_id"], stuck.as_str());
    assert!(
        failed[0]["error"].as_str().unwrap().contains("500"),
        "{failed:?}"
    );
    tenant.must_have_moved(&group, &[&stuck]).await;

    let broken = operation_id(&tenant.ask_for_cleanup(&failover).await.good());
    let broken = tenant.ended(&broken).await;
    assert_eq!(broken["operation_type"], "cleanup");
    assert_eq!(broken["parent_operation_id"], failover.as_str());
    assert_eq!(failed_steps(&broken).len(), 1, "{broken:#}");
    assert_eq!(failed_steps(&broken)[0]["resource_id"], stuck.as_str());
    assert_eq!(failed_steps(&tenant.operation(&failover).await).len(), 1);
    tenant.must_have_moved(&group, &[&stuck]).await;

    house.a.cloud.mend().await;
    house.a.cloud.hold("volume_delete").await;
    let (one, other) = tokio::join!(
        tenant.ask_for_cleanup(&failover),
        tenant.ask_for_cleanup(&failover)
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
    let mended = operation_id(&taken.body);
    assert!(
        refused.text().contains(&mended),
        "it names the other one: {refused:?}"
    );
    house.a.cloud.let_go("volume_delete").await;
    let ended = tenant.ended(&mended).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    assert!(failed_steps(&tenant.operation(&failover).await).is_empty());
    tenant.must_have_moved(&group, &[]).await;

    let nothing = until(
        "the cleanup to let go",
        Duration::from_secs(10),
        async || {
            Some(tenant.ask_for_cleanup(&failover).await).filter(|answer| answer.status != 409)
        },
    )
    .await;
    assert_eq!(nothing.status, 200, "{nothing:?}");
    assert_eq!(nothing.body["operation"], json!(null), "{nothing:?}");
    assert_eq!(nothing.body["cleanup"]["steps"], json!([]), "{nothing:?}");
}
