//! Example 4: Clean up after a test failover.

use super::{likeness::assert_like, scene::WEB_APP};
use crate::{house::House, tenant::Tenant};

const PAGE: &str = "\
+------------------+---------------------------------------------+
| Field            | Value                                       |
+------------------+---------------------------------------------+
| operation_id     | op-7a3f2c11-0005-4b22-a918-000000000005     |
| operation_type   | test_cleanup                                |
| status           | running                                     |
| progress         | 0                                           |
+------------------+---------------------------------------------+
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_action_test_cleanup_answers_as_on_the_page() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(WEB_APP).await;
    let test = tenant.rehearse(&group).await;
    let line = format!(
        "openstack protector protection-group action prod-web-app --action test-cleanup --test-operation-id {test}"
    );
    let printed = tenant.types(&line).await.good();
    assert_like(&printed, PAGE);

    let id = printed
        .split_whitespace()
        .find(|word| word.starts_with("op-"))
        .unwrap();
    tenant.ended(id).await;
    let shown = tenant
        .types(&format!(
            "openstack dr operation show {id} -f value -c operation_type -c status -c progress"
        ))
        .await;
    assert_eq!(shown.good(), "test_cleanup\ncompleted\n100\n");
}
