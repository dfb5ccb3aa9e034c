//! The compute host is down: Nova forgets servers whose guests may still run.

use protector_simcloud::in_process::lock;
use serde_json::Value;

use super::fixture::{BOOT, DATA, Fixture, SERVER};

const HOST: &str = "site-a-compute-1";

#[tokio::test(start_paused = true)]
async fn host_does_not_answer() {
    let mut fixture = Fixture::switched().await;
    fixture.compute_host(true).await;
    let ended = fixture.delete().await;
    assert_eq!(
        ended.failure(SERVER),
        format!(
            "kept: its compute host {HOST} is down: Nova would forget the server while its guest may still run and write; when nova-compute on {HOST} runs again ('openstack compute service list'), run cleanup again"
        )
    );
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );

    fixture.compute_host(false).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn guest_may_still_write() {
    let mut fixture = Fixture::switched().await;
    fixture.compute_host(true).await;
    let url = format!("compute /servers/{}", fixture.server);
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    assert!(!fixture.has_server(), "Nova deletes locally");
    assert_eq!(
        fixture.volume_facts(&fixture.data).unwrap().status,
        "available"
    );
    let ended = fixture.delete().await;
    assert_eq!(ended.failure(SERVER), "Server not found (404)");
    for volume in [BOOT, DATA] {
        assert_eq!(
            ended.failure(volume),
            format!(
                "kept: its server {} is gone from Nova, but its compute host {HOST} is down: the guest may still run and write; when nova-compute on {HOST} runs again ('openstack compute service list'), run cleanup again",
                fixture.server
            )
        );
    }
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    fixture.compute_host(false).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_knows_whether_the_host_is_up() {
    let mut fixture = Fixture::switched().await;
    let services = protector_simcloud::cloud::Match {
        path: Some("*/os-services*".to_owned()),
        ..Default::default()
    };
    let says = serde_json::json!({"forbidden": {"code": 403, "message": "Policy doesn't allow os-services."}});
    fixture.refuse("policy", services, 403, says);
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(
        why.starts_with("kept: nobody knows whether its compute host is up ("),
        "{why}"
    );
    assert!(why.contains("Policy doesn't allow os-services."), "{why}");
    assert!(fixture.has_server());

    lock(&fixture.source).remove_fault("policy");
    fixture.cleanup_leaves_nothing().await;
}

/// Somebody deletes the server between our look at it and the one at its host.
#[tokio::test(start_paused = true)]
async fn a_server_that_goes_while_it_is_looked_at_is_not_found() {
    let mut fixture = Fixture::switched().await;
    let server = protector_simcloud::cloud::Match {
        method: Some("GET".to_owned()),
        path: Some(format!("/v2.1/servers/{}", fixture.server)),
        nth: Some(2),
        ..Default::default()
    };
    let says = serde_json::json!({"itemNotFound": {"code": 404, "message": "Instance could not be found."}});
    fixture.refuse("gone", server, 404, says);
    let ended = fixture.delete().await;
    assert_eq!(ended.failure(SERVER), "Server not found (404)");
}
