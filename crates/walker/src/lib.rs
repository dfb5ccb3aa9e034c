//! The schedule walker: runs an operation once in peace, counting its journal writes and remote calls, then once more for
//! every single fault at every one of them, with two engines sharing the journal, and checks the invariants after each.
//! Pairs of faults are too many for that: of them a sample is walked, chosen by a seed.
//!
//! A *story* ([`Story`]) goes further: operations of one group one after the other in a world that moves. Guests write as long
//! as they run, people act at every point, calls come late, places are lost ([`Happening`]); what must never be seen is seen when
//! it happens (`life`).
//!
//! Time is virtual, so hours of leases, retries and time-outs pass in milliseconds. Nothing else is random: the same build
//! and the same seed give the same schedules.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests may panic"
    )
)]
pub mod memory_journal;

pub use abort_run::{Abort, AbortOutcome, LostTarget, check_abort};
pub use act::{Act, ActKind, WorldSite};
pub use fault::{Fault, Injector, Storm};
pub use invariant::{check, conserved, nothing_left_after_cleanup, reached_its_purpose};
pub use moment::{FaultPoint, StoryMoment};
pub use scenario::{
    Circumstance, End, FIRST_COPY, LATE_BUILD, Scenario, Trouble, VERY_LATE_BUILD, Walked,
    WorldOptions,
};
pub use seeded_random::SeededRandom;
pub use story::{Story, Told};
pub use takeover_invariant::check_takeover;
pub use takeover_run::{Heard, Returns, Takeover, TakeoverOutcome};
pub use telling::{Happening, Points, walk_mirrored_story, walk_pinned, walk_story};
pub use trouble::Stuck;
pub use violation::Violation;
pub use world::{CloudFacts, WalkOutcome, World};

/// One schedule: what goes wrong, and where. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    pub faults: Vec<(Fault, FaultPoint)>,
    pub acts: Vec<(Act, FaultPoint)>,
}

impl Schedule {
    /// Whether it holds a fault that does not pass by itself, or takes so long that deadlines pass.
    fn lasts(&self) -> bool {
        let faults = || self.faults.iter().map(|(fault, _)| fault);
        faults().any(|fault| !fault.passes())
            || faults().filter(|fault| fault.takes_long()).count() > 1
    }
}

/// Which operation a schedule's faults happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Operation,
    /// The cleanup that follows it, this many side by side.
    Cleanup {
        at_once: u32,
    },
}

/// What a walk over schedules found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many schedules were run.
    pub schedules: usize,
    /// How many journal writes the calm run made.
    pub writes: usize,
    /// How many remote calls it made.
    pub calls: usize,
    /// Each schedule after which an invariant did not hold.
    pub violations: Vec<(What, Vec<Violation>)>,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An operation or its cleanup under a schedule.
    Schedule(Schedule),
    /// The takeover of a failover whose site was lost.
    Takeover(Takeover),
    /// The abort of a failover whose home was lost.
    Abort(Abort),
    /// A story under a schedule.
    Story(Story, Schedule),
}

/// Runs every single fault in the world that `options` describe. Must run on a current-thread runtime with a paused clock.
pub async fn walk(options: &WorldOptions, subject: Subject) -> Report {
    let mut report = calm(options, subject).await;
    for fault in points(report.writes, report.calls) {
        let schedule = Schedule {
            faults: vec![fault],
            ..Schedule::default()
        };
        run(&mut report, options, subject, schedule).await;
    }
    report
}

/// Runs `count` pairs of faults, chosen by `seed`. Must run as [`walk`].
pub async fn walk_pairs(
    options: &WorldOptions,
    subject: Subject,
    seed: u64,
    count: usize,
) -> Report {
    let mut report = calm(options, subject).await;
    let points: Vec<_> = points(report.writes, report.calls).collect();
    let mut dice = SeededRandom::new(seed);
    for _ in 0..count {
        let mut faults: Vec<_> = [dice.pick(&points), dice.pick(&points)]
            .into_iter()
            .flatten()
            .collect();
        faults.dedup_by_key(|(_, point)| *point);
        let schedule = Schedule {
            faults,
            ..Schedule::default()
        };
        run(&mut report, options, subject, schedule).await;
    }
    report
}

