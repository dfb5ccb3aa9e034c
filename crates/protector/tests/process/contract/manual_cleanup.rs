//! Triggering manual cleanup.

use std::{fs, time::Duration};

use serde_json::json;

use super::{
    likeness::assert_like,
    scene::{ONE_SERVER, house_of_little_patience, refuse_deletion},
};
use crate::{
    house::{House, operation_id},
    tenant::{Group, Tenant, failed_steps, planned},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A failover that left its data volume behind, since Cinder refused to delete it: the group, the operation, the volume.
async fn partly_cleaned(tenant: &Tenant<'_>) -> (Group, String, String) {
    partly_cleaned_as(tenant, "prod-web-app").await
}

async fn partly_cleaned_as(tenant: &Tenant<'_>, name: &str) -> (Group, String, String) {
    let group = tenant.protect_as(name, ONE_SERVER).await;
    let stuck = group.servers[0].volumes[1].clone();
    tenant
        .house
        .a
        .cloud
        .break_it(refuse_deletion(&stuck, 500))
        .await;
    let failover = tenant.fail_over(&group).await;
    assert_eq!(failed_steps(&failover).len(), 1, "{failover:#}");
    let operation = failover["id"].as_str().unwrap().to_owned();
    (group, operation, stuck)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_deletes_what_is_in_steps_failed_and_may_be_repeated() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, stuck) = partly_cleaned(&tenant).await;
    house.a.cloud.mend().await;
    house.a.cloud.forget_calls().await;
    let line = format!("openstack dr operation cleanup {operation}");
    tenant.types(&line).await.good();
    assert_eq!(tenant.deletions_of(&stuck).await, 1);
    assert_eq!(
        tenant.deletions_of(&group.servers[0].volumes[0]).await,
        0,
        "gone already: skipped"
    );
    tenant.must_have_moved(&group, &[]).await;

    house.a.cloud.forget_calls().await;
    let again = tenant.types(&line).await.good();
    assert_eq!(
        again,
        format!("Nothing to clean up: operation {operation} left nothing behind.\n")
    );
    assert_eq!(tenant.deletions_of(&stuck).await, 0);
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fails_when_something_is_left_and_says_what_and_how_to_go_on() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, stuck) = partly_cleaned(&tenant).await;
    let printed = tenant
        .types(&format!(
            "openstack dr operation cleanup --operation-id {operation}"
        ))
        .await;
    assert_eq!(printed.code, Some(1), "{printed:?}");
    assert!(
        printed
            .out
            .contains(&format!("Deleting volume {stuck}... failed: ")),
        "{printed:?}"
    );
    assert!(
        printed
            .out
            .ends_with("Cleanup completed. 0 resources deleted, 1 failure.\n"),
        "{printed:?}"
    );
    assert!(
        printed
            .err
            .contains(&format!("openstack dr operation show {operation}")),
        "{printed:?}"
    );
    tenant.must_have_moved(&group, &[&stuck]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_one_at_the_same_time_is_told_who_is_at_it() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, _) = partly_cleaned(&tenant).await;
    house.a.cloud.mend().await;
    house.a.cloud.hold("volume_delete").await;
    let first = operation_id(&tenant.ask_for_cleanup(&operation).await.good());
    let line = format!("openstack dr operation cleanup {operation}");
    let refused = tenant.types(&line).await.refused();
    assert!(
        refused.contains(&format!("is being cleaned up by operation {first}")),
        "{refused}"
    );
    house.a.cloud.let_go("volume_delete").await;
    tenant.ended(&first).await;
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_leaves_the_work_running_and_says_so() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, stuck) = partly_cleaned(&tenant).await;
    house.a.cloud.mend().await;
    house.a.cloud.hold("volume_delete").await;
    let log = house.logs.join("cleanup.log");
    let line = format!("openstack dr operation cleanup {operation}");
    let command = house.shell.begins(&line, &log);
    until("the deletion to begin", PATIENCE, async || {
        let said = fs::read_to_string(&log).unwrap();
        said.contains(&format!("Deleting volume {stuck}..."))
            .then_some(())
    })
    .await;
    let status = command.interrupt().await;
    assert_eq!(status.code(), Some(130));
    let said = fs::read_to_string(&log).unwrap();
    let (_, told) = said
        .split_once("Interrupted. Operation ")
        .unwrap_or_else(|| panic!("{said}"));
    let (cleanup, told) = told.split_once(' ').unwrap();
    assert!(told.starts_with("goes on on the server"), "{said}");

    house.a.cloud.let_go("volume_delete").await;
    let ended = tenant.ended(cleanup).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_name_of_the_group_it_takes_up_all_operations_that_left_something() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, _) = partly_cleaned(&tenant).await;
    let (other, _, kept) = partly_cleaned_as(&tenant, "other").await;
    house.a.cloud.mend().await;
    let line = "openstack dr operation cleanup --protection-group prod-web-app";
    let printed = tenant.types(line).await.good();
    assert!(
        printed.starts_with(&format!("Retrying cleanup for operation {operation}...\n")),
        "{printed}"
    );
    assert!(
        printed.ends_with("✓ Cleanup completed. 1 resource deleted, 0 failures.\n"),
        "{printed}"
    );
    tenant.must_have_moved(&group, &[]).await;
    tenant.must_have_moved(&other, &[&kept]).await;
    let nothing = tenant.types(line).await.good();
    assert!(nothing.starts_with("Nothing to clean up: "), "{nothing}");
}

