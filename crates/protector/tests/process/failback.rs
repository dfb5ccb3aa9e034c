//! The way back, and leftovers of a move after the group has moved again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cloud::{Session, word},
    house::{House, Site, operation_id},
    tenant::{Group, Server, Tenant, failed_steps, find},
    volume_file::digest,
    waiting::until,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The group's current members, each with its server and volumes, as site-a's protector tells.
async fn members(tenant: &Tenant<'_>, group: &Group) -> Vec<Value> {
    let path = format!("/protection-groups/{}/members", group.name);
    let listed = tenant.on_a(Method::GET, &path, None).await.good();
    listed["members"].as_array().unwrap().clone()
}

async fn move_it(tenant: &Tenant<'_>, group: &Group, action: Value) -> Value {
    let path = format!("/protection-groups/{}/action", group.name);
    let started = tenant.on_a(Method::POST, &path, Some(action)).await.good();
    let ended = tenant.ended(&operation_id(&started)).await;
    assert_eq!(ended["status"], "completed", "{ended:#}");
    ended
}

/// Every server and volume of a cloud, with the digest of each volume's bytes.
async fn everything_on(site: &Site) -> (BTreeSet<String>, BTreeSet<String>) {
    let state = site.cloud.state().await;
    let ids = |kind: &str| -> BTreeSet<String> {
        let listed = state[kind].as_array().unwrap().iter();
        listed
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let digests = ids("volumes")
        .iter()
        .map(|id| digest(&site.cloud.file_of(id)))
        .collect();
    (ids("servers"), digests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_there_and_back_and_leaves_nothing_on_either_side() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let elsewhere = everything_on(&house.b).await;
    let group = tenant.protect_two_servers("web").await;
    let (servers, bytes) = everything_on(&house.a).await;

    for cycle in 0..2 {
        let there = move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
        assert!(failed_steps(&there).is_empty(), "cycle {cycle}: {there:#}");
        let back = move_it(&tenant, &group, json!({"failback": {}})).await;
        assert!(failed_steps(&back).is_empty(), "cycle {cycle}: {back:#}");
        assert_eq!(back["operation_type"], "failback");
        assert_eq!(
            (&back["source_site"], &back["target_site"]),
            (&json!("site-b"), &json!("site-a"))
        );
        let shown = tenant.group(&group).await;
        assert_eq!(shown["status"], "active", "{shown}");
        assert_eq!(shown["current_primary_site"], "site-a", "{shown}");
        assert_eq!(
            everything_on(&house.b).await,
            elsewhere,
            "cycle {cycle}: nothing is left on site-b"
        );
        let (servers_now, bytes_now) = everything_on(&house.a).await;
        assert_eq!(servers_now.len(), servers.len(), "cycle {cycle}");
        assert_eq!(bytes_now, bytes, "cycle {cycle}: the bytes of all volumes");
    }

    let state = house.a.cloud.state().await;
    for member in members(&tenant, &group).await {
        let server = find(&state["servers"], member["server_id"].as_str().unwrap()).unwrap();
        assert_eq!(server["status"], "ACTIVE", "{server}");
    }
}

/// What Nova reads off the volumes of these servers' copies to build their machines.
async fn image_properties(there: &Session, members: &[Value]) -> Vec<Value> {
    let mut found = Vec::new();
    for member in members {
        let boot = word(&member["volumes"][0]["id"]);
        let answer = there
            .ask(Method::GET, "volumev3", &format!("/volumes/{boot}"), None)
            .await;
        found.push(answer.good()["volume"]["volume_image_metadata"]["hw_firmware_type"].clone());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_needs_uefi_gets_it_on_the_other_site_and_back() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let server = tenant.make_server("web").await;
    let body = json!({"os-set_image_metadata": {"metadata": {"hw_firmware_type": "uefi"}}});
    let path = format!("/volumes/{}/action", server.volumes[0]);
    let set = tenant
        .at_a
        .ask(Method::POST, "volumev3", &path, Some(body))
        .await;
    assert_eq!(set.status, 200, "{set:?}");
    let group = tenant.protect("web", vec![server]).await;

    move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    let there = members(&tenant, &group).await;
    assert_eq!(image_properties(&tenant.at_b, &there).await, ["uefi"]);
    move_it(&tenant, &group, json!({"failback": {}})).await;
    let back = members(&tenant, &group).await;
    assert_eq!(image_properties(&tenant.at_a, &back).await, ["uefi"]);
}

/// What Nova says of the security groups of the members, by the members' names.
async fn security_groups(there: &Session, members: &[Value]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for member in members {
        let path = format!("/servers/{}", word(&member["server_id"]));
        let shown = there.ask(Method::GET, "compute", &path, None).await.good();
        let groups = shown["server"]["security_groups"].clone();
        found.insert(word(&member["name"]), groups);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_group_that_is_mapped_by_its_id_is_found_on_the_way_there_and_back() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let here = tenant.at_a.make_security_group("web").await;
    let there = tenant.at_b.make_security_group("web-b").await;
    let mut servers = Vec::new();
    for name in ["by-id-there", "by-id-here"] {
        let server = tenant.make_server(name).await;
        tenant.at_a.add_security_group(&server.id, "web").await;
        let path = format!("/servers/{}/action", server.id);
        let leave = json!({"removeSecurityGroup": {"name": "default"}});
        let left = tenant
            .at_a
            .ask(Method::POST, "compute", &path, Some(leave))
            .await;
        assert_eq!(left.status, 202, "{left:?}");
        servers.push(server);
    }
    let group = tenant.protect("web", servers).await;
    let mut recovery = json!({});
    for member in members(&tenant, &group).await {
        let mapping = match word(&member["name"]).as_str() {
            "by-id-there" => json!({"web": there}),
            _ => json!({here.as_str(): "web-b"}),
        };
        recovery[word(&member["id"])] = json!({"security_groups": mapping});
    }
    let plan = json!({"recovery_plan": {"members": recovery}});
    let path = "/protection-groups/web/recovery-plan";
    tenant.on_a(Method::PUT, path, Some(plan)).await.good();

    move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    let copies = members(&tenant, &group).await;
    let found = security_groups(&tenant.at_b, &copies).await;
    let of_both = |name: &str| {
        let both = ["by-id-here", "by-id-there"].into_iter();
        let groups = both.map(|member| (member.to_owned(), json!([{"name": name}])));
        groups.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(found, of_both("web-b"));
    move_it(&tenant, &group, json!({"failback": {}})).await;
    let back = members(&tenant, &group).await;
    let found = security_groups(&tenant.at_a, &back).await;
    assert_eq!(found, of_both("web"));
}

/// The ports of that address: each with the server that has it, empty if none has.
async fn ports_of(there: &Session, address: &str) -> Vec<(String, String)> {
    let path = format!("/v2.0/ports?fixed_ips=ip_address%3D{address}");
    let listed = there.ask(Method::GET, "network", &path, None).await.good();
    let ports = listed["ports"].as_array().unwrap().iter();
    ports
        .map(|port| (word(&port["id"]), word(&port["device_id"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_the_tenant_made_stays_and_gets_its_server_back() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let boot = tenant.at_a.make_volume("web-boot", true).await;
    let (port, address) = tenant.at_a.make_port().await;
    let volumes = vec![boot];
    let id = tenant
        .at_a
        .make_server_at("web", &volumes, json!({"port": port}))
        .await;
    let group = tenant.protect("web", vec![Server { id, volumes }]).await;

    move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    let unused = (port.clone(), String::new());
    assert_eq!(ports_of(&tenant.at_a, &address).await, [unused]);
    move_it(&tenant, &group, json!({"failback": {}})).await;
    let back = members(&tenant, &group).await;
    let used = (port, word(&back[0]["server_id"]));
    assert_eq!(ports_of(&tenant.at_a, &address).await, [used]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failback_starts_only_where_the_group_has_failed_over() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let path = format!("/protection-groups/{}/action", group.name);
    let refused = tenant
        .on_a(Method::POST, &path, Some(json!({"failback": {}})))
        .await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(
        refused.text().contains("failback starts from failed_over"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_given_for_a_failback_is_read_from_the_primary_to_the_secondary_site() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    let other = tenant.at_a.make_network("other-net", "10.10.9.0/24").await;
    let there = tenant.at_b.network().await;
    let mapping = json!({other.as_str(): there.as_str()});
    move_it(
        &tenant,
        &group,
        json!({"failback": {"network_mapping": mapping}}),
    )
    .await;
    let path = format!("/v2.0/ports?network_id={other}");
    let listed = tenant.at_a.ask(Method::GET, "network", &path, None).await;
    let listed = listed.good();
    let on_it: BTreeSet<&str> = listed["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["device_id"].as_str().unwrap())
        .collect();
    let members = members(&tenant, &group).await;
    let servers: BTreeSet<&str> = members
        .iter()
        .map(|member| member["server_id"].as_str().unwrap())
        .collect();
    assert_eq!(on_it, servers);
    let path = format!("/protection-groups/{}/action", group.name);
    let here = tenant.at_a.network().await;
    move_it(&tenant, &group, json!({"failover": {"type": "planned", "network_mapping": {other.as_str(): there.as_str()}}})).await;
    let twice = json!({"failback": {"network_mapping": {here: there, other: there}}});
    let refused = tenant.on_a(Method::POST, &path, Some(twice)).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.text().contains("failback.network_mapping"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copies_of_a_test_failover_are_known_on_both_sites() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    move_it(&tenant, &group, json!({"sync": {}})).await;
    let path = format!("/protection-groups/{}/action", group.name);
    let test = json!({"test_failover": {}});
    let started = tenant.on_a(Method::POST, &path, Some(test.clone())).await;
    let id = operation_id(&started.good());
    let command = format!(
        "openstack --os-cloud site-a dr protection-group action web --action test-cleanup --test-operation-id {id}"
    );
    until(
        "site-b to know that the copies are up",
        PATIENCE,
        async || {
            let second = tenant.on_b(Method::POST, &path, Some(test.clone())).await;
            assert_eq!(second.status, 409, "{second:?}");
            second.text().contains(&command).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_left_is_cleaned_up_after_the_group_has_come_back() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let stuck = group.servers[0].volumes[1].clone();
    let fault = json!({"match": {"service": "volume", "method": "DELETE", "resource": stuck},
        "effect": {"call": {"kind": "status", "status": 500}}});
    house.a.cloud.break_it(fault).await;
    let failover = move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    assert_eq!(failed_steps(&failover).len(), 1, "{failover:#}");
    house.a.cloud.mend().await;
    move_it(&tenant, &group, json!({"failback": {}})).await;

    let failover = failover["id"].as_str().unwrap();
    let cleanup = operation_id(&tenant.ask_for_cleanup(failover).await.good());
    let ended = tenant.ended(&cleanup).await;
    assert!(failed_steps(&ended).is_empty(), "{ended:#}");
    let state = house.a.cloud.state().await;
    assert!(
        find(&state["volumes"], &stuck).is_none(),
        "the old volume is gone"
    );
    for member in members(&tenant, &group).await {
        let server = find(&state["servers"], member["server_id"].as_str().unwrap()).unwrap();
        assert_eq!(server["status"], "ACTIVE", "the group runs on: {server}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leftover_that_somebody_protects_again_is_kept() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect_two_servers("web").await;
    let old = group.servers[0].clone();
    let fault = json!({"match": {"service": "compute", "method": "DELETE", "resource": old.id},
        "effect": {"call": {"kind": "status", "status": 500}}});
    house.a.cloud.break_it(fault).await;
    let failover = move_it(&tenant, &group, json!({"failover": {"type": "planned"}})).await;
    assert!(!failed_steps(&failover).is_empty(), "{failover:#}");
    house.a.cloud.mend().await;
    tenant.at_a.start_server(&old.id).await;
    tenant.protect("second-life", vec![old.clone()]).await;

    let failover = failover["id"].as_str().unwrap();
    let cleanup = operation_id(&tenant.ask_for_cleanup(failover).await.good());
    let ended = tenant.ended(&cleanup).await;
    let failed = failed_steps(&ended);
    assert_eq!(failed.len(), 3, "the server and its two volumes: {ended:#}");
    for step in failed {
        let error = step["error"].as_str().unwrap();
        assert!(error.contains("second-life"), "{error}");
    }
    let state = house.a.cloud.state().await;
    let server = find(&state["servers"], &old.id).unwrap();
    assert_eq!(server["status"], "ACTIVE", "{server}");
}
