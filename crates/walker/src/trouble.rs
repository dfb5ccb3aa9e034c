//! What is wrong with a world's clouds themselves, and how it is mended.

use std::{collections::BTreeMap, time::Duration};

use protector_simcloud::{
    cloud::{
        CallEffect, FaultEffect, FaultRule, JobEffect, Match, ServerFacts, SimulatedService,
        VolumeFacts,
    },
    in_process::{SharedCloud, lock},
};

use crate::scenario::{Trouble, WorldOptions};

/// Why a volume cannot be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stuck {
    /// It stays `deleting`.
    Deleting,
    /// It ends as `error_deleting`.
    ErrorDeleting,
    /// It is `available` again: its backend was busy.
    BackToAvailable,
}

impl Stuck {
    const ALL: [Self; 3] = [Self::Deleting, Self::ErrorDeleting, Self::BackToAvailable];

    fn effect(self) -> JobEffect {
        match self {
            Self::Deleting => JobEffect::VolumeDeleteSticks { seconds: None },
            Self::ErrorDeleting => JobEffect::VolumeDeleteErrors,
            Self::BackToAvailable => JobEffect::VolumeDeleteBackToAvailable,
        }
    }
}

/// Sets up what the scenario says.
pub(crate) fn begin(options: &WorldOptions, source: &SharedCloud, target: &SharedCloud) {
    for trouble in options.scenario.troubles {
        let (cloud, rules) = match trouble {
            Trouble::SlowSource(answer) => (source, slow(*answer)),
            Trouble::BuildsFail => (target, vec![builds_fail()]),
            Trouble::FirstBuildFails => (target, vec![first_build_fails(source)]),
            Trouble::LastBuildFails => (target, vec![last_build_fails(options, source)]),
            Trouble::LastBuildAnsweredLate(after) => {
                (target, vec![last_is_late(options, source, *after)])
            }
            Trouble::LastImportsFail => (target, last_imports_fail(options, source)),
            Trouble::SourceDeletesNothing => (source, nothing_is_deleted()),
            Trouble::TargetUndoesNothing => (target, nothing_is_undone()),
            Trouble::FirstImportStays => (target, vec![first_import_stays(source)]),
        };
        for rule in rules {
            lock(cloud).add_fault(rule);
        }
    }
}

fn slow(answer: Duration) -> Vec<FaultRule> {
    let slow = |path: &str| {
        let mut slow = rule(FaultEffect::Call(CallEffect::Delay {
            seconds: answer.as_secs_f64(),
        }));
        slow.matches.method = Some("GET".to_owned());
        slow.matches.path = Some(path.to_owned());
        slow
    };
    ["*/servers*", "*/os-services*"].map(slow).to_vec()
}

fn nothing_is_deleted() -> Vec<FaultRule> {
    [SimulatedService::Compute, SimulatedService::Volume]
        .map(|service| forbids(service, "DELETE", "*"))
        .to_vec()
}

fn nothing_is_undone() -> Vec<FaultRule> {
    vec![
        forbids(SimulatedService::Compute, "DELETE", "*/servers/*"),
        forbids(SimulatedService::Volume, "POST", "*/volumes/*/action"),
    ]
}

fn first_import_stays(source: &SharedCloud) -> FaultRule {
    let mut rule = rule(FaultEffect::Call(CallEffect::Status {
        status: 503,
        body: None,
        headers: BTreeMap::new(),
    }));
    rule.matches.method = Some("POST".to_owned());
    rule.matches.path = Some("*/volumes/*/action".to_owned());
    let first = lock(source).servers().first().cloned();
    let name = first.and_then(|first| names_of_volumes(source, &first).into_iter().next());
    rule.matches.resource = name;
    rule
}

fn last_imports_fail(options: &WorldOptions, source: &SharedCloud) -> Vec<FaultRule> {
    let last = last_member(options, source);
    let names = last.iter().flat_map(|last| names_of_volumes(source, last));
    names
        .map(|name| {
            let mut rule = rule(FaultEffect::Job(JobEffect::ManageError {
                after_rename: true,
            }));
            rule.matches.resource = Some(name);
            rule
        })
        .collect()
}

fn first_build_fails(source: &SharedCloud) -> FaultRule {
    let mut rule = builds_fail();
    let first = lock(source).servers().first().cloned();
    rule.matches.resource = first.map(|server| server.name);
    rule
}

