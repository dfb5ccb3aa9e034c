//! The readiness check before the clouds as they are, and what the services count of their work.

use std::fs;

use protector_core::clock::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    house::{House, operation_id},
    ports::free_port,
    tenant::{Group, Tenant},
    waiting::until,
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The group's check, as site-a's protector makes it.
async fn check(tenant: &Tenant<'_>, group: &Group) -> Value {
    let path = format!("/protection-groups/{}/check", group.name);
    tenant.on_a(Method::GET, &path, None).await.good()["check"].clone()
}

/// Of which members the check says that an address will not be kept: the two sites have other subnets.
fn with_new_addresses(check: &Value) -> Vec<String> {
    let findings = check["findings"].as_array().unwrap().iter();
    let told = findings.filter(|finding| is_about_an_address(finding));
    told.map(|finding| finding["subject"].as_str().unwrap().to_owned())
        .collect()
}

fn is_about_an_address(finding: &Value) -> bool {
    let text = finding["message"].as_str().unwrap();
    finding["status"] == "warning" && text.contains("cannot be kept on")
}

/// Every other finding that is not `ok`, as `word status subject`.
fn problems(check: &Value) -> Vec<String> {
    let findings = check["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["status"] != "ok" && !is_about_an_address(finding))
        .map(|finding| {
            assert!(finding["fix"].is_string(), "{finding}");
            let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("check"), text("status"), text("subject"))
        })
        .collect()
}

#[track_caller]
fn expect(check: &Value, expected: &[&str]) {
    assert_eq!(problems(check), expected, "{check:#}");
    let ready = !expected.iter().any(|problem| problem.contains(" error "));
    assert_eq!(check["ready"], ready, "{check:#}");
}

/// Replicates the group, and waits until the other protector has its newest metadata.
async fn replicate(tenant: &Tenant<'_>, group: &Group) {
    let path = format!("/protection-groups/{}/action", group.name);
    let started = tenant
        .on_a(Method::POST, &path, Some(json!({"sync": {}})))
        .await
        .good();
    let ended = tenant.ended(&operation_id(&started)).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    let path = format!("/protection-groups/{}/sync-status", group.name);
    until("the metadata to be in sync", PATIENCE, async || {
        let compared = tenant.on_a(Method::GET, &path, None).await.good();
        (compared["sync_status"]["status"] == "IN SYNC").then_some(())
    })
    .await;
}

/// Sets a quota of the tenant's project on site-b, as an administrator does.
async fn set_quota(house: &House, tenant: &Tenant<'_>, quota: Value) {
    let admin = house.b.cloud.log_in("admin", "admin", "admin").await;
    let path = format!("/os-quota-sets/{}", tenant.at_b.project_id);
    let body = json!({"quota_set": quota});
    let answer = admin.ask(Method::PUT, "compute", &path, Some(body)).await;
    answer.good();
}

/// The same for Neutron's ports.
async fn set_port_quota(house: &House, tenant: &Tenant<'_>, ports: i64) {
    let admin = house.b.cloud.log_in("admin", "admin", "admin").await;
    let path = format!("/v2.0/quotas/{}", tenant.at_b.project_id);
    let body = json!({"quota": {"port": ports}});
    let answer = admin.ask(Method::PUT, "network", &path, Some(body)).await;
    answer.good();
}

