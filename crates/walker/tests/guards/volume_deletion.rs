//! What becomes of a deletion that Cinder accepted.

use protector_simcloud::{cloud::JobEffect, in_process::lock};
use serde_json::json;

use super::bed::{Bed, DATA};

#[tokio::test(start_paused = true)]
async fn error_deleting_is_said_once_and_not_tried_again() {
    let mut bed = Bed::switched().await;
    bed.job_fault("vm-001-data-1", JobEffect::VolumeDeleteErrors, None);
    let ended = bed.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "Cinder failed to delete it (error_deleting): an administrator can see why and use 'openstack volume delete --force'"
    );
    assert_eq!(bed.deletions_of(&bed.data), 1);
    let again = bed.cleanup().await;
    assert_eq!(
        again.only_failure(DATA),
        "kept: Cinder failed to delete it (error_deleting); an administrator can see why and use 'openstack volume delete --force'"
    );
    assert_eq!(bed.deletions_of(&bed.data), 1);

    lock(&bed.source).clear_faults();
    let url = format!("volumev3 /volumes/{}/action", bed.data);
    let body = json!({"os-reset_status": {"status": "available"}});
    bed.user("admin", "POST", &url, body).await;
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn back_to_available_is_tried_again() {
    let mut bed = Bed::switched().await;
    let busy = JobEffect::VolumeDeleteBackToAvailable;
    bed.job_fault("vm-001-data-1", busy, Some(2));
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(bed.deletions_of(&bed.data), 3);
}

#[tokio::test(start_paused = true)]
async fn back_to_available_for_ever_ends_with_the_last_error() {
    let mut bed = Bed::switched().await;
    bed.job_fault(
        "vm-001-data-1",
        JobEffect::VolumeDeleteBackToAvailable,
        None,
    );
    let ended = bed.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "Cinder accepted the deletion and the volume is available again"
    );
    assert_eq!(bed.deletions_of(&bed.data), 4, "one try and three retries");

    lock(&bed.source).clear_faults();
    bed.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_known_is_kept() {
    let mut bed = Bed::switched().await;
    bed.detach_data().await;
    lock(&bed.source).set_status_of_volume(&bed.data, "maintenance");
    let ended = bed.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "kept: its status is maintenance, expected available; when it is, run cleanup again"
    );
    lock(&bed.source).set_status_of_volume(&bed.data, "available");
    bed.cleanup_leaves_nothing().await;
}

/// What a deletion rests on is read side by side, so that it is still fresh when it is sent.
#[tokio::test(start_paused = true)]
async fn everything_goes_on_clouds_that_take_two_seconds_for_an_answer() {
    let mut bed = Bed::switched().await;
    bed.every_answer_takes(2.0);
    let ended = bed.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(!bed.has_server() && !bed.has_volume(&bed.boot) && !bed.has_volume(&bed.data));
}
