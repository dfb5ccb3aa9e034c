//! A site is lost, the group is brought up on the other one, and the lost site comes back.

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    house::{House, Wishes, operation_id},
    http::Answer,
    site_records::let_reservation_pass,
    tenant::{Group, Tenant, failed_steps, find, has_ended, planned},
    volume_file::{digest, scribble},
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Looks for a split brain every second.
const WATCHFUL: Wishes = Wishes {
    debug: false,
    engine: "split_brain_check_seconds = 1\nlost_source_seconds = 2",
};

async fn act(tenant: &Tenant<'_>, group: &str, action: Value) -> Answer {
    let path = format!("/protection-groups/{group}/action");
    tenant.on_b(Method::POST, &path, Some(action)).await
}

async fn ended(tenant: &Tenant<'_>, id: &str) -> Value {
    until(&format!("{id} to end"), PATIENCE, async || {
        let path = format!("/operations/{id}?detail=true");
        let answer = tenant.on_b(Method::GET, &path, None).await.good();
        Some(answer["operation"].clone()).filter(has_ended)
    })
    .await
}

async fn done(tenant: &Tenant<'_>, group: &str, action: Value) -> Value {
    let id = operation_id(&act(tenant, group, action).await.good());
    let operation = ended(tenant, &id).await;
    assert_eq!(operation["status"], "completed", "{operation:#}");
    operation
}

async fn shown(tenant: &Tenant<'_>, group: &str) -> Value {
    let path = format!("/protection-groups/{group}");
    tenant.on_b(Method::GET, &path, None).await.good()["protection_group"].clone()
}

async fn status(tenant: &Tenant<'_>, group: &str, wanted: &str) {
    until(&format!("{group} to be {wanted}"), PATIENCE, async || {
        Some(shown(tenant, group).await).filter(|group| group["status"] == wanted)
    })
    .await;
}

/// A protected group with a recovery point on site-b, which knows all of it; then somebody writes to its first volume.
async fn protected_with_a_recovery_point(house: &House) -> Group {
    let tenant = Tenant::of(house).await;
    let group = tenant.protect_two_servers("web").await;
    take_recovery_point(&tenant, &group).await;
    let first = house.a.cloud.file_of(group.volumes()[0]);
    scribble(&first, &mut StdRng::from_os_rng());
    let kept = &group.bytes[group.volumes()[0]];
    assert_ne!(&digest(&first), kept, "written after the recovery point");
    group
}

/// Replicates the group, and waits until site-b knows all of it.
async fn take_recovery_point(tenant: &Tenant<'_>, group: &Group) {
    let path = format!("/protection-groups/{}/action", group.name);
    let sync = json!({"sync": null});
    let sync = tenant.on_a(Method::POST, &path, Some(sync)).await.good();
    let synced = tenant.ended(&operation_id(&sync)).await;
    assert_eq!(synced["status"], "completed", "{synced:#}");
    let here = tenant.group(group).await;
    until("site-b to know the group", PATIENCE, async || {
        let path = format!("/protection-groups/{}", group.name);
        let there = tenant.on_b(Method::GET, &path, None).await;
        let known = (there.status == 200).then(|| there.good()["protection_group"].clone())?;
        Some(known).filter(|known| known["version"] == here["version"])
    })
    .await;
}

async fn lose_site_a(house: &mut House) {
    assert!(house.a.terminate_api().await.success());
    house.a.kill_engine();
}

