//! Floating IPs: those that the recovery plan names lead to the copy once the group runs there, and nothing is taken from others.

use std::{cell::Cell, collections::BTreeMap};

use protector_core::{
    member::{FloatingAddress, PortSpec},
    operation::{OperationKind, OperationRecord, OperationState, ResourceMap, steps_failed},
    plan::Plan,
    runbook::failover::planned_move,
};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::fixture::{Fixture, operation};

const PHASE: &str = "associate_floating_ips";
const OUTER: &str = "203.0.113.10";
const FIXED: &str = "10.20.0.50";
/// The first that an outer network gives out.
const FIRST: &str = "203.0.113.2";

/// The member's first port has [`OUTER`], for which `there` is named.
fn named(there: &str) -> impl FnOnce(&mut Plan) {
    move |plan: &mut Plan| {
        let member = &mut plan.members[0];
        let nic = &mut member.server.nics[0];
        nic.fixed_ips = vec![FIXED.parse().unwrap()];
        nic.port = Some(PortSpec {
            floating_ips: vec![FloatingAddress {
                id: None,
                address: OUTER.parse().unwrap(),
                fixed_ip: FIXED.parse().unwrap(),
            }],
            ..PortSpec::default()
        });
        let recovery = plan.recovery.members.entry(member.id.clone()).or_default();
        recovery.floating_ips = BTreeMap::from([(OUTER.to_owned(), there.to_owned())]);
    }
}

fn floating(fixture: &Fixture, filter: &str) -> Vec<Value> {
    let url = format!("network /floatingips?{filter}");
    let all = fixture.on_target("demo", "GET", &url, &Value::Null);
    all["floatingips"].as_array().unwrap().clone()
}

/// The tenant's floating IP on the target with its address, before the move.
fn have_one(fixture: &Fixture, port: Option<&str>) -> String {
    let network = lock(&fixture.target).network_id("public").unwrap();
    let body = json!({"floatingip": {"floating_network_id": network, "port_id": port}});
    let made = fixture.on_target("demo", "POST", "network /floatingips", &body);
    made["floatingip"]["floating_ip_address"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn step_facts(record: &OperationRecord) -> Vec<String> {
    let mut steps = record.steps.iter();
    let step = steps.find(|step| step.phase_name == PHASE);
    step.unwrap().progress.memo.facts.clone()
}

#[tokio::test(start_paused = true)]
async fn the_floating_ip_that_is_named_leads_to_the_copy_after_the_switch() {
    let has_one = |fixture: &Fixture| assert_eq!(have_one(fixture, None), FIRST);
    let (fixture, record) = Fixture::moved_as(named(FIRST), has_one, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(steps_failed(&record.steps), []);
    let all = floating(&fixture, "");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["fixed_ip_address"], FIXED);
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("network /ports/{}", all[0]["port_id"].as_str().unwrap());
    let port = fixture.on_target("demo", "GET", &url, &Value::Null);
    assert_eq!(port["port"]["device_id"], json!(copy));
    let at = |phase: &str| {
        let mut steps = record.steps.iter();
        let step = steps.find(|step| step.phase_name == phase).unwrap();
        (step.progress.started_at, step.progress.finished_at)
    };
    assert!(at(PHASE).0 >= at("switch_primary").1);
    let facts = step_facts(&record);
    assert!(
        facts[0].starts_with(&format!("floating IP {} leads to {FIXED}", FIRST)),
        "{facts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_floating_ip_that_leads_elsewhere_is_left_there_and_the_move_completes() {
    let in_use = |fixture: &Fixture| {
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let body = json!({"port": {"network_id": network}});
        let port = fixture.on_target("demo", "POST", "network /ports", &body);
        have_one(fixture, port["port"]["id"].as_str());
    };
    let (fixture, record) = Fixture::moved_as(named(FIRST), in_use, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let failed = steps_failed(&record.steps);
    let [left] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(left.step, "associate_floating_ips:vm-001");
    assert!(
        left.error
            .contains("is left there; 'openstack --os-cloud site-b floating ip set --port"),
        "{}",
        left.error
    );
    assert_ne!(floating(&fixture, "")[0]["fixed_ip_address"], FIXED);
    assert!(protector_core::leftover::leftovers(&record).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_floating_ip_that_is_taken_while_the_intent_is_written_is_left_there() {
    let position = Cell::new(0);
    let plan_of = |plan: &mut Plan| {
        named(FIRST)(plan);
        let steps = planned_move(plan).into_steps().unwrap();
        let step = steps.iter().find(|step| step.phase_name == PHASE);
        position.set(step.unwrap().position);
    };
    let is_taken = |fixture: &Fixture| {
        assert_eq!(have_one(fixture, None), FIRST);
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let body = json!({"port": {"network_id": network}});
        let port = fixture.on_target("demo", "POST", "network /ports", &body);
        let id = floating(fixture, "")[0]["id"].as_str().unwrap().to_owned();
        let url = format!("network /floatingips/{id}");
        let body = json!({"floatingip": {"port_id": port["port"]["id"]}});
        let takes = fixture.later_on_target("demo", "PUT", &url, &body);
        fixture.at_intent_at(position.get(), takes);
    };
    let (fixture, record) = Fixture::moved_as(plan_of, is_taken, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(steps_failed(&record.steps).len(), 1);
    assert_ne!(floating(&fixture, "")[0]["fixed_ip_address"], FIXED);
}

#[tokio::test(start_paused = true)]
async fn one_that_the_project_has_not_is_missed_by_name() {
    let (_, record) = Fixture::moved_as(named("198.51.100.77"), |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let failed = steps_failed(&record.steps);
    assert!(
        failed[0]
            .error
            .starts_with("floating IP 198.51.100.77 is not in project"),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_of_an_outer_network_is_made_once_and_the_original_is_taken_on_the_way_back() {
    let original = |fixture: &Fixture| {
        let network = lock(&fixture.source).network_id("public").unwrap();
        let body = json!({"floatingip": {"floating_network_id": network}});
        let made = fixture.at_once("demo", "POST", "network /floatingips", &body);
        assert_eq!(made["floatingip"]["floating_ip_address"], FIRST);
    };
    let of_network = |plan: &mut Plan| {
        named("public")(plan);
        let member = &mut plan.members[0];
        let port = member.server.nics[0].port.as_mut().unwrap();
        port.floating_ips[0].address = FIRST.parse().unwrap();
        let recovery = plan.recovery.members.get_mut(&member.id).unwrap();
        recovery.floating_ips = BTreeMap::from([(FIRST.to_owned(), "public".to_owned())]);
    };
    let (fixture, record) = Fixture::moved_as(of_network, original, |_, _| {}).await;
    assert_eq!(steps_failed(&record.steps), []);
    let all = floating(&fixture, "");
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0]["fixed_ip_address"], FIXED);

    let mut plan = fixture.plan_to_other_site();
    plan.recovery = record.operation.plan.recovery.reversed();
    let steps = planned_move(&plan).into_steps().unwrap();
    let now = plan.members[0].created_at;
    let back = fixture.walk(OperationRecord {
        operation: operation("op-back", OperationKind::Failback, plan, None, now),
        steps,
        map: ResourceMap::default(),
    });
    let back = back.await;
    assert_eq!(steps_failed(&back.steps), []);
    let here = fixture.at_once("demo", "GET", "network /floatingips", &Value::Null);
    assert_ne!(here["floatingips"][0]["port_id"], Value::Null);
    assert_eq!(
        floating(&fixture, "")[0]["port_id"],
        Value::Null,
        "it stays, and leads nowhere"
    );
}
