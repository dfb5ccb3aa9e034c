//! The ports of copies: as the originals', made before the copy is built, and taken back with it.

use protector_core::{
    fault::Code,
    group::Fidelity,
    journal::Entry,
    leftover::{RemovalEnd, removals},
    mark::OPERATION,
    member::{AddressPair, AdminState, DhcpOption, Nic, PortSpec},
    operation::{
        OperationKind, OperationRecord, OperationState, ResourceMap, StepState, steps_failed,
    },
    plan::Plan,
    qos_policy::QosPolicy,
    runbook::{failover::planned_move, resource::ResourceKind},
};
use protector_simcloud::{
    cloud::{CallEffect, FaultEffect, FaultRule, Match},
    in_process::{SharedCloud, lock},
};
use serde_json::{Value, json};

use super::{
    fixture::{Fixture, operation},
    source_at_rest::{assert_taken_back, fault, once},
};

/// The first that the target's Neutron gives out by itself.
const FIRST: &str = "10.20.0.2";
const WANTED: &str = "10.20.0.50";
const SECOND: &str = "10.20.0.60";

fn port() -> PortSpec {
    PortSpec {
        mac_address: "fa:16:3e:00:00:01".to_owned(),
        security_groups: vec![],
        port_security_enabled: Some(false),
        allowed_address_pairs: vec![],
        name: "web-port".to_owned(),
        description: "of the web".to_owned(),
        tags: vec!["blue".to_owned()],
        ..PortSpec::default()
    }
}

fn addresses(nic: &mut Nic, addresses: &[&str]) {
    nic.fixed_ips = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
}

fn with_two_addresses(plan: &mut Plan) {
    let nic = &mut plan.members[0].server.nics[0];
    addresses(nic, &[WANTED, SECOND]);
    nic.port = Some(port());
}

/// The source server is a copy that `op-0` has made.
fn made_by_a_move(plan: &mut Plan) {
    with_two_addresses(plan);
    let metadata = &mut plan.members[0].server.metadata;
    metadata.insert(OPERATION.to_owned(), "op-0".to_owned());
}

/// The ports of the network that the copy is in, as an administrator sees them.
fn ports(fixture: &Fixture) -> Vec<Value> {
    let all = fixture.on_target("admin", "GET", "network /ports", &Value::Null);
    all["ports"].as_array().unwrap().clone()
}

fn in_servers(fixture: &Fixture) -> Vec<Value> {
    let mut all = ports(fixture);
    all.retain(|port| port["device_id"] != "");
    all
}

fn marked(fixture: &Fixture) -> Vec<Value> {
    let mut all = ports(fixture);
    all.retain(|port| {
        port["description"]
            .as_str()
            .unwrap()
            .contains("(protector:")
    });
    all
}

/// An IPv6 subnet of the network that the copy is in.
fn add_subnet(fixture: &Fixture, cidr: &str, mode: &str) {
    let network = lock(&fixture.target).network_id("demo-net").unwrap();
    let subnet =
        json!({"network_id": network, "cidr": cidr, "ip_version": 6, "ipv6_address_mode": mode});
    let body = json!({"subnet": subnet});
    fixture.on_target("demo", "POST", "network /subnets", &body);
}

/// With an IPv4 address, and the IPv6 address that [`port`]'s MAC address makes in `fd00:20::/64`.
fn with_both_kinds(plan: &mut Plan) {
    let nic = &mut plan.members[0].server.nics[0];
    addresses(nic, &[WANTED, "fd00:20::f816:3eff:fe00:1"]);
    nic.port = Some(port());
}

fn fixed(port: &Value) -> Vec<&str> {
    let all = port["fixed_ips"].as_array().unwrap().iter();
    all.map(|ip| ip["ip_address"].as_str().unwrap()).collect()
}

fn facts(record: &OperationRecord, phase: &str) -> String {
    let of_phase = record.steps.iter().filter(|step| step.phase_name == phase);
    let all: Vec<&str> = of_phase
        .flat_map(|step| step.progress.memo.facts.iter().map(String::as_str))
        .collect();
    all.join("; ")
}

fn answers(cloud: &SharedCloud, method: &str, path: &str, times: Option<u64>, status: u16) {
    answers_with(cloud, method, path, times, status, None);
}

fn answers_with(
    cloud: &SharedCloud,
    method: &str,
    path: &str,
    times: Option<u64>,
    status: u16,
    body: Option<Value>,
) {
    lock(cloud).add_fault(FaultRule {
        id: String::new(),
        matches: Match {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Match::default()
        },
        times,
        effect: FaultEffect::Call(CallEffect::Status {
            status,
            body,
            headers: Default::default(),
        }),
        seen: 0,
    });
}

/// Nobody of the tenant's project sees it.
fn held_by_another_project(fixture: &Fixture, address: &str) {
    let network = lock(&fixture.target).network_id("demo-net").unwrap();
    let body = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": address}]}});
    fixture.on_target("admin", "POST", "network /ports", &body);
}