async fn cut_off(house: &House) {
    let everything = json!({"match": {}, "effect": {"call": {"kind": "hang"}}});
    house.a.cloud.break_it(everything).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_site_is_left_alone_fenced_when_it_returns_cleaned_up_and_returned_to() {
    let mut house = House::with(WATCHFUL).await;
    let group = protected_with_a_recovery_point(&house).await;
    lose_site_a(&mut house).await;
    let failover = bring_up_on_b(&house, &group).await;
    house.a.cloud.mend().await;
    house.a.start_api();
    house.a.start_engine();
    house.a.must_answer(&house.http).await;
    let tenant = Tenant::of(&house).await;
    fence(&tenant, &group, &failover).await;
    clean_up(&tenant, &group, &failover).await;
    done(&tenant, &group.name, json!({"failback": {}})).await;
    let home = shown(&tenant, &group.name).await;
    assert_eq!(home["status"], "active", "{home}");
    assert_eq!(home["current_primary_site"], "site-a", "{home}");
}

/// Fails over while site-a hangs; the operation.
async fn bring_up_on_b(house: &House, group: &Group) -> String {
    let tenant = Tenant::of(house).await;
    cut_off(house).await;
    let unplanned = json!({"failover": {"type": "unplanned"}});
    let failover = done(&tenant, &group.name, unplanned).await;
    let point = &failover["recovery_point"];
    assert!(point["taken_at"].is_string(), "{failover:#}");
    let lost = failover["data_loss_seconds"].as_i64();
    assert!(lost.is_some_and(|seconds| seconds >= 0), "{failover:#}");
    let failed = failed_steps(&failover);
    assert_eq!(failed.len(), 6, "2 VMs, 4 volumes are left: {failover:#}");
    let completed = json!(["promote_volumes", "manage_volumes", "recreate_vms"]);
    assert_eq!(failover["steps_completed"], completed);
    let there = shown(&tenant, &group.name).await;
    assert_eq!(there["status"], "failed_over", "{there}");
    assert_eq!(there["current_primary_site"], "site-b", "{there}");
    must_be_as_at_the_recovery_point(house, group).await;
    failover["id"].as_str().unwrap().to_owned()
}

async fn must_be_as_at_the_recovery_point(house: &House, group: &Group) {
    let b = house.b.cloud.state().await;
    for volume in group.volumes() {
        let copy = copy_of(&b["volumes"], volume);
        assert_eq!(copy["status"], "in-use", "{copy}");
        let bytes = digest(&house.b.cloud.file_of(copy["id"].as_str().unwrap()));
        assert_eq!(bytes, group.bytes[volume], "the bytes of {volume}");
    }
    for server in &group.servers {
        assert_eq!(copy_of(&b["servers"], &server.id)["status"], "ACTIVE");
    }
}

/// All places for planned operations are taken, by one that a dead site holds up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_that_waits_for_the_lost_site_is_in_nobodys_way() {
    let house = House::with(Wishes {
        engine: "max_concurrent_operations = 1",
        ..WATCHFUL
    })
    .await;
    protected_with_a_recovery_point(&house).await;
    let tenant = Tenant::of(&house).await;
    let server = tenant.make_server("db-1").await;
    let db = tenant.protect("db", vec![server]).await;
    take_recovery_point(&tenant, &db).await;
    let waits = operation_id(&act(&tenant, "web", planned()).await.good());
    cut_off(&house).await;
    let brought_up = done(&tenant, "db", json!({"failover": {"type": "unplanned"}})).await;
    assert_eq!(brought_up["target_site"], "site-b", "{brought_up:#}");
    let path = format!("/operations/{waits}");
    let waiting = tenant.on_b(Method::GET, &path, None).await.good();
    assert_eq!(waiting["operation"]["status"], "running", "{waiting:#}");
}

