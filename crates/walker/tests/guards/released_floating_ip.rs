//! Floating IPs that a cleanup is asked to release: each once its server is gone, and only while nobody needs it.

use std::{collections::BTreeMap, sync::Arc};

use protector_core::{
    fault::Code,
    member::{FloatingAddress, PortSpec},
    operation::{OperationRecord, OperationState, steps_failed},
    recovery_plan::MemberRecovery,
    runbook::cleanup::with_floating_ips,
};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::lock,
};
use serde_json::{Value, json};

use super::fixture::{Fixture, SERVER};

/// The first that an outer network gives out, and the key of its line.
const OUTER: &str = "203.0.113.2";
const RELEASE: &str = "release_floating_ip:203.0.113.2";

/// A failover that has deleted its server, and the floating IP that this had: its id. It leads nowhere by now.
async fn left() -> (Fixture, OperationRecord, String) {
    let mut fixture = Fixture::switched().await;
    let id = one_more(&fixture);
    fixture.delete().await;
    fixture.release_floating_ips = true;
    let parent = had(&fixture, Some(&id));
    (fixture, parent, id)
}

/// Another floating IP of the tenant: its id.
fn one_more(fixture: &Fixture) -> String {
    let network = lock(&fixture.source).network_id("public").unwrap();
    let body = json!({"floatingip": {"floating_network_id": network}});
    let made = fixture.at_once("demo", "POST", "network /floatingips", &body);
    made["floatingip"]["id"].as_str().unwrap().to_owned()
}

/// The failover, in whose plan the member has the floating IP with this id.
fn had(fixture: &Fixture, id: Option<&str>) -> OperationRecord {
    let mut parent = fixture.failover();
    let nic = &mut parent.operation.plan.members[0].server.nics[0];
    nic.port = Some(PortSpec {
        floating_ips: vec![FloatingAddress {
            id: id.map(Into::into),
            address: OUTER.parse().unwrap(),
            fixed_ip: "10.20.0.50".parse().unwrap(),
        }],
        ..PortSpec::default()
    });
    parent
}

fn floating(fixture: &Fixture) -> Vec<String> {
    let all = lock(&fixture.source).all_floating_ips();
    all.into_iter().map(|one| one.id).collect()
}

/// Where the line that releases it stands in the cleanup.
const POSITION: u32 = 0;

