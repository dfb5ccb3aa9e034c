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
    fixture::{BOOT, DATA, Fixture, SERVER},
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
async fn resumed_after(
    mut meddle: impl FnMut(&Fixture, &OperationRecord),
) -> (Fixture, OperationRecord) {
    let mut since = None;
    Fixture::moved_as(
        with_a_pause,
        |_| {},
        |fixture, record| {
            let Some(pause) = waiting(record) else {
                return;
            };
            // Nobody else asks the source for anything, and its time goes on with what it is asked.
            fixture.go_on();
            meddle(fixture, record);
            let since = *since.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() > LUNCH {
                fixture
                    .journal
                    .resume(&record.operation.id, &pause, "user-1");
            }
        },
    )
    .await
}

/// Nothing on the source was deleted: what was written there last is there.
fn assert_the_newest_bytes_are_there(fixture: &Fixture) {
    assert!(
        fixture.has_server()
            && fixture.has_volume(&fixture.boot)
            && fixture.has_volume(&fixture.data)
    );
    let source = lock(&fixture.source);
    let deletions = source.call_log().iter();
    assert_eq!(deletions.filter(|call| call.method == "DELETE").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_during_a_pause_and_the_move_goes_on() {
    let (fixture, record) = resumed_after(|_, _| {}).await;
    assert_eq!(record.operation.error, None);
    assert_eq!(record.operation.state, OperationState::Completed);
    assert!(!fixture.has_server());
}

#[tokio::test(start_paused = true)]
async fn a_server_started_during_a_pause_takes_the_move_back() {
    let mut start = once(|record| has_begun(record, "pause"), start);
    let (fixture, record) = resumed_after(|fixture, record| start(fixture, record)).await;
    assert_taken_back(
        &fixture,
        &record,
        &["vm-001 has not rested on site-a", "start by user"],
    );
    assert_the_newest_bytes_are_there(&fixture);
}

/// It ran for a while and is stopped again when the person comes back: what it has written then is in no copy.
#[tokio::test(start_paused = true)]
async fn a_server_that_ran_during_a_pause_and_rests_again_takes_the_move_back() {
    let mut start = once(|record| has_begun(record, "pause"), start);
    let mut stopped = false;
    let (fixture, record) = resumed_after(|fixture, record| {
        start(fixture, record);
        let runs = fixture.server_facts(&fixture.server).unwrap().status == "ACTIVE";
        if runs && !stopped {
            let url = format!("compute /servers/{}/action", fixture.server);
            fixture.at_once("demo", "POST", &url, &json!({"os-stop": null}));
            stopped = true;
        }
    })
    .await;
    assert!(stopped);
    assert_taken_back(&fixture, &record, &["start by user", "stop by user"]);
    assert_the_newest_bytes_are_there(&fixture);
}

/// Its volumes are the only bytes by then; the copies that were made of them go, and the group is at rest where it was.
#[tokio::test(start_paused = true)]
async fn a_server_deleted_during_a_pause_takes_the_move_back_when_it_is_resumed() {
    let mut delete = once(
        |record| has_begun(record, "pause"),
        |fixture| {
            let url = format!("compute /servers/{}", fixture.server);
            fixture.at_once("demo", "DELETE", &url, &json!(null));
        },
    );
    let (fixture, record) = resumed_after(|fixture, record| delete(fixture, record)).await;
    let why = record.operation.error.clone().unwrap_or_default();
    assert!(why.contains("vm-001"), "{why}");
    assert_eq!(record.operation.state, OperationState::Failed);
    assert_eq!(fixture.group().status, GroupStatus::Active);
    assert_eq!(fixture.group().current_primary_site.as_str(), "site-a");
    assert!(fixture.has_volume(&fixture.boot) && fixture.has_volume(&fixture.data));
    assert!(lock(&fixture.target).servers().is_empty());
    let left = |step: &StepRecord| step.progress.state == StepState::UndoFailed;
    assert!(!record.steps.iter().any(left), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_attached_during_a_pause_takes_the_move_back() {
    let mut attach = attaching(|record| has_begun(record, "pause"));
    let (fixture, record) = resumed_after(|fixture, record| attach(fixture, record)).await;
    assert_taken_back(&fixture, &record, &["attach_volume by user"]);
    assert_the_newest_bytes_are_there(&fixture);
}

/// The copy is as large as its original was when that was replicated; Nova is told of the extension, or not.
#[tokio::test(start_paused = true)]
async fn a_volume_extended_during_a_pause_takes_the_move_back() {
    let mut told = once(
        |record| has_begun(record, "pause"),
        |fixture| {
            let url = format!("volumev3 /volumes/{}/action", fixture.data);
            fixture.at_once("demo", "POST", &url, &json!({"os-extend": {"new_size": 9}}));
        },
    );
    let (fixture, record) = resumed_after(|fixture, record| told(fixture, record)).await;
    assert_taken_back(&fixture, &record, &["extend_volume by user"]);
    assert_the_newest_bytes_are_there(&fixture);

    let mut lost = once(
        |record| has_begun(record, "pause"),
        |fixture| assert!(lock(&fixture.source).extend_unnoticed(&fixture.data, 9)),
    );
    let (fixture, record) = resumed_after(|fixture, record| lost(fixture, record)).await;
    assert_taken_back(&fixture, &record, &["GiB and has 9 now"]);
    assert_the_newest_bytes_are_there(&fixture);
}

/// The cleanup was put off; days later somebody has started the original, and works with it.
#[tokio::test(start_paused = true)]
async fn a_server_started_days_after_its_move_outlives_the_cleanup_that_was_put_off() {
    const DAYS: Duration = Duration::from_secs(3 * 24 * 3600);
    let mut fixture = Fixture::switched().await;
    fixture.pass(DAYS).await;
    let url = format!("compute /servers/{}/action", fixture.server);
    fixture
        .user("demo", "POST", &url, json!({"os-start": null}))
        .await;
    let ended = fixture.delete().await;
    let why = ended.failure(SERVER);
    assert!(
        why.starts_with("kept: it is ACTIVE: it was started again"),
        "{why}"
    );
    for volume in [BOOT, DATA] {
        let why = ended.failure(volume);
        assert!(why.starts_with("kept: its server was not deleted"), "{why}");
    }
    assert_eq!(
        fixture.server_facts(&fixture.server).unwrap().status,
        "ACTIVE"
    );
    assert_the_newest_bytes_are_there(&fixture);

    fixture.pass(DAYS).await;
    let ended = fixture.cleanup().await;
    let why = ended.failure(SERVER);
    assert!(why.contains("--delete-running"), "{why}");
    assert_the_newest_bytes_are_there(&fixture);

    fixture
        .user("demo", "POST", &url, json!({"os-stop": null}))
        .await;
    fixture.cleanup_leaves_nothing().await;
}
