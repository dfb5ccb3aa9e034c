//! What a simulated cloud does over time, and what can be made to go wrong with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may panic"
)]

mod client;

use std::time::Duration;

use bytes::Bytes;
use client::World;
use protector_simcloud::{
    backend::MemVolume,
    cloud::{
        CallEffect, Component, Delivery, FaultEffect, FaultRule, JobEffect, Latency, Match, Work,
    },
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn world() -> World {
    World::new(|_| {})
}

/// A running server of the fleet with its volumes: (server, boot, data).
fn fleet(world: &mut World) -> (String, String, String) {
    let server = world.cloud.servers().remove(0);
    (
        server.id,
        server.volumes[0].clone(),
        server.volumes[1].clone(),
    )
}

fn with_server() -> World {
    World::new(|options| *options = options.clone().with_fleet(1))
}

fn job(resource: &str, effect: JobEffect, times: Option<u64>) -> FaultRule {
    FaultRule {
        id: String::new(),
        matches: Match {
            resource: Some(resource.to_owned()),
            ..Match::default()
        },
        times,
        effect: FaultEffect::Job(effect),
        seen: 0,
    }
}

fn on_call(matches: Match, effect: CallEffect) -> FaultRule {
    FaultRule {
        id: String::new(),
        matches,
        times: Some(1),
        effect: FaultEffect::Call(effect),
        seen: 0,
    }
}

fn status_of(world: &mut World, volume: &str) -> String {
    let got = world.call("admin", "GET", &format!("volumev3 /volumes/{volume}"), None);
    match got.status {
        404 => "gone".to_owned(),
        _ => got.body["volume"]["status"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn a_delete_is_204_first_and_404_later_and_frees_the_volumes() {
    let mut world = with_server();
    let (server, boot, data) = fleet(&mut world);
    let url = format!("compute /servers/{server}");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["OS-EXT-STS:task_state"], "deleting");
    assert_eq!(status_of(&mut world, &boot), "in-use");
    world.pass(SECOND);
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
    assert_eq!(status_of(&mut world, &boot), "available");
    assert_eq!(status_of(&mut world, &data), "available");
    assert!(
        world.cloud.ports().is_empty(),
        "the port that Nova made goes with the server"
    );
}

#[test]
fn delete_on_termination_takes_the_volume_along_unless_a_member_turned_it_off() {
    for keep in [false, true] {
        let mut world = with_server();
        let (server, _, data) = fleet(&mut world);
        let url = format!("compute /servers/{server}/os-volume_attachments/{data}");
        let put = |flag: bool| json!({"volumeAttachment": {"volumeId": data, "delete_on_termination": flag}});
        assert_eq!(
            world.call("member", "PUT", &url, Some(&put(true))).status,
            202
        );
        if keep {
            assert_eq!(
                world.call("member", "PUT", &url, Some(&put(false))).status,
                202
            );
        }
        world.call(
            "member",
            "DELETE",
            &format!("compute /servers/{server}"),
            None,
        );
        world.pass(SECOND);
        let wanted = if keep { "available" } else { "gone" };
        assert_eq!(status_of(&mut world, &data), wanted);
    }
}

#[test]
fn detaching_takes_time() {
    let mut world = with_server();
    let (server, _, data) = fleet(&mut world);
    let url = format!("compute /servers/{server}/os-volume_attachments/{data}");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 202);
    assert_eq!(status_of(&mut world, &data), "detaching");
    world.pass(SECOND);
    assert_eq!(status_of(&mut world, &data), "available");
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
}

#[test]
fn manage_renames_the_object_and_unmanage_keeps_it() {
    let mut world = world();
    let content = MemVolume {
        bytes: Bytes::from_static(b"data"),
        gib: 3,
        mirror: None,
        made_as: None,
    };
    world
        .objects
        .lock()
        .unwrap()
        .insert("replica-1".to_owned(), content.clone());
    let body = json!({"volume": {"host": "site-a@dir#dir", "ref": {"source-name": "replica-1"},
        "volume_type": "replicated", "name": "db-data", "bootable": true}});
    let got = world.call(
        "member",
        "POST",
        "volumev3 /manageable_volumes",
        Some(&body),
    );
    assert_eq!(got.status, 202);
    assert_eq!(got.body["volume"]["status"], "creating");
    let id = got.body["volume"]["id"].as_str().unwrap().to_owned();
    world.pass(SECOND);
    let got = world.call("member", "GET", &format!("volumev3 /volumes/{id}"), None);
    let volume = &got.body["volume"];
    assert_eq!(volume["status"], "available");
    assert_eq!(volume["size"], 3);
    assert_eq!(volume["bootable"], "true");
    assert_eq!(volume["service_uuid"], Value::Null);
    assert_eq!(volume["shared_targets"], true);
    let object = format!("volume-{id}");
    assert_eq!(world.objects.lock().unwrap().get(&object), Some(&content));
    let action = json!({"os-unmanage": null});
    let url = format!("volumev3 /volumes/{id}/action");
    assert_eq!(
        world.call("member", "POST", &url, Some(&action)).status,
        202
    );
    world.pass(SECOND);
    assert_eq!(status_of(&mut world, &id), "gone");
    assert_eq!(world.objects.lock().unwrap().get(&object), Some(&content));
}

#[test]
fn deleting_a_record_whose_manage_failed_after_its_rename_destroys_the_data() {
    for after_rename in [false, true] {
        let mut world = world();
        world
            .objects
            .lock()
            .unwrap()
            .insert("replica-1".to_owned(), MemVolume::default());
        world.cloud.add_fault(job(
            "db-data",
            JobEffect::ManageError { after_rename },
            Some(1),
        ));
        let body = json!({"volume": {"host": "site-a@dir#dir", "name": "db-data",
            "ref": {"source-name": "replica-1"}}});
        let got = world.call(
            "member",
            "POST",
            "volumev3 /manageable_volumes",
            Some(&body),
        );
        let id = got.body["volume"]["id"].as_str().unwrap().to_owned();
        world.pass(SECOND);
        assert_eq!(status_of(&mut world, &id), "error");
        let url = format!("volumev3 /volumes/{id}");
        assert_eq!(world.call("member", "DELETE", &url, None).status, 202);
        world.pass(SECOND);
        assert_eq!(world.objects.lock().unwrap().is_empty(), after_rename);
    }
}

#[test]
fn a_volume_delete_can_stick_fail_or_be_taken_back() {
    let cases = [
        (JobEffect::VolumeDeleteSticks { seconds: None }, "deleting"),
        (JobEffect::VolumeDeleteErrors, "error_deleting"),
        (JobEffect::VolumeDeleteBackToAvailable, "available"),
        (JobEffect::VolumeDeleteSticks { seconds: Some(5.0) }, "gone"),
    ];
    for (effect, wanted) in cases {
        let mut world = with_server();
        let (server, _, data) = fleet(&mut world);
        world.call(
            "member",
            "DELETE",
            &format!("compute /servers/{server}"),
            None,
        );
        world.pass(SECOND);
        world.cloud.add_fault(job(&data, effect, Some(1)));
        let url = format!("volumev3 /volumes/{data}");
        assert_eq!(world.call("member", "DELETE", &url, None).status, 202);
        world.pass(10 * SECOND);
        assert_eq!(status_of(&mut world, &data), wanted);
    }
}

#[test]
fn a_lost_reply_is_carried_out_and_a_dropped_call_is_not() {
    for (effect, delivery, wanted) in [
        (CallEffect::LoseReply, Delivery::Lost, "gone"),
        (CallEffect::Drop, Delivery::Dropped, "ACTIVE"),
        (CallEffect::Hang, Delivery::Hang, "ACTIVE"),
    ] {
        let mut world = with_server();
        let (server, ..) = fleet(&mut world);
        let (token, _) = world.session("demo", "demo");
        let matches = Match {
            method: Some("DELETE".to_owned()),
            resource: Some("vm-001".to_owned()),
            ..Match::default()
        };
        world.cloud.add_fault(on_call(matches, effect));
        let path = format!("/compute/v2.1/servers/{server}");
        let headers = [("x-auth-token", token)];
        assert_eq!(
            world.exchange("DELETE", &path, &headers, None).delivery,
            delivery
        );
        world.pass(SECOND);
        let left = world.cloud.servers();
        let found = left.first().map_or("gone", |server| server.status.as_str());
        assert_eq!(found, wanted);
    }
}

#[test]
fn work_that_is_held_ends_when_it_is_let_go_and_other_work_goes_on() {
    let mut world = with_server();
    let (server, _, data) = fleet(&mut world);
    let work = Work::ServerDelete;
    let held = world
        .cloud
        .add_fault(job("vm-001", JobEffect::Held { work }, None));
    let url = format!("compute /servers/{server}");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    let body = json!({"volume": {"name": "other", "size": 1, "volume_type": "replicated"}});
    let made = world.call("member", "POST", "volumev3 /volumes", Some(&body));
    let other = made.body["volume"]["id"].as_str().unwrap().to_owned();
    world.pass(3600 * SECOND);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["OS-EXT-STS:task_state"], "deleting");
    assert_eq!(status_of(&mut world, &data), "in-use");
    assert_eq!(status_of(&mut world, &other), "available");
    assert_eq!(world.cloud.next_due(), None);

    assert!(world.cloud.remove_fault(&held));
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
    assert_eq!(status_of(&mut world, &data), "available");
}

#[test]
fn a_call_that_is_held_meets_something_or_is_carried_out_at_once() {
    let refused = json!({"kind": "held", "meets": {"kind": "status", "status": 503}});
    for (effect, status, left) in [(json!({"kind": "held"}), 204, 0), (refused, 503, 1)] {
        let mut world = with_server();
        let (server, ..) = fleet(&mut world);
        let (token, _) = world.session("demo", "demo");
        let matches: Match =
            serde_json::from_value(json!({"method": "DELETE", "resource": "vm-001"})).unwrap();
        let effect: CallEffect = serde_json::from_value(effect).unwrap();
        let rule = world.cloud.add_fault(on_call(matches, effect));
        let path = format!("/compute/v2.1/servers/{server}");
        let asked = world.exchange("DELETE", &path, &[("x-auth-token", token)], None);
        assert_eq!(asked.held_by.as_ref(), Some(&rule));
        assert_eq!(asked.response.status(), status);
        assert!(world.cloud.has_fault(&rule), "until it is taken away");
        world.pass(SECOND);
        assert_eq!(world.cloud.servers().len(), left);
    }
}

#[test]
fn an_injected_status_has_its_body_and_headers() {
    let mut world = with_server();
    let effect: CallEffect = serde_json::from_value(json!({"kind": "status", "status": 503,
        "headers": {"Retry-After": "7"}}))
    .unwrap();
    let matches: Match = serde_json::from_value(json!({"service": "compute", "nth": 2})).unwrap();
    world.cloud.add_fault(on_call(matches, effect));
    assert_eq!(
        world.call("member", "GET", "compute /servers", None).status,
        200
    );
    let got = world.call("member", "GET", "compute /servers", None);
    assert_eq!(got.status, 503);
    assert_eq!(got.headers["retry-after"], "7");
    assert_eq!(got.body["serviceUnavailable"]["code"], 503);
    assert_eq!(
        world.call("member", "GET", "compute /servers", None).status,
        200
    );
}

#[test]
fn stale_attachments_are_cured_by_deleting_the_attachment() {
    let mut world = with_server();
    let (server, _, data) = fleet(&mut world);
    let list = format!("volumev3 /attachments?volume_id={data}");
    let got = world.call("member", "GET", &list, None);
    let attachment = got.body["attachments"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = format!("volumev3 /attachments/{attachment}");
    let got = world.call("member", "DELETE", &url, None);
    assert_eq!(got.status, 409);
    assert_eq!(
        got.body["conflictingRequest"]["message"],
        format!("Detach volume from instance {server} using the Compute API")
    );
    world.cloud.set_away(Component::CinderApi, true);
    let delete = format!("compute /servers/{server}");
    assert_eq!(world.call("member", "DELETE", &delete, None).status, 204);
    world.pass(SECOND);
    world.cloud.set_away(Component::CinderApi, false);
    assert_eq!(world.call("member", "GET", &delete, None).status, 404);
    assert_eq!(status_of(&mut world, &data), "in-use");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 200);
    assert_eq!(status_of(&mut world, &data), "available");
}

#[test]
fn a_compute_host_that_is_down_delays_a_delete_and_later_is_not_asked() {
    let mut world = with_server();
    let (server, _, data) = fleet(&mut world);
    let url = format!("compute /servers/{server}");
    world.cloud.set_away(Component::NovaCompute, true);
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    world.pass(30 * SECOND);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["OS-EXT-STS:task_state"], "deleting");
    world.pass(31 * SECOND);
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
    assert_eq!(status_of(&mut world, &data), "available");
    let got = world.call(
        "member",
        "GET",
        "compute /os-services?binary=nova-compute",
        None,
    );
    assert_eq!(got.body["services"][0]["state"], "down");
}

