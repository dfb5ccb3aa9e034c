//! The schedule walker: runs an operation (a test failover together with its cleanup) once in peace, counting its journal writes and remote calls, then once more for
//! every single fault at every one of them, with two engines sharing the journal, and checks the invariants after each.
//!
//! Time is virtual, so hours of leases, retries and time-outs pass in milliseconds. Nothing is random: the same build
//! gives the same schedules.

mod clouds;
mod fault;
mod invariant;
mod operations;
mod tenant;
mod test_invariant;
mod watch;
mod world;

pub use fault::{Fault, FaultPoint, Injector};
pub use invariant::{Violation, check, reached_its_purpose};
pub use world::{CloudFacts, Outcome, Scenario, World, WorldOptions};

/// One schedule: what goes wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// What goes wrong; `None` for the calm run.
    pub fault: Option<(Fault, FaultPoint)>,
}

/// What a walk over all schedules found.
#[derive(Debug, Default)]
pub struct Report {
    /// How many schedules were run.
    pub schedules: usize,
    /// How many journal writes the calm run made.
    pub writes: usize,
    /// How many remote calls it made.
    pub calls: usize,
    /// Each schedule after which an invariant did not hold.
    pub violations: Vec<(Schedule, Vec<Violation>)>,
}

/// Runs every schedule of the world that `options` describe. Must run on a current-thread runtime with a paused clock.
pub async fn walk(options: &WorldOptions) -> Report {
    let calm = Schedule { fault: None };
    let outcome = World::build(options, calm.clone()).run().await;
    let mut report = Report {
        schedules: 1,
        writes: outcome.writes,
        calls: outcome.calls,
        violations: Vec::new(),
    };
    note(&mut report, calm, &outcome);
    for schedule in schedules(outcome.writes, outcome.calls) {
        let outcome = World::build(options, schedule.clone()).run().await;
        report.schedules += 1;
        note(&mut report, schedule, &outcome);
    }
    report
}

fn note(report: &mut Report, schedule: Schedule, outcome: &Outcome) {
    let mut violations = check(outcome);
    let lasting = matches!(schedule.fault, Some((Fault::Forbidden, _)));
    if !lasting {
        violations.extend(reached_its_purpose(outcome));
    }
    if !violations.is_empty() {
        report.violations.push((schedule, violations));
    }
}

/// Every single fault at every point of the calm run.
fn schedules(writes: usize, calls: usize) -> impl Iterator<Item = Schedule> {
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
    at_writes
        .chain(at_calls)
        .map(|fault| Schedule { fault: Some(fault) })
}
