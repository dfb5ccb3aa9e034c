//! A member side by side: on record, now, and as its copy would be.

use axum::body::Body;
use http::Method;
use protector_core::{
    comparison::AddressThere,
    confidential::Confidential,
    group::Fidelity,
    member::{Flavor, KeyPair, PortSpec},
    not_carried::NotCarried,
    qos_policy::QosPolicy,
};
use serde_json::{Value, json};

use crate::{
    fakes::{NET_A, NET_B, PROJECT_A, WEB},
    house::{Answer, House, failover_body, group_body, group_path, groups_path},
};

const NEWEST: (&str, &str) = ("openstack-api-version", "protector 1.3");

async fn ask(house: &House, member: &str, token: &str) -> Answer {
    let path = group_path("web", &format!("/members/{member}/comparison"));
    let headers = [("x-auth-token", token), NEWEST];
    house
        .request(Method::GET, &path, &headers, Body::empty())
        .await
}

async fn compared(house: &House) -> Value {
    let answer = ask(house, "web-server-1", "reader").await.expect(200);
    answer.body["comparison"].clone()
}

/// Recorded, now, copy, outcome and why of a field.
#[track_caller]
fn of<'c>(comparison: &'c Value, field: &str) -> &'c Value {
    let mut attributes = comparison["attributes"].as_array().unwrap().iter();
    attributes
        .find(|line| line["field"] == field)
        .unwrap_or_else(|| panic!("no {field} in {comparison:#}"))
}

#[track_caller]
fn must_say(comparison: &Value, field: &str, outcome: &str, copy: Value, why: &str) {
    let line = of(comparison, field);
    assert_eq!(
        (&line["outcome"], &line["copy"]),
        (&json!(outcome), &copy),
        "{line}"
    );
    let said = line["why"].as_str().unwrap_or_default();
    assert!(said.contains(why), "{line}");
}

#[tokio::test]
async fn what_is_mapped_is_changed_by_mapping_and_all_else_kept() {
    let house = House::with_member(WEB).await;
    let comparison = compared(&house).await;
    assert_eq!(comparison["source_site"], "site-a");
    assert_eq!(comparison["target_site"], "site-b");
    assert_eq!(comparison["server_id"], WEB);
    assert_eq!(
        of(&comparison, "card 1 network"),
        &json!({"field": "card 1 network", "recorded": NET_A, "now": NET_A, "copy": NET_B,
            "outcome": "changed", "why": "by mapping"})
    );
    let changed: Vec<&str> = comparison["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["outcome"] != "kept")
        .map(|line| line["field"].as_str().unwrap())
        .collect();
    assert_eq!(changed, ["card 1 network"], "{comparison:#}");
    must_say(
        &comparison,
        "card 1 addresses",
        "kept",
        json!("10.0.1.5"),
        "",
    );
    must_say(&comparison, "key pair", "kept", json!("alice"), "");
    must_say(&comparison, "metadata", "kept", json!("tier=web"), "");
}

#[tokio::test]
async fn what_has_changed_since_it_was_recorded_is_said() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.name = "shop".to_owned();
        server.security_groups = vec!["web".to_owned()];
    });
    let comparison = compared(&house).await;
    let line = of(&comparison, "name");
    assert_eq!(
        (&line["recorded"], &line["now"], &line["copy"]),
        (&json!("web-server-1"), &json!("shop"), &json!("shop"))
    );
    let why = "a planned move reads it again, an unplanned one builds what is recorded";
    must_say(&comparison, "name", "kept", json!("shop"), why);
    must_say(&comparison, "security groups", "kept", json!("web"), why);
}