#[test]
fn neutron_away_fails_the_delete_and_a_repeat_cures_it() {
    let mut world = with_server();
    let (server, _, data) = fleet(&mut world);
    let url = format!("compute /servers/{server}");
    world.cloud.set_away(Component::Neutron, true);
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    world.pass(SECOND);
    assert_eq!(world.call("member", "GET", &url, None).status, 500);
    world.cloud.set_away(Component::Neutron, false);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["status"], "ERROR");
    assert_eq!(got.body["server"]["fault"]["message"], "ConnectFailure");
    assert_eq!(status_of(&mut world, &data), "in-use");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    world.pass(SECOND);
    assert_eq!(status_of(&mut world, &data), "available");
    assert!(world.cloud.ports().is_empty());
}

#[test]
fn soft_deleted_servers_stay_until_they_are_forced() {
    let mut world = World::new(|options| {
        *options = options.clone().with_fleet(1);
        options.soft_delete = true;
    });
    let (server, _, data) = fleet(&mut world);
    let url = format!("compute /servers/{server}");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 204);
    world.pass(60 * SECOND);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["status"], "SOFT_DELETED");
    assert_eq!(status_of(&mut world, &data), "in-use");
    let force = json!({"forceDelete": null});
    assert_eq!(
        world
            .call("member", "POST", &format!("{url}/action"), Some(&force))
            .status,
        202
    );
    world.pass(SECOND);
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
}

