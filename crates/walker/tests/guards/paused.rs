//! A move that waits, for a person or for its cleanup, while people go on with its source.

use std::time::Duration;

use protector_core::{
    group::GroupStatus,
    operation::{OperationRecord, OperationState, StepRecord, StepState},
    runbook::Step,
};
use protector_simcloud::in_process::lock;
use serde_json::json;

use super::{
    aborted::with_a_pause,
    bed::{BOOT, Bed, DATA, SERVER},
    source_at_rest::{assert_taken_back, attaching, has_begun, once, start},
};

/// How long nobody lets the operation go on.
const LUNCH: Duration = Duration::from_secs(120);

/// The line that waits for a person, if it does.
fn waiting(record: &OperationRecord) -> Option<String> {
    let mut steps = record.steps.iter();
    let pause = steps.find(|step| {
        matches!(step.action, Step::Pause { .. }) && step.progress.state == StepState::Running
    });
    pause.map(|step| step.key.clone())
}

/// A move whose person, back from lunch, lets it go on; `meddle` is what others do meanwhile.
async fn resumed_after(mut meddle: impl FnMut(&Bed, &OperationRecord)) -> (Bed, OperationRecord) {
    let mut since = None;
    Bed::moved_as(
        with_a_pause,
        |_| {},
        |bed, record| {
            let Some(pause) = waiting(record) else {
                return;
            };
            // Nobody else asks the source for anything, and its time goes on with what it is asked.
            bed.go_on();
            meddle(bed, record);
            let since = *since.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() > LUNCH {
                bed.journal.resume(&record.operation.id, &pause, "user-1");
            }
        },
    )
    .await
}

/// Nothing on the source was deleted: what was written there last is there.
fn assert_the_newest_bytes_are_there(bed: &Bed) {
    assert!(bed.has_server() && bed.has_volume(&bed.boot) && bed.has_volume(&bed.data));
    let source = lock(&bed.source);
    let deletions = source.call_log().iter();
    assert_eq!(deletions.filter(|call| call.method == "DELETE").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_during_a_pause_and_the_move_goes_on() {
    let (bed, record) = resumed_after(|_, _| {}).await;
    assert_eq!(record.operation.error, None);
    assert_eq!(record.operation.state, OperationState::Completed);
    assert!(!bed.has_server());
}

#[tokio::test(start_paused = true)]
async fn a_server_started_during_a_pause_takes_the_move_back() {
    let mut start = once(|record| has_begun(record, "pause"), start);
    let (bed, record) = resumed_after(|bed, record| start(bed, record)).await;
    assert_taken_back(
        &bed,
        &record,
        &["vm-001 has not rested on site-a", "start by user"],
    );
    assert_the_newest_bytes_are_there(&bed);
}

/// It ran for a while and is stopped again when the person comes back: what it has written then is in no copy.
#[tokio::test(start_paused = true)]
async fn a_server_that_ran_during_a_pause_and_rests_again_takes_the_move_back() {
    let mut start = once(|record| has_begun(record, "pause"), start);
    let mut stopped = false;
    let (bed, record) = resumed_after(|bed, record| {
        start(bed, record);
        let runs = bed.server_facts(&bed.server).unwrap().status == "ACTIVE";
        if runs && !stopped {
            let url = format!("compute /servers/{}/action", bed.server);
            bed.at_once("demo", "POST", &url, &json!({"os-stop": null}));
            stopped = true;
        }
    })
    .await;
    assert!(stopped);
    assert_taken_back(&bed, &record, &["start by user", "stop by user"]);
    assert_the_newest_bytes_are_there(&bed);
}

/// Its volumes are the only bytes by then; the copies that were made of them go, and the group is at rest where it was.
#[tokio::test(start_paused = true)]
async fn a_server_deleted_during_a_pause_takes_the_move_back_when_it_is_resumed() {
    let mut delete = once(
        |record| has_begun(record, "pause"),
        |bed| {
            let url = format!("compute /servers/{}", bed.server);
            bed.at_once("demo", "DELETE", &url, &json!(null));
        },
    );
    let (bed, record) = resumed_after(|bed, record| delete(bed, record)).await;
    let why = record.operation.error.clone().unwrap_or_default();
    assert!(why.contains("vm-001"), "{why}");
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(bed.group().status, GroupStatus::Active);
    assert_eq!(bed.group().current_primary_site.as_str(), "site-a");
    assert!(bed.has_volume(&bed.boot) && bed.has_volume(&bed.data));
    assert!(lock(&bed.target).servers().is_empty());
    let left = |step: &StepRecord| step.progress.state == StepState::UndoFailed;
    assert!(!record.steps.iter().any(left), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_attached_during_a_pause_takes_the_move_back() {
    let mut attach = attaching(|record| has_begun(record, "pause"));
    let (bed, record) = resumed_after(|bed, record| attach(bed, record)).await;
    assert_taken_back(&bed, &record, &["attach_volume by user"]);
    assert_the_newest_bytes_are_there(&bed);
}

/// The copy is as large as its original was when that was replicated; Nova is told of the extension, or not.
#[tokio::test(start_paused = true)]
async fn a_volume_extended_during_a_pause_takes_the_move_back() {
    let mut told = once(
        |record| has_begun(record, "pause"),
        |bed| {
            let url = format!("volumev3 /volumes/{}/action", bed.data);
            bed.at_once("demo", "POST", &url, &json!({"os-extend": {"new_size": 9}}));
        },
    );
    let (bed, record) = resumed_after(|bed, record| told(bed, record)).await;
    assert_taken_back(&bed, &record, &["extend_volume by user"]);
    assert_the_newest_bytes_are_there(&bed);

    let mut lost = once(
        |record| has_begun(record, "pause"),
        |bed| assert!(lock(&bed.source).extend_unnoticed(&bed.data, 9)),
    );
    let (bed, record) = resumed_after(|bed, record| lost(bed, record)).await;
    assert_taken_back(&bed, &record, &["GiB and has 9 now"]);
    assert_the_newest_bytes_are_there(&bed);
}

/// The cleanup was put off; days later somebody has started the original, and works with it.
#[tokio::test(start_paused = true)]
async fn a_server_started_days_after_its_move_outlives_the_cleanup_that_was_put_off() {
    const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);
    let mut bed = Bed::switched().await;
    bed.pass(DAYS).await;
    let url = format!("compute /servers/{}/action", bed.server);
    bed.user("demo", "POST", &url, json!({"os-start": null}))
        .await;
    let ended = bed.delete().await;
    let why = ended.failure(SERVER);
    assert!(
        why.starts_with("kept: it is ACTIVE: it was started again"),
        "{why}"
    );
    for volume in [BOOT, DATA] {
        let why = ended.failure(volume);
        assert!(why.starts_with("kept: its server was not deleted"), "{why}");
    }
    assert_eq!(bed.server_facts(&bed.server).unwrap().status, "ACTIVE");
    assert_the_newest_bytes_are_there(&bed);

    bed.pass(DAYS).await;
    let ended = bed.cleanup().await;
    let why = ended.failure(SERVER);
    assert!(why.contains("--delete-running"), "{why}");
    assert_the_newest_bytes_are_there(&bed);

    bed.user("demo", "POST", &url, json!({"os-stop": null}))
        .await;
    bed.cleanup_leaves_nothing().await;
}
