//! Troubleshooting: each case from its symptom to its end, with the commands of the page.

use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{ONE_SERVER, house_of_little_patience, refuse_deletion, spoil_deletion};
use crate::{
    house::House,
    tenant::{Group, Tenant, failed_steps},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn id_of(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

/// The error recorded for a resource.
fn error_of(operation: &Value, resource: &str) -> String {
    let failed = failed_steps(operation);
    let entry = failed.iter().find(|entry| entry["resource_id"] == resource);
    let entry = entry.unwrap_or_else(|| panic!("{resource} is not in {operation:#}"));
    entry["error"].as_str().unwrap().to_owned()
}

/// Cleans up with the page's command, which must leave nothing behind; what it printed.
async fn clean_up(tenant: &Tenant<'_>, operation: &str) -> String {
    let printed = tenant
        .types(&format!("openstack dr operation cleanup {operation}"))
        .await
        .good();
    assert!(printed.contains("✓ Cleanup completed. "), "{printed}");
    assert!(printed.ends_with(" 0 failures.\n"), "{printed}");
    printed
}

/// A failover during which Cinder on the source loses the record of the data volume, as after a restore of its
/// database.
async fn failover_that_loses_a_volume(tenant: &Tenant<'_>, group: &Group) -> Value {
    let cloud = &tenant.house.a.cloud;
    let (server, lost) = (&group.servers[0], &group.servers[0].volumes[1]);
    cloud.hold("server_delete").await;
    let operation = tenant.start_failover(group).await;
    until("the server's deletion to begin", PATIENCE, async || {
        (tenant.deletions_of(&server.id).await > 0).then_some(())
    })
    .await;
    let unknown = json!({"match": {"service": "volume", "resource": lost},
        "effect": {"call": {"kind": "status", "status": 404}}});
    cloud.break_it(unknown).await;
    cloud.let_go("server_delete").await;
    tenant.ended(&operation).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volume_not_found_is_informational_and_a_cleanup_reports_success() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let lost = group.servers[0].volumes[1].clone();
    let failover = failover_that_loses_a_volume(&tenant, &group).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    assert_eq!(failed_steps(&failover).len(), 1, "{failover:#}");
    assert_eq!(error_of(&failover, &lost), "Volume not found (404)");

    let shown = tenant.group(&group).await;
    assert_eq!(
        shown["status"], "failed_over",
        "the stale entry blocks nothing: {shown:#}"
    );
    let line = "openstack dr protection-group set prod-web-app --description moved";
    tenant.types(line).await.good();

    let printed = clean_up(&tenant, id_of(&failover)).await;
    assert!(
        printed.contains("Retrying: delete_source_volume:vol-data-ws1\n"),
        "{printed}"
    );
    assert!(failed_steps(&tenant.operation(id_of(&failover)).await).is_empty());
}

/// Cinder's own words; the page shows their short form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volume_status_must_be_available_is_recorded_in_cinders_words() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = &group.servers[0].volumes[1];
    let words = "Invalid volume: Volume status must be available or error or error_restoring or error_extending or \
                 error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a \
                 transfer, or be disassociated from snapshots after volume transfer.";
    let refusal = json!({"match": {"method": "DELETE", "resource": stuck}, "effect": {"call": {"kind": "status",
        "status": 400, "body": {"badRequest": {"code": 400, "message": words}}}}});
    house.a.cloud.break_it(refusal).await;
    let failover = tenant.fail_over(&group).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    let error = error_of(&failover, stuck);
    assert!(
        error.contains("Invalid volume: Volume status must be available"),
        "{error}"
    );
    house.a.cloud.mend().await;
    clean_up(&tenant, id_of(&failover)).await;
    tenant.must_have_moved(&group, &[]).await;
}

/// nova-compute was ill: the server is gone, Cinder still says in-use, and deletes of attachments fail as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_nova_did_not_detach_is_set_available_by_hand_and_then_cleaned_up() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0];
    house
        .a
        .cloud
        .break_it(spoil_deletion(&server.id, "stale_attachment"))
        .await;
    let refusal = json!({"match": {"service": "volume", "method": "DELETE", "path": "*/attachments/*"},
        "effect": {"call": {"kind": "status", "status": 403}}});
    house.a.cloud.break_it(refusal).await;
    let failover = tenant.fail_over(&group).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    assert_eq!(failed_steps(&failover).len(), 2, "{failover:#}");
    house.a.cloud.mend().await;
    for volume in group.volumes() {
        let line = format!("openstack volume show {volume} -f value -c status");
        assert_eq!(tenant.types(&line).await.good(), "in-use\n");
        let line =
            format!("openstack --os-cloud site-a-admin volume set --state available {volume}");
        tenant.types(&line).await.good();
    }
    clean_up(&tenant, id_of(&failover)).await;
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_attachment_is_taken_away_without_anybodys_help() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0];
    house
        .a
        .cloud
        .break_it(spoil_deletion(&server.id, "stale_attachment"))
        .await;
    let failover = tenant.fail_over(&group).await;
    assert!(failed_steps(&failover).is_empty(), "{failover:#}");
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_not_in_completed_state_is_not_cleaned_up() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    house.b.cloud.hold("server_build").await;
    let operation = tenant.start_failover(&group).await;
    let line = format!("openstack dr operation cleanup {operation}");
    let refused = tenant.types(&line).await.refused();
    assert!(
        refused.contains(
            "Operation not in completed state: the operation must be completed or failed, it is "
        ),
        "{refused}"
    );
    let watch = format!("openstack dr operation show {operation}");
    assert!(refused.contains(&watch), "{refused}");

    house.b.cloud.let_go("server_build").await;
    tenant.ended(&operation).await;
    let shown = tenant
        .types(&format!("{watch} -f value -c status"))
        .await
        .good();
    assert_eq!(shown, "completed\n");
    let nothing = tenant.types(&line).await.good();
    assert!(nothing.starts_with("Nothing to clean up: "), "{nothing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_vms_that_are_still_visible_are_deleted_by_hand_and_the_rest_by_cleanup() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0].id;
    house.a.cloud.break_it(refuse_deletion(server, 503)).await;
    let failover = tenant.fail_over(&group).await;
    let error = error_of(&failover, server);
    assert!(error.contains("503"), "{error}");
    let list = "openstack --os-cloud site-a-admin server list --all-projects -f value -c Name";
    assert_eq!(tenant.types(list).await.good(), "web-server-1\n");

    house.a.cloud.mend().await;
    tenant
        .types(&format!("openstack server delete --wait {server}"))
        .await
        .good();
    let printed = clean_up(&tenant, id_of(&failover)).await;
    for volume in group.volumes() {
        assert!(
            printed.contains(&format!("Deleting volume {volume}... done\n")),
            "{printed}"
        );
    }
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_source_vm_is_kept_until_it_is_force_deleted() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let server = &group.servers[0].id;
    house.b.cloud.hold("server_build").await;
    let operation = tenant.start_failover(&group).await;
    until("the source VM to be stopped", PATIENCE, async || {
        (tenant.at_a.server_status(server).await == "SHUTOFF").then_some(())
    })
    .await;
    tenant
        .types(&format!("openstack server lock {server}"))
        .await
        .good();
    house.b.cloud.let_go("server_build").await;
    let failover = tenant.ended(&operation).await;
    assert_eq!(failover["status"], "completed", "{failover:#}");
    let error = error_of(&failover, server);
    assert!(error.starts_with("kept: "), "{error}");
    assert!(error.contains("locked"), "{error}");
    assert_eq!(tenant.at_a.server_status(server).await, "SHUTOFF");

    let line = format!("openstack --os-cloud site-a-admin server delete --force --wait {server}");
    tenant.types(&line).await.good();
    clean_up(&tenant, id_of(&failover)).await;
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_remote_site_blocks_a_cleanup_until_it_is_back_and_in_sync() {
    let mut house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_web_app(ONE_SERVER).await;
    let stuck = group.servers[0].volumes[1].clone();
    house.a.cloud.break_it(refuse_deletion(&stuck, 500)).await;
    let failover = tenant.fail_over(&group).await;
    house.a.cloud.mend().await;
    let Tenant { at_a, at_b, .. } = tenant;
    house.b.terminate_api().await;
    house.a.cloud.forget_calls().await;

    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let cleanup = format!("openstack dr operation cleanup {}", id_of(&failover));
    let refused = tenant.types(&cleanup).await.refused();
    for text in [
        "Remote site unreachable — metadata sync required",
        "openstack protector protection-group sync-status prod-web-app",
        "openstack protector protection-group sync-force prod-web-app",
        cleanup.as_str(),
    ] {
        assert!(refused.contains(text), "{refused}");
    }
    assert_eq!(tenant.deletions_of(&stuck).await, 0, "nothing is tried");
    let status = "openstack protector protection-group sync-status prod-web-app";
    let said = tenant.types(status).await.good();
    assert!(said.starts_with("Sync Status: UNREACHABLE\n"), "{said}");

    let Tenant { at_a, at_b, .. } = tenant;
    house.b.start_api();
    house.b.must_answer(&house.http).await;
    let tenant = Tenant {
        house: &house,
        at_a,
        at_b,
    };
    let force = "openstack protector protection-group sync-force prod-web-app";
    let said = tenant.types(force).await.good();
    assert!(said.starts_with("Sync Status: IN SYNC\n"), "{said}");
    let said = tenant.types(status).await.good();
    assert!(said.starts_with("Sync Status: IN SYNC\n"), "{said}");
    clean_up(&tenant, id_of(&failover)).await;
    tenant.must_have_moved(&group, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_of_several_cycles_are_found_and_removed_operation_by_operation() {
    let house = house_of_little_patience().await;
    let tenant = Tenant::of(&house).await;
    let mine = tenant.at_a.make_volume("not-of-any-group", false).await;
    let mut operations = Vec::new();
    for (cycle, group) in ["prod-web-app", "prod-web-db", "prod-batch"]
        .into_iter()
        .enumerate()
    {
        let group = tenant.protect_as(group, ONE_SERVER).await;
        let stuck = &group.servers[0].volumes[..=cycle.min(1)];
        for volume in stuck {
            house.a.cloud.break_it(refuse_deletion(volume, 500)).await;
        }
        let failover = tenant.fail_over(&group).await;
        assert_eq!(failed_steps(&failover).len(), stuck.len(), "{failover:#}");
        operations.push((group.name, id_of(&failover).to_owned(), stuck.len()));
    }
    house.a.cloud.mend().await;
    let orphans = "openstack dr orphan list -f json";
    let listed: Value = serde_json::from_str(&tenant.types(orphans).await.good()).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 1 + 2 + 2, "{listed:#?}");
    for orphan in listed {
        assert_eq!(orphan["Site"], "site-a", "{orphan:#}");
        assert_eq!(orphan["Deletable"], true, "{orphan:#}");
        assert_ne!(orphan["ID"], mine.as_str(), "never of protector's");
    }
    let first = &operations[0].1;
    let of_the_first = listed
        .iter()
        .find(|orphan| orphan["Operation"] == first.as_str())
        .unwrap();
    let line = format!(
        "openstack dr orphan delete {}",
        of_the_first["ID"].as_str().unwrap()
    );
    tenant.types(&line).await.good();
    operations.remove(0);
    let audit = "openstack volume list --status available -f value -c ID";
    assert_eq!(tenant.types(audit).await.good().lines().count(), 1 + 2 + 2);

    for (group, operation, left) in &operations {
        let list = format!("openstack dr operation list --protection-group {group} -f json");
        let listed: Value = serde_json::from_str(&tenant.types(&list).await.good()).unwrap();
        assert_eq!(listed[0]["ID"], operation.as_str(), "{listed:#}");
        assert_eq!(listed[0]["Status"], "completed", "{listed:#}");
        assert_eq!(listed[0]["Failed Steps"], *left, "{listed:#}");
        clean_up(&tenant, operation).await;
    }
    assert_eq!(tenant.types(audit).await.good(), format!("{mine}\n"));
    tenant
        .types(&format!("openstack volume delete {mine}"))
        .await
        .good();
}
