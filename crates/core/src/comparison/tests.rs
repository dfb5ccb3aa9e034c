use serde_json::json;

use super::*;
use crate::{carried, carried::CarriedResource};

#[test]
fn of_several_values_the_worst_counts_and_each_says_why_once() {
    let verdict = Verdict::of_all(vec![
        Verdict::kept("a"),
        Verdict::changed("another one", "b is in use there"),
        Verdict::changed("another one", "c is in use there").unannounced(),
    ]);
    let Verdict {
        copy, outcome, why, ..
    } = verdict;
    assert_eq!(copy.as_deref(), Some("a, another one"));
    assert_eq!(outcome, AttributeOutcome::Changed);
    assert_eq!(why.as_deref(), Some("b is in use there; c is in use there"));
    assert_eq!(verdict.strictly, Strictly::Fails);
}

#[test]
fn what_real_clouds_show_of_an_ordinary_server_is_hardly_lost() {
    let shown = |name: &str| -> Value {
        let path = format!(
            "{}/tests/attributes/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let lost = |thing, name| -> Vec<&str> {
        let lost = carried::lacking(thing, &shown(name)).into_iter();
        lost.map(|lost| lost.name).collect()
    };
    assert_eq!(lost(CarriedResource::Server, "server"), ["user_id"]);
    assert_eq!(lost(CarriedResource::Flavor, "flavor"), [""; 0]);
    assert_eq!(lost(CarriedResource::Volume, "volume"), ["user_id"]);
    assert_eq!(lost(CarriedResource::Port, "port"), [""; 0]);
}

#[test]
fn what_is_inside_a_list_is_lacking_where_it_is_set() {
    let volume = |set: bool| json!({"id": "v", "delete_on_termination": set});
    let with = |volumes: Value| json!({"os-extended-volumes:volumes_attached": volumes});
    let server = with(json!([volume(false), volume(false)]));
    assert_eq!(carried::lacking(CarriedResource::Server, &server), []);
    let server = with(json!([volume(false), volume(true)]));
    let lost = carried::lacking(CarriedResource::Server, &server);
    assert_eq!(
        (lost[0].name, lost[0].value.as_str()),
        (
            "os-extended-volumes:volumes_attached.delete_on_termination",
            "true"
        )
    );
}

#[test]
fn what_is_set_on_a_port_in_a_special_way_is_lacking_and_told_alike() {
    let port = json!({"admin_state_up": false, "trusted": true, "propagate_uplink_status": false,
        "hints": {"openvswitch": {"other_config": {"tx-steering": "hash"}}},
        "mac_learning_enabled": false, "numa_affinity_policy": null, "qos_policy_id": "q"});
    let lacking = carried::lacking(CarriedResource::Port, &port).into_iter();
    let lacking: Vec<String> = lacking
        .map(|lost| format!("{}={}", lost.name, lost.value))
        .collect();
    assert_eq!(lacking, carried::special_settings(&port));
    let names: Vec<&str> = lacking
        .iter()
        .filter_map(|set| set.split_once('='))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["hints", "trusted"]);
}