async fn calm(options: &WorldOptions, subject: Subject) -> Report {
    let mut report = Report::default();
    let outcome = run(&mut report, options, subject, Schedule::default()).await;
    report.writes = outcome.writes;
    report.calls = outcome.calls;
    report
}

async fn run(
    report: &mut Report,
    options: &WorldOptions,
    subject: Subject,
    schedule: Schedule,
) -> WalkOutcome {
    let world = World::build(options, schedule.clone());
    let outcome = match subject {
        Subject::Operation => world.run().await,
        Subject::Cleanup { at_once } => world.run_and_clean_up(at_once).await,
    };
    let mut violations = check(&outcome);
    match subject {
        Subject::Operation if schedule.lasts() => {}
        Subject::Operation => violations.extend(reached_its_purpose(&outcome)),
        Subject::Cleanup { .. } => violations.extend(nothing_left_after_cleanup(&outcome)),
    }
    report.schedules += 1;
    if !violations.is_empty() {
        report
            .violations
            .push((What::Schedule(schedule), violations));
    }
    outcome
}

/// Every single fault at every point of the calm run.
fn points(writes: usize, calls: usize) -> impl Iterator<Item = (Fault, FaultPoint)> {
    let at_writes = (1..=writes).flat_map(|number| {
        Fault::OF_WRITES
            .into_iter()
            .map(move |fault| (fault, FaultPoint::Write(number)))
    });
    let at_calls = (1..=calls).flat_map(|number| {
        Fault::OF_CALLS
            .into_iter()
            .map(move |fault| (fault, FaultPoint::Call(number)))
    });
    at_writes.chain(at_calls)
}

/// Runs a failover in peace, then once for each place at which its site can be lost, and has it taken over on the other
/// one. Must run as [`walk`].
pub async fn walk_takeovers(options: &WorldOptions, heard: Heard) -> Report {
    let mut report = Report::default();
    let calm = take_over(&mut report, options, Takeover::none(heard)).await;
    (report.writes, report.calls) = calm.of_interrupted;
    for loss in losses(report.writes, report.calls) {
        take_over(&mut report, options, Takeover::after(loss, heard)).await;
    }
    report
}

/// The same for `count` places, chosen by `seed`, each with a fault of the failover that takes over and a moment of the
/// lost site's return.
pub async fn walk_disturbed_takeovers(
    options: &WorldOptions,
    heard: Heard,
    seed: u64,
    count: usize,
) -> Report {
    let mut report = Report::default();
    let calm = take_over(&mut report, options, Takeover::none(heard)).await;
    (report.writes, report.calls) = calm.of_interrupted;
    let losses: Vec<_> = losses(report.writes, report.calls).collect();
    let mut dice = SeededRandom::new(seed);
    for _ in 0..count {
        let Some(loss) = dice.pick(&losses) else {
            break;
        };
        let undisturbed = Takeover::after(loss, heard);
        let outcome = take_over(&mut report, options, undisturbed.clone()).await;
        let (writes, calls) = outcome.of_failover;
        let faults: Vec<_> = points(writes, calls)
            .filter(|(fault, _)| fault.passes())
            .collect();
        let disturbed = Takeover {
            faults: dice.pick(&faults).into_iter().collect(),
            ..undisturbed.clone()
        };
        take_over(&mut report, options, disturbed).await;
        let call = usize::try_from(dice.below(calls as u64)).unwrap_or_default();
        let returned_midway = Takeover {
            returns: Returns::At(call),
            ..undisturbed
        };
        take_over(&mut report, options, returned_midway).await;
    }
    report
}

