//! Servers of which no copy can be made, as the clouds show them: refused when they are added, or told.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cloud::{Session, word},
    house::House,
    http::Answer,
    tenant::{Group, Tenant},
    waiting::until,
};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Makes something at a cloud; its id.
async fn make(at: &Session, service: &str, path: &str, body: Value) -> String {
    let made = at.ask(Method::POST, service, path, Some(body)).await.good();
    let thing = made
        .as_object()
        .unwrap()
        .values()
        .find(|value| value["id"].is_string());
    word(&thing.unwrap_or(&made)["id"])
}

/// A volume to boot from, made of a new image.
async fn volume_of_image(at: &Session, name: &str, image: Value) -> String {
    let image = make(at, "image", "/v2/images", image).await;
    let path = format!("/v2/images/{image}/file");
    let file = at
        .ask(Method::PUT, "image", &path, Some(json!("BYTES")))
        .await;
    assert_eq!(file.status, 204, "{file:?}");
    let volume = json!({"volume": {"name": name, "size": 1, "volume_type": "replicated", "imageRef": image}});
    let volume = make(at, "volumev3", "/volumes", volume).await;
    let path = format!("/volumes/{volume}");
    until("the volume to be available", PATIENCE, async || {
        let found = at.ask(Method::GET, "volumev3", &path, None).await.good();
        (found["volume"]["status"] == "available").then_some(())
    })
    .await;
    volume
}

async fn make_port(at: &Session, port: Value) -> String {
    let mut port = port;
    port["network_id"] = json!(at.network().await);
    make(at, "network", "/v2.0/ports", json!({"port": port})).await
}

/// A server that boots from this volume.
async fn server_on(at: &Session, name: &str, volume: String) -> String {
    at.make_server(name, &[volume]).await
}

/// A server with this port.
async fn server_at(at: &Session, name: &str, port: String) -> String {
    let volume = at.make_volume(&format!("{name}-boot"), true).await;
    at.make_server_at(name, &[volume], json!({"port": port}))
        .await
}

/// A server of a flavor that an administrator has made, with these extra specs.
async fn server_of_flavor(house: &House, at: &Session, name: &str, specs: Value) -> String {
    let admin = house.a.cloud.log_in("admin", "admin", "admin").await;
    let flavor = json!({"flavor": {"name": name, "vcpus": 1, "ram": 512, "disk": 0}});
    let flavor = make(&admin, "compute", "/flavors", flavor).await;
    let path = format!("/flavors/{flavor}/os-extra_specs");
    let specs = json!({"extra_specs": specs});
    admin
        .ask(Method::POST, "compute", &path, Some(specs))
        .await
        .good();
    let volume = at.make_volume(&format!("{name}-boot"), true).await;
    let body = json!({"server": {"name": name, "flavorRef": flavor, "networks": "none",
        "block_device_mapping_v2": [{"uuid": volume, "source_type": "volume",
            "destination_type": "volume", "boot_index": 0}]}});
    let server = make(at, "compute", "/servers", body).await;
    until("the server to run", PATIENCE, async || {
        (at.server_status(&server).await == "ACTIVE").then_some(())
    })
    .await;
    server
}

async fn add(tenant: &Tenant<'_>, group: &Group, server: &str) -> Answer {
    let path = format!("/protection-groups/{}/members", group.name);
    let member = json!({"member": {"server_id": server}});
    tenant.on_a(Method::POST, &path, Some(member)).await
}

#[track_caller]
fn expect_refusal(answer: &Answer, sentence: &str) {
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.text().contains(sentence), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_which_no_copy_can_be_made_is_refused_with_what_would_be_lost() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect("web", Vec::new()).await;
    let at = &tenant.at_a;

    let parent = make_port(at, json!({"name": "parent"})).await;
    let sub = make_port(at, json!({"name": "sub"})).await;
    let trunk = json!({"trunk": {"port_id": parent, "sub_ports": [
        {"port_id": sub, "segmentation_type": "vlan", "segmentation_id": 101}]}});
    make(at, "network", "/v2.0/trunks", trunk).await;
    let trunked = server_at(at, "trunked", parent.clone()).await;
    let sentence = format!(
        "server trunked has port {parent} with a trunk of 1 subport(s): its copy would come up without these networks"
    );
    expect_refusal(&add(&tenant, &group, &trunked).await, &sentence);

    let iso = json!({"name": "installer", "disk_format": "iso", "container_format": "bare"});
    let volume = volume_of_image(at, "installer", iso).await;
    let sentence = format!(
        "server optical boots from the ISO image on volume installer ({volume}): its copy would get that as a hard disk"
    );
    let optical = server_on(at, "optical", volume).await;
    expect_refusal(&add(&tenant, &group, &optical).await, &sentence);

    let with_tpm = json!({"name": "sealed", "disk_format": "raw", "container_format": "bare",
        "hw_tpm_model": "tpm-crb", "hw_tpm_version": "2.0"});
    let volume = volume_of_image(at, "sealed", with_tpm).await;
    let sealed = server_on(at, "sealed", volume).await;
    let sentence = "server sealed has a virtual TPM: what it holds goes with the server";
    expect_refusal(&add(&tenant, &group, &sealed).await, sentence);
    let specs = json!({"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"});
    let sealing = server_of_flavor(&house, at, "sealing", specs).await;
    let sentence = "server sealing has a virtual TPM: what it holds goes with the server";
    expect_refusal(&add(&tenant, &group, &sealing).await, sentence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_is_a_piece_of_hardware_is_told() {
    let house = House::new().await;
    let tenant = Tenant::of(&house).await;
    let group = tenant.protect("web", Vec::new()).await;
    let at = &tenant.at_a;
    let port = make_port(at, json!({"binding:vnic_type": "direct"})).await;
    let direct = server_at(at, "direct", port.clone()).await;
    let sentence = format!(
        "server direct has port {port} of the kind direct: its copy gets an ordinary network card"
    );
    let added = add(&tenant, &group, &direct).await;
    assert!(added.text().contains(&sentence), "{added:?}");
    added.good();
}