#[tokio::test(start_paused = true)]
async fn it_is_released_and_no_other_and_not_again() {
    let (mut fixture, parent, _) = left().await;
    let other = one_more(&fixture);
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    assert_eq!(ended.failed(), []);
    assert_eq!(floating(&fixture), [other]);
    assert_eq!(
        ended.facts(RELEASE),
        [format!("floating IP {OUTER} was released")]
    );
    let known = OperationRecord {
        map: fixture.failover().map,
        ..parent
    };
    assert_eq!(with_floating_ips(&known, vec![], |_| true), []);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_while_the_intent_is_written_is_kept() {
    let (mut fixture, parent, id) = left().await;
    let network = lock(&fixture.source).network_id("demo-net").unwrap();
    let body = json!({"port": {"network_id": network}});
    let port = fixture.at_once("demo", "POST", "network /ports", &body);
    let body = json!({"floatingip": {"port_id": port["port"]["id"]}});
    let url = format!("network /floatingips/{id}");
    let takes = fixture.later_on(&fixture.source, "demo", "PUT", &url, &body);
    fixture.at_intent_at(POSITION, takes);
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(why.contains("leads to port"), "{why}");
    assert_eq!(floating(&fixture), [id]);
    assert_eq!(ended.0.operation.state, OperationState::Completed);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_recovery_plan_names_by_then_is_kept() {
    let (mut fixture, parent, id) = left().await;
    let journal = Arc::clone(&fixture.journal);
    let (mut group, members) = fixture.group_and_members();
    fixture.at_intent_at(POSITION, move || {
        let recovery = MemberRecovery {
            floating_ips: BTreeMap::from([(OUTER.to_owned(), "public".to_owned())]),
            ..MemberRecovery::default()
        };
        let all = &mut group.recovery_plan.members;
        all.insert(members[0].id.clone(), recovery);
        journal.put_group(group, members);
    });
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(
        why.contains("recovery plan names it for member vm-001"),
        "{why}"
    );
    assert_eq!(floating(&fixture), [id]);
}

#[tokio::test(start_paused = true)]
async fn one_whose_server_is_kept_is_kept_too() {
    let mut fixture = Fixture::switched().await;
    let id = one_more(&fixture);
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture
        .user("demo", "POST", &url, json!({"lock": null}))
        .await;
    fixture.delete().await;
    fixture.release_floating_ips = true;
    let parent = had(&fixture, Some(&id));
    let ended = fixture.cleanup_after(&parent, |_| true).await;
    assert!(ended.failure(SERVER).contains("locked"));
    let why = ended.failure(RELEASE);
    assert!(why.contains("is not deleted, it is SHUTOFF"), "{why}");
    assert_eq!(floating(&fixture), [id]);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_given_back_and_taken_anew_is_another_one() {
    let (mut fixture, parent, id) = left().await;
    let url = format!("network /floatingips/{id}");
    fixture.at_once("demo", "DELETE", &url, &Value::Null);
    let anew = one_more(&fixture);
    assert_eq!(lock(&fixture.source).all_floating_ips()[0].address, OUTER);
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    assert_eq!(ended.failed(), []);
    assert_eq!(floating(&fixture), [anew]);
    assert_eq!(
        ended.facts(RELEASE),
        [format!("floating IP {OUTER} is gone already")]
    );
}

#[tokio::test(start_paused = true)]
async fn one_whose_id_nobody_has_written_down_is_kept() {
    let (mut fixture, _, id) = left().await;
    let parent = had(&fixture, None);
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(
        why.contains("openstack --os-cloud site-a floating ip delete 203.0.113.2"),
        "{why}"
    );
    assert_eq!(floating(&fixture), [id]);
}

#[tokio::test(start_paused = true)]
async fn one_that_another_project_has_by_now_is_kept() {
    let (mut fixture, parent, id) = left().await;
    let hidden = Match {
        path: Some(format!("*/floatingips/{id}")),
        user: Some("protector".to_owned()),
        ..Match::default()
    };
    answers(&fixture, hidden, Some(1), 404, None);
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(why.contains("shows it to the administrator"), "{why}");
    assert_eq!(floating(&fixture), [id]);
}

#[tokio::test(start_paused = true)]
async fn one_of_which_a_single_port_leads_somewhere_is_kept() {
    let (mut fixture, parent, id) = left().await;
    let url = format!("network /floatingips/{id}");
    let mut shown = fixture.at_once("demo", "GET", &url, &Value::Null);
    shown["floatingip"]["port_forwardings"] =
        json!([{"protocol": "tcp", "external_port": 22, "internal_ip_address": "10.20.0.9"}]);
    let read = Match {
        method: Some("GET".to_owned()),
        path: Some(format!("*/floatingips/{id}")),
        ..Match::default()
    };
    answers(&fixture, read, None, 200, Some(shown));
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(
        why.contains("leads to 10.20.0.9 by a port forwarding"),
        "{why}"
    );
    assert_eq!(floating(&fixture), [id]);
}

#[tokio::test(start_paused = true)]
async fn one_that_neutron_does_not_give_up_is_left_with_its_words() {
    let (mut fixture, parent, id) = left().await;
    let deletion = Match {
        method: Some("DELETE".to_owned()),
        path: Some("*/floatingips/*".to_owned()),
        ..Match::default()
    };
    let words = json!({"NeutronError": {"type": "PolicyNotAuthorized", "message": "not by you", "detail": ""}});
    answers(&fixture, deletion, None, 403, Some(words));
    let ended = fixture.cleanup_after(&parent, |_| false).await;
    let why = ended.only_failure(RELEASE);
    assert!(why.contains("not by you"), "{why}");
    assert_eq!(ended.0.operation.state, OperationState::Completed);
    let failed = &steps_failed(&ended.0.steps)[0];
    assert_eq!(failed.resource_id.as_deref(), Some(id.as_str()));
    let line = ended.step(RELEASE);
    assert_ne!(line.progress.error_code, Some(Code::Kept));
    assert_eq!(floating(&fixture), [id]);
}

fn answers(
    fixture: &Fixture,
    matches: Match,
    times: Option<u64>,
    status: u16,
    body: Option<Value>,
) {
    lock(&fixture.source).add_fault(FaultRule {
        id: String::new(),
        matches,
        times,
        effect: FaultEffect::Call(CallEffect::Status {
            status,
            body,
            headers: BTreeMap::new(),
        }),
        seen: 0,
    });
}
