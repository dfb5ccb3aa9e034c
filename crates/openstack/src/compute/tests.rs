use protector_core::id::{FlavorId, NetworkId, ServerId, VolumeId};
use serde_json::{Value, json};

use super::*;
use crate::{
    UserData,
    scripted_cloud::{answer, ok, scripted},
    status::ServerStatus,
};

fn row(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "status": "SOFT_DELETED", "tenant_id": "p1", "user_id": "u1",
        "metadata": {"protector:source": "s0"}, "image": "", "locked": true, "locked_reason": "maintenance",
        "OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "soft-delete", "OS-EXT-STS:power_state": 4,
        "os-extended-volumes:volumes_attached": [{"id": "v1", "delete_on_termination": true}],
        "flavor": {"original_name": "m1.small", "vcpus": 1, "ram": 512, "disk": 1, "ephemeral": 0, "swap": 0},
        "addresses": {"net": [{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}]},
        "config_drive": "", "key_name": null, "created": "2026-01-02T03:04:05Z",
        "fault": {"code": 500, "message": "No valid host was found. ", "created": "2026-01-02T03:04:06Z"},
    })
}

fn sent(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_server_is_read_with_all_that_decides_over_it() {
    let (cloud, script) = scripted([ok(json!({"server": row("s1", "web")}))]);
    let server = cloud.compute().server(&ServerId::new("s1")).await.unwrap();
    assert_eq!(script.lines(), ["GET /v2.1/servers/s1"]);
    assert_eq!(server.status, ServerStatus::SoftDeleted);
    assert!(server.locked && server.volumes_attached[0].delete_on_termination);
    assert_eq!(server.locked_reason.as_deref(), Some("maintenance"));
    assert_eq!((server.task_state, server.image), (None, None));
    assert_eq!(server.project_id.as_str(), "p1");
    assert_eq!(server.fault.unwrap().message, "No valid host was found. ");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_deciding_field_is_not_read_at_all() {
    let fields = [
        "status",
        "OS-EXT-STS:task_state",
        "OS-EXT-STS:vm_state",
        "os-extended-volumes:volumes_attached",
        "tenant_id",
        "locked",
        "metadata",
    ];
    for field in fields {
        let mut server = row("s1", "web");
        server.as_object_mut().unwrap().remove(field);
        let (cloud, _) = scripted([ok(json!({"server": server}))]);
        let error = cloud
            .compute()
            .server(&ServerId::new("s1"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("missing field `{field}`")),
            "{error}"
        );
    }
    let mut server = row("s1", "web");
    server["os-extended-volumes:volumes_attached"] = json!([{"id": "v1"}]);
    let (cloud, _) = scripted([ok(json!({"server": server}))]);
    assert!(cloud.compute().server(&ServerId::new("s1")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn servers_are_found_by_exact_name_and_by_mark() {
    let page = || ok(json!({"servers": [row("s1", "web"), row("s2", "web-2")]}));
    let none = || ok(json!({"servers": []}));
    let (cloud, script) = scripted([page(), none(), page(), none(), page(), none()]);
    let compute = cloud.compute();
    let named = compute.servers(&ServerFilter::named("web")).await.unwrap();
    assert_eq!(
        named
            .iter()
            .map(|server| server.id.as_str())
            .collect::<Vec<_>>(),
        ["s1"]
    );
    let marked = compute
        .servers(&ServerFilter::marked("protector:source", "s0"))
        .await
        .unwrap();
    assert_eq!(marked.len(), 2);
    assert!(
        compute
            .servers(&ServerFilter::named("w.b"))
            .await
            .unwrap()
            .is_empty()
    );
    let lines = script.lines();
    assert_eq!(lines[0], "GET /v2.1/servers/detail?name=web&limit=2");
    assert_eq!(
        lines[4], "GET /v2.1/servers/detail?limit=2",
        "a regular expression is not sent"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_softly_is_listed_for_the_administrator_alone() {
    let mut runs = row("s2", "web");
    runs["status"] = json!("ACTIVE");
    let page = ok(json!({"servers": [row("s1", "web"), runs]}));
    let (cloud, script) = scripted([page, ok(json!({"servers": []}))]);
    let marked = ServerFilter::marked("protector:source", "s0");
    let compute = cloud.compute();
    let project = "p1".into();
    let found = compute
        .soft_deleted_servers(&project, &marked)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id.as_str(), "s1");
    assert_eq!(
        script.lines()[0],
        "GET /v2.1/servers/detail?all_tenants=true&project_id=p1&soft_deleted=true&limit=2"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_server_is_asked_for_with_its_disks_and_networks() {
    let created = answer(
        202,
        json!({"server": {"id": "s9", "adminPass": "secret"}}).to_string(),
    );
    let (cloud, script) = scripted([created]);
    let mut server = NewServer::new("web", FlavorId::new("f1"));
    server
        .block_devices
        .push(BlockDevice::volume(VolumeId::new("v1"), 0));
    let port = ServerNetwork::Port {
        port: "port1".into(),
        tag: None,
    };
    server.networks.push(port.tagged(Some("front".to_owned())));
    server.networks.push(ServerNetwork::Network {
        network: NetworkId::new("n1"),
        fixed_ip: Some("10.0.0.5".to_owned()),
        tag: None,
    });
    server.user_data = Some(UserData::new("IyEvYmluL3No"));
    assert!(!format!("{server:?}").contains("IyEvYmluL3No"));
    assert_eq!(
        cloud
            .compute()
            .create_server(&server)
            .await
            .unwrap()
            .as_str(),
        "s9"
    );
    assert_eq!(
        sent(&script.calls()[0].body),
        json!({"server": {
            "name": "web", "flavorRef": "f1", "metadata": {}, "user_data": "IyEvYmluL3No",
            "networks": [{"port": "port1", "tag": "front"}, {"uuid": "n1", "fixed_ip": "10.0.0.5"}],
            "block_device_mapping_v2": [{"uuid": "v1", "source_type": "volume", "destination_type": "volume",
                "boot_index": 0, "delete_on_termination": false}],
        }})
    );
}

#[tokio::test(start_paused = true)]
async fn each_order_goes_to_its_own_path() {
    let (cloud, script) = scripted((0..7).map(|_| answer(202, "")));
    let (server, volume) = (ServerId::new("s1"), VolumeId::new("v1"));
    let compute = cloud.compute();
    compute.delete_server(&server).await.unwrap();
    compute.force_delete_server(&server).await.unwrap();
    compute.start_server(&server).await.unwrap();
    compute.stop_server(&server).await.unwrap();
    compute
        .attach_volume(&server, &volume, Some("/dev/vdb"), false)
        .await
        .unwrap();
    compute.detach_volume(&server, &volume).await.unwrap();
    compute
        .set_delete_on_termination(&server, &volume, false)
        .await
        .unwrap();
    assert_eq!(
        script.lines(),
        [
            "DELETE /v2.1/servers/s1",
            "POST /v2.1/servers/s1/action",
            "POST /v2.1/servers/s1/action",
            "POST /v2.1/servers/s1/action",
            "POST /v2.1/servers/s1/os-volume_attachments",
            "DELETE /v2.1/servers/s1/os-volume_attachments/v1",
            "PUT /v2.1/servers/s1/os-volume_attachments/v1",
        ]
    );
    let bodies: Vec<Value> = script.calls()[1..4]
        .iter()
        .map(|call| sent(&call.body))
        .collect();
    assert_eq!(
        bodies,
        [
            json!({"forceDelete": null}),
            json!({"os-start": null}),
            json!({"os-stop": null})
        ]
    );
    assert_eq!(
        sent(&script.calls()[6].body),
        json!({"volumeAttachment": {"volumeId": "v1", "delete_on_termination": false}})
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_pair_is_asked_for_as_its_owners() {
    let pair = json!({"name": "mykey", "public_key": "ssh-ed25519 AAAA bob", "fingerprint": "00", "type": "ssh", "user_id": "bob"});
    let (cloud, script) = scripted([ok(json!({"keypair": pair}))]);
    let found = cloud.compute().keypair_of(&"bob".into(), "mykey").await;
    assert_eq!(found.unwrap().public_key, "ssh-ed25519 AAAA bob");
    assert_eq!(script.lines(), ["GET /v2.1/os-keypairs/mykey?user_id=bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_zone_counts_only_if_somebody_chose_it() {
    let mut chosen = Vec::new();
    for pinned in [None, Some(json!(null)), Some(json!("east"))] {
        for zone in ["", "nova", "west"] {
            let mut server = row("s1", "web");
            server["OS-EXT-AZ:availability_zone"] = json!(zone);
            if let Some(pinned) = &pinned {
                server["pinned_availability_zone"] = pinned.clone();
            }
            let server: Server = serde_json::from_value(server).unwrap();
            chosen.push(server.chosen_zone().map(str::to_owned));
        }
    }
    let east = || Some("east".to_owned());
    let west = Some("west".to_owned());
    let before_it_was_told = [None, None, west];
    let nobody_chose = [None, None, None];
    let all = [before_it_was_told, nobody_chose, [east(), east(), east()]];
    assert_eq!(chosen, all.concat());
}

fn listed(id: &str, vcpus: u64) -> NovaFlavor {
    let row =
        json!({"id": id, "name": "m1.small", "vcpus": vcpus, "ram": 512, "disk": 20, "swap": ""});
    serde_json::from_value(row).unwrap()
}

#[test]
fn a_flavor_that_was_deleted_or_made_anew_goes_by_the_size_that_the_server_has() {
    let server: Server = serde_json::from_value(row("s1", "web")).unwrap();
    let of = |flavors: &[NovaFlavor]| server.flavor.known(flavors);
    assert_eq!(of(&[listed("7", 1)]).id.as_str(), "7");
    for flavors in [vec![], vec![listed("8", 4)]] {
        let known = of(&flavors);
        assert_eq!(
            (known.id.as_str(), known.vcpus, known.ram_mib),
            ("m1.small", 1, 512)
        );
    }
}

/// Neutron's list is sorted by port id; the cards are not.
#[test]
fn interfaces_stand_in_the_order_of_the_cards() {
    let addresses = r#"{"front": [{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "m-4"}],
        "back": [{"addr": "10.1.0.5", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "m-1"},
                 {"addr": "10.1.0.6", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "m-3"}],
        "admin": [{"addr": "10.2.0.5", "version": 4, "OS-EXT-IPS-MAC:mac_addr": "m-2"}]}"#;
    // As text: a `Value` would sort the networks.
    let mut shown = row("s1", "web");
    shown["addresses"] = json!("as they stand");
    let text = shown.to_string().replace(r#""as they stand""#, addresses);
    let server: Server = serde_json::from_str(&text).unwrap();
    let interface = |mac: &str| PortAttachment {
        port_id: mac.into(),
        net_id: NetworkId::new("n"),
        mac_addr: mac.to_owned(),
        fixed_ips: vec![],
        port_state: None,
        tag: None,
    };
    let listed = ["m-1", "m-2", "m-3", "m-4", "m-5"].map(interface);
    let ordered = server.in_order_of_cards(listed.to_vec());
    let macs: Vec<&str> = ordered.iter().map(|one| one.mac_addr.as_str()).collect();
    assert_eq!(macs, ["m-4", "m-1", "m-3", "m-2", "m-5"]);
}
