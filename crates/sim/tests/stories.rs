//! Stories of a group in a world that moves: guests write as long as they run, people act at every point, calls come late,
//! places are lost. No acknowledged write is lost without having been announced, no two lives of a server run at once,
//! nothing of anybody else's is touched, everything ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use protector_sim::walker::{
    Deed, Dice, Fault, Happening, Place, Points, Report, Story, walk_story,
};

/// Another seed: `PROTECTOR_SEED=7 cargo nextest run stories`.
const SEED_VARIABLE: &str = "PROTECTOR_SEED";
/// At how many points of a story each thing happens in a short run.
const FEW: usize = 1;
/// In a long one (`make soak`).
const MANY: usize = 16;

fn seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok();
    given.map_or(20_260_101, |seed| seed.parse().expect("a number"))
}

fn nothing_is_broken(report: &Report) {
    println!(
        "{} schedules over {} writes and {} calls",
        report.schedules, report.writes, report.calls
    );
    let broken = report.violations.iter();
    assert!(
        report.violations.is_empty(),
        "{} of {} schedules break an invariant:\n{}",
        report.violations.len(),
        report.schedules,
        broken
            .map(|(what, violations)| format!("{what:?}: {violations:?}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// Everything that can happen in the story.
async fn everything_in(story: Story, count: usize, seed: u64) {
    println!("{story:?}: {SEED_VARIABLE}={seed}");
    let points = Points::Some { count, seed };
    nothing_is_broken(&walk_story(story, Happening::all(), points).await);
}

/// One thing, at `count` points of the story.
async fn everywhere_in(story: Story, happening: Happening, count: usize) {
    let points = Points::Some {
        count,
        seed: seed(),
    };
    nothing_is_broken(&walk_story(story, [happening], points).await);
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_in_a_failover_keeps_what_was_written() {
    everything_in(Story::Failover, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_while_a_failover_is_taken_back_keeps_what_was_written() {
    everything_in(Story::TakenBack, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_in_a_failover_and_its_late_cleanup_keeps_what_was_written() {
    everything_in(Story::LeftBehind, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_there_and_back_keeps_what_was_written() {
    everything_in(Story::ThereAndBack, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_copy_that_was_not_taken_back_keeps_what_was_written() {
    everything_in(Story::NotTakenBack, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_while_clocks_are_an_hour_apart_keeps_what_was_written() {
    everything_in(Story::TwoClocks, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_before_a_site_is_lost_in_error_keeps_what_was_written() {
    everything_in(Story::LostInError, FEW, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_when_a_lost_site_returns_keeps_what_was_announced() {
    everything_in(Story::Returned, FEW, seed()).await;
}

/// A cloud asks for patience, and what the call rested on goes meanwhile.
#[tokio::test(start_paused = true)]
async fn no_change_is_repeated_after_its_copy_is_gone() {
    for fault in [Fault::RetryAfter, Fault::RetryAfterFreeze] {
        let happening = Happening::Both(fault, Deed::DeleteAll(Place::Target));
        everywhere_in(Story::Failover, happening, MANY).await;
    }
}

/// A stranger's server with a copy's marks keeps the original stopped: protector says how they come off, and then it starts.
#[tokio::test(start_paused = true)]
async fn a_group_beside_copied_marks_has_a_way_out() {
    let happening = Happening::Deed(Deed::CopyMarks);
    everywhere_in(Story::NotTakenBack, happening, MANY).await;
}

/// Whoever protects a copy anew relies on it: it goes when that group has gone.
#[tokio::test(start_paused = true)]
async fn a_group_whose_copy_is_protected_anew_has_a_way_out() {
    let happening = Happening::Deed(Deed::ProtectAgain(Place::Target));
    everywhere_in(Story::NotTakenBack, happening, MANY).await;
}

/// One long test a story: alone it takes minutes.
macro_rules! soak {
    ($($name:ident: $story:ident),+ $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        #[ignore = "takes minutes: make soak"]
        async fn $name() {
            everything_in(Story::$story, MANY, Dice::new(seed()).roll()).await;
        }
    )+};
}

soak! {
    soak_failover: Failover,
    soak_taken_back: TakenBack,
    soak_left_behind: LeftBehind,
    soak_not_taken_back: NotTakenBack,
    soak_lost_in_error: LostInError,
    soak_returned: Returned,
    soak_there_and_back: ThereAndBack,
    soak_two_clocks: TwoClocks,
}
