//! The table of what a copy keeps, held to what real clouds showed (`testbed/openstack/attributes.py` records them).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

use std::{collections::BTreeSet, fs, path::Path};

use protector_core::{carried, carried::CarriedResource};
use serde_json::{Value, json};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn no_attribute_that_a_real_cloud_shows_is_forgotten() {
    for thing in CarriedResource::ALL {
        let path = folder().join(format!("tests/attributes/{}.json", thing.as_str()));
        let shown: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(shown["id"].is_string());
        let unknown = carried::unknown(thing, &shown);
        assert!(
            unknown.is_empty(),
            "crates/core/src/carried.rs should say what becomes of {unknown:?} of a {}",
            thing.as_str()
        );
    }
}

#[test]
fn what_a_newer_cloud_shows_is_found_also_inside_another() {
    let shown = json!({"name": "web", "colour": "blue",
        "os-extended-volumes:volumes_attached": [{"id": "v", "tag": "data"}],
        "metadata": {"anything": "goes"}});
    let unknown = carried::unknown(CarriedResource::Server, &shown);
    let volumes = "os-extended-volumes:volumes_attached";
    assert_eq!(unknown, ["colour".to_owned(), format!("{volumes}.tag")]);
}

#[test]
fn the_table_says_one_thing_of_each_attribute_in_order() {
    for thing in CarriedResource::ALL {
        let attributes = carried::attributes_of(thing).iter();
        let names: Vec<&str> = attributes.map(|attribute| attribute.name).collect();
        let ordered: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names, ordered.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn the_manual_has_the_page() {
    let path = folder().join("../../docs/what-a-copy-keeps.md");
    let checked_in = fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == carried::page(),
        "docs/what-a-copy-keeps.md is out of date; 'make generate' writes it"
    );
}
