//! A source volume that is attached: to a server outside the group, or to nobody any more.

use protector_simcloud::cloud::JobEffect;
use serde_json::{Value, json};

use super::fixture::{BOOT, DATA, Fixture, SERVER};

#[tokio::test(start_paused = true)]
async fn attached_to_a_foreign_server() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    let url = format!(
        "compute /servers/{}/os-volume_attachments",
        fixture.bystander
    );
    let body = json!({"volumeAttachment": {"volumeId": fixture.data}});
    fixture.user("demo", "POST", &url, body).await;
    let ended = fixture.delete().await;
    let other = &fixture.bystander;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: attached to server {other}, which is not part of this operation; if it is not needed there, run 'openstack server remove volume {other} {}', then run cleanup again",
            fixture.data
        )
    );
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    assert_eq!(fixture.deletions_of(&fixture.data), 0);

    let url = format!("{url}/{}", fixture.data);
    fixture.user("demo", "DELETE", &url, Value::Null).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn attached_to_a_server_that_is_gone() {
    let mut fixture = Fixture::switched().await;
    fixture.job_fault("vm-001", JobEffect::StaleAttachment, None);
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!fixture.has_volume(&fixture.boot) && !fixture.has_volume(&fixture.data));
    let facts = &ended.step(DATA).progress.memo.facts;
    assert!(
        facts
            .iter()
            .any(|fact| fact.ends_with("was deleted: its server is gone")),
        "{facts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn freed_in_cinder_alone_it_is_still_a_disk_of_its_server() {
    let mut fixture = Fixture::switched().await;
    fixture.act(json!({"os-start": null})).await;
    fixture.act(json!({"lock": {}})).await;
    let url = format!("volumev3 /volumes/{}/action", fixture.data);
    for reset in [
        json!({"attach_status": "detached"}),
        json!({"status": "available"}),
    ] {
        let body = json!({"os-reset_status": reset});
        fixture.user("admin", "POST", &url, body).await;
    }
    let facts = fixture.volume_facts(&fixture.data).unwrap();
    assert_eq!(facts.status, "available");
    let ended = fixture.delete().await;
    let why = ended.failure(DATA);
    assert!(
        why.starts_with(
            "kept: its server was not deleted (delete_source_vm:vm-001: kept: the server is locked"
        ),
        "{why}"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 0);
    assert!(fixture.has_volume(&fixture.data));

    fixture.act(json!({"unlock": null})).await;
    fixture.act(json!({"os-stop": null})).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_alone_does_not_wait_for_a_server_that_stays() {
    let mut fixture = Fixture::switched().await;
    fixture.act(json!({"lock": {}})).await;
    fixture.delete().await;
    let ended = fixture.cleanup_of_only(&[DATA]).await;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: its server was not deleted (server {} is still there and nothing here deletes it; clean it up too, in one cleanup with the volume or before it)",
            fixture.server
        )
    );
    let progress = &ended.step(DATA).progress;
    let took = progress.finished_at.unwrap() - progress.started_at.unwrap();
    assert!(took.num_seconds() < 10, "{took}");

    fixture.act(json!({"unlock": null})).await;
    fixture.cleanup_leaves_nothing().await;
}