#[tokio::test]
async fn what_the_other_site_has_otherwise_is_changed_lost_or_refused() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.nics[0].fixed_ips.push("fd00::5".parse().unwrap());
        server.hostname = Some("www".to_owned());
        server.availability_zone = Some("gold".to_owned());
    });
    *house.outside.clouds.there_change.lock().unwrap() = Some(|there| {
        for found in there.addresses.values_mut() {
            *found = Ok(AddressThere::InUse);
        }
        there.compute_minor = Ok(87);
        there.security_groups = Ok(vec![]);
        there.flavors = Ok(vec![Flavor {
            id: "flavor-1".into(),
            name: "tiny".to_owned(),
            vcpus: 1,
            ram_mib: 256,
            disks: None,
        }]);
        there.key_pairs = Ok(vec![KeyPair {
            name: "alice".to_owned(),
            public_key: Some("ssh-ed25519 BBBB".to_owned()),
            kind: "ssh".to_owned(),
        }]);
    });
    let comparison = compared(&house).await;
    let none = Value::Null;
    let addresses = "10.0.1.5 is in use there; fd00::5 is in use there";
    must_say(
        &comparison,
        "card 1 addresses",
        "changed",
        json!("another one"),
        addresses,
    );
    let host_name = json!("one that Nova makes of the name");
    must_say(&comparison, "host name", "changed", host_name, "needs 2.90");
    must_say(
        &comparison,
        "availability zone",
        "lost",
        none.clone(),
        "Nova chooses",
    );
    let group = "security group default does not exist on site-b";
    must_say(
        &comparison,
        "security groups",
        "refused",
        none.clone(),
        group,
    );
    must_say(
        &comparison,
        "flavor",
        "refused",
        none,
        "--flavor-mapping flavor-1=",
    );
    let key_pair = of(&comparison, "key pair");
    assert_eq!(key_pair["outcome"], "changed");
    assert!(
        key_pair["copy"].as_str().unwrap().starts_with("alice-"),
        "{key_pair}"
    );
}

#[tokio::test]
async fn what_the_server_really_has_and_no_step_carries_is_lost() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.shown_change.lock().unwrap() = Some(|shown| {
        shown.server["trusted_image_certificates"] = Value::Null;
        shown.server["flavor"] = json!({"swap": 512});
        shown.server["addresses"] = json!({"net": [
            {"addr": "10.0.1.5", "OS-EXT-IPS:type": "fixed"},
            {"addr": "203.0.113.7", "OS-EXT-IPS:type": "floating"}]});
        shown.ports[0]["trusted"] = json!(true);
        shown.ports[0]["admin_state_up"] = json!(true);
        shown.volumes[0]["group_id"] = json!("volumes-1");
    });
    let comparison = compared(&house).await;
    for (field, now, why) in [
        ("floating IP", "203.0.113.7", "belongs to its site"),
        ("flavor swap", "512", "what is on it stays behind"),
        (
            "port 10.0.1.5 trusted",
            "true",
            "as Neutron there has it by itself",
        ),
        (
            "volume vol-data-ws1 group_id",
            "volumes-1",
            "no volume group",
        ),
    ] {
        must_say(&comparison, field, "lost", Value::Null, why);
        assert_eq!(of(&comparison, field)["now"], now);
    }
    let text = comparison.to_string();
    for usual in ["trusted_image", "admin_state_up", "diskConfig"] {
        assert!(!text.contains(usual), "{usual}: {comparison:#}");
    }
}

#[tokio::test]
async fn a_qos_policy_is_compared_with_what_stands_for_it_there() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.nics[0].port = Some(PortSpec {
            qos_policy: Some(QosPolicy {
                id: "q-a".to_owned(),
                name: "gold".to_owned(),
            }),
            ..PortSpec::default()
        });
    });
    let comparison = compared(&house).await;
    let (field, why) = ("card 1 QoS policy", "has no counterpart on site-b");
    must_say(&comparison, field, "lost", Value::Null, why);
    assert_eq!(of(&comparison, field)["now"], "gold");
}

#[tokio::test]
async fn what_keeps_a_move_from_starting_is_refused() {
    let house = House::with_member(WEB).await;
    *house.outside.clouds.server_change.lock().unwrap() = Some(|server| {
        server.traits.ephemeral_gib = 20;
        server.attachments.pop();
    });
    let comparison = compared(&house).await;
    let disk = NotCarried::EphemeralDisk { gib: 20 };
    must_say(
        &comparison,
        disk.what(),
        "refused",
        Value::Null,
        disk.cure(),
    );
    must_say(
        &comparison,
        "volume /dev/vda",
        "refused",
        Value::Null,
        "take the member up anew",
    );
}