/// Runs a failover in peace, then once for each place at which its home, where it goes, can be lost, and has it given up where
/// its servers are stopped; at some of the places also with every single fault of that. Must run as [`walk`].
pub async fn walk_aborts(options: &WorldOptions) -> Report {
    let mut report = Report::default();
    let of = |loss| Abort {
        loss,
        lost_target: LostTarget::TurnsAway,
        faults: Vec::new(),
    };
    let calm = give_up(&mut report, options, of(None)).await;
    (report.writes, report.calls) = calm.of_failover;
    let mut seen = std::collections::BTreeSet::new();
    for loss in losses(report.writes, report.calls) {
        let abort = of(Some(loss));
        let outcome = give_up(&mut report, options, abort.clone()).await;
        let Some(record) = &outcome.abort else {
            continue;
        };
        let hangs = Abort {
            lost_target: LostTarget::Hangs,
            ..abort.clone()
        };
        give_up(&mut report, options, hangs).await;
        // Once for each kind of abort: which of its steps have something to do.
        let did: Vec<u32> = record
            .steps
            .iter()
            .map(|step| step.progress.memo.intents)
            .collect();
        if !seen.insert(did) {
            continue;
        }
        let (writes, calls) = outcome.of_abort;
        for fault in points(writes, calls).filter(|(fault, _)| fault.passes()) {
            let faults = vec![fault];
            let abort = Abort {
                faults,
                ..abort.clone()
            };
            give_up(&mut report, options, abort).await;
        }
    }
    report
}

async fn give_up(report: &mut Report, options: &WorldOptions, abort: Abort) -> AbortOutcome {
    let schedule = Schedule {
        faults: abort.loss.into_iter().collect(),
        ..Schedule::default()
    };
    let outcome = World::build(options, schedule).run_abort(&abort).await;
    let violations = check_abort(&outcome);
    report.schedules += 1;
    if !violations.is_empty() {
        report.violations.push((What::Abort(abort), violations));
    }
    outcome
}

async fn take_over(
    report: &mut Report,
    options: &WorldOptions,
    takeover: Takeover,
) -> TakeoverOutcome {
    let schedule = Schedule {
        faults: takeover.loss.into_iter().collect(),
        ..Schedule::default()
    };
    let world = World::build(options, schedule);
    let outcome = world.run_takeover(&takeover).await;
    let violations = match takeover.loss {
        Some(_) => check_takeover(&outcome),
        None => Vec::new(),
    };
    report.schedules += 1;
    if !violations.is_empty() {
        report
            .violations
            .push((What::Takeover(takeover), violations));
    }
    outcome
}

/// Every way to lose a site at every point of the calm run.
fn losses(writes: usize, calls: usize) -> impl Iterator<Item = (Fault, FaultPoint)> {
    let at_writes = (1..=writes).flat_map(|number| {
        Fault::OF_WRITES
            .into_iter()
            .map(move |fault| (fault, FaultPoint::Write(number)))
    });
    let at_calls = (1..=calls).flat_map(|number| {
        [Fault::CrashAfter, Fault::Freeze]
            .into_iter()
            .map(move |fault| (fault, FaultPoint::Call(number)))
    });
    at_writes.chain(at_calls)
}

pub mod abort_run;
pub mod act;
pub mod cleanup;
pub mod clouds;
pub mod deletions;
pub mod disk;
pub mod fault;
pub mod invariant;
pub mod life;
pub mod login;
pub mod lost_invariant;
pub mod lost_run;
pub mod machine;
pub mod moment;
pub mod operations;
pub mod people;
pub mod person;
mod scenario;
pub mod seeded_random;
pub mod story;
pub mod story_invariant;
pub mod takeover_invariant;
pub mod takeover_run;
pub mod telling;
pub mod tenant;
pub mod test_invariant;
pub mod test_run;
pub mod trouble;
mod violation;
pub mod watch;
pub mod way_out;
pub mod world;