#[test]
fn a_guest_that_ignores_the_stop_is_powered_off_after_novas_timeout() {
    let mut world = with_server();
    let (server, ..) = fleet(&mut world);
    world
        .cloud
        .add_fault(job("vm-001", JobEffect::StopIgnored, Some(1)));
    let url = format!("compute /servers/{server}");
    let stop = json!({"os-stop": null});
    assert_eq!(
        world
            .call("member", "POST", &format!("{url}/action"), Some(&stop))
            .status,
        202
    );
    world.pass(59 * SECOND);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["OS-EXT-STS:task_state"], "powering-off");
    world.pass(2 * SECOND);
    let got = world.call("member", "GET", &url, None);
    assert_eq!(got.body["server"]["status"], "SHUTOFF");
}

#[test]
fn pages_end_at_a_thousand_rows_and_say_where_to_go_on() {
    let mut world = World::new(|options| *options = options.clone().with_fleet(1_001));
    let first = world.call("member", "GET", "compute /servers", None).body;
    assert_eq!(first["servers"].as_array().unwrap().len(), 1_000);
    let href = first["servers_links"][0]["href"].as_str().unwrap();
    let (_, query) = href.split_once('?').unwrap();
    let rest = world
        .call("member", "GET", &format!("compute /servers?{query}"), None)
        .body;
    assert_eq!(rest["servers"].as_array().unwrap().len(), 1);
    assert!(rest.get("servers_links").is_none());
    let page = world
        .call("member", "GET", "volumev3 /volumes?limit=2", None)
        .body;
    assert_eq!(page["volumes"].as_array().unwrap().len(), 2);
    assert!(
        page["volumes_links"][0]["href"]
            .as_str()
            .unwrap()
            .contains("marker=")
    );
}

