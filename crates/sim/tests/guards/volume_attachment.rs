//! A source volume that is attached: to a server outside the group, or to nobody any more.

use protector_sim::cloud::JobEffect;
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
            "kept: attached to server {other}, which is not part of this operation; if it is not needed there, run 'openstack server remove volume {other} <volume>', then run cleanup again"
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
