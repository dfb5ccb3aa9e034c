//! The loop over stories: each thing that can happen, at the points of each story.

use protector_core::storage::PromotionKind;

use crate::{
    Report, Schedule, SeededRandom, What,
    act::{Act, ActKind, WorldSite},
    fault::Fault,
    moment::{FaultPoint, StoryMoment},
    points as every_fault,
    scenario::WorldOptions,
    story::{Story, Told},
    world::World,
};

/// What happens once in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A call or a write goes wrong.
    Fault(Fault),
    /// Somebody does something, or a place is lost.
    Act(ActKind),
    /// A call goes wrong, and somebody does something while its caller waits.
    Both(Fault, ActKind),
}

impl Happening {
    /// Everything that is known to happen.
    pub fn all() -> impl Iterator<Item = Self> {
        let faults = Fault::OF_CALLS.into_iter().chain(Fault::OF_WIRES);
        let deeds = ActKind::ALL.into_iter();
        let both = Fault::OF_WIRES.into_iter().flat_map(|fault| {
            [
                ActKind::DeleteAll(WorldSite::Target),
                ActKind::Start(WorldSite::Source),
                ActKind::CutOff(WorldSite::Target),
            ]
            .map(|deed| Self::Both(fault, deed))
        });
        faults
            .map(Self::Fault)
            .chain(deeds.map(Self::Act))
            .chain(both)
    }

    /// One of `every` of them, from the one that `seed` says.
    pub fn some(every: usize, seed: u64) -> impl Iterator<Item = Self> {
        let every = every.max(1);
        let first = SeededRandom::new(seed).below(every as u64);
        let first = usize::try_from(first).unwrap_or_default();
        Self::all().skip(first).step_by(every)
    }

    /// With what happens in the meantime, after its point.
    const MEANWHILE: u64 = 5;

    fn at(self, point: FaultPoint) -> Schedule {
        let fault = match self {
            Self::Fault(fault) | Self::Both(fault, _) => Some((fault, point)),
            Self::Act(_) => None,
        };
        let act = match self {
            Self::Fault(_) => None,
            Self::Act(deed) => Some(Act::at_once(deed)),
            Self::Both(_, deed) => Some(Act {
                deed,
                after: Self::MEANWHILE,
            }),
        };
        Schedule {
            faults: fault.into_iter().collect(),
            acts: act.map(|act| (act, point)).into_iter().collect(),
        }
    }

    /// The points at which it can happen, in a story of so many writes and calls.
    fn points(self, writes: usize, calls: usize) -> Vec<FaultPoint> {
        let at_calls = (1..=calls).map(FaultPoint::Call);
        match self {
            Self::Act(_) => at_calls
                .chain((1..=writes).map(FaultPoint::Write))
                .collect(),
            Self::Fault(_) | Self::Both(..) => at_calls.collect(),
        }
    }
}

/// At how many points each thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points {
    All,
    /// At as many, spread evenly, from the one that a seed says.
    Some {
        count: usize,
        seed: u64,
    },
}

impl Points {
    fn of<T>(self, all: Vec<T>) -> Vec<T> {
        let Self::Some { count, seed } = self else {
            return all;
        };
        let step = all.len().div_ceil(count.max(1)).max(1);
        let first = SeededRandom::new(seed).below(step as u64);
        let first = usize::try_from(first).unwrap_or_default();
        all.into_iter().skip(first).step_by(step).collect()
    }
}

/// Tells the story in peace, then with each of the `happenings` at `points` of it. Must run as [`crate::walk`].
pub async fn walk_story(
    story: Story,
    happenings: impl IntoIterator<Item = Happening>,
    points: Points,
) -> Report {
    let mut report = Report::default();
    let calm = tell(&mut report, story, Schedule::default()).await;
    (report.writes, report.calls) = (calm.writes, calm.calls);
    for happening in happenings {
        for point in points.of(happening.points(calm.writes, calm.calls)) {
            tell(&mut report, story, happening.at(point)).await;
        }
    }
    report
}

/// Tells the story between arrays that promote in place, in peace, then with every single fault at `points` of its writes and calls.
/// Must run as [`crate::walk`].
pub async fn walk_mirrored_story(story: Story, points: Points) -> Report {
    let options = WorldOptions {
        promotion: PromotionKind::InPlace,
        ..story.world()
    };
    let mut report = Report::default();
    let calm = tell_in(&options, &mut report, story, Schedule::default()).await;
    (report.writes, report.calls) = (calm.writes, calm.calls);
    for fault in points.of(every_fault(calm.writes, calm.calls).collect()) {
        let schedule = Schedule {
            faults: vec![fault],
            ..Schedule::default()
        };
        tell_in(&options, &mut report, story, schedule).await;
    }
    report
}

/// Tells the story in peace, then with the happening at that moment of it. Must run as [`crate::walk`].
pub async fn walk_pinned(story: Story, happening: Happening, moment: StoryMoment) -> Report {
    let mut report = Report::default();
    let calm = tell(&mut report, story, Schedule::default()).await;
    (report.writes, report.calls) = (calm.writes, calm.calls);
    match moment.point_in(&calm.marks) {
        Some(point) => {
            tell(&mut report, story, happening.at(point)).await;
        }
        None => {
            let missing = format!("the story does not come to {moment:?}");
            let what = What::Story(story, Schedule::default());
            report.violations.push((what, vec![missing]));
        }
    }
    report
}

async fn tell(report: &mut Report, story: Story, schedule: Schedule) -> Told {
    tell_in(&story.world(), report, story, schedule).await
}

async fn tell_in(
    options: &WorldOptions,
    report: &mut Report,
    story: Story,
    schedule: Schedule,
) -> Told {
    let world = World::build(options, schedule.clone());
    let mut told = world.tell(story, &schedule).await;
    report.schedules += 1;
    let violations = std::mem::take(&mut told.violations);
    if !violations.is_empty() {
        let what = What::Story(story, schedule);
        report.violations.push((what, violations));
    }
    told
}