#[test]
fn flavors_are_embedded_from_2_47_on() {
    let mut world = with_server();
    let (server, ..) = fleet(&mut world);
    let url = format!("compute /servers/{server}");
    let old = world
        .call_version("member", "GET", &url, None, Some("2.46"))
        .body;
    assert!(old["server"]["flavor"]["id"].is_string());
    let new = world
        .call_version("member", "GET", &url, None, Some("2.47"))
        .body;
    assert_eq!(new["server"]["flavor"]["original_name"], "small");
    assert!(new["server"]["flavor"].get("id").is_none());
}

#[test]
fn tokens_expire_and_can_be_revoked_and_checked() {
    let mut world = world();
    let (token, _) = world.session("demo", "demo");
    let (service, _) = world.session("protector", "service");
    let headers = [("x-auth-token", service), ("x-subject-token", token)];
    let path = "/identity/v3/auth/tokens";
    assert_eq!(
        world
            .exchange("GET", path, &headers, None)
            .response
            .status(),
        200
    );
    world.cloud.revoke_tokens(Some("demo"));
    assert_eq!(
        world
            .exchange("GET", path, &headers, None)
            .response
            .status(),
        404
    );
    assert_eq!(
        world.call("member", "GET", "compute /servers", None).status,
        401
    );
    world.forget();
    assert_eq!(
        world.call("member", "GET", "compute /servers", None).status,
        200
    );
    world.pass(Duration::from_secs(5 * 3600));
    assert_eq!(
        world.call("member", "GET", "compute /servers", None).status,
        401
    );
}

