//! What a move keeps, changes and loses: shown by a dry run, held against it by a strict group, and found by the check.

use std::sync::atomic::Ordering;

use axum::body::Body;
use http::Method;
use protector_core::{
    comparison::{AddressThere, NetworkThere, ThereSeen},
    member::PortSpec,
};
use serde_json::{Value, json};

use crate::{
    engine,
    fakes::{DB, NET_A, NET_B, WEB},
    house::{Answer, House, failover_body, group_path},
    site_failover::arrive,
};

const NEWEST: (&str, &str) = ("openstack-api-version", "protector 1.3");

async fn send(house: &House, method: Method, path: &str, body: &Value) -> Answer {
    let json = ("content-type", "application/json");
    let headers = [("x-auth-token", "member"), json, NEWEST];
    let body = Body::from(body.to_string());
    house.request(method, path, &headers, body).await
}

async fn act(house: &House, body: &Value) -> Answer {
    send(house, Method::POST, &group_path("web", "/action"), body).await
}

fn dry_run() -> Value {
    json!({"failover": {"type": "planned", "dry_run": true}})
}

/// What becomes of the attributes of the first member that a dry run of `action` shows.
async fn shown(house: &House, action: &Value) -> Value {
    let answer = act(house, action).await.expect(200);
    answer.body["preview"]["members"][0]["attributes"].clone()
}

async fn make_strict(house: &House) {
    let strict = json!({"protection_group": {"fidelity": "strict"}});
    let set = send(house, Method::PUT, &group_path("web", ""), &strict).await;
    set.expect(200);
}

fn in_use(house: &House) {
    *house.outside.clouds.there_change.lock().unwrap() = Some(|there| {
        for found in there.addresses.values_mut() {
            *found = Ok(AddressThere::InUse);
        }
    });
}

#[track_caller]
fn entry<'s>(attributes: &'s Value, becomes: &str, field: &str) -> &'s Value {
    let mut entries = attributes[becomes].as_array().unwrap().iter();
    entries
        .find(|entry| entry["field"] == field)
        .unwrap_or_else(|| panic!("no {field} in {attributes:#}"))
}

#[tokio::test]
async fn a_dry_run_shows_what_is_kept_changed_and_lost_of_each_member() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.shown_change.lock().unwrap() = Some(|shown| {
        shown.server["flavor"] = json!({"swap": 512});
    });
    in_use(&house);
    let attributes = shown(&house, &dry_run()).await;
    assert!(attributes["kept"].as_u64().unwrap() > 5, "{attributes:#}");
    assert_eq!(
        attributes["changed"],
        json!([
            {"field": "card 1 network", "what": NET_A, "copy": NET_B, "why": "by mapping"},
            {"field": "card 1 addresses", "what": "10.0.1.5", "copy": "another one",
                "why": "10.0.1.5 is in use there"},
        ])
    );
    let swap = entry(&attributes, "lost", "flavor swap");
    assert_eq!(swap["what"], "512");
    assert!(swap["why"].as_str().unwrap().contains("stays behind"));
    assert_eq!(attributes["unknown"], json!([]));
    assert_eq!(attributes["refused"], json!([]));
    // Nothing was started.
    act(&house, &failover_body()).await.expect(202);
}

