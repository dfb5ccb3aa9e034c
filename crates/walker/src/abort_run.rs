//! A planned failover whose home, the site where it goes, is lost at some point: the site of the originals gives it up and starts
//! them again, and the lost site returns with the failover under way.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use protector_core::{
    clock::Clock,
    group::{Group, GroupStatus},
    id::ServerId,
    operation::{MapKind, OperationRecord, OperationState, StepState},
    runbook::Step,
};

use crate::{
    fault::{Fault, Injector},
    invariant::primary,
    machine::{Machines, Outage},
    memory_journal::MemoryJournal,
    moment::FaultPoint,
    operations::{abort_id, abort_of},
    trouble,
    violation::Violation,
    world::{CloudFacts, Protector, World, settled_in},
};

/// Between the end of the abort and the return of the lost site.
const BEFORE_THE_RETURN: Duration = Duration::from_secs(600);

/// How a cloud that is lost does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostTarget {
    /// What is still there turns away whatever is asked.
    TurnsAway,
    /// Whatever is asked hangs until its client gives up.
    Hangs,
}

/// One schedule of an abort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// How the target is lost, and where the failover that it runs is then. None: it is not.
    pub loss: Option<(Fault, FaultPoint)>,
    /// How the lost target is silent while the abort runs.
    pub lost_target: LostTarget,
    /// What goes wrong with the abort.
    pub faults: Vec<(Fault, FaultPoint)>,
}

/// What is left when the dust has settled.
#[derive(Debug)]
pub struct AbortOutcome {
    /// The failover when its home was lost.
    pub lost: OperationRecord,
    /// The same in the end.
    pub failover: OperationRecord,
    /// What has started the servers again, if it came to that.
    pub abort: Option<OperationRecord>,
    /// The group, as the site of the originals has it.
    pub group: Group,
    /// That site before, when the abort had ended, and in the end.
    pub source: [CloudFacts; 3],
    /// The lost one in the end.
    pub target: CloudFacts,
    /// Whether a server and its copy were ever seen running together.
    pub ran_twice: bool,
    /// Whether a server was ever seen running on a disk that takes no writes.
    pub ran_on_a_replica: bool,
    /// Journal writes and remote calls of the failover.
    pub of_failover: (usize, usize),
    /// The same of the abort.
    pub of_abort: (usize, usize),
}

impl World {
    /// Runs the world's operation on the site that `abort` loses, and what comes after the loss.
    pub async fn run_abort(self, abort: &Abort) -> AbortOutcome {
        let outage = Outage::to_come();
        let home = self.start_engines_of(&Protector {
            journal: Arc::clone(&self.journal),
            injector: Arc::clone(&self.injector),
            machines: Machines::Site(Arc::clone(&outage)),
            beside: None,
        });
        self.injector.arm();
        let is_lost = tokio::select! {
            biased;
            () = outage.begun() => true,
            () = self.settled(&self.operation) => false,
        };
        let lost = self.record(&self.journal, &self.operation);
        let here = Arc::new(MemoryJournal::new());
        if let Some((mut group, members)) = self.journal.group(&self.group) {
            // As the start of an abort leaves it.
            group.status = GroupStatus::Error;
            here.put_group(group, members);
        }
        let injector = Injector::new(abort.faults.clone(), None);
        let mut after = self.source.facts();
        if is_lost && has_stopped_something(&lost) {
            match abort.lost_target {
                LostTarget::TurnsAway => trouble::take_down(&self.target.cloud),
                LostTarget::Hangs => trouble::cut_off(&self.target.cloud),
            }
            self.arrays.cut_off(Some("mock://array-b"));
            let engines = self.start_engines_of(&Protector {
                journal: Arc::clone(&here),
                injector: Arc::clone(&injector),
                machines: Machines::Apart,
                beside: None,
            });
            // What the home has asked for is through by the time at which a person gives it up.
            self.aftermath().await;
            injector.arm();
            here.insert(abort_of(&lost, &stopped(&lost), self.clock.now()));
            settled_in(&here, &abort_id()).await;
            injector.disarm();
            after = self.source.facts();
            tokio::time::sleep(BEFORE_THE_RETURN).await;
            trouble::mend([&self.target.cloud]);
            self.arrays.cut_off(None);
            self.transport.advance();
            outage.end();
            self.settled(&self.operation).await;
            self.aftermath().await;
            engines.end().await;
        } else if is_lost {
            outage.end();
            self.settled(&self.operation).await;
        }
        home.end().await;
        let group = here.group(&self.group).map(|(group, _)| group);
        let outcome = self.outcome(Vec::new());
        AbortOutcome {
            lost,
            failover: self.record(&self.journal, &self.operation),
            abort: here.operation(&abort_id()),
            group: group.unwrap_or(outcome.group.0),
            source: [outcome.source_before, after, outcome.source],
            target: outcome.target,
            ran_twice: outcome.ran_twice,
            ran_on_a_replica: outcome.ran_on_a_replica,
            of_failover: (self.injector.writes(), self.injector.calls()),
            of_abort: (injector.writes(), injector.calls()),
        }
    }
}