#[tokio::test(start_paused = true)]
async fn a_port_with_two_addresses_no_group_and_no_port_security_is_made_as_it_was() {
    let (fixture, record) = Fixture::moved_as(with_two_addresses, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let ports = in_servers(&fixture);
    let [port] = ports.as_slice() else {
        panic!("{ports:?}");
    };
    assert_eq!(fixed(port), [WANTED, SECOND]);
    assert_eq!(port["security_groups"], json!([]));
    assert_eq!(port["port_security_enabled"], false);
    assert_eq!(port["mac_address"], "fa:16:3e:00:00:01");
    assert_eq!(port["name"], "web-port");
    assert_eq!(port["tags"], json!(["blue"]));
    let description = format!("of the web (protector:member-1:{})", record.operation.id);
    assert_eq!(port["description"], description);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_a_port_of_another_project_holds_is_replaced_and_that_is_told() {
    let held = |fixture: &Fixture| held_by_another_project(fixture, WANTED);
    let (fixture, record) = Fixture::moved_as(with_two_addresses, held, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let other_is_kept = [FIRST, SECOND];
    assert_eq!(fixed(&in_servers(&fixture)[0]), other_is_kept);
    let told = facts(&record, "reserve_ports");
    assert!(told.contains("a new one is used"), "{told}");
    assert!(told.contains("already allocated"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_a_copy_may_send_from_are_kept() {
    let with_pairs = |plan: &mut Plan| {
        with_two_addresses(plan);
        let port = plan.members[0].server.nics[0].port.as_mut().unwrap();
        port.port_security_enabled = Some(true);
        port.allowed_address_pairs = vec![AddressPair {
            ip_address: "10.20.0.99".to_owned(),
            mac_address: None,
        }];
    };
    let (fixture, record) = Fixture::moved_as(with_pairs, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let port = &in_servers(&fixture)[0];
    let pairs = json!([{"ip_address": "10.20.0.99", "mac_address": "fa:16:3e:00:00:01"}]);
    assert_eq!(port["allowed_address_pairs"], pairs);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_made_of_the_mac_address_is_not_asked_for_and_is_kept() {
    let subnet = |fixture: &Fixture| add_subnet(fixture, "fd00:20::/64", "slaac");
    let (fixture, record) = Fixture::moved_as(with_both_kinds, subnet, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let kept = [WANTED, "fd00:20::f816:3eff:fe00:1"];
    assert_eq!(fixed(&in_servers(&fixture)[0]), kept);
    assert_eq!(facts(&record, "reserve_ports"), "");
}

#[tokio::test(start_paused = true)]
async fn both_addresses_are_kept_where_neutron_gives_both_out() {
    let subnet = |fixture: &Fixture| add_subnet(fixture, "fd00:20::/64", "dhcpv6-stateful");
    let (fixture, record) = Fixture::moved_as(with_both_kinds, subnet, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let kept = [WANTED, "fd00:20::f816:3eff:fe00:1"];
    assert_eq!(fixed(&in_servers(&fixture)[0]), kept);
}

#[tokio::test(start_paused = true)]
async fn an_address_without_a_subnet_does_not_cost_the_other() {
    let (fixture, record) = Fixture::moved_as(with_both_kinds, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(fixed(&in_servers(&fixture)[0]), [WANTED]);
    let told = facts(&record, "reserve_ports");
    assert!(told.contains("the copy has none in its place"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_address_of_another_prefix_gives_a_new_one_beside_the_kept() {
    let subnet = |fixture: &Fixture| add_subnet(fixture, "fd00:99::/64", "dhcpv6-stateful");
    let (fixture, record) = Fixture::moved_as(with_both_kinds, subnet, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(fixed(&in_servers(&fixture)[0]), [WANTED, "fd00:99::1"]);
    let told = facts(&record, "reserve_ports");
    assert!(told.contains("a new one is used"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn over_and_back_leaves_the_ports_of_the_last_copy_alone() {
    let (fixture, over) = Fixture::moved_as(with_two_addresses, |_| {}, |_, _| {}).await;
    assert_eq!(over.operation.state, OperationState::Completed);
    let plan = fixture.plan_to_other_site();
    let steps = planned_move(&plan).into_steps().unwrap();
    let now = plan.members[0].created_at;
    let back = fixture.walk(OperationRecord {
        operation: operation("op-back", OperationKind::Failback, plan, None, now),
        steps,
        map: ResourceMap::default(),
    });
    let back = back.await;
    assert_eq!(back.operation.error, None);
    assert_eq!(back.operation.state, OperationState::Completed);
    assert_eq!(steps_failed(&back.steps), []);
    assert_eq!(marked(&fixture), Vec::<Value>::new());
    let here = fixture.at_once("admin", "GET", "network /ports", &Value::Null);
    let mut here = here["ports"].as_array().unwrap().clone();
    here.retain(|port| port["description"] == "of the web (protector:member-1:op-back)");
    let [port] = here.as_slice() else {
        panic!("{here:?}");
    };
    assert_ne!(port["device_id"], "");
    assert_eq!(port["mac_address"], "fa:16:3e:00:00:01");
    assert_eq!(port["security_groups"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_port_of_the_left_server_that_cannot_be_deleted_is_named_and_the_volumes_go() {
    let earlier = |fixture: &Fixture| {
        let network = lock(&fixture.source).network_id("demo-net").unwrap();
        let body =
            json!({"port": {"network_id": network, "description": "(protector:member-1:op-0)"}});
        fixture.at_once("demo", "POST", "network /ports", &body);
        answers(&fixture.source, "DELETE", "/v2.0/ports/*", None, 403);
    };
    let (mut fixture, record) = Fixture::moved_as(made_by_a_move, earlier, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let failed = steps_failed(&record.steps);
    let [left] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(left.step, "delete_source_vm:vm-001");
    assert!(
        left.error.contains("is deleted; its port"),
        "{}",
        left.error
    );
    lock(&fixture.source).clear_faults();
    fixture.cleanup_leaves_nothing().await;
    let here = fixture.at_once("admin", "GET", "network /ports", &Value::Null);
    let here = here["ports"].as_array().unwrap();
    assert!(
        here.iter().all(|port| port["description"] == ""),
        "{here:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_new_address_is_taken_before_all_that_are_wanted_are_reserved() {
    let two_cards = |plan: &mut Plan| {
        let nics = &mut plan.members[0].server.nics;
        addresses(&mut nics[0], &[WANTED]);
        nics.push(nics[0].clone());
        addresses(&mut nics[1], &[FIRST]);
    };
    let held = |fixture: &Fixture| held_by_another_project(fixture, WANTED);
    let (fixture, record) = Fixture::moved_as(two_cards, held, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}");
    let seen = fixture.on_target("demo", "GET", &url, &Value::Null);
    let shown = seen["server"]["addresses"]["demo-net"].as_array().unwrap();
    let in_order: Vec<&str> = shown
        .iter()
        .map(|ip| ip["addr"].as_str().unwrap())
        .collect();
    assert_eq!(in_order, ["10.20.0.3", FIRST]);
}

#[tokio::test(start_paused = true)]
async fn what_policy_forbids_is_given_up_one_after_the_other_and_told() {
    let forbidden =
        |fixture: &Fixture| answers(&fixture.target, "POST", "/v2.0/ports", Some(3), 403);
    let (fixture, record) = Fixture::moved_as(with_two_addresses, forbidden, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let port = &in_servers(&fixture)[0];
    assert_eq!(fixed(port), [WANTED, SECOND]);
    assert_eq!(port["port_security_enabled"], true);
    assert_ne!(port["mac_address"], "fa:16:3e:00:00:01");
    let told = facts(&record, "reserve_ports");
    assert!(told.contains("without its MAC address"), "{told}");
    assert!(told.contains("port security"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn what_neutron_there_has_no_extension_for_is_left_out_and_told() {
    let lacks = |fixture: &Fixture| {
        let words = "Unrecognized attribute(s) 'port_security_enabled'";
        let body =
            json!({"NeutronError": {"type": "HTTPBadRequest", "message": words, "detail": ""}});
        answers_with(
            &fixture.target,
            "POST",
            "/v2.0/ports",
            Some(1),
            400,
            Some(body),
        );
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, lacks, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let port = &in_servers(&fixture)[0];
    assert_eq!(fixed(port), [WANTED, SECOND]);
    assert_eq!(port["mac_address"], "fa:16:3e:00:00:01");
    let told = facts(&record, "reserve_ports");
    assert!(
        told.contains("without its switch for port security"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_tenants_own_free_port_is_used_and_stays_when_all_is_taken_back() {
    let own = |fixture: &Fixture| {
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let body = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": WANTED}]}});
        fixture.on_target("demo", "POST", "network /ports", &body);
        fixture.no_copy_can_be_built();
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, own, |_, _| {}).await;
    assert_taken_back(&fixture, &record, &["No valid host was found."]);
    let told = facts(&record, "reserve_ports");
    assert!(
        told.contains(&format!("holds address {WANTED} and is used")),
        "{told}"
    );
    assert!(ports(&fixture).iter().any(|port| fixed(port) == [WANTED]));
    assert_eq!(marked(&fixture), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_port_whose_deletion_is_refused_once_is_taken_back_all_the_same() {
    let refused = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        answers(&fixture.target, "DELETE", "/v2.0/ports/*", Some(1), 403);
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, refused, |_, _| {}).await;
    assert_taken_back(&fixture, &record, &["No valid host was found."]);
    assert_eq!(marked(&fixture), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_cannot_be_deleted_holds_nothing_up_and_is_left_by_name() {
    let refused = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        answers(&fixture.target, "DELETE", "/v2.0/ports/*", None, 403);
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, refused, |_, _| {}).await;
    assert_taken_back(&fixture, &record, &["No valid host was found."]);
    let ports = marked(&fixture);
    let id = ports[0]["id"].as_str().unwrap();
    let mut steps = record.steps.iter();
    let left = steps
        .find(|step| step.phase_name == "reserve_ports")
        .unwrap();
    assert_eq!(left.progress.state, StepState::UndoFailed);
    let why = left.progress.error.clone().unwrap();
    assert!(why.contains(id), "{why}");
    let mut steps = record.steps.iter();
    let started = steps
        .find(|step| step.phase_name == "stop_source_vms")
        .unwrap();
    assert!(started.progress.finished_at < left.progress.finished_at);
    let leftover = protector_core::leftover::leftovers(&record);
    let kinds: Vec<&str> = leftover
        .iter()
        .filter_map(|left| left.kind.map(|kind| kind.as_str()))
        .collect();
    assert_eq!(kinds, ["port"]);
    assert_eq!(
        leftover[0].command,
        format!("openstack --os-cloud site-b port delete {id}")
    );
}

/// Neutron may have deleted it: nobody knows, and the audit trail does not say that it has.
#[tokio::test(start_paused = true)]
async fn a_port_whose_deletion_gets_no_answer_is_not_said_to_be_gone() {
    let broken = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        answers(&fixture.target, "DELETE", "/v2.0/ports/*", None, 500);
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, broken, |_, _| {}).await;
    let ports = marked(&fixture);
    let mut steps = record.steps.iter();
    let left = steps
        .find(|step| step.phase_name == "reserve_ports")
        .unwrap();
    assert_eq!(left.progress.state, StepState::UndoFailed);
    let told: Vec<_> = removals(&record, left)
        .into_iter()
        .map(|removal| (removal.resource_id, removal.end))
        .collect();
    let id = ports[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(told, [(id, RemovalEnd::Unknown)]);
}

/// The answer is lost, and the next look shows that it is gone.
#[tokio::test(start_paused = true)]
async fn a_port_that_is_not_there_any_more_after_its_deletion_got_no_answer_is_gone() {
    let lost = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        fault(
            &fixture.target,
            "DELETE",
            "/v2.0/ports/*",
            CallEffect::LoseReply,
        );
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, lost, |_, _| {}).await;
    assert_eq!(marked(&fixture), Vec::<Value>::new());
    let mut steps = record.steps.iter();
    let line = steps
        .find(|step| step.phase_name == "reserve_ports")
        .unwrap();
    assert_eq!(line.progress.state, StepState::Undone);
    let ends: Vec<_> = removals(&record, line)
        .into_iter()
        .map(|removal| removal.end)
        .collect();
    assert_eq!(ends, [RemovalEnd::Gone]);
}

#[tokio::test(start_paused = true)]
async fn the_port_that_an_earlier_move_has_made_goes_with_the_server_that_is_left() {
    let earlier = |fixture: &Fixture| {
        let network = lock(&fixture.source).network_id("demo-net").unwrap();
        let body =
            json!({"port": {"network_id": network, "description": "(protector:member-1:op-0)"}});
        fixture.at_once("demo", "POST", "network /ports", &body);
    };
    let (fixture, record) = Fixture::moved_as(made_by_a_move, earlier, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let told = facts(&record, "delete_source_vm");
    assert!(told.contains("was deleted"), "{told}");
    let mut steps = record.steps.iter();
    let line = steps.find(|step| step.phase_name == "delete_source_vm");
    let gone = removals(&record, line.unwrap()).into_iter();
    let gone: Vec<_> = gone.map(|removal| (removal.kind, removal.end)).collect();
    let kinds = [ResourceKind::Server, ResourceKind::Port];
    assert_eq!(gone, kinds.map(|kind| (Some(kind), RemovalEnd::Gone)));
    let left = fixture.at_once("admin", "GET", "network /ports", &Value::Null);
    let left = left["ports"].as_array().unwrap();
    assert!(
        !left.iter().any(|port| port["description"] != ""),
        "{left:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_port_that_another_operation_has_reserved_for_the_member_stays() {
    let reserved = |fixture: &Fixture| {
        let network = lock(&fixture.source).network_id("demo-net").unwrap();
        let body =
            json!({"port": {"network_id": network, "description": "(protector:member-1:op-2)"}});
        fixture.at_once("demo", "POST", "network /ports", &body);
    };
    let (fixture, record) = Fixture::moved_as(made_by_a_move, reserved, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let here = fixture.at_once("admin", "GET", "network /ports", &Value::Null);
    let mut here = here["ports"].as_array().unwrap().iter();
    assert!(here.any(|port| port["description"] == "(protector:member-1:op-2)"));
}

fn groups_there(fixture: &Fixture) -> Vec<Value> {
    let all = fixture.on_target("demo", "GET", "network /security-groups", &Value::Null);
    all["security_groups"].as_array().unwrap().clone()
}

/// A strict plan in which `wanted` stands for the member's group, on its server and on its port.
fn grouped(plan: &mut Plan, wanted: &str) {
    with_two_addresses(plan);
    plan.fidelity = Fidelity::Strict;
    let member = &mut plan.members[0];
    let port = member.server.nics[0].port.as_mut().unwrap();
    port.security_groups = vec!["default".to_owned()];
    port.port_security_enabled = Some(true);
    let recovery = plan.recovery.members.entry(member.id.clone()).or_default();
    let groups = &mut recovery.security_groups;
    groups.insert("default".to_owned(), wanted.to_owned());
}

#[tokio::test(start_paused = true)]
async fn a_security_group_is_mapped_by_its_id_too() {
    let (fixture, _) = Fixture::moved_as(|_| {}, |_| {}, |_, _| {}).await;
    let id = groups_there(&fixture)[0]["id"].as_str().unwrap().to_owned();
    let by_id = |plan: &mut Plan| grouped(plan, &id);
    let (fixture, record) = Fixture::moved_as(by_id, |_| {}, |_, _| {}).await;
    let why = record.operation.error.clone();
    assert_eq!(record.operation.state, OperationState::Completed, "{why:?}");
    assert_eq!(in_servers(&fixture)[0]["security_groups"], json!([id]));
    let told = facts(&record, "confirm_vms");
    assert!(!told.contains("is not as its original"), "{told}");
}

/// Another project shares its security group `corporate` with the tenant's.
fn shares_corporate(fixture: &Fixture) {
    let body = json!({"security_group": {"name": "corporate"}});
    let made = fixture.on_target("admin", "POST", "network /security-groups", &body);
    let id = made["security_group"]["id"].as_str().unwrap();
    let project = groups_there(fixture)[0]["project_id"]
        .as_str()
        .unwrap()
        .to_owned();
    lock(&fixture.target).share_security_group(id, &project);
}

/// Nova would make the port of a card without an address, and take none that is not the project's own.
#[tokio::test(start_paused = true)]
async fn a_card_without_an_address_has_a_security_group_that_another_project_shares() {
    let shared = |plan: &mut Plan| {
        grouped(plan, "corporate");
        plan.fidelity = Fidelity::Told;
        plan.members[0].server.nics[0].fixed_ips.clear();
    };
    let (fixture, record) = Fixture::moved_as(shared, shares_corporate, |_, _| {}).await;
    let why = record.operation.error.clone();
    assert_eq!(record.operation.state, OperationState::Completed, "{why:?}");
    let mut groups = groups_there(&fixture).into_iter();
    let corporate = groups.find(|group| group["name"] == "corporate").unwrap();
    let port = &in_servers(&fixture)[0];
    assert_eq!(port["security_groups"], json!([corporate["id"]]));
    assert_eq!(marked(&fixture).len(), 1, "it is ours");
}

/// Nova takes none that is not the project's own: the port has it.
#[tokio::test(start_paused = true)]
async fn a_security_group_that_another_project_shares_is_used() {
    let shared = |plan: &mut Plan| grouped(plan, "corporate");
    let (fixture, record) = Fixture::moved_as(shared, shares_corporate, |_, _| {}).await;
    let why = record.operation.error.clone();
    assert_eq!(record.operation.state, OperationState::Completed, "{why:?}");
    let mut groups = groups_there(&fixture).into_iter();
    let corporate = groups.find(|group| group["name"] == "corporate").unwrap();
    assert_eq!(corporate["shared"], true);
    let id = &corporate["id"];
    assert_eq!(in_servers(&fixture)[0]["security_groups"], json!([id]));
}

/// As in a move: the port that the test has made has it, and goes with the copy.
#[tokio::test(start_paused = true)]
async fn a_test_uses_a_security_group_that_another_project_shares() {
    for is_addressed in [true, false] {
        let shared = |plan: &mut Plan| {
            grouped(plan, "corporate");
            if !is_addressed {
                plan.members[0].server.nics[0].fixed_ips.clear();
            }
        };
        let (fixture, test) = Fixture::tested(shared, shares_corporate).await;
        let why = test.operation.error.clone();
        assert_eq!(
            test.operation.state,
            OperationState::AwaitingCleanup,
            "{why:?}"
        );
        let mut groups = groups_there(&fixture).into_iter();
        let corporate = groups.find(|group| group["name"] == "corporate").unwrap();
        let port = &in_servers(&fixture)[0];
        assert_eq!(port["security_groups"], json!([corporate["id"]]));
        let ended = fixture.test_cleanup(&test).await;
        assert_eq!(ended.failed(), []);
        assert_eq!((marked(&fixture), in_servers(&fixture)), (vec![], vec![]));
    }
}

/// What is known beyond an isolated network stays with the original: one address alone is asked for, as ever.
#[tokio::test(start_paused = true)]
async fn a_tests_port_has_one_address_and_neither_the_mac_address_nor_the_dns_domain() {
    let known_outside = |plan: &mut Plan| {
        with_everything(plan);
        plan.fidelity = Fidelity::Strict;
    };
    let extensions = |fixture: &Fixture| {
        extended(fixture, &[]);
        // Strictness is about moves: a test takes less.
        answers(&fixture.target, "POST", "/v2.0/ports", Some(1), 403);
    };
    let (fixture, test) = Fixture::tested(known_outside, extensions).await;
    let why = test.operation.error.clone();
    assert_eq!(
        test.operation.state,
        OperationState::AwaitingCleanup,
        "{why:?}"
    );
    let spec = test.operation.plan.members[0].server.nics[0].clone();
    let wanted = spec.port.unwrap();
    let port = &in_servers(&fixture)[0];
    assert_eq!(fixed(port).len(), 1, "{port}");
    assert_eq!(port["name"], json!(wanted.name));
    assert!(!wanted.mac_address.is_empty() && !wanted.dns_domain.is_empty());
    assert_ne!(port["mac_address"], json!(wanted.mac_address));
    assert_eq!(port["dns_domain"], json!(""));
    let told = facts(&test, "complete_ports") + &facts(&test, "reserve_ports");
    assert!(
        told.contains("a test leaves that to the original"),
        "{told}"
    );
}

/// A test whose copy cannot be built takes its ports back.
#[tokio::test(start_paused = true)]
async fn a_test_that_fails_leaves_no_port() {
    let fails = |fixture: &Fixture| fixture.no_copy_can_be_built();
    let (fixture, test) = Fixture::tested(with_two_addresses, fails).await;
    assert_eq!(test.operation.state, OperationState::Failed);
    let made = test
        .steps
        .iter()
        .find(|step| step.phase_name == "reserve_ports");
    assert!(
        made.unwrap().progress.memo.made.is_some(),
        "it has made one"
    );
    assert_eq!(marked(&fixture), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_free_port_of_an_earlier_move_is_taken_with_a_mark_of_its_own() {
    let left = |fixture: &Fixture| {
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let body = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": WANTED}],
            "description": "(protector:member-1:op-0)"}});
        fixture.on_target("demo", "POST", "network /ports", &body);
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, left, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let ports = marked(&fixture);
    let [port] = ports.as_slice() else {
        panic!("{ports:?}");
    };
    let description = format!("of the web (protector:member-1:{})", record.operation.id);
    assert_eq!(port["description"], description);
}

#[tokio::test(start_paused = true)]
async fn what_the_free_port_of_an_earlier_move_has_otherwise_is_told_when_the_copy_is_confirmed() {
    let left = |fixture: &Fixture| {
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let body = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": WANTED}],
            "description": "(protector:member-1:op-0)", "admin_state_up": false}});
        fixture.on_target("demo", "POST", "network /ports", &body);
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, left, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let port = in_servers(&fixture)[0]["id"].as_str().unwrap().to_owned();
    let told = not_as_it_was(&record);
    for words in [
        format!("admin state of port {port} (card 1): down, wanted: up"),
        format!("security groups of port {port} (card 1): default, wanted: none"),
        format!("switch for port security of port {port} (card 1): on, wanted: off"),
    ] {
        assert!(told.contains(&words), "{words}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_policy_forbids_takes_a_strict_move_back() {
    let strict = |plan: &mut Plan| {
        with_two_addresses(plan);
        plan.fidelity = Fidelity::Strict;
    };
    let forbidden =
        |fixture: &Fixture| answers(&fixture.target, "POST", "/v2.0/ports", Some(2), 403);
    let (fixture, record) = Fixture::moved_as(strict, forbidden, |_, _| {}).await;
    assert_taken_back(&fixture, &record, &["403"]);
}

#[tokio::test(start_paused = true)]
async fn a_port_that_somebody_has_taken_stays_and_the_record_does_not_call_it_deleted() {
    let copy_is_gone = |record: &OperationRecord| {
        let mut steps = record.steps.iter();
        let line = steps.find(|step| step.phase_name == "recreate_vms");
        line.unwrap().progress.state == StepState::Undone
    };
    let refused = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        answers(&fixture.target, "DELETE", "/v2.0/ports/*", Some(2), 403);
    };
    let takes = once(copy_is_gone, |fixture| {
        let id = marked(fixture)[0]["id"].as_str().unwrap().to_owned();
        let body = json!({"port": {"device_id": "somebody", "device_owner": "compute:nova"}});
        fixture.on_target("demo", "PUT", &format!("network /ports/{id}"), &body);
    });
    let (fixture, record) = Fixture::moved_as(with_two_addresses, refused, takes).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(marked(&fixture)[0]["device_id"], "somebody");
    let told = facts(&record, "reserve_ports");
    assert!(told.contains("stays: it is in server somebody"), "{told}");
    let mut steps = record.steps.iter();
    let line = steps
        .find(|step| step.phase_name == "reserve_ports")
        .unwrap();
    assert_eq!(line.progress.state, StepState::Undone);
    assert_eq!(removals(&record, line), []);
}

/// A port with all that Neutron lets be set on it.
fn with_everything(plan: &mut Plan) {
    with_two_addresses(plan);
    // Nova shows the groups of its ports.
    plan.members[0].server.security_groups.clear();
    let nic = &mut plan.members[0].server.nics[0];
    nic.tag = Some("front".to_owned());
    let port = nic.port.as_mut().unwrap();
    port.admin_state = AdminState::Down;
    port.dns_domain = "example.org.".to_owned();
    port.qos_policy = Some(QosPolicy {
        id: "q-a".to_owned(),
        name: "gold".to_owned(),
    });
    port.extra_dhcp_opts = vec![DhcpOption {
        opt_name: "mtu".to_owned(),
        opt_value: Some("1400".to_owned()),
        ip_version: Some(4),
    }];
}

/// The target's Neutron has what not every one has, and shared QoS policies of these names; their ids.
fn extended(fixture: &Fixture, policies: &[&str]) -> Vec<String> {
    lock(&fixture.target).load_port_extensions();
    let made = policies.iter().map(|name| {
        let body = json!({"policy": {"name": name, "shared": true}});
        let made = fixture.on_target("admin", "POST", "network /qos/policies", &body);
        made["policy"]["id"].as_str().unwrap().to_owned()
    });
    made.collect()
}

/// What the confirmation of the copy tells of differences.
fn not_as_it_was(record: &OperationRecord) -> String {
    let told = facts(record, "confirm_vms");
    let of_ports = told.split("; ").filter(|fact| fact.contains("not as its"));
    of_ports.collect::<Vec<_>>().join("; ")
}

#[tokio::test(start_paused = true)]
async fn what_is_set_on_a_port_is_kept_and_a_port_that_is_down_stays_down() {
    let there = |fixture: &Fixture| {
        extended(fixture, &["silver", "gold"]);
    };
    let (fixture, record) = Fixture::moved_as(with_everything, there, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let port = &in_servers(&fixture)[0];
    assert_eq!(port["admin_state_up"], false);
    assert_eq!(port["dns_domain"], "example.org.");
    let mtu = json!([{"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}]);
    assert_eq!(port["extra_dhcp_opts"], mtu);
    let policies = fixture.on_target("demo", "GET", "network /qos/policies", &Value::Null);
    let mut policies = policies["policies"].as_array().unwrap().iter();
    let gold = policies.find(|policy| policy["name"] == "gold").unwrap();
    assert_eq!(port["qos_policy_id"], gold["id"]);
    assert_eq!(facts(&record, "reserve_ports"), "");
    assert_eq!(not_as_it_was(&record), "");
    let copy = lock(&fixture.target).servers()[0].id.clone();
    let url = format!("compute /servers/{copy}/os-interface");
    let cards = fixture.on_target("demo", "GET", &url, &Value::Null);
    assert_eq!(cards["interfaceAttachments"][0]["tag"], "front");
}

#[tokio::test(start_paused = true)]
async fn a_port_has_the_qos_policy_that_the_groups_mapping_names() {
    let mapped = |plan: &mut Plan| {
        with_everything(plan);
        let mapping = &mut plan.mappings.qos_policies;
        mapping.insert("gold".to_owned(), "silver".to_owned());
    };
    let there = |fixture: &Fixture| {
        extended(fixture, &["gold", "silver"]);
    };
    let (fixture, record) = Fixture::moved_as(mapped, there, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let id = in_servers(&fixture)[0]["qos_policy_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = format!("network /qos/policies/{id}");
    let policy = fixture.on_target("demo", "GET", &url, &Value::Null);
    assert_eq!(policy["policy"]["name"], "silver");
    assert_eq!(not_as_it_was(&record), "");
}

#[tokio::test(start_paused = true)]
async fn what_the_target_lacks_of_a_port_is_told_once() {
    let (fixture, record) = Fixture::moved_as(with_everything, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let port = &in_servers(&fixture)[0];
    assert_eq!(
        (port["admin_state_up"].as_bool(), fixed(port).len()),
        (Some(false), 2)
    );
    assert_eq!(port["mac_address"], "fa:16:3e:00:00:01");
    let told = facts(&record, "reserve_ports");
    let words = [
        "the port of card 1 is made without its QoS policy: gold has no counterpart on site-b",
        "the port of card 1 is made without its DNS domain: Neutron said 400",
    ];
    for words in words {
        assert_eq!(told.matches(words).count(), 1, "{told}");
    }
    assert_eq!(not_as_it_was(&record), "", "told already");
}

#[tokio::test(start_paused = true)]
async fn a_strict_move_is_taken_back_for_what_the_target_lacks_of_a_port() {
    let strict = |plan: &mut Plan| {
        with_everything(plan);
        plan.fidelity = Fidelity::Strict;
    };
    let (fixture, record) = Fixture::moved_as(strict, |_| {}, |_, _| {}).await;
    assert_taken_back(
        &fixture,
        &record,
        &["QoS policy of port", "none, wanted: gold"],
    );
}

/// How often a request for the port is forbidden, and whether it has its MAC address, port security off, and a QoS policy.
#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_looked_for_and_costs_no_more_than_it_must() {
    let kept = [
        (1, (true, true, false), "QoS policy"),
        (2, (false, true, true), "MAC address"),
        (3, (false, true, false), "MAC address"),
        (4, (true, false, true), "port security"),
        (5, (true, false, false), "port security"),
        (6, (false, false, true), "port security"),
        (7, (false, false, false), "port security"),
        (8, (false, false, false), "DNS domain"),
    ];
    for (times, wanted, word) in kept {
        let forbidden = |fixture: &Fixture| {
            extended(fixture, &["gold"]);
            answers(&fixture.target, "POST", "/v2.0/ports", Some(times), 403);
        };
        let (fixture, record) = Fixture::moved_as(with_everything, forbidden, |_, _| {}).await;
        assert_eq!(record.operation.error, None);
        let port = &in_servers(&fixture)[0];
        assert_eq!(fixed(port), [WANTED, SECOND], "{times}");
        let has = (
            port["mac_address"] == "fa:16:3e:00:00:01",
            port["port_security_enabled"] == false,
            !port["qos_policy_id"].is_null(),
        );
        assert_eq!(has, wanted, "{times}");
        let told = facts(&record, "reserve_ports");
        assert!(told.contains(word), "{times}: {told}");
        assert_eq!(told.contains("DNS domain"), times == 8, "{times}: {told}");
        let of_policy = told.contains("QoS policy");
        assert_eq!(of_policy, !wanted.2, "{times}: {told}");
        // With port security Neutron puts it into the default group.
        let expected = match port["port_security_enabled"] == true {
            true => "the copy is not as its original in its security groups: default, wanted: none",
            false => "",
        };
        assert_eq!(not_as_it_was(&record), expected, "{times}");
    }
}

/// A network that another project shares, with the addresses of the tenant's own. Neutron lets its owner alone choose addresses
/// and MAC addresses there.
fn shared_by_another_project(fixture: &Fixture) {
    let body = json!({"network": {"name": "provider", "shared": true}});
    let made = fixture.on_target("admin", "POST", "network /networks", &body);
    let subnet =
        json!({"network_id": made["network"]["id"], "cidr": "10.20.0.0/16", "ip_version": 4});
    let body = json!({"subnet": subnet});
    fixture.on_target("admin", "POST", "network /subnets", &body);
}

#[tokio::test(start_paused = true)]
async fn on_a_network_of_another_project_only_what_its_owner_keeps_is_given_up() {
    let there = |fixture: &Fixture| {
        extended(fixture, &["gold"]);
        shared_by_another_project(fixture);
    };
    // The same seed gives the same ids.
    let (fixture, _) = Fixture::moved_as(|_| {}, there, |_, _| {}).await;
    let provider = lock(&fixture.target).network_id("provider").unwrap();
    let onto_it = |plan: &mut Plan| {
        with_everything(plan);
        let networks = plan.mappings.networks.values_mut();
        networks.for_each(|network| network.clone_from(&provider));
    };
    let (fixture, record) = Fixture::moved_as(onto_it, there, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let all = in_servers(&fixture);
    let port = all
        .iter()
        .find(|port| port["network_id"] == json!(provider));
    let port = port.unwrap();
    assert_ne!(fixed(port), [WANTED, SECOND]);
    assert_eq!(port["extra_dhcp_opts"][0]["opt_name"], "mtu");
    assert_eq!(port["dns_domain"], "example.org.");
    assert!(!port["qos_policy_id"].is_null(), "{port}");
    let told = facts(&record, "reserve_ports") + &facts(&record, "complete_ports");
    for given_up in ["QoS policy", "DNS domain", "extra DHCP options"] {
        assert!(!told.contains(given_up), "{told}");
    }
}

fn is_reserved(record: &OperationRecord) -> bool {
    let mut steps = record.steps.iter();
    let line = steps.find(|step| step.phase_name == "reserve_ports");
    line.unwrap().progress.state == StepState::Done
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_not_as_wanted_is_named_when_the_copy_is_confirmed() {
    let there = |fixture: &Fixture| {
        extended(fixture, &["gold"]);
    };
    let changes = once(is_reserved, |fixture| {
        let id = marked(fixture)[0]["id"].as_str().unwrap().to_owned();
        let body = json!({"port": {"admin_state_up": true, "qos_policy_id": null}});
        fixture.on_target("demo", "PUT", &format!("network /ports/{id}"), &body);
    });
    let (fixture, record) = Fixture::moved_as(with_everything, there, changes).await;
    assert_eq!(record.operation.error, None);
    let port = in_servers(&fixture)[0]["id"].as_str().unwrap().to_owned();
    let told = not_as_it_was(&record);
    for words in [
        format!("admin state of port {port} (card 1): up, wanted: down"),
        format!("QoS policy of port {port} (card 1): none, wanted: gold"),
    ] {
        assert!(told.contains(&words), "{told}");
    }
    assert_eq!(told.matches("not as its").count(), 2, "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_port_whose_making_got_no_answer_gets_its_tags() {
    let lost = |fixture: &Fixture| {
        fault(
            &fixture.target,
            "POST",
            "/v2.0/ports",
            CallEffect::LoseReply,
        );
    };
    let (fixture, record) = Fixture::moved_as(with_two_addresses, lost, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let ports = in_servers(&fixture);
    assert_eq!((ports.len(), marked(&fixture).len()), (1, 1));
    assert_eq!(ports[0]["tags"], json!(["blue"]));
}

/// It is gone, and nobody may look: that is not known, and nothing is left of it.
#[tokio::test(start_paused = true)]
async fn a_look_that_is_refused_does_not_fail_the_deletion_of_a_port() {
    let without_tags = |plan: &mut Plan| {
        with_two_addresses(plan);
        let port = plan.members[0].server.nics[0].port.as_mut();
        port.unwrap().tags.clear();
    };
    let refused = |fixture: &Fixture| {
        fixture.no_copy_can_be_built();
        let lost = CallEffect::LoseReply;
        fault(&fixture.target, "DELETE", "/v2.0/ports/*", lost);
        answers(&fixture.target, "GET", "/v2.0/ports/*", None, 403);
    };
    let (fixture, record) = Fixture::moved_as(without_tags, refused, |_, _| {}).await;
    assert_eq!(marked(&fixture), Vec::<Value>::new());
    let mut steps = record.steps.iter();
    let line = steps
        .find(|step| step.phase_name == "reserve_ports")
        .unwrap();
    assert_eq!(line.progress.state, StepState::Undone);
    let ends: Vec<_> = removals(&record, line)
        .into_iter()
        .map(|removal| removal.end)
        .collect();
    assert_eq!(ends, [RemovalEnd::Unknown]);
}

#[tokio::test(start_paused = true)]
async fn the_ports_of_a_left_server_that_is_gone_already_go_and_the_record_has_their_deletion() {
    let earlier = |fixture: &Fixture| {
        let network = lock(&fixture.source).network_id("demo-net").unwrap();
        let body =
            json!({"port": {"network_id": network, "description": "(protector:member-1:op-0)"}});
        fixture.at_once("demo", "POST", "network /ports", &body);
        let url = format!("compute /servers/{}", fixture.server);
        let deleted = fixture.later_on(&fixture.source, "demo", "DELETE", &url, &Value::Null);
        fixture.at_write(Entry::moves_the_group, deleted);
    };
    let (fixture, record) = Fixture::moved_as(made_by_a_move, earlier, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    let mut steps = record.steps.iter();
    let line = steps
        .find(|step| step.phase_name == "delete_source_vm")
        .unwrap();
    assert_eq!(line.progress.error_code, Some(Code::AlreadyGone));
    let here = fixture.at_once("admin", "GET", "network /ports", &Value::Null);
    let here = here["ports"].as_array().unwrap();
    assert!(
        here.iter().all(|port| port["description"] == ""),
        "{here:?}"
    );
    let gone: Vec<_> = removals(&record, line)
        .into_iter()
        .map(|removal| (removal.kind, removal.end))
        .collect();
    let server = (Some(ResourceKind::Server), RemovalEnd::Failed);
    let port = (Some(ResourceKind::Port), RemovalEnd::Gone);
    assert_eq!(gone, [server, port]);
}

fn in_its_place(plan: &mut Plan) {
    addresses(&mut plan.members[0].server.nics[0], &[WANTED]);
    plan.members[0].server.nics[0].port = Some(port());
    plan.interrupted = vec!["op-lost".into()];
}

/// What the interrupted failover has left: with an address of its own, since the wanted one was taken then.
fn port_of_lost(fixture: &Fixture) {
    let network = lock(&fixture.target).network_id("demo-net").unwrap();
    let port = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.20.0.70"}],
        "description": "of the web (protector:member-1:op-lost)"}});
    fixture.on_target("demo", "POST", "network /ports", &port);
}

/// Of the interrupted failover: with an address of its own, since the wanted one was taken then, and free.
#[tokio::test(start_paused = true)]
async fn the_free_port_of_an_interrupted_failover_is_used_by_the_one_in_its_place() {
    let left = |fixture: &Fixture| {
        port_of_lost(fixture);
        let network = lock(&fixture.target).network_id("demo-net").unwrap();
        let of_another = json!({"port": {"network_id": network, "fixed_ips": [{"ip_address": WANTED}],
            "device_id": "somebody", "device_owner": "compute:nova"}});
        fixture.on_target("demo", "POST", "network /ports", &of_another);
    };
    let (fixture, record) = Fixture::moved_as(in_its_place, left, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let ports = marked(&fixture);
    let [port] = ports.as_slice() else {
        panic!("{ports:?}");
    };
    assert_eq!(fixed(port), ["10.20.0.70"]);
    let description = format!("of the web (protector:member-1:{})", record.operation.id);
    assert_eq!(port["description"], description);
    assert_ne!(port["device_id"], "");
}

/// The address that it could not have then can be had now: its port with another one is nobody's.
#[tokio::test(start_paused = true)]
async fn a_port_of_an_interrupted_failover_that_nothing_uses_is_deleted() {
    let (fixture, record) = Fixture::moved_as(in_its_place, port_of_lost, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let ports = marked(&fixture);
    let [port] = ports.as_slice() else {
        panic!("{ports:?}");
    };
    assert_eq!(fixed(port), [WANTED]);
    let told = facts(&record, "complete_ports");
    assert!(
        told.contains(
            "(10.20.0.70), which an interrupted operation has made and nothing used, was deleted"
        ),
        "{told}"
    );
    let mut lines = record.steps.iter();
    let line = lines
        .find(|step| step.phase_name == "complete_ports")
        .unwrap();
    let deleted: Vec<_> = removals(&record, line)
        .into_iter()
        .map(|removal| removal.end)
        .collect();
    assert_eq!(deleted, [RemovalEnd::Gone]);
}