const MIXED: &str = "\
Retrying cleanup for operation op-7a3f2c11-0003-4b22-a918-000000000003...
Skipping already-cleaned resources (3 skipped)
Retrying: delete_source_vm:web-server-1
Checking server status on site-a... SHUTOFF
Deleting server 00000000-0000-0000-0000-000000000000... done
Volumes retained by configuration — processing now:
Deleting volume 00000000-0000-0000-0000-000000000000... done
Deleting volume 00000000-0000-0000-0000-000000000000... done
✓ Cleanup completed. 3 resources deleted, 0 failures.
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_retained_by_the_flag_go_with_what_failed() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0];
    house
        .a
        .cloud
        .break_it(refuse_deletion(&server.id, 500))
        .await;
    let line = "openstack dr failover prod-web-app --retain-source-volumes --wait -f value -c operation_id";
    let operation = tenant.types(line).await.good().trim().to_owned();
    let ended = tenant.operation(&operation).await;
    assert_eq!(
        failed_steps(&ended).len(),
        1,
        "only the server failed: {ended:#}"
    );
    house.a.cloud.mend().await;
    let printed = tenant
        .types(&format!("openstack dr operation cleanup {operation}"))
        .await
        .good();
    assert_like(&printed, MIXED);
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_lists_what_is_left_on_the_worst_day_and_changes_nothing() {
    let mut house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let (group, operation, stuck) = partly_cleaned(&tenant).await;
    let Tenant { at_a, at_b, .. } = tenant;
    house.a.kill_engine();
    assert!(house.b.terminate_api().await.success());
    for service in ["nova-api", "cinder-api"] {
        house.a.cloud.take_away(service).await;
    }
    house.a.cloud.forget_calls().await;

    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let line = format!("openstack dr operation cleanup {operation} --dry-run");
    let printed = tenant.types(&line).await.good();
    assert!(
        printed.contains("delete_source_volume:vol-data-ws1"),
        "{printed}"
    );
    let command = format!("openstack --os-cloud site-a volume delete {stuck}");
    assert!(printed.contains(&command), "{printed}");
    let boot = &group.servers[0].volumes[0];
    assert!(!printed.contains(boot.as_str()), "gone already: {printed}");
    let calls = house.a.cloud.calls().await;
    let asked: Vec<_> = calls
        .iter()
        .filter(|call| call.service != "identity")
        .collect();
    assert!(asked.is_empty(), "{asked:#?}");
    house.a.cloud.mend().await;
    tenant.must_have_moved(&group, &[&stuck]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_operation_is_cleaned_up_too_and_never_loses_the_source() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let no_host = json!({"effect": {"job": {"kind": "server_build_error", "message": "No valid host was found."}}});
    house.b.cloud.break_it(no_host).await;
    let stays = json!({"match": {"service": "volume", "method": "POST", "path": "*/action"},
        "effect": {"call": {"kind": "status", "status": 403}}});
    house.b.cloud.break_it(stays).await;
    let path = "/protection-groups/prod-web-app/action";
    let asked = tenant
        .on_a(reqwest::Method::POST, path, Some(planned()))
        .await;
    let operation = operation_id(&asked.good());
    let failed = tenant.ended(&operation).await;
    assert_eq!(failed["status"], "failed", "{failed:#}");
    assert_ne!(
        house.b.cloud.state().await["volumes"],
        json!([]),
        "something is left"
    );
    house.b.cloud.mend().await;

    let printed = tenant
        .types(&format!("openstack dr operation cleanup {operation}"))
        .await
        .good();
    assert!(printed.contains(" 0 failures."), "{printed}");
    let b = house.b.cloud.state().await;
    for list in ["servers", "volumes", "backend_objects"] {
        assert_eq!(b[list], json!([]), "{list} of the target");
    }
    assert_eq!(
        tenant.at_a.server_status(&group.servers[0].id).await,
        "ACTIVE"
    );
    for volume in group.volumes() {
        let bytes = crate::volume_file::digest(&house.a.cloud.file_of(volume));
        assert_eq!(bytes, group.bytes[volume], "the bytes of {volume}");
    }
}
