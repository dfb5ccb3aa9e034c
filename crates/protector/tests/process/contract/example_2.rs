//! Example 2: Partial cleanup failure, manual remediation.

use std::time::Duration;

use super::{
    likeness::{assert_like, assert_shows},
    scene::{WEB_AND_DATABASE, house_with, swallow_deletion},
};
use crate::tenant::Tenant;

/// The page's deployment waits 300 s; here it is the least that is allowed.
const STEPS: &str = r#"| steps_completed  | ["promote_volumes", "manage_volumes", "recreate_vms",       |
|                  |  "delete_source_vm:web-server-1",                           |
|                  |  "delete_source_vm:db-server",                              |
|                  |  "delete_source_volume:vol-boot-ws1",                       |
|                  |  "delete_source_volume:vol-boot-db",                        |
|                  |  "delete_source_volume:vol-data-db"]                        |
| steps_failed     | [{"step": "delete_source_volume:vol-data-ws1",              |
|                  |  "error": "Cinder timeout after 60s",                       |
|                  |  "resource_id": "00000000-0000-0000-0000-000000000000"}]    |
"#;

const STATUS: &str =
    "| status           | completed                                                   |\n";

const CLEANUP: &str = "\
Retrying cleanup for operation op-7a3f2c11-0002-4b22-a918-000000000002...
Skipping already-cleaned resources (8 skipped)
Retrying: delete_source_volume:vol-data-ws1
Checking volume status on site-a... available
Deleting volume 00000000-0000-0000-0000-000000000000... done
✓ Cleanup completed. 1 resource deleted, 0 failures.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cinder_timeout_is_shown_and_remedied_as_on_the_page() {
    let house = house_with("cleanup_timeout_seconds = 60").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(WEB_AND_DATABASE).await;
    let stuck = &group.servers[0].volumes[1];
    house.a.cloud.break_it(swallow_deletion(stuck)).await;
    let operation = tenant.start_failover(&group).await;
    tenant
        .ended_within(&operation, Duration::from_secs(100))
        .await;

    let shown = tenant
        .types(&format!("openstack dr operation show {operation}"))
        .await
        .good();
    assert_shows(&shown, STEPS);
    assert_shows(&shown, STATUS);
    assert!(shown.contains(stuck.as_str()), "{shown}");
    tenant.must_have_moved(&group, &[stuck]).await;

    house.a.cloud.mend().await;
    let line = format!("openstack dr operation cleanup {operation}");
    assert_like(&tenant.types(&line).await.good(), CLEANUP);
    tenant.must_have_moved(&group, &[]).await;
    let failed = format!("openstack dr operation show {operation} -f value -c steps_failed");
    assert_eq!(tenant.types(&failed).await.good(), "[]\n");
}