/// A mapped network may have thousands of ports.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_mapped_network_the_check_reads_the_ports_with_wanted_addresses_alone() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    house.b.cloud.forget_calls().await;
    check(&tenant, &group).await;
    let calls = house.b.cloud.calls().await.into_iter();
    let of_network = calls
        .map(|call| call.path)
        .filter(|path| path.contains("/v2.0/ports?") && path.contains("network_id="));
    let asked: Vec<String> = of_network.collect();
    assert!(!asked.is_empty());
    for path in asked {
        let addresses = path.matches("fixed_ips=ip_address").count();
        assert_eq!(addresses, 2, "one for each server: {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_make_a_failover_fail_is_found_before_and_gone_when_it_is_mended() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let unready = check(&tenant, &group).await;
    assert_eq!(unready["ready"], false, "never replicated: {unready:#}");
    replicate(&tenant, &group).await;
    let checked = check(&tenant, &group).await;
    expect(&checked, &[]);
    assert_eq!(with_new_addresses(&checked), ["web-1", "web-2"]);

    set_quota(&house, &tenant, json!({"cores": 1})).await;
    expect(&check(&tenant, &group).await, &["quota error cores"]);
    set_quota(&house, &tenant, json!({"cores": 20})).await;
    expect(&check(&tenant, &group).await, &[]);
    set_port_quota(&house, &tenant, 1).await;
    expect(&check(&tenant, &group).await, &["quota error port"]);
    set_port_quota(&house, &tenant, -1).await;
    expect(&check(&tenant, &group).await, &[]);

    let server = &group.servers[0].id;
    let extra = tenant.at_a.make_volume("extra", false).await;
    let path = format!("/servers/{server}/os-volume_attachments");
    let body = json!({"volumeAttachment": {"volumeId": extra}});
    let attached = tenant
        .at_a
        .ask(Method::POST, "compute", &path, Some(body))
        .await;
    attached.good();
    let found = until("the new volume to be found", PATIENCE, async || {
        let found = check(&tenant, &group).await;
        (found["ready"] == false).then_some(found)
    })
    .await;
    expect(&found, &["member error web-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_without_one_of_its_services_is_checked_as_far_as_it_goes() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    replicate(&tenant, &group).await;
    house.b.cloud.take_away("nova-api").await;
    expect(
        &check(&tenant, &group).await,
        &[
            "site_reachable error site-b",
            "quota warning site-b",
            "flavor warning site-b",
        ],
    );
    let health = house
        .ask(
            &house.a,
            Method::GET,
            "/v1/health",
            &tenant.at_a.token,
            None,
        )
        .await
        .good();
    let health = &health["health"];
    assert_eq!(health["status"], "degraded", "{health:#}");
    let services = &health["sites"][1]["services"];
    assert_eq!(services["compute"], "does not answer", "{health:#}");
    assert_eq!(services["identity"], "ok", "{health:#}");
    assert_eq!(services["protector"], "ok", "{health:#}");
    let group = &health["protection_groups"][0];
    assert_eq!(group["failover_ready"], false, "{health:#}");
}

/// The value of one line of an exposition.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|other| other.strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("no {line} in {text}"));
    found.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_count_their_work_and_name_nobody() {
    let mut house = House::new().await;
    let (port, api_port) = (free_port(), free_port());
    let mut configuration = fs::read_to_string(&house.a.configuration).unwrap();
    for (section, port) in [("[engine]\n", port), ("[api]\n", api_port)] {
        let listening = format!("{section}metrics_port = {port}\n");
        configuration = configuration.replace(section, &listening);
    }
    fs::write(&house.a.configuration, configuration).unwrap();
    house.restart_a().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let stuck = &group.servers[0].volumes[1];
    let fault = json!({"match": {"service": "volume", "method": "DELETE", "resource": stuck},
        "effect": {"call": {"kind": "status", "status": 500}}});
    house.a.cloud.break_it(fault).await;
    let operation = tenant.start_failover(&group).await;
    let ended = tenant.ended(&operation).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");

    let text = |url: String| async move { reqwest::get(url).await.unwrap().text().await.unwrap() };
    let base = format!("http://127.0.0.1:{port}");
    assert_eq!(
        text(format!("{base}/healthcheck")).await,
        "{\"status\":\"ok\"}"
    );
    let engine = text(format!("{base}/metrics")).await;
    let api = text(format!("http://127.0.0.1:{api_port}/metrics")).await;
    let public = house.http.try_get(&house.a.url("/metrics")).await;
    assert_eq!(public, Some(404), "not for whoever reaches the API");
    let route = "/v1/{project_id}/protection-groups/{group}/action";
    let line =
        format!("protector_api_requests_total{{route=\"{route}\",method=\"POST\",status=\"202\"}}");
    assert!((value(&api, &line) - 1.0).abs() < f64::EPSILON, "{api}");
    for (line, count) in [
        (
            "protector_operations_total{kind=\"failover\",outcome=\"completed\"}",
            1.0,
        ),
        (
            "protector_steps_total{action=\"delete_source_vm\",outcome=\"done\"}",
            2.0,
        ),
        (
            "protector_step_duration_seconds_count{action=\"delete_source_vm\"}",
            2.0,
        ),
        ("protector_leases_lost_total", 0.0),
        ("protector_operations_claimed_total", 1.0),
        ("protector_operations_claimable", 0.0),
        ("protector_leftovers", 1.0),
    ] {
        let counted = value(&engine, line);
        assert!((counted - count).abs() < f64::EPSILON, "{line}: {engine}");
    }
    let of_cinder = "{site=\"site-a\",service=\"Cinder\",method=\"DELETE\"";
    let refused = format!("protector_cloud_requests_total{of_cinder},outcome=\"500\"}}");
    let timed = format!("protector_cloud_request_duration_seconds_count{of_cinder}}}");
    let refused = value(&engine, &refused);
    assert!(refused >= 1.0, "{engine}");
    assert!(value(&engine, &timed) > refused, "{engine}");
    let of_keystone = "{site=\"site-a\",service=\"Keystone\",method=\"GET\",outcome=\"200\"}";
    let validated = format!("protector_cloud_requests_total{of_keystone}");
    assert!(value(&api, &validated) >= 1.0, "{api}");
    let looked = value(&engine, "protector_poll_last_success_timestamp_seconds");
    let now = SystemClock.now().timestamp() as f64;
    assert!((now - looked).abs() < 60.0, "{engine}");
    assert!(
        value(&engine, "protector_metadata_unpushed_seconds") < 60.0,
        "{engine}"
    );
    for exposition in [&engine, &api] {
        assert!(exposition.ends_with("# EOF\n"), "{exposition}");
        for told in [&tenant.at_a.project_id, &operation, &group.servers[0].id] {
            assert!(
                !exposition.contains(told.as_str()),
                "{told} in {exposition}"
            );
        }
    }

    house.a.cloud.mend().await;
    let cleanup = operation_id(&tenant.ask_for_cleanup(&operation).await.good());
    tenant.ended(&cleanup).await;
    let engine = text(format!("{base}/metrics")).await;
    assert!(
        value(&engine, "protector_leftovers").abs() < f64::EPSILON,
        "{engine}"
    );
}