/// Passwords are often in it.
#[tokio::test]
async fn user_data_is_never_shown() {
    let house = House::with_member(WEB).await;
    let with = |text: &'static str| match text {
        "c2VjcmV0LTE=" => |server: &mut protector_clouds::clouds::FoundServer| {
            server.user_data = Some(Confidential::new("c2VjcmV0LTE="));
        },
        _ => |server: &mut protector_clouds::clouds::FoundServer| {
            server.user_data = Some(Confidential::new("c2VjcmV0LTI="));
        },
    };
    *house.outside.clouds.server_change.lock().unwrap() = Some(with("c2VjcmV0LTE="));
    let path = group_path("web", "/members/web-server-1");
    house.delete(&path, "member").await.expect(204);
    house.add(WEB).await.expect(201);
    let same = compared(&house).await;
    assert_eq!(of(&same, "user data")["now"], "set");
    *house.outside.clouds.server_change.lock().unwrap() = Some(with("c2VjcmV0LTI="));
    let changed = compared(&house).await;
    let line = of(&changed, "user data");
    assert_eq!(
        (&line["recorded"], &line["now"], &line["copy"]),
        (&json!("set"), &json!("changed"), &json!("set"))
    );
    for shown in [same.to_string(), changed.to_string()] {
        assert!(!shown.contains("c2VjcmV0"), "{shown}");
    }
}

#[tokio::test]
async fn a_site_that_does_not_answer_is_said_with_what_it_would_tell() {
    let house = House::with_member(WEB).await;
    let clouds = &house.outside.clouds;
    clouds.away.lock().unwrap().insert("site-b".to_owned());
    let comparison = compared(&house).await;
    must_say(
        &comparison,
        "flavor",
        "unknown",
        Value::Null,
        "connection refused",
    );
    must_say(&comparison, "name", "kept", json!("web-server-1"), "");
    clouds.away.lock().unwrap().insert("site-a".to_owned());
    ask(&house, "web-server-1", "member").await.expect(503);
}

#[tokio::test]
async fn it_is_for_those_who_may_see_the_member_and_know_the_version() {
    let house = House::with_member(WEB).await;
    ask(&house, "web-server-1", "").await.expect(401);
    ask(&house, "nobody", "member").await.expect(404);
    house.policy("\"protector:members:compare\": \"!\"\n");
    ask(&house, "web-server-1", "member").await.expect(403);
    house.policy("{}\n");
    let path = group_path("web", "/members/web-server-1/comparison");
    let refused = house.get(&path, "member").await.expect(404);
    let said = "is there from API version 1.3 on, the request speaks 1.0";
    assert!(refused.message().contains(said), "{}", refused.message());
}

async fn send(house: &House, method: Method, path: &str, body: &Value) -> Answer {
    let json = ("content-type", "application/json");
    let headers = [("x-auth-token", "member"), json, NEWEST];
    let body = Body::from(body.to_string());
    house.request(method, path, &headers, body).await
}

#[tokio::test]
async fn what_a_group_does_about_other_copies_is_set_and_frozen_into_its_operations() {
    let house = House::with_member(WEB).await;
    let group = group_path("web", "");
    let headers = [("x-auth-token", "member"), NEWEST];
    let shown = house
        .request(Method::GET, &group, &headers, Body::empty())
        .await
        .expect(200);
    assert_eq!(shown.body["protection_group"]["fidelity"], "told");
    let strict = json!({"protection_group": {"fidelity": "strict"}});
    let set = send(&house, Method::PUT, &group, &strict).await.expect(200);
    assert_eq!(set.body["protection_group"]["fidelity"], "strict");
    let act = group_path("web", "/action");
    let started = house.send(Method::POST, &act, "member", failover_body());
    let started = started.await.expect(202);
    let id = started.body["operation"]["id"].as_str().unwrap();
    let record = house
        .database
        .operation_show(&PROJECT_A.into(), &id.into())
        .await
        .unwrap();
    assert_eq!(record.operation.plan.fidelity, Fidelity::Strict);
}

#[tokio::test]
async fn a_group_is_made_strict_from_version_1_3_on() {
    let house = House::furnished().await;
    let mut body = group_body("web");
    body["protection_group"]["fidelity"] = json!("strict");
    let base = house
        .send(Method::POST, &groups_path(), "member", body.clone())
        .await
        .expect(400);
    let said = base.message();
    assert!(said.starts_with("protection_group.fidelity: "), "{said}");
    assert!(
        said.contains("'OpenStack-API-Version: protector 1.3'"),
        "{said}"
    );
    let made = send(&house, Method::POST, &groups_path(), &body)
        .await
        .expect(201);
    assert_eq!(made.body["protection_group"]["fidelity"], "strict");
    let path = group_path("web", "");
    let shown = house.get(&path, "member").await.expect(200);
    assert!(shown.body["protection_group"].get("fidelity").is_none());
    let other = json!({"protection_group": {"fidelity": "loose"}});
    let refused = send(&house, Method::PUT, &path, &other).await.expect(400);
    let said = refused.message();
    assert!(
        said.contains("fidelity") && said.contains("strict"),
        "{said}"
    );
}
