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

use protector_core::operation::OperationKind;
use protector_walker::{
    ActKind, Fault, Happening, Points, Report, SeededRandom, Story, StoryMoment, WorldSite,
    walk_pinned, walk_story,
};

/// Another seed: `PROTECTOR_SEED=7 cargo nextest run stories`.
const SEED_VARIABLE: &str = "PROTECTOR_SEED";
/// A short run: everything that can happen, each at one point of the story.
const FEW: usize = 1;
/// The same of the stories that were told last: one of so many things.
const FEWER: usize = 4;
/// At how many points everything happens in a long run (`make soak`).
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

/// Everything that can happen in the story, at many points.
async fn everything_in(story: Story, seed: u64) {
    println!("{story:?}: {SEED_VARIABLE}={seed}");
    let points = Points::Some { count: MANY, seed };
    nothing_is_broken(&walk_story(story, Happening::all(), points).await);
}

/// One of `every` things that can happen in the story, each at one point; other ones in each story.
async fn some_in(story: Story, every: usize) {
    let seed = seed().wrapping_add(story as u64);
    println!("{story:?}: {SEED_VARIABLE}={}", self::seed());
    let points = Points::Some { count: 1, seed };
    nothing_is_broken(&walk_story(story, Happening::some(every, seed), points).await);
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
    some_in(Story::Failover, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_while_a_failover_is_taken_back_keeps_what_was_written() {
    some_in(Story::TakenBack, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_in_a_failover_and_its_late_cleanup_keeps_what_was_written() {
    some_in(Story::LeftBehind, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_there_and_back_keeps_what_was_written() {
    some_in(Story::ThereAndBack, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_copy_that_was_not_taken_back_keeps_what_was_written() {
    some_in(Story::NotTakenBack, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_while_clocks_are_an_hour_apart_keeps_what_was_written() {
    some_in(Story::TwoClocks, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_before_a_site_is_lost_in_error_keeps_what_was_written() {
    some_in(Story::LostInError, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_when_a_lost_site_returns_keeps_what_was_announced() {
    some_in(Story::Returned, FEW).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_retained_volumes_keeps_what_was_written() {
    some_in(Story::Retained, FEWER).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_retained_volumes_there_and_back_keeps_what_was_written() {
    some_in(Story::RetainedAndBack, FEWER).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_before_a_lost_site_is_fenced_keeps_what_was_announced() {
    some_in(Story::Fenced, FEWER).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_copy_that_is_adopted_keeps_what_was_written() {
    some_in(Story::Adopted, FEWER).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_copy_that_is_adopted_without_its_source_keeps_what_was_written() {
    some_in(Story::AdoptedWithoutSource, FEWER).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_what_is_protected_anew_keeps_what_was_written() {
    some_in(Story::Reprotected, FEWER).await;
}

/// A cloud asks for patience, and what the call rested on goes meanwhile.
#[tokio::test(start_paused = true)]
async fn no_change_is_repeated_after_its_copy_is_gone() {
    for fault in [Fault::RetryAfter, Fault::RetryAfterFreeze] {
        let happening = Happening::Both(fault, ActKind::DeleteAll(WorldSite::Target));
        everywhere_in(Story::Failover, happening, MANY).await;
    }
}

/// A stranger's server with a copy's marks keeps the original stopped: protector says how they come off, and then it starts.
#[tokio::test(start_paused = true)]
async fn a_group_beside_copied_marks_has_a_way_out() {
    let happening = Happening::Act(ActKind::CopyMarks);
    everywhere_in(Story::NotTakenBack, happening, MANY).await;
}

/// Whoever protects a copy anew relies on it: it goes when that group has gone.
#[tokio::test(start_paused = true)]
async fn a_group_whose_copy_is_protected_anew_has_a_way_out() {
    let happening = Happening::Act(ActKind::ProtectAgain(WorldSite::Target));
    everywhere_in(Story::NotTakenBack, happening, MANY).await;
}

/// One thing, at one moment.
async fn pinned(story: Story, happening: ActKind, moment: StoryMoment) {
    nothing_is_broken(&walk_pinned(story, Happening::Act(happening), moment).await);
}

/// Nothing happens but the story itself.
async fn in_peace(story: Story) {
    nothing_is_broken(&walk_story(story, [], Points::All).await);
}

/// Right before an operation of this kind begins with a line.
fn when_begun(by: OperationKind, line: &'static str) -> StoryMoment {
    StoryMoment::Written { by, line, nth: 1 }
}

#[tokio::test(start_paused = true)]
async fn an_original_that_is_started_before_the_switch_takes_the_move_back() {
    let moment = when_begun(OperationKind::Failover, "confirm");
    pinned(Story::Failover, ActKind::Start(WorldSite::Source), moment).await;
}

/// The target is lost before the build, a person who sees it starts the original, and the target comes back.
#[tokio::test(start_paused = true)]
async fn an_original_that_is_started_while_its_builds_wait_for_the_target_takes_the_move_back() {
    let moment = when_begun(OperationKind::Failover, "recreate_vms");
    let replaced = ActKind::CutOffAndReplaced(WorldSite::Target);
    pinned(Story::Failover, replaced, moment).await;
}

#[tokio::test(start_paused = true)]
async fn a_leftover_that_is_protected_anew_after_its_cleanup_was_asked_for_is_kept() {
    let moment = when_begun(OperationKind::Cleanup, "delete_source_vm");
    pinned(
        Story::LeftBehind,
        ActKind::Protect(WorldSite::Source),
        moment,
    )
    .await;
}

/// A failover that was not taken back is cleaned up by hand, and the copy runs and is used.
#[tokio::test(start_paused = true)]
async fn a_copy_that_runs_is_not_cleaned_up_for_its_stale_original() {
    in_peace(Story::NotTakenBack).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_used_and_stopped_is_not_cleaned_up_for_its_stale_original() {
    let moment = when_begun(OperationKind::Cleanup, "undo:");
    pinned(
        Story::NotTakenBack,
        ActKind::Stop(WorldSite::Target),
        moment,
    )
    .await;
}

/// A copy of a failed failover runs, and its original is lost before anybody cleans up.
#[tokio::test(start_paused = true)]
async fn no_second_copy_is_built_beside_one_that_runs() {
    in_peace(Story::LostInError).await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_nova_loses_needs_nobody() {
    let moment = StoryMoment::Sent {
        method: "DELETE",
        to: "/servers/",
        nth: 1,
    };
    let lost = ActKind::LoseDeletion(WorldSite::Target);
    pinned(Story::TakenBack, lost, moment).await;
}

/// A call that is under way cannot be called back: what counts is that the copy was there when it was sent.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_arrives_late_is_judged_by_when_it_was_sent() {
    let happening = Happening::Both(Fault::Late, ActKind::DeleteAll(WorldSite::Target));
    let moment = StoryMoment::Sent {
        method: "DELETE",
        to: "/volumes/",
        nth: 1,
    };
    nothing_is_broken(&walk_pinned(Story::Retained, happening, moment).await);
}

/// One long test a story: alone it takes minutes.
macro_rules! soak {
    ($($name:ident: $story:ident),+ $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        #[ignore = "takes minutes: make soak"]
        async fn $name() {
            everything_in(Story::$story, SeededRandom::new(seed()).roll()).await;
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
    soak_retained: Retained,
    soak_retained_and_back: RetainedAndBack,
    soak_fenced: Fenced,
    soak_adopted: Adopted,
    soak_adopted_without_source: AdoptedWithoutSource,
    soak_reprotected: Reprotected,
}
