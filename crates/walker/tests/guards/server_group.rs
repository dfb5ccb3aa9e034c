//! Copies of servers that are in a server group get the group that stands for it on the target, or say that they do not.

use protector_core::{
    operation::{MapKind, OperationKind, OperationRecord, OperationState, ResourceMap},
    plan::Plan,
    runbook::failover::planned_move,
    server_group::ServerGroup,
};
use protector_simcloud::in_process::lock;
use serde_json::{Value, json};

use super::{
    fixture::{Fixture, operation},
    source_at_rest::{assert_taken_back, has_begun},
};

/// The id of the original's group.
const HERE: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn in_web(plan: &mut Plan) {
    plan.members[0].server.server_group = Some(ServerGroup {
        id: HERE.to_owned(),
        name: "web".to_owned(),
        policy: "anti-affinity".to_owned(),
        most_per_host: None,
    });
}

fn made_by_tenant(fixture: &Fixture, name: &str, policy: &str) -> String {
    let body = json!({"server_group": {"name": name, "policy": policy}});
    let made = fixture.on_target("demo", "POST", "compute /os-server-groups", &body);
    made["server_group"]["id"].as_str().unwrap().to_owned()
}

fn groups_there(fixture: &Fixture) -> Vec<Value> {
    let groups = fixture.on_target("demo", "GET", "compute /os-server-groups", &Value::Null);
    groups["server_groups"].as_array().unwrap().clone()
}

/// The groups of the copy, as Nova shows them.
fn of_the_copy(fixture: &Fixture) -> Vec<String> {
    let url = format!("compute /servers/{}", lock(&fixture.target).servers()[0].id);
    let seen = fixture.on_target("demo", "GET", &url, &Value::Null);
    let groups = seen["server"]["server_groups"].as_array().unwrap().iter();
    groups.map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn facts_of<'r>(record: &'r OperationRecord, key: &str) -> &'r [String] {
    let mut steps = record.steps.iter();
    let step = steps.find(|step| step.key == key).unwrap();
    &step.progress.memo.facts
}