/// The servers that the record says were asked to stop, or were about to be.
fn stopped(record: &OperationRecord) -> BTreeSet<ServerId> {
    let stops = record.steps.iter().filter_map(|step| match &step.action {
        Step::StopServer { server } => Some((server, &step.progress)),
        _ => None,
    });
    stops
        .filter(|(_, progress)| progress.memo.intents > 0 || progress.state == StepState::Running)
        .map(|(server, _)| server.clone())
        .collect()
}

fn has_stopped_something(record: &OperationRecord) -> bool {
    let has_switched = record
        .steps
        .iter()
        .any(|step| step.action == Step::SwitchPrimary && step.progress.state == StepState::Done);
    !stopped(record).is_empty()
        && !has_switched
        && matches!(record.operation.state, OperationState::Running)
}

/// What must hold after an abort, and after the return of the site that it went without.
pub fn check_abort(outcome: &AbortOutcome) -> Vec<Violation> {
    let mut violations = Vec::new();
    let Some(abort) = &outcome.abort else {
        return violations;
    };
    for record in [abort, &outcome.failover] {
        if !record.operation.state.is_terminal() {
            violations.push(format!("I9: {} has not ended", record.operation.id));
        }
    }
    // A copy that was asked for before the loss may run on unseen: whoever says that its site is lost is told so.
    let may_have_a_copy = outcome.lost.steps.iter().any(|step| {
        matches!(step.action, Step::RecreateServer { .. }) && step.progress.memo.intents > 0
    });
    if outcome.ran_twice && !may_have_a_copy {
        violations.push("I10: a server and its copy ran together".to_owned());
    }
    if outcome.ran_on_a_replica {
        violations.push("I10: a server ran on a disk that takes no writes".to_owned());
    }
    let [before, after, end] = &outcome.source;
    for server in stopped(&outcome.lost) {
        let runs = |facts: &CloudFacts| {
            let mut servers = facts.servers.iter();
            servers.any(|there| there.id == server.as_str() && there.running)
        };
        let named = abort.steps.iter().find(
            |step| matches!(&step.action, Step::StartSourceServer { server: of } if *of == server),
        );
        let why = named.and_then(|step| step.progress.error.as_deref());
        if runs(before) && !runs(after) {
            violations.push(format!("I18: {server} was not started again: {why:?}"));
        }
        if runs(after) && !runs(end) {
            violations.push(format!("{server} was stopped when the lost site was back"));
        }
    }
    if abort.operation.state == OperationState::Completed
        && outcome.group.status != GroupStatus::Active
    {
        violations.push(format!("the group is {}", outcome.group.status));
    }
    one_side_of_each_mirror(outcome, &mut violations);
    violations
}

/// In the end the source's side of each mirror takes writes, and no other, unless the record says what is left.
fn one_side_of_each_mirror(outcome: &AbortOutcome, violations: &mut Vec<Violation>) {
    let failover = &outcome.failover;
    let is_left = failover
        .steps
        .iter()
        .any(|step| step.progress.state == StepState::UndoFailed);
    let [_, _, end] = &outcome.source;
    for (_, volume) in failover.operation.plan.volumes() {
        let name = format!("volume-{}", volume.id);
        let Some(mirror) = end
            .objects
            .get(&name)
            .and_then(|object| object.mirror.as_ref())
        else {
            continue;
        };
        let there = primary(&outcome.target, &mirror.id);
        if !mirror.is_primary || (there.is_some() && !is_left) {
            violations.push(format!(
                "I4: of {name} the source is primary: {}, the target: {there:?}",
                mirror.is_primary
            ));
        }
        let copy = failover.map.target(MapKind::Volume, volume.id.as_str());
        if copy.is_some() && !is_left {
            let known = |id: &str| outcome.target.volumes.iter().any(|there| there.id == id);
            if copy.is_some_and(known) {
                violations.push(format!(
                    "I12: the import of {name} is there, and nobody says so"
                ));
            }
        }
    }
}
