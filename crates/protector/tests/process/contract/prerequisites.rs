//! Prerequisites, and verifying them.

use std::time::Duration;

use super::scene::{ONE_SERVER, house_of_little_patience, refuse_deletion};
use crate::{
    cloud::Call,
    house::{House, operation_id},
    tenant::{Tenant, failed_steps, has_ended},
    waiting::until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plugin_knows_the_cleanup_command_and_its_flags() {
    let house = House::new().await;
    let help = house
        .shell
        .types("openstack dr operation cleanup --help")
        .await;
    let help = help.good();
    for flag in ["--protection-group", "--operation-id"] {
        assert!(help.contains(flag), "{help}");
    }
    let none = house.shell.types("openstack dr operation cleanup").await;
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.err.contains("--operation-id"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleanup_waits_for_the_engine_of_its_site() {
    let mut house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = group.servers[0].volumes[1].clone();
    let fault = refuse_deletion(&stuck, 500);
    house.a.cloud.break_it(fault).await;
    let failover = tenant.fail_over(&group).await["id"].clone();
    house.a.cloud.mend().await;
    let Tenant { at_a, at_b, .. } = tenant;
    house.a.terminate_engine().await;

    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let asked = tenant.ask_for_cleanup(failover.as_str().unwrap()).await;
    let cleanup = operation_id(&asked.good());
    let waiting = tenant.operation(&cleanup).await;
    assert!(!has_ended(&waiting), "{waiting:#}");

    let Tenant { at_a, at_b, .. } = tenant;
    house.a.start_engine();
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let ended = tenant.ended(&cleanup).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_member_in_the_tenants_project_is_enough_to_clean_up() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    house.a.cloud.forget_calls().await;
    tenant.fail_over(&group).await;

    let calls = house.a.cloud.calls().await;
    let deletions: Vec<&Call> = calls
        .iter()
        .filter(|call| call.method == "DELETE" && call.service != "identity")
        .collect();
    assert_eq!(deletions.len(), 3, "{deletions:#?}");
    for call in deletions {
        assert_eq!(
            call.project.as_deref(),
            Some(tenant.at_a.project_id.as_str()),
            "{call:?}"
        );
        assert_eq!(call.user.as_deref(), Some("protector"), "{call:?}");
    }
    let roles = house
        .a
        .cloud
        .roles("protector", &tenant.at_a.project_id)
        .await;
    assert_eq!(roles, ["member"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operation_record_can_be_read_before_a_cleanup() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let operation = tenant.start_failover(&group).await;
    let line = format!("openstack dr operation show {operation} -f value -c status");
    let running = tenant.types(&line).await.good();
    assert!(
        ["pending\n", "running\n", "completed\n"].contains(&running.as_str()),
        "{running}"
    );
    tenant.ended(&operation).await;
    let status = until("the end to be shown", Duration::from_secs(20), async || {
        Some(tenant.types(&line).await.good()).filter(|status| status == "completed\n")
    })
    .await;
    assert_eq!(status, "completed\n");
    let shown = tenant.group(&group).await;
    assert_eq!(shown["status"], "failed_over", "{shown:#}");
}