#[tokio::test(start_paused = true)]
async fn a_group_that_the_target_lacks_is_made_with_its_name_and_policy() {
    let (fixture, record) = Fixture::moved_as(in_web, |_| {}, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let groups = groups_there(&fixture);
    assert_eq!(groups.len(), 1);
    let (name, policy) = (&groups[0]["name"], &groups[0]["policy"]);
    assert_eq!((name, policy), (&json!("web"), &json!("anti-affinity")));
    let id = groups[0]["id"].as_str().unwrap();
    assert_eq!(of_the_copy(&fixture), [id]);
    assert_eq!(record.map.target(MapKind::ServerGroup, HERE), Some(id));
    let told = facts_of(&record, "confirm_vms:vm-001");
    assert!(!told.iter().any(|fact| fact.contains("server group")));
    let (_, members) = fixture.group_and_members();
    assert_eq!(members[0].server.server_group.as_ref().unwrap().id, id);
}

#[tokio::test(start_paused = true)]
async fn a_group_of_the_same_name_and_policy_is_used() {
    let prepare = |fixture: &Fixture| {
        made_by_tenant(fixture, "web", "affinity");
        made_by_tenant(fixture, "web", "anti-affinity");
    };
    let (fixture, record) = Fixture::moved_as(in_web, prepare, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let groups = groups_there(&fixture);
    assert_eq!(groups.len(), 2, "none was made");
    assert_eq!(of_the_copy(&fixture), [groups[1]["id"].as_str().unwrap()]);
}

/// Ids of a simulated cloud follow from its seed: the group is made once to know its id.
#[tokio::test(start_paused = true)]
async fn a_mapped_group_is_used_whatever_its_name() {
    let id = std::cell::RefCell::new(String::new());
    let there = |fixture: &Fixture| {
        *id.borrow_mut() = made_by_tenant(fixture, "shop", "soft-anti-affinity")
    };
    Fixture::moved_as(|_| {}, there, |_, _| {}).await;
    let wanted = id.borrow().clone();
    let mapped = |plan: &mut Plan| {
        in_web(plan);
        let mapping = &mut plan.mappings.server_groups;
        mapping.insert(HERE.to_owned(), wanted.clone());
    };
    let (fixture, record) = Fixture::moved_as(mapped, there, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    assert_eq!(of_the_copy(&fixture), [wanted]);
}

#[tokio::test(start_paused = true)]
async fn a_mapped_group_that_is_gone_is_refused_before_anything_is_stopped() {
    let gone = |plan: &mut Plan| {
        in_web(plan);
        let mapping = &mut plan.mappings.server_groups;
        mapping.insert(
            HERE.to_owned(),
            "0a1b2c3d-0000-4000-8000-00000000000f".to_owned(),
        );
    };
    let (fixture, record) = Fixture::moved_as(gone, |_| {}, |_, _| {}).await;
    let words = [
        "mapped server group 0a1b2c3d-0000-4000-8000-00000000000f does not exist on site-b",
        "--server-group-mapping 0a1b2c3d-0000-4000-8000-000000000001=<server group there>",
    ];
    assert_taken_back(&fixture, &record, &words);
    assert!(!has_begun(&record, "stop_source_vms"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_built_without_a_group_that_nova_does_not_let_be_made() {
    let full = |fixture: &Fixture| {
        for number in 0..10 {
            made_by_tenant(fixture, &format!("other-{number}"), "affinity");
        }
    };
    let (fixture, record) = Fixture::moved_as(in_web, full, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Completed);
    assert_eq!(of_the_copy(&fixture), [""; 0]);
    let built = facts_of(&record, "recreate_vms:vm-001").join("; ");
    assert!(
        built.contains("built without server group web (anti-affinity)")
            && built.contains("too many server groups"),
        "{built}"
    );
    let told = facts_of(&record, "confirm_vms:vm-001").join("; ");
    assert!(
        told.contains("not as its original in its server group: none, wanted: web (anti-affinity)"),
        "{told}"
    );
}

/// The simulated cloud has one compute host.
#[tokio::test(start_paused = true)]
async fn a_build_without_a_host_names_the_group_and_the_cure() {
    let crowded = |fixture: &Fixture| {
        let group = made_by_tenant(fixture, "web", "anti-affinity");
        let flavors = fixture.on_target("demo", "GET", "compute /flavors", &Value::Null);
        let server = json!({
            "server": {
                "name": "beside",
                "flavorRef": flavors["flavors"][0]["id"],
                "networks": "none",
                "block_device_mapping_v2": [{
                    "source_type": "blank", "destination_type": "volume",
                    "volume_size": 1, "boot_index": 0, "delete_on_termination": true,
                }],
            },
            "os:scheduler_hints": {"group": group},
        });
        fixture.on_target("demo", "POST", "compute /servers", &server);
    };
    let (_, record) = Fixture::moved_as(in_web, crowded, |_, _| {}).await;
    assert_eq!(record.operation.state, OperationState::Failed);
    let why = record.operation.error.unwrap();
    for word in [
        "No valid host was found",
        "it is in server group web (anti-affinity)",
        "soft-anti-affinity",
        "--server-group-mapping 0a1b2c3d-0000-4000-8000-000000000001=",
    ] {
        assert!(why.contains(word), "{word} is not in: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_made_is_found_again_on_the_next_move() {
    let there = |fixture: &Fixture| {
        made_by_tenant(fixture, "web", "anti-affinity");
    };
    let (fixture, record) = Fixture::moved_as(in_web, there, |_, _| {}).await;
    assert_eq!(record.operation.error, None);
    let source = |fixture: &Fixture| {
        let url = "compute /os-server-groups";
        let seen = fixture.at_once("demo", "GET", url, &Value::Null);
        seen["server_groups"].as_array().unwrap().clone()
    };
    let home = json!({"server_group": {"name": "web", "policy": "anti-affinity"}});
    let home = fixture.at_once("demo", "POST", "compute /os-server-groups", &home);
    let plan = fixture.plan_to_other_site();
    let now = plan.members[0].created_at;
    let back = OperationRecord {
        steps: planned_move(&plan).into_steps().unwrap(),
        operation: operation("op-back", OperationKind::Failback, plan, None, now),
        map: ResourceMap::default(),
    };
    let back = fixture.walk(back).await;
    assert_eq!(back.operation.error, None);
    assert_eq!(source(&fixture).len(), 1, "none was made beside it");
    let (_, members) = fixture.group_and_members();
    let group = members[0].server.server_group.clone().unwrap();
    assert_eq!(json!(group.id), home["server_group"]["id"]);
    assert_eq!((group.name.as_str(), group.is_strict()), ("web", true));
}