#[test]
fn tenants_do_not_see_each_other() {
    let mut world = with_server();
    let (server, boot, _) = fleet(&mut world);
    let got = world.call("other", "GET", &format!("compute /servers/{server}"), None);
    assert_eq!(got.status, 404);
    assert_eq!(
        got.body["itemNotFound"]["message"],
        format!("Instance {server} could not be found.")
    );
    assert_eq!(
        world
            .call("other", "GET", &format!("volumev3 /volumes/{boot}"), None)
            .status,
        404
    );
    let list = world
        .call("other", "GET", "volumev3 /volumes/detail", None)
        .body;
    assert_eq!(list["volumes"], json!([]));
    let got = world
        .call("member", "GET", &format!("volumev3 /volumes/{boot}"), None)
        .body;
    assert!(
        got["volume"].get("os-vol-host-attr:host").is_none(),
        "only for administrators"
    );
}

#[test]
fn volumes_change_hands_by_transfer() {
    let mut world = world();
    let body = json!({"volume": {"name": "v", "size": 1}});
    let got = world.call("member", "POST", "volumev3 /volumes", Some(&body));
    let id = got.body["volume"]["id"].as_str().unwrap().to_owned();
    world.pass(SECOND);
    let body = json!({"transfer": {"volume_id": id}});
    let got = world
        .call("member", "POST", "volumev3 /volume-transfers", Some(&body))
        .body;
    assert_eq!(status_of(&mut world, &id), "awaiting-transfer");
    let url = format!("volumev3 /volumes/{id}");
    assert_eq!(world.call("member", "DELETE", &url, None).status, 400);
    let accept = json!({"accept": {"auth_key": got["transfer"]["auth_key"]}});
    let place = got["transfer"]["id"].as_str().unwrap();
    let accept_url = format!("volumev3 /volume-transfers/{place}/accept");
    assert_eq!(
        world
            .call("other", "POST", &accept_url, Some(&accept))
            .status,
        202
    );
    assert_eq!(world.call("member", "GET", &url, None).status, 404);
    assert_eq!(world.call("other", "GET", &url, None).status, 200);
}

#[test]
fn real_latencies_hold_and_the_same_seed_gives_the_same_run() {
    let run = || {
        let mut world = World::new(|options| {
            *options = options.clone().with_fleet(1);
            options.latency = Latency {
                jitter: 0.2,
                ..Latency::real()
            };
        });
        let (server, ..) = fleet(&mut world);
        world.call(
            "member",
            "DELETE",
            &format!("compute /servers/{server}"),
            None,
        );
        let due = world.cloud.next_due().unwrap();
        world.pass(4 * SECOND);
        assert!(world.cloud.servers().is_empty());
        (due, world.cloud.call_log().to_vec())
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let seconds = first.0.as_secs_f64();
    assert!((2.0..3.1).contains(&seconds), "{seconds}");
}

#[test]
fn the_call_log_names_caller_action_and_resources() {
    let mut world = with_server();
    let (server, ..) = fleet(&mut world);
    let body = json!({"os-stop": null});
    let url = format!("compute /servers/{server}/action");
    let got = world.call("member", "POST", &url, Some(&body));
    let record = world.cloud.call_log().last().unwrap().clone();
    assert_eq!(record.action.as_deref(), Some("os-stop"));
    assert_eq!(record.user.as_deref(), Some("demo"));
    assert_eq!(record.resources, [server]);
    assert_eq!(record.status, 202);
    assert_eq!(
        got.headers["x-openstack-request-id"],
        record.request_id.as_str()
    );
}
