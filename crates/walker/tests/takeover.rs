//! A site that is lost at every point of a planned failover, the unplanned one in its place, the site's return, and the
//! fencing and cleanup that follow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may panic, and say what they did"
)]

use protector_walker::{
    Heard, Report, Scenario, SeededRandom, WorldOptions, walk_disturbed_takeovers, walk_takeovers,
};

/// Another seed: `PROTECTOR_SEED=7 cargo nextest run takeover`.
const SEED_VARIABLE: &str = "PROTECTOR_SEED";
/// Disturbed takeovers in a short run; each stands for three schedules.
const FEW: usize = 40;
/// In a long one (`make soak`).
const MANY: usize = 300;

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

#[tokio::test(start_paused = true)]
async fn a_site_lost_at_any_point_of_its_failover_is_taken_over() {
    let report = walk_takeovers(&WorldOptions::of(Scenario::ALL_WELL, 1), Heard::All).await;
    assert!(report.schedules > 100, "{}", report.schedules);
    nothing_is_broken(&report);
}

#[tokio::test(start_paused = true)]
async fn a_site_lost_while_its_failover_is_taken_back_is_taken_over() {
    for heard in [Heard::All, Heard::TheBeginning] {
        println!("the other site has heard {heard:?}");
        let report = walk_takeovers(&WorldOptions::of(Scenario::BUILDS_FAIL, 1), heard).await;
        assert!(report.schedules > 100, "{}", report.schedules);
        nothing_is_broken(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_goes_well_whatever_goes_wrong_with_it_and_whenever_the_site_returns() {
    disturbed(FEW).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "takes minutes: make soak"]
async fn soak_many_disturbed_takeovers() {
    disturbed(MANY).await;
}

async fn disturbed(count: usize) {
    let given = std::env::var(SEED_VARIABLE).ok();
    let seed = given.map_or(20_260_101, |seed| seed.parse().expect("a number"));
    let mut dice = SeededRandom::new(seed);
    println!("{SEED_VARIABLE}={seed}");
    for (scenario, heard) in [
        (Scenario::ALL_WELL, Heard::All),
        (Scenario::BUILDS_FAIL, Heard::All),
        (Scenario::BUILDS_FAIL, Heard::TheBeginning),
    ] {
        println!("{scenario:?}, heard: {heard:?}");
        let options = WorldOptions::of(scenario, 1);
        nothing_is_broken(&walk_disturbed_takeovers(&options, heard, dice.roll(), count).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_whose_arrays_mirror_is_taken_over_at_any_point_and_becomes_the_replica() {
    let options = WorldOptions::mirrored(Scenario::ALL_WELL, 1);
    let report = walk_takeovers(&options, Heard::All).await;
    assert!(report.schedules > 100, "{}", report.schedules);
    nothing_is_broken(&report);
}
