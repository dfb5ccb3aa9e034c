//! Example 3: Manual cleanup after `retain_source_volumes_on_failover = true`.

use super::{
    likeness::assert_like,
    scene::{ALL_THREE, house_with},
};
use crate::tenant::{Tenant, failed_steps};

const CLEANUP: &str = "\
Retrying cleanup for operation op-7a3f2c11-0003-4b22-a918-000000000003...
Volumes retained by configuration — processing now:
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
✓ Cleanup completed. 7 resources deleted, 0 failures.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_volumes_are_deleted_as_on_the_page() {
    let house = house_with("retain_source_volumes_on_failover = true").await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ALL_THREE).await;
    let failover = tenant.fail_over(&group).await;
    assert!(failed_steps(&failover).is_empty(), "{failover:#}");
    tenant.must_have_moved(&group, &group.volumes()).await;

    let operation = failover["id"].as_str().unwrap();
    let printed = tenant
        .types(&format!("openstack dr operation cleanup {operation}"))
        .await
        .good();
    assert_like(&printed, CLEANUP);
    let named: Vec<&str> = printed
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Deleting volume ")?
                .strip_suffix("... done")
        })
        .collect();
    assert_eq!(named, group.volumes(), "in the order of the page");
    tenant.must_have_moved(&group, &[]).await;
}
