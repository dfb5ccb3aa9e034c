//! A simulated cloud shows nothing of a server that the table of what a copy keeps does not know.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod client;

use client::World;
use protector_core::{carried, carried::CarriedResource};
use serde_json::{Value, json};

fn first<'v>(body: &'v Value, list: &str) -> &'v Value {
    let first = &body[list][0];
    assert!(first["id"].is_string(), "{list}: {body}");
    first
}

#[test]
fn a_simulated_cloud_shows_no_attribute_that_the_table_does_not_know() {
    let mut world = World::new(|_| {});
    let get = |world: &mut World, url: &str| world.call("dr-admin", "GET", url, None).body;
    let flavors = get(&mut world, "compute /flavors/detail");
    let images = get(&mut world, "image /v2/images");
    let networks = world
        .call(
            "member",
            "GET",
            "network /v2.0/networks?router:external=false",
            None,
        )
        .body;
    let volume =
        json!({"volume": {"name": "boot", "size": 1, "imageRef": images["images"][0]["id"]}});
    let volume = world.call("member", "POST", "volumev3 /volumes", Some(&volume));
    let volume = volume.body["volume"]["id"].as_str().unwrap().to_owned();
    world.wait(
        &format!("volumev3 /volumes/{volume}"),
        "volume.status",
        &["available"],
    );
    let server = json!({"server": {"name": "web", "flavorRef": first(&flavors, "flavors")["id"],
        "networks": [{"uuid": first(&networks, "networks")["id"]}],
        "block_device_mapping_v2": [{"uuid": volume, "source_type": "volume",
            "destination_type": "volume", "boot_index": 0}]}});
    let server = world.call("member", "POST", "compute /servers", Some(&server));
    assert_eq!(server.status, 202, "{}", server.body);
    let server = server.body["server"]["id"].as_str().unwrap().to_owned();
    world.wait(
        &format!("compute /servers/{server}"),
        "server.status",
        &["ACTIVE"],
    );
    let volumes = get(&mut world, "volumev3 /volumes/detail");
    let servers = get(&mut world, "compute /servers/detail");
    let ports = get(
        &mut world,
        &format!("network /v2.0/ports?device_id={server}"),
    );
    for (thing, shown) in [
        (CarriedResource::Flavor, first(&flavors, "flavors")),
        (CarriedResource::Server, first(&servers, "servers")),
        (CarriedResource::Volume, first(&volumes, "volumes")),
        (CarriedResource::Port, first(&ports, "ports")),
    ] {
        assert_eq!(carried::unknown(thing, shown), Vec::<String>::new());
    }
}
