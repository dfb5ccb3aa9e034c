//! Example 1: Inspect cleanup results after a planned failover.

use super::{likeness::assert_like, scene::WEB_APP};
use crate::{house::House, tenant::Tenant};

const PAGE: &str = r#"+------------------+-------------------------------------------------------------+
| Field            | Value                                                       |
+------------------+-------------------------------------------------------------+
| id               | op-7a3f2c11-0001-4b22-a918-000000000001                     |
| operation_type   | failover                                                    |
| status           | completed                                                   |
| progress         | 100                                                         |
| source_site      | site-a                                                      |
| target_site      | site-b                                                      |
| started_at       | 2025-11-03T14:00:00Z                                        |
| completed_at     | 2025-11-03T14:07:42Z                                        |
| steps_completed  | ["promote_volumes", "manage_volumes", "recreate_vms",       |
|                  |  "delete_source_vm:web-server-1",                           |
|                  |  "delete_source_vm:web-server-2",                           |
|                  |  "delete_source_volume:vol-boot-ws1",                       |
|                  |  "delete_source_volume:vol-data-ws1",                       |
|                  |  "delete_source_volume:vol-boot-ws2",                       |
|                  |  "delete_source_volume:vol-data-ws2"]                       |
| steps_failed     | []                                                          |
+------------------+-------------------------------------------------------------+
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_failover_is_shown_as_on_the_page() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(WEB_APP).await;
    let failover = tenant.fail_over(&group).await;
    let line = format!(
        "openstack dr operation show {}",
        failover["id"].as_str().unwrap()
    );
    assert_like(&tenant.types(&line).await.good(), PAGE);
    tenant.must_have_moved(&group, &[]).await;
}
