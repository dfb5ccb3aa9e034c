//! A source volume that is attached: to a server outside the group, or to nobody any more.

use protector_simcloud::cloud::JobEffect;
use serde_json::{Value, json};

use super::bed::{BOOT, Bed, DATA, SERVER};

#[tokio::test(start_paused = true)]
async fn attached_to_a_foreign_server() {
    let mut bed = Bed::switched().await;
    bed.detach_data().await;
    let url = format!("compute /servers/{}/os-volume_attachments", bed.bystander);
    let body = json!({"volumeAttachment": {"volumeId": bed.data}});
    bed.user("demo", "POST", &url, body).await;
    let ended = bed.delete().await;
    let other = &bed.bystander;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: attached to server {other}, which is not part of this operation; if it is not needed there, run 'openstack server remove volume {other} {}', then run cleanup again",
            bed.data
        )
    );
    assert_eq!(ended.deleted(), [SERVER, BOOT]);
    assert_eq!(bed.deletions_of(&bed.data), 0);

    let url = format!("{url}/{}", bed.data);
    bed.user("demo", "DELETE", &url, Value::Null).await;
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn attached_to_a_server_that_is_gone() {
    let mut bed = Bed::switched().await;
    bed.job_fault("vm-001", JobEffect::StaleAttachment, None);
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!bed.has_volume(&bed.boot) && !bed.has_volume(&bed.data));
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
    let mut bed = Bed::switched().await;
    bed.act(json!({"os-start": null})).await;
    bed.act(json!({"lock": {}})).await;
    let url = format!("volumev3 /volumes/{}/action", bed.data);
    for reset in [
        json!({"attach_status": "detached"}),
        json!({"status": "available"}),
    ] {
        let body = json!({"os-reset_status": reset});
        bed.user("admin", "POST", &url, body).await;
    }
    let facts = bed.volume_facts(&bed.data).unwrap();
    assert_eq!(facts.status, "available");
    let ended = bed.delete().await;
    let why = ended.failure(DATA);
    assert!(
        why.starts_with(
            "kept: its server was not deleted (delete_source_vm:vm-001: kept: the server is locked"
        ),
        "{why}"
    );
    assert_eq!(bed.deletions_of(&bed.data), 0);
    assert!(bed.has_volume(&bed.data));

    bed.act(json!({"unlock": null})).await;
    bed.act(json!({"os-stop": null})).await;
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_alone_does_not_wait_for_a_server_that_stays() {
    let mut bed = Bed::switched().await;
    bed.act(json!({"lock": {}})).await;
    bed.delete().await;
    let ended = bed.cleanup_of_only(&[DATA]).await;
    assert_eq!(
        ended.only_failure(DATA),
        format!(
            "kept: its server was not deleted (server {} is still there and nothing here deletes it; clean it up too, in one cleanup with the volume or before it)",
            bed.server
        )
    );
    let progress = &ended.step(DATA).progress;
    let took = progress.finished_at.unwrap() - progress.started_at.unwrap();
    assert!(took.num_seconds() < 10, "{took}");

    bed.act(json!({"unlock": null})).await;
    bed.cleanup_leaves_nothing().await;
}