#[tokio::test]
async fn who_speaks_an_earlier_version_sees_the_dry_run_as_it_was() {
    let house = House::with_member(WEB).await;
    let path = group_path("web", "/action");
    let answer = house.send(Method::POST, &path, "member", dry_run());
    let answer = answer.await.expect(200);
    let member = &answer.body["preview"]["members"][0];
    assert!(member.get("attributes").is_none(), "{member:#}");
    assert_eq!(house.outside.clouds.there_read.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_other_site_is_read_once_for_all_members() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    let answer = act(&house, &dry_run()).await.expect(200);
    let members = answer.body["preview"]["members"].as_array().unwrap();
    assert!(
        members
            .iter()
            .all(|member| member["attributes"]["kept"].is_u64())
    );
    assert_eq!(members.len(), 2);
    assert_eq!(house.outside.clouds.there_read.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_a_silent_site_would_tell_is_unknown_and_the_rest_is_shown() {
    let house = House::with_member(WEB).await;
    let away = |site: &str| {
        let mut away = house.outside.clouds.away.lock().unwrap();
        *away = [site.to_owned()].into();
    };
    away("site-b");
    let attributes = shown(&house, &dry_run()).await;
    let flavor = entry(&attributes, "unknown", "flavor");
    assert!(
        flavor["why"]
            .as_str()
            .unwrap()
            .contains("connection refused")
    );
    away("site-a");
    let attributes = shown(&house, &dry_run()).await;
    let rest = entry(&attributes, "unknown", "what is not on record");
    assert!(rest["why"].as_str().unwrap().contains("site-a"), "{rest}");
    entry(&attributes, "changed", "card 1 network");
}

#[tokio::test]
async fn an_unplanned_dry_run_asks_only_the_site_that_is_left() {
    let house = House::with_member(WEB).await;
    engine::start(&house).await;
    arrive(&house).await;
    let clouds = &house.outside.clouds;
    clouds.away.lock().unwrap().insert("site-b".to_owned());
    // The fakes leave the members on the primary site's network.
    let back = json!({"failback": {"type": "unplanned", "dry_run": true,
        "network_mapping": {NET_A: NET_A}}});
    let attributes = shown(&house, &back).await;
    let rest = entry(&attributes, "unknown", "what is not on record");
    let why = rest["why"].as_str().unwrap();
    assert!(why.contains("does not ask site-b"), "{why}");
    assert!(attributes["kept"].as_u64().unwrap() > 5, "{attributes:#}");
}

#[tokio::test]
async fn a_strict_move_does_not_start_while_something_unannounced_would_change() {
    let house = House::with_member(WEB).await;
    house.add(DB).await.expect(201);
    make_strict(&house).await;
    in_use(&house);
    for body in [failover_body(), dry_run()] {
        let refused = act(&house, &body).await.expect(409);
        let said = refused.message();
        for words in [
            "web-server-1: card 1 addresses: 10.0.1.5 -> another one (10.0.1.5 is in use there)",
            "db-server: card 1 addresses: 10.0.1.5 -> another one",
            "'openstack dr member show web <member> --compare'",
            "openstack dr protection-group set web --fidelity told",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        // What a mapping says is announced.
        assert!(!said.contains(NET_B), "{said}");
    }
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
    let told = json!({"protection_group": {"fidelity": "told"}});
    let set = send(&house, Method::PUT, &group_path("web", ""), &told).await;
    set.expect(200);
    act(&house, &failover_body()).await.expect(202);
}

#[tokio::test]
async fn a_strict_move_starts_where_all_is_announced_or_nobody_knows() {
    for silent in [false, true] {
        let house = House::with_member(WEB).await;
        make_strict(&house).await;
        if silent {
            let clouds = &house.outside.clouds;
            clouds.away.lock().unwrap().insert("site-b".to_owned());
        }
        act(&house, &failover_body()).await.expect(202);
    }
}

/// Neutron's default policy lets the owner of a network alone choose addresses and MAC addresses: whether it lets the copy have
/// its own would show after the stop only.
#[tokio::test]
async fn a_strict_move_onto_a_network_of_another_project_does_not_start() {
    let house = House::with_group().await;
    let clouds = &house.outside.clouds;
    *clouds.server_change.lock().unwrap() = Some(|server| {
        server.nics[0].port = Some(PortSpec {
            mac_address: "fa:16:3e:00:00:01".to_owned(),
            ..PortSpec::default()
        });
    });
    *clouds.there_change.lock().unwrap() = Some(|there| {
        for owner in there.networks.values_mut() {
            *owner = Ok(NetworkThere::Foreign);
        }
        for found in there.addresses.values_mut() {
            *found = Ok(AddressThere::Foreign);
        }
    });
    house.add(WEB).await.expect(201);
    make_strict(&house).await;
    let refused = act(&house, &failover_body()).await.expect(409);
    let said = refused.message();
    for words in [
        "card 1 addresses: 10.0.1.5 -> unknown",
        "(create_port:fixed_ips:ip_address)",
        "card 1 MAC address: fa:16:3e:00:00:01 -> unknown",
        "(create_port:mac_address): it may be lost",
        "map to a network of the project itself, or let an administrator of site-b allow",
        "[openstack] tenants_choose_addresses_on_shared_networks",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("mend that on site-b"), "{said}");
    let group = house.get(&group_path("web", ""), "member").await;
    assert_eq!(group.body["protection_group"]["status"], "active");
    let told = json!({"protection_group": {"fidelity": "told"}});
    let set = send(&house, Method::PUT, &group_path("web", ""), &told).await;
    set.expect(200);
    act(&house, &failover_body()).await.expect(202);
}

/// Nova's, or ours for a group that another project shares: its MAC address is the network owner's to choose as well.
#[tokio::test]
async fn a_card_without_an_address_is_on_a_network_of_another_project_too() {
    for (owner, status) in [(NetworkThere::Foreign, 409), (NetworkThere::Open, 202)] {
        let house = House::with_group().await;
        let clouds = &house.outside.clouds;
        *clouds.server_change.lock().unwrap() = Some(|server| {
            server.nics[0].fixed_ips.clear();
            server.nics[0].port = Some(PortSpec {
                mac_address: "fa:16:3e:00:00:01".to_owned(),
                ..PortSpec::default()
            });
        });
        *clouds.there_change.lock().unwrap() = Some(match owner {
            NetworkThere::Foreign => |there| all_are(there, NetworkThere::Foreign),
            _ => |there| all_are(there, NetworkThere::Open),
        });
        house.add(WEB).await.expect(201);
        make_strict(&house).await;
        let answer = act(&house, &failover_body()).await.expect(status);
        if owner == NetworkThere::Foreign {
            let said = answer.message();
            let mac = "card 1 MAC address: fa:16:3e:00:00:01 -> unknown";
            assert!(said.contains(mac), "{said}");
        }
    }
}

fn all_are(there: &mut ThereSeen, owner: NetworkThere) {
    assert_eq!(there.networks.len(), 1);
    for known in there.networks.values_mut() {
        *known = Ok(owner);
    }
}

/// What a tenant has changed since is read again before the start, and judged with it.
#[tokio::test]
async fn a_strict_move_is_judged_by_the_servers_as_they_are_now() {
    let house = House::with_member(WEB).await;
    make_strict(&house).await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.name = "shop".to_owned();
        server.availability_zone = Some("gold".to_owned());
    });
    let refused = act(&house, &failover_body()).await.expect(409);
    let said = refused.message();
    let zone = "shop: availability zone: gold -> lost (site-b has no zone gold: Nova chooses)";
    assert!(said.contains(zone), "{said}");
}

#[tokio::test]
async fn the_check_finds_what_a_strict_group_does_not_take() {
    let house = House::with_member(WEB).await;
    in_use(&house);
    let found = async || {
        let check = house.get(&group_path("web", "/check"), "reader").await;
        let check = check.expect(200).body["check"].clone();
        let findings = check["findings"].as_array().unwrap().clone();
        let about = |finding: &Value| finding["message"].as_str().unwrap().contains("10.0.1.5");
        findings.into_iter().filter(about).collect::<Vec<Value>>()
    };
    let told = found().await;
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (&told[0]["check"], &told[0]["status"]),
        (&json!("mapping"), &json!("warning"))
    );
    make_strict(&house).await;
    let strict = found().await;
    assert_eq!(strict.len(), 1, "{strict:#?}");
    assert_eq!(
        (&strict[0]["check"], &strict[0]["status"]),
        (&json!("carried"), &json!("error"))
    );
    let fix = strict[0]["fix"].as_str().unwrap();
    assert!(fix.contains("--fidelity told"), "{fix}");
}