/// Until it is fenced, the group says that it runs twice, and nothing else is possible.
async fn fence(tenant: &Tenant<'_>, group: &Group, failover: &str) {
    let name = group.name.as_str();
    status(tenant, name, "split_brain").await;
    let refused = ask_for_cleanup(tenant, failover).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let command = "openstack dr fence web";
    assert!(refused.text().contains(command), "{refused:?}");
    let refused = act(tenant, name, json!({"failback": {}})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let fenced = done(tenant, name, json!({"fence": null})).await;
    assert_eq!(
        fenced["steps_completed"],
        json!(["fence_source_vm:web-1", "fence_source_vm:web-2"])
    );
    assert_eq!(shown(tenant, name).await["status"], "failed_over");
    for server in &group.servers {
        assert_eq!(tenant.at_a.server_status(&server.id).await, "SHUTOFF");
    }
}

async fn clean_up(tenant: &Tenant<'_>, group: &Group, failover: &str) {
    must_be_refused_on_a_too(tenant, group, failover).await;
    let refused = act(tenant, &group.name, json!({"failback": {}})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let command = format!("openstack dr operation cleanup {failover}");
    assert!(refused.text().contains(&command), "{refused:?}");
    let cleanup = ask_for_cleanup(tenant, failover).await.good();
    let cleaned = ended(tenant, &operation_id(&cleanup)).await;
    assert!(failed_steps(&cleaned).is_empty(), "{cleaned:#}");
    let a = tenant.house.a.cloud.state().await;
    for volume in group.volumes() {
        assert!(find(&a["volumes"], volume).is_none(), "{volume} is left");
    }
}

/// The site that was lost knows of the failover what the other one tells it, and refuses what that one does.
async fn must_be_refused_on_a_too(tenant: &Tenant<'_>, group: &Group, failover: &str) {
    let path = format!("/protection-groups/{}/action", group.name);
    let preview = json!({"failback": {"dry_run": true}});
    let command = format!("openstack --os-cloud site-b dr operation cleanup {failover}");
    until("site-a to know of the failover", PATIENCE, async || {
        let asked = tenant
            .on_a(Method::POST, &path, Some(preview.clone()))
            .await;
        assert_eq!(asked.status, 409, "{asked:?}");
        asked.text().contains(&command).then_some(())
    })
    .await;
    let check = format!("/protection-groups/{}/check", group.name);
    for checked in [
        tenant.on_a(Method::GET, &check, None).await.good(),
        tenant.on_b(Method::GET, &check, None).await.good(),
    ] {
        assert_eq!(checked["check"]["ready"], false, "{checked:#}");
        let findings = checked["check"]["findings"].as_array().unwrap();
        let named = findings.iter().any(|finding| {
            finding["check"] == "leftovers"
                && finding["status"] == "error"
                && finding["message"].as_str().unwrap().contains(failover)
        });
        assert!(named, "{checked:#}");
    }
    let fence = json!({"fence": null});
    let refused = tenant.on_a(Method::POST, &path, Some(fence)).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let command = format!("openstack --os-cloud site-b dr fence {}", group.name);
    assert!(refused.text().contains(&command), "{refused:?}");
}

async fn ask_for_cleanup(tenant: &Tenant<'_>, failover: &str) -> Answer {
    let path = format!("/operations/{failover}/cleanup");
    let all = json!({"cleanup": {}});
    tenant.on_b(Method::POST, &path, Some(all)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_could_not_be_recovered_is_recovered_by_a_retry() {
    let mut house = House::with(WATCHFUL).await;
    let group = protected_with_a_recovery_point(&house).await;
    let name = group.name.as_str();
    lose_site_a(&mut house).await;
    let tenant = Tenant::of(&house).await;
    cut_off(&house).await;
    let fault = json!({"match": {"resource": "web-2"},
        "effect": {"job": {"kind": "server_build_error", "message": "No valid host was found."}}});
    house.b.cloud.break_it(fault).await;
    let unplanned = json!({"failover": {"type": "unplanned"}});
    let failover = done(&tenant, name, unplanned).await;
    assert_eq!(shown(&tenant, name).await["status"], "failed_over_partial");
    let why = |step: &str| {
        let failed = failed_steps(&failover);
        let entry = failed.iter().find(|entry| entry["step"] == step).cloned();
        entry.unwrap()["error"].as_str().unwrap().to_owned()
    };
    let build = why("recreate_vms:web-2");
    assert!(build.contains("No valid host was found."), "{build}");
    let kept = why("delete_source_vm:web-2");
    assert!(kept.contains("this may be the only copy"), "{kept}");
    assert_eq!(member_status(&tenant, name, "web-1").await, "protected");
    assert_eq!(member_status(&tenant, name, "web-2").await, "error");

    let again = act(&tenant, name, json!({"retry": {}})).await.good();
    let again = ended(&tenant, &operation_id(&again)).await;
    assert_eq!(again["status"], "failed", "the cause is there: {again:#}");
    assert_eq!(shown(&tenant, name).await["status"], "failed_over_partial");
    house.b.cloud.mend().await;
    let retry = json!({"retry": {"operation_id": failover["id"]}});
    let retry = done(&tenant, name, retry).await;
    assert_eq!(retry["parent_operation_id"], failover["id"]);
    assert!(failed_steps(&retry).is_empty(), "{retry:#}");
    assert_eq!(shown(&tenant, name).await["status"], "failed_over");
    assert_eq!(member_status(&tenant, name, "web-2").await, "protected");
    must_be_as_at_the_recovery_point(&house, &group).await;
    let refused = act(&tenant, name, json!({"retry": {}})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
}

/// A group of which site-b lacks what its second VM needs.
async fn with_a_security_group_of_its_own(house: &House) -> Group {
    let tenant = Tenant::of(house).await;
    let (one, other) = (
        tenant.make_server("web-1").await,
        tenant.make_server("web-2").await,
    );
    tenant.at_a.make_security_group("closed").await;
    tenant.at_a.add_security_group(&other.id, "closed").await;
    let group = tenant.protect("web", vec![one, other]).await;
    take_recovery_point(&tenant, &group).await;
    group
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_lacks_something_on_the_target_holds_no_other_up() {
    let mut house = House::with(WATCHFUL).await;
    let group = with_a_security_group_of_its_own(&house).await;
    let name = group.name.as_str();
    lose_site_a(&mut house).await;
    let tenant = Tenant::of(&house).await;
    cut_off(&house).await;
    let unplanned = json!({"failover": {"type": "unplanned"}});
    let failover = done(&tenant, name, unplanned).await;
    assert_eq!(shown(&tenant, name).await["status"], "failed_over_partial");
    let failed = failed_steps(&failover);
    let build = failed
        .iter()
        .find(|entry| entry["step"] == "complete_ports:web-2")
        .unwrap();
    let why = build["error"].as_str().unwrap();
    assert!(why.contains("closed"), "{why}");
    let checked = &failover["steps"][0];
    let lack = "web-2 cannot be recovered: security group closed does not exist on site-b";
    assert_eq!(checked["facts"][0], lack, "{checked:#}");
    assert_eq!(member_status(&tenant, name, "web-1").await, "protected");

    tenant.at_b.make_security_group("closed").await;
    let retry = done(&tenant, name, json!({"retry": {}})).await;
    assert!(failed_steps(&retry).is_empty(), "{retry:#}");
    assert_eq!(shown(&tenant, name).await["status"], "failed_over");
    must_be_as_at_the_recovery_point(&house, &group).await;
}

async fn member_status(tenant: &Tenant<'_>, group: &str, server: &str) -> String {
    let path = format!("/protection-groups/{group}/members");
    let listed = tenant.on_b(Method::GET, &path, None).await.good();
    let members = listed["members"].as_array().unwrap();
    let member = members.iter().find(|member| member["name"] == server);
    member.unwrap()["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unplanned_failover_is_started_where_it_goes() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let path = format!("/protection-groups/{}/action", group.name);
    let wanted = json!({"failover": {"type": "unplanned"}});
    let refused = tenant.on_a(Method::POST, &path, Some(wanted)).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let text = refused.text();
    assert!(
        text.contains("is started on site-b, where it goes"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_whose_source_is_lost_while_vms_are_built_is_finished_on_the_target() {
    let (mut house, group) = on_the_way("server_build").await;
    let interrupted = begin_and_lose_site_a(&mut house, &group, "servers", 2).await;
    let before = house.b.cloud.state().await;
    let failover = take_over(&house, &group).await;
    let after = house.b.cloud.state().await;
    for server in &group.servers {
        let (before, after) = (&before["servers"], &after["servers"]);
        let same = copy_of(before, &server.id)["id"] == copy_of(after, &server.id)["id"];
        assert!(same, "what was built is used: {after}");
    }
    // The final replication came before the loss: nothing is missing.
    must_be_as_at_the_recovery_point(&house, &group).await;
    return_to_site_a(&mut house, &group, &interrupted, &failover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_whose_source_is_lost_during_the_imports_is_finished_on_the_target() {
    let (mut house, group) = on_the_way("manage").await;
    let interrupted = begin_and_lose_site_a(&mut house, &group, "volumes", 1).await;
    let failover = take_over(&house, &group).await;
    // The final replication came before the loss: nothing is missing.
    must_be_as_at_the_recovery_point(&house, &group).await;
    return_to_site_a(&mut house, &group, &interrupted, &failover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unplanned_failover_in_place_of_a_planned_one_may_fail_and_be_tried_again() {
    let (mut house, group) = on_the_way("manage").await;
    let interrupted = begin_and_lose_site_a(&mut house, &group, "volumes", 1).await;
    let fault = json!({"match": {}, "effect": {"job": {"kind": "server_build_error", "message": "No valid host was found."}}});
    house.b.cloud.break_it(fault).await;
    let tenant = Tenant::of(&house).await;
    cut_off(&house).await;
    let (first, _) = unplanned_once_free(&tenant, &group).await;
    assert_eq!(first["status"], "failed", "{first:#}");
    house.b.cloud.mend().await;
    let (second, _) = unplanned_once_free(&tenant, &group).await;
    assert_eq!(second["status"], "completed", "{second:#}");
    must_be_as_at_the_recovery_point(&house, &group).await;
    let failover = second["id"].as_str().unwrap();
    return_to_site_a(&mut house, &group, &interrupted, failover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_failover_that_waits_for_its_lost_source_makes_way() {
    let mut house = House::with(WATCHFUL).await;
    let group = protected_with_a_recovery_point(&house).await;
    let name = group.name.as_str();
    house.a.cloud.hold("server_stop").await;
    let tenant = Tenant::of(&house).await;
    let planned = act(&tenant, name, json!({"failover": {"type": "planned"}})).await;
    let planned = operation_id(&planned.good());
    let path = format!("/operations/{planned}");
    until("the VMs to be asked to stop", PATIENCE, async || {
        let shown = tenant.on_b(Method::GET, &path, None).await.good();
        (shown["operation"]["phase"] == "stop_source_vms").then_some(())
    })
    .await;
    drop(tenant);
    lose_site_a(&mut house).await;
    let tenant = Tenant::of(&house).await;
    cut_off(&house).await;
    let preview = json!({"failover": {"type": "unplanned", "dry_run": true}});
    let preview = act(&tenant, name, preview).await.good()["preview"].clone();
    let warned = preview["warnings"].to_string();
    assert!(warned.contains(&planned), "{preview:#}");
    let failover = done(&tenant, name, json!({"failover": {"type": "unplanned"}})).await;
    assert_eq!(shown(&tenant, name).await["status"], "failed_over");
    let over = tenant.on_b(Method::GET, &path, None).await.good()["operation"].clone();
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(over["error_code"], "PRT-SUPERSEDED", "{over:#}");
    let why = over["error"].as_str().unwrap();
    assert!(why.contains(failover["id"].as_str().unwrap()), "{why}");
    must_be_as_at_the_recovery_point(&house, &group).await;
}

/// A protected group of which site-b has no recovery point but the one of the failover itself, and a site-b that ends no
/// work of this kind.
async fn on_the_way(work: &str) -> (House, Group) {
    let house = House::with(WATCHFUL).await;
    let tenant = Tenant::of(&house).await;
    let mut group = tenant.protect_two_servers("web").await;
    let first = group.volumes()[0].to_owned();
    let file = house.a.cloud.file_of(&first);
    scribble(&file, &mut StdRng::from_os_rng());
    group.bytes.insert(first, digest(&file));
    house.b.cloud.hold(work).await;
    (house, group)
}

/// Starts a planned failover on site-a, which is lost when `made` copies of `what` have been asked for; the work on them
/// ends after that.
async fn begin_and_lose_site_a(
    house: &mut House,
    group: &Group,
    what: &str,
    made: usize,
) -> String {
    let tenant = Tenant::of(house).await;
    let failover = tenant.start_failover(group).await;
    until(&format!("{made} {what} on site-b"), PATIENCE, async || {
        let b = house.b.cloud.state().await;
        let copies = b[what].as_array().unwrap().iter();
        let of_the_group = |item: &&Value| item["metadata"]["protector:operation"] == *failover;
        let path = format!("/operations/{failover}");
        let is_known = tenant.on_b(Method::GET, &path, None).await.status == 200;
        (is_known && copies.filter(of_the_group).count() >= made).then_some(())
    })
    .await;
    house.a.kill_engine();
    assert!(house.a.terminate_api().await.success());
    house.b.cloud.mend().await;
    failover
}

/// Brings the group up on site-b, while site-a hangs, once its reservation has ended; the operation.
async fn take_over(house: &House, group: &Group) -> String {
    let tenant = Tenant::of(house).await;
    assert_eq!(shown(&tenant, &group.name).await["status"], "failing_over");
    cut_off(house).await;
    let (failover, was_held) = unplanned_once_free(&tenant, group).await;
    assert!(was_held, "site-a may go on, for all that site-b knows");
    assert_eq!(failover["status"], "completed", "{failover:#}");
    let there = shown(&tenant, &group.name).await;
    assert_eq!(there["status"], "failed_over", "{there}");
    failover["id"].as_str().unwrap().to_owned()
}

/// An unplanned failover, with site-a hanging, that has ended. Where site-a's reservation is in its way, the time until it
/// ends is let pass; whether it was.
async fn unplanned_once_free(tenant: &Tenant<'_>, group: &Group) -> (Value, bool) {
    let unplanned = json!({"failover": {"type": "unplanned"}});
    let mut answer = act(tenant, &group.name, unplanned.clone()).await;
    let was_held = answer.status == 409;
    if was_held {
        let text = answer.text();
        assert!(
            text.contains("is being moved from site-a at this moment"),
            "{text}"
        );
        let_reservation_pass(tenant.house, group).await;
        answer = act(tenant, &group.name, unplanned).await;
    }
    let failover = ended(tenant, &operation_id(&answer.good())).await;
    (failover, was_held)
}

/// The lost site comes back: its failover ends without touching anything, and the group goes home.
async fn return_to_site_a(house: &mut House, group: &Group, interrupted: &str, failover: &str) {
    house.a.cloud.mend().await;
    house.a.start_api();
    house.a.start_engine();
    house.a.must_answer(&house.http).await;
    let before = house.b.cloud.state().await;
    let tenant = Tenant::of(house).await;
    let over = tenant.ended(interrupted).await;
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(over["error_code"], "PRT-SUPERSEDED", "{over:#}");
    let why = over["error"].as_str().unwrap();
    assert!(
        why.contains("site-b has moved or changed protection group web"),
        "{why}"
    );
    until("site-a to know where the group is", PATIENCE, async || {
        let here = tenant.group(group).await;
        (here["status"] == "failed_over" && here["current_primary_site"] == "site-b").then_some(())
    })
    .await;
    for server in &group.servers {
        assert_eq!(tenant.at_a.server_status(&server.id).await, "SHUTOFF");
    }
    let after = house.b.cloud.state().await;
    for list in ["servers", "volumes"] {
        assert_eq!(before[list], after[list], "nothing on site-b was touched");
    }
    clean_up(&tenant, group, failover).await;
    done(&tenant, &group.name, json!({"failback": {}})).await;
    assert_eq!(shown(&tenant, &group.name).await["status"], "active");
}

/// The one resource that was made from `source`.
fn copy_of<'v>(list: &'v Value, source: &str) -> &'v Value {
    let copies: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["metadata"]["protector:source"] == source)
        .collect();
    assert_eq!(copies.len(), 1, "copies of {source}: {copies:?}");
    copies[0]
}
