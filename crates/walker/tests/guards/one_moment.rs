//! What a switch rests on is so at the moment of the switch: a source whose answers come late, and a database that waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use protector_core::{
    journal::Entry,
    operation::{GivenUp, OperationRecord, OperationState},
};
use protector_simcloud::{cloud::CallEffect, in_process::lock};
use tokio::time::Instant;

use super::{
    fixture::Fixture,
    source_at_rest::{assert_taken_back, fault, has_begun, once, start},
};

const STARTED: [&str; 2] = ["vm-001 has not rested on site-a", "start by user"];

fn answers_about_servers_take(fixture: &Fixture, seconds: f64) {
    for path in ["*/servers*", "*/os-services*"] {
        fault(&fixture.source, "GET", path, CallEffect::Delay { seconds });
    }
}

fn note_of<'a>(record: &'a OperationRecord, phase: &str) -> Option<&'a str> {
    let mut steps = record.steps.iter();
    let step = steps.find(|step| step.phase_name == phase)?;
    step.progress.note.as_deref()
}

/// The answer was true when the cloud gave it; it came 20 s later.
#[tokio::test(start_paused = true)]
async fn a_server_started_while_the_answer_that_it_rests_was_on_its_way_takes_the_move_back() {
    let mut slow = once(
        |record| has_begun(record, "confirm_vms"),
        |fixture| answers_about_servers_take(fixture, 20.0),
    );
    let mut asked: Option<Instant> = None;
    let mut started = false;
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            slow(fixture, record);
            if has_begun(record, "switch_primary") {
                asked.get_or_insert_with(Instant::now);
            }
            let on_its_way = asked.is_some_and(|at| at.elapsed() > Duration::from_secs(5));
            if on_its_way && !started {
                lock(&fixture.source).clear_faults();
                start(fixture);
                started = true;
            }
        },
    )
    .await;
    assert_taken_back(&fixture, &record, &STARTED);
}

/// It was seen at rest; by the time that Nova has told what was asked of it until then, it is started.
#[tokio::test(start_paused = true)]
async fn a_server_started_after_it_was_seen_at_rest_takes_the_move_back() {
    let mut slow = once(
        |record| has_begun(record, "confirm_vms"),
        |fixture| {
            let effect = CallEffect::Delay { seconds: 8.0 };
            fault(&fixture.source, "GET", "*/os-instance-actions*", effect);
        },
    );
    let mut asked: Option<Instant> = None;
    let mut started = false;
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            slow(fixture, record);
            if has_begun(record, "switch_primary") {
                asked.get_or_insert_with(Instant::now);
            }
            let seen = asked.is_some_and(|at| at.elapsed() > Duration::from_secs(4));
            if seen && !started {
                start(fixture);
                started = true;
            }
        },
    )
    .await;
    assert_taken_back(&fixture, &record, &STARTED);
}

/// Nobody starts anything: it waits and says for what, until somebody gives it up.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_too_slow_is_waited_for_and_can_be_given_up() {
    const SLOW: Duration = Duration::from_secs(1800);
    let begin = Instant::now();
    let mut slow = once(
        |record| has_begun(record, "confirm_vms"),
        |fixture| answers_about_servers_take(fixture, 20.0),
    );
    let mut said = String::new();
    let mut given_up = false;
    let (fixture, record) = Fixture::moved_among(
        |_| {},
        |fixture, record| {
            slow(fixture, record);
            if let Some(note) = note_of(record, "switch_primary") {
                note.clone_into(&mut said);
            }
            if begin.elapsed() > SLOW && !given_up {
                let id = &record.operation.id;
                assert_eq!(
                    fixture.journal.abort(id, "user-1", GivenUp::Unwanted),
                    Ok(())
                );
                given_up = true;
            }
        },
    )
    .await;
    let id = &record.operation.id;
    assert_eq!(
        said,
        format!(
            "site-a to say within 15 s how its servers are: it took 20 s, in which one of them may have been started; if it stays as slow, 'openstack dr operation abort {id}' gives the operation up"
        )
    );
    assert_taken_back(&fixture, &record, &[]);
}

/// A cloud whose every answer takes 10 s is slow, not silent.
#[tokio::test(start_paused = true)]
async fn a_source_that_takes_ten_seconds_for_an_answer_is_moved_from() {
    let (_, record) = Fixture::moved_among(
        |fixture| answers_about_servers_take(fixture, 10.0),
        |_, _| {},
    )
    .await;
    assert_eq!(record.operation.error, None);
    assert_eq!(record.operation.state, OperationState::Completed);
}

/// The servers were seen at rest; the transaction that switches waits for the database, and one of them is started meanwhile.
#[tokio::test(start_paused = true)]
async fn a_server_started_while_the_switch_waits_for_the_database_takes_the_move_back() {
    let mut begun: Option<Instant> = None;
    let mut started = false;
    let (fixture, record) = Fixture::moved_among(
        |fixture| fixture.slow_write(Entry::moves_the_group, Duration::from_secs(20)),
        |fixture, record| {
            if has_begun(record, "switch_primary") {
                begun.get_or_insert_with(Instant::now);
            }
            let waits = begun.is_some_and(|at| at.elapsed() > Duration::from_secs(5));
            if waits && !started {
                start(fixture);
                started = true;
            }
        },
    )
    .await;
    assert_taken_back(&fixture, &record, &STARTED);
}

fn is_put_back(entry: &Entry) -> bool {
    let mut notes = entry
        .steps
        .iter()
        .filter_map(|(_, line)| line.note.as_deref());
    notes.any(|note| note.starts_with("what it rests on to be read again"))
}

/// Nothing has happened meanwhile: it is looked at again, and switched.
#[tokio::test(start_paused = true)]
async fn a_switch_that_waited_for_the_database_is_looked_at_again() {
    let said = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&said);
    let (_, record) = Fixture::moved_among(
        |fixture| {
            fixture.slow_write(Entry::moves_the_group, Duration::from_secs(20));
            fixture.at_write(is_put_back, move || noted.store(true, Ordering::SeqCst));
        },
        |_, _| {},
    )
    .await;
    assert!(said.load(Ordering::SeqCst), "it was not looked at again");
    assert_eq!(record.operation.state, OperationState::Completed);
}