fn last_build_fails(options: &WorldOptions, source: &SharedCloud) -> FaultRule {
    let mut rule = builds_fail();
    rule.matches.resource = last_member(options, source).map(|server| server.name);
    rule
}

fn builds_fail() -> FaultRule {
    rule(FaultEffect::Job(JobEffect::ServerBuildError {
        message: "No valid host was found.".to_owned(),
    }))
}

/// The build of the last server hangs, so that its client gives up, and the server is there after `late`.
fn last_is_late(options: &WorldOptions, source: &SharedCloud, late: Duration) -> FaultRule {
    let seconds = late.as_secs_f64();
    let mut rule = rule(FaultEffect::Job(JobEffect::ServerCreatedLate { seconds }));
    rule.matches.resource = last_member(options, source).map(|server| server.name);
    rule.times = Some(1);
    rule
}

fn last_member(options: &WorldOptions, source: &SharedCloud) -> Option<ServerFacts> {
    lock(source).servers().get(options.members - 1).cloned()
}

fn names_of_volumes(cloud: &SharedCloud, server: &ServerFacts) -> Vec<String> {
    let volumes = lock(cloud).volumes();
    let of_server = volumes
        .into_iter()
        .filter(|volume| server.volumes.contains(&volume.id));
    of_server.filter_map(|volume| volume.name).collect()
}

/// Has its Nova lose the next deletion of a server.
pub(crate) fn lose_next_deletion(cloud: &SharedCloud) {
    let mut lost = rule(FaultEffect::Job(JobEffect::ServerDeleteLost));
    lost.times = Some(1);
    lock(cloud).add_fault(lost);
}

/// The rule by which a cloud is cut off.
const CUT_OFF: &str = "cut-off";

/// Cuts the cloud off: whatever is asked of it hangs.
pub(crate) fn cut_off(cloud: &SharedCloud) {
    let hangs = rule(FaultEffect::Call(CallEffect::Hang));
    lock(cloud).add_fault(FaultRule {
        id: CUT_OFF.to_owned(),
        ..hangs
    });
}

/// Takes the cloud down: whatever is asked of it is turned away by what is still there.
pub(crate) fn take_down(cloud: &SharedCloud) {
    lock(cloud).add_fault(rule(FaultEffect::Call(CallEffect::Status {
        status: 503,
        body: None,
        headers: BTreeMap::new(),
    })));
}

pub(crate) fn is_cut_off(cloud: &SharedCloud) -> bool {
    lock(cloud).faults().iter().any(|rule| rule.id == CUT_OFF)
}

/// Reconnects it; what else is wrong with it stays.
pub(crate) fn reconnect(cloud: &SharedCloud) {
    lock(cloud).remove_fault(CUT_OFF);
}

pub(crate) fn mend<const N: usize>(clouds: [&SharedCloud; N]) {
    for cloud in clouds {
        lock(cloud).clear_faults();
    }
}

/// Makes as many of the source's volumes stick as `options` say, spread over the members.
pub(crate) fn stick(source: &SharedCloud, options: &WorldOptions) -> BTreeMap<String, Stuck> {
    let volumes = lock(source).volumes();
    let of_members = options.members * (options.data_volumes + 1);
    let every = of_members.checked_div(options.stuck).unwrap_or(1).max(1);
    let chosen = volumes.iter().take(of_members).step_by(every);
    let stuck: BTreeMap<String, Stuck> = chosen
        .take(options.stuck)
        .zip(Stuck::ALL.into_iter().cycle())
        .map(|(volume, how): (&VolumeFacts, Stuck)| (volume.id.clone(), how))
        .collect();
    for (volume, how) in &stuck {
        let mut rule = rule(FaultEffect::Job(how.effect()));
        rule.matches.resource = Some(volume.clone());
        lock(source).add_fault(rule);
    }
    stuck
}

fn forbids(service: SimulatedService, method: &str, path: &str) -> FaultRule {
    let mut rule = rule(FaultEffect::Call(CallEffect::Status {
        status: 403,
        body: None,
        headers: BTreeMap::new(),
    }));
    rule.matches.service = Some(service);
    rule.matches.method = Some(method.to_owned());
    rule.matches.path = Some(path.to_owned());
    rule
}

fn rule(effect: FaultEffect) -> FaultRule {
    FaultRule {
        id: String::new(),
        matches: Match::default(),
        times: None,
        effect,
        seen: 0,
    }
}
