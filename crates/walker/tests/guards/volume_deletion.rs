//! What becomes of a deletion that Cinder accepted.

use protector_simcloud::{cloud::JobEffect, in_process::lock};
use serde_json::json;

use super::fixture::{DATA, Fixture};

#[tokio::test(start_paused = true)]
async fn error_deleting_is_said_once_and_not_tried_again() {
    let mut fixture = Fixture::switched().await;
    fixture.job_fault("vm-001-data-1", JobEffect::VolumeDeleteErrors, None);
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "Cinder failed to delete it (error_deleting): an administrator can see why and use 'openstack volume delete --force'"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 1);
    let again = fixture.cleanup().await;
    assert_eq!(
        again.only_failure(DATA),
        "kept: Cinder failed to delete it (error_deleting); an administrator can see why and use 'openstack volume delete --force'"
    );
    assert_eq!(fixture.deletions_of(&fixture.data), 1);

    lock(&fixture.source).clear_faults();
    let url = format!("volumev3 /volumes/{}/action", fixture.data);
    let body = json!({"os-reset_status": {"status": "available"}});
    fixture.user("admin", "POST", &url, body).await;
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn back_to_available_is_tried_again() {
    let mut fixture = Fixture::switched().await;
    let busy = JobEffect::VolumeDeleteBackToAvailable;
    fixture.job_fault("vm-001-data-1", busy, Some(2));
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert_eq!(fixture.deletions_of(&fixture.data), 3);
}

#[tokio::test(start_paused = true)]
async fn back_to_available_for_ever_ends_with_the_last_error() {
    let mut fixture = Fixture::switched().await;
    fixture.job_fault(
        "vm-001-data-1",
        JobEffect::VolumeDeleteBackToAvailable,
        None,
    );
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "Cinder accepted the deletion and the volume is available again"
    );
    assert_eq!(
        fixture.deletions_of(&fixture.data),
        4,
        "one try and three retries"
    );

    lock(&fixture.source).clear_faults();
    fixture.cleanup_leaves_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_known_is_kept() {
    let mut fixture = Fixture::switched().await;
    fixture.detach_data().await;
    lock(&fixture.source).set_status_of_volume(&fixture.data, "maintenance");
    let ended = fixture.delete().await;
    assert_eq!(
        ended.only_failure(DATA),
        "kept: its status is maintenance, expected available; when it is, run cleanup again"
    );
    lock(&fixture.source).set_status_of_volume(&fixture.data, "available");
    fixture.cleanup_leaves_nothing().await;
}

/// What a deletion rests on is read side by side, so that it is still fresh when it is sent.
#[tokio::test(start_paused = true)]
async fn everything_goes_on_clouds_that_take_two_seconds_for_an_answer() {
    let mut fixture = Fixture::switched().await;
    fixture.every_answer_takes(2.0);
    let ended = fixture.delete().await;
    assert_eq!(ended.failed(), vec![]);
    assert!(
        !fixture.has_server()
            && !fixture.has_volume(&fixture.boot)
            && !fixture.has_volume(&fixture.data)
    );
}
